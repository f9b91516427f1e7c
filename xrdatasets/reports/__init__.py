"""Reports: what datasets hold, as tables and as pictures, and whether downloads are whole."""

from xrdatasets.reports.contact import contact_sheet
from xrdatasets.reports.statistics import cooccurrence, images_by, labelled_space, policy_counts, stats
from xrdatasets.reports.verification import Verification, verify

__all__ = [
    "Verification",
    "contact_sheet",
    "cooccurrence",
    "images_by",
    "labelled_space",
    "policy_counts",
    "stats",
    "verify",
]
