"""A head for each dataset: rows in the published order, and means over what was trained."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from xrdatasets.models.heads.per_dataset import PerDatasetHead

NAN, INF = torch.nan, torch.inf


@pytest.mark.parametrize("bias", [True, False])
def test_rows_are_one_linear_layer_datasets_outside(bias):
    torch.manual_seed(1)
    head = PerDatasetHead(16, 3, datasets=["a", "b"], bias=bias)
    torch.manual_seed(1)
    layer = nn.Linear(16, 6, bias=bias)
    images = torch.randn(4, 16)
    output = head(images)
    for dataset in range(2):
        for finding in range(3):
            want = layer(images)[:, dataset * 3 + finding]
            torch.testing.assert_close(output[:, dataset, finding], want)


def test_weight_vectors_are_the_parameter():
    # distances 5, 12, 13 of three datasets: the gradient of their mean times .1, at the first, is by hand
    # -.1 / 3 · ((3, 4, 0) / 5 + (0, 0, 1))
    head = PerDatasetHead(3, 1, datasets=["a", "b", "c"], bias=False).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0, 0], [3, 4, 0], [0, 0, 12]])[:, None])
    rows = head.weight_vectors()
    assert rows.shape == (3, 1, 3)
    distances = torch.nn.functional.pdist(rows[:, 0])
    torch.testing.assert_close(distances, torch.tensor([5.0, 12, 13], dtype=torch.float64))
    (0.1 * distances.mean()).backward()
    want = torch.tensor([-0.02, -0.0266666667, -0.0333333333], dtype=torch.float64)
    torch.testing.assert_close(head.weight.grad[0, 0], want, atol=5e-11, rtol=0)


def test_logits_are_means_over_trained_rows():
    trained = [[True, True, False], [True, False, False], [True, False, False]]
    head = PerDatasetHead(4, 3, datasets=["a", "b", "c"], trained=trained)
    output = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]])
    assert head.logits(output).tolist() == [[4.0, 2.0, 0.0]]
    assert head.probabilities(output)[0, 2].item() == 0.5


def test_all_rows_are_trained_unless_said_otherwise():
    head = PerDatasetHead(4, 2, datasets=["a", "b"])
    assert head.trained.tolist() == [[True, True], [True, True]]
    assert head.logits(torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])).tolist() == [[2.0, 4.0]]


def test_untrained_rows_are_not_read_whatever_stands_there():
    head = PerDatasetHead(4, 2, datasets=["a", "b"], trained=[[True, False], [False, False]])
    output = torch.tensor([[[1.0, NAN], [INF, -INF]]], requires_grad=True)
    logits = head.logits(output)
    assert logits.tolist() == [[1.0, 0.0]]
    logits.sum().backward()
    assert output.grad.tolist() == [[[1.0, 0.0], [0.0, 0.0]]]


def test_a_mean_of_large_half_precision_numbers_stays_one():
    head = PerDatasetHead(4, 1, datasets=list("abcd"))
    assert head.logits(torch.full((1, 4, 1), 60_000.0, dtype=torch.float16)).item() == 60_000


def test_the_mask_travels_with_the_weights():
    trained = torch.tensor([[True, False], [False, True]])
    first = PerDatasetHead(4, 2, datasets=["a", "b"], trained=trained)
    second = PerDatasetHead(4, 2, datasets=["a", "b"])
    assert sorted(first.state_dict()) == ["bias", "trained", "weight"]
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.trained, trained)
    assert second.config() == first.config()
    assert first.half().trained.dtype == torch.bool


@pytest.mark.parametrize("kind", [torch.tensor, np.array, list], ids=["tensor", "array", "list"])
def test_the_mask_is_a_copy(kind):
    mask = kind([[True, True], [True, True]])
    head = PerDatasetHead(4, 2, datasets=("a", "b"), trained=mask)
    mask[0][0] = False
    assert head.trained.all()


def test_config_says_it_in_plain_words():
    head = PerDatasetHead(
        4, 2, datasets=("a", "b"), trained=np.array([[True, False], [True, True]]), bias=False
    )
    assert head.config() == {
        "kind": "per_dataset",
        "in_features": 4,
        "outputs": 2,
        "datasets": ["a", "b"],
        "trained": [[True, False], [True, True]],
        "bias": False,
    }


def test_it_starts_as_a_linear_layer():
    head = PerDatasetHead(64, 30, datasets=["a", "b"])
    assert head.weight.abs().max() <= 1 / math.sqrt(64)
    assert head.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 64), rel=0.05)


@pytest.mark.parametrize("value", ["nih", [], ["a", "a"], ["a", ""], ["a", 1], {"a": 1, "b": 2}, None, 3])
def test_wrong_datasets_are_named(value):
    with pytest.raises(ValueError, match="datasets: expected at least one name, each once, got"):
        PerDatasetHead(4, 2, datasets=value)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ([[True, True]], r"bool of shape \(1, 2\)"),
        ([[True], [True]], r"bool of shape \(2, 1\)"),
        ([[1, 0], [0, 1]], r"int64 of shape \(2, 2\)"),
        ([[1.0, NAN], [0.0, 1.0]], r"float32 of shape \(2, 2\)"),
        ([[True, True], [True]], r"\[\[True, True\], \[True\]\]"),
        ("yes", "'yes'"),
    ],
)
def test_a_wrong_mask_is_named(value, got):
    with pytest.raises(ValueError, match=rf"trained: expected a bool array of shape \(2, 2\).*, got {got}"):
        PerDatasetHead(4, 2, datasets=["a", "b"], trained=value)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3, 2), (1, 2, 3)])
def test_an_output_of_another_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"output: expected what forward gave, of shape \(B, 2, 2\), got"):
        PerDatasetHead(4, 2, datasets=["a", "b"]).logits(torch.zeros(shape))
