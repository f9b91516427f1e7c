from __future__ import annotations

import pytest

from xrdatasets.errors import LabelNotFoundError, MappingError
from xrdatasets.labels import LabelSpace, space_names, spaces

UNION20 = (
    "Emphysema", "Fibrosis", "Hernia", "Infiltration", "Pleural_Thickening", "Mass", "Nodule", "Atelectasis",
    "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Pneumonia", "Pneumothorax",
    "Enlarged Cardiomediastinum", "Fracture", "Pleural Other", "Lung Opacity", "Lung Lesion",
    "Support Devices",
)  # fmt: skip
CHEXPERT13 = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
SPACES = {
    # Cohen 2020, the canonical 18
    "xrv18": (
        "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis",
        "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia",
        "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum",
    ),
    # Luo 2020, Figure 1
    "union20": UNION20,
    "union21": (*UNION20, "Tuberculosis"),
    "bundled21": (*UNION20, "COVID-19"),
    # order of the releases
    "nih14": (
        "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
        "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
    ),
    "chexpert14": ("No Finding", *CHEXPERT13),
    "chexpert13": CHEXPERT13,
    # Irvin 2019, the five of the competition
    "chexpert5": ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion"),
}  # fmt: skip
SIZES = {
    "xrv18": 18,
    "union20": 20,
    "union21": 21,
    "bundled21": 21,
    "nih14": 14,
    "chexpert14": 14,
    "chexpert13": 13,
    "chexpert5": 5,
}


@pytest.mark.parametrize("name", SPACES)
def test_the_published_spaces_in_their_order(name):
    space = LabelSpace.load(name)
    assert (space.name, space.labels, len(space)) == (name, SPACES[name], SIZES[name])


def test_the_names_are_the_files_in_alphabetical_order():
    assert space_names() == tuple(sorted(SPACES))


def test_union20_is_xrv18_with_two_more():
    union, xrv = (set(LabelSpace.load(name).labels) for name in ("union20", "xrv18"))
    assert union - xrv == {"Pleural Other", "Support Devices"}
    assert xrv - union == set()


def test_union20_is_nih14_and_chexpert13():
    nih, chexpert = (set(LabelSpace.load(name).labels) for name in ("nih14", "chexpert13"))
    assert nih | chexpert == set(LabelSpace.load("union20").labels)
    assert nih & chexpert == {
        "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Pneumonia", "Pneumothorax",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "column"),
    [("Effusion", 7), ("pleural effusion", 7), ("Atelectasis", 0), ("enlarged cardiomediastinum", 17)],
)
def test_index_takes_names_and_synonyms(name, column):
    assert LabelSpace.load("xrv18").index(name) == column


def test_index_of_a_finding_that_is_not_in_the_space():
    with pytest.raises(
        LabelNotFoundError, match=r"'Hernia' is not in the space 'chexpert5'\. It has: Atelectasis"
    ):
        LabelSpace.load("chexpert5").index("hernia")
    with pytest.raises(LabelNotFoundError, match="Did you mean"):
        LabelSpace.load("chexpert5").index("Efusion")


@pytest.mark.parametrize(
    ("label", "inside"), [("Pleural Effusion", True), ("Hernia", False), ("xyzzy", False), (5, False)]
)
def test_contains(label, inside):
    assert (label in LabelSpace.load("chexpert5")) is inside


def test_positions_say_where_and_minus_one_where_absent():
    space = LabelSpace.load("chexpert5")
    other = LabelSpace.of(["Edema", "Hernia", "Atelectasis"])
    found = space.positions(other)
    assert (found.tolist(), found.dtype.kind) == ([3, -1, 0], "i")
    assert other.positions(space).tolist() == [2, -1, -1, 0, -1]
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


def test_of_takes_a_space_a_name_or_findings():
    space = LabelSpace.load("nih14")
    assert LabelSpace.of(space) is space
    assert LabelSpace.of("nih14") == space
    own = LabelSpace.of(["pleural effusion", "OPACITY"])
    assert (own.name, own.labels) == ("custom", ("Effusion", "Lung Opacity"))
    assert len(LabelSpace.of([])) == 0


@pytest.mark.parametrize("labels", [["Effusion", "Effusion"], ["Effusion", "Pleural Effusion"]])
def test_each_finding_once(labels):
    with pytest.raises(
        ValueError, match=r"label space 'custom': expected each finding once, got Effusion again\."
    ):
        LabelSpace.of(labels)


def test_an_unknown_finding_in_a_space():
    with pytest.raises(LabelNotFoundError, match="'Efusion'"):
        LabelSpace.of(["Efusion"])


def test_an_unknown_space_gives_those_there_are():
    with pytest.raises(
        LabelNotFoundError,
        match=r"'xrv-18'\. Expected one of: bundled21, chexpert13, .*, xrv18\. Did you mean 'xrv18'\?$",
    ):
        LabelSpace.load("xrv-18")
    with pytest.raises(LabelNotFoundError, match=r"'Edema'\. Expected one of: .*xrv18\.$"):
        LabelSpace.of("Edema")


@pytest.mark.parametrize("body", ["Edema\nOedem\n", "Edema\nEdema\n", "Edema\nPulmonary Edema\n"])
def test_a_wrong_table_of_a_space_is_named_with_its_line(tmp_path, monkeypatch, body):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mine.csv").write_text("finding\n" + body, encoding="utf-8")
    monkeypatch.setattr(spaces, "mappings", lambda: tmp_path)
    with pytest.raises(MappingError, match=r"mine\.csv, line 3"):
        spaces._load.__wrapped__("mine")
