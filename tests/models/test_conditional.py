"""Conditional heads: products along the tree, in log space, and what must hold at the ends of the range."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

import xrdatasets as xr
from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels import LabelSpace, Tree
from xrdatasets.models.heads.conditional import (
    ConditionalHead,
    parents_in,
    path_matrix,
    tree_log_complements,
    tree_log_probabilities,
)
from xrdatasets.models.heads.linear import LinearHead

CHAIN = (-1, 0, 1)
# Pham 2021, Figure 1, in the order of CheXpert's table, worked out by hand: conditional, and product
CHEXPERT = {
    "No Finding": (0.05, 0.05),
    "Enlarged Cardiomediastinum": (0.6, 0.6),
    "Cardiomegaly": (0.5, 0.3),
    "Lung Opacity": (0.8, 0.8),
    "Lung Lesion": (0.1, 0.08),
    "Edema": (0.4, 0.32),
    "Consolidation": (0.5, 0.4),
    "Pneumonia": (0.25, 0.1),
    "Atelectasis": (0.3, 0.24),
    "Pneumothorax": (0.07, 0.07),
    "Pleural Effusion": (0.9, 0.9),
    "Pleural Other": (0.02, 0.02),
    "Fracture": (0.03, 0.03),
    "Support Devices": (0.95, 0.95),
}


def tensor(rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype)


def head_of(parents):
    return ConditionalHead(4, len(parents), parents=parents)


@st.composite
def trees(draw, largest=12):
    """Parents in any order: a random forest, its findings shuffled."""
    size = draw(st.integers(1, largest))
    parents = [draw(st.integers(-1, finding - 1)) for finding in range(size)]
    places = draw(st.permutations(range(size)))
    shuffled = [-1] * size
    for finding, parent in enumerate(parents):
        shuffled[places[finding]] = -1 if parent == -1 else places[parent]
    return tuple(shuffled)


@st.composite
def cases(draw, bound=300.0, width=32):
    parents = draw(trees())
    numbers = st.floats(-bound, bound, width=width)
    rows = draw(
        st.lists(st.lists(numbers, min_size=len(parents), max_size=len(parents)), min_size=1, max_size=3)
    )
    return parents, rows


# --- worked values


def test_a_chain_with_two_ends():
    head = head_of((-1, 0, 1, 1))
    got = head.probabilities(torch.logit(tensor([[0.9, 0.8, 0.7, 0.25]])))
    torch.testing.assert_close(got, tensor([[0.9, 0.72, 0.504, 0.18]]), atol=1e-15, rtol=0)


def test_the_tree_of_chexpert():
    head = ConditionalHead.for_space(4, list(CHEXPERT))
    conditional, want = tensor(list(CHEXPERT.values())).unbind(1)
    got = head.probabilities(torch.logit(conditional)[None])[0]
    torch.testing.assert_close(got, want, atol=1e-15, rtol=0)


def test_logits_of_an_ordinary_path():
    # log sigmoid of 2, 1 and -.5, added: -1.4142666827
    log_p = tree_log_probabilities(tensor([2.0, 1.0, -0.5]), path_matrix(CHAIN))[2].item()
    assert log_p == pytest.approx(-1.4142666827, abs=5e-11)
    assert math.exp(log_p) == pytest.approx(0.2431038203, abs=5e-11)
    want = math.log(0.2431038203 / (1 - 0.2431038203))
    assert head_of(CHAIN).logits(tensor([[2.0, 1.0, -0.5]]))[0, 2].item() == pytest.approx(want, abs=1e-9)


def test_a_path_of_three_at_minus_fifty():
    logits, paths = torch.full((3,), -50.0, dtype=torch.float64), path_matrix(CHAIN)
    assert tree_log_probabilities(logits, paths)[2].item() == pytest.approx(-150, abs=1e-9)
    # -log1p(-exp(-150)); log(-expm1(-150)) is 0
    assert -tree_log_complements(logits, paths)[2].item() == pytest.approx(7.175095973164411e-66, rel=1e-12)
    assert head_of(CHAIN).logits(logits[None])[0, 2].item() == pytest.approx(-150, abs=1e-9)


# --- laws


@settings(deadline=None)
@given(cases())
def test_a_child_never_exceeds_its_parent(case):
    parents, rows = case
    head, output = head_of(parents), torch.tensor(rows)
    for values in (head.probabilities(output), tree_log_probabilities(output, head.paths)):
        for finding, parent in enumerate(parents):
            if parent >= 0:
                assert (values[:, finding] <= values[:, parent]).all()


@settings(deadline=None)
@given(cases(bound=30.0))
def test_probabilities_are_plain_products(case):
    parents, rows = case
    got = head_of(parents).probabilities(tensor(rows))
    for row, conditional in enumerate(rows):
        for finding in range(len(parents)):
            want, at = 1.0, finding
            while at >= 0:
                want *= 1 / (1 + math.exp(-conditional[at]))
                at = parents[at]
            assert got[row, finding].item() == pytest.approx(want, rel=1e-12)


@settings(deadline=None)
@given(cases())
def test_the_sigmoid_of_logits_is_the_probability(case):
    parents, rows = case
    head = head_of(parents)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        output = tensor(rows, dtype)
        got = torch.sigmoid(head.logits(output))
        torch.testing.assert_close(got, head.probabilities(output), atol=tolerance, rtol=0)


@settings(deadline=None)
@given(cases())
def test_logits_and_gradients_are_finite_anywhere(case):
    parents, rows = case
    head, output = head_of(parents), torch.tensor(rows, requires_grad=True)
    for values in (
        head.logits(output),
        tree_log_probabilities(output, head.paths),
        tree_log_complements(output, head.paths),
    ):
        (gradient,) = torch.autograd.grad(values.sum(), output)
        assert values.isfinite().all()
        assert gradient.isfinite().all()


@settings(deadline=None)
@given(cases(bound=300.0, width=64))
def test_roots_stay_as_they_are(case):
    parents, rows = case
    output = tensor(rows)
    roots = [finding for finding, parent in enumerate(parents) if parent == -1]
    # near 0 the logit is a difference of two numbers near log 2
    torch.testing.assert_close(
        head_of(parents).logits(output)[:, roots], output[:, roots], atol=1e-15, rtol=1e-14
    )


# --- against numbers of more digits, where a plain log(1 - p) fails


@pytest.mark.parametrize(
    "logits",
    [
        (0.3, -0.2, 1.5),
        (0.7, 0.7, 20.0),
        (8.0, 9.0, 10.0),
        (30.0, 31.0, 2.0),
        (-3.0, 40.0, 40.0),
        (17.0,) * 3,
    ],
)
def test_complements_against_fractions_of_many_digits(logits):
    from decimal import Decimal, localcontext

    with localcontext(prec=80):
        product = Decimal(1)
        for value in logits:
            product /= 1 + (-Decimal(value)).exp()
        want, odds = float((1 - product).ln()), float((product / (1 - product)).ln())
    double = tree_log_complements(tensor(logits), path_matrix(CHAIN))[2].item()
    assert double == pytest.approx(want, rel=1e-13)
    single = tree_log_complements(torch.tensor(logits), path_matrix(CHAIN))[2].item()
    assert single == pytest.approx(want, rel=1e-6)
    got = head_of(CHAIN).logits(torch.tensor([logits]))[0, 2].item()
    assert got == pytest.approx(odds, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("value", [200.0, -200.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_at_two_hundred(value, dtype):
    output = torch.full((1, 3), value, dtype=dtype, requires_grad=True)
    head = head_of(CHAIN)
    logits = head.logits(output)
    # at 200 the three ways to break add up: 1 - p = k e⁻²⁰⁰; at -200 the factors do: p = e⁻²⁰⁰ᵏ
    want = [value, value - math.log(2), value - math.log(3)] if value > 0 else [value, 2 * value, 3 * value]
    torch.testing.assert_close(logits, tensor([want], dtype))
    logits[0, 2].backward()
    want = [1 / 3] * 3 if value > 0 else [1.0] * 3
    torch.testing.assert_close(output.grad, tensor([want], dtype))


def test_the_cross_entropy_of_a_product_has_the_gradient_of_its_fraction():
    # y log p + (1 - y) log(1 - p) of p = s(2) s(1) s(-.5): d/dz_j = (y - (1 - y) p / (1 - p)) · (1 - s_j)
    logits = tensor([2.0, 1.0, -0.5]).requires_grad_()
    paths = path_matrix(CHAIN)
    (present,) = torch.autograd.grad(tree_log_probabilities(logits, paths)[2], logits)
    (absent,) = torch.autograd.grad(tree_log_complements(logits, paths)[2], logits)
    steps = [1 / (1 + math.exp(-value)) for value in (2.0, 1.0, -0.5)]
    p = math.prod(steps)
    torch.testing.assert_close(present, tensor([1 - step for step in steps]))
    torch.testing.assert_close(absent, tensor([-p / (1 - p) * (1 - step) for step in steps]))


def test_gradients_are_right_on_both_sides_of_one_half():
    paths = path_matrix((-1, 0, 1, 0))
    logits = tensor([[3.0, 2.0, 4.0, -1.0], [0.0, 0.1, -0.2, 9.0], [-30.0, 2.0, 30.0, 20.0]]).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: tree_log_complements(values, paths), logits)
    assert torch.autograd.gradcheck(lambda values: tree_log_probabilities(values, paths), logits)


# --- half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    output = torch.tensor([[1.25, 12.0, -0.75], [-60_000.0, -60_000.0, 60_000.0]], dtype=dtype)
    head = head_of(CHAIN)
    for function in (head.logits, head.probabilities):
        got = function(output)
        assert got.dtype == torch.float32
        assert torch.equal(got, function(output.float()))
        assert got.isfinite().all()


def test_autocast_does_not_round_the_sums():
    output = torch.tensor([[1.2345678, 2.3456789, -0.7654321]])
    head = head_of(CHAIN)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head.logits(output), head_of(CHAIN).logits(output))
        inside = head.probabilities(output)
    torch.testing.assert_close(inside, torch.sigmoid(output).cumprod(1), atol=1e-7, rtol=1e-6)


def test_a_factor_of_nought_is_nought_and_harms_no_other_finding():
    output = torch.tensor([[-math.inf, 1.0, 2.0]])
    got = ConditionalHead(4, 3, parents=[-1, 0, -1]).probabilities(output)
    torch.testing.assert_close(got, torch.tensor([[0.0, 0.0, 1 / (1 + math.exp(-2.0))]]))


# --- trees


def test_paths_do_not_depend_on_the_order_of_findings():
    assert path_matrix((2, -1, 1)).int().tolist() == [[1, 1, 1], [0, 1, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ((0,), "expected a tree, got a circle: 0 below 0"),
        ((1, 0), "expected a tree, got a circle: 0 below 1 below 0"),
        ((-1, 3, 1, 2), "expected a tree, got a circle: 1 below 3 below 2 below 1"),
        ((-1, 2), "expected positions from 0 to 1, or -1 for a root, got 2 for finding 1"),
        ((-2, 0), "expected positions from 0 to 1, or -1 for a root, got -2 for finding 0"),
        ((-1, 0.0), r"expected positions from 0 to 1, or -1 for a root, got 0\.0 for finding 1"),
        ((-1, False), "expected positions from 0 to 1, or -1 for a root, got False for finding 1"),
        ((-1, None), "expected positions .*, got None for finding 1"),
        ((), r"expected one position for each finding, got \(\)"),
        ("-1", "expected one position for each finding, got '-1'"),
        (None, "expected one position for each finding, got None"),
        ((-1, 0, 1), "expected one for each of the 2 outputs, got 3"),
    ],
)
def test_wrong_parents_are_named(parents, message):
    with pytest.raises(ValueError, match=f"parents: {message}"):
        ConditionalHead(4, 2, parents=parents)


def test_a_space_brings_the_tree_of_its_findings():
    names = LabelSpace.load("chexpert14").labels
    parents = parents_in("chexpert14")
    found = {names[child]: names[parent] for child, parent in enumerate(parents) if parent >= 0}
    assert found == {
        "Cardiomegaly": "Enlarged Cardiomediastinum",
        "Lung Lesion": "Lung Opacity",
        "Edema": "Lung Opacity",
        "Consolidation": "Lung Opacity",
        "Pneumonia": "Consolidation",
        "Atelectasis": "Lung Opacity",
    }
    head = ConditionalHead.for_space(8, "chexpert14", bias=False)
    assert (head.outputs, head.parents, head.bias) == (14, parents, None)


def test_a_parent_outside_the_space_is_skipped_to_the_next_that_is_in_it():
    assert parents_in(["Pneumonia", "Consolidation", "Lung Opacity"]) == (1, 2, -1)
    assert parents_in(["Pneumonia", "Edema", "Lung Opacity"]) == (2, 2, -1)
    assert parents_in(["Pneumonia", "Edema", "Consolidation"]) == (2, -1, -1)
    assert parents_in(["Pneumonia", "Hernia"]) == (-1, -1)


def test_another_tree_by_name_or_itself():
    space = xr.LabelSpace.of(["Lung Lesion", "Mass", "Pneumonia", "Consolidation"])
    assert parents_in(space, "luo2020") == (-1, 0, -1, -1)
    assert parents_in(space, Tree.load("luo2020")) == (-1, 0, -1, -1)
    assert ConditionalHead.for_space(8, space, "luo2020").parents == (-1, 0, -1, -1)


@pytest.mark.parametrize(
    ("space", "tree", "message"),
    [
        ("nih15", "irvin2019", "no label space is called 'nih15'"),
        ("nih14", "pham", "no hierarchy is called 'pham'"),
        (["Corn"], "luo2020", "'Corn'"),
    ],
)
def test_unknown_spaces_and_trees_are_named(space, tree, message):
    with pytest.raises(LabelNotFoundError, match=message):
        ConditionalHead.for_space(8, space, tree)


# --- what it shares with a linear head


def test_its_weights_are_those_of_a_linear_head():
    linear, head = LinearHead(8, 3), ConditionalHead(8, 3, parents=CHAIN)
    head.load_state_dict(linear.state_dict())
    features = torch.randn(2, 8)
    assert torch.equal(head(features), linear(features))
    assert sorted(head.state_dict()) == ["bias", "weight"]


def test_without_a_tree_it_says_what_a_linear_head_says():
    head = ConditionalHead(8, 3, parents=(-1, -1, -1))
    output = torch.tensor([[-120.0, 0.25, 60.0]])
    torch.testing.assert_close(head.logits(output), output)
    torch.testing.assert_close(head.probabilities(output), torch.sigmoid(output))


def test_its_own_output_is_what_conditional_training_reads():
    head, features = ConditionalHead(8, 3, parents=CHAIN), torch.randn(2, 8)
    assert torch.equal(head(features), F.linear(features, head.weight, head.bias))


def test_the_tree_is_there_where_modules_are_made_without_numbers():
    with torch.device("meta"):
        head = ConditionalHead(8, 3, parents=CHAIN)
    head.load_state_dict(ConditionalHead(8, 3, parents=CHAIN).state_dict(), assign=True)
    assert head.probabilities(head(torch.zeros(1, 8))).isfinite().all()


@pytest.mark.parametrize("shape", [(2, 4), (3,), (2, 3, 1)])
def test_an_output_of_another_shape_is_named(shape):
    for function in (head_of(CHAIN).logits, head_of(CHAIN).probabilities):
        with pytest.raises(ValueError, match=r"output: expected what forward gave, of shape \(B, 3\), got"):
            function(torch.zeros(shape))


@pytest.mark.parametrize("function", [tree_log_probabilities, tree_log_complements])
@pytest.mark.parametrize(
    ("logits", "paths", "message"),
    [
        (torch.zeros(2, 3), torch.eye(3), "paths: expected what path_matrix gives, .* float32 of shape"),
        (torch.zeros(2, 3), [[True]], "paths: expected what path_matrix gives, .* got list"),
        (torch.zeros(2, 3), path_matrix((-1,)), r"logits: expected .* \(\.\.\., 1\), got float32 of shape"),
        (torch.zeros(2, 3, dtype=torch.int64), path_matrix(CHAIN), "logits: expected .*, got int64"),
        (torch.tensor(0.0), path_matrix((-1,)), r"logits: expected .*, got float32 of shape \(\)"),
        ([0.0], path_matrix((-1,)), "logits: expected .*, got list"),
    ],
)
def test_wrong_arguments_are_named(function, logits, paths, message):
    with pytest.raises(ValueError, match=message):
        function(logits, paths)


# --- as ONNX


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_onnx_says_the_same_at_the_ends_of_the_range():
    # log sigmoid of its own operator there is Log(Sigmoid(z)): -inf from -104 on, and off by 0.6 before
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    head = head_of(CHAIN)

    class Readings(torch.nn.Module):
        def forward(self, output):
            return head.logits(output), head.probabilities(output)

    output = torch.tensor(
        [[300.0, 300.0, 300.0], [-300.0, 102.0, 1.0], [-101.0, 0.0, 20.0], [9.0, -9.0, 0.5]]
    )
    program = torch.onnx.export(Readings(), (output,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    logits, probabilities = session.run(None, {session.get_inputs()[0].name: output.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), head.logits(output), atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(torch.from_numpy(probabilities), head.probabilities(output), atol=1e-6, rtol=0)
