from __future__ import annotations

import pickle

import numpy as np
import pytest

from xrdatasets.errors import ImageReadError, XRDatasetsError
from xrdatasets.images import RawImage, read_image
from xrdatasets.images.pixels import refusing
from xrdatasets.images.reader import MAX_BYTES


def test_the_bytes_choose_the_decoder_not_the_name(save, radiograph, tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(save(radiograph, "PNG"))
    np.testing.assert_array_equal(read_image(path).pixels, radiograph)


def test_path_text_and_bytes_read_the_same(save, radiograph, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(save(radiograph, "PNG"))
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(read_image(source).pixels, radiograph)


def test_the_message_names_dataset_and_path_and_what_to_do(save, radiograph, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(save(radiograph, "PNG")[:-100])
    with pytest.raises(ImageReadError) as caught:
        read_image(path, dataset="nih")
    message = str(caught.value)
    assert message.startswith(f"nih: cannot read '{path}': the PNG ends too early")
    assert message.endswith("Download the file again.")
    assert isinstance(caught.value, OSError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == message  # crosses to worker processes


def test_without_a_dataset_the_message_begins_with_the_path(tmp_path):
    with pytest.raises(ImageReadError, match=r"^cannot read '"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"Image Index,Finding", "begins with b'Image Index,'"),
        (b"<html>", "begins with"),
    ],
)
def test_text_and_empty_files_named_png_are_no_images(tmp_path, content, reason):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=reason):
        read_image(path)


def test_a_missing_file_a_folder_and_a_bad_path_are_image_read_errors(tmp_path):
    with pytest.raises(ImageReadError, match="No such file"):
        read_image(tmp_path / "none.png", dataset="nih")
    with pytest.raises(ImageReadError, match="it is a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageReadError, match="null"):
        read_image("a\0b.png")


def test_a_file_larger_than_any_image_is_not_loaded(tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole: no disk is used
    with pytest.raises(ImageReadError, match="more than any image of 100,000,000 pixels"):
        read_image(path)


def test_an_error_of_dicom_names_dataset_and_file():
    with pytest.raises(
        ImageReadError, match="siim: cannot read '200 bytes': it is a DICOM file without"
    ) as caught:
        read_image(bytes(128) + b"DICM" + bytes(68), dataset="siim")
    assert isinstance(caught.value, XRDatasetsError)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (64, 1)])
def test_a_single_pixel_or_line_is_no_image(save, kind, shape):
    message = rf"its header says {shape[1]} x {shape[0]} pixels. Expected at least 2 x 2"
    with pytest.raises(ImageReadError, match=message):
        read_image(save(np.full(shape, 200, np.uint8), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF"])
def test_two_by_two_reads(save, kind):
    raw = read_image(save(np.full((2, 2), 200, np.uint8), kind))
    assert raw.pixels.tolist() == [[200, 200], [200, 200]]


def test_raw_images_are_facts(radiograph):
    raw = RawImage(radiograph, 255)
    with pytest.raises(AttributeError):
        raw.max_value = 1


def test_a_panic_in_rust_is_an_image_read_error_and_an_interrupt_is_not():
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    with (
        pytest.raises(ImageReadError, match=r"the pixels are damaged \(index out of range\)"),
        refusing("the pixels are damaged"),
    ):
        raise panic("index out of range")
    with pytest.raises(KeyboardInterrupt), refusing("x"):
        raise KeyboardInterrupt
    with pytest.raises(MemoryError), refusing("x"):
        raise MemoryError
