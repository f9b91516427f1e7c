"""Reports: what datasets hold, as tables."""

from xrdatasets.reports.statistics import cooccurrence, images_by, labelled_space, policy_counts, stats

__all__ = ["cooccurrence", "images_by", "labelled_space", "policy_counts", "stats"]
