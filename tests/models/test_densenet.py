"""DenseNet: sizes, layouts, memory for time; its values are compared in test_backbones.py."""

import copy

import pytest
import torch
from torch import nn

from xrdatasets.models import DenseNet

TINY = {"growth": 4, "blocks": (2, 2, 2, 2), "stem": 6, "bn_size": 2}


def tiny(**options):
    torch.manual_seed(0)
    return DenseNet(**(TINY | options))


def gradients(network, images):
    network.zero_grad()
    network(images).square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def test_the_paths_of_an_image():
    """Sides: halved twice by the stem (rounded up), then by each transition (rounded down)."""
    network = tiny().eval()
    maps = network.maps(torch.randn(2, 1, 70, 101))
    assert maps.shape == (2, network.out_features, 2, 3)
    assert network.out_features == ((((6 + 8) // 2 + 8) // 2 + 8) // 2) + 8
    assert maps.min() == 0
    torch.testing.assert_close(network.pool(maps), maps.sum((2, 3)) / 6)


@pytest.mark.parametrize(
    ("blocks", "ibn", "least"),
    [
        ((1,), False, 1),
        ((1,), True, 5),
        ((1, 1, 1), False, 13),
        ((1, 1, 1), True, 29),
        ((1, 1, 1, 1), False, 29),  # torchvision's min_size
        ((1, 1, 1, 1), True, 29),
        ((1, 1, 1, 1, 1), True, 61),
    ],
)
def test_the_smallest_image_fits_and_one_pixel_less_does_not(blocks, ibn, least):
    network = tiny(blocks=blocks, ibn=ibn).eval()
    assert network.least == least
    assert network(torch.zeros(1, 1, least, least)).isfinite().all()
    if least > 1:
        with pytest.raises(ValueError, match=f"H and W at least {least}, got "):
            network(torch.zeros(1, 1, least, least - 1))
        # torch's own refusal of maps of no pixel, or of one for instance norm
        with pytest.raises((RuntimeError, ValueError), match=r"Output size is too small|more than 1 spatial"):
            network.maps(torch.zeros(1, 1, least - 1, least - 1))


@pytest.mark.parametrize("ibn", [False, True])
def test_one_image_can_be_trained_on(ibn):
    network = tiny(ibn=ibn)
    network(torch.randn(1, 1, 61, 61)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_convolutions_start_by_kaiming_and_norms_at_one_and_zero():
    """A uniform start, torch's own, would have sqrt(1 / 3 / fan_in)."""
    network = tiny(growth=32, stem=64, ibn=True)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05), name
            assert module.bias is None
        elif isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_instance_norm_stands_where_the_published_definition_puts_it():
    """Counted over github.com/XingangPan/IBN-Net's densenet121_ibn_a: batch norm's part of the channels."""
    parts = {
        name.removeprefix("features.denseblock").removesuffix(".norm1"): (
            module.BN.num_features,
            module.IN.num_features,
            module.batch_first,
        )
        for name, module in DenseNet(ibn=True).named_modules()
        if hasattr(module, "BN")
    }
    planes = [64, 160, 128, 224, 320, 416, 256, 352, 448, 544, 640, 736, 832, 928]
    batch = [38, 96, 76, 134, 192, 249, 153, 211, 268, 326, 384, 441, 499, 556]
    assert list(parts.values()) == [(b, p - b, True) for p, b in zip(planes, batch, strict=True)]
    assert list(parts) == [
        f"{block}.denselayer{1 + layer}"
        for block, layers in ((1, 6), (2, 12), (3, 24))
        for layer in range(0, layers, 3)
    ]


@pytest.mark.parametrize("ibn", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_computing_again_changes_neither_gradients_nor_statistics(ibn, channels):
    plain = tiny(ibn=ibn, channels=channels).double()
    network = tiny(ibn=ibn, channels=channels, checkpointing=True).double()
    network.load_state_dict(plain.state_dict())
    images = torch.randn(2, channels, 64, 50, dtype=torch.float64)
    for _ in range(2):
        wanted, found = gradients(plain, images), gradients(network, images)
        for name, gradient in wanted.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-9)
    for name, buffer in plain.named_buffers():
        assert torch.equal(network.get_buffer(name), buffer), name
    assert network.get_buffer("features.denseblock2.denselayer1.norm2.num_batches_tracked") == 2
    with torch.inference_mode():
        assert torch.equal(network.eval()(images), plain.eval()(images))


def kept(network, images):
    """Bytes that are kept for the gradients: what torch saves, and the inputs of what is computed again."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    for name, module in network.named_modules() if network.checkpointing else ():
        if "denselayer" in name and name.count(".") == 2:
            module.register_forward_hook(lambda _, inputs, output: pack(output))
        elif "denseblock" in name and name.count(".") == 1:
            module.register_forward_pre_hook(lambda _, inputs: pack(inputs[0]))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(images)
    assert output.requires_grad
    return sum(storages.values())


def test_computing_again_keeps_less_than_half():
    images = torch.randn(2, 1, 64, 64)
    sizes = [kept(tiny(blocks=(8, 8), checkpointing=again), images) for again in (True, False)]
    assert sizes[0] < 0.5 * sizes[1]


def test_channels_last_gives_the_same_and_stays_so():
    network = tiny(ibn=True).eval()
    turned = copy.deepcopy(network).to(memory_format=torch.channels_last)
    images = torch.randn(2, 1, 64, 70)
    seen = []
    for block in (turned.features.denseblock1, turned.features.denseblock4):
        block.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    with torch.inference_mode():
        torch.testing.assert_close(turned(images), network(images), rtol=1e-4, atol=1e-5)
    assert [maps.is_contiguous(memory_format=torch.channels_last) for maps in seen] == [True] * 4
    assert not any(maps.is_contiguous() for maps in seen[:3])
    wanted, found = gradients(network, images), gradients(turned, images)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ibn", [False, True])
def test_autocast_gives_nearly_the_same(ibn):
    network, images = tiny(ibn=ibn).eval(), torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        wanted = network(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = network(images)
    torch.testing.assert_close(mixed.float(), wanted, rtol=0.05, atol=0.05)


def test_an_image_does_not_depend_on_its_neighbours():
    network, images = tiny(ibn=True), 500 * torch.randn(4, 1, 64, 64)
    network(images)
    network.eval()
    with torch.inference_mode():
        torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_gpu_gives_what_the_processor_gives(checkpointing):
    network, images = tiny(ibn=True, checkpointing=checkpointing), torch.randn(4, 1, 64, 64)
    moved = copy.deepcopy(network).cuda().to(memory_format=torch.channels_last)
    with torch.backends.cudnn.flags(allow_tf32=False):
        wanted, found = gradients(network, images), gradients(moved, images.cuda())
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name].cpu(), gradient, rtol=1e-2, atol=1e-2)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(moved.get_buffer(name).cpu(), buffer, rtol=1e-3, atol=1e-3)
    with torch.inference_mode(), torch.autocast("cuda"):
        half = moved.eval()(images.cuda())
        torch.testing.assert_close(half.float().cpu(), network.eval()(images), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"growth": 0}, "growth: expected a whole number of at least 1, got 0"),
        ({"growth": 1, "ibn": True}, "growth: expected a whole number of at least 2, got 1"),
        ({"stem": 1}, "stem: expected a whole number of at least 2, got 1"),
        ({"bn_size": 2.5}, r"bn_size: expected a whole number of at least 1, got 2\.5"),
        ({"blocks": ()}, r"blocks: expected the numbers of layers, such as \(6, 12, 24, 16\), got \(\)"),
        ({"blocks": (1, 0)}, "blocks: expected a whole number of at least 1, got 0"),
        ({"channels": 2}, "channels: expected 1 or 3, got 2"),
        ({"ibn": 1}, "ibn: expected True or False, got 1"),
        ({"checkpointing": "yes"}, "checkpointing: expected True or False, got 'yes'"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)
