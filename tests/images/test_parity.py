"""The `gaussian` engine against scikit-image's resize, called as torchxrayvision calls it."""

from __future__ import annotations

import warnings

import imageio.v3
import numpy as np
import pytest
import skimage.transform

from xrdatasets.images import load_image

FRAME = 4  # pixels from the border: what the peer's zero padding reaches, and more
SPREAD = 60  # images of a folder


def peer(pixels, size, top=255):
    """`normalize`, `XRayCenterCrop` and `XRayResizer` of torchxrayvision 1.5.7, as they follow each other."""
    img = ((2 * (pixels.astype(np.float32) / top) - 1.0) * 1024)[np.newaxis]
    height, width = img.shape[1:]
    side = min(height, width)
    top_row, left = height // 2 - side // 2, width // 2 - side // 2
    img = img[:, top_row : top_row + side, left : left + side]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skimage.transform.resize(img, (1, size, size), mode="constant", preserve_range=True)


def inside(img):
    return img[:, FRAME:-FRAME, FRAME:-FRAME]


def drawn(height, width, top):
    """A chest of sorts: smooth, with ribs, text and noise, up to both ends of the range."""
    rng = np.random.default_rng(height + width)
    y, x = np.mgrid[:height, :width] / min(height, width)
    img = (
        0.5
        + 0.4 * np.cos(3 * x) * np.sin(4 * y)
        + 0.2 * np.sin(40 * y + 5 * x)
        + rng.normal(0, 0.05, y.shape)
    )
    img[height // 3 : height // 3 + 9, width // 3 : width // 2] = 1.0  # a marker
    img[:, : width // 50] = 0.0  # a collimated edge
    return (img.clip(0, 1) * top).round().astype(np.uint8 if top == 255 else np.uint16)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(1024, 1024, 224), (700, 523, 224), (523, 700, 320), (257, 400, 224), (200, 210, 224), (224, 300, 224)],
)
def test_a_drawn_png_comes_out_as_torchxrayvision_makes_it(save, height, width, size):
    pixels = drawn(height, width, 255)
    ours = load_image(save(pixels, "PNG"), size=size, engine="gaussian")
    assert np.abs(inside(ours) - inside(peer(pixels, size))).max() < 0.01


def test_so_does_a_drawn_jpeg(save):
    data = save(drawn(600, 810, 255), "JPEG", quality=90)
    ours = load_image(data, size=224, engine="gaussian")
    assert np.abs(inside(ours) - inside(peer(imageio.v3.imread(data), 224))).max() < 0.01


def test_so_does_sixteen_bits_by_the_formula_which_its_reader_refuses(save):
    pixels = drawn(500, 450, 65_535)
    ours = load_image(save(pixels, "PNG"), size=128, engine="gaussian")
    assert np.abs(inside(ours) - inside(peer(pixels, 128, 65_535))).max() < 0.01


def test_the_frame_that_is_left_out_is_the_peers(save):
    white = np.full((600, 600), 255, np.uint8)
    white[300, 300] = 0  # the peer clips to the range of its input
    ours, theirs = load_image(save(white, "PNG"), size=224, engine="gaussian"), peer(white, 224)
    np.testing.assert_allclose(ours[0, 0], 1024, atol=0.001)
    assert theirs[0, 0].max() < 1000
    np.testing.assert_allclose(theirs[0, FRAME, FRAME:-FRAME], 1024, atol=0.001)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("nih_original", "*.png"),
        ("fixtures", "*.png"),
        ("fixtures", "*.jp*g"),
        ("nih", "*.jpg"),
        ("kermany", "*.jpeg"),
        ("hannover", "*.jpg"),
    ],
)
def test_real_radiographs_come_out_as_torchxrayvision_makes_them(real_images, folder, kind):
    paths = sorted((real_images / folder).rglob(kind))
    compared = 0
    for path in paths[:: max(1, len(paths) // SPREAD)]:
        pixels = imageio.v3.imread(path)
        if pixels.ndim == 3:
            if (pixels[..., :3] != pixels[..., :1]).any():
                continue  # tinted: ours is luma, the peer takes red
            pixels = pixels[..., 0]
        # no size of these images, so that none comes out untouched
        ours = load_image(path, size=200, engine="gaussian")
        assert np.abs(inside(ours) - inside(peer(pixels, 200))).max() < 0.01, path
        compared += 1
    assert compared >= min(len(paths), SPREAD) - 3
