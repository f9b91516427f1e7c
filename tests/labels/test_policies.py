from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.labels.cells import chexpert_rows, nih_rows
from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels import (
    POLICIES,
    U_IGNORE,
    U_ONES,
    U_ONES_LSR,
    U_ZEROS,
    U_ZEROS_LSR,
    LabelMatrix,
    LabelTable,
    Policy,
)

NAN = np.nan
# positive, negative, uncertain, blank (Irvin 2019; Pham 2019)
COLUMN = ({"Edema": 1}, {"Edema": 0}, {"Edema": -1}, {})
PUBLISHED = {"U-Ignore": NAN, "U-Zeros": 0, "U-Ones": 1}
RANGES = {"U-Ones+LSR": (0.55, 0.85, 0.7), "U-Zeros+LSR": (0.0, 0.3, 0.15)}


def edema(rows=COLUMN, keys=None):
    return LabelTable.load("chexpert").apply(chexpert_rows(*rows), keys=keys).relabel(["Edema"])


def uncertain(count, *labels, keys=None):
    rows = [dict.fromkeys(labels or ("Edema",), -1)] * count
    matrix = LabelTable.load("chexpert").apply(chexpert_rows(*rows), keys=keys)
    return matrix.relabel([label.removeprefix("Pleural ") for label in labels or ("Edema",)])


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_policy(name):
    targets = edema().targets(POLICIES[name])
    np.testing.assert_array_equal(targets, np.array([[1], [0], [PUBLISHED[name]], [NAN]], np.float32))
    assert (targets.dtype, targets.flags.writeable) == (np.float32, False)


@pytest.mark.parametrize("name", RANGES)
def test_a_published_range(name):
    low, high, middle = RANGES[name]
    certain_one, certain_zero, drawn, blank = edema().targets(POLICIES[name])[:, 0]
    assert (certain_one, certain_zero) == (1, 0)
    assert np.float32(low) <= drawn <= np.float32(high)
    assert np.isnan(blank)
    mean = edema().targets(POLICIES[name].with_mean())
    np.testing.assert_array_equal(mean, np.array([[1], [0], [middle], [NAN]], np.float32))


def test_the_published_policies_are_these():
    assert [
        Policy(None), Policy(0.0), Policy(1.0), Policy((0.55, 0.85)), Policy((0.0, 0.3)),
    ] == [U_IGNORE, U_ZEROS, U_ONES, U_ONES_LSR, U_ZEROS_LSR]  # fmt: skip
    assert {name: policy.uncertain for name, policy in POLICIES.items()} == {
        "U-Ignore": None, "U-Zeros": 0, "U-Ones": 1, "U-Ones+LSR": (0.55, 0.85), "U-Zeros+LSR": (0, 0.3),
    }  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
def test_draws_fill_their_range(name):
    low, high, middle = RANGES[name]
    drawn = uncertain(20_000).targets(POLICIES[name])[:, 0]
    width = high - low
    assert np.float32(low) <= drawn.min() < low + 0.01
    assert high - 0.01 < drawn.max() <= np.float32(high)
    # variance of a uniform draw: width² / 12; five standard errors of the mean
    assert abs(drawn.mean(dtype=float) - middle) < 5 * width / np.sqrt(12 * 20_000)
    assert abs(drawn.var(dtype=float) / (width**2 / 12) - 1) < 0.05
    assert len(np.unique(drawn)) > 19_000


def test_a_draw_that_never_changes():
    # 0.55 + 0.3 · 0.6945571957229775, the stored draw of this key
    drawn = uncertain(1, keys=["00000001_000.png"]).targets(U_ONES_LSR)
    assert drawn[0, 0] == np.float32(0.55 + (0.85 - 0.55) * 0.6945571957229775)


def test_draws_are_frozen_unless_an_epoch_is_given():
    matrix = uncertain(50)
    first = matrix.targets(U_ONES_LSR)
    np.testing.assert_array_equal(first, matrix.targets(U_ONES_LSR))
    np.testing.assert_array_equal(first, U_ONES_LSR(matrix))
    np.testing.assert_array_equal(first, matrix.targets(U_ONES_LSR, epoch=0))
    assert (first != matrix.targets(U_ONES_LSR, epoch=1)).all()


def test_draws_differ_between_findings_seeds_epochs_and_keys():
    keys = [f"{number}.png" for number in range(50)]
    base = uncertain(50, "Edema", "Pleural Effusion", keys=keys)
    targets = base.targets(U_ONES_LSR)
    assert (targets[:, 0] != targets[:, 1]).all()
    assert (targets != base.targets(U_ONES_LSR.with_seed(1))).all()
    assert (targets != base.targets(U_ONES_LSR, epoch=3)).all()
    assert len(np.unique(targets)) == 100
    other = uncertain(50, "Edema", "Pleural Effusion", keys=[f"x{key}" for key in keys])
    assert (targets != other.targets(U_ONES_LSR)).all()


def test_draws_stay_after_select_concat_relabel_and_permutation():
    matrix = uncertain(40, "Edema", "Pleural Effusion", keys=[f"{n}.png" for n in range(40)])
    targets = matrix.targets(U_ZEROS_LSR, epoch=2)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(matrix.select(order).targets(U_ZEROS_LSR, epoch=2), targets[order])
    np.testing.assert_array_equal(matrix.select([7]).targets(U_ZEROS_LSR, epoch=2), targets[[7]])
    other = LabelTable.load("nih").apply(nih_rows("Edema", "Mass"), keys=["n", "m"])
    joined = LabelMatrix.concat([other.relabel(["Edema", "Effusion"]), matrix])
    np.testing.assert_array_equal(joined.targets(U_ZEROS_LSR, epoch=2)[2:], targets)
    swapped = matrix.relabel(["Effusion", "Mass", "Edema"]).targets(U_ZEROS_LSR, epoch=2)
    np.testing.assert_array_equal(swapped[:, [2, 0]], targets)


def test_one_key_in_two_datasets_has_one_draw():
    one, two = uncertain(1, keys=["a"]), uncertain(3, keys=["b", "c", "a"])
    assert one.targets(U_ONES_LSR)[0, 0] == two.targets(U_ONES_LSR)[2, 0]


def test_a_range_of_no_width_is_its_number():
    assert uncertain(3).targets(Policy(uncertain=(0.25, 0.25))).tolist() == [[0.25]] * 3


@pytest.mark.parametrize("fill", [0, 0.0, 0.25, 1])
def test_unmentioned_is_filled(fill):
    targets = edema().targets(U_IGNORE.with_unmentioned(fill))
    np.testing.assert_array_equal(targets, np.array([[1], [0], [NAN], [fill]], np.float32))


def test_unmentioned_is_filled_where_the_dataset_labels_the_finding_only():
    row = LabelTable.load("chexpert").apply(chexpert_rows({"No Finding": 1})).relabel(
        ["Edema", "Support Devices", "Hernia", "Mass"]
    )  # fmt: skip
    np.testing.assert_array_equal(
        row.targets(U_ONES.with_unmentioned(1.0)), np.array([[0, 1, NAN, NAN]], np.float32)
    )


def test_per_label_policies_by_canonical_name_or_synonym():
    rows = ({"Edema": -1, "Pleural Effusion": -1, "Lung Opacity": -1},)
    matrix = LabelTable.load("chexpert").apply(chexpert_rows(*rows)).relabel(
        ["Edema", "Effusion", "Lung Opacity"]
    )  # fmt: skip
    policy = U_ONES.for_labels({"pleural effusion": U_ZEROS, "Airspace Opacity": U_IGNORE})
    assert policy.per_label == (("Effusion", U_ZEROS), ("Lung Opacity", U_IGNORE))
    np.testing.assert_array_equal(matrix.targets(policy), np.array([[1, 0, NAN]], np.float32))


def test_a_per_label_policy_says_all_of_its_label():
    matrix = LabelTable.load("chexpert").apply(chexpert_rows({})).relabel(["Edema", "Effusion"])
    policy = U_ONES.with_unmentioned(0.0).for_labels({"Edema": U_ZEROS, "Effusion": Policy(unmentioned=0.5)})
    np.testing.assert_array_equal(matrix.targets(policy), np.array([[NAN, 0.5]], np.float32))
    # with_unmentioned afterwards holds for all
    np.testing.assert_array_equal(matrix.targets(policy.with_unmentioned(1.0)), np.ones((1, 2), np.float32))


def test_for_labels_adds_to_and_replaces_what_was_there():
    policy = U_ONES.for_labels({"Edema": U_ZEROS, "Mass": U_ZEROS}).for_labels(
        {"oedema": U_IGNORE, "Hernia": U_ONES}
    )
    assert policy.per_label == (("Edema", U_IGNORE), ("Mass", U_ZEROS), ("Hernia", U_ONES))


def test_the_seed_of_the_whole_holds_for_per_label_policies():
    matrix = uncertain(5)
    special = Policy(seed=7).for_labels({"Edema": U_ONES_LSR.with_seed(3)})
    np.testing.assert_array_equal(matrix.targets(special), matrix.targets(U_ONES_LSR.with_seed(7)))


def test_the_mean_holds_for_per_label_policies_and_keeps_the_rest():
    policy = U_ONES_LSR.with_unmentioned(0.0).with_seed(5).for_labels({"Edema": U_ZEROS_LSR, "Mass": U_ONES})
    mean = policy.with_mean()
    assert (mean.uncertain, mean.unmentioned, mean.seed) == (0.7, 0.0, 5)
    assert [inner.uncertain for _, inner in mean.per_label] == [0.15, 1.0]
    assert U_IGNORE.with_mean() == U_IGNORE


EXPECTED = r"expected a target in \[0, 1\] or None, got "
RANGE = r"^uncertain: expected a range \(low, high\) with low <= high, got "
WRONG = [
    ({"uncertain": NAN}, rf"^uncertain: {EXPECTED}nan\.$"),
    ({"uncertain": 2}, rf"^uncertain: {EXPECTED}2\.$"),
    ({"uncertain": -1}, rf"^uncertain: {EXPECTED}-1\.$"),
    ({"uncertain": True}, rf"^uncertain: {EXPECTED}True\.$"),
    ({"uncertain": "U-Ones"}, rf"^uncertain: {EXPECTED}'U-Ones'\.$"),
    ({"uncertain": [0.1, 0.2]}, rf"^uncertain: {EXPECTED}\[0\.1, 0\.2\]\.$"),
    ({"uncertain": (0.8, 0.2)}, RANGE + r"\(0\.8, 0\.2\)\.$"),
    ({"uncertain": (0.1,)}, RANGE + r"\(0\.1,\)\.$"),
    ({"uncertain": (0.1, 0.2, 0.3)}, RANGE + r"\(0\.1, 0\.2, 0\.3\)\.$"),
    ({"uncertain": (0.1, NAN)}, rf"^uncertain: {EXPECTED}nan\.$"),
    ({"uncertain": (-0.1, 0.2)}, rf"^uncertain: {EXPECTED}-0\.1\.$"),
    ({"uncertain": (0.1, 1.2)}, rf"^uncertain: {EXPECTED}1\.2\.$"),
    ({"uncertain": (False, True)}, rf"^uncertain: {EXPECTED}False\.$"),
    ({"uncertain": (None, 0.5)}, r"^uncertain: expected"),
    ({"unmentioned": NAN}, rf"^unmentioned: {EXPECTED}nan\.$"),
    ({"unmentioned": 1.5}, rf"^unmentioned: {EXPECTED}1\.5\.$"),
    ({"unmentioned": False}, rf"^unmentioned: {EXPECTED}False\.$"),
    ({"unmentioned": (0.1, 0.2)}, rf"^unmentioned: {EXPECTED}\(0\.1, 0\.2\)\.$"),
    (
        {"per_label": (("Edema", U_ONES), ("oedema", U_ZEROS))},
        r"^per_label: expected one plain policy for each",
    ),
    (
        {"per_label": (("Edema", U_ONES.for_labels({"Mass": U_ZEROS})),)},
        r"^per_label: expected one plain policy",
    ),
    ({"per_label": (("Edema", 0.5),)}, r"^per_label: expected one plain policy"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_is_no_target_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Policy(**arguments)


def test_with_unmentioned_and_for_labels_check_too():
    with pytest.raises(ValueError, match=r"^unmentioned: expected a target"):
        U_ONES.with_unmentioned(2)
    with pytest.raises(LabelNotFoundError, match=r"'Edma'\. Did you mean 'Edema'"):
        U_ONES.for_labels({"Edma": U_ZEROS})


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("U-Ones+LSR", U_ONES_LSR),
        ("u_ones_lsr", U_ONES_LSR),
        ("U-ZEROS", U_ZEROS),
        ("u zeros + lsr", U_ZEROS_LSR),
        ("uignore", U_IGNORE),
        ("U-Ones", U_ONES),
    ],
)
def test_a_policy_by_name(name, policy):
    assert Policy.load(name) == policy


def test_an_unknown_policy_gives_those_there_are():
    known = r"Expected one of: U-Ignore, U-Zeros, U-Ones, U-Ones\+LSR, U-Zeros\+LSR\."
    with pytest.raises(LabelNotFoundError, match=rf"'U-One'\. {known} Did you mean 'U-Ones'"):
        Policy.load("U-One")
    with pytest.raises(LabelNotFoundError, match=rf"'xyzzy'\. {known}$"):
        Policy.load("xyzzy")


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (U_IGNORE, "U-Ignore"),
        (U_ONES_LSR, "U-Ones+LSR"),
        (Policy(uncertain=0.5), "uncertain=0.5"),
        (Policy(uncertain=(0.1, 0.2)), "uncertain=(0.1, 0.2)"),
        (U_ZEROS.with_unmentioned(0.25), "U-Zeros, unmentioned=0.25"),
        (U_ONES.with_unmentioned(0).for_labels({"Edema": U_ZEROS}), "U-Ones, unmentioned=0, Edema: U-Zeros"),
    ],
)
def test_a_policy_as_text(policy, text):
    assert str(policy) == text


def test_policies_are_frozen_values():
    assert U_ONES.with_unmentioned(None) == U_ONES
    assert len({U_ONES, Policy(1.0), U_ONES.with_seed(0), U_ONES.with_seed(1)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        U_ONES.uncertain = 0.0


def test_a_policy_leaves_the_codes_as_they_are():
    matrix = edema()
    before = matrix.codes.copy()
    matrix.targets(U_ONES_LSR.with_unmentioned(0.0))
    np.testing.assert_array_equal(matrix.codes, before)
    assert matrix.codes[2, 0] == -1
