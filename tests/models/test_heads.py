"""All heads, by name: gradients, precisions, odd batches; config and weights make the same head again."""

import copy
import json

import pytest
import torch

from xrdatasets.models.heads.base import Head
from xrdatasets.models.heads.making import HEADS, head

FEATURES, OUTPUTS = 6, 3
CASES = {
    "linear": ("linear", {}),
    "linear, no bias": ("linear", {"bias": False}),
    "multiclass": ("multiclass", {}),
    "multiclass, no bias": ("multiclass", {"bias": False}),
    "branch": ("branch", {"width": 4}),
    "branch, relu": ("branch", {"width": 4, "activation": "relu"}),
    "class_query": ("class_query", {}),
    "class_query, paper": ("class_query", {"init": "paper"}),
    "per_dataset": ("per_dataset", {"datasets": ["a", "b"]}),
    "per_dataset, no bias": (
        "per_dataset",
        {"datasets": ["a", "b"], "trained": [[True, False, True], [True, False, False]], "bias": False},
    ),
    "conditional": ("conditional", {"parents": [-1, 0, 1]}),
    "conditional, no bias": ("conditional", {"parents": [1, -1, -1], "bias": False}),
}
SHAPES = {
    "linear": (OUTPUTS,),
    "multiclass": (OUTPUTS, 3),
    "branch": (OUTPUTS,),
    "class_query": (OUTPUTS,),
    "per_dataset": (2, OUTPUTS),
    "conditional": (OUTPUTS,),
}
each = pytest.mark.parametrize("name", CASES)


def made(name, *, seed=0):
    kind, options = CASES[name]
    torch.manual_seed(seed)
    return head(kind, FEATURES, OUTPUTS, **options)


def images(count=4, dtype=torch.float32):
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(1), dtype=dtype)


def tensors(output):
    return list(output) if isinstance(output, tuple) else [output]


def test_every_kind_is_tried():
    assert {kind for kind, _ in CASES.values()} == set(HEADS)
    assert all(issubclass(made_of, Head) and made_of.kind == kind for kind, made_of in HEADS.items())


@each
def test_shapes(name):
    layer = made(name)
    output = layer(images(5))
    assert tensors(output)[0].shape == (5, *SHAPES[layer.kind])
    assert layer.logits(output).shape == layer.probabilities(output).shape == (5, OUTPUTS)
    assert (layer.in_features, layer.outputs) == (FEATURES, OUTPUTS)


@each
def test_probabilities_are_the_sigmoid_of_logits(name):
    layer = made(name).double()
    output = layer(10 * images(50, torch.float64))
    torch.testing.assert_close(layer.probabilities(output), torch.sigmoid(layer.logits(output)))


@each
def test_config_and_weights_make_the_same_head(name):
    first = made(name)
    config = json.loads(json.dumps(first.config()))
    second = head(**config)
    assert type(second) is type(first)
    assert second.config() == config == first.config()
    second.load_state_dict(first.state_dict())
    for want, got in zip(tensors(first(images())), tensors(second(images())), strict=True):
        assert torch.equal(want, got)


@each
def test_weights_lie_in_memory_as_safetensors_takes_them(name):
    values = made(name).state_dict().values()
    assert all(value.is_contiguous() for value in values)
    assert len({value.untyped_storage().data_ptr() for value in values}) == len(values)


@each
def test_gradients_are_right(name):
    layer = made(name).double()
    parameters = dict(layer.named_parameters())
    assert all(value.is_leaf and value.requires_grad for value in parameters.values())

    def run(features, *values):
        output = torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (features,))
        return (*tensors(output), layer.logits(output), layer.probabilities(output))

    features = images(dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(run, (features, *parameters.values()))


@each
def test_every_parameter_learns(name):
    layer = made(name)
    sum(value.square().sum() for value in tensors(layer(images()))).backward()
    assert all(value.grad.abs().sum() > 0 for value in layer.parameters())


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_autocast_gives_nearly_the_same(name, dtype):
    layer = made(name)
    want = layer.probabilities(layer(images()))
    with torch.autocast("cpu", dtype=dtype):
        output = layer(images())
        got = layer.probabilities(output)
    torch.testing.assert_close(got.float(), want, atol=0.02, rtol=0)
    sum(value.float().sum() for value in tensors(output)).backward()
    assert all(
        value.grad.isfinite().all() and value.grad.dtype == torch.float32 for value in layer.parameters()
    )


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_a_head_in_half_precision_gives_nearly_the_same(name, dtype):
    layer = made(name)
    want = layer.probabilities(layer(images()))
    half = layer.to(dtype)
    got = half.probabilities(half(images().to(dtype)))
    torch.testing.assert_close(got.float(), want, atol=0.02, rtol=0)


@each
def test_an_empty_batch_gives_empty_outputs(name):
    layer = made(name)
    output = layer(images(0))
    assert tensors(output)[0].shape == (0, *SHAPES[layer.kind])
    assert layer.logits(output).shape == layer.probabilities(output).shape == (0, OUTPUTS)
    sum(value.sum() for value in tensors(output)).backward()
    assert all(value.grad.abs().sum() == 0 for value in layer.parameters())


@each
def test_an_image_does_not_depend_on_its_neighbours(name):
    layer = made(name).double()
    features = images(6, torch.float64)
    torch.testing.assert_close(layer.logits(layer(features))[2:3], layer.logits(layer(features[2:3])))


@pytest.mark.parametrize("kind", HEADS)
def test_one_finding_of_one_feature(kind):
    options = {"per_dataset": {"datasets": ["a"]}, "conditional": {"parents": [-1]}}.get(kind, {})
    layer = head(kind, 1, 1, **options)
    output = layer(torch.ones(2, 1))
    assert layer.probabilities(output).shape == (2, 1)


@each
def test_it_is_captured_in_one_graph(name):
    layer = made(name).eval()
    program = torch.export.export(layer, (images(),), strict=False)
    for want, got in zip(tensors(layer(images())), tensors(program.module()(images())), strict=True):
        torch.testing.assert_close(got, want)
    torch.compiler.reset()  # each case compiles the same line anew, and there is a limit to that
    compiled = torch.compile(lambda features: layer.logits(layer(features)), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images()), layer.logits(layer(images())))


@each
def test_copies_share_nothing(name):
    layer = made(name)
    copied = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in layer.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@each
def test_a_gpu_gives_what_the_processor_gives(name):
    layer = made(name)
    moved = copy.deepcopy(layer).cuda()
    want, got = layer(images()), moved(images().cuda())
    torch.testing.assert_close(moved.logits(got).cpu(), layer.logits(want), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        moved.probabilities(got).cpu(), layer.probabilities(want), rtol=1e-4, atol=1e-4
    )


# --- wrong arguments


@each
@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(2, FEATURES + 1), r"features: expected the shape \(B, 6\), got \(2, 7\)"),
        (torch.zeros(FEATURES), r"features: expected the shape \(B, 6\), got \(6,\)"),
        (torch.zeros(2, FEATURES, 1, 1), r"features: expected the shape \(B, 6\), got \(2, 6, 1, 1\)"),
        (torch.zeros(2, FEATURES, dtype=torch.int64), "features: expected a float tensor, got torch.int64"),
        ([[0.0] * FEATURES], "features: expected a float tensor, got list"),
    ],
    ids=["length", "one image", "maps", "whole numbers", "list"],
)
def test_wrong_features_are_named(name, features, message):
    with pytest.raises(ValueError, match=message):
        made(name)(features)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("value", [0, -1, 2.0, True, None])
def test_wrong_numbers_are_named(kind, value):
    options = {"per_dataset": {"datasets": ["a"]}, "conditional": {"parents": [-1]}}.get(kind, {})
    with pytest.raises(ValueError, match="in_features: expected a whole number of at least 1, got"):
        head(kind, value, 1, **options)
    with pytest.raises(ValueError, match="outputs: expected a whole number of at least 1, got"):
        head(kind, 1, value, **options)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lineal", r"kind: expected one of linear, .*, got 'lineal'\. Did you mean 'linear'\?"),
        ("Per Dataset", r"got 'Per Dataset'\. Did you mean 'per_dataset'\?"),
        ("zzz", r"kind: expected one of linear, multiclass, branch, .*, got 'zzz'\.$"),
        (None, r"kind: expected one of .*, got None\."),
        (["linear"], r"kind: expected one of .*, got \['linear'\]\."),
    ],
)
def test_an_unknown_kind_is_named(kind, message):
    with pytest.raises(ValueError, match=message):
        head(kind, FEATURES, OUTPUTS)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("linear", {"width": 3}, "options: expected those of LinearHead, bias; got width"),
        ("branch", {"bias": True}, "options: expected those of BranchHead, width, activation; got bias"),
        ("conditional", {}, "options: expected those of ConditionalHead, parents, bias; parents is missing"),
        ("per_dataset", {"bias": True}, "datasets is missing"),
    ],
)
def test_wrong_options_are_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        head(kind, FEATURES, OUTPUTS, **options)


def test_the_kinds_cannot_be_changed():
    with pytest.raises(TypeError):
        HEADS["linear"] = Head
