from __future__ import annotations

import pytest

from xrdatasets.errors import LabelNotFoundError, MappingError
from xrdatasets.labels import Tree, hierarchy

# Pham 2019, Figure 1 (the tree of Irvin 2019); Luo 2020, remarks on sub-classes
PARENTS = {
    "irvin2019": {
        "Cardiomegaly": "Enlarged Cardiomediastinum",
        "Lung Lesion": "Lung Opacity",
        "Edema": "Lung Opacity",
        "Consolidation": "Lung Opacity",
        "Atelectasis": "Lung Opacity",
        "Pneumonia": "Consolidation",
    },
    "luo2020": {
        "Mass": "Lung Lesion",
        "Nodule": "Lung Lesion",
        "Infiltration": "Lung Opacity",
        "Fibrosis": "Pleural Other",
    },
}


@pytest.fixture
def trees(tmp_path, monkeypatch):
    def read(body):
        (tmp_path / "hierarchy.csv").write_text("tree,child,parent,source\n" + body, encoding="utf-8")
        monkeypatch.setattr(hierarchy, "mappings", lambda: tmp_path)
        return hierarchy._trees.__wrapped__()

    return read


@pytest.mark.parametrize("name", PARENTS)
def test_the_published_trees(name):
    assert Tree.load(name).parents == PARENTS[name]
    assert all(edge.source for edge in Tree.load(name).edges)


def test_ancestors_are_the_path_to_the_root():
    tree = Tree.load("irvin2019")
    assert tree.ancestors("Pneumonia") == ("Consolidation", "Lung Opacity")
    assert tree.ancestors("Edema") == ("Lung Opacity",)
    assert tree.ancestors("Lung Opacity") == ()
    assert tree.ancestors("Fracture") == ()


def test_descendants_are_the_whole_subtree():
    tree = Tree.load("irvin2019")
    assert tree.descendants("Lung Opacity") == (
        "Atelectasis", "Consolidation", "Edema", "Pneumonia", "Lung Lesion",
    )  # fmt: skip
    assert tree.descendants("Consolidation") == ("Pneumonia",)
    assert tree.descendants("Pneumonia") == ()
    assert Tree.load("luo2020").descendants("Lung Lesion") == ("Nodule", "Mass")


def test_members_are_in_the_order_of_the_findings():
    assert Tree.load("irvin2019").members == (
        "Atelectasis", "Consolidation", "Edema", "Pneumonia", "Cardiomegaly", "Lung Lesion", "Lung Opacity",
        "Enlarged Cardiomediastinum",
    )  # fmt: skip


def test_an_unknown_tree_gives_those_there_are():
    with pytest.raises(
        LabelNotFoundError,
        match=r"'irvin'\. Expected one of: irvin2019, luo2020\. Did you mean 'irvin2019'\?$",
    ):
        Tree.load("irvin")
    with pytest.raises(LabelNotFoundError, match=r"Expected one of: irvin2019, luo2020\.$"):
        Tree.load("zzz")


def test_trees_are_read_by_name_and_synonyms_resolve(trees):
    read = trees("a,Pleural Effusion,Pleural Other,me\nb,Edema,Opacity,you\n")
    assert {name: tree.parents for name, tree in read.items()} == {
        "a": {"Effusion": "Pleural Other"},
        "b": {"Edema": "Lung Opacity"},
    }


def test_a_child_has_one_parent(trees):
    with pytest.raises(
        MappingError, match=r"hierarchy\.csv, line 3: expected one parent for each child, got 'Edema'"
    ):
        trees("x,Edema,Lung Opacity,\nx,Edema,Pneumonia,\n")


def test_an_unknown_finding_is_named_with_its_line(trees):
    with pytest.raises(MappingError, match=r"hierarchy\.csv, line 2: .*Oedem"):
        trees("x,Pneumonia,Oedem,\n")


@pytest.mark.parametrize("body", ["x,Edema,Edema,\n", "x,Edema,Mass,\nx,Mass,Edema,\n"])
def test_a_tree_has_no_cycle(trees, body):
    with pytest.raises(MappingError, match=r"hierarchy\.csv, line"):
        trees(body)
