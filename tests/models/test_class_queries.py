"""Class queries: the worked example, the scale at the start, and findings that come later."""

import math

import pytest
import torch
from torch import nn

from xrdatasets.models.heads.class_queries import ClassQueryHead

IMAGES = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, 1.0]], dtype=torch.float64)


def worked():
    """Two findings, three features; A and b as written, queries the identity."""
    head = ClassQueryHead(3, 2).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]]))
        head.bias.copy_(torch.tensor([0.1, 0.0, -0.1], dtype=torch.float64))
    return head


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


# --- by hand: W = q Aᵀ + 1 bᵀ, logits e Wᵀ


def test_the_worked_example():
    head = worked()
    torch.testing.assert_close(head.weight_vectors(), tensor([[1.1, 0.0, -1.1], [0.1, 2.0, 0.9]]))
    logits = head(IMAGES)
    torch.testing.assert_close(logits, tensor([[-2.2, 6.8], [-0.55, 0.95]]))
    want = tensor([[0.0997504891, 0.9988874640], [0.3658644090, 0.7211151780]])
    torch.testing.assert_close(head.probabilities(logits), want, atol=5e-11, rtol=0)


def test_a_query_that_moves_changes_its_own_finding_alone():
    head = worked()
    with torch.no_grad():
        head.queries[0, 1] = 0.5
    torch.testing.assert_close(head.weight_vectors(), tensor([[1.1, 1.0, -0.6], [0.1, 2.0, 0.9]]))


@pytest.mark.parametrize(("outputs", "count"), [(14, 15_556), (20, 21_904)])
def test_parameters(outputs, count):
    assert sum(parameter.numel() for parameter in ClassQueryHead(1024, outputs).parameters()) == count


# --- the start


@pytest.mark.parametrize("init", ["linear", "paper"])
def test_queries_start_as_the_identity(init):
    assert torch.equal(ClassQueryHead(8, 5, init=init).queries, torch.eye(5))


def test_the_paper_s_start_is_a_linear_layer_s_from_findings_to_features():
    torch.manual_seed(5)
    head = ClassQueryHead(512, 14, init="paper")
    torch.manual_seed(5)
    layer = nn.Linear(14, 512)
    for values in (head.weight, head.bias, layer.weight, layer.bias):
        assert 0.9 / math.sqrt(14) < values.abs().max() <= 1 / math.sqrt(14)
    # W is a sum of two draws: √2 / √(3 · 14), 12 times 1 / √(3 · 1024 · 2) and more
    assert head.weight_vectors().std().item() == pytest.approx(math.sqrt(2 / 42), rel=0.05)


@pytest.mark.parametrize("outputs", [2, 14, 40])
def test_the_linear_start_varies_as_the_weights_of_a_linear_layer(outputs):
    torch.manual_seed(0)
    weights = ClassQueryHead(4096, outputs, init="linear").weight_vectors()
    assert weights.std().item() == pytest.approx(nn.Linear(4096, outputs).weight.std().item(), rel=0.05)


# --- findings that come later


@pytest.mark.parametrize("init", ["linear", "paper"])
@pytest.mark.parametrize("count", [1, 3])
def test_old_findings_keep_their_logits(init, count):
    torch.manual_seed(0)
    head = ClassQueryHead(64, 4, init=init)
    with torch.no_grad():
        head.queries.add_(torch.randn(4, 4))  # as after training
    images = torch.randn(8, 64)
    grown = head.add_findings(count)
    assert (grown.outputs, grown.init) == (4 + count, init)
    torch.testing.assert_close(grown(images)[:, :4], head(images), atol=1e-6, rtol=1e-6)
    assert grown(images)[:, 4:].abs().min() > 0


def test_new_findings_have_one_hot_queries_and_columns_of_their_own():
    grown = worked().add_findings(2)
    want = tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert torch.equal(grown.queries.detach(), want)
    assert torch.equal(grown.weight[:, :2], worked().weight)
    assert 0 < grown.weight[:, 2:].abs().max() <= 1 / math.sqrt(2 * 3)  # √(4 / 2F) / √4, F = 3
    assert torch.equal(grown.bias, worked().bias)


def test_the_old_head_and_its_optimiser_are_left_alone():
    head = worked()
    optimiser = torch.optim.SGD(head.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    grown = head.add_findings(1)
    grown(IMAGES).sum().backward()
    assert all(parameter.grad is None for parameter in head.parameters())
    optimiser.step()
    assert (head.outputs, list(head.state_dict())) == (2, list(before))
    assert all(torch.equal(head.state_dict()[name], value) for name, value in before.items())
    held = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in head.parameters()}


def test_what_was_frozen_stays_so_and_the_mode_too():
    head = worked().eval()
    head.bias.requires_grad_(False)
    grown = head.add_findings(1)
    assert {name for name, value in grown.named_parameters() if value.requires_grad} == {"queries", "weight"}
    assert not grown.training
    assert grown.weight.dtype == torch.float64


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "two"])
def test_a_wrong_count_is_named(value):
    with pytest.raises(ValueError, match=r"count: expected a whole number of at least 1, got"):
        worked().add_findings(value)


# --- how alike findings are


def test_similarity_is_the_cosine_of_queries_or_of_weights():
    head = worked()
    assert torch.equal(head.similarity(), torch.eye(2, dtype=torch.float64))
    with torch.no_grad():
        head.queries[0, 1] = 0.5
    # (1, .5) and (0, 1): .5 / √1.25
    torch.testing.assert_close(head.similarity()[0, 1].item(), 0.4472135955, atol=5e-11, rtol=0)
    # (1.1, 1, -.6) and (.1, 2, .9): 1.57 / √(2.57 · 4.82)
    want = 1.57 / math.sqrt(2.57 * 4.82)
    torch.testing.assert_close(head.similarity("weights")[0, 1].item(), want, atol=1e-12, rtol=0)
    torch.testing.assert_close(head.similarity("weights"), head.similarity("weights").mT)


def test_similarity_knows_opposites_and_nothing():
    head = ClassQueryHead(3, 3)
    with torch.no_grad():
        head.queries.copy_(torch.tensor([[1.0, 2.0, 0.0], [-2.0, -4.0, 0.0], [0.0, 0.0, 0.0]]))
    want = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(head.similarity(), want)
    assert head.similarity().abs().max() <= 1


def test_similarity_is_read_in_full_precision():
    head = ClassQueryHead(3, 2)
    with torch.no_grad():
        head.queries[0, 1] = 0.001
    with torch.autocast("cpu", dtype=torch.bfloat16):
        read = head.similarity()
    assert not read.requires_grad
    assert read[0, 1].item() == pytest.approx(0.001 / math.sqrt(1.000001), rel=1e-6)
    assert head.half().similarity().dtype == torch.float32


@pytest.mark.parametrize("value", ["features", None, 0])
def test_a_similarity_of_something_else_is_refused(value):
    with pytest.raises(ValueError, match=r"of: expected one of \('queries', 'weights'\), got"):
        worked().similarity(value)


@pytest.mark.parametrize("value", ["Linear", None, "zero"])
def test_a_start_of_another_name_is_refused(value):
    with pytest.raises(ValueError, match=r"init: expected one of \('linear', 'paper'\), got"):
        ClassQueryHead(3, 2, init=value)
