"""Concepts: distances against torch and numpy, the papers' worked examples, and what must not be read."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from xrdatasets.evaluation import auc
from xrdatasets.models import PerDatasetHead
from xrdatasets.training.concepts import (
    alignment_penalty,
    class_similarity,
    expand_targets,
    novelty_scores,
)
from xrdatasets.training.losses import masked_bce_with_logits

NAN = torch.nan


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def every(datasets, findings):
    return torch.ones(datasets, findings, dtype=torch.bool)


def vectors(seed=0, shape=(4, 3, 5), dtype=torch.float64):
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return made.requires_grad_()


# --- the penalty

# three datasets, two findings; distances 5, 12, 13 and 0, 3, 3
EXAMPLE = [[[0, 0, 0], [1, 1, 1]], [[3, 4, 0], [1, 1, 1]], [[0, 0, 12], [2, 3, 3]]]


def test_the_worked_example_of_the_penalty():
    """C8."""
    rows = tensor(EXAMPLE).requires_grad_()
    penalty = alignment_penalty(rows, every(3, 2))
    assert penalty.item() == pytest.approx(1.2, abs=1e-12)
    penalty.backward()
    want = tensor([-0.02, -0.08 / 3, -0.1 / 3])
    torch.testing.assert_close(rows.grad[0, 0], want, rtol=0, atol=1e-12)


def test_vectors_that_coincide_have_a_gradient_of_zero():
    """C8: the first two of the second finding do, so that the third alone draws them."""
    rows = tensor(EXAMPLE).requires_grad_()
    alignment_penalty(rows, every(3, 2)).backward()
    want = -0.1 / 3 * tensor([1, 2, 2]) / 3
    for dataset in (0, 1):
        torch.testing.assert_close(rows.grad[dataset, 1], want)
    same = torch.ones(3, 2, 4, requires_grad=True)
    penalty = alignment_penalty(same, every(3, 2))
    penalty.backward()
    assert penalty == 0
    assert torch.equal(same.grad, torch.zeros(3, 2, 4))


@pytest.mark.parametrize("rows", ["labelled", "all"])
def test_the_penalty_is_a_sum_over_findings_of_mean_distances(rows):
    made = vectors()
    trained = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 0]], dtype=torch.bool)
    want = 0.0
    for finding in range(3):
        counted = trained[:, finding].numpy() if rows == "labelled" else np.ones(4, bool)
        chosen = made.detach().numpy()[counted, finding]
        want += pdist(chosen).mean() if len(chosen) > 1 else 0  # one row has nobody to be near to
    got = alignment_penalty(made, trained, strength=0.7, rows=rows)
    assert got.item() == pytest.approx(0.7 * want, rel=1e-12)


@pytest.mark.parametrize("rows", ["labelled", "all"])
def test_gradients_of_the_penalty_are_those_of_finite_differences(rows):
    trained = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 0]], dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda made: alignment_penalty(made, trained, rows=rows), vectors())
    assert torch.autograd.gradgradcheck(lambda made: alignment_penalty(made, trained, rows=rows), vectors())


@pytest.mark.parametrize("wild", [1e30, torch.inf, NAN])
def test_rows_that_were_not_trained_are_not_read(wild):
    made, trained = vectors(), every(4, 3)
    trained[2, 1] = False
    want = alignment_penalty(made, trained)
    want.backward()
    other = made.detach().clone()
    other[2, 1] = wild
    other.requires_grad_()
    penalty = alignment_penalty(other, trained)
    penalty.backward()
    assert penalty.item() == want.item()
    assert torch.equal(other.grad, made.grad)
    assert (other.grad[2, 1] == 0).all()


@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 0, 5), (3, 2, 5)])
def test_without_pairs_the_penalty_is_zero_with_a_graph(shape):
    made = torch.randn(shape, requires_grad=True)
    trained = torch.zeros(shape[:2], dtype=torch.bool)
    trained[0] = True  # one dataset alone
    penalty = alignment_penalty(made, trained)
    assert penalty == 0
    penalty.backward()
    assert torch.equal(made.grad, torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_penalty_is_computed_in_float32(dtype):
    made = vectors(dtype=torch.float32).detach().to(dtype).mul(100).requires_grad_()
    penalty = alignment_penalty(made, every(4, 3))
    penalty.backward()
    assert penalty.dtype == torch.float32
    assert torch.equal(penalty, alignment_penalty(made.detach().float(), every(4, 3)))
    assert made.grad.isfinite().all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(alignment_penalty(made, every(4, 3)), penalty)


def test_the_penalty_compiles_into_one_graph():
    made, trained = vectors(dtype=torch.float32), every(4, 3)
    compiled = torch.compile(alignment_penalty, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(made, trained), alignment_penalty(made, trained))


def test_descent_along_the_penalty_brings_vectors_together():
    made = vectors()
    optimizer = torch.optim.SGD([made], lr=0.05)
    before = alignment_penalty(made, every(4, 3)).item()
    for _ in range(200):
        optimizer.zero_grad()
        alignment_penalty(made, every(4, 3), strength=1.0).backward()
        optimizer.step()
    assert alignment_penalty(made, every(4, 3)).item() < 0.1 * before


# --- a column for each dataset and finding


def test_targets_stand_in_the_block_of_their_dataset():
    """C10: as the columns of the paper's code, all findings of a dataset together."""
    aligned = tensor([[0, NAN, 1], [NAN, NAN, 0]])
    blocks = expand_targets(aligned, torch.tensor([0, 1]), 2)
    want = tensor([[0, NAN, 1, NAN, NAN, NAN], [NAN, NAN, NAN, NAN, NAN, 0]])
    torch.testing.assert_close(blocks.flatten(1), want, equal_nan=True)
    assert blocks.shape == (2, 2, 3)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float16])
def test_targets_without_a_nan_get_a_type_that_has_one(dtype):
    blocks = expand_targets(torch.ones(1, 2, dtype=dtype), torch.tensor([1], dtype=torch.int32), 2)
    assert blocks.dtype == (dtype if dtype.is_floating_point else torch.float32)
    assert blocks[0, 0].isnan().all()
    assert (blocks[0, 1] == 1).all()


def test_an_image_trains_the_rows_of_its_own_dataset_alone():
    head = PerDatasetHead(4, 2, datasets=["a", "b"])
    blocks = expand_targets(torch.tensor([[1.0, NAN], [0.0, NAN]]), torch.tensor([1, 1]), 2)
    masked_bce_with_logits(
        head(torch.randn(2, 4)).flatten(1), blocks.flatten(1), reduction="cohen"
    ).backward()
    assert (head.weight.grad[0] == 0).all()
    assert (head.weight.grad[1, 1] == 0).all()  # known to nobody
    assert (head.weight.grad[1, 0] != 0).all()


def test_the_loss_of_blocks_is_the_sum_of_the_datasets_losses():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 2, 3, generator=generator)
    targets, source = torch.rand(6, 3, generator=generator).round(), torch.tensor([0, 1, 1, 0, 1, 1])
    blocks = expand_targets(targets, source, 2)
    got = masked_bce_with_logits(logits.flatten(1), blocks.flatten(1), reduction="cohen")
    want = sum(
        masked_bce_with_logits(logits[source == d, d], targets[source == d], reduction="cohen")
        for d in (0, 1)
    )
    torch.testing.assert_close(got, want)


def test_expanding_compiles_into_one_graph():
    targets, source = torch.tensor([[0.0, 1.0], [1.0, NAN]]), torch.tensor([0, 1])
    compiled = torch.compile(expand_targets, fullgraph=True, backend="eager")
    torch.testing.assert_close(
        compiled(targets, source, 2), expand_targets(targets, source, 2), equal_nan=True
    )


# --- how alike findings look

FEATURES = [[1, 0], [3, 0], [0, 2], [0, 4], [2, 2]]
LABELS = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 1]]


def test_the_worked_example_of_similarity():
    """A6: seen from the mean of all features."""
    got = class_similarity(tensor(FEATURES), tensor(LABELS))
    want = tensor([[1, -1, 0], [-1, 1, 0], [0, 0, 1]])
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_a_common_offset_of_the_features_changes_nothing():
    """Without the shift, A6 has 0.2425 between the first two."""
    moved = class_similarity(tensor(FEATURES) + 100, tensor(LABELS))
    torch.testing.assert_close(moved, class_similarity(tensor(FEATURES), tensor(LABELS)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_similarity_is_that_of_numpy(dtype):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=generator).to(dtype)
    targets = torch.rand(40, 4, generator=generator).round()
    targets[torch.rand(40, 4, generator=generator) < 0.3] = NAN
    values, known = features.double().numpy(), targets.numpy()
    means = np.stack([values[known[:, c] == 1].mean(0) for c in range(4)]) - values.mean(0)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = class_similarity(features, known)
    np.testing.assert_allclose(got.numpy(), unit @ unit.T, rtol=0, atol=1e-12)


def test_a_finding_that_no_image_has_is_like_none():
    targets = tensor(LABELS)
    targets[:, 0] = tensor([0, 0, NAN, NAN, 0.4])
    got = class_similarity(tensor(FEATURES), targets)
    assert got[0].isnan().all()
    assert got[:, 0].isnan().all()
    assert got[1:, 1:].isfinite().all()
    assert class_similarity(tensor(FEATURES), torch.ones(5, 1)).isnan().all()  # every image has it
    assert class_similarity(tensor(FEATURES), torch.ones(5, 0)).shape == (0, 0)


# --- what is new

ANSWERS = [[0.9, 0.1], [0.2, 0.3], [0.6, 0.7], [0.1, 0.05]]


def test_the_worked_example_of_novelty():
    """A7."""
    scores = novelty_scores(tensor(ANSWERS))
    torch.testing.assert_close(scores, tensor([0.1, 0.7, 0.3, 0.9]), rtol=0, atol=1e-12)
    assert auc([0, 1, 0, 1], scores) == 1.0


def test_other_scores_of_novelty():
    assert novelty_scores(tensor(ANSWERS), kind="sum").tolist() == pytest.approx([-1, -0.5, -1.3, -0.15])
    entropy = novelty_scores(tensor([[0.5, 1.0], [0.0, 1.0], [0.9, 0.1]]), kind="entropy")
    two = -2 * (0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert entropy.tolist() == pytest.approx([np.log(2), 0, two])


@pytest.mark.parametrize("kind", ["max", "sum", "entropy"])
def test_outputs_that_were_never_trained_are_left_out(kind):
    answers = torch.tensor(ANSWERS)
    with_nan = torch.cat([answers, torch.full((4, 1), NAN)], dim=1)
    torch.testing.assert_close(novelty_scores(with_nan, kind=kind), novelty_scores(answers, kind=kind))
    assert novelty_scores(torch.full((2, 3), NAN), kind=kind).isnan().all()
    assert novelty_scores(answers.half(), kind=kind).dtype == torch.float32


# --- wrong arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: alignment_penalty(torch.zeros(2, 3), every(2, 3)),
            r"weight_vectors: expected a float tensor of shape \(D, L, F\), got float32 of shape \(2, 3\)",
        ),
        (
            lambda: alignment_penalty(torch.zeros(2, 3, 4), every(3, 2)),
            r"trained: expected bool of shape \(2, 3\), .*, got bool of shape \(3, 2\)",
        ),
        (
            lambda: alignment_penalty(torch.zeros(2, 3, 4), torch.ones(2, 3)),
            r"trained: expected bool .*, got float32",
        ),
        (
            lambda: alignment_penalty(torch.zeros(2, 3, 4), every(2, 3), strength=-0.1),
            "strength: expected a finite number of at least 0, got -0.1",
        ),
        (
            lambda: alignment_penalty(torch.zeros(2, 3, 4), every(2, 3), rows="some"),
            r"rows: expected one of \('labelled', 'all'\), got 'some'",
        ),
        (
            lambda: expand_targets(torch.zeros(3), torch.zeros(3).long(), 2),
            r"targets: expected a real tensor of shape \(B, L\), got float32 of shape \(3,\)",
        ),
        (
            lambda: expand_targets(torch.zeros(3, 2), torch.zeros(3), 2),
            r"source: expected whole numbers of shape \(3,\), got float32 of shape \(3,\)",
        ),
        (
            lambda: expand_targets(torch.zeros(3, 2), torch.tensor([0, 1, 2]), 2),
            "source: expected rows from 0 to 1, got 0 to 2",
        ),
        (
            lambda: expand_targets(torch.zeros(1, 2), torch.tensor([-1]), 2),
            "source: expected rows from 0 to 1, got -1 to -1",
        ),
        (
            lambda: expand_targets(torch.zeros(1, 2), torch.tensor([0]), 0),
            "datasets: expected a whole number of at least 1, got 0",
        ),
        (
            lambda: class_similarity(torch.zeros(3, 2), torch.zeros(4, 2)),
            r"features: expected floats of shape \(4, F\), got float32 of shape \(3, 2\)",
        ),
        (
            lambda: class_similarity(torch.zeros(3, 2), torch.full((3, 2), -1.0)),
            "targets: expected values .* -1 is the code of uncertain",
        ),
        (
            lambda: novelty_scores(torch.zeros(3)),
            r"probabilities: expected the shape \(N, L\), .*, got \(3,\)",
        ),
        (
            lambda: novelty_scores(torch.full((3, 2), 4.0)),
            r"probabilities: expected probabilities in \[0, 1\], got others: logits, maybe",
        ),
        (
            lambda: novelty_scores(torch.zeros(3, 2), kind="mean"),
            r"kind: expected one of \('max', 'sum', 'entropy'\), got 'mean'",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_what_the_processor_gives():
    made, trained = vectors(shape=(5, 18, 64), dtype=torch.float32), every(5, 18)
    trained[1, ::3] = False
    penalty = alignment_penalty(made.detach().cuda(), trained.cuda())
    torch.testing.assert_close(penalty.cpu(), alignment_penalty(made.detach(), trained))
    targets, source = torch.rand(6, 18).round(), torch.randint(5, (6,))
    blocks = expand_targets(targets.cuda(), source.cuda(), 5).cpu()
    torch.testing.assert_close(blocks, expand_targets(targets, source, 5), equal_nan=True)
    features = torch.randn(6, 64)
    alike = class_similarity(features.cuda(), targets.cuda()).cpu()
    torch.testing.assert_close(alike, class_similarity(features, targets), equal_nan=True)
    answers = torch.rand(6, 18)
    for kind in ("max", "sum", "entropy"):
        scores = novelty_scores(answers.cuda(), kind=kind).cpu()
        torch.testing.assert_close(scores, novelty_scores(answers, kind=kind))
