"""What a network is fed: files, arrays, pictures and batches of other sizes and ranges."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from xrdatasets.images import load_image
from xrdatasets.models import InputSpec
from xrdatasets.models.inputs import check_range

GREYS = np.arange(40 * 30, dtype=np.uint32).reshape(40, 30)
EIGHT = (GREYS % 256).astype(np.uint8)


def png(array, mode=None):
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "PNG")
    return file.getvalue()


def batch(*shape, seed=0):
    return 2048 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 1024


class TestLoad:
    def test_a_file_is_read_as_load_image_reads_it(self, tmp_path):
        (tmp_path / "a.png").write_bytes(png(EIGHT))
        wanted = load_image(tmp_path / "a.png", size=20)
        for source in (tmp_path / "a.png", str(tmp_path / "a.png"), png(EIGHT)):
            loaded = InputSpec(size=20).load(source)
            assert loaded.shape == (1, 1, 20, 20)
            assert loaded.dtype == torch.float32
            assert np.array_equal(loaded[0], wanted)

    @pytest.mark.parametrize(
        "source",
        [
            EIGHT,
            EIGHT[np.newaxis],
            EIGHT[..., np.newaxis],
            np.repeat(EIGHT[..., np.newaxis], 3, axis=2),
            np.dstack([EIGHT, EIGHT, EIGHT, np.full_like(EIGHT, 9)]),
            torch.from_numpy(EIGHT),
            Image.fromarray(EIGHT),
            Image.fromarray(EIGHT).convert("RGB"),
            Image.fromarray(EIGHT).convert("LA"),
            Image.fromarray(EIGHT.astype(np.uint16) * 257),
            EIGHT.astype(np.uint16) * 257,
        ],
        ids=[
            "HW",
            "1HW",
            "HW1",
            "RGB",
            "RGBA",
            "tensor",
            "pillow",
            "pillow RGB",
            "pillow LA",
            "I;16",
            "uint16",
        ],
    )
    def test_arrays_and_pictures_give_what_their_file_gives(self, source):
        wanted = InputSpec(size=20).load(png(EIGHT))
        torch.testing.assert_close(InputSpec(size=20).load(source), wanted, rtol=0, atol=1e-3)

    def test_a_palette_is_not_read_as_its_indices(self):
        picture = Image.fromarray(EIGHT // 64)
        picture.putpalette([value for grey in (200, 10, 90, 255) for value in (grey,) * 3])
        assert picture.mode == "P"
        wanted = InputSpec(size=20).load(np.array([200, 10, 90, 255], np.uint8)[EIGHT // 64])
        assert torch.equal(InputSpec(size=20).load(picture), wanted)

    def test_a_picture_of_bits_is_black_and_white(self):
        loaded = InputSpec(size=None).load(Image.fromarray(EIGHT > 127))
        assert sorted(loaded.unique().tolist()) == [-1024, 1024]

    def test_white_of_twelve_bits(self):
        twelve = np.full((8, 8), 4_095, np.uint16)
        assert InputSpec(size=4).load(twelve, max_value=4_095).min() == 1024
        assert InputSpec(size=4).load(twelve).max() < -800

    def test_three_channels_are_the_same_thrice(self):
        loaded = InputSpec(size=20, channels=3).load(EIGHT)
        assert loaded.shape == (1, 3, 20, 20)
        assert torch.equal(loaded[:, 0], loaded[:, 2])

    def test_the_range_is_the_specs(self):
        loaded = InputSpec(size=20, intensity="unit").load(EIGHT)
        assert 0 <= loaded.min() < loaded.max() <= 1

    @pytest.mark.parametrize(
        "source",
        [
            EIGHT / 255,
            EIGHT.astype(np.int64),
            np.zeros((2, 40, 30), np.uint8),
            np.zeros((0, 3), np.uint8),
            7,
            None,
        ],
        ids=["float", "int64", "two images", "empty", "number", "None"],
    )
    def test_other_arrays_are_refused(self, source):
        with pytest.raises(ValueError, match=r"source: expected a path, .* uint8 or uint16, got"):
            InputSpec(size=20).load(source)

    @pytest.mark.parametrize("value", [254, 0, -1, 255.5, True])
    def test_a_white_below_the_pixels_is_refused(self, value):
        with pytest.raises(ValueError, match="max_value: expected"):
            InputSpec(size=20).load(EIGHT, max_value=value)

    def test_a_black_image_needs_a_white_too(self):
        with pytest.raises(ValueError, match="max_value: expected at least 1, got 0"):
            InputSpec(size=20).load(np.zeros((8, 8), np.uint8), max_value=0)

    def test_a_file_says_its_white_itself(self):
        with pytest.raises(ValueError, match="max_value: expected None for a file"):
            InputSpec(size=20).load(png(EIGHT), max_value=255)


class TestFit:
    def test_the_right_size_is_not_touched(self):
        images = batch(2, 1, 32, 32)
        assert InputSpec(size=32).fit(images) is images
        assert InputSpec(size=None).fit(images) is images

    def test_another_size_is_resized_with_a_warning(self):
        images = batch(2, 1, 64, 64)
        with pytest.warns(UserWarning, match=r"images of 64 x 64 are resized to 32 x 32"):
            fitted = InputSpec(size=32).fit(images)
        wanted = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
        assert torch.equal(fitted, wanted)

    def test_the_centre_is_cut_first(self):
        images = batch(1, 1, 32, 50)
        with pytest.warns(UserWarning, match="images of 32 x 50"):
            fitted = InputSpec(size=32).fit(images)
        assert torch.equal(fitted, images[..., 9:41])

    def test_without_crop_the_image_is_squeezed(self):
        images = batch(1, 1, 32, 64)
        with pytest.warns(UserWarning, match="images of 32 x 64"):
            fitted = InputSpec(size=32, crop=False).fit(images)
        wanted = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
        assert torch.equal(fitted, wanted)

    def test_channels_are_repeated_or_averaged(self):
        one, three = batch(2, 1, 16, 16), batch(2, 3, 16, 16)
        assert torch.equal(InputSpec(size=16, channels=3).fit(one), one.repeat(1, 3, 1, 1))
        assert torch.equal(InputSpec(size=16).fit(three), three.mean(1, keepdim=True))
        assert InputSpec(size=16, channels=3).fit(three) is three

    @pytest.mark.parametrize(
        "images",
        [
            torch.zeros(1, 2, 8, 8),
            torch.zeros(1, 8, 8),
            torch.zeros(1, 1, 0, 8),
            torch.zeros(1, 1, 8, 8).byte(),
            None,
        ],
        ids=["two channels", "no batch", "no rows", "bytes", "None"],
    )
    def test_other_shapes_are_refused(self, images):
        with pytest.raises(ValueError, match="images: expected"):
            InputSpec(size=8).fit(images)

    def test_scaled_is_what_the_network_sees(self):
        images = torch.rand(2, 3, 8, 8)
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
        seen = InputSpec(size=8, intensity="unit", channels=3, mean=mean, std=std).scaled(images)
        wanted = (images.double() - torch.tensor(mean).reshape(3, 1, 1).double()) / torch.tensor(std).reshape(
            3, 1, 1
        ).double()
        torch.testing.assert_close(seen.double(), wanted, rtol=1e-6, atol=1e-6)
        assert InputSpec(size=8).scaled(images) is images


class TestRange:
    @pytest.mark.parametrize(
        "images",
        [
            torch.rand(1, 1, 8, 8),
            2 * torch.rand(1, 1, 8, 8) - 1,
            65_535 * torch.rand(1, 1, 8, 8),
            torch.full((1, 1, 8, 8), torch.nan),
            torch.tensor([[[[0.0, 100.0, torch.inf]]]]),
            torch.tensor([[[[-1030.0, 100.0]]]]),
        ],
        ids=["unit", "-1 to 1", "16 bits", "NaN", "inf", "below"],
    )
    def test_what_cannot_be_xrv_is_refused(self, images):
        with pytest.raises(ValueError, match=r"expected values from -1024 to 1024, .*normalize\(…, 'xrv'\)"):
            check_range(images, "xrv")

    @pytest.mark.parametrize("value", [-1024.0, 0.0, 0.5, 1024.0, 1025.5])
    def test_a_single_value_passes(self, value):
        check_range(torch.full((2, 1, 4, 4), value), "xrv")

    def test_bytes_are_warned_of_because_a_flat_image_may_look_so(self):
        flat = InputSpec(size=8).load(np.linspace(130, 154, 64).astype(np.uint8).reshape(8, 8))
        for images in (flat, 255 * torch.rand(1, 1, 8, 8)):
            with pytest.warns(UserWarning, match="look like bytes; expected -1024 to 1024"):
                check_range(images, "xrv")

    def test_a_dark_image_in_a_batch_passes(self):
        check_range(torch.stack([torch.full((1, 4, 4), 3.0), torch.full((1, 4, 4), -900.0)]), "xrv")

    def test_unit_is_0_to_1(self):
        check_range(torch.rand(1, 1, 4, 4), "unit")
        with pytest.raises(ValueError, match="expected values from 0 to 1, got -1024 to 1024"):
            check_range(torch.tensor([[[[-1024.0, 1024.0]]]]), "unit")

    def test_no_images_have_no_range(self):
        check_range(torch.zeros(0, 1, 8, 8), "xrv")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"size": 0}, "size"),
        ({"size": 2.5}, "size"),
        ({"intensity": "grey"}, "intensity"),
        ({"engine": "fast"}, "engine"),
        ({"channels": 2}, "channels"),
        ({"channels": True}, "channels"),
        ({"crop": 1}, "crop"),
        ({"mean": (1, 2)}, "mean"),
        ({"mean": "a"}, "mean"),
        ({"std": 0}, "std"),
        ({"std": float("nan")}, "std"),
    ],
)
def test_wrong_fields_are_named(fields, name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        InputSpec(**fields)


def test_config_makes_it_again():
    spec = InputSpec(size=320, intensity="unit", channels=3, engine="gaussian", mean=(0.1, 0.2, 0.3), std=2)
    assert InputSpec(**spec.config()) == spec
