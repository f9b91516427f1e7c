"""Uncertain as a class, and as what another model says: against torch and the worked examples."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import xrdatasets as xr
from tests import fakes
from xrdatasets.models import MultiClassHead
from xrdatasets.training.losses import masked_bce_with_logits
from xrdatasets.training.uncertainty import (
    IGNORED,
    multiclass_targets,
    multiclass_uncertainty_loss,
    self_trained_targets,
)

NAN = torch.nan
REDUCTIONS = ("entry", "luo", "cohen", "sum", "none")
CODES = torch.tensor([[1.0, 0.0, -1.0, NAN]])


def batch(seed=0, shape=(6, 5), *, dtype=torch.float64):
    """Logits, codes of all four kinds, and a weight."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(*shape, 3, generator=generator, dtype=dtype)
    codes = torch.randint(-1, 3, shape, generator=generator).to(dtype)
    codes[codes == 2] = NAN
    alpha = 3 * torch.rand(shape[1], generator=generator, dtype=dtype)
    return logits.requires_grad_(), codes, alpha


# --- U-MultiClass


def test_each_code_has_its_class():
    """P7: in the order of the head, negative, positive, uncertain."""
    classes = multiclass_targets(CODES)
    assert classes.tolist() == [[1, 0, 2, -100]]
    assert classes.dtype == torch.int64
    assert multiclass_targets(CODES.half()).tolist() == classes.tolist()
    assert multiclass_targets(torch.tensor([[1, 0, -1]])).tolist() == [[1, 0, 2]]


def test_torch_leaves_out_what_is_ignored():
    logits = torch.randn(1, 3, 4, requires_grad=True)
    F.cross_entropy(logits, multiclass_targets(CODES), reduction="sum").backward()
    assert (logits.grad[..., 3] == 0).all()
    assert IGNORED == -100


def test_the_worked_example_of_three_classes():
    """P7."""
    logits = torch.tensor([[[1.0, 2.0, 3.0]] * 4], dtype=torch.float64)
    shares = logits[0, 0].softmax(-1)
    want = torch.tensor([0.0900305732, 0.2447284711, 0.6652409558], dtype=torch.float64)
    torch.testing.assert_close(shares, want, rtol=0, atol=5e-10)
    entries = multiclass_uncertainty_loss(logits, CODES.double(), reduction="none")
    want = torch.tensor([[1.4076059644, 2.4076059644, 0.4076059644, 0]], dtype=torch.float64)
    torch.testing.assert_close(entries, want, rtol=0, atol=5e-10)
    score = MultiClassHead(2, 4).double().probabilities(logits)
    assert score[0, 0].item() == pytest.approx(0.7310585786, abs=5e-10)
    assert score[0, 0].item() == pytest.approx((shares[1] / (shares[0] + shares[1])).item(), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_known_entries_cost_what_torch_says_and_unknown_ones_nothing(weighted):
    logits, codes, alpha = batch()
    classes = {0.0: 0, 1.0: 1, -1.0: 2}
    got = multiclass_uncertainty_loss(
        logits, codes, task_weight=alpha if weighted else None, reduction="none"
    )
    for i, c in np.ndindex(*codes.shape):
        want = 0.0
        if not codes[i, c].isnan():
            want = F.cross_entropy(logits[i, c], torch.tensor(classes[codes[i, c].item()])).item()
            want *= alpha[c].item() if weighted else 1
        assert got[i, c].item() == pytest.approx(want, rel=1e-13, abs=1e-15)


def test_reductions_divide_as_those_of_the_masked_loss():
    logits, codes, alpha = batch(1)
    entries = multiclass_uncertainty_loss(logits, codes, task_weight=alpha, reduction="none")
    known = ~codes.isnan()
    want = {
        "entry": entries.sum() / known.sum(),
        "luo": entries.mean(),
        "cohen": (entries.sum(0) / known.sum(0)).sum(),
        "sum": entries.sum(),
    }
    for name, value in want.items():
        got = multiclass_uncertainty_loss(logits, codes, task_weight=alpha, reduction=name)
        torch.testing.assert_close(got, value)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_are_those_of_finite_differences(reduction):
    logits, codes, alpha = batch(2, (3, 4))

    def loss(z):
        return multiclass_uncertainty_loss(z, codes, task_weight=alpha, reduction=reduction)

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("wild", [0.0, 1e30, torch.inf, -torch.inf, NAN])
def test_unknown_entries_give_neither_loss_nor_gradient_whatever_their_logits(reduction, wild):
    logits, codes, alpha = batch(3)
    codes[0], codes[:, 1] = NAN, NAN  # a row and a column of which nothing is known
    unknown = codes.isnan()
    want = multiclass_uncertainty_loss(logits, codes, task_weight=alpha, reduction=reduction).sum()
    want.backward()
    other = logits.detach().masked_fill(unknown.unsqueeze(-1), wild).requires_grad_()
    loss = multiclass_uncertainty_loss(other, codes, task_weight=alpha, reduction=reduction).sum()
    loss.backward()
    assert loss.item() == want.item()
    assert torch.equal(other.grad, logits.grad)
    assert (other.grad[unknown] == 0).all()
    assert (other.grad[~unknown] != 0).any(-1).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 3), (0, 3), (4, 0)])
def test_a_batch_in_which_nothing_is_known_is_exactly_zero_with_a_graph(reduction, shape):
    logits = torch.randn(*shape, 3, requires_grad=True)
    loss = multiclass_uncertainty_loss(logits, torch.full(shape, NAN), reduction=reduction)
    assert (loss == 0).all()
    loss.sum().backward()
    assert torch.equal(logits.grad, torch.zeros(*shape, 3))


@pytest.mark.parametrize("code", [1.0, 0.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_one_class_alone_has_finite_gradients_in_every_precision(dtype, code):
    logits = torch.tensor([[[6e4, -6e4, 0.0], [0.0, 11.0, -3.0]]], dtype=dtype, requires_grad=True)
    loss = multiclass_uncertainty_loss(logits, torch.full((1, 2), code))
    want = multiclass_uncertainty_loss(logits.detach().float(), torch.full((1, 2), code))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, want)
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_the_same_inside_autocast(dtype):
    head = MultiClassHead(8, 5)
    features, (_, codes, alpha) = torch.randn(6, 8), batch(4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        logits = head(features)
        assert logits.dtype == dtype
        inside = multiclass_uncertainty_loss(logits, codes, task_weight=alpha)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, multiclass_uncertainty_loss(logits, codes, task_weight=alpha))
    inside.backward()
    assert head.weight.grad.isfinite().all()


def test_it_compiles_into_one_graph():
    logits, codes, alpha = batch(5, dtype=torch.float32)
    compiled = torch.compile(multiclass_uncertainty_loss, fullgraph=True, backend="eager")
    got = compiled(logits, codes, task_weight=alpha)
    torch.testing.assert_close(got, multiclass_uncertainty_loss(logits, codes, task_weight=alpha))


def test_a_head_learns_all_three():
    torch.manual_seed(0)
    codes = torch.tensor([[1.0], [0.0], [-1.0]]).repeat(4, 1)
    features, head = torch.eye(3).repeat(4, 1), MultiClassHead(3, 1)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        multiclass_uncertainty_loss(head(features), codes).backward()
        optimizer.step()
    assert head(features).argmax(-1)[:3, 0].tolist() == [1, 0, 2]


# --- U-SelfTrained


def test_an_uncertain_entry_takes_the_model_s_probability():
    """P8."""
    codes = torch.tensor([[1, 0, -1, NAN]], dtype=torch.float64)
    said = torch.full((1, 4), 0.37, dtype=torch.float64)
    torch.testing.assert_close(
        self_trained_targets(codes, said),
        torch.tensor([[1, 0, 0.37, NAN]], dtype=torch.float64),
        rtol=0,
        atol=1e-12,
        equal_nan=True,
    )


def test_what_the_model_was_never_taught_stays_unknown():
    assert self_trained_targets(torch.tensor([[-1.0]]), torch.tensor([[NAN]])).isnan().all()


def test_targets_carry_no_graph_and_change_neither_argument():
    codes, said = CODES.clone(), torch.full((1, 4), 0.5, requires_grad=True)
    targets = self_trained_targets(codes, said)
    assert not targets.requires_grad
    targets[0] = 7
    torch.testing.assert_close(codes, CODES, equal_nan=True)
    assert (said == 0.5).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_probabilities_of_any_precision_make_targets_of_the_codes_precision(dtype):
    targets = self_trained_targets(CODES, torch.full((1, 4), 0.25, dtype=dtype))
    assert targets.dtype == torch.float32
    assert targets[0, 2] == 0.25


def test_codes_of_a_dataset_go_in_as_they_are(tmp_path):
    ds = xr.CheXpert(fakes.write("chexpert", tmp_path / "chexpert"), space="chexpert14")
    assert not ds.codes.flags.writeable
    codes = torch.tensor(np.array(ds.codes))
    assert (codes == -1).any()
    classes = multiclass_targets(ds.codes)
    assert [(classes == k).sum().item() for k in (0, 1, 2, IGNORED)] == [
        *((codes == code).sum().item() for code in (0, 1, -1)),
        codes.isnan().sum().item(),
    ]
    targets = self_trained_targets(ds.codes, torch.full(codes.shape, 0.5))
    assert (targets == 0.5).sum() == (codes == -1).sum()
    masked_bce_with_logits(torch.zeros(codes.shape), targets)  # they are targets


# --- wrong arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"logits": torch.zeros(2, 3)},
            r"logits: expected a float tensor of shape \(B, L, 3\), got float32 of",
        ),
        ({"logits": torch.zeros(2, 3, 2)}, r"logits: expected .*, got float32 of shape \(2, 3, 2\)"),
        ({"logits": torch.zeros(2, 3, 3).int()}, r"logits: expected a float tensor .*, got int32"),
        ({"codes": torch.zeros(2, 4)}, r"codes: expected one for each finding, \(2, 3\), got .*\(2, 4\)"),
        ({"codes": torch.full((2, 3), 0.7)}, r"codes: expected 1, 0, -1 and NaN .*, got 0\.7"),
        ({"codes": torch.full((2, 3), -2.0)}, r"codes: expected 1, 0, -1 and NaN .*, got -2"),
        ({"task_weight": torch.ones(2)}, r"task_weight: expected a tensor of shape \(3,\), got float32"),
        ({"task_weight": torch.tensor([1, -1.0, 1])}, "task_weight: expected finite numbers of at least 0"),
        ({"reduction": "mean"}, "reduction: expected one of .*, got 'mean'. A mean is one of three"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {"logits": torch.zeros(2, 3, 3), "codes": torch.zeros(2, 3)} | changes
    with pytest.raises(ValueError, match=message):
        multiclass_uncertainty_loss(**arguments)


@pytest.mark.parametrize(
    ("codes", "probabilities", "message"),
    [
        (torch.zeros(3), torch.zeros(3), r"codes: expected a real tensor of shape \(N, L\), got .*\(3,\)"),
        ([[0.0]], torch.zeros(1, 1), r"codes: expected a real tensor .*, got list"),
        (CODES, torch.zeros(1, 3), r"probabilities: expected floats of shape \(1, 4\), got .*\(1, 3\)"),
        (CODES, torch.zeros(1, 4).int(), r"probabilities: expected floats .*, got int32"),
        (CODES, torch.full((1, 4), 1.5), r"probabilities: expected values in \[0, 1\] .*: logits, maybe"),
    ],
)
def test_what_makes_no_targets_is_named(codes, probabilities, message):
    with pytest.raises(ValueError, match=message):
        self_trained_targets(codes, probabilities)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_gpu_gives_what_the_processor_gives(reduction):
    logits, codes, alpha = batch(6, (64, 20), dtype=torch.float32)
    want = multiclass_uncertainty_loss(logits, codes, task_weight=alpha, reduction=reduction)
    moved = logits.detach().cuda().requires_grad_()
    loss = multiclass_uncertainty_loss(moved, codes.cuda(), task_weight=alpha, reduction=reduction)
    torch.testing.assert_close(loss.cpu(), want)
    with torch.autocast("cuda", dtype=torch.float16):
        half = multiclass_uncertainty_loss(moved.half(), codes.cuda(), reduction=reduction)
    assert half.dtype == torch.float32
    half.sum().backward()
    assert moved.grad.isfinite().all()
    said = torch.rand(codes.shape)
    made = self_trained_targets(codes.cuda(), said.cuda()).cpu()
    torch.testing.assert_close(made, self_trained_targets(codes, said), equal_nan=True)
