"""Reports: what datasets hold, as tables and as pictures."""

from xrdatasets.reports.contact import contact_sheet
from xrdatasets.reports.statistics import cooccurrence, images_by, labelled_space, policy_counts, stats

__all__ = ["contact_sheet", "cooccurrence", "images_by", "labelled_space", "policy_counts", "stats"]
