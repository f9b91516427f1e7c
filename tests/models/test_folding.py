"""Folding: the same features in less time, the original left as it is, and no training."""

import copy
import pickle

import pytest
import torch
from torch import nn

from xrdatasets.models import Backbone, Classifier, InputSpec, Mini, Network, backbone
from xrdatasets.models.inference import folding
from xrdatasets.models.inference.folding import Folded, fold_batch_norm

# name, options that make it tiny, batch norms left: norm1 of each layer, of each transition, and norm5
KINDS = [
    ("mini", {"width": 3}, 0),
    ("resnet18", {"width": 4}, 0),
    ("resnet50", {"width": 4, "blocks": (1, 2, 1)}, 0),
    ("resnet18_ibn", {"width": 6}, 6),
    ("resnet50_ibn", {"width": 6, "blocks": (1, 1, 1, 1)}, 3),
    ("densenet121", {"growth": 4, "blocks": (2, 3, 2), "stem": 8}, 7 + 2 + 1),
    ("denseibn121", {"growth": 6, "blocks": (4, 2, 2), "stem": 8}, 8 + 2 + 1),
]


def settled(module, seed=0):
    """In evaluation mode, with norms that do something: factors below 0 too, and a few near 0."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(-0.5, 1.5, generator=generator)
            part.weight.data[0] = 1e-6
            part.bias.data.uniform_(-0.5, 0.5, generator=generator)
            part.running_mean.uniform_(-0.5, 0.5, generator=generator)
            part.running_var.uniform_(0.3, 2, generator=generator)
    return module.eval()


def made(name, options):
    torch.manual_seed(1)
    return settled(backbone(name, **options))


def images(count=3, height=72, width=61):
    return 300 * torch.randn(count, 1, height, width, generator=torch.Generator().manual_seed(2))


def scale(values):
    return float(values.detach().abs().max())


def norms(module, kind=nn.BatchNorm2d):
    return sum(isinstance(part, kind) for part in module.modules())


@pytest.mark.parametrize(("name", "options", "left"), KINDS)
class TestFeatures:
    def test_they_are_those_of_the_network_in_float64(self, name, options, left):
        network = made(name, options)
        wanted = copy.deepcopy(network).double()(images().double())
        found = fold_batch_norm(network)(images())
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5 * scale(wanted))

    def test_maps_too(self, name, options, left):
        network = made(name, options)
        wanted, found = network.maps(images()), fold_batch_norm(network).maps(images())
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * scale(wanted))

    def test_norms_behind_convolutions_are_gone(self, name, options, left):
        network = made(name, options)
        folded = fold_batch_norm(network)
        assert norms(folded) == left
        assert norms(folded, nn.InstanceNorm2d) == norms(network, nn.InstanceNorm2d)

    def test_the_original_is_left_as_it_was(self, name, options, left):
        network = made(name, options)
        before = {key: (value.clone(), value.stride()) for key, value in network.state_dict().items()}
        fold_batch_norm(network)(images())
        after = network.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[key], value) for key, (value, _) in before.items())
        assert all(after[key].stride() == stride for key, (_, stride) in before.items())
        assert all(parameter.requires_grad for parameter in network.parameters())

    def test_gradients_reach_the_images(self, name, options, left):
        network = made(name, options)
        gradients = []
        for each in (network, fold_batch_norm(network)):
            batch = images().requires_grad_()
            each(batch).square().sum().backward()
            gradients.append(batch.grad)
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-4 * scale(gradients[0]))

    def test_it_compiles_whole(self, name, options, left):
        folded = fold_batch_norm(made(name, options))
        compiled = torch.compile(folded, backend="eager", fullgraph=True)
        with torch.inference_mode():
            torch.testing.assert_close(compiled(images()), folded(images()), rtol=1e-4, atol=1e-3)

    def test_it_goes_by_pickle_and_copy(self, name, options, left):
        folded = fold_batch_norm(made(name, options))
        for other in (pickle.loads(pickle.dumps(folded)), copy.deepcopy(folded)):
            assert torch.equal(other(images()), folded(images()))

    def test_half_precision_is_near(self, name, options, left):
        network = made(name, options)
        batch = images().bfloat16()
        with torch.inference_mode():
            wanted = network(images())
            found = copy.deepcopy(fold_batch_norm(network)).bfloat16()(batch).float()
            plain = copy.deepcopy(network).bfloat16()(batch).float()
        # as near as the network itself comes in that precision
        assert (found - wanted).abs().max() <= 2 * (plain - wanted).abs().max() + 1e-3


def test_the_factor_and_the_shift_are_in_the_convolution():
    network = settled(Mini(width=3))
    convolution, norm = network.stem[0], network.stem[1]
    factor = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.detach().double() - norm.running_mean.double() * factor
    folded = fold_batch_norm(network).inner.stem
    wanted = convolution.weight.detach().double() * factor[:, None, None, None]
    torch.testing.assert_close(folded[0].weight.double(), wanted, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(folded[0].bias.double(), shift, rtol=1e-6, atol=1e-7)
    assert isinstance(folded[1], nn.Identity)


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_parts_of_a_batch_are_the_batch(count, monkeypatch):
    network = made("densenet121", {"growth": 4, "blocks": (2, 2), "stem": 8})
    folded, seen = fold_batch_norm(network), []
    folded.inner.features.conv0.register_forward_hook(lambda module, given, _: seen.append(len(given[0])))
    monkeypatch.setattr(folding, "_CACHE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    found = folded(images(count))
    assert seen == {0: [0], 1: [1], 4: [2, 2], 9: [2, 2, 2, 2, 1]}[count]
    torch.testing.assert_close(found, network(images(count)), rtol=1e-4, atol=1e-3)


def test_a_denser_block_takes_no_gradient_memory():
    folded = fold_batch_norm(made("densenet121", {"growth": 4, "blocks": (2, 2), "stem": 8}))
    assert not folded(images()).requires_grad
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_the_mean_is_taken_before_the_convolution():
    """Of an odd side, both orders drop the last row and column."""
    folded = fold_batch_norm(made("densenet121", {"growth": 4, "blocks": (1, 1), "stem": 8}))
    sides = []
    folded.inner.features.transition1.conv.register_forward_hook(
        lambda module, given, _: sides.append(tuple(given[0].shape[2:]))
    )
    folded(images(1, 72, 61))
    assert sides == [(9, 8)]  # of 18 x 16 maps


class TestNetworks:
    def test_a_networks_head_is_shared(self):
        network = settled(Network(Mini(width=2), 3))
        folded = fold_batch_norm(network)
        assert type(folded) is Network
        assert folded.head is network.head
        assert isinstance(folded.backbone, Folded)
        assert isinstance(network.backbone, Mini)
        torch.testing.assert_close(folded(images()), network(images()), rtol=1e-4, atol=1e-4)

    def test_twice_is_once(self):
        folded = fold_batch_norm(settled(Mini(width=2)))
        assert fold_batch_norm(folded) is folded

    def test_a_classifiers_heatmap_is_the_same(self):
        model = Classifier(
            settled(Network(backbone("densenet121", growth=4, blocks=(2, 2), stem=8), 2)),
            ["Edema", "Mass"], inputs=InputSpec(size=64),
        )  # fmt: skip
        batch = images(2, 64, 64).clamp(-1024, 1024)
        wanted, found = model.heatmap(batch, "Mass"), model.for_inference().heatmap(batch, "Mass")
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


class TestRefusals:
    @pytest.mark.parametrize("make", [lambda: Mini(width=2), lambda: Network(Mini(width=2), 2)])
    def test_what_trains_is_refused(self, make):
        with pytest.raises(ValueError, match=r"expected it in evaluation mode, got a \w+ in training"):
            fold_batch_norm(make())

    def test_what_is_folded_cannot_be_trained_or_saved(self):
        network = settled(Network(Mini(width=2), 2))
        folded = fold_batch_norm(network)
        for each in (folded, folded.backbone):
            with pytest.raises(ValueError, match="mini: folded for inference, it cannot be trained"):
                each.train()
        with pytest.raises(ValueError, match="mini: folded for inference, it cannot be saved"):
            folded.config()
        assert not folded.eval().backbone.training

    def test_only_networks_are_taken(self):
        with pytest.raises(ValueError, match="module: expected a Backbone or a Network, got Linear"):
            fold_batch_norm(nn.Linear(2, 2).eval())


class Twisted(Backbone):
    """Runs its parts in another order than they stand in."""

    def __init__(self):
        super().__init__("twisted", channels=1, out_features=1, least=8)
        self.parts = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1))

    def maps(self, images):
        return self.parts[0](self.parts[1](images))


def test_a_network_that_runs_in_another_order_is_refused():
    with pytest.raises(ValueError, match="expected a Twisted whose convolutions and norms run in the order"):
        fold_batch_norm(settled(Twisted()))


class Bare(Backbone):
    """Norms that have no statistics, or no factor, of their own."""

    def __init__(self):
        super().__init__("bare", channels=1, out_features=2, least=8)
        self.parts = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False),
            nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2, affine=False),
        )  # fmt: skip

    def maps(self, images):
        return self.parts(images)


def test_norms_without_statistics_or_factors_stay():
    network = Bare().eval()
    folded = fold_batch_norm(network)
    assert norms(folded) == 2
    torch.testing.assert_close(folded(images()), network(images()), rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(("name", "options", "left"), KINDS)
def test_on_a_gpu(name, options, left):
    network = made(name, options).cuda()
    wanted = network(images().cuda())
    found = fold_batch_norm(network)(images().cuda())
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2 * scale(wanted))
