"""What holds for every source, space, policy and hierarchy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings, strategies as st

from tests.labels.cells import CHEXPERT, GOOGLE, NIH
from xrdatasets.labels import LabelMatrix, LabelTable, Policy, Tree, all_findings

SETTINGS = settings(max_examples=60, deadline=None)
FINDINGS = tuple(map(str, all_findings()))
LABELS = st.lists(st.sampled_from(FINDINGS), unique=True, max_size=6)
TREES = st.sampled_from(["irvin2019", "luo2020"]).map(Tree.load)
TARGET = st.floats(0, 1)
UNCERTAIN = st.none() | TARGET | st.tuples(TARGET, TARGET).map(lambda pair: tuple(sorted(pair)))
PLAIN = st.builds(Policy, uncertain=UNCERTAIN, unmentioned=st.none() | TARGET, seed=st.integers(0, 9))
POLICIES = st.builds(Policy.for_labels, PLAIN, st.dictionaries(st.sampled_from(FINDINGS), PLAIN, max_size=3))
# findings that no row of these releases speaks of
NEVER = {
    "nih": {
        "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum", "Pleural Other",
        "Support Devices", "Tuberculosis", "COVID-19",
    },
    "chexpert": {
        "Infiltration", "Emphysema", "Fibrosis", "Pleural_Thickening", "Nodule", "Mass", "Hernia",
        "Tuberculosis", "COVID-19",
    },
    "nih_google": set(FINDINGS) - {"Fracture", "Pneumothorax", "Lung Opacity", "Nodule", "Mass"},
}  # fmt: skip


@st.composite
def chexpert_frames(draw, *, at_most=5):
    codes = st.sampled_from([1.0, 0.0, -1.0, np.nan, np.nan])
    rows = draw(st.lists(st.lists(codes, min_size=14, max_size=14), min_size=1, max_size=at_most))
    return pd.DataFrame(rows, columns=list(CHEXPERT), dtype=float)


@st.composite
def nih_frames(draw, *, at_most=5):
    lists = st.lists(st.sampled_from([*NIH, "No Finding"]), min_size=1, max_size=4, unique=True).map("|".join)
    rows = draw(st.lists(st.none() | lists, min_size=1, max_size=at_most))
    return pd.DataFrame({"Finding Labels": pd.Series(rows, dtype=object)})


@st.composite
def google_frames(draw, *, at_most=5):
    row = st.tuples(*[st.sampled_from(["YES", "NO", None])] * 4)
    rows = draw(st.lists(row, min_size=1, max_size=at_most))
    return pd.DataFrame(rows, columns=list(GOOGLE), dtype=object)


FRAMES = {"chexpert": chexpert_frames, "nih": nih_frames, "nih_google": google_frames}
SOURCES = st.sampled_from(sorted(FRAMES)).flatmap(lambda name: st.tuples(st.just(name), FRAMES[name]()))


@st.composite
def matrices(draw):
    """Labels of one release, in a space of its own."""
    name, frame = draw(SOURCES)
    keys = draw(st.lists(st.text(max_size=8), min_size=len(frame), max_size=len(frame)))
    return LabelTable.load(name).apply(frame, keys=keys).relabel(draw(LABELS))


@st.composite
def mixed(draw):
    """Labels of several releases, closed or not."""
    matrix = LabelMatrix.concat(draw(st.lists(matrices(), min_size=1, max_size=3)))
    return draw(st.just(matrix) | TREES.map(matrix.close))


def same(one, two):
    np.testing.assert_array_equal(one.codes, two.codes)
    np.testing.assert_array_equal(one.unmentioned, two.unmentioned)
    assert one.space.labels == two.space.labels
    assert list(one.keys) == list(two.keys)


@SETTINGS
@given(mixed(), LABELS)
def test_relabel_there_and_back_keeps_everything(matrix, labels):
    there = matrix.relabel(labels)
    same(there.relabel(matrix.space), matrix)
    shared = [label for label in matrix.space.labels if label in labels]
    same(there.relabel(shared), matrix.relabel(shared))


@SETTINGS
@given(mixed(), LABELS, POLICIES)
def test_a_target_does_not_depend_on_the_other_columns(matrix, labels, policy):
    wide = matrix.relabel(FINDINGS).targets(policy)
    columns = [FINDINGS.index(label) for label in labels]
    np.testing.assert_array_equal(matrix.relabel(labels).targets(policy), wide[:, columns])


@SETTINGS
@given(st.lists(matrices(), min_size=1, max_size=3), LABELS, POLICIES, st.integers(0, 3))
def test_concat_equals_its_parts(parts, labels, policy, epoch):
    whole, parts = LabelMatrix.concat(parts).relabel(labels), [part.relabel(labels) for part in parts]
    np.testing.assert_array_equal(whole.codes, np.concatenate([part.codes for part in parts]))
    np.testing.assert_array_equal(whole.unmentioned, np.concatenate([part.unmentioned for part in parts]))
    np.testing.assert_array_equal(
        whole.targets(policy, epoch=epoch),
        np.concatenate([part.targets(policy, epoch=epoch) for part in parts]),
    )


@SETTINGS
@given(matrices(), matrices(), matrices())
def test_concat_is_associative(one, two, three):
    left = LabelMatrix.concat([LabelMatrix.concat([one, two]), three])
    right = LabelMatrix.concat([one, LabelMatrix.concat([two, three])])
    same(left, right)
    assert left.covered == right.covered


@SETTINGS
@given(mixed(), st.data(), POLICIES, st.integers(0, 3))
def test_select_then_targets_is_targets_then_select(matrix, data, policy, epoch):
    rows = data.draw(st.lists(st.integers(-len(matrix), len(matrix) - 1), max_size=6))
    chosen = matrix.select(rows)
    rows = np.array(rows, dtype=int)
    np.testing.assert_array_equal(
        chosen.targets(policy, epoch=epoch), matrix.targets(policy, epoch=epoch)[rows]
    )
    np.testing.assert_array_equal(chosen.codes, matrix.codes[rows])


@SETTINGS
@given(mixed(), st.data(), TREES)
def test_close_and_select_and_relabel_commute(matrix, data, tree):
    rows = data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=4))
    labels = data.draw(LABELS)
    same(matrix.close(tree).select(rows).relabel(labels), matrix.relabel(labels).select(rows).close(tree))


@SETTINGS
@given(mixed(), TREES)
def test_closure_never_changes_a_code_and_adds_what_the_tree_reaches_alone(matrix, tree):
    before, after = matrix.relabel(FINDINGS), matrix.relabel(FINDINGS).close(tree)
    given_codes = ~np.isnan(before.codes)
    np.testing.assert_array_equal(after.codes[given_codes], before.codes[given_codes])
    changed = given_codes != ~np.isnan(after.codes)
    assert {FINDINGS[column] for column in np.nonzero(changed)[1]} <= set(tree.members)
    assert not (after.codes[changed] == -1).any()
    assert not after.unmentioned[changed].any()
    np.testing.assert_array_equal(after.unmentioned[~changed], before.unmentioned[~changed])


@SETTINGS
@given(mixed(), TREES)
def test_closure_is_idempotent(matrix, tree):
    once = matrix.close(tree)
    same(once.close(tree), once)


@SETTINGS
@given(mixed(), TREES)
def test_after_closure_no_positive_child_has_a_silent_parent(matrix, tree):
    given_codes = matrix.relabel(FINDINGS).codes
    closed = matrix.relabel(FINDINGS).close(tree).codes
    for child, parent in tree.parents.items():
        one, other = FINDINGS.index(child), FINDINGS.index(parent)
        positive = given_codes[:, one] == 1
        assert not np.isnan(closed[positive, other]).any()
        assert (closed[positive & np.isnan(given_codes[:, other]), other] == 1).all()


@SETTINGS
@given(mixed(), POLICIES, st.integers(0, 3))
def test_a_policy_touches_uncertain_and_unmentioned_alone(matrix, policy, epoch):
    matrix = matrix.relabel(FINDINGS)
    targets = matrix.targets(policy, epoch=epoch)
    certain = (matrix.codes == 0) | (matrix.codes == 1)
    np.testing.assert_array_equal(targets[certain], matrix.codes[certain])
    assert np.isnan(targets[np.isnan(matrix.codes) & ~matrix.unmentioned]).all()
    known = targets[~np.isnan(targets)]
    assert ((known >= 0) & (known <= 1)).all()


@SETTINGS
@given(SOURCES, POLICIES)
def test_no_policy_fills_what_the_dataset_does_not_label(source, policy):
    name, frame = source
    matrix = LabelTable.load(name).apply(frame).relabel(sorted(NEVER[name]))
    assert np.isnan(matrix.targets(policy)).all()


@SETTINGS
@given(mixed(), PLAIN)
def test_a_policy_says_of_each_uncertain_cell_what_it_promises(matrix, policy):
    matrix = matrix.relabel(FINDINGS)
    targets, uncertain = matrix.targets(policy), matrix.codes == -1
    low, high = policy.uncertain if isinstance(policy.uncertain, tuple) else (policy.uncertain,) * 2
    if low is None:
        assert np.isnan(targets[uncertain]).all()
    else:
        assert (targets[uncertain] >= np.float32(low)).all()
        assert (targets[uncertain] <= np.float32(high)).all()
    fill = np.nan if policy.unmentioned is None else policy.unmentioned
    np.testing.assert_array_equal(
        targets[matrix.unmentioned], np.full(matrix.unmentioned.sum(), fill, np.float32)
    )


@SETTINGS
@given(mixed())
def test_counts_are_those_of_the_codes(matrix):
    counts = matrix.counts()
    codes, silent = matrix.codes, matrix.unmentioned
    assert counts["positive"].tolist() == (codes == 1).sum(0).tolist()
    assert counts["negative"].tolist() == (codes == 0).sum(0).tolist()
    assert counts["uncertain"].tolist() == (codes == -1).sum(0).tolist()
    assert counts["unmentioned"].tolist() == silent.sum(0).tolist()
    assert (counts.sum(axis=1) == len(matrix)).all()


@SETTINGS
@given(mixed())
def test_unmentioned_is_a_kind_of_unknown(matrix):
    assert np.isnan(matrix.codes[matrix.unmentioned]).all()


@SETTINGS
@given(SOURCES, st.sampled_from(FINDINGS), st.none() | TREES)
def test_what_is_explained_is_what_was_applied(source, label, tree):
    name, frame = source
    table = LabelTable.load(name)
    matrix = table.apply(frame)
    codes = (matrix.close(tree) if tree else matrix).relabel([label]).codes[:, 0]
    explained = [table.explain(dict(row), label, tree=tree) for _, row in frame.iterrows()]
    np.testing.assert_array_equal([found.code for found in explained], codes)
    before = matrix.relabel([label]).codes[:, 0]
    assert [found.relation == "closure" for found in explained] == (
        np.isnan(before) & ~np.isnan(codes)
    ).tolist()


@SETTINGS
@given(chexpert_frames(at_most=3), st.permutations(CHEXPERT))
def test_the_order_of_the_columns_does_not_matter(frame, order):
    table = LabelTable.load("chexpert")
    same(table.apply(frame), table.apply(frame[list(order)]))


@SETTINGS
@given(chexpert_frames(at_most=1))
def test_more_evidence_of_one_finding_leaves_the_others(frame):
    assume(frame.loc[0, "Edema"] != 1)
    table = LabelTable.load("chexpert")
    others = [label for label in FINDINGS if label != "Edema"]
    same(table.apply(frame).relabel(others), table.apply(frame.assign(Edema=1.0)).relabel(others))
