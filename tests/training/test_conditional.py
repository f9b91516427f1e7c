"""Conditional training: closure and masks by hand, the product in log space, and what stage 2 leaves."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

import xrdatasets as xr
from tests import fakes
from xrdatasets.models import ConditionalHead, Mini, Network
from xrdatasets.models.heads.conditional import parents_in
from xrdatasets.training.conditional import (
    TwoStages,
    close_upward,
    conditional_loss,
    conditional_mask,
)
from xrdatasets.training.losses import masked_bce_with_logits

NAN = torch.nan
REDUCTIONS = ("entry", "luo", "cohen", "sum", "none")
FORMS = ("masked", "plain", "product")
KINDS = ("edge", "any_parent", "all_parents")

FINDINGS = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity"),
    *("Edema", "Consolidation", "Pneumonia"),
)
PARENTS = (-1, 0, -1, 2, 2, 4)
LABELS = [
    [1, 1, 1, 0, 1, 1],
    [0, 0, 1, 1, 0, 0],
    [NAN, 1, NAN, NAN, NAN, NAN],
    [0, 0, 0, 0, 0, 0],
]


def tensor(rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype)


def same(got, want):
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


def batch(seed=0, rows=6, *, dtype=torch.float64):
    """Logits, targets (hard, soft and unknown) over the tree, and both weights."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, len(PARENTS))
    logits = 2 * torch.randn(shape, generator=generator, dtype=dtype)
    targets = torch.rand(shape, generator=generator, dtype=dtype)
    targets[::2] = targets[::2].round()
    targets[torch.rand(shape, generator=generator) < 0.3] = NAN
    alpha, beta = 3 * torch.rand(2, shape[1], generator=generator, dtype=dtype)
    return logits.requires_grad_(), targets, alpha, beta


def test_the_tree_is_chexpert_s():
    assert parents_in(FINDINGS) == PARENTS


# --- closure


def test_a_child_makes_its_ancestors_positive():
    """P4: whatever they were; what is unknown elsewhere stays unknown."""
    closed = close_upward(tensor(LABELS), PARENTS)
    same(closed[2], tensor([1, 1, NAN, NAN, NAN, NAN]))
    same(closed[[0, 1, 3]], tensor(LABELS)[[0, 1, 3]])


@pytest.mark.parametrize("parent", [0.0, -1.0, NAN, 0.15, 1.0])
def test_a_grandchild_overrides_every_target_above_it(parent):
    targets = tensor([[0, NAN, parent, 0, parent, 1]])
    same(close_upward(targets, PARENTS), tensor([[0, NAN, 1, 0, 1, 1]]))


@pytest.mark.parametrize("child", [0.0, -1.0, NAN, 0.7, 0.15])
def test_what_is_not_positive_moves_nothing(child):
    """An uncertain code, and a draw of label smoothing, say nothing of the parent."""
    targets = tensor([[0, 0, 0, 0, NAN, child]])
    same(close_upward(targets, PARENTS), targets)


def test_closing_writes_into_nothing_and_keeps_type():
    targets = tensor(LABELS, torch.float16)
    closed = close_upward(targets, PARENTS)
    assert closed.dtype == torch.float16
    same(targets, tensor(LABELS, torch.float16))
    assert close_upward(torch.tensor([[0, 1]]), [-1, 0]).tolist() == [[1, 1]]
    assert close_upward(torch.zeros(0, 2), [-1, 0]).shape == (0, 2)


@st.composite
def trees(draw, largest=7):
    """Parents in any order: a random forest, its findings shuffled."""
    size = draw(st.integers(1, largest))
    parents = [draw(st.integers(-1, finding - 1)) for finding in range(size)]
    places = draw(st.permutations(range(size)))
    shuffled = [-1] * size
    for finding, parent in enumerate(parents):
        shuffled[places[finding]] = -1 if parent == -1 else places[parent]
    return tuple(shuffled)


@settings(deadline=None, max_examples=60)
@given(trees(), st.integers(0, 1000))
def test_closure_is_that_of_climbing_each_path(parents, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(-1, 3, (5, len(parents)), generator=generator).double()
    targets[targets == 2] = NAN
    want = targets.clone()
    for row, finding in (targets == 1).nonzero().tolist():
        at = finding
        while at != -1:
            want[row, at] = 1
            at = parents[at]
    closed = close_upward(targets, parents)
    same(closed, want)
    same(close_upward(closed, parents), closed)  # once is enough


def test_labels_of_a_dataset_go_in_as_they_are(tmp_path):
    ds = xr.CheXpert(fakes.write("chexpert", tmp_path / "chexpert"), space="chexpert14", policy=xr.U_ONES)
    assert not ds.labels.flags.writeable
    labels, parents = torch.tensor(ds.labels.copy()), parents_in("chexpert14")
    assert (labels == 1).any()
    same(close_upward(ds.labels, parents), close_upward(labels, parents))
    mask = conditional_mask(ds.labels, parents)
    assert torch.equal(mask, conditional_mask(labels, parents))
    assert not mask[labels.isnan()].any()


# --- masks


def test_each_output_learns_where_its_parent_is_positive():
    """P4: the mask of each edge, as labelled and after closure."""
    want = [[1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0]]
    assert conditional_mask(tensor(LABELS), PARENTS).int().tolist() == want
    closed = conditional_mask(close_upward(tensor(LABELS), PARENTS), PARENTS)
    assert closed[2].int().tolist() == [1, 1, 0, 0, 0, 0]


def test_the_readings_by_rows():
    """P4: all parents (the letter of the paper), and any of them (a published re-implementation)."""
    labels, known = tensor(LABELS), ~tensor(LABELS).isnan()
    for kind, rows in (("all_parents", [1, 0, 0, 0]), ("any_parent", [1, 1, 0, 0])):
        mask = conditional_mask(labels, PARENTS, kind=kind)
        assert torch.equal(mask, known & torch.tensor(rows).bool()[:, None]), kind


def test_an_uncertain_parent_counts_as_its_policy_says():
    """U-Ones, U-Ones+LSR, and its mean are positive; U-Zeros+LSR, U-Zeros and U-Ignore are not."""
    for value, there in ((1.0, True), (0.55, True), (0.5, True), (0.3, False), (0.0, False), (NAN, False)):
        assert conditional_mask(tensor([[value, 0]]), [-1, 0])[0, 1].item() is there


def test_without_a_tree_everything_known_is_learned():
    targets = tensor([[1, NAN, 0]])
    mask = conditional_mask(targets, [-1, -1, -1])
    assert mask.tolist() == [[True, False, True]]


# --- the loss


def test_the_masked_loss_is_that_of_the_masked_entries():
    logits, targets, alpha, beta = batch()
    weights = {"task_weight": alpha, "pos_weight": beta}
    for kind in KINDS:
        got = conditional_loss(logits, targets, PARENTS, kind=kind, reduction="sum", **weights)
        mask = conditional_mask(targets, PARENTS, kind=kind)
        entries = masked_bce_with_logits(logits, targets, reduction="none", **weights)
        assert got.item() == pytest.approx(entries[mask].sum().item())
    plain = conditional_loss(logits, targets, PARENTS, form="plain", **weights)
    assert plain.item() == masked_bce_with_logits(logits, targets, **weights).item()


def test_outside_the_mask_there_is_no_gradient():
    logits = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    conditional_loss(logits, tensor(LABELS), PARENTS).backward()
    assert torch.equal(logits.grad != 0, conditional_mask(tensor(LABELS), PARENTS))


def test_the_product_of_three_tiny_probabilities():
    """P3: in log space; in float64 a product of sigmoids is 1 - p = 1, of which the log is 0."""
    logits = torch.full((1, 3), -50.0, dtype=torch.float64)
    chain = (-1, 0, 1)
    there = conditional_loss(logits, tensor([[NAN, NAN, 1]]), chain, form="product", reduction="sum")
    assert there.item() == pytest.approx(150.0, abs=1e-9)
    absent = conditional_loss(logits, tensor([[NAN, NAN, 0]]), chain, form="product", reduction="sum")
    assert absent.item() == pytest.approx(7.175095973164411e-66, rel=1e-9, abs=0)


def test_the_product_of_three_probabilities():
    """P3."""
    logits = tensor([[2, 1, -0.5]])
    got = conditional_loss(logits, tensor([[NAN, NAN, 1]]), (-1, 0, 1), form="product", reduction="sum")
    assert got.item() == pytest.approx(1.4142666827, abs=5e-10)
    assert math.exp(-got.item()) == pytest.approx(0.2431038203, abs=5e-10)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_product_is_torch_s_cross_entropy_of_the_head_s_probabilities(reduction):
    logits, targets, alpha, beta = batch(1)
    shares = ConditionalHead(2, 6, parents=PARENTS).probabilities(logits)
    weights = {"task_weight": alpha, "pos_weight": beta, "reduction": reduction}
    got = conditional_loss(logits, targets, PARENTS, form="product", **weights)
    want = masked_bce_with_logits(shares.logit(), targets, **weights)
    torch.testing.assert_close(got, want)
    known = ~targets.isnan()
    entries = F.binary_cross_entropy(shares[known], targets[known], reduction="none")
    plain = conditional_loss(logits, targets, PARENTS, form="product", reduction="none")
    torch.testing.assert_close(plain[known], entries)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_are_those_of_finite_differences(reduction, form):
    logits, targets, alpha, beta = batch(2, 3)

    def loss(z):
        return conditional_loss(
            z, targets, PARENTS, form=form, task_weight=alpha, pos_weight=beta, reduction=reduction
        )

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wild", [1e30, torch.inf, -torch.inf, NAN])
def test_logits_that_nothing_is_learned_from_are_not_read(form, wild):
    logits, targets, _, _ = batch(3)
    targets[0], targets[1], targets[:, 5] = NAN, tensor([0, NAN, NAN, NAN, NAN, NAN]), NAN
    targets[2] = tensor([1, NAN, 1, NAN, 0, NAN])
    unused = targets.isnan() & ~torch.isin(torch.arange(6), torch.tensor([0, 2, 4]))
    unused[0] = True
    want = conditional_loss(logits, targets, PARENTS, form=form)
    want.backward()
    other = logits.detach().masked_fill(unused, wild).requires_grad_()
    loss = conditional_loss(other, targets, PARENTS, form=form)
    loss.backward()
    assert loss.item() == want.item()
    assert torch.equal(other.grad, logits.grad)
    assert (other.grad[unused] == 0).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rows", [4, 0])
def test_a_batch_in_which_nothing_is_known_is_exactly_zero_with_a_graph(reduction, form, rows):
    logits = torch.randn(rows, 6, requires_grad=True)
    loss = conditional_loss(logits, torch.full((rows, 6), NAN), PARENTS, form=form, reduction=reduction)
    assert (loss == 0).all()
    loss.sum().backward()
    assert torch.equal(logits.grad, torch.zeros(rows, 6))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_one_class_alone_has_finite_gradients_at_the_ends_of_the_range(dtype, target, form):
    logits = torch.tensor([[-6e4] * 6, [6e4] * 6, [0.0] * 6, [40.0] * 6], dtype=dtype, requires_grad=True)
    loss = conditional_loss(logits, torch.full((4, 6), target), PARENTS, form=form)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_the_same_inside_autocast_and_in_one_graph(dtype, form):
    layer, (_, targets, alpha, beta) = torch.nn.Linear(8, 6), batch(4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        logits = layer(torch.randn(6, 8))
        assert logits.dtype == dtype
        inside = conditional_loss(logits, targets, PARENTS, form=form, task_weight=alpha, pos_weight=beta)
    outside = conditional_loss(logits, targets, PARENTS, form=form, task_weight=alpha, pos_weight=beta)
    assert torch.equal(inside, outside)
    inside.backward()
    assert layer.weight.grad.isfinite().all()
    logits = logits.detach().requires_grad_()
    compiled = torch.compile(conditional_loss, fullgraph=True, backend="eager")
    made = compiled(logits, targets, PARENTS, form=form, task_weight=alpha, pos_weight=beta)
    torch.testing.assert_close(made, outside)


def fitted(form, targets, *, steps=400):
    """Logits that the loss leads to, one for each finding."""
    logits = torch.zeros(targets.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        conditional_loss(logits.expand_as(targets), targets, (-1, 0), form=form).backward()
        optimizer.step()
    return logits.detach()


def test_masked_and_product_learn_the_truth_and_plain_counts_the_parent_twice():
    """Of 20 images 10 have the parent, and 4 of these the child: p = 0.5 and 0.2."""
    targets = torch.zeros(20, 2, dtype=torch.float64)
    targets[:10, 0] = 1
    targets[:4, 1] = 1
    head = ConditionalHead(2, 2, parents=(-1, 0))
    for form, child in (("masked", 0.2), ("product", 0.2), ("plain", 0.1)):
        shares = head.probabilities(fitted(form, targets)[None])
        assert shares[0].tolist() == pytest.approx([0.5, child], abs=1e-3), form


# --- the stages


def made_network():
    torch.manual_seed(0)
    backbone = Mini(width=4)
    return Network(backbone, ConditionalHead(backbone.out_features, 6, parents=PARENTS))


def trained(network, optimizer, stages, epoch, *, steps=3):
    generator = torch.Generator().manual_seed(epoch)
    images = 2048 * torch.rand(4, 1, 32, 32, generator=generator) - 1024
    network.train()
    stages.begin(network, epoch)
    for _ in range(steps):
        optimizer.zero_grad()
        conditional_loss(network(images), torch.tensor(LABELS), PARENTS).backward()
        optimizer.step()


def test_stage_2_leaves_every_bit_but_the_last_layer():
    """Weights, running statistics and their counts, with an optimiser that has momentum and decay."""
    network, stages = made_network(), TwoStages(first=2, second=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    start = copy.deepcopy(network.state_dict())
    trained(network, optimizer, stages, 2)
    before = copy.deepcopy(network.state_dict())
    assert any((start[name] != value).any() for name, value in before.items() if "backbone" in name)
    assert any("running_mean" in name for name in before)
    trained(network, optimizer, stages, 3)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) is (not name.startswith("head.")), name


def test_stage_1_trains_everything_again():
    network, stages = made_network(), TwoStages(first=1, second=1)
    stages.begin(network, 2)
    assert not network.backbone.training
    assert network.head.training
    stages.begin(network, 1)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_stages_follow_from_the_epoch_alone():
    stages = TwoStages(first=3, second=2)
    assert [stages.stage(epoch) for epoch in range(1, 7)] == [1, 1, 1, 2, 2, 2]
    assert stages.epochs == 5
    assert TwoStages(first=2, second=0).stage(2) == 1
    assert TwoStages() == TwoStages(first=5, second=5)


def test_the_last_layer_of_another_network_is_named():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    TwoStages(first=1).begin(network, 2, last=network[2])
    trains = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert trains == ["2.weight", "2.bias"]


# --- wrong arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parents": (-1, 0)}, "parents: expected one for each of the 3 findings, got 2"),
        ({"parents": (-1, 0), "form": "product"}, "parents: expected one for each of the 3 findings, got 2"),
        ({"parents": (1, 0, -1)}, "parents: expected a tree, got a circle"),
        ({"parents": (-1, 0, 7)}, "parents: expected positions from 0 to 2"),
        ({"form": "chain"}, r"form: expected one of \('masked', 'plain', 'product'\), got 'chain'"),
        ({"kind": "rows"}, r"kind: expected one of \('edge', 'any_parent', 'all_parents'\), got 'rows'"),
        ({"reduction": "mean", "form": "product"}, "reduction: expected one of .* A mean is one of three"),
        ({"targets": torch.zeros(2, 4)}, r"targets: expected the shape of the logits, \(2, 3\)"),
        ({"targets": torch.full((2, 3), -1.0)}, "targets: expected values .* -1 is the code of uncertain"),
        ({"logits": torch.zeros(2, 3).int()}, "logits: expected a float tensor"),
        (
            {"task_weight": torch.ones(2), "form": "product"},
            r"task_weight: expected a tensor of shape \(3,\)",
        ),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {"logits": torch.zeros(2, 3), "targets": torch.zeros(2, 3), "parents": (-1, 0, 0)} | changes
    with pytest.raises(ValueError, match=message):
        conditional_loss(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: close_upward(torch.zeros(3), [-1]), r"targets: expected a real tensor of shape \(N, L\)"),
        (lambda: close_upward([[0.0]], [-1]), "targets: expected a real tensor .*, got list"),
        (
            lambda: close_upward(torch.zeros(1, 2), [-1]),
            "parents: expected one for each of the 2 findings, got 1",
        ),
        (
            lambda: conditional_mask(torch.zeros(1, 2), [-1]),
            "parents: expected one for each of the 2 findings",
        ),
        (
            lambda: conditional_mask(torch.zeros(3), [-1]),
            r"targets: expected a real tensor of shape \(N, L\)",
        ),
        (lambda: TwoStages(first=0), "first: expected a whole number of at least 1, got 0"),
        (lambda: TwoStages(second=-1), "second: expected a whole number of at least 0, got -1"),
        (lambda: TwoStages().stage(0), "epoch: expected a whole number of at least 1, got 0"),
        (
            lambda: TwoStages().begin(torch.nn.Linear(2, 2), 1),
            "last: expected a layer of the network, got None",
        ),
        (
            lambda: TwoStages().begin(torch.nn.Linear(2, 2), 1, last=torch.nn.Linear(2, 2)),
            "last: expected a layer of the network, got Linear",
        ),
    ],
)
def test_other_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("form", FORMS)
def test_a_gpu_gives_what_the_processor_gives(form):
    logits, targets, alpha, beta = batch(5, 64, dtype=torch.float32)
    weights = {"task_weight": alpha, "pos_weight": beta}
    want = conditional_loss(logits, targets, PARENTS, form=form, **weights)
    moved = logits.detach().cuda().requires_grad_()
    loss = conditional_loss(moved, targets.cuda(), PARENTS, form=form, **weights)
    torch.testing.assert_close(loss.cpu(), want)
    same(close_upward(targets.cuda(), PARENTS).cpu(), close_upward(targets, PARENTS))
    with torch.autocast("cuda", dtype=torch.float16):
        half = conditional_loss(moved.half(), targets.cuda(), PARENTS, form=form)
    half.backward()
    assert half.dtype == torch.float32
    assert moved.grad.isfinite().all()
