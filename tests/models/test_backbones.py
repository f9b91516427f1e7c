"""Backbones by their names: names, parameters and logits of torchvision's and of the published IBN-Net's.

``stored/torchvision.json`` was written by ``python benchmarks/networks.py stored --peer PYTHON --ibn-net
FOLDER``: torchvision 0.28.0 and torch 2.13.0 on the CPU, and densenet_ibn.py, resnet_ibn.py and modules.py of
github.com/XingangPan/IBN-Net (commit e79b2aa, resnet_ibn.py d167338), whose pooling of seven pixels was
replaced by the mean over all. Every parameter and statistic was filled by `filled`, images by `waves`, logits
computed in float64.
"""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from xrdatasets.models import BACKBONES, Mini, Network, backbone

STORED = json.loads((Path(__file__).parent / "stored" / "torchvision.json").read_text(encoding="utf-8"))
CASES = STORED["logits"]
TINY = {
    "densenet": {"growth": 4, "blocks": [2, 2, 2, 2], "stem": 6, "bn_size": 2},
    "denseibn": {"growth": 4, "blocks": [2, 2, 2, 2], "stem": 6, "bn_size": 2},
    "resnet": {"blocks": [1, 2, 1, 1], "width": 4},
    "mini": {"width": 2},
}


def filled(name, tensor):
    """What stands in a parameter or statistic: a sine along it that starts elsewhere for each name."""
    shape = tuple(tensor.shape)
    wave = np.sin(1.7 * np.arange(tensor.numel()) + zlib.crc32(name.encode()) % 1000).reshape(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(())
    if len(shape) > 1:
        return torch.from_numpy(wave * np.sqrt(2 / np.prod(shape[1:])))
    scale, shift = {"weight": (0.2, 1), "bias": (0.1, 0), "running_mean": (0.1, 0), "running_var": (0.5, 1)}[
        name.rpartition(".")[2]
    ]
    return torch.from_numpy(scale * wave + shift)


def waves(shape):
    """Images that get finer from the first pixel to the last."""
    return torch.from_numpy(np.sin(np.arange(np.prod(shape)) ** 1.5 / 50).reshape(shape))


def tiny(name, **options):
    sizes = next(sizes for start, sizes in TINY.items() if name.startswith(start))
    return backbone(name, **(sizes | options))


def filled_network(case, dtype):
    """The network of a stored case; torchvision calls its last layer by another name, which is filled too."""
    last = "fc" if case["name"].startswith("resnet") else "classifier"
    network = Network(backbone(case["name"], channels=3, **case["options"]), 5).to(dtype).eval()
    for name, tensor in network.state_dict().items():
        theirs = name.removeprefix("backbone.").replace("head.", f"{last}.")
        tensor.copy_(filled(theirs, tensor))
    return network


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['name']}-{'x'.join(map(str, case['shape']))}"
)
def test_logits_are_those_of_the_originals(case):
    images, wanted = waves(case["shape"]), torch.tensor(case["logits"], dtype=torch.float64)
    with torch.inference_mode():
        found = filled_network(case, torch.float64)(images)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    assert (wanted.std(1) > 0.2).all()


def test_single_precision_is_within_a_hundred_thousandth():
    case = CASES[0]
    assert (case["name"], case["options"]) == ("densenet121", {})
    with torch.inference_mode():
        found = filled_network(case, torch.float32)(waves(case["shape"]).float())
    torch.testing.assert_close(found.double(), torch.tensor(case["logits"]).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", STORED["names"])
def test_names_shapes_and_parameters_are_those_of_the_originals(name):
    network = backbone(name, channels=3)
    entries = sorted((name, tuple(tensor.shape)) for name, tensor in network.state_dict().items())
    lines = "".join(f"{name} {shape}\n" for name, shape in entries)
    assert STORED["names"][name] == {
        "entries": len(entries),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def test_the_counts_that_are_quoted():
    """Of densenet121 with 1000 outputs: torchvision's own table; with one channel, 18: torchxrayvision's."""

    def count(**options):
        network = Network(backbone("densenet121", channels=options["channels"]), options["outputs"])
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(channels=3, outputs=1000) == 7_978_856
    assert count(channels=1, outputs=18) == 6_966_034


@pytest.mark.parametrize(("plain", "ibn"), [("densenet121", "denseibn121"), ("resnet18", "resnet18_ibn")])
def test_instance_norm_costs_no_parameters(plain, ibn):
    counts = [sum(parameter.numel() for parameter in backbone(name).parameters()) for name in (plain, ibn)]
    assert counts[0] == counts[1]


def test_all_names_are_there():
    assert set(STORED["names"]) | {"mini"} == set(BACKBONES)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("channels", [1, 3])
def test_config_makes_the_same_network_again(name, channels):
    first = tiny(name, channels=channels).eval()
    config = json.loads(json.dumps(first.config()))
    second = backbone(**config).eval()
    assert second.config() == config
    assert (second.name, type(second)) == (name, type(first))
    second.load_state_dict(first.state_dict())
    images = torch.randn(2, channels, 33, 40)
    with torch.inference_mode():
        features = second(images)
        assert torch.equal(features, first(images))
    assert features.shape == (2, first.out_features)


@pytest.mark.parametrize("name", BACKBONES)
def test_config_holds_every_option(name):
    options = {"channels": 3} if name == "mini" else {"channels": 3, "checkpointing": True, "ibn": True}
    config = tiny(name, **options).config()
    sizes = next(sizes for start, sizes in TINY.items() if name.startswith(start))
    assert {**config, **options, **sizes, "name": name} == config


@pytest.mark.parametrize("name", BACKBONES)
def test_an_image_of_one_channel_is_three_times_the_same(name):
    """With the first convolution summed over its colours."""
    torch.manual_seed(0)
    colour, grey = tiny(name, channels=3).eval(), tiny(name, channels=1).eval()
    state = colour.state_dict()
    first = next(iter(state))
    assert state[first].shape[1] == 3
    grey.load_state_dict(state | {first: state[first].sum(1, keepdim=True)})
    images = torch.randn(2, 1, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(grey(images), colour(images.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-4)


def test_mini_is_the_class():
    assert type(backbone("mini", width=4, channels=3)) is Mini


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "densnet121",
            r"^name: expected one of densenet121, .*, mini, got 'densnet121'; did you mean densenet121 ",
        ),
        ("resnet50_ibn_a", "did you mean resnet50_ibn or "),
        ("vgg", r"got 'vgg'; see xrdatasets\.models\.BACKBONES\.$"),
        (3, "name: expected one of .* got 3"),
        (["mini"], r"name: expected one of .* got \['mini'\]"),
    ],
)
def test_unknown_names_are_refused_with_near_ones(name, message):
    with pytest.raises(ValueError, match=message):
        backbone(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "resnet18",
            {"widths": 3},
            "^resnet18: expected no option but .*, width, got 'widths'; did you mean width",
        ),
        ("densenet121", {"width": 3}, r"^densenet121: expected no option but .*bn_size.*, got 'width'"),
        ("mini", {"checkpointing": True}, r"^mini: expected no option but width, got 'checkpointing'\."),
        ("mini", {"pretrained": True}, r"^mini: expected no option but width, got 'pretrained'\."),
        ("densenet121", {"growth": -1}, "growth: expected a whole number of at least 1, got -1"),
        ("resnet18", {"channels": 4}, "channels: expected 1 or 3, got 4"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        backbone(name, **options)
