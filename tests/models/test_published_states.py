"""Published state dicts: their names, their prefixes, their colours, and what is refused."""

import re

import pytest
import torch
from torch import nn

from xrdatasets.errors import WeightsError
from xrdatasets.models import BranchHead, LinearHead, Network, backbone
from xrdatasets.models.backbones.published_states import fit_state

SIZES = {
    "densenet121": {"growth": 4, "blocks": (2, 1), "stem": 6, "bn_size": 2},
    "resnet18": {"blocks": (1, 1), "width": 4},
    "denseibn121": {"growth": 4, "blocks": (2, 1), "stem": 6, "bn_size": 2},
}
KINDS = ["densenet121", "resnet18", "denseibn121"]
LAST = {"densenet121": "classifier", "resnet18": "fc", "denseibn121": "classifier"}


def body(name="densenet121", *, channels=1, **options):
    return backbone(name, channels=channels, **(SIZES[name] | options)).eval()


def published(name="densenet121", *, channels=1, outputs=5):
    """A state dict as torchvision would save one: drawn tensors, the last layer beside the others."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    network = body(name, channels=channels)
    for key, tensor in network.state_dict().items():
        drawn = torch.rand(tensor.shape, generator=generator) + 0.5
        state[key] = drawn if tensor.is_floating_point() else torch.tensor(7)
    state[f"{LAST[name]}.weight"] = torch.randn(outputs, network.out_features, generator=generator)
    state[f"{LAST[name]}.bias"] = torch.randn(outputs, generator=generator)
    return state


def copied(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_refused(network, state, message, **options):
    """It is refused, and nothing of the network is changed."""
    before = copied(network)
    with pytest.raises(WeightsError, match=message):
        fit_state(network, state, **options)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_state_goes_into_a_network(kind):
    network, state = Network(body(kind), 5), published(kind)
    report = fit_state(network, state)
    assert (report.ignored, report.missing) == ((), ())
    own = network.state_dict()
    assert set(report.loaded) == set(own)
    for name, tensor in state.items():
        last = name.startswith(LAST[kind] + ".")
        place = f"head.{name.rpartition('.')[2]}" if last else f"backbone.{name}"
        assert torch.equal(own[place], tensor), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_backbone_alone_leaves_the_last_layer(kind):
    network, state = body(kind), published(kind)
    report = fit_state(network, state)
    assert report.ignored == (f"{LAST[kind]}.weight", f"{LAST[kind]}.bias")
    assert report.missing == ()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize(
    ("head", "missing"),
    [
        (4, ("head.weight", "head.bias")),
        ("branches", ()),
        ("no bias", ("head.weight",)),
    ],
)
def test_a_last_layer_that_does_not_fit_is_reported_and_the_head_kept(head, missing):
    """Without its bias the published layer would say something else: none of it is taken."""
    features = body().out_features
    heads = {"branches": BranchHead(features, 5, width=3), "no bias": LinearHead(features, 5, bias=False)}
    network = Network(body(), heads.get(head, head))
    before = copied(network.head)
    report = fit_state(network, published())
    assert report.ignored == ("classifier.weight", "classifier.bias")
    assert set(missing) <= set(report.missing)
    assert all(name.startswith("head.") for name in report.missing)
    for name, tensor in network.head.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model."])
def test_prefixes_are_taken_off(kind, prefix):
    network = Network(body(kind), 5)
    report = fit_state(network, {prefix + name: tensor for name, tensor in published(kind).items()})
    assert (report.ignored, report.missing) == ((), ())


def test_a_prefix_on_some_names_is_taken_off_there():
    """torchxrayvision's ResNet: the network below ``model``, beside it operating points, NaN among them."""
    state = {f"model.{name}": tensor for name, tensor in published("resnet18").items()}
    report = fit_state(Network(body("resnet18"), 5), state | {"op_threshs": torch.full((5,), torch.nan)})
    assert (report.ignored, report.missing) == (("op_threshs",), ())


def test_names_of_the_first_checkpoints_are_read():
    """torchvision's files have ``denselayer1.norm.1.weight`` and no counters of batches."""
    state, network = published(), Network(body(), 5)
    old = {
        re.sub(r"(denselayer\d+\.(norm|conv))([12])", r"\1.\3", name): tensor
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert {"features.denseblock1.denselayer2.norm.1.running_var", "features.norm5.weight"} < set(old)
    assert "features.denseblock1.denselayer1.norm1.weight" not in old
    report = fit_state(network, old)
    assert (report.ignored, report.missing) == ((), ())
    own = network.backbone.state_dict()
    for name, tensor in state.items():
        if name.startswith("features."):
            counter = name.endswith("num_batches_tracked")
            assert torch.equal(own[name], torch.tensor(0) if counter else tensor), name
            assert (f"backbone.{name}" in report.loaded) is not counter


@pytest.mark.parametrize("kind", KINDS)
def test_three_channels_are_summed_into_one(kind):
    """The same grey image in three channels gives the same features."""
    colour, grey, state = body(kind, channels=3), body(kind), published(kind, channels=3)
    fit_state(colour, state)
    fit_state(grey, state)
    images = torch.randn(2, 1, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(grey(images), colour(images.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-4)
    first = next(iter(state))
    assert torch.equal(state[first], published(kind, channels=3)[first])  # the caller's is as it was


@pytest.mark.parametrize("kind", KINDS)
def test_one_channel_is_spread_over_three(kind):
    colour, grey, state = body(kind, channels=3), body(kind), published(kind)
    fit_state(colour, state)
    fit_state(grey, state)
    images = torch.randn(2, 1, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(colour(images.repeat(1, 3, 1, 1)), grey(images), rtol=1e-4, atol=1e-4)
    weights = next(iter(colour.parameters()))
    assert torch.equal(weights[:, 0], weights[:, 2])


def test_a_state_of_half_precision_is_widened():
    network = body()
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in published().items()
    }
    fit_state(network, state)
    assert next(network.parameters()).dtype == torch.float32
    assert torch.equal(network.get_parameter("features.norm5.bias"), state["features.norm5.bias"].float())


def test_values_are_copied_and_not_shared():
    network, state = body(), published()
    fit_state(network, state)
    state["features.norm5.weight"].zero_()
    assert network.get_parameter("features.norm5.weight").min() >= 0.5


def test_what_can_learn_still_can():
    network = Network(body(), 5)
    fit_state(network, published())
    network(torch.randn(2, 1, 40, 40)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "state: expected a state dict, .*, got an empty one"),
        (None, "state: expected a state dict, .*, got NoneType"),
        ([("a", torch.zeros(1))], "state: expected a state dict, .*, got list"),
        (
            {"state_dict": {}, "epoch": 3},
            r"state: expected the 44 parameters and statistics of densenet121; "
            r"missing features\.conv0\.weight, features\.norm0\.weight, "
            r"features\.norm0\.bias, features\.norm0\.running_mean and 40 more; "
            r"unknown state_dict, epoch\. Is it of another architecture\?",
        ),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_no_state_dict_is_refused(state, message, strict):
    assert_refused(Network(body(), 5), state, message, strict=strict)


@pytest.mark.parametrize("strict", [True, False])
def test_another_architecture_is_refused(strict):
    message = (
        r"parameters and statistics of resnet18; missing conv1\.weight, .* unknown features\.conv0\.weight, "
    )
    assert_refused(body("resnet18"), published("densenet121"), message, strict=strict)


def test_a_plain_network_is_no_network_with_instance_norm():
    message = r"of denseibn121; missing features\.denseblock1\.denselayer1\.norm1\.BN\.weight, "
    assert_refused(body("denseibn121"), published("densenet121"), message)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("features.norm5.bias", None, r"missing features\.norm5\.bias\. Is it"),
        ("features.norm6.bias", torch.zeros(3), r"unknown features\.norm6\.bias\. Is it"),
        (
            "features.norm5.bias",
            torch.zeros(3),
            r"does not fit into densenet121: features\.norm5\.bias: expected the shape \(11,\), got \(3,\)\.",
        ),
        (
            "features.conv0.weight",
            torch.zeros(6, 2, 7, 7),
            r"expected the shape \(6, 1, 7, 7\), got \(6, 2, 7, 7\)",
        ),
        (
            "features.conv0.weight",
            torch.zeros(6, 3, 5, 5),
            r"expected the shape \(6, 1, 7, 7\), got \(6, 3, 5, 5\)",
        ),
        ("features.conv0.weight", torch.zeros(6, 49), r"expected the shape \(6, 1, 7, 7\), got \(6, 49\)"),
        (
            "features.denseblock1.denselayer1.conv1.weight",
            torch.zeros(8, 18, 1, 1),
            r"denselayer1\.conv1\.weight: expected the shape \(8, 6, 1, 1\), got \(8, 18, 1, 1\)",
        ),
        (
            "features.norm5.bias",
            torch.zeros(11, dtype=torch.int64),
            r"expected torch\.float32, got torch\.int64",
        ),
        (
            "features.norm5.bias",
            torch.zeros(11, dtype=torch.complex64),
            r"expected torch\.float32, got torch\.complex64",
        ),
        (
            "features.norm5.bias",
            torch.full((11,), torch.nan),
            r"norm5\.bias: expected numbers, got NaN or infinity",
        ),
        ("features.norm5.bias", [0.0] * 11, r"norm5\.bias: expected a tensor, got list"),
        ("features.norm5.bias", torch.zeros(11).to_sparse(), r"expected a tensor, got torch\.sparse_coo"),
        ("features.norm5.bias", torch.zeros(11, device="meta"), r"norm5\.bias: expected a tensor"),
        (
            "module.features.norm5.bias",
            torch.zeros(11),
            "features.norm5.bias and module.features.norm5.bias both stand",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.count(".") == 2 else "",
)
def test_one_wrong_tensor_is_named_and_nothing_is_changed(name, change, message):
    state = published()
    state.pop(name, None)
    if change is not None:
        state = published() | {name: change}
    assert_refused(Network(body(), 5), state, message)


def test_only_the_first_few_are_named():
    state = {name: tensor.repeat(2) if tensor.ndim == 1 else tensor for name, tensor in published().items()}
    assert_refused(
        body(),
        state,
        r"features\.norm0\.weight: expected .*, features\.norm0\.running_var: .* and 32 more\.$",
    )


def test_unless_strict_a_part_is_enough():
    state = published()
    part = {name: tensor for name, tensor in state.items() if not name.startswith("features.norm5.")}
    network = Network(body(), 5)
    report = fit_state(network, part | {"extra": torch.zeros(1)}, strict=False)
    assert report.ignored == ("extra",)
    assert report.missing == tuple(
        f"backbone.features.norm5.{name}" for name in ("weight", "bias", "running_mean", "running_var")
    )
    assert torch.equal(network.head.bias, state["classifier.bias"])
    assert_refused(
        network, part | {"features.norm5.bias": torch.zeros(3)}, "expected the shape", strict=False
    )


@pytest.mark.parametrize("network", [nn.Linear(2, 2), None])
def test_what_is_no_network_is_refused(network):
    with pytest.raises(ValueError, match="network: expected a Network or a Backbone, got "):
        fit_state(network, published())
