"""Instance norm beside batch norm, against float64 by hand; layers that are computed again; layouts."""

import copy

import pytest
import torch
from torch import nn

from xrdatasets.models.backbones.layers import IBN, check_blocks, like_weights, recomputed


def randomised(module):
    """The same, with drawn parameters and statistics in float64."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in module.double().state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
            tensor.copy_(drawn if name.endswith(("running_var", "weight")) else drawn - 1)
    return module


def by_hand(maps, weight, bias, mean, variance):
    scaled = (maps - mean) / (variance + 1e-5).sqrt()
    return scaled * weight[:, None, None] + bias[:, None, None]


@pytest.mark.parametrize("batch_first", [True, False])
def test_in_evaluation_running_statistics_stand_beside_each_images_own(batch_first):
    norm = randomised(IBN(5, batch=3, batch_first=batch_first)).eval()
    maps = torch.randn(4, 5, 3, 2, dtype=torch.float64)
    for_batch, for_image = (maps[:, :3], maps[:, 3:]) if batch_first else (maps[:, 2:], maps[:, :2])
    statistics = (norm.BN.running_mean[:, None, None], norm.BN.running_var[:, None, None])
    batch = by_hand(for_batch, norm.BN.weight, norm.BN.bias, *statistics)
    mean = for_image.sum((2, 3), keepdim=True) / 6
    image = by_hand(
        for_image, norm.IN.weight, norm.IN.bias, mean, ((for_image - mean) ** 2).sum((2, 3), keepdim=True) / 6
    )
    wanted = torch.cat([batch, image] if batch_first else [image, batch], 1)
    torch.testing.assert_close(norm(maps), wanted, rtol=1e-12, atol=1e-12)


def test_in_training_the_batch_normalises_its_part_alone():
    norm = randomised(IBN(5, batch=3)).train()
    maps = torch.randn(4, 5, 3, 2, dtype=torch.float64)
    before, part = norm.BN.running_mean.clone(), maps[:, 2:]
    mean = part.sum((0, 2, 3), keepdim=True) / 24
    variance = ((part - mean) ** 2).sum((0, 2, 3), keepdim=True) / 24
    wanted = by_hand(part, norm.BN.weight, norm.BN.bias, mean, variance)
    torch.testing.assert_close(norm(maps)[:, 2:], wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.BN.running_mean, 0.9 * before + 0.1 * mean.flatten())


def test_an_images_contrast_is_gone_from_its_own_part_alone():
    """What instance norm is for: brightness and contrast of a hospital's images."""
    norm = IBN(4, batch=2).eval()
    maps = torch.randn(1, 4, 6, 6)
    first, changed = norm(maps), norm(3 * maps + 7)
    torch.testing.assert_close(changed[:, :2], first[:, :2], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(changed[:, 2:], 3 * first[:, 2:] + 7, rtol=1e-3, atol=1e-3)


def test_names_are_those_of_the_published_code():
    assert list(IBN(4, batch=2).state_dict()) == [
        "BN.weight",
        "BN.bias",
        "BN.running_mean",
        "BN.running_var",
        "BN.num_batches_tracked",
        "IN.weight",
        "IN.bias",
    ]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_layout_is_kept(layout):
    maps = torch.randn(2, 6, 4, 5).to(memory_format=layout)
    norm = IBN(6, batch=4).eval()
    assert norm(maps).is_contiguous(memory_format=layout)
    torch.testing.assert_close(norm(maps), norm(maps.contiguous()))


@pytest.mark.parametrize("training", [True, False])
def test_half_precision(training):
    norm, maps = IBN(6, batch=3).train(training), torch.randn(2, 6, 4, 4)
    wanted = copy.deepcopy(norm)(maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = norm(maps.bfloat16())
    torch.testing.assert_close(mixed.float(), wanted, rtol=0.02, atol=0.02)
    torch.testing.assert_close(norm.bfloat16()(maps.bfloat16()).float(), wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("channels", "batch", "message"),
    [
        (1, 1, "channels: expected a whole number of at least 2, got 1"),
        (4, 0, "batch: expected a whole number of at least 1, got 0"),
        (4, 2.0, r"batch: expected a whole number of at least 1, got 2\.0"),
        (4, 4, "batch: expected fewer than the 4 channels, got 4"),
    ],
)
def test_wrong_numbers_are_named(channels, batch, message):
    with pytest.raises(ValueError, match=message):
        IBN(channels, batch=batch)


class Layer(nn.Sequential):
    """Counts how often it is run."""

    def __init__(self):
        super().__init__(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.runs = 0

    def forward(self, maps):
        self.runs += 1
        return super().forward(maps)


@pytest.mark.parametrize("again", [True, False])
def test_a_layer_computed_again_has_the_same_gradients_and_counts_a_batch_once(again):
    torch.manual_seed(0)
    plain = Layer().double()
    layer = copy.deepcopy(plain)
    parts = [torch.randn(3, channels, 5, 5, dtype=torch.float64, requires_grad=True) for channels in (1, 3)]
    twins = [part.detach().clone().requires_grad_() for part in parts]
    wanted, output = plain(torch.cat(twins, 1)), recomputed(layer, parts)
    assert torch.equal(output, wanted)
    for gradient_of in (wanted, output):
        gradient_of.square().sum().backward(retain_graph=again)
        if again:  # what is computed again, is computed again a second time
            gradient_of.square().sum().backward()
    assert (plain.runs, layer.runs) == (1, 3 if again else 2)
    for one, other in zip([*parts, *layer.parameters()], [*twins, *plain.parameters()], strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-12, atol=1e-12)
    for name, buffer in plain.named_buffers():
        assert torch.equal(layer.get_buffer(name), buffer), name
    assert layer[0].num_batches_tracked == 1


def test_what_is_computed_again_leaves_the_buffers_themselves_in_place():
    layer = Layer()
    buffers = dict(layer.named_buffers())
    recomputed(layer, [torch.randn(2, 4, 3, 3, requires_grad=True)]).sum().backward()
    assert all(layer.get_buffer(name) is buffer for name, buffer in buffers.items())


def test_a_compiled_layer_counts_a_batch_once_too():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.ReLU())
    layer, images = copy.deepcopy(plain), torch.randn(3, 2, 4, 4)
    plain(images).square().sum().backward()
    compiled = torch.compile(lambda maps: recomputed(layer, [maps]), backend="aot_eager")
    compiled(images).square().sum().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(layer.get_buffer(name), buffer)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_take_the_layout_of_the_weights(channels):
    images = torch.randn(2, channels, 4, 6)
    weight = torch.zeros(4, 4, 3, 3)
    assert like_weights(images, weight) is images
    turned = like_weights(images, weight.to(memory_format=torch.channels_last))
    assert torch.equal(turned, images)
    assert turned.stride() == (24 * channels, 1, 6 * channels, channels)
    maps = nn.Conv2d(channels, 4, 3)(turned)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert not maps.is_contiguous()


@pytest.mark.parametrize("blocks", [[1, 2], (1, 2)])
def test_blocks_are_a_tuple(blocks):
    assert check_blocks("blocks", blocks) == (1, 2)


@pytest.mark.parametrize("blocks", [(), None, 3, "12", (1, 0), (1, 2.0), (True,), {1: 2}])
def test_wrong_blocks_are_named(blocks):
    with pytest.raises(ValueError, match=r"^blocks: expected "):
        check_blocks("blocks", blocks)
