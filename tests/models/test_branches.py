"""Class branches: pairs of torch's Linear, one pair for each finding, and none that reads another."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xrdatasets.models.heads.branches import BranchHead, BranchOutput


def pairs(head):
    """The same branches as layers of torch's own."""
    layers = []
    for finding in range(head.outputs):
        first, second = nn.Linear(head.in_features, head.width), nn.Linear(head.width, 1)
        first.load_state_dict({"weight": head.branch_weight[finding], "bias": head.branch_bias[finding]})
        second.load_state_dict(
            {"weight": head.score_weight[finding][None], "bias": head.score_bias[finding][None]}
        )
        layers.append((first.to(head.branch_weight.dtype), second.to(head.branch_weight.dtype)))
    return layers


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("outputs", [1, 5])
def test_branches_are_pairs_of_linear_layers(outputs, activation):
    torch.manual_seed(0)
    head = BranchHead(12, outputs, width=7, activation=activation).double()
    images = torch.randn(6, 12, dtype=torch.float64, requires_grad=True)
    logits, features = head(images)
    want_logits, want_features = [], []
    for first, second in pairs(head):
        hidden = first(images) if activation is None else F.relu(first(images))
        want_features.append(hidden)
        want_logits.append(second(hidden)[:, 0])
    torch.testing.assert_close(features, torch.stack(want_features, 1))
    torch.testing.assert_close(logits, torch.stack(want_logits, 1))
    (got,) = torch.autograd.grad(logits.square().sum() + features.sum(), images, retain_graph=True)
    want = torch.stack(want_logits, 1).square().sum() + torch.stack(want_features, 1).sum()
    torch.testing.assert_close(got, torch.autograd.grad(want, images)[0])


def test_parameters_of_twenty_findings():
    # 20 · (1024 · 128 + 128 + 128 + 1)
    assert sum(parameter.numel() for parameter in BranchHead(1024, 20).parameters()) == 2_626_580


def test_each_branch_starts_as_a_linear_layer_of_its_own_size():
    # torch.nn.Linear draws both from ±1/√fan_in; nn.init would take N' · F for the fan of (L, N', F)
    torch.manual_seed(0)
    head = BranchHead(64, 30, width=50)
    for first, second in pairs(head):
        for layer, inputs in ((first, 64), (second, 50)):
            bound = 1 / math.sqrt(inputs)
            assert layer.weight.abs().max() <= bound
            assert layer.bias.abs().max() <= bound
    for values, inputs in (
        (head.branch_weight, 64),
        (head.branch_bias, 64),
        (head.score_weight, 50),
    ):
        # the variance of a uniform draw; 1500 draws and more leave its root within 5 %
        assert values.std().item() == pytest.approx(1 / math.sqrt(3 * inputs), rel=0.05)


def test_a_finding_reads_no_other_branch():
    head, images = BranchHead(6, 4, width=3), torch.randn(2, 6)
    head(images).logits[:, 1].sum().backward()
    for parameter in head.parameters():
        assert parameter.grad[1].abs().sum() > 0
        assert parameter.grad[[0, 2, 3]].abs().sum() == 0


def test_an_adversary_s_gradient_reaches_the_image_but_not_the_score():
    head, images = BranchHead(6, 4, width=3), torch.randn(2, 6, requires_grad=True)
    head(images).features.square().sum().backward()
    assert images.grad.abs().sum() > 0
    assert head.branch_weight.grad.abs().sum() > 0
    assert head.score_weight.grad is None


def test_features_with_relu_are_those_behind_it():
    torch.manual_seed(0)
    output = BranchHead(6, 4, width=30, activation="relu")(torch.randn(3, 6))
    assert (output.features >= 0).all()
    assert (output.features == 0).any()


def test_logits_are_read_from_the_whole_output_or_given_back():
    head = BranchHead(6, 4, width=3)
    output = head(torch.randn(2, 6))
    assert head.logits(output) is output.logits
    assert head.logits(output.logits) is output.logits
    torch.testing.assert_close(head.probabilities(output), torch.sigmoid(output.logits))


def test_one_logit_in_half_precision_is_summed_up_in_full():
    # 4096 products of 1 · 1: in steps of 1, bfloat16 counts no further than 256
    head = BranchHead(1, 1, width=4096)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
        head.branch_bias.fill_(1.0)
        head.score_weight.fill_(1.0)
        head.score_bias.fill_(0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, features = head(torch.zeros(1, 1))
    assert features.dtype == torch.bfloat16
    assert (logits.dtype, logits.item()) == (torch.float32, 4096.5)


@pytest.mark.parametrize("value", [0, 1.5, True, None])
def test_a_wrong_width_is_named(value):
    with pytest.raises(ValueError, match=r"width: expected a whole number of at least 1, got"):
        BranchHead(6, 4, width=value)


@pytest.mark.parametrize("value", ["gelu", "ReLU", False, torch.relu])
def test_a_wrong_activation_is_named(value):
    with pytest.raises(ValueError, match="activation: expected None or 'relu', got"):
        BranchHead(6, 4, activation=value)


@pytest.mark.parametrize(
    "output", [torch.zeros(2, 3), BranchOutput(torch.zeros(2, 4, 1), torch.zeros(2, 4, 3))]
)
def test_an_output_of_another_shape_is_named(output):
    with pytest.raises(ValueError, match=r"output: expected what forward gave, of shape \(B, 4\), got"):
        BranchHead(6, 4, width=3).logits(output)
