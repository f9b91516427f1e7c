"""What the reports say of the truth: through the mapping tables, and at the rates that were promised."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from tests.labels.cells import CHEXPERT, NIH
from xrdatasets.labels import LabelTable, Tree
from xrdatasets.labels.codes import UNMENTIONED
from xrdatasets.phantom.hospitals import HOSPITALS
from xrdatasets.phantom.population import SIGNS, Population
from xrdatasets.phantom.readers import report
from xrdatasets.resources import mappings, read_rows

N = 60_000
KEYS = tuple(HOSPITALS)
SHIFTED = {"Cardiomegaly": "Enlarged heart", "Effusion": "Pleural fluid"}
OF_B = {
    "Lung Opacity", "Lung Lesion", "Consolidation", "Atelectasis", "Edema", "Emphysema", "Fibrosis",
    "Tuberculosis", "Effusion", "Pneumothorax", "Cardiomegaly", "Hernia", "Fracture", "Support Devices",
}  # fmt: skip
DATASETS = (
    "key", "title", "release", "licence", "url", "absent", "frontal_only", "image_family", "images",
    "patients", "reference",
)  # fmt: skip
CHANGED_BY_THE_SHIFT = {
    "A": set(),
    "B": {"Enlarged heart", "Pleural fluid"},
    "C": {"Cardiomegaly", "Pleural Effusion", "Enlarged Cardiomediastinum", "No Finding"},
}
# child, parent, share of the parents that are 1, -1 and 0 where the child is 1, in train.csv of CheXpert v1.0
EDGES = [
    ("Cardiomegaly", "Enlarged Cardiomediastinum", (0.0704, 0.0115, 0.0064)),
    ("Pneumonia", "Consolidation", (0.1679, 0.0902, 0.0874)),
    ("Consolidation", "Lung Opacity", (0.3771, 0.0600, 0.0041)),
    ("Atelectasis", "Lung Opacity", (0.4238, 0.0180, 0.0105)),
    ("Edema", "Lung Opacity", (0.5255, 0.0173, 0.0086)),
    ("Lung Lesion", "Lung Opacity", (0.5787, 0.0220, 0.0150)),
]
hospitals = pytest.mark.parametrize("hospital", KEYS)


class Read:
    """A population, its release and its labels."""

    def __init__(self, hospital, *, label_shift):
        self.reader = HOSPITALS[hospital].reader
        self.people = Population.of(hospital, N, seed=3)
        self.frame = report(self.people, label_shift=label_shift)
        self.table = LabelTable.load(f"phantom_{hospital.lower()}")
        self.matrix = self.table.apply(self.frame)
        self.truth = dict(zip(self.people.findings, self.people.truth, strict=True))
        self.severity = dict(zip(self.people.findings, self.people.severity, strict=True))

    def codes(self, finding):
        return self.matrix.relabel([finding]).codes[:, 0]


@pytest.fixture(scope="module")
def read():
    made = {}

    def get(hospital, *, label_shift=True):
        asked = (hospital, label_shift)
        if asked not in made:
            made[asked] = Read(hospital, label_shift=label_shift)
        return made[asked]

    return get


def text(frame):
    return frame.astype("str").fillna("blank")


@hospitals
def test_a_report_is_the_beginning_of_every_larger_one(hospital):
    few, many = (report(Population.of(hospital, n, seed=5)) for n in (300, 2000))
    pd.testing.assert_frame_equal(few, many.iloc[:300])
    assert len(few) == 300


@pytest.mark.parametrize(
    ("hospital", "stored"), [("A", "359165ccf5d5cf2a"), ("B", "e341b6c6bb376daa"), ("C", "5a3445645319b9e8")]
)
def test_a_report_never_changes(hospital, stored):
    lines = report(Population.of(hospital, 2000, seed=0)).to_csv(index=False, lineterminator="\n")
    assert hashlib.blake2b(lines.encode(), digest_size=8).hexdigest() == stored


def test_the_columns_are_those_of_each_hospital_s_form(read):
    assert list(read("A").frame) == ["Finding Labels"]
    assert read("A").frame["Finding Labels"].dtype == "str"
    assert tuple(read("C").frame) == CHEXPERT
    for hospital in ("B", "C"):
        assert set(read(hospital).frame.dtypes) == {np.dtype("float32")}
        assert set(np.unique(text(read(hospital).frame).to_numpy().astype(str))) == {
            "1.0",
            "0.0",
            "-1.0",
            "blank",
        }


@hospitals
def test_every_term_has_its_rows_and_every_row_its_term(read, hospital):
    frame, table = read(hospital).frame, read(hospital).table
    if hospital == "A":
        terms = set(frame["Finding Labels"].str.split("|").explode())
        assert terms == {term.source for term in table.terms} == {*NIH, "No Finding"}
    else:
        assert set(frame) == {term.column for term in table.terms}
    expected = f"xrdatasets Phantom, hospital {hospital}, readers.py"
    assert {rule.reference for rule in table.rules} == {expected}


def test_what_each_hospital_covers():
    covered = {key: set(LabelTable.load(f"phantom_{key.lower()}").covered) for key in KEYS}
    assert covered == {
        "A": {*NIH, "No Finding"},
        "B": OF_B,
        "C": {name.replace("Pleural Effusion", "Effusion") for name in CHEXPERT},
    }
    assert {key: LabelTable.load(f"phantom_{key.lower()}").absent for key in KEYS} == {
        "A": "negative",
        "B": "unknown",
        "C": "unmentioned",
    }


def test_c_s_rows_are_those_of_chexpert():
    own, other = (LabelTable.load(key).rules for key in ("phantom_c", "chexpert"))
    assert [(rule.term, rule.target, rule.relation) for rule in own] == [
        (rule.term, rule.target, rule.relation) for rule in other
    ]


def test_a_s_rows_are_those_of_nih():
    own, other = (LabelTable.load(key).rules for key in ("phantom_a", "nih"))
    assert {(rule.term, rule.target, rule.relation) for rule in own} == {
        (rule.term, rule.target, rule.relation) for rule in other
    }


def test_the_registry_calls_them_synthetic():
    rows = [
        row.cells
        for row in read_rows(mappings() / "datasets.csv", tuple(DATASETS))
        if "phantom" in row.cells["key"]
    ]
    assert [row["key"] for row in rows] == ["phantom_a", "phantom_b", "phantom_c"]
    for row in rows:
        assert (row["image_family"], row["frontal_only"], row["images"], row["patients"]) == (
            "phantom",
            "yes",
            "",
            "",
        )
        assert "Synthetic" in row["reference"]


def rates(codes, rows):
    known = codes[rows & ~np.isnan(codes)]
    return {code: (known == code).mean() for code in (1, 0, -1)}


def expected_of(reader, severity, finding):
    """Share of a finding's cases that are called 1 and -1, from the rule in the docstring."""
    cases = severity[severity > 0].astype(np.float64)
    seen = 1 - reader.miss * (1 - cases)
    doubt = reader.doubts.get(finding, reader.doubt)
    unsure = np.minimum(1, doubt * (1 - cases))
    return (seen * (1 - unsure)).mean(), (seen * unsure + (1 - seen) * doubt * reader.hedge).mean()


@pytest.mark.parametrize("finding", NIH)
def test_a_says_what_is_there_but_for_what_is_missed(read, finding):
    one = read("A", label_shift=False)
    codes, truth = one.codes(finding), one.truth[finding]
    assert not np.isnan(codes).any()
    right, unsure = expected_of(one.reader, one.severity[finding], finding)
    assert 0.8 < right < 0.95
    assert unsure == 0
    assert rates(codes, truth) == pytest.approx({1: right, 0: 1 - right, -1: 0}, abs=0.025)
    assert rates(codes, ~truth)[1] == pytest.approx(0.008, abs=0.002)


@pytest.mark.parametrize("finding", sorted(OF_B - {"Atelectasis"}))
def test_b_says_what_is_there_where_it_was_read(read, finding):
    one = read("B", label_shift=False)
    codes, truth = one.codes(finding), one.truth[finding]
    assert np.isnan(codes).mean() == pytest.approx(0.25, abs=0.01)
    # a blank says nothing of what is there
    assert np.isnan(codes[truth]).mean() == pytest.approx(0.25, abs=0.03)
    right, unsure = expected_of(one.reader, one.severity[finding], finding)
    found = rates(codes, truth)
    assert found == pytest.approx({1: right, 0: 1 - right - unsure, -1: unsure}, abs=0.03)
    assert 0.05 < found[-1] < 0.20
    found = rates(codes, ~truth)
    assert found[1] == pytest.approx(0.004, abs=0.002)
    assert found[-1] == pytest.approx(0.0125, abs=0.003)


def test_faint_findings_are_missed_and_doubted_more(read):
    one = read("B", label_shift=False)
    codes, severity = one.codes("Lung Lesion"), one.severity["Lung Lesion"]
    faint, plain = rates(codes, (severity > 0) & (severity < 0.4)), rates(codes, severity > 0.8)
    assert faint[0] > 3 * plain[0]
    assert faint[-1] > 3 * plain[-1]
    assert plain[1] > 0.93 > 0.80 > faint[1]


def test_b_s_atelectasis_has_two_terms_and_its_negatives_survive(read):
    one = read("B")
    whole, part = one.frame["Volume loss"], one.frame["Lobar collapse"]
    codes, truth = one.codes("Atelectasis"), one.truth["Atelectasis"]
    relations = {
        rule.term.name: rule.relation for rule in one.table.rules_of("Atelectasis", "exact", "narrower")
    }
    assert relations == {"Volume loss": "exact", "Lobar collapse": "narrower"}
    assert (codes[(whole == 1) | (part == 1)] == 1).all()
    silent = whole.isna() & (part == 0)
    assert silent.sum() > 1000
    assert np.isnan(codes[silent]).all()
    assert (codes[(whole == 0) & (part == 0)] == 0).all()
    assert (codes[whole.isna() & (part == 1)] == 1).sum() > 100
    # four in ten are lobar; both terms speak of the same images
    assert (part[truth & part.notna()] == 1).mean() == pytest.approx(0.4 * 0.8, abs=0.04)
    assert rates(codes, truth)[1] > 0.8
    # each of the two is uncertain of 1.25 %, and calls 0.4 %, of what is not there
    assert rates(codes, ~truth)[0] == pytest.approx(0.967, abs=0.005)


def test_b_s_nodule_or_mass_says_neither_which(read):
    one = read("B")
    cell = one.frame["Nodule or mass"]
    for finding in ("Nodule", "Mass"):
        codes = one.codes(finding)
        assert (codes[cell == 0] == 0).all()
        assert np.isnan(codes[cell != 0]).all()
        assert one.truth[finding][cell == 1].mean() > 0.3
    np.testing.assert_array_equal(one.codes("Lung Lesion"), cell)


def test_b_has_columns_that_lead_nowhere(read):
    one = read("B")
    related = [rule for rule in one.table.rules if rule.relation == "related"]
    unmapped = [rule for rule in one.table.rules if rule.target is None]
    assert [(rule.term.name, rule.target) for rule in related] == [("Suspected infection", "Pneumonia")]
    assert [rule.term.name for rule in unmapped] == ["Degenerative spine"]
    assert np.isnan(one.codes("Pneumonia")).all()
    asked, pneumonia = one.frame["Suspected infection"], one.truth["Pneumonia"]
    assert asked[pneumonia].mean() == pytest.approx(0.6, abs=0.03)
    assert asked[~pneumonia].mean() == pytest.approx(0.1, abs=0.01)
    worn, age = one.frame["Degenerative spine"], one.people.age
    assert worn[age <= 40].sum() == 0
    assert worn[age == 65].mean() == pytest.approx(0.5, abs=0.06)


def test_a_quarter_of_b_s_cells_is_blank_each_on_its_own(read):
    blank = read("B").frame.isna()
    assert blank.mean().to_numpy() == pytest.approx(0.25, abs=0.01)
    correlation = blank.astype(float).corr().to_numpy() - np.eye(len(blank.columns))
    assert np.abs(correlation).max() < 0.025  # standard error 0.004


@pytest.mark.parametrize(
    "finding", ["Pneumothorax", "Lung Lesion", "Edema", "Effusion", "Fracture", "Pneumonia"]
)
def test_c_says_what_is_there(read, finding):
    one = read("C", label_shift=False)
    codes, truth = one.codes(finding), one.truth[finding]
    right, unsure = expected_of(one.reader, one.severity[finding], finding)
    # of all cases, those that are blank included
    assert (codes[truth] == 1).mean() == pytest.approx(right, abs=0.025)
    assert (codes[truth] == -1).mean() == pytest.approx(unsure, abs=0.025)
    assert (codes[~truth] == 1).mean() == pytest.approx(0.01, abs=0.003)


CHEXPERT_COUNTS = {
    row.cells["finding"]: (int(row.cells["positive"]), int(row.cells["uncertain"]))
    for row in read_rows(
        mappings() / "counts" / "chexpert.csv", ("finding", "positive", "negative", "uncertain", "source")
    )
}


@pytest.mark.parametrize("column", CHEXPERT[1:])
def test_c_is_as_uncertain_as_chexpert(read, column):
    cells = read("C").frame[column]
    positive, uncertain = CHEXPERT_COUNTS["Effusion" if column == "Pleural Effusion" else column]
    share = (cells == -1).sum() / ((cells == -1) | (cells == 1)).sum()
    assert share == pytest.approx(uncertain / (positive + uncertain), abs=0.03)
    assert (cells == 1).mean() > 0.02


def test_most_of_c_s_negatives_are_blank(read):
    one = read("C")
    cells = one.frame.drop(columns="No Finding")
    stated = {
        name: (cells[name] == 0).sum() / ((cells[name] == 0) | cells[name].isna()).sum() for name in cells
    }
    # 0 among 0 and blank in train.csv: 56,341 of 200,821; 35,396 of 125,599; 1,328 of 156,299; 316 of 217,238
    for name, share in (
        ("Pneumothorax", 0.281),
        ("Pleural Effusion", 0.282),
        ("Atelectasis", 0.008),
        ("Pleural Other", 0.001),
    ):
        assert stated[name] == pytest.approx(share, abs=0.01), name
    assert np.mean(list(stated.values())) < 0.12
    # what No Finding does not make 0 stays open
    matrix = one.matrix
    states = np.stack([matrix.column(name) for name in matrix.covered if name != "No Finding"])
    assert 0.4 < (states == UNMENTIONED).mean() < 0.7


@pytest.mark.parametrize(
    ("child", "parent", "shares"), EDGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_c_s_parents_are_broken_as_often_as_chexpert_s(read, child, parent, shares):
    frame = read("C").frame
    others = [name for name, above, _ in EDGES if above == parent and name != child]
    alone = (frame[child] == 1) & (frame[others] != 1).all(axis=1)
    cells = frame[parent][alone]
    assert len(cells) > 300
    found = [(cells == code).mean() for code in (1, -1, 0)]
    assert found == pytest.approx(shares, abs=0.04)
    # in truth, the parent is there wherever the child is
    truth = read("C").truth
    assert truth[parent][truth[child]].all()


def test_c_s_edges_are_those_of_the_tree():
    assert {(child, parent) for child, parent, _ in EDGES} == {
        (edge.child, edge.parent) for edge in Tree.load("irvin2019").edges
    }


def test_closure_mends_c_s_blank_parents_and_nothing_else(read):
    one = read("C")
    tree = Tree.load("irvin2019")
    before, after = one.matrix, one.matrix.close(tree)
    for child, parent, _ in EDGES:
        lost = (one.codes(child) == 1) & np.isnan(one.codes(parent))
        assert lost.sum() > 100
        assert (after.relabel([parent]).codes[lost, 0] == 1).all()
        said = ~np.isnan(before.relabel([parent]).codes[:, 0])
        np.testing.assert_array_equal(
            after.relabel([parent]).codes[said], before.relabel([parent]).codes[said], err_msg=parent
        )


def test_c_s_no_finding_is_set_as_the_labeler_sets_it(read):
    frame = read("C").frame
    nothing = frame["No Finding"] == 1
    mentioned = frame.drop(columns=["No Finding", "Support Devices"]).abs() == 1
    np.testing.assert_array_equal(nothing, ~mentioned.any(axis=1))
    assert frame["No Finding"].isna().sum() == (~nothing).sum()
    assert 0.2 < nothing.mean() < 0.32
    assert (frame["Support Devices"][nothing] == 1).sum() > 300
    one = read("C")
    for finding in one.table.native.labels:
        if finding != "Support Devices":
            assert (one.codes(finding)[nothing] == 0).all(), finding


def test_a_s_no_finding_stands_alone(read):
    words = read("A").frame["Finding Labels"].str.split("|")
    nothing = words.map(lambda listed: "No Finding" in listed)
    assert (words[nothing].map(len) == 1).all()
    assert words[~nothing].map(lambda listed: len(set(listed)) == len(listed)).all()
    assert 0.35 < nothing.mean() < 0.55


@hospitals
def test_the_label_shift_changes_two_findings_and_what_follows(read, hospital):
    with_shift, without = (read(hospital, label_shift=shift) for shift in (True, False))
    if hospital == "A":
        pd.testing.assert_frame_equal(with_shift.frame, without.frame)
        return
    one, two = text(with_shift.frame), text(without.frame)
    changed = {name for name in one if (one[name] != two[name]).any()}
    assert changed == CHANGED_BY_THE_SHIFT[hospital]
    np.testing.assert_array_equal(with_shift.people.truth, without.people.truth)


@pytest.mark.parametrize("finding", SHIFTED)
def test_b_calls_less_and_c_calls_more_than_is_there(read, finding):
    grades = {key: read(key).people.grades[SIGNS.index(finding)] for key in KEYS}

    def called(key, low, high, *, label_shift):
        codes = read(key, label_shift=label_shift).codes(finding)
        return rates(codes, (grades[key] > low) & (grades[key] <= high) & ~np.isnan(codes))[1]

    # between B's threshold and the truth's, and between the truth's and C's
    assert called("B", 0, 0.3, label_shift=True) < 0.01
    assert called("B", 0, 0.3, label_shift=False) > 0.55
    assert called("B", 0.6, 1, label_shift=True) > 0.75
    # a blank of C is no call: count all cells
    rows = (grades["C"] > -0.2) & (grades["C"] <= 0)
    assert rows.sum() > 500
    assert (read("C").codes(finding)[rows] == 1).mean() > 0.25
    assert (np.abs(read("C").codes(finding)[rows]) == 1).mean() > 0.6
    assert (np.abs(read("C", label_shift=False).codes(finding)[rows]) == 1).mean() < 0.03
    rows = (grades["C"] > -0.35) & (grades["C"] <= -0.2)
    assert (read("C").codes(finding)[rows] == 1).mean() < 0.03


def test_another_hospital_s_readers_may_read_the_same_images():
    people = Population.of("A", 20_000, seed=3)
    own, same, other = report(people), report(people, "A"), report(people, "C")
    pd.testing.assert_frame_equal(own, same)
    assert tuple(other) == CHEXPERT
    # both speak of the same images, each with errors of its own
    truth = people.truth[people.findings.index("Pneumothorax")]
    missed = ~own["Finding Labels"].str.contains("Pneumothorax").to_numpy()[truth]
    lost = (other["Pneumothorax"] != 1).to_numpy()[truth]
    assert missed.mean() < 0.2
    assert lost.mean() < 0.4
    assert (missed & lost).mean() < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hospital": "D"}, r"^hospital: expected one of A, B, C, got 'D'\.$"),
        ({"label_shift": "no"}, r"^label_shift: expected True or False, got 'no'\.$"),
        ({"label_shift": 1}, r"^label_shift: expected True or False, got 1\.$"),
        ({"label_shift": None}, r"^label_shift: expected True or False, got None\.$"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        report(Population.of("A", 2), **arguments)
