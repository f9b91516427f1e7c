"""The mapping of PadChest's terms: what a radiologist would defend, and that no term is forgotten."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xrdatasets.datasets.releases.padchest import OPEN_TERMS, TermLists
from xrdatasets.labels import LabelTable
from xrdatasets.labels.findings import finding as canonical

TABLE = LabelTable.load("padchest")
PAGE = Path(__file__).parents[2] / "docs" / "datasets" / "padchest-terms.md"
# terms of the table of 2019 and of the later tree that the tree of counts lacks
OTHERS = {"normal", "exclude", "suboptimal study", "hypoexpansion basal", "lipomatosis"}
LATER = {"viral pneumonia", "COVID 19", "COVID 19 uncertain"}

GOLDEN = """
laminar atelectasis: Atelectasis narrower
round atelectasis: Atelectasis narrower
pleural effusion: Effusion exact
empyema: Effusion narrower
hydropneumothorax: Effusion narrower
hydropneumothorax: Pneumothorax narrower
pneumothorax: Pneumothorax exact
hiatal hernia: Hernia narrower
rib fracture: Fracture narrower
callus rib fracture: Fracture narrower
vertebral fracture: Fracture narrower
vertebral compression: Fracture broader
vertebral anterior compression: Fracture broader
consolidation: Consolidation exact
alveolar pattern: Consolidation broader
infiltrates: Consolidation broader
air bronchogram: Consolidation broader
consolidation: Infiltration broader
laminar atelectasis: Lung Opacity narrower
infiltrates: Infiltration exact
infiltrates: Lung Opacity narrower
interstitial pattern: Infiltration narrower
increased density: Lung Opacity narrower
ground glass pattern: Lung Opacity narrower
nodule: Nodule exact
multiple nodules: Nodule narrower
calcified granuloma: Nodule broader
granuloma: Nodule broader
granuloma: Lung Lesion broader
granuloma: Lung Opacity broader
miliary opacities: Nodule broader
lung metastasis: Nodule broader
lung metastasis: Mass broader
pulmonary mass: Mass exact
mass: Mass broader
mass: Lung Lesion broader
pulmonary fibrosis: Fibrosis exact
fibrotic band: Fibrosis broader
interstitial pattern: Fibrosis broader
reticular interstitial pattern: Fibrosis broader
post radiotherapy changes: Fibrosis broader
pleural thickening: Pleural_Thickening exact
pleural thickening: Pleural Other narrower
apical pleural thickening: Pleural_Thickening narrower
pleural plaques: Pleural_Thickening narrower
pleural mass: Pleural Other narrower
cardiomegaly: Cardiomegaly exact
mediastinal enlargement: Enlarged Cardiomediastinum narrower
mediastinal mass: Enlarged Cardiomediastinum broader
goiter: Enlarged Cardiomediastinum broader
aortic aneurysm: Enlarged Cardiomediastinum broader
hiatal hernia: Enlarged Cardiomediastinum related
pneumonia: Pneumonia exact
atypical pneumonia: Pneumonia narrower
pulmonary edema: Edema exact
kerley lines: Edema broader
heart insufficiency: Edema broader
heart insufficiency: Cardiomegaly broader
hilar congestion: Edema broader
vascular redistribution: Edema broader
emphysema: Emphysema exact
COPD signs: Emphysema broader
bullas: Emphysema broader
air trapping: Emphysema broader
hyperinflated lung: Emphysema broader
tuberculosis: Tuberculosis exact
tuberculosis: Lung Opacity broader
tuberculosis sequelae: Tuberculosis broader
tuberculosis sequelae: Fibrosis broader
costophrenic angle blunting: Effusion broader
costophrenic angle blunting: Pleural_Thickening broader
minor fissure thickening: Effusion broader
cavitation: Lung Lesion narrower
NSG tube: Support Devices narrower
pacemaker: Support Devices narrower
osteosynthesis material: Support Devices narrower
suture material: Support Devices broader
metal: Support Devices broader
mammary prosthesis: Support Devices related
COVID 19: COVID-19 related
normal: No Finding exact
"""
UNMAPPED = (
    "subcutaneous emphysema", "pericardial effusion", "pseudonodule", "nipple shadow", "end on vessel",
    "breast mass", "soft tissue mass", "pneumomediastinum", "pneumoperitoneo", "chronic changes",
    "lytic bone lesion", "bone metastasis", "mastectomy", "heart valve calcified", *OPEN_TERMS,
)  # fmt: skip


def rules(term):
    return {rule.target: rule.relation for rule in TABLE.rules if rule.term.source == term}


def positive_terms():
    """(term, finding, relation) of all rows by which a term makes a finding positive."""
    return {
        (rule.term.source, rule.target, rule.relation)
        for rule in TABLE.rules
        if rule.relation in ("exact", "narrower")
    }


def codes(text):
    terms = TABLE.read_terms(pd.DataFrame({"Labels": [text]}), reader=TermLists())
    matrix = TABLE.apply(terms)
    return lambda finding: matrix.relabel([finding]).codes[0, 0]


@pytest.mark.parametrize("line", GOLDEN.strip().splitlines())
def test_golden_rows(line):
    term, target, relation = re.fullmatch(r"(.+): (.+) (\w+)", line).groups()
    assert rules(term)[target] == relation


@pytest.mark.parametrize("term", UNMAPPED)
def test_terms_from_which_nothing_follows(term):
    assert rules(term) == {None: None}


@pytest.mark.parametrize("term", ["costophrenic angle blunting", "kerley lines", "tuberculosis sequelae"])
def test_signs_that_make_nothing_positive(term):
    assert set(rules(term).values()) == {"broader"}


def test_a_word_within_a_term_is_not_the_term():
    seen = codes("['subcutaneous emphysema', 'pericardial effusion', 'pseudonodule', 'mediastinal mass']")
    assert [seen(name) for name in ("Emphysema", "Effusion", "Nodule", "Mass")] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("term", "finding"),
    [
        ("COPD signs", "Emphysema"),
        ("alveolar pattern", "Consolidation"),
        ("volume loss", "Atelectasis"),
        ("mass", "Mass"),
        ("kerley lines", "Edema"),
        ("heart insufficiency", "Cardiomegaly"),
        ("costophrenic angle blunting", "Effusion"),
        ("granuloma", "Nodule"),
        ("granuloma", "Lung Opacity"),
        ("suture material", "Support Devices"),
    ],
)
def test_a_wider_term_alone_leaves_the_finding_unknown(term, finding):
    assert np.isnan(codes(f"['{term}']")(finding))
    assert codes("['scoliosis']")(finding) == 0


def test_an_exact_or_narrower_term_speaks_beside_a_wider_one():
    assert codes("['kerley lines', 'pulmonary edema']")("Edema") == 1
    assert codes("['calcified granuloma', 'multiple nodules']")("Nodule") == 1


def test_normal_denies_what_a_wider_term_leaves_open():
    assert codes("['kerley lines', 'normal']")("Edema") == 0
    assert np.isnan(codes("['suture material', 'normal']")("Support Devices"))  # a device is no finding


def test_a_related_term_leaves_the_absent_0():
    assert codes("['hypoexpansion']")("Atelectasis") == 0
    assert codes("['miliary opacities']")("Tuberculosis") == 0


def test_normal_negates_every_covered_finding():
    negated = {rule.target for rule in TABLE.rules if rule.relation == "negates"}
    covered = {name for name in TABLE.covered if canonical(name).kind == "finding"}
    assert negated == covered
    assert {rule.term.source for rule in TABLE.rules if rule.relation == "negates"} == {"normal"}


def test_covid_is_not_covered():
    assert "COVID-19" not in TABLE.covered


def test_every_unmapped_term_says_why():
    assert all(rule.note for rule in TABLE.rules if rule.target is None)


def test_every_row_names_its_source():
    assert all(rule.reference.startswith("Bustos 2020; ") for rule in TABLE.rules)
    assert not [rule for rule in TABLE.rules if rule.term.column != "*"]


def page():
    """Terms of each finding as the page of the docs has them, and its sums."""
    found, sums = set(), {}
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        finding = section.splitlines()[0]
        for term, relation, count in re.findall(r"^\| (.+) \| (exact|narrower) \| (\d*) ?\|$", section, re.M):
            found.add((term, finding, relation, int(count or 0)))
        total = re.search(r"^\| \*\*sum\*\* \| \|(?: \*\*(\d+)\*\*)? \|$", section, re.M)
        sums[finding] = int(total[1] or 0)
    return found, sums


def test_the_page_has_the_rows_of_the_mapping_and_sums_them():
    found, sums = page()
    assert {row[:3] for row in found} == positive_terms()
    for finding in TABLE.covered:
        assert sum(row[3] for row in found if row[1] == finding) == sums[finding]


@pytest.fixture(scope="module")
def tree():
    """Count of each term of the published tree, without its children."""
    if not os.environ.get("XRDATASETS_DATA"):
        pytest.skip("XRDATASETS_DATA is not set")
    folder = Path(os.environ["XRDATASETS_DATA"]) / "tables" / "padchest"
    text = (folder / "tree_term_CUI_counts_160K.csv").read_text(encoding="utf-8")
    nodes = re.findall(r"^[│├└─\s]*(\S.*?) \[(?:CUI:C\d+, )?counts:(\d+), \d+\]", text, re.M)
    return {term: int(count) for term, count in nodes}


@pytest.mark.data
def test_every_node_of_the_tree_has_a_row(tree):
    assert len(tree) == 189
    assert {term.source for term in TABLE.terms} == set(tree) | OTHERS | LATER


@pytest.mark.data
def test_the_counts_of_the_page_are_those_of_the_tree(tree):
    found, sums = page()
    assert {(row[0], row[3]) for row in found if row[3]} <= set(tree.items())
    for finding in TABLE.covered:
        terms = [term for term, target, _ in positive_terms() if target == finding]
        assert sum(tree.get(term, 0) for term in terms) == sums[finding]
