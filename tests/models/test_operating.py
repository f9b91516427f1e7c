"""Operating points: the worked values of the calibration map, its ends, and gradients past unknown points."""

import itertools
import math

import pytest
import torch
from hypothesis import given, strategies as st

from xrdatasets.models.operating import apply_operating_points


def mapped(values, point, dtype=torch.float64):
    return apply_operating_points(torch.tensor(values, dtype=dtype)[:, None], torch.tensor([point]))[
        :, 0
    ].tolist()


@pytest.mark.parametrize(
    ("point", "values", "wanted"),
    [
        (0.2, (0, 0.1, 0.2, 0.6, 1), (0, 0.25, 0.5, 0.75, 1)),
        (0.0, (0, 0.4, 1), (0.5, 0.7, 1)),
        (1.0, (0, 0.4, 1), (0, 0.2, 0.5)),
        (math.nan, (0, 0.4, 1), (0, 0.4, 1)),
    ],
)
def test_the_worked_values(point, values, wanted):
    """By hand, after equation 1 of Cohen 2020; at 0 and 1 one line is left."""
    assert mapped(values, point) == pytest.approx(wanted, abs=1e-7)


@given(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_it_rises_and_stays_in_range(point, values):
    found = mapped(sorted(values), point)
    assert all(0 <= value <= 1 for value in found)
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(found))


def test_the_call_is_at_the_point_or_above():
    assert [value >= 0.5 for value in mapped((0.19, 0.25, 0.26), 0.25)] == [False, True, True]


@pytest.mark.parametrize("point", [0.0, 0.3, 1.0, math.nan])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_gradients_are_finite(point, value):
    p = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    apply_operating_points(p, torch.tensor([point], dtype=torch.float64)).sum().backward()
    slope = (
        1 if math.isnan(point) else 1 / (2 * point) if value < point or point == 1 else 1 / (2 * (1 - point))
    )
    assert p.grad.item() == pytest.approx(slope)


def test_the_type_is_kept():
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert apply_operating_points(torch.ones(1, 1, dtype=dtype), torch.tensor([0.5])).dtype == dtype
