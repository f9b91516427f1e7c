"""The small network: shapes, sizes, and that a finding of few pixels reaches the output."""

import copy

import pytest
import torch

from xrdatasets.models import Mini, Network


def mini(outputs, **options):
    return Network(Mini(**options), outputs)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (128, 128), (224, 224), (16, 16), (65, 47)])
def test_any_size_gives_logits(size):
    model = mini(5).eval()
    with torch.inference_mode():
        logits = model(torch.zeros(2, 1, *size))
        features = model.features(torch.zeros(2, 1, *size))
    assert (logits.shape, logits.dtype) == ((2, 5), torch.float32)
    assert features.shape == (2, 192)
    assert model.head.outputs == 5


def test_it_stays_small():
    assert parameters(mini(21)) == 168_153
    assert parameters(mini(21, width=32)) < 1_250_000  # 5 MB of float32


def test_float_images_of_the_xrv_range_give_logits_of_a_sane_size():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    images = 1024 * (2 * torch.rand(16, 1, 64, 64, generator=generator) - 1)
    logits = mini(8)(images)
    assert logits.isfinite().all()
    assert logits.abs().max() < 10


def test_an_image_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    model, images = mini(3), 500 * torch.randn(6, 1, 32, 32)
    model(images)  # statistics of a batch
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(images)[:1], model(images[:1]), rtol=1e-4, atol=1e-5)


def test_one_image_can_be_trained_on():
    model = mini(2)
    model(torch.randn(1, 1, 16, 16)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.repeat(1, 1, 2, 2)[:, :, ::2, ::2],
        lambda images: images.mT.contiguous().mT,
        lambda images: images.to(memory_format=torch.channels_last),
        lambda images: images.expand(4, -1, -1, -1)[:2],
    ],
    ids=["strided", "transposed", "channels last", "expanded"],
)
def test_the_layout_in_memory_does_not_matter(change):
    torch.manual_seed(0)
    model, images = mini(3).eval(), change(100 * torch.randn(1, 1, 48, 32))
    with torch.inference_mode():
        torch.testing.assert_close(model(images), model(images.contiguous().clone()))


def test_a_dot_of_one_pixel_moves_the_maximum_more_than_the_mean():
    torch.manual_seed(0)
    model = mini(1).eval()
    images = torch.zeros(2, 1, 64, 64)
    images[1, 0, 31, 31] = 1024
    with torch.inference_mode():
        nothing, dot = model.features(images)
    means, maxima = (dot - nothing).abs().chunk(2)
    assert maxima.max() > 3 * means.max()


def test_weights_travel_through_a_state_dict(tmp_path):
    first, second = mini(4).eval(), mini(4).eval()
    assert all(value.is_contiguous() for value in first.state_dict().values())  # what safetensors takes
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    second.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(first(images), second(images))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_what_the_processor_gives():
    torch.manual_seed(0)
    model = mini(3).eval()
    images = 300 * torch.randn(4, 1, 64, 64)
    moved = copy.deepcopy(model).cuda()
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        torch.testing.assert_close(moved(images.cuda()).cpu(), model(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 64, 64), r"images: expected the shape \(B, 1, H, W\), .*, got \(2, 3, 64, 64\)"),
        (torch.zeros(1, 64, 64), r"images: expected the shape .*, got \(1, 64, 64\)"),
        (torch.zeros(1, 1, 8, 64), r"images: expected .* H and W at least 16, got \(1, 1, 8, 64\)"),
        (torch.zeros(1, 1, 64, 64, dtype=torch.uint8), r"images: expected a float tensor, got torch\.uint8"),
        ([[0.0]], "images: expected a float tensor, got list"),
    ],
)
def test_wrong_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        mini(2)(images)


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None])
def test_wrong_numbers_are_named(value):
    with pytest.raises(ValueError, match=r"width: expected a whole number of at least 1, got"):
        Mini(width=value)


@pytest.mark.parametrize("value", [0, 2, 4, True, "1", None])
def test_channels_are_one_or_three(value):
    with pytest.raises(ValueError, match=r"channels: expected 1 or 3, got"):
        Mini(channels=value)


def test_three_channels_are_read():
    model = Mini(channels=3, width=4).eval()
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 64)
    with pytest.raises(ValueError, match=r"expected the shape \(B, 3, H, W\)"):
        model(torch.zeros(2, 1, 32, 32))
