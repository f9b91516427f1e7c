"""Labels: the words of a release become one harmonised matrix, and a policy makes targets of it.

``rules`` and ``terms`` read what the source says, ``table`` turns it into findings, ``matrix`` holds
them, ``policies`` decides what uncertain means.
"""

from xrdatasets.labels.findings import Finding, all_findings, finding
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.lookups import Match, lookup
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.policies import (
    POLICIES,
    U_IGNORE,
    U_ONES,
    U_ONES_LSR,
    U_ZEROS,
    U_ZEROS_LSR,
    Policy,
)
from xrdatasets.labels.provenance import Provenance
from xrdatasets.labels.rules import Rule, Term
from xrdatasets.labels.spaces import LabelSpace, space_names
from xrdatasets.labels.table import LabelTable
from xrdatasets.labels.terms import FindingColumns, FindingList, TermMatrix

__all__ = [
    "POLICIES",
    "U_IGNORE",
    "U_ONES",
    "U_ONES_LSR",
    "U_ZEROS",
    "U_ZEROS_LSR",
    "Finding",
    "FindingColumns",
    "FindingList",
    "LabelMatrix",
    "LabelSpace",
    "LabelTable",
    "Match",
    "Policy",
    "Provenance",
    "Rule",
    "Term",
    "TermMatrix",
    "Tree",
    "all_findings",
    "finding",
    "lookup",
    "space_names",
]
