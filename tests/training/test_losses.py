"""The masked loss: against torch, the papers' worked examples, and what an unknown target must not do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import xrdatasets as xr
from tests import fakes
from xrdatasets.training import masked_bce_with_logits, positive_weights, task_weights_cohen

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
    targets = tensor([[1, 0, NAN], [0, NAN, 1]])
    logits = torch.logit(tensor([[0.8, 0.3, 0.6], [0.4, 0.9, 0.2]])).requires_grad_()
    weights = {"task_weight": tensor([3, 1, 1]), "pos_weight": tensor([2, 0.5, 4])}
    entries = masked_bce_with_logits(logits, targets, reduction="none", **weights)
    want = tensor([[1.3388613079, 0.3566749439, 0], [1.5324768713, 0, 6.4377516497]])
    torch.testing.assert_close(entries, want, rtol=0, atol=5e-10)
    loss = masked_bce_with_logits(logits, targets, reduction="luo", **weights)
    assert loss.item() == pytest.approx(1.6109607955, abs=5e-10)
    loss.backward()
    want = tensor([[-0.2, 0.05, 0], [0.2, 0, -8 / 15]])
    torch.testing.assert_close(logits.grad, want, rtol=0, atol=1e-12)


def test_a_logit_of_minus_800_costs_4800():
    loss = masked_bce_with_logits(
        torch.tensor([[-800.0]]),
        torch.tensor([[1.0]]),
        task_weight=torch.tensor([3.0]),
        pos_weight=torch.tensor([2.0]),
        reduction="luo",
    )
    assert loss.item() == 4800.0


def test_cohen_s_worked_example():
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


def test_it_is_the_same_inside_autocast():
    layer = torch.nn.Linear(8, 5)
    features, (_, targets, alpha, beta) = torch.randn(6, 8), batch(4, (6, 5), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(features)
        assert logits.dtype == torch.bfloat16
        inside = masked_bce_with_logits(logits, targets, task_weight=alpha, pos_weight=beta)
    outside = masked_bce_with_logits(logits, targets, task_weight=alpha, pos_weight=beta)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


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
    assert torch.equal(positive_weights(targets.cuda()).cpu(), positive_weights(targets))
    assert torch.equal(task_weights_cohen(targets.cuda()).cpu(), task_weights_cohen(targets))


# --- weights


def test_positive_weights_are_negatives_per_positive():
    targets = torch.tensor([[1, 0, NAN], [0, 0, NAN], [0, NAN, 1], [1, NAN, 0], [0, 0, 0]])
    weights = positive_weights(targets)
    assert weights.tolist() == [1.5, 1.0, 2.0]  # no positive: 1
    assert weights.dtype == torch.float32
    assert positive_weights(1 - targets)[1] == 1.0  # no negative: 1
    assert positive_weights(torch.full((3, 2), NAN)).tolist() == [1.0, 1.0]
    assert positive_weights(torch.zeros(0, 2)).tolist() == [1.0, 1.0]


def test_soft_targets_are_positive_from_one_half_on():
    assert positive_weights(torch.tensor([[0.5], [0.55], [0.49], [0.3], [0.0]])).tolist() == [1.5]


def of_counts(positive, *, rows, labelled=None):
    """Targets with so many positives in each column."""
    targets = (torch.arange(rows)[:, None] < torch.tensor(positive)).float()
    return targets if labelled is None else targets.masked_fill(~torch.tensor(labelled), NAN)


# positives of NIH in Cohen 2020, Table A.1, in the order of xrv18; None: not labelled
NIH = (1702, 427, 3604, 269, 82, 265, 571, 1280, 168, 763, 767, 1661, 1280, 83, None, None, None, None)


def test_task_weights_are_those_of_the_paper():
    targets = of_counts([count or 0 for count in NIH], rows=30_805, labelled=[c is not None for c in NIH])
    every = task_weights_cohen(targets, over="all")
    want = [0.1661053552, 0.6061907088, 0.9807954341, 1.0]
    assert every[[2, 0, 13, 14]].tolist() == pytest.approx(want, rel=1e-6)
    labelled = task_weights_cohen(targets)
    assert labelled[[2, 4, 14]].tolist() == pytest.approx([0.2076490439, 1.0, 1.0], rel=1e-6)
    assert labelled.dtype == torch.float32


def test_task_weights_of_small_counts():
    assert task_weights_cohen(of_counts([10, 2, 0], rows=12)).tolist() == pytest.approx([4 / 14, 12 / 14, 1])
    assert task_weights_cohen(of_counts([5, 5, 5], rows=12)).tolist() == [1, 1, 1]
    assert task_weights_cohen(of_counts([0, 0], rows=4)).tolist() == [1, 1]
    assert task_weights_cohen(torch.full((4, 2), NAN), over="all").tolist() == [1, 1]
    # two equal tasks among eighteen: the paper's code gives both 0.1
    targets = of_counts([9555] * 2 + [0] * 16, rows=30_227, labelled=[True] * 2 + [False] * 16)
    assert task_weights_cohen(targets, over="all")[:2].tolist() == pytest.approx([0.1, 0.1])
    assert task_weights_cohen(targets).tolist() == [1.0] * 18


def test_a_frequent_finding_weighs_less():
    counts = torch.randint(0, 50, (12,), generator=torch.Generator().manual_seed(0))
    weights = task_weights_cohen(of_counts(counts.tolist(), rows=60))
    assert torch.equal(weights.argsort(stable=True), counts.argsort(descending=True, stable=True))
    assert ((weights > 0) & (weights <= 1)).all()


def test_labels_of_a_dataset_go_in_as_they_are(tmp_path):
    ds = xr.CheXpert(fakes.write("chexpert", tmp_path / "chexpert"), space="chexpert14", policy=xr.U_ONES_LSR)
    assert not ds.labels.flags.writeable
    for function in (positive_weights, task_weights_cohen):
        weights = function(ds.labels)
        assert torch.equal(weights, function(torch.tensor(np.array(ds.labels))))
        assert weights.shape == (14,)


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


@pytest.mark.parametrize("function", [positive_weights, task_weights_cohen])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.zeros(3), r"targets: expected a real tensor of shape \(N, L\), got float32 of shape \(3,\)"),
        (torch.tensor([[-1.0]]), "targets: expected values .*, got -1. -1 is the code of uncertain"),
        (np.array([[2.0]]), "targets: expected values .*, got 2"),
        ([[0.0]], r"targets: expected a real tensor of shape \(N, L\), got list"),
    ],
)
def test_weights_refuse_what_no_policy_gives(function, targets, message):
    with pytest.raises(ValueError, match=message):
        function(targets)


def test_over_is_one_of_two():
    with pytest.raises(ValueError, match=r"over: expected one of \('labelled', 'all'\), got 'known'"):
        task_weights_cohen(torch.zeros(2, 2), over="known")
