"""ResNet: sizes, layouts, memory for time; its values are compared in test_backbones.py."""

import copy

import pytest
import torch
from torch import nn

from xrdatasets.models import ResNet

BOTH = pytest.mark.parametrize("bottleneck", [False, True], ids=["basic", "bottleneck"])


def tiny(**options):
    torch.manual_seed(0)
    return ResNet(**({"blocks": (2, 1, 1, 2), "width": 4} | options))


def gradients(network, images):
    network.zero_grad()
    network(images).square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@BOTH
def test_the_paths_of_an_image(bottleneck):
    """Sides are halved five times, rounded up."""
    network = tiny(bottleneck=bottleneck).eval()
    maps = network.maps(torch.randn(2, 1, 64, 97))
    assert maps.shape == (2, 128 if bottleneck else 32, 2, 4)
    assert network.out_features == maps.shape[1]
    assert maps.min() == 0
    torch.testing.assert_close(network.pool(maps), maps.sum((2, 3)) / 8)


@BOTH
@pytest.mark.parametrize(("blocks", "least"), [((1,), 5), ((1, 1), 9), ((1, 1, 1), 17), ((1, 1, 1, 1), 17)])
def test_instance_norm_needs_two_pixels(bottleneck, blocks, least):
    network = tiny(bottleneck=bottleneck, blocks=tuple(2 * size for size in blocks), ibn=True).eval()
    assert network.least == least
    assert network(torch.zeros(1, 1, least, least)).isfinite().all()
    with pytest.raises(ValueError, match=f"H and W at least {least}, got "):
        network(torch.zeros(1, 1, least - 1, least))
    with pytest.raises(ValueError, match="more than 1 spatial element"):  # torch's own
        network.maps(torch.zeros(1, 1, least - 1, least - 1))


@BOTH
def test_any_image_fits_without_instance_norm(bottleneck):
    network = tiny(bottleneck=bottleneck).eval()
    assert network.least == 1
    assert network(torch.zeros(1, 1, 1, 1)).isfinite().all()


@BOTH
@pytest.mark.parametrize("ibn", [False, True])
def test_one_image_can_be_trained_on(bottleneck, ibn):
    network = tiny(bottleneck=bottleneck, ibn=ibn)
    network(torch.randn(1, 1, 33, 33)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@BOTH
def test_convolutions_start_by_kaiming_over_their_outputs_and_norms_at_one(bottleneck):
    """As torchvision's default: the last norm of a block starts at one too, not at zero."""
    network = tiny(bottleneck=bottleneck, width=32)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[:, 0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.06), name
            assert module.bias is None
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_a_shortcut_is_a_convolution_only_where_the_shape_changes():
    basic = [name for name in tiny(bottleneck=False).state_dict() if name.endswith("downsample.0.weight")]
    assert basic == [f"layer{layer}.0.downsample.0.weight" for layer in (2, 3, 4)]
    deep = [name for name in tiny().state_dict() if name.endswith("downsample.0.weight")]
    assert deep == [f"layer{layer}.0.downsample.0.weight" for layer in (1, 2, 3, 4)]


@BOTH
def test_instance_norm_stands_where_the_published_definition_puts_it(bottleneck):
    """As in github.com/XingangPan/IBN-Net: the first half of bn1, in all blocks of the first three layers."""
    network = tiny(bottleneck=bottleneck, ibn=True)
    parts = {
        name: (module.IN.num_features, module.BN.num_features, module.batch_first)
        for name, module in network.named_modules()
        if hasattr(module, "BN")
    }
    assert parts == {
        "layer1.0.bn1": (2, 2, False),
        "layer1.1.bn1": (2, 2, False),
        "layer2.0.bn1": (4, 4, False),
        "layer3.0.bn1": (8, 8, False),
    }


@BOTH
@pytest.mark.parametrize("ibn", [False, True])
def test_computing_again_changes_neither_gradients_nor_statistics(bottleneck, ibn):
    plain = tiny(bottleneck=bottleneck, ibn=ibn).double()
    network = tiny(bottleneck=bottleneck, ibn=ibn, checkpointing=True).double()
    network.load_state_dict(plain.state_dict())
    images = torch.randn(2, 1, 64, 50, dtype=torch.float64)
    for _ in range(2):
        wanted, found = gradients(plain, images), gradients(network, images)
        for name, gradient in wanted.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-9)
    for name, buffer in plain.named_buffers():
        assert torch.equal(network.get_buffer(name), buffer), name
    assert network.get_buffer("layer4.1.bn1.num_batches_tracked") == 2


@BOTH
def test_channels_last_gives_the_same_and_stays_so(bottleneck):
    network = tiny(bottleneck=bottleneck, ibn=True).eval()
    turned = copy.deepcopy(network).to(memory_format=torch.channels_last)
    images, seen = torch.randn(2, 1, 64, 70), []
    for block in (turned.layer1[0], turned.layer3[0]):
        block.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    with torch.inference_mode():
        torch.testing.assert_close(turned(images), network(images), rtol=1e-4, atol=1e-4)
    assert [maps.is_contiguous(memory_format=torch.channels_last) for maps in seen] == [True] * 4
    assert not any(maps.is_contiguous() for maps in seen)
    wanted, found = gradients(network, images), gradients(turned, images)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_what_the_processor_gives():
    network, images = tiny(ibn=True).eval(), torch.randn(4, 1, 64, 64)
    moved = copy.deepcopy(network).cuda().to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        torch.testing.assert_close(moved(images.cuda()).cpu(), network(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 1}, "width: expected a whole number of at least 2, got 1"),
        ({"blocks": [0]}, "blocks: expected a whole number of at least 1, got 0"),
        ({"bottleneck": None}, "bottleneck: expected True or False, got None"),
        ({"ibn": "a"}, "ibn: expected True or False, got 'a'"),
        ({"checkpointing": 1}, "checkpointing: expected True or False, got 1"),
        ({"channels": True}, "channels: expected 1 or 3, got True"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)
