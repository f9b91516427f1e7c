"""The experiments in ``benchmarks/experiments``: their data are what they say, and each runs in small."""

import gzip
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.experiments import (
    assemble_digits,
    digit_pairs,
    luo_digits,
    mnist,
    novel_digit,
    phantom_hospitals,
    phantom_tree,
    report,
)
from benchmarks.experiments.loops import Recipe, Trainer, train
from benchmarks.experiments.networks import digit_network, scores
from benchmarks.experiments.results import Results, difference, spread
from benchmarks.experiments.views import digit_views
from xrdatasets.models import BranchHead, LinearHead


@pytest.fixture(scope="module")
def digits():
    """400 pictures in which a digit is the row of a bright bar."""
    labels = torch.arange(400) % 10
    images = torch.rand(400, 1, 28, 28, generator=torch.Generator().manual_seed(0)) / 4
    images[torch.arange(400), 0, 4 + 2 * labels] = 1.0
    return mnist.Digits(images, labels)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


# reading


def test_the_idx_files_are_read_with_their_shape_and_in_their_order(tmp_path):
    pixels = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", pixels)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array([7, 2, 1], dtype=np.uint8))
    found = mnist.read_digits(tmp_path, "test")
    assert found.labels.tolist() == [7, 2, 1]
    np.testing.assert_array_equal((found.images[:, 0] * 255).round().numpy(), pixels)


def test_a_file_that_is_no_idx_file_of_bytes_is_refused(tmp_path):
    (tmp_path / "images").write_bytes(b"\0\0\x0d\x01" + bytes(8))
    with pytest.raises(ValueError, match="expected an idx file of bytes"):
        mnist.read_idx(tmp_path / "images")


# draws


def test_parts_are_disjoint_and_depend_on_the_seed_alone(digits):
    marked = mnist.Digits(torch.arange(400).reshape(400, 1, 1, 1), digits.labels)
    first, second = mnist.draw(marked, (150, 100), seed=3)
    rows = torch.cat([first.images, second.images]).flatten()
    assert len(rows.unique()) == 250
    again = mnist.draw(marked, (150, 100), seed=3)
    assert again[1].images.equal(second.images)
    assert not mnist.draw(marked, (150, 100), seed=4)[0].images.equal(first.images)


def test_a_pair_shows_both_digits_squeezed_and_has_one_label_where_they_are_equal(digits):
    images, targets = mnist.pairs(digits, 200, seed=0)
    assert images.shape == (200, 1, 28, 28)
    left, right = images[..., :14], images[..., 14:]
    for half in (left, right):
        # the bar of the fixture says which digit a half shows
        shown = (half.mean(3)[:, 0].argmax(1) - 4) // 2
        assert targets[torch.arange(200), shown].eq(1).all()
    count = targets.sum(1)
    same = left.mean(3)[:, 0].argmax(1) == right.mean(3)[:, 0].argmax(1)
    assert same.any()
    assert count.equal(torch.where(same, 1.0, 2.0))


def test_the_other_domain_is_flatter_and_stays_in_range(digits):
    changed = mnist.worn(digits.images, seed=0)
    assert changed.min() >= 0
    assert changed.max() <= 1
    # 0.25 + 0.6 x inside, where the blur does not see the edge; the fixture's mean is known
    inside = digits.images[:, :, 1:-1, 1:-1].mean()
    assert changed[:, :, 2:-2, 2:-2].mean().item() == pytest.approx(0.25 + 0.6 * inside.item(), abs=0.02)
    assert mnist.worn(digits.images, seed=0).equal(changed)


# label masks


def test_luo_labels_0_to_6_in_the_one_and_3_to_9_in_the_other(digits):
    sources = luo_digits.datasets(digits, 0, (30, 60))
    assert sources.sizes == (30, 60)
    known = [(~part.isnan()) for part in sources.targets.split(sources.sizes)]
    assert known[0].all(0).nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert known[1].all(0).nonzero().flatten().tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert known[0].any(0).sum() == known[1].any(0).sum() == 7
    assert sources.sets.common.nonzero().flatten().tolist() == list(luo_digits.COMMON)
    assert sources.sets.internal_only.nonzero().flatten().tolist() == list(luo_digits.ONLY)


@pytest.mark.parametrize("name", list(assemble_digits.PROTOCOLS))
def test_assembled_datasets_hide_what_they_do_not_label_and_nothing_else(digits, name):
    protocol = assemble_digits.PROTOCOLS[name]
    partial, full = assemble_digits.datasets(digits, protocol, seed=1, images=40)
    assert partial.images.equal(full.images)
    assert not full.targets.isnan().any()
    for part, whole, known in zip(
        partial.targets.split(40), full.targets.split(40), protocol.known, strict=True
    ):
        columns = [protocol.digits.index(digit) for digit in known]
        hidden = [column for column in range(len(protocol.digits)) if column not in columns]
        assert part[:, columns].equal(whole[:, columns])
        assert part[:, hidden].isnan().all()


def test_the_two_tables_have_the_digits_of_the_paper():
    assert assemble_digits.OVERLAP.known == ((1, 2, 3, 4, 5), (3, 4, 5, 6, 7))
    odd, even = assemble_digits.ODD_EVEN.known
    assert sorted(odd + even) == list(range(10))
    assert all(digit % 2 for digit in odd)


def test_the_novel_digit_is_not_in_the_training_set(digits):
    sources = novel_digit.dataset(digits, seed=0, images=300)
    assert len(sources.images) == sources.sizes[0] < 300
    # each image shows one of 1 to 9
    assert sources.targets.sum(1).eq(1).all()


def test_half_of_an_image_is_blank_where_digits_are_squeezed(digits):
    shown = digit_pairs.halves(digits.images, seed=0)
    blank = [half.flatten(1).eq(0).all(1) for half in (shown[..., :14], shown[..., 14:])]
    assert (blank[0] ^ blank[1]).all()
    assert blank[0].any()
    assert blank[1].any()


@pytest.fixture(scope="module")
def hospitals():
    return {key: phantom_hospitals.drawn(key, 30, seed=5) for key in phantom_hospitals.HOSPITALS}


def test_disjoint_label_sets_share_the_findings_out_among_the_hospitals(hospitals):
    table = torch.stack(list(phantom_hospitals.label_sets(hospitals, "disjoint").values()))
    assert table.sum(0).eq(1).all()
    assert table.sum(1).tolist() == [7, 7, 7]


def test_overlapping_label_sets_are_the_vocabularies_of_the_hospitals(hospitals):
    table = torch.stack(list(phantom_hospitals.label_sets(hospitals, "overlapping").values()))
    assert table.sum(1).tolist() == [14, 16, 13]
    assert table.any(0).all()
    assert table.sum(0).max() == 3


@pytest.mark.parametrize("kind", ["overlapping", "disjoint"])
def test_hospitals_are_labelled_with_the_truth_where_they_label(hospitals, kind):
    known = phantom_hospitals.label_sets(hospitals, kind)
    sources = phantom_hospitals.sources(hospitals, known)
    assert sources.labelled.equal(torch.stack(list(known.values())))
    for part, (key, each) in zip(sources.targets.split(sources.sizes), hospitals.items(), strict=True):
        assert part[:, known[key]].equal(each.truth[:, known[key]])
    assert not phantom_hospitals.sources(hospitals, None).targets.isnan().any()


def test_training_and_test_patients_of_the_phantom_are_others():
    assert phantom_hospitals.TEST_SEED not in range(100)
    assert phantom_tree.TEST_SEED not in range(100)


def test_cells_are_parted_by_what_each_hospital_labels():
    known = {"A": torch.tensor([True, False]), "B": torch.tensor([True, True])}
    found = np.array([[0.9, 0.5], [0.7, np.nan]])
    assert phantom_hospitals.cells(found, known) == pytest.approx({"own": 0.8, "missing": 0.5})


def test_policies_differ_where_a_report_is_uncertain_and_blank_is_negative():
    made = {policy: phantom_tree.targets(300, 2, policy) for policy in phantom_tree.POLICIES}
    uncertain = made["U-Ignore"].isnan()
    assert uncertain.any()
    certain = {policy: values[~uncertain] for policy, values in made.items()}
    assert all(values.equal(certain["U-Ignore"]) for values in certain.values())
    assert set(certain["U-Ignore"].tolist()) == {0.0, 1.0}
    assert made["U-Zeros"][uncertain].eq(0).all()
    assert made["U-Ones"][uncertain].eq(1).all()
    for policy, low, high in (("U-Zeros+LSR", 0.0, 0.3), ("U-Ones+LSR", 0.55, 0.85)):
        drawn = made[policy][uncertain]
        assert low <= drawn.min() < drawn.max() <= high


def test_the_tree_is_that_of_chexpert():
    names = [phantom_tree.FINDINGS[parent] if parent >= 0 else "" for parent in phantom_tree.PARENTS]
    assert dict(zip(phantom_tree.FINDINGS, names, strict=True)) == dict.fromkeys(
        phantom_tree.FINDINGS, ""
    ) | {
        "Cardiomegaly": "Enlarged Cardiomediastinum",
        "Lung Lesion": "Lung Opacity",
        "Edema": "Lung Opacity",
        "Consolidation": "Lung Opacity",
        "Pneumonia": "Consolidation",
        "Atelectasis": "Lung Opacity",
    }


# runs


@pytest.mark.parametrize("run", list(luo_digits.RUNS))
def test_each_run_of_luo_trains(digits, run):
    sources = luo_digits.datasets(digits, 0, (30, 60))
    sources = luo_digits.alone(sources) if run == "single" else sources
    recipe = replace(luo_digits.RUNS[run], epochs=3, drop=2, each=15)
    said = [_luo_trained(digits, sources, recipe) for _ in range(2)]
    assert said[0].isfinite().all()
    assert said[0].equal(said[1])  # the same seed, the same bits


def _luo_trained(digits, sources, recipe):
    network = digit_network(0, BranchHead, 10, width=4)
    before = scores(network, digits.images)
    after = scores(train(network, sources, recipe, 0), digits.images)
    assert not after.equal(before)
    return after


def test_one_dataset_and_two_make_as_many_steps(digits):
    sources = luo_digits.datasets(digits, 0, luo_digits.SIZES)
    counts = []
    for run, of in (("single", luo_digits.alone(sources)), ("joint", sources)):
        recipe = luo_digits.RUNS[run]
        network = digit_network(0, BranchHead, 10, width=4)
        trainer = Trainer(network, of, recipe, 0, None, None)
        counts.append((len(trainer.shares) * recipe.epochs, len(trainer.shares) * recipe.drop))
    assert counts == [(420, 270), (420, 270)]


def test_runs_of_a_seed_begin_with_the_same_backbone():
    states = [digit_network(4, head, 10).backbone.state_dict() for head in (LinearHead, BranchHead)]
    assert all(states[0][name].equal(states[1][name]) for name in states[0])


def test_ensembled_predictions_count_from_the_second_epoch_on(digits):
    sources = luo_digits.datasets(digits, 0, (30, 60))
    recipe = Recipe(epochs=1, each=15, rate=1e-3, reduction="luo")
    plain, ensembled = (
        scores(train(digit_network(0, BranchHead, 10, width=4), sources, each, 0), digits.images)
        for each in (recipe, replace(recipe, ensemble=30.0, threshold=0.0))
    )
    assert plain.equal(ensembled)
    later = [
        scores(train(digit_network(0, BranchHead, 10, width=4), sources, each, 0), digits.images)
        for each in (replace(recipe, epochs=2), replace(recipe, epochs=2, ensemble=30.0, threshold=0.0))
    ]
    assert not later[0].equal(later[1])


@pytest.mark.parametrize("name", list(assemble_digits.PROTOCOLS))
def test_each_protocol_of_assemble_runs_once_and_is_not_repeated(digits, name, tmp_path):
    protocol = assemble_digits.PROTOCOLS[name]
    short = {
        run: (replace(recipe, epochs=2, each=8, warm_up=1), head)
        for run, (recipe, head) in protocol.runs.items()
    }
    protocol = protocol._replace(runs=short)
    results = Results(tmp_path / "found.csv")
    assemble_digits.run_seed(results, protocol, 0, digits, digits, images=16)
    assert results.runs == list(protocol.runs)
    before = results.file.read_bytes()
    assemble_digits.run_seed(Results(results.file), protocol, 0, digits, digits, images=16)
    assert results.file.read_bytes() == before


def test_pseudo_labels_wait_for_the_warm_up(digits):
    partial, _ = assemble_digits.datasets(digits, assemble_digits.OVERLAP, seed=0, images=20)
    recipe = Recipe(epochs=1, each=8, rate=1e-3, warm_up=1)
    said = [
        assemble_digits.trained(0, partial, each, (LinearHead, {}), 7, digits.images[:50])
        for each in (
            recipe,
            replace(recipe, pseudo=1.0, consistency=1.0),
            replace(recipe, pseudo=1.0, warm_up=0),
        )
    ]
    assert said[0].equal(said[1])
    assert not said[0].equal(said[2])


def test_the_novel_digit_and_pairs_of_digits_run(digits):
    sources = novel_digit.dataset(digits, seed=0, images=100)
    network = digit_network(0, outputs=9)
    train(network, sources, replace(novel_digit.RECIPE, epochs=1, each=16), 0, *digit_views())
    found = novel_digit.measured(scores(network, digits.images), digits.labels)
    assert list(found) == ["1 - max", "- sum", "entropy", "known"]
    assert all(0 <= value <= 1 for value in found.values())
    recipe = replace(digit_pairs.RECIPE, epochs=1, each=16)
    network = train(digit_network(0), digit_pairs.dataset(digits, "half", 0, 50), recipe, 0, *digit_views())
    assert scores(network, digits.images).shape == (400, 10)


# few images lack some findings
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
def test_the_hospitals_run(hospitals, tmp_path, monkeypatch):
    short = {"epochs": 2, "each": 8, "drop": 1, "warm_up": 1}
    monkeypatch.setattr(phantom_hospitals, "JOINT", replace(phantom_hospitals.JOINT, **short))
    sets = {
        kind: {run: replace(recipe, **short) for run, recipe in runs.items()}
        for kind, runs in phantom_hospitals._SETS.items()
    }
    monkeypatch.setattr(phantom_hospitals, "_SETS", sets)
    monkeypatch.setattr(phantom_hospitals, "NETWORK", 1)
    results = Results(tmp_path / "found.csv")
    phantom_hospitals.run_seed(results, 0, hospitals, count=16)
    expected = {name for kind in sets for name in (f"{kind}: single", f"{kind}: full")} | {
        f"{kind}: {run}" for kind, runs in sets.items() for run in runs
    }
    assert set(results.runs) == expected | {"full"}


@pytest.mark.parametrize("way", list(phantom_tree.WAYS | phantom_tree.ABLATIONS))
def test_conditional_training_never_makes_a_child_likelier_than_its_parent(way):
    how = (phantom_tree.WAYS | phantom_tree.ABLATIONS)[way]
    images = torch.rand(60, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2048 - 1024
    wanted = phantom_tree.targets(60, 0, "U-Ones")
    stages = phantom_tree.TwoStages(first=1, second=1)
    network = phantom_tree.trained(0, images, wanted, how, stages)
    said = scores(network, images)
    found = phantom_tree.measured(said, (wanted > 0.5).float())
    assert said.isfinite().all()
    if how.first != "flat":
        assert found["upside down"] == 0


# results


def test_differences_are_paired_by_seed(tmp_path):
    results = Results(tmp_path / "found.csv")
    for seed, (one, other) in enumerate([(0.90, 0.80), (0.70, 0.64), (0.80, 0.78)]):
        results.add(seed, "one", auc=one)
        results.add(seed, "other", auc=other)
    results.add(7, "one", auc=0.1)  # without its partner
    mean, error, count = difference(Results(results.file), "one", "other", "auc")
    # of 10, 6 and 2 points the mean is 6, the standard deviation 4
    assert (mean, error, count) == (pytest.approx(6), pytest.approx(4 / math.sqrt(3)), 3)
    assert spread(results, "other", "auc")[:2] == pytest.approx((74, math.sqrt((36 + 100 + 16) / 2)))


def test_an_assertion_has_a_slack_of_two_standard_errors_and_its_tolerance():
    assert report.holds(-1.9, 1.0, 0.0)
    assert not report.holds(-2.1, 1.0, 0.0)
    assert report.holds(-2.1, 1.0, 0.2)


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("luo_digits", list(luo_digits.RUNS)),
        *((f"assemble_digits {key}", list(each.runs)) for key, each in assemble_digits.PROTOCOLS.items()),
        (
            "phantom_hospitals",
            [
                *phantom_hospitals.RUNS,
                *(f"{k}: {r}" for k in phantom_hospitals._SETS for r in ("single", "full")),
            ],
        ),
        ("phantom_tree", list(phantom_tree.RUNS)),
        ("novel_digit", list(novel_digit.RUNS)),
        ("digit_pairs", list(digit_pairs.RUNS)),
    ],
)
def test_expectations_speak_of_runs_that_there_are(name, runs):
    _, claims = report.EXPERIMENTS[name]
    assert {run for claim in claims for run in (claim.better, claim.worse)} <= set(runs)
    assert all(claim.source for claim in claims)
