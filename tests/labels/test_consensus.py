"""Several readers of an image: the rule that joins them, cell by cell, by hand."""

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from xrdatasets.labels import LabelTable
from xrdatasets.labels.consensus import Readings, agree, check_consensus

N, U = "never", "fillable"
# votes of an image's readers: + yes, - no, ? uncertain, . blank that a policy may fill
VOTES = [
    # votes, any, majority, all, mean (code, target)
    ("+", 1, 1, 1, 1),
    ("-", 0, 0, 0, 0),
    ("?", -1, -1, -1, 1 / 2),
    (".", U, U, U, U),
    ("+++", 1, 1, 1, 1),
    ("++-", 1, 1, 0, 2 / 3),
    ("+--", 1, 0, 0, 1 / 3),
    ("---", 0, 0, 0, 0),
    ("+-", 1, -1, 0, 1 / 2),
    ("+?", 1, -1, -1, 3 / 4),
    ("-?", -1, -1, 0, 1 / 4),
    ("++?", 1, 1, -1, 5 / 6),
    ("--?", -1, 0, 0, 1 / 6),
    ("++.", 1, 1, N, 1),
    ("--.", N, 0, 0, 0),
    ("+.", 1, -1, N, 1),
    ("-.", N, N, 0, 0),
    ("+-.", 1, -1, 0, 1 / 2),
    ("++--", 1, -1, 0, 1 / 2),
    ("+++++-", 1, 1, 0, 5 / 6),
    ("+-----", 1, 0, 0, 1 / 6),
]
CODE = {"+": 1.0, "-": 0.0, "?": -1.0, ".": np.nan}


@pytest.fixture
def table(tmp_path):
    def make(*rules, absent="unmentioned"):
        path = tmp_path / "own.csv"
        path.write_text("\n".join(["column,source,target,relation,note,reference", *rules]) + "\n")
        return LabelTable.read(path, dataset="own", absent=absent)

    return make


def joined(table, votes, how):
    frame = pd.DataFrame({"a": [CODE[vote] for vote in votes]})
    return agree(table.apply(frame), np.array([0, len(votes)]), how, keys=np.array(["1"], dtype=object))


def cell(matrix):
    code = float(matrix.relabel(["Edema"]).codes[0, 0])
    if np.isnan(code):
        return U if matrix.relabel(["Edema"]).unmentioned[0, 0] else N
    return code


@pytest.mark.parametrize(("votes", "any_", "majority", "all_", "mean"), VOTES)
def test_one_image(table, votes, any_, majority, all_, mean):
    own = table("a,,Edema,exact,,")
    assert cell(joined(own, votes, "any")) == any_
    assert cell(joined(own, votes, "majority")) == majority
    assert cell(joined(own, votes, "all")) == all_
    matrix = joined(own, votes, "mean").relabel(["Edema"])
    if isinstance(mean, str):
        assert cell(matrix) == mean
        return
    assert cell(matrix) == (mean if mean in (0, 1) else -1)
    for policy in (xr.U_IGNORE, xr.U_ZEROS, xr.U_ONES, xr.U_ONES_LSR):
        # the share is a target already, whatever is made of what a reader calls uncertain
        assert policy(matrix)[0, 0] == pytest.approx(mean)
    counts = matrix.counts().loc["Edema"]
    assert counts.sum() == 1
    assert counts["uncertain"] == (0 < mean < 1)


def test_votes_for_a_finding_may_come_by_different_terms(table):
    own = table("rib,,Fracture,narrower,,", "clavicle,,Fracture,narrower,,", absent="negative")
    readers = pd.DataFrame({"rib": [1, 0, 0], "clavicle": [0, 1, 0]})
    matrix = agree(own.apply(readers), np.array([0, 3]), "majority", keys=np.array(["1"], dtype=object))
    assert matrix.relabel(["Fracture"]).codes[0, 0] == 1


def test_a_reader_who_says_something_wider_leaves_any_open(table):
    own = table("*,nodule or mass,Nodule,broader,,", "*,nodule,Nodule,exact,,", absent="negative")
    lists = pd.Series(["nodule or mass", "other", "other"], name="list")
    own = table(
        "*,nodule or mass,Nodule,broader,,", "*,nodule,Nodule,exact,,", "*,other,,,,", absent="negative"
    )
    by = {
        how: agree(own.apply(lists), np.array([0, 3]), how, keys=np.array(["1"], dtype=object)).relabel(
            ["Nodule"]
        )
        for how in ("any", "majority")
    }
    assert np.isnan(by["any"].codes[0, 0])
    assert not by["any"].unmentioned[0, 0]
    assert by["majority"].codes[0, 0] == 0


def test_images_do_not_mix(table):
    own = table("a,,Edema,exact,,")
    frame = pd.DataFrame({"a": [1.0, 0.0, 0.0, 1.0, 1.0]})
    matrix = agree(own.apply(frame), np.array([0, 1, 3, 5]), "all", keys=np.array(list("xyz"), dtype=object))
    assert matrix.relabel(["Edema"]).codes[:, 0].tolist() == [1, 0, 1]
    assert list(matrix.keys) == ["x", "y", "z"]


def test_readings_are_chosen_by_image(table):
    own = table("a,,Edema,exact,,")
    terms = own.read_terms(pd.DataFrame({"a": [1.0, 0.0, np.nan, -1.0, np.nan]}))
    readings = Readings(terms, np.array([0, 1, 4, 5]))
    np.testing.assert_array_equal(readings.codes[:, 0], [1, -0.5, np.nan])
    chosen = readings.select(np.array([1, 0, 1]))
    assert len(chosen) == 3
    assert chosen.starts.tolist() == [0, 3, 4, 7]
    np.testing.assert_array_equal(chosen.image(2).codes[:, 0], [0, np.nan, -1])


@pytest.mark.parametrize("how", ["some", None, 1])
def test_an_unknown_rule(how):
    with pytest.raises(ValueError, match=r"consensus: expected 'any', 'majority', 'all', 'mean', got"):
        check_consensus(how)
