"""Label-Assemble: the worked examples, finite differences, and which entries take part in what."""

import math

import pytest
import torch

from xrdatasets.models import ClassQueryHead
from xrdatasets.training.assemble import assemble_loss, consistency_loss, pseudo_label_loss, sharpen
from xrdatasets.training.losses import masked_bce_with_logits

NAN = torch.nan
REDUCTIONS = ("entry", "row")


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def batch(seed=0, shape=(6, 5), *, dtype=torch.float64):
    """Logits of both views, and targets (hard, soft and unknown)."""
    generator = torch.Generator().manual_seed(seed)
    weak, strong = 2 * torch.randn(2, *shape, generator=generator, dtype=dtype)
    targets = torch.rand(shape, generator=generator, dtype=dtype)
    targets[::2] = targets[::2].round()
    targets[torch.rand(shape, generator=generator) < 0.5] = NAN
    return weak.requires_grad_(), strong.requires_grad_(), targets


# the published example: two images, three findings
TARGETS = [[1, NAN, 0], [NAN, 1, NAN]]
WEAK = [[0.8, 0.9, 0.3], [0.2, 0.6, 0.5]]
STRONG = [[0.7, 0.6, 0.4], [0.3, 0.5, 0.4]]


# --- sharpening


@pytest.mark.parametrize(
    ("temperature", "want"),
    [
        (4.0, [0.925, 0.6325, 0.375, 0.15, 0, 1]),
        (2.0, [0.95, 0.755, 0.25, 0.1, 0, 1]),
        (1.0, [1, 1, 0, 0, 0, 1]),
        (math.inf, [0.9, 0.51, 0.5, 0.2, 0, 1]),
        (8, [0.9125, 0.57125, 0.4375, 0.175, 0, 1]),
    ],
)
def test_sharpened_probabilities(temperature, want):
    """A1: what is exactly at the threshold goes down; 0 and 1 stay; infinity changes no bit."""
    shares = tensor([0.9, 0.51, 0.5, 0.2, 0, 1])
    got = sharpen(shares, temperature=temperature)
    torch.testing.assert_close(got, tensor(want), rtol=0, atol=1e-12)
    if temperature in (1.0, math.inf):
        assert torch.equal(got, tensor(want))


def test_the_paper_s_numbers_are_the_defaults():
    shares = tensor([0.9, 0.2])
    assert torch.equal(sharpen(shares), sharpen(shares, threshold=0.5, temperature=4.0))


def test_another_threshold():
    got = sharpen(tensor([0.3, 0.31]), threshold=0.3, temperature=2)
    torch.testing.assert_close(got, tensor([0.15, 0.655]))


@pytest.mark.parametrize("temperature", [1.0, 1.5, 4.0, math.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sharpened_probabilities_stay_in_range(dtype, temperature):
    shares = torch.linspace(0, 1, 501).to(dtype).float()
    got = sharpen(shares.to(dtype), temperature=temperature, threshold=0.3)
    assert got.dtype == torch.float32
    assert ((got >= 0) & (got <= 1)).all()
    assert (((got >= shares) & (shares > 0.3)) | ((got <= shares) & (shares <= 0.3))).all()


# --- pseudo labels and agreement


@pytest.mark.parametrize(
    ("temperature", "detach", "values", "gradients"),
    [
        (4.0, True, [0.000625, 0.0025], [-0.05, 0.1]),
        (4.0, False, [0.000625, 0.0025], [-0.0125, 0.025]),
        (1.0, True, [0.01, 0.04], [-0.2, 0.4]),
        (1.0, False, [0.01, 0.04], [-0.2, 0.4]),
        (math.inf, True, [0, 0], [0, 0]),
    ],
)
def test_pseudo_labels_of_single_entries(temperature, detach, values, gradients):
    """A2: without detaching, the gradient is so many times smaller as the temperature says."""
    for share, value, gradient in zip((0.9, 0.2), values, gradients, strict=True):
        answer = tensor([[share]]).requires_grad_()
        missing = torch.ones(1, 1, dtype=torch.bool)
        loss = pseudo_label_loss(answer, missing, temperature=temperature, detach=detach)
        loss.backward()
        assert loss.item() == pytest.approx(value, abs=1e-12)
        assert answer.grad.item() == pytest.approx(gradient, abs=1e-12)


@pytest.mark.parametrize(("detach", "gradient"), [(True, 0.0), (False, 0.4875)])
def test_the_strong_view_follows_the_weak_one(detach, gradient):
    """A3."""
    strong, weak = tensor([[0.6]]).requires_grad_(), tensor([[0.9]]).requires_grad_()
    loss = consistency_loss(strong, weak, torch.ones(1, 1, dtype=torch.bool), detach=detach)
    assert loss.item() == pytest.approx(0.105625, abs=1e-12)
    loss.backward()
    assert strong.grad.item() == pytest.approx(-0.65, abs=1e-12)
    assert (0.0 if weak.grad is None else weak.grad.item()) == pytest.approx(gradient, abs=1e-12)


def test_at_infinity_views_are_still_drawn_to_each_other():
    missing = torch.ones(1, 1, dtype=torch.bool)
    loss = consistency_loss(tensor([[0.6]]), tensor([[0.9]]), missing, temperature=math.inf)
    assert loss.item() == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("reduction", "pseudo", "consistency"),
    [("entry", 0.00625, 0.0429166667), ("row", 0.009375, 0.064375)],
)
def test_the_worked_example(reduction, pseudo, consistency):
    """A4: the mean over missing entries, and the row sums that the norms are when read literally."""
    targets, weak, strong = tensor(TARGETS), tensor(WEAK), tensor(STRONG)
    missing = targets.isnan()
    got = pseudo_label_loss(weak, missing, reduction=reduction)
    assert got.item() == pytest.approx(pseudo, abs=5e-10)
    got = consistency_loss(strong, weak, missing, reduction=reduction)
    assert got.item() == pytest.approx(consistency, abs=5e-10)
    parts = assemble_loss(weak.logit(), strong.logit(), targets, reduction=reduction)
    assert parts.supervised.item() == pytest.approx(0.3635480397, abs=5e-10)
    assert parts.pseudo.item() == pytest.approx(pseudo, abs=5e-10)
    assert parts.consistency.item() == pytest.approx(consistency, abs=5e-10)
    assert parts.total.item() == pytest.approx(0.3635480397 + pseudo + consistency, abs=1e-9)


def test_the_worked_total():
    """A4."""
    parts = assemble_loss(tensor(WEAK).logit(), tensor(STRONG).logit(), tensor(TARGETS))
    assert parts.total.item() == pytest.approx(0.4127147063, abs=5e-10)


def smooth(logits):
    """Away from the threshold, where sharpening jumps and no difference is finite."""
    shares = logits.detach().sigmoid()
    return ((shares - 0.5).abs() > 1e-3).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("supervised", ["entry", "luo", "cohen", "sum"])
def test_gradients_are_those_of_finite_differences(supervised, reduction):
    weak, strong, targets = batch(3, (4, 3))
    assert smooth(weak)

    def whole(a, b):
        return assemble_loss(a, b, targets, reduction=reduction, supervised=supervised, detach=False).total

    assert torch.autograd.gradcheck(whole, (weak, strong))
    assert torch.autograd.gradgradcheck(whole, (weak, strong))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_detached_gradients_are_those_with_the_sharpened_as_numbers(reduction):
    weak, strong, targets = batch(4, (4, 3))
    missing, wanted = targets.isnan(), sharpen(weak.detach().sigmoid())

    def by_hand(a, b):
        pulled = ((a.sigmoid() - wanted).square() + (b.sigmoid() - wanted).square())[missing].sum()
        return masked_bce_with_logits(a, targets) + pulled / (4 if reduction == "row" else missing.sum())

    got = torch.autograd.grad(assemble_loss(weak, strong, targets, reduction=reduction).total, (weak, strong))
    assert torch.autograd.gradcheck(by_hand, (weak, strong))
    for ours, want in zip(got, torch.autograd.grad(by_hand(weak, strong), (weak, strong)), strict=True):
        torch.testing.assert_close(ours, want)


def test_the_total_is_the_weighted_sum_of_its_parts():
    weak, strong, targets = batch(5)
    parts = assemble_loss(weak, strong, targets, pseudo_weight=0.5, consistency_weight=3)
    assert parts.total.item() == pytest.approx(
        (parts.supervised + 0.5 * parts.pseudo + 3 * parts.consistency).item()
    )
    assert [part.requires_grad for part in parts] == [True, False, False, False]


# --- which entries take part in what


def test_an_entry_takes_part_in_one_or_the_other():
    weak, strong, targets = batch(6)
    missing = targets.isnan()
    parts = assemble_loss(weak, strong, targets)
    assert parts.supervised.item() == pytest.approx(masked_bce_with_logits(weak, targets).item())
    parts.total.backward()
    assert (strong.grad[~missing] == 0).all()
    assert (strong.grad[missing] != 0).all()
    (alone,) = torch.autograd.grad(masked_bce_with_logits(weak, targets), weak)
    assert torch.equal(weak.grad[~missing], alone[~missing])
    assert (weak.grad[missing] != 0).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("wild", [2.0, torch.inf, -torch.inf, NAN])
def test_known_entries_are_not_read_by_the_other_two(reduction, wild):
    weak, strong, targets = batch(7)
    missing = targets.isnan()
    answers = weak.detach().sigmoid().requires_grad_()
    want = consistency_loss(strong.sigmoid(), answers, missing, reduction=reduction, detach=False)
    (gradient,) = torch.autograd.grad(want, answers)
    other = answers.detach().masked_fill(~missing, wild).requires_grad_()
    loss = consistency_loss(
        strong.sigmoid().masked_fill(~missing, wild), other, missing, reduction=reduction, detach=False
    )
    loss.backward()
    assert loss.item() == want.item()
    assert torch.equal(other.grad, gradient)
    assert pseudo_label_loss(other, missing).isfinite()
    wild_strong = strong.detach().masked_fill(~missing, wild).requires_grad_()
    parts = assemble_loss(weak, wild_strong, targets, reduction=reduction)
    parts.total.backward()
    assert parts.total.item() == assemble_loss(weak, strong, targets, reduction=reduction).total.item()
    assert wild_strong.grad.isfinite().all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (0, 3)])
def test_all_or_nothing_unknown(reduction, known, shape):
    weak, strong = torch.randn(2, *shape, requires_grad=True)
    targets = torch.full(shape, 1.0 if known else NAN)
    parts = assemble_loss(weak, strong, targets, reduction=reduction)
    nothing = (parts.pseudo, parts.consistency) if known else (parts.supervised,)
    assert all(part == 0 for part in nothing)
    gradients = torch.autograd.grad(parts.total, (weak, strong))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not known or (gradients[1] == 0).all()


def test_probabilities_of_0_and_1_are_left_alone():
    answers = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss = pseudo_label_loss(answers, torch.ones(1, 2, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert torch.equal(answers.grad, torch.zeros(1, 2))


def test_during_warm_up_the_strong_view_is_not_needed():
    weak, strong, targets = batch(8)
    parts = assemble_loss(weak, None, targets, warm_up=True)
    assert parts.total.item() == parts.supervised.item() == masked_bce_with_logits(weak, targets).item()
    assert (parts.pseudo, parts.consistency) == (0, 0)
    assert torch.equal(parts.total, assemble_loss(weak, strong, targets, warm_up=True).total)
    parts.total.backward()
    assert (weak.grad[targets.isnan()] == 0).all()


def test_weights_are_those_of_the_cross_entropy():
    weak, strong, targets = batch(9)
    weights = {"task_weight": torch.rand(5), "pos_weight": torch.rand(5)}
    plain, weighted = assemble_loss(weak, strong, targets), assemble_loss(weak, strong, targets, **weights)
    want = masked_bce_with_logits(weak, targets, **weights)
    assert weighted.supervised.item() == pytest.approx(want.item())
    assert weighted.supervised != plain.supervised
    assert (weighted.pseudo, weighted.consistency) == (plain.pseudo, plain.consistency)


def test_gradients_reach_every_parameter_of_class_queries():
    """A5's head: queries, matrix and offset, and the features."""
    head, features = ClassQueryHead(4, 3), torch.randn(2, 4, requires_grad=True)
    targets = torch.tensor([[1.0, NAN, NAN], [NAN, NAN, NAN]])
    assemble_loss(head(features), head(features + 0.1), targets).total.backward()
    for name, parameter in [("features", features), *head.named_parameters()]:
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


# --- types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_half_precision_is_computed_in_float32(dtype, reduction):
    weak, strong, targets = batch(10, (16, 5), dtype=torch.float32)
    halves = [each.detach().mul(8).to(dtype).requires_grad_() for each in (weak, strong)]
    parts = assemble_loss(*halves, targets, reduction=reduction)
    want = assemble_loss(*(half.detach().float() for half in halves), targets, reduction=reduction)
    assert all(part.dtype == torch.float32 for part in parts)
    assert all(torch.equal(*pair) for pair in zip(parts, want, strict=True))
    parts.total.backward()
    assert all(half.grad.isfinite().all() for half in halves)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_the_same_inside_autocast(dtype):
    layer, (_, _, targets) = torch.nn.Linear(8, 5), batch(11, dtype=torch.float32)
    features = torch.randn(2, 6, 8)
    with torch.autocast("cpu", dtype=dtype):
        weak, strong = layer(features)
        assert weak.dtype == dtype
        inside = assemble_loss(weak, strong, targets)
    outside = assemble_loss(weak, strong, targets)
    assert all(torch.equal(*pair) for pair in zip(inside, outside, strict=True))
    inside.total.backward()
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("warm_up", [False, True])
def test_it_compiles_into_one_graph(warm_up):
    weak, strong, targets = batch(12, dtype=torch.float32)
    compiled = torch.compile(assemble_loss, fullgraph=True, backend="eager")
    got, want = (each(weak, strong, targets, warm_up=warm_up) for each in (compiled, assemble_loss))
    for pair in zip(got, want, strict=True):
        torch.testing.assert_close(*pair)


# --- wrong arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.5}, r"temperature: expected a number of at least 1, infinity too, got 0\.5"),
        ({"temperature": NAN}, "temperature: expected a number of at least 1, .*, got nan"),
        ({"temperature": True}, "temperature: expected a number of at least 1, .*, got True"),
        ({"threshold": -0.1}, r"threshold: expected a number from 0 to 1, got -0\.1"),
        ({"threshold": NAN}, "threshold: expected a number from 0 to 1, got nan"),
        ({"reduction": "mean"}, r"reduction: expected one of \('entry', 'row'\), got 'mean'"),
        ({"strong_logits": None}, r"strong_logits: expected floats .*, got None, which is for the warm-up"),
        (
            {"strong_logits": torch.zeros(2, 4)},
            r"strong_logits: expected floats of shape \(2, 3\), got .* 4\)",
        ),
        (
            {"supervised": "none"},
            r"supervised: expected one of \('entry', 'luo', 'cohen', 'sum'\), got 'none'",
        ),
        ({"pseudo_weight": -1}, "pseudo_weight: expected a finite number of at least 0, got -1"),
        ({"consistency_weight": NAN}, "consistency_weight: expected a finite number .*, got nan"),
        ({"targets": torch.full((2, 3), -1.0)}, "targets: expected values .* -1 is the code of uncertain"),
        ({"weak_logits": torch.zeros(6)}, r"logits: expected a float tensor of shape \(B, L\)"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    zeros = torch.zeros(2, 3)
    arguments = {"weak_logits": zeros, "strong_logits": zeros, "targets": zeros} | changes
    with pytest.raises(ValueError, match=message):
        assemble_loss(**arguments)


MISSING = torch.ones(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sharpen(torch.tensor([1])), "probabilities: expected a float tensor, got int64"),
        (
            lambda: sharpen(torch.tensor([4.0])),
            r"probabilities: expected probabilities in \[0, 1\], got others",
        ),
        (
            lambda: pseudo_label_loss(torch.full((2, 3), -2.0), MISSING),
            r"probabilities: expected probabilities in \[0, 1\], got others: logits, maybe",
        ),
        (
            lambda: pseudo_label_loss(torch.zeros(2, 4), MISSING),
            r"probabilities: expected floats of shape \(2, 3\), got float32 of shape \(2, 4\)",
        ),
        (
            lambda: pseudo_label_loss(torch.zeros(2, 3), MISSING.float()),
            r"missing: expected bool of shape \(B, L\), got float32 of shape \(2, 3\)",
        ),
        (
            lambda: consistency_loss(torch.zeros(2, 4), torch.zeros(2, 3), MISSING),
            r"strong: expected floats of shape \(2, 3\), got float32 of shape \(2, 4\)",
        ),
        (
            lambda: consistency_loss(torch.zeros(2, 3), torch.full((2, 3), 5.0), MISSING),
            r"weak: expected probabilities in \[0, 1\], got others",
        ),
    ],
)
def test_what_are_no_probabilities_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_gpu_gives_what_the_processor_gives(reduction):
    weak, strong, targets = batch(13, (64, 20), dtype=torch.float32)
    want = assemble_loss(weak, strong, targets, reduction=reduction)
    moved = [each.detach().cuda().requires_grad_() for each in (weak, strong)]
    got = assemble_loss(*moved, targets.cuda(), reduction=reduction)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs)
    with torch.autocast("cuda", dtype=torch.float16):
        half = assemble_loss(*(each.half() for each in moved), targets.cuda(), reduction=reduction)
    half.total.backward()
    assert half.total.dtype == torch.float32
    assert all(each.grad.isfinite().all() for each in moved)
