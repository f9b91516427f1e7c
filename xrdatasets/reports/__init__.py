"""Reports: what datasets hold, as tables."""

from xrdatasets.reports.statistics import stats

__all__ = ["stats"]
