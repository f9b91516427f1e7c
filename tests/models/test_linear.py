"""Linear heads: torch's Linear under the same seed, and the score that leaves "uncertain" out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xrdatasets.models.heads.linear import LinearHead, MultiClassHead

# softmax of (1, 2, 3), from exp(1), exp(2), exp(3) by hand
SOFTMAX = (0.0900305732, 0.2447284711, 0.6652409558)


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_torch_s_linear_from_the_start(bias):
    torch.manual_seed(3)
    ours = LinearHead(16, 5, bias=bias)
    torch.manual_seed(3)
    torchs = nn.Linear(16, 5, bias=bias)
    assert sorted(ours.state_dict()) == sorted(torchs.state_dict())
    features = torch.randn(4, 16)
    assert torch.equal(ours(features), torchs(features))


def test_the_weights_of_a_linear_layer_fit():
    torchs, ours = nn.Linear(16, 5), LinearHead(16, 5)
    ours.load_state_dict(torchs.state_dict())
    features = torch.randn(4, 16)
    assert torch.equal(ours(features), torchs(features))


def test_its_output_is_its_logits():
    head, features = LinearHead(8, 3), torch.randn(4, 8)
    output = head(features)
    assert torch.equal(head.logits(output), output)
    torch.testing.assert_close(head.probabilities(output), 1 / (1 + torch.exp(-output)))


@pytest.mark.parametrize("bias", [True, False])
def test_three_classes_are_three_linear_layers(bias):
    head, features = MultiClassHead(8, 4, bias=bias).double(), torch.randn(5, 8, dtype=torch.float64)
    output = head(features)
    assert output.shape == (5, 4, 3)
    for finding in range(4):
        for each in range(3):
            want = features @ head.weight[finding, each] + (head.bias[finding, each] if bias else 0)
            torch.testing.assert_close(output[:, finding, each], want)


def test_three_classes_start_as_one_linear_layer():
    torch.manual_seed(3)
    ours = MultiClassHead(16, 5)
    torch.manual_seed(3)
    torchs = nn.Linear(16, 15)
    features = torch.randn(2, 16)
    assert torch.equal(ours(features).flatten(1), torchs(features))


def test_the_score_leaves_uncertain_out():
    head = MultiClassHead(8, 1)
    output = torch.tensor([[[1.0, 2.0, 3.0]]], dtype=torch.float64)  # negative, positive, uncertain
    torch.testing.assert_close(
        output.softmax(-1), torch.tensor([[SOFTMAX]], dtype=torch.float64), atol=5e-11, rtol=0
    )
    assert head.logits(output).item() == 1.0
    assert head.probabilities(output).item() == pytest.approx(0.7310585786, abs=5e-11)
    assert head.probabilities(output).item() == pytest.approx(
        SOFTMAX[1] / (SOFTMAX[0] + SOFTMAX[1]), abs=1e-9
    )
    output[..., 2] = 1e6
    assert head.logits(output).item() == 1.0


def test_cross_entropy_takes_what_it_gives():
    head, features = MultiClassHead(8, 4), torch.randn(5, 8)
    target = torch.randint(3, (5, 4), generator=torch.Generator().manual_seed(0))
    F.cross_entropy(head(features).mT, target).backward()
    assert head.weight.grad.isfinite().all()
    assert head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3), (2, 3, 2), (3, 3)])
def test_an_output_of_another_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"output: expected what forward gave, of shape \(B, 3, 3\), got \("):
        MultiClassHead(8, 3).logits(torch.zeros(shape))


def test_what_is_no_output_is_named():
    with pytest.raises(ValueError, match=r"output: expected .*, got list"):
        MultiClassHead(8, 3).logits([[0.0]])


@pytest.mark.parametrize("made", [LinearHead, MultiClassHead])
@pytest.mark.parametrize("value", [1, 0, None, "no"])
def test_a_bias_is_true_or_false(made, value):
    with pytest.raises(ValueError, match="bias: expected True or False, got"):
        made(8, 3, bias=value)
