"""Masked losses: against torch, the papers' worked examples, and what an unknown target must not do."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xrdatasets.training.losses import asymmetric_loss, masked_bce_with_logits

NAN = torch.nan
REDUCTIONS = ("entry", "luo", "cohen", "sum", "none")


def batch(seed=0, shape=(6, 5), *, dtype=torch.float64):
    """Logits, targets (hard, soft and unknown) and both weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(shape, generator=generator, dtype=dtype)
    targets = torch.rand(shape, generator=generator, dtype=dtype)
    targets[::2] = targets[::2].round()
    targets[torch.rand(shape, generator=generator) < 0.4] = NAN
    alpha, beta = 3 * torch.rand(2, shape[1], generator=generator, dtype=dtype)
    return logits.requires_grad_(), targets, alpha, beta


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


# --- against torch, entry by entry


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_known_entries_cost_what_torch_says_and_unknown_ones_nothing(seed, weighted):
    logits, targets, alpha, beta = batch(seed)
    alpha, beta = (alpha, beta) if weighted else (None, None)
    got = masked_bce_with_logits(logits, targets, task_weight=alpha, pos_weight=beta, reduction="none")
    for i in range(len(targets)):
        for c in range(targets.shape[1]):
            want = 0.0
            if not targets[i, c].isnan():
                weights = {} if alpha is None else {"weight": alpha[c], "pos_weight": beta[c]}
                want = F.binary_cross_entropy_with_logits(logits[i, c], targets[i, c], **weights).item()
            assert got[i, c].item() == pytest.approx(want, rel=1e-14, abs=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_without_unknown_targets_it_is_torch_s(reduction):
    logits, targets, _, _ = batch()
    targets = targets.nan_to_num(0.5)
    torchs = {"entry": "mean", "luo": "mean", "cohen": "mean"}.get(reduction, reduction)
    want = F.binary_cross_entropy_with_logits(logits, targets, reduction=torchs)
    want = want * (targets.shape[1] if reduction == "cohen" else 1)
    torch.testing.assert_close(masked_bce_with_logits(logits, targets, reduction=reduction), want)


@pytest.mark.parametrize("weighted", [False, True])
def test_reductions_divide_by_what_they_say(weighted):
    logits, targets, alpha, beta = batch(7)
    options = {"task_weight": alpha, "pos_weight": beta} if weighted else {}
    losses = {name: masked_bce_with_logits(logits, targets, reduction=name, **options) for name in REDUCTIONS}
    entries, known = losses["none"], ~targets.isnan()
    total = entries.sum().item()
    assert losses["sum"].item() == pytest.approx(total)
    assert losses["luo"].item() == pytest.approx(total / targets.numel())
    assert losses["entry"].item() == pytest.approx(total / int(known.sum()))
    columns = [entries[known[:, c], c].mean().item() for c in range(targets.shape[1]) if known[:, c].any()]
    assert losses["cohen"].item() == pytest.approx(sum(columns))


# --- the papers' worked examples


def test_luo_s_worked_example():
    """L1: alpha outside, beta on the positive term, divided by all entries."""
    targets = tensor([[1, 0, NAN], [0, NAN, 1]])
    logits = torch.logit(tensor([[0.8, 0.3, 0.6], [0.4, 0.9, 0.2]])).requires_grad_()
    weights = {"task_weight": tensor([3, 1, 1]), "pos_weight": tensor([2, 0.5, 4])}
    entries = masked_bce_with_logits(logits, targets, reduction="none", **weights)
    want = tensor([[1.3388613079, 0.3566749439, 0], [1.5324768713, 0, 6.4377516497]])
    torch.testing.assert_close(entries, want, rtol=0, atol=5e-10)
    rows = tensor([0.5651787506, 2.6567428403])
    torch.testing.assert_close(entries.sum(1) / 3, rows, rtol=0, atol=5e-10)
    loss = masked_bce_with_logits(logits, targets, reduction="luo", **weights)
    assert loss.item() == pytest.approx(1.6109607955, abs=5e-10)
    loss.backward()
    want = tensor([[-0.2, 0.05, 0], [0.2, 0, -8 / 15]])
    torch.testing.assert_close(logits.grad, want, rtol=0, atol=1e-12)


def test_a_logit_of_minus_800_costs_4800():
    """L1."""
    loss = masked_bce_with_logits(
        torch.tensor([[-800.0]]),
        torch.tensor([[1.0]]),
        task_weight=torch.tensor([3.0]),
        pos_weight=torch.tensor([2.0]),
        reduction="luo",
    )
    assert loss.item() == 4800.0


def test_cohen_s_worked_example():
    """C2: a sum over findings of means over their known entries; a finding without any is skipped."""
    targets = tensor([[1, NAN, 0], [0, NAN, NAN], [1, NAN, 1]])
    logits = tensor([[0, 1, 2], [1, 1, 1], [-1, 0, 0.5]]).requires_grad_()
    weight = tensor([0.5, 1, 0.25])
    loss = masked_bce_with_logits(logits, targets, task_weight=weight, reduction="cohen")
    loss.backward()
    assert loss.item() == pytest.approx(0.8784040503, abs=5e-10)
    want = tensor(
        [[-1 / 12, 0, 0.1100996347], [0.1218430964, 0, 0], [-0.1218430964, 0, -0.0471925836]],
    )
    torch.testing.assert_close(logits.grad, want, rtol=0, atol=5e-10)
    plain = masked_bce_with_logits(logits, targets, reduction="cohen")
    assert plain.item() == pytest.approx(2.4070593495, abs=5e-10)
    assert masked_bce_with_logits(logits, targets).item() == pytest.approx(1.1841351102, abs=5e-10)


def test_pham_s_worked_example():
    """P9: the sum of Eq. 2, with the minus sign that print lacks."""
    targets = tensor([[1, 0, 1], [0, 0, 1]])
    logits = torch.logit(tensor([[0.9, 0.2, 0.6], [0.3, 0.1, 0.5]]))
    total = masked_bce_with_logits(logits, targets, reduction="sum").item()
    assert total == pytest.approx(1.9945123309, abs=5e-10)
    mean = masked_bce_with_logits(logits, targets, reduction="entry").item()
    assert mean == pytest.approx(0.3324187218, abs=5e-10)


def test_label_assemble_s_supervised_part():
    """A4: the mean over known entries."""
    targets = tensor([[1, NAN, 0], [NAN, 1, NAN]])
    logits = torch.logit(tensor([[0.8, 0.9, 0.3], [0.2, 0.6, 0.5]]))
    assert masked_bce_with_logits(logits, targets).item() == pytest.approx(0.3635480397, abs=5e-10)


def test_a_soft_target_costs_the_mean_of_what_its_draws_cost():
    """P6: the loss is linear in the target, least at the target itself, with the gradient p - u."""
    logit = torch.logit(tensor([[0.6]])).requires_grad_()
    loss = masked_bce_with_logits(logit, tensor([[0.7]]))
    assert loss.item() == pytest.approx(0.6324651562, abs=5e-10)
    draws = torch.linspace(0.55, 0.85, 20_001, dtype=torch.float64)[:, None]
    mean = masked_bce_with_logits(logit.expand(len(draws), 1), draws)
    assert mean.item() == pytest.approx(0.6324651562, abs=1e-9)
    (gradient,) = torch.autograd.grad(loss, logit)
    assert gradient.item() == pytest.approx(-0.1, abs=1e-12)
    least = masked_bce_with_logits(torch.logit(tensor([[0.7]])), tensor([[0.7]]))
    assert least.item() == pytest.approx(0.6108643021, abs=5e-10)


def test_the_mean_over_known_entries_of_three_images():
    targets = tensor([[1, NAN, 0], [NAN, 1, NAN]])
    logits = torch.logit(tensor([[0.8, 0.9, 0.3], [0.2, 0.6, 0.5]]))
    assert masked_bce_with_logits(logits, targets).item() == pytest.approx(0.3635480397, abs=5e-10)


# --- what an unknown target must not do


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_are_those_of_finite_differences(reduction):
    logits, targets, alpha, beta = batch(3, (4, 3))

    def loss(z):
        return masked_bce_with_logits(z, targets, task_weight=alpha, pos_weight=beta, reduction=reduction)

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("wild", [0.0, 1e30, torch.inf, -torch.inf, NAN])
def test_unknown_entries_give_neither_loss_nor_gradient_whatever_their_logit(reduction, wild):
    logits, targets, alpha, beta = batch(1)
    options = {"task_weight": alpha, "pos_weight": beta, "reduction": reduction}
    unknown = targets.isnan()
    want = masked_bce_with_logits(logits, targets, **options).sum()
    want.backward()
    other = logits.detach().masked_fill(unknown, wild).requires_grad_()
    loss = masked_bce_with_logits(other, targets, **options).sum()
    loss.backward()
    assert loss.item() == want.item()
    assert torch.equal(other.grad, logits.grad)
    assert (other.grad[unknown] == 0).all()
    assert (other.grad[~unknown] != 0).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 3), (0, 3), (4, 0)])
def test_a_batch_in_which_nothing_is_known_is_exactly_zero_with_a_graph(reduction, shape):
    logits = torch.randn(shape, requires_grad=True)
    loss = masked_bce_with_logits(logits, torch.full(shape, NAN), reduction=reduction)
    assert (loss == 0).all()
    loss.sum().backward()
    assert torch.equal(logits.grad, torch.zeros(shape))


def test_a_finding_that_nobody_knows_does_not_move_its_row():
    layer = torch.nn.Linear(4, 3)
    targets = torch.tensor([[1.0, NAN, 0.0], [0.0, NAN, NAN]])
    masked_bce_with_logits(layer(torch.randn(2, 4)), targets).backward()
    assert (layer.weight.grad[1] == 0).all()
    assert (layer.weight.grad[[0, 2]] != 0).all()


def test_the_arguments_are_left_as_they_are():
    logits, targets, alpha, beta = batch()
    before = [value.clone() for value in (logits, targets, alpha, beta)]
    masked_bce_with_logits(logits, targets, task_weight=alpha, pos_weight=beta)
    for old, new in zip(before, (logits, targets, alpha, beta), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0, equal_nan=True)


# --- types and devices


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_half_precision_is_computed_in_float32(dtype, reduction):
    logits, targets, alpha, beta = batch(2, (64, 20), dtype=torch.float32)
    options = {"task_weight": alpha, "pos_weight": beta, "reduction": reduction}
    half = logits.detach().to(dtype).requires_grad_()
    loss = masked_bce_with_logits(half, targets.to(dtype), **options)
    want = masked_bce_with_logits(half.detach().float(), targets.to(dtype).float(), **options)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, want)
    loss.sum().backward()
    assert half.grad.dtype == dtype
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_the_same_inside_autocast(dtype):
    layer = torch.nn.Linear(8, 5)
    features, (_, targets, alpha, beta) = torch.randn(6, 8), batch(4, (6, 5), dtype=torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        logits = layer(features)
        assert logits.dtype == dtype
        inside = masked_bce_with_logits(logits, targets, task_weight=alpha, pos_weight=beta)
        asymmetric = asymmetric_loss(logits, targets, task_weight=alpha)
    outside = masked_bce_with_logits(logits, targets, task_weight=alpha, pos_weight=beta)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)
    assert torch.equal(asymmetric, asymmetric_loss(logits, targets, task_weight=alpha))
    (inside + asymmetric).backward()
    assert layer.weight.grad.isfinite().all()


def test_whole_targets_of_a_fully_labelled_set_are_fine():
    logits = torch.randn(3, 2)
    targets = torch.tensor([[1, 0], [0, 0], [1, 1]])
    want = F.binary_cross_entropy_with_logits(logits, targets.float())
    torch.testing.assert_close(masked_bce_with_logits(logits, targets), want)
    torch.testing.assert_close(masked_bce_with_logits(logits, targets.bool()), want)


def test_it_compiles_into_one_graph():
    logits, targets, alpha, _ = batch(5, dtype=torch.float32)
    compiled = torch.compile(masked_bce_with_logits, fullgraph=True, backend="eager")
    got = compiled(logits, targets, task_weight=alpha)
    torch.testing.assert_close(got, masked_bce_with_logits(logits, targets, task_weight=alpha))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_gpu_gives_what_the_processor_gives(reduction):
    logits, targets, alpha, beta = batch(6, (64, 20), dtype=torch.float32)
    want = masked_bce_with_logits(logits, targets, task_weight=alpha, pos_weight=beta, reduction=reduction)
    moved = logits.detach().cuda().requires_grad_()
    # the weights may stay where they are
    loss = masked_bce_with_logits(
        moved, targets.cuda(), task_weight=alpha, pos_weight=beta, reduction=reduction
    )
    torch.testing.assert_close(loss.cpu(), want)
    with torch.autocast("cuda", dtype=torch.float16):
        half = masked_bce_with_logits(moved.half(), targets.cuda(), reduction=reduction)
    assert half.dtype == torch.float32
    assert half.isfinite().all()
    want = asymmetric_loss(logits, targets, task_weight=alpha, reduction=reduction)
    loss = asymmetric_loss(moved, targets.cuda(), task_weight=alpha, reduction=reduction)
    torch.testing.assert_close(loss.cpu(), want)


# --- the asymmetric loss


def by_hand(logit, target, *, gamma_neg, gamma_pos, clip):
    """Ridnik 2021, Eqs. 5 to 7, of one entry."""
    p = 1 / (1 + math.exp(-logit))
    q = max(p - clip, 0)
    positive = (1 - p) ** gamma_pos * math.log(p)
    negative = q**gamma_neg * math.log(1 - q)
    return -target * positive - (1 - target) * negative


SHAPES = [
    (4.0, 0.0, 0.05),
    (4.0, 1.0, 0.05),
    (2.0, 2.0, 0.0),
    (0.5, 0.5, 0.2),
    (0.0, 0.0, 0.1),
    (1.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), SHAPES)
def test_the_asymmetric_loss_is_the_paper_s_formula(gamma_neg, gamma_pos, clip):
    logits, targets, alpha, _ = batch(8)
    options = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip}
    got = asymmetric_loss(logits, targets, task_weight=alpha, reduction="none", **options)
    for i, c in np.ndindex(*targets.shape):
        unknown = bool(targets[i, c].isnan())
        want = (
            0 if unknown else by_hand(logits[i, c].item(), targets[i, c].item(), **options) * alpha[c].item()
        )
        assert got[i, c].item() == pytest.approx(want, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_without_focus_and_clip_it_is_binary_cross_entropy(reduction):
    logits, targets, alpha, _ = batch(9)
    options = {"task_weight": alpha, "reduction": reduction}
    got = asymmetric_loss(logits, targets, gamma_neg=0, gamma_pos=0, clip=0, **options)
    torch.testing.assert_close(got, masked_bce_with_logits(logits, targets, **options))


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_of_the_asymmetric_loss_are_those_of_finite_differences(
    reduction, gamma_neg, gamma_pos, clip
):
    logits, targets, alpha, _ = batch(3, (3, 3))
    options = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip, "reduction": reduction}

    def loss(z):
        return asymmetric_loss(z, targets, task_weight=alpha, **options)

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


@pytest.mark.parametrize("clip", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_ends_of_the_range_have_finite_gradients(dtype, gamma, clip):
    """A power of a probability of 0 has none; sigmoid(-110) is 0 in float32, and sigmoid(20) is 1."""
    ends = [-6e4, -110.0, -87.0, -17.0, -2.9444, 0.0, 2.9444, 17.0, 20.0, 110.0, 6e4]
    logits = torch.tensor([ends, ends, ends], dtype=dtype, requires_grad=True)
    targets = torch.tensor([[0.0], [1.0], [NAN]]).expand(3, len(ends))
    loss = asymmetric_loss(logits, targets, gamma_neg=gamma, gamma_pos=gamma, clip=clip)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    assert (logits.grad[2] == 0).all()


def test_an_easy_negative_costs_nothing_and_a_hard_one_keeps_its_gradient():
    logits = torch.logit(tensor([[0.03, 0.05 - 1e-9, 0.3, 1 - 1e-12]])).requires_grad_()
    entries = asymmetric_loss(logits, torch.zeros(1, 4), reduction="none")
    assert entries[0, :2].tolist() == [0, 0]
    assert entries[0, 3].item() == pytest.approx(-(0.95**4) * math.log(0.05), rel=1e-9)
    entries.sum().backward()
    assert logits.grad[0, :2].tolist() == [0, 0]
    assert logits.grad[0, 2] > 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("wild", [0.0, 1e30, torch.inf, -torch.inf, NAN])
def test_the_asymmetric_loss_leaves_unknown_entries_out_whatever_their_logit(reduction, wild):
    logits, targets, alpha, _ = batch(1)
    targets[0], targets[:, 1] = NAN, NAN
    unknown = targets.isnan()
    want = asymmetric_loss(logits, targets, task_weight=alpha, reduction=reduction).sum()
    want.backward()
    other = logits.detach().masked_fill(unknown, wild).requires_grad_()
    loss = asymmetric_loss(other, targets, task_weight=alpha, reduction=reduction).sum()
    loss.backward()
    assert loss.item() == want.item()
    assert torch.equal(other.grad, logits.grad)
    assert (other.grad[unknown] == 0).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 3), (0, 3), (4, 0)])
def test_the_asymmetric_loss_of_nothing_is_exactly_zero_with_a_graph(reduction, shape):
    logits = torch.randn(shape, requires_grad=True)
    loss = asymmetric_loss(logits, torch.full(shape, NAN), reduction=reduction)
    assert (loss == 0).all()
    loss.sum().backward()
    assert torch.equal(logits.grad, torch.zeros(shape))


def test_the_asymmetric_loss_compiles_into_one_graph():
    logits, targets, alpha, _ = batch(5, dtype=torch.float32)
    compiled = torch.compile(asymmetric_loss, fullgraph=True, backend="eager")
    got = compiled(logits, targets, task_weight=alpha)
    torch.testing.assert_close(got, asymmetric_loss(logits, targets, task_weight=alpha))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma_neg": -1}, r"gamma_neg: expected a finite number of at least 0, got -1"),
        ({"gamma_pos": NAN}, r"gamma_pos: expected a finite number of at least 0, got nan"),
        ({"gamma_pos": torch.inf}, r"gamma_pos: expected a finite number of at least 0, got inf"),
        ({"clip": 1.0}, r"clip: expected a finite number of at least 0 and below 1, got 1\.0"),
        ({"clip": "0.05"}, r"clip: expected a finite number .*, got '0\.05'"),
        ({"reduction": "mean"}, r"reduction: expected one of .*'mean'. A mean is one of three"),
        ({"targets": torch.full((2, 3), -1.0)}, r"targets: expected values .* -1 is the code of uncertain"),
        ({"task_weight": torch.ones(2)}, r"task_weight: expected a tensor of shape \(3,\)"),
    ],
)
def test_the_asymmetric_loss_names_wrong_arguments(changes, message):
    arguments = {"logits": torch.zeros(2, 3), "targets": torch.zeros(2, 3)} | changes
    with pytest.raises(ValueError, match=message):
        asymmetric_loss(**arguments)


# --- wrong arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"logits": torch.zeros(4)},
            r"logits: expected a float tensor of shape \(B, L\), got float32 of .* \(4,\)",
        ),
        (
            {"logits": torch.zeros(2, 3).int()},
            r"logits: expected a float tensor .*, got int32 of shape \(2, 3\)",
        ),
        ({"logits": np.zeros((2, 3))}, "logits: expected a float tensor .*, got ndarray"),
        (
            {"targets": torch.zeros(2, 4)},
            r"targets: expected the shape of the logits, \(2, 3\), got float32 of .* 4\)",
        ),
        ({"targets": torch.zeros(3)}, r"targets: expected the shape of the logits, \(2, 3\), got .*\(3,\)"),
        ({"targets": [[0, 1, 0]] * 2}, "targets: expected the shape of the logits, .*, got list"),
        (
            {"targets": torch.full((2, 3), -1.0)},
            r"targets: expected values in \[0, 1\] or NaN, got -1\. -1 is the code",
        ),
        ({"targets": torch.full((2, 3), 1.5)}, r"targets: expected values in \[0, 1\] or NaN, got 1\.5\.$"),
        (
            {"targets": torch.full((2, 3), torch.inf)},
            r"targets: expected values in \[0, 1\] or NaN, got inf\.$",
        ),
        (
            {"targets": torch.zeros(2, 3, dtype=torch.complex64)},
            "targets: expected a real tensor .*, got complex64",
        ),
        (
            {"pos_weight": torch.ones(2)},
            r"pos_weight: expected a tensor of shape \(3,\), got float32 of shape \(2,\)",
        ),
        ({"pos_weight": 2.0}, r"pos_weight: expected a tensor of shape \(3,\), got float"),
        (
            {"task_weight": torch.tensor([1, -1.0, 1])},
            r"task_weight: expected finite numbers .* got \[1\.0, -1\.0",
        ),
        (
            {"task_weight": torch.tensor([1, NAN, 1])},
            "task_weight: expected finite numbers of at least 0, got .*nan",
        ),
        ({"task_weight": torch.tensor([1, torch.inf, 1])}, "task_weight: expected finite numbers .*inf"),
        ({"reduction": "batch"}, r"reduction: expected one of \('entry', .*, got 'batch'\.$"),
        ({"reduction": "mean"}, "reduction: expected one of .*, got 'mean'. A mean is one of three: 'entry'"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {"logits": torch.zeros(2, 3), "targets": torch.zeros(2, 3)} | changes
    with pytest.raises(ValueError, match=message):
        masked_bce_with_logits(**arguments)
