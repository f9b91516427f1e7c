"""DICOM against arrays made by hand: what a stored value looks like, and which files are refused."""

from __future__ import annotations

import builtins
import io
import threading
import warnings

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageFile
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from tests import fakes
from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images import read_image
from xrdatasets.images.dicom import decode_dicom
from xrdatasets.images.pipeline import load_image
from xrdatasets.images.silence import quiet

EIGHT = np.array([[0, 1, 2], [100, 254, 255]], np.uint8)
TWELVE = np.array([[0, 1, 2], [2048, 4094, 4095]], np.uint16)
SIGNED = np.array([[-2048, -1, 0], [1, 2046, 2047]], np.int16)


@pytest.fixture
def dicom(tmp_path):
    """The bytes of a DICOM file of these pixels; elements by keyword, those that are None left out."""

    def write(pixels, **elements):
        path = fakes.write_dicom(tmp_path / "x.dcm", pixels=pixels)
        file = pydicom.dcmread(path)
        for name, value in elements.items():
            if value is None:
                delattr(file, name)
            else:
                setattr(file, name, value)
        target = io.BytesIO()
        file.save_as(target)
        return target.getvalue()

    return write


@pytest.fixture
def packed(tmp_path):
    """The bytes of a DICOM file with one frame that another format packed."""

    def write(frame, syntax, shape, **elements):
        path = fakes.write_dicom(tmp_path / "x.dcm", pixels=np.zeros(shape[:2], np.uint8))
        file = pydicom.dcmread(path)
        file.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
        file.PixelData = encapsulate([frame])
        file["PixelData"].is_undefined_length = True
        for name, value in elements.items():
            setattr(file, name, value)
        target = io.BytesIO()
        file.save_as(target)
        return target.getvalue()

    return write


def lut(first, entries, bits, *, vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", vr, list(entries) if vr == "US" else np.array(entries, "<u2").tobytes())
    return Sequence([item])


class TestStoredValues:
    def test_eight_bits_are_kept(self, dicom):
        raw = decode_dicom(dicom(EIGHT))
        np.testing.assert_array_equal(raw.pixels, EIGHT)
        assert (raw.pixels.dtype, raw.max_value, raw.pixels.flags.c_contiguous) == (np.uint8, 255, True)

    def test_sixteen_bits_are_kept(self, dicom):
        pixels = np.array([[0, 1], [40_000, 65_535]], np.uint16)
        raw = decode_dicom(dicom(pixels))
        np.testing.assert_array_equal(raw.pixels, pixels)
        assert (raw.pixels.dtype, raw.max_value) == (np.uint16, 65_535)

    def test_bits_stored_below_bits_allocated(self, dicom):
        raw = decode_dicom(dicom(TWELVE, BitsStored=12, HighBit=11))
        np.testing.assert_array_equal(raw.pixels, TWELVE)
        assert (raw.pixels.dtype, raw.max_value) == (np.uint16, 4095)

    def test_twelve_bits_fill_the_range_of_a_model(self, dicom):
        image = load_image(dicom(TWELVE, BitsStored=12, HighBit=11))
        assert (image.min(), image.max()) == (-1024, 1024)

    def test_bits_above_those_stored_do_not_count(self, dicom):
        raw = decode_dicom(dicom(TWELVE | 0xF000, BitsStored=12, HighBit=11))
        np.testing.assert_array_equal(raw.pixels, TWELVE)

    @pytest.mark.parametrize("stray", [0, 0xF000])
    def test_signed_values_begin_at_the_least(self, dicom, stray):
        pixels = (SIGNED.view(np.uint16) & 0x0FFF | stray).view(np.int16)
        raw = decode_dicom(dicom(pixels, BitsStored=12, HighBit=11))
        assert raw.pixels.tolist() == [[0, 2047, 2048], [2049, 4094, 4095]]
        assert raw.max_value == 4095

    def test_a_missing_high_bit_is_that_of_bits_stored(self, dicom):
        raw = decode_dicom(dicom(TWELVE, BitsStored=12, HighBit=None))
        np.testing.assert_array_equal(raw.pixels, TWELVE)

    def test_missing_bits_stored_and_samples_per_pixel(self, dicom):
        raw = decode_dicom(dicom(EIGHT, BitsStored=None, HighBit=None, SamplesPerPixel=None))
        np.testing.assert_array_equal(raw.pixels, EIGHT)

    def test_monochrome1_is_turned_round(self, dicom):
        raw = decode_dicom(dicom(TWELVE, BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1"))
        assert raw.pixels.tolist() == [[4095, 4094, 4093], [2047, 1, 0]]

    def test_rgb_becomes_grey(self, dicom):
        pixels = np.array([[[200, 0, 0], [9, 9, 9]], [[0, 0, 255], [0, 0, 0]]], np.uint8)
        raw = decode_dicom(
            dicom(pixels, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
        )
        assert raw.pixels.tolist() == [[60, 9], [29, 0]]

    def test_a_preamble_that_looks_like_a_tiff(self, dicom):
        data = b"II*\0" + dicom(EIGHT)[4:]
        np.testing.assert_array_equal(read_image(data).pixels, EIGHT)


class TestRescale:
    @pytest.mark.parametrize(("slope", "intercept"), [("1", "0"), ("1", "-1024"), ("0.25", "3")])
    def test_alone_it_leaves_the_stored_values(self, dicom, slope, intercept):
        raw = decode_dicom(
            dicom(TWELVE, BitsStored=12, HighBit=11, RescaleSlope=slope, RescaleIntercept=intercept)
        )
        np.testing.assert_array_equal(raw.pixels, TWELVE)
        assert raw.max_value == 4095

    def test_a_negative_slope_turns_the_values_round(self, dicom):
        raw = decode_dicom(dicom(EIGHT, RescaleSlope="-1", RescaleIntercept="255"))
        np.testing.assert_array_equal(raw.pixels, 255 - EIGHT)

    def test_a_slope_of_zero(self, dicom):
        with pytest.raises(ImageReadError, match=r"its window or rescale makes all values alike"):
            decode_dicom(dicom(EIGHT, RescaleSlope="0", RescaleIntercept="0"))

    @pytest.mark.parametrize("vr", ["US", "OW"])
    def test_a_table(self, dicom, vr):
        entries = [1000 - 100 * number for number in range(4)]
        raw = decode_dicom(dicom(EIGHT, ModalityLUTSequence=lut(1, entries, 10, vr=vr)))
        # below the table its first entry counts, above it the last
        assert raw.pixels.tolist() == [[1000, 1000, 900], [700, 700, 700]]
        assert raw.max_value == 1023


class TestWindow:
    def test_linear_by_hand(self, dicom):
        # PS3.3, C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5), here (x - 95.5) / 9 + 0.5
        pixels = np.array([[0, 91, 92], [95, 100, 101]], np.uint8)
        raw = decode_dicom(dicom(pixels, WindowCenter="96", WindowWidth="10"))
        shares = [0, 0, 1 / 9, 4 / 9, 1, 1]
        assert raw.pixels.ravel().tolist() == [round(share * 65_535) for share in shares]
        assert (raw.pixels.dtype, raw.max_value) == (np.uint16, 65_535)

    def test_rescale_comes_before_the_window(self, dicom):
        pixels = np.array([[0, 1091, 1092], [1095, 1100, 4095]], np.uint16)
        options = {"BitsStored": 12, "HighBit": 11, "RescaleSlope": "1", "RescaleIntercept": "-1000"}
        raw = decode_dicom(dicom(pixels, **options, WindowCenter="96", WindowWidth="10"))
        assert raw.pixels.ravel().tolist() == [round(share * 65_535) for share in (0, 0, 1 / 9, 4 / 9, 1, 1)]

    def test_the_inversion_comes_after_the_window(self, dicom):
        pixels = np.array([[0, 91, 92], [95, 100, 101]], np.uint8)
        raw = decode_dicom(
            dicom(pixels, WindowCenter="96", WindowWidth="10", PhotometricInterpretation="MONOCHROME1")
        )
        assert raw.pixels.ravel().tolist() == [
            round((1 - share) * 65_535) for share in (0, 0, 1 / 9, 4 / 9, 1, 1)
        ]

    def test_a_negative_slope_and_a_window(self, dicom):
        # x becomes 255 - x; the window shows what is above 127 bright
        pixels = np.array([[0, 100], [200, 255]], np.uint8)
        raw = decode_dicom(
            dicom(pixels, RescaleSlope="-1", RescaleIntercept="255", WindowCenter="128", WindowWidth="2")
        )
        assert raw.pixels.tolist() == [[65_535, 65_535], [0, 0]]

    def test_of_several_windows_the_first(self, dicom):
        one = decode_dicom(dicom(EIGHT, WindowCenter="100", WindowWidth="50"))
        several = decode_dicom(dicom(EIGHT, WindowCenter=["100", "9"], WindowWidth=["50", "3"]))
        np.testing.assert_array_equal(one.pixels, several.pixels)

    def test_signed_values(self, dicom):
        raw = decode_dicom(dicom(SIGNED, BitsStored=12, HighBit=11, WindowCenter="0.5", WindowWidth="2"))
        assert raw.pixels.tolist() == [[0, 0, 32_768], [65_535, 65_535, 65_535]]

    def test_sigmoid(self, dicom):
        raw = decode_dicom(dicom(EIGHT, WindowCenter="100", WindowWidth="50", VOILUTFunction="SIGMOID"))
        expected = 65_535 / (1 + np.exp(-4 * (EIGHT.astype(float) - 100) / 50))
        np.testing.assert_allclose(raw.pixels, expected, atol=0.51)

    def test_an_empty_window_is_none(self, dicom):
        raw = decode_dicom(dicom(EIGHT, WindowCenter="", WindowWidth=""))
        np.testing.assert_array_equal(raw.pixels, EIGHT)

    def test_a_width_of_zero(self, dicom):
        with pytest.raises(ImageReadError, match=r"its window or rescale is damaged \(.*Window Width"):
            decode_dicom(dicom(EIGHT, WindowCenter="100", WindowWidth="0"))

    def test_a_table_beats_a_window(self, dicom):
        raw = decode_dicom(
            dicom(EIGHT, VOILUTSequence=lut(1, [0, 7, 9], 8), WindowCenter="100", WindowWidth="9")
        )
        assert raw.pixels.tolist() == [[0, 0, 7], [9, 9, 9]]
        assert (raw.pixels.dtype, raw.max_value) == (np.uint8, 255)

    def test_a_long_table_of_eight_bits_does_not_wrap(self, dicom):
        entries = [number // 16 for number in range(4096)]
        raw = decode_dicom(dicom(TWELVE, BitsStored=12, HighBit=11, VOILUTSequence=lut(0, entries, 8)))
        assert raw.pixels.tolist() == [[0, 0, 0], [128, 255, 255]]


class TestPacked:
    def test_jpeg_baseline(self, packed, save, radiograph):
        frame = save(radiograph, "JPEG", quality=95)
        raw = decode_dicom(packed(frame, pydicom.uid.JPEGBaseline8Bit, radiograph.shape))
        np.testing.assert_array_equal(raw.pixels, np.asarray(Image.open(io.BytesIO(frame))))

    def test_jpeg_2000_without_loss(self, packed, save):
        pixels = np.random.default_rng(0).integers(0, 65_536, (40, 48)).astype(np.uint16)
        frame = save(pixels, "JPEG2000", irreversible=False)
        start = frame.index(b"\xff\x4f\xff\x51")  # the bare codestream, as DICOM wants it
        data = packed(
            frame[start:],
            pydicom.uid.JPEG2000Lossless,
            pixels.shape,
            BitsAllocated=16,
            BitsStored=16,
            HighBit=15,
        )
        np.testing.assert_array_equal(decode_dicom(data).pixels, pixels)

    def test_rle(self, tmp_path):
        path = fakes.write_dicom(tmp_path / "x.dcm", pixels=TWELVE, BitsStored=12)
        file = pydicom.dcmread(path)
        file.compress(pydicom.uid.RLELossless)
        file.save_as(path)
        np.testing.assert_array_equal(read_image(path).pixels, TWELVE)

    @pytest.mark.parametrize(
        ("syntax", "package"),
        [
            ("1.2.840.10008.1.2.4.80", "pyjpegls"),
            ("1.2.840.10008.1.2.4.70", "pylibjpeg-libjpeg"),
            ("1.2.840.10008.1.2.4.201", "pylibjpeg-openjpeg"),
        ],
    )
    def test_a_missing_decoder_names_syntax_and_package(self, packed, monkeypatch, syntax, package):
        monkeypatch.setattr(pydicom.pixels.get_decoder(syntax), "_available", {})
        name = pydicom.uid.UID(syntax).name
        with pytest.raises(DecoderNotFoundError) as caught:
            read_image(packed(b"\0" * 10, syntax, (4, 4)), dataset="vindr")
        for part in ("vindr: cannot read", f"{name} ({syntax})", f"{package}."):
            assert part in str(caught.value)

    def test_jpeg_of_twelve_bits_is_none_for_pillow(self, packed, monkeypatch):
        syntax = pydicom.uid.JPEGExtended12Bit
        monkeypatch.setattr(pydicom.pixels.get_decoder(syntax), "_available", {"pillow": print})
        with pytest.raises(DecoderNotFoundError, match=r"JPEG Extended .* Install pylibjpeg"):
            decode_dicom(packed(b"\0", syntax, (4, 4), BitsAllocated=16, BitsStored=12))

    def test_a_video_has_no_decoder(self, packed):
        with pytest.raises(DecoderNotFoundError, match=r"MPEG2 .* Convert it with another program"):
            decode_dicom(packed(b"\0", pydicom.uid.MPEG2MPML, (4, 4)))


class TestRefused:
    def test_every_cut_of_a_plain_file(self, dicom):
        data = dicom(EIGHT)
        for length in range(132, len(data)):
            with pytest.raises(ImageReadError):
                decode_dicom(data[:length])

    @pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
    def test_cuts_of_a_packed_file(self, packed, save, radiograph, kind):
        frame = save(radiograph, kind)
        syntax = {"JPEG": pydicom.uid.JPEGBaseline8Bit, "JPEG2000": pydicom.uid.JPEG2000}[kind]
        if kind == "JPEG2000":
            frame = frame[frame.index(b"\xff\x4f\xff\x51") :]
        data = packed(frame, syntax, radiograph.shape)
        assert decode_dicom(data).pixels.shape == radiograph.shape
        for length in range(200, len(data) - len(frame) // 3, 97):
            with pytest.raises(ImageReadError):
                decode_dicom(data[:length])

    def test_a_frame_cut_inside_a_whole_file(self, packed, save, radiograph):
        frame = save(radiograph, "JPEG")
        with pytest.raises(ImageReadError, match=r"its pixel data is cut or damaged"):
            decode_dicom(packed(frame[: len(frame) // 2], pydicom.uid.JPEGBaseline8Bit, radiograph.shape))

    def test_pixel_data_shorter_than_the_header_says(self, dicom):
        with pytest.raises(ImageReadError, match=r"its pixel data is cut or damaged \(.*less than expected"):
            decode_dicom(dicom(EIGHT, Rows=3))

    def test_a_frame_of_another_size_than_the_header_says(self, packed, save, radiograph):
        with pytest.raises(ImageReadError):
            decode_dicom(packed(save(radiograph, "JPEG"), pydicom.uid.JPEGBaseline8Bit, (10, 10)))

    def test_a_bomb_by_its_header(self, dicom):
        with pytest.raises(ImageReadError, match=r"its header says 60,000 x 60,000 pixels"):
            decode_dicom(dicom(EIGHT, Rows=60_000, Columns=60_000))

    def test_several_frames(self, dicom):
        with pytest.raises(ImageReadError, match=r"it has 2 frames. Expected one"):
            decode_dicom(dicom(EIGHT, NumberOfFrames=2))

    @pytest.mark.parametrize(
        "elements",
        [
            {"PhotometricInterpretation": "PALETTE COLOR"},
            {"PhotometricInterpretation": "RGB"},
            {"SamplesPerPixel": 3},
            {"BitsAllocated": 32},
            {"BitsStored": 9},
            {"BitsStored": 0},
        ],
    )
    def test_pixels_that_are_not_read(self, dicom, elements):
        with pytest.raises(ImageReadError, match=r"Expected MONOCHROME1 or MONOCHROME2, or RGB"):
            decode_dicom(dicom(EIGHT, **elements))

    @pytest.mark.parametrize("name", ["Rows", "PixelData", "PhotometricInterpretation", "BitsAllocated"])
    def test_a_missing_element_is_named(self, dicom, name):
        with pytest.raises(ImageReadError, match=rf"it is a DICOM file without {name}: "):
            decode_dicom(dicom(EIGHT, **{name: None}))

    def test_pillow_told_to_read_half_files(self, dicom, monkeypatch):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with pytest.raises(ImageReadError, match=r"LOAD_TRUNCATED_IMAGES is set"):
            decode_dicom(dicom(EIGHT))

    def test_no_word_of_the_patient_in_a_message(self, dicom):
        data = dicom(EIGHT, Rows=3, PatientName="Doe^Jane", PatientID="secret-77")
        with pytest.raises(ImageReadError) as caught:
            read_image(data)
        assert "Doe" not in str(caught.value)
        assert "secret" not in str(caught.value)

    def test_a_damaged_element_elsewhere_does_not_matter(self, dicom):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = dicom(EIGHT, PatientBirthDate="no date at all", PatientSex="x" * 40)
        np.testing.assert_array_equal(decode_dicom(data).pixels, EIGHT)


class TestQuiet:
    def test_threads_leave_the_filters_as_they_were(self):
        before = list(warnings.filters)
        inside, leave = threading.Event(), threading.Event()

        def other():
            with quiet:
                inside.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with quiet:
            thread.start()
            inside.wait(10)
        warnings.warn("silent, the other thread is still inside", stacklevel=1)
        leave.set()
        thread.join()
        assert warnings.filters == before
        with pytest.raises(UserWarning, match=r"^loud$"):
            warnings.warn("loud", stacklevel=1)

    def test_pydicom_is_imported_by_the_first_file_alone(self, monkeypatch):
        def refuse(name, *args, **options):
            assert not name.startswith("pydicom")
            return original(name, *args, **options)

        original = builtins.__import__
        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(ImageReadError):
            read_image(b"no DICOM")


@pytest.mark.data
class TestRealFiles:
    def test_siim(self, real_images):
        path = next((real_images / "fixtures/siim").rglob("*.dcm"))
        raw = read_image(path)
        file = pydicom.dcmread(path)
        frame = next(pydicom.encaps.generate_frames(file.PixelData, number_of_frames=1))
        np.testing.assert_array_equal(raw.pixels, np.asarray(Image.open(io.BytesIO(frame))))
        assert (raw.pixels.shape, raw.max_value) == ((1024, 1024), 255)

    def test_nih_as_dicom(self, real_images):
        for path in sorted((real_images / "fixtures/nih_dicom_udacity").glob("*.dcm")):
            raw = read_image(path)
            data = path.read_bytes()
            stored = np.frombuffer(data[-1024 * 1024 :], np.uint8).reshape(1024, 1024)
            np.testing.assert_array_equal(raw.pixels, stored)
