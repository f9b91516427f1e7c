"""A backbone and a head joined: what goes through, what is refused."""

import pytest
import torch
from torch import nn

from xrdatasets.models import BranchHead, LinearHead, Mini, MultiClassHead, Network, PerDatasetHead


def test_logits_are_the_heads_on_the_backbones_features():
    torch.manual_seed(0)
    network, images = Network(Mini(width=2), 3).eval(), 300 * torch.randn(4, 1, 24, 24)
    features = network.backbone(images)
    wanted = nn.functional.linear(features, network.head.weight, network.head.bias)
    torch.testing.assert_close(network(images), wanted)
    assert torch.equal(network.features(images), features)
    maps = network.maps(images)
    torch.testing.assert_close(features, torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))


def test_a_branch_heads_features_are_in_its_outputs():
    network = Network(Mini(width=2), BranchHead(32, 3, width=5)).eval()
    logits, features = network.outputs(torch.zeros(2, 1, 16, 16))
    assert torch.equal(network(torch.zeros(2, 1, 16, 16)), logits)
    assert features.shape == (2, 3, 5)


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        (LinearHead(32, 3), (2, 3)),
        (PerDatasetHead(32, 3, datasets=("a", "b")), (2, 2, 3)),
        (MultiClassHead(32, 3), (2, 3, 3)),
    ],
    ids=["linear", "per dataset", "three classes"],
)
def test_each_head_gives_its_own_logits(head, shape):
    assert Network(Mini(width=2), head).eval()(torch.zeros(2, 1, 16, 16)).shape == shape


@pytest.mark.parametrize("head", [3, BranchHead(32, 3, width=5)], ids=["linear", "branches"])
def test_config_makes_the_same_network(head):
    network = Network(Mini(width=2, channels=3), head)
    again = Network.from_config(network.config())
    again.load_state_dict(network.state_dict())
    images = torch.zeros(2, 3, 16, 16)
    assert torch.equal(again.eval()(images), network.eval()(images))


def test_a_name_stands_for_a_backbone():
    assert Network("mini", 2, channels=3).backbone.channels == 3


def test_a_head_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"head: expected one of 32 features, .* mini gives, got one of 31"):
        Network(Mini(width=2), LinearHead(31, 3))


@pytest.mark.parametrize("backbone", [nn.Linear(2, 2), None, 3])
def test_another_backbone_is_refused(backbone):
    with pytest.raises(ValueError, match="backbone: expected a Backbone or its name, got"):
        Network(backbone, 3)


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"backbone": {}},
        {"backbone": {}, "head": {}},
        {"backbone": {"name": "mini", "depth": 3}, "head": {}},
    ],
)
def test_another_config_is_refused(config):
    with pytest.raises(ValueError, match=r"config: expected|expected"):
        Network.from_config(config)
