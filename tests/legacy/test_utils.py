"""Reading, scaling and collating as scripts of torchxrayvision call them."""

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

import xrdatasets.legacy as xrv
from tests import fakes
from xrdatasets.errors import ImageReadError


def test_normalize_maps_the_ends():
    made = xrv.utils.normalize(np.array([[0, 51], [204, 255]], np.uint8), 255)
    np.testing.assert_array_equal(made, np.float32([[-1024, -614.4], [614.4, 1024]]))
    assert made.dtype == np.float32


def test_normalize_keeps_the_first_channel():
    pixels = np.stack([np.full((2, 3), value, np.uint8) for value in (0, 100, 255)], axis=-1)
    np.testing.assert_array_equal(xrv.utils.normalize(pixels, 255, reshape=True), np.full((1, 2, 3), -1024))


def test_normalize_refuses_what_is_above_the_bound():
    with pytest.raises(ValueError, match="no pixel above 255, got 256"):
        xrv.utils.normalize(np.array([[256]], np.uint16), 255)


def test_normalize_refuses_a_line():
    with pytest.raises(ValueError, match=r"expected \(H, W\) or \(H, W, C\), got the shape \(3,\)"):
        xrv.utils.normalize(np.zeros(3, np.uint8), 255, reshape=True)


def test_normalize_is_one_function_in_both_modules():
    assert xrv.datasets.normalize is xrv.utils.normalize


def test_load_image_reads_16_bits(tmp_path):
    """PadChest's own format, which torchxrayvision refuses."""
    Image.fromarray(np.array([[0, 65_535], [0, 0]], np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        xrv.utils.load_image(tmp_path / "a.png"), np.float32([[[-1024, 1024], [-1024, -1024]]])
    )


def test_load_image_refuses_a_text(tmp_path):
    with pytest.raises(ImageReadError, match="no image of a known kind"):
        xrv.utils.load_image(fakes.write_table(tmp_path / "a.png", "no image"))


@pytest.mark.parametrize(("kind", "fix", "sign"), [("MONOCHROME2", True, 1), ("MONOCHROME1", True, -1),
                                                   ("MONOCHROME1", False, 1)])  # fmt: skip
def test_dicom_comes_as_height_and_width(tmp_path, kind, fix, sign):
    pixels = np.array([[0, 4095], [2048, 1024]], np.uint16)
    path = fakes.write_dicom(tmp_path / "a.dcm", pixels=pixels, BitsStored=12, PhotometricInterpretation=kind)
    made = xrv.utils.read_xray_dcm(path, fix_monochrome=fix)
    np.testing.assert_allclose(made, sign * (pixels / 4095 * 2 - 1) * 1024, atol=1e-3)


def test_masks_that_vary_make_a_batch(fake):
    """torch alone stops with a KeyError, because not every image has the same masks."""
    ds = xrv.datasets.NIH_Dataset(
        fake("nih") / "images", views=["PA", "AP"], unique_patients=False, pathology_masks=True
    )
    batch = next(iter(DataLoader(ds, batch_size=len(ds), collate_fn=xrv.utils.collate)))
    cardiomegaly, infiltration = (ds.pathologies.index(name) for name in ("Cardiomegaly", "Infiltration"))
    assert sorted(batch["pathology_masks"]) == [cardiomegaly, infiltration]
    sums = batch["pathology_masks"][cardiomegaly].sum(dim=(1, 2, 3))
    assert (sums > 0).tolist() == [False, False, True, False, False]
    assert batch["img"].shape == (5, 1, 64, 64)
    assert batch["lab"].shape == (5, 14)


def test_boxes_make_a_batch(fake):
    ds = xrv.datasets.TBX11K_Dataset(fake("tbx11k") / "TBX11K")
    batch = next(iter(DataLoader(ds, batch_size=3, collate_fn=xrv.utils.collate)))
    assert [len(boxes) for boxes in batch["bbox"]] == [1, 1, 2]


@pytest.mark.parametrize("name", ["autoencoders", "baseline_models"])
def test_modules_that_are_not_here_say_so(name):
    with pytest.raises(AttributeError, match=rf"xrdatasets\.legacy\.{name}\.DenseNet is not here: "):
        _ = getattr(xrv, name).DenseNet
    assert "not here" in repr(getattr(xrv, name))
