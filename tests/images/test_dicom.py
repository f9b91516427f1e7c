"""DICOM against arrays made by hand: what a stored value looks like, and which files are refused."""

from __future__ import annotations

import builtins
import io
import sys
import threading
import traceback
import warnings

import numpy as np
import pydicom
import pytest
from PIL import Image
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
# a JPEG of 4 x 4 pixels of 12 bits, as far as its headers go
TWELVE_BITS = bytes.fromhex("ffd8 ffc1000b 0c 0004 0004 01 011100 ffda0008 01 0100 003f00 ffd9")
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

    def test_a_high_bit_above_bits_stored(self, dicom):
        """As retired editions allowed it: the value lies in the upper bits of its word."""
        raw = decode_dicom(dicom(TWELVE << 4 | 5, BitsStored=12, HighBit=15))
        np.testing.assert_array_equal(raw.pixels, TWELVE)

    def test_one_bit(self, dicom):
        bits = np.random.default_rng(0).integers(0, 2, (5, 16), np.uint8)
        packed = np.packbits(bits, axis=None, bitorder="little").reshape(5, 2)  # PS3.5, section 8.1.1
        raw = decode_dicom(dicom(packed, Columns=16, BitsAllocated=1, BitsStored=1, HighBit=0))
        np.testing.assert_array_equal(raw.pixels, bits)
        assert raw.max_value == 1

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

    @pytest.mark.parametrize(
        ("rescale", "by_hand"),
        [({"RescaleSlope": "2"}, 2.0 * EIGHT), ({"RescaleIntercept": "-100"}, EIGHT - 100.0)],
    )
    def test_slope_or_intercept_alone_count_before_a_window(self, dicom, rescale, by_hand):
        raw = decode_dicom(dicom(EIGHT, WindowCenter="50.5", WindowWidth="101", **rescale))
        shares = ((by_hand - 50) / 100 + 0.5).clip(0, 1)
        np.testing.assert_allclose(raw.pixels, shares * 65_535, atol=0.51)

    @pytest.mark.parametrize("first", [-1024, 64_512])
    def test_a_table_of_rescaled_values_may_begin_below_zero(self, dicom, first):
        """Its descriptor is signed then, whatever its value representation says (C.11.2.1.1)."""
        table = lut(0, range(4096), 12)
        table[0].add_new("LUTDescriptor", "SS" if first < 0 else "US", [4096, first, 12])
        elements = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "VOILUTSequence": table}
        raw = decode_dicom(dicom(TWELVE, BitsStored=12, HighBit=11, **elements))
        np.testing.assert_array_equal(raw.pixels, TWELVE)

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

    def test_linear_exact(self, dicom):
        # PS3.3, C.11.2.1.3.2: (x - c) / w + 0.5
        pixels = np.array([[0, 91, 92], [95, 100, 101]], np.uint8)
        raw = decode_dicom(dicom(pixels, WindowCenter="96", WindowWidth="10", VOILUTFunction="LINEAR_EXACT"))
        shares = [0, 0, 0.1, 0.4, 0.9, 1]
        np.testing.assert_allclose(raw.pixels.ravel(), [share * 65_535 for share in shares], atol=0.51)

    @pytest.mark.parametrize("function", ["", "LINEAR"])
    def test_a_width_of_one_is_a_threshold(self, dicom, function):
        # x <= c - 0.5 is black, x > c - 0.5 is white
        pixels = np.array([[0, 95, 96], [97, 98, 255]], np.uint8)
        raw = decode_dicom(dicom(pixels, WindowCenter="96.5", WindowWidth="1", VOILUTFunction=function))
        assert raw.pixels.tolist() == [[0, 0, 0], [65_535, 65_535, 65_535]]

    @pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
    def test_a_narrow_window_is_for_the_others(self, dicom, function):
        pixels = np.array([[0, 95, 96], [97, 98, 255]], np.uint8)
        raw = decode_dicom(dicom(pixels, WindowCenter="96", WindowWidth="0.01", VOILUTFunction=function))
        assert raw.pixels.tolist() == [[0, 0, 32_768], [65_535, 65_535, 65_535]]
        with pytest.raises(ImageReadError, match=r"its window is 0 wide"):
            decode_dicom(dicom(pixels, WindowCenter="96", WindowWidth="0", VOILUTFunction=function))

    def test_another_function(self, dicom):
        with pytest.raises(ImageReadError, match=r"its window has a function other than LINEAR, "):
            decode_dicom(dicom(EIGHT, WindowCenter="96", WindowWidth="10", VOILUTFunction="GAMMA"))

    def test_a_window_of_one_number(self, dicom):
        raw = decode_dicom(dicom(EIGHT, WindowCenter="96", WindowWidth=""))
        np.testing.assert_array_equal(raw.pixels, EIGHT)

    def test_an_empty_window_is_none(self, dicom):
        raw = decode_dicom(dicom(EIGHT, WindowCenter="", WindowWidth=""))
        np.testing.assert_array_equal(raw.pixels, EIGHT)

    def test_a_width_of_zero(self, dicom):
        with pytest.raises(ImageReadError, match=r"its window is 0 wide. Expected at least 1"):
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


class TestPalette:
    """PS3.3, C.7.6.3.1.5 and C.7.9.2: a number of a pixel is a colour, which becomes grey."""

    INDICES = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)

    @pytest.fixture
    def palette(self, dicom):
        def write(red, green, blue, *, first=0, bits=16, number=None, segmented="", **elements):
            file = pydicom.dcmread(
                io.BytesIO(dicom(self.INDICES, PhotometricInterpretation="PALETTE COLOR", **elements))
            )
            for name, entries in (("Red", red), ("Green", green), ("Blue", blue)):
                descriptor = [len(red) if number is None else number, first, bits]
                file.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", descriptor)
                data = entries if isinstance(entries, bytes) else np.array(entries, "<u2").tobytes()
                setattr(file, f"{segmented}{name}PaletteColorLookupTableData", data)
            target = io.BytesIO()
            file.save_as(target)
            return target.getvalue()

        return write

    def test_of_sixteen_bits(self, palette):
        red, green, blue = [0, 65_535, 0, 0, 500], [0, 0, 65_535, 0, 500], [0, 0, 0, 65_535, 500]
        raw = decode_dicom(palette(red, green, blue))
        luma = [0, 0.299 * 65_535, 0.587 * 65_535, 0.114 * 65_535, 500, 500]
        np.testing.assert_allclose(raw.pixels.ravel(), luma, atol=1)
        assert (raw.pixels.dtype, raw.max_value) == (np.uint16, 65_535)

    def test_of_eight_bits(self, palette):
        entries = bytes([9, 8, 7, 6])
        for data in (entries, [9, 8, 7, 6]):  # one byte each, or two
            raw = decode_dicom(palette(data, data, data, number=4, bits=8))
            assert raw.pixels.tolist() == [[9, 8, 7], [6, 6, 6]]
            assert (raw.pixels.dtype, raw.max_value) == (np.uint8, 255)

    def test_one_that_begins_late(self, palette):
        raw = decode_dicom(palette([10, 20, 30], [10, 20, 30], [10, 20, 30], first=2))
        assert raw.pixels.tolist() == [[10, 10, 10], [20, 30, 30]]

    def test_window_and_rescale_do_not_count(self, palette):
        raw = decode_dicom(
            palette([7] * 2, [7] * 2, [7] * 2, WindowCenter="5", WindowWidth="2", RescaleSlope="3")
        )
        assert raw.pixels.tolist() == [[7, 7, 7], [7, 7, 7]]

    def test_in_segments(self, palette):
        # 100, 110 as they are; in 4 steps to 150; the two segments once more, which begin again
        words = [0, 2, 100, 110, 1, 4, 150, 2, 2, 0, 0]
        raw = decode_dicom(palette(words, words, words, number=12, segmented="Segmented"))
        entries = [100, 110, 120, 130, 140, 150, 100, 110, 120, 130, 140, 150]
        assert raw.pixels.ravel().tolist() == [*entries[:5], entries[-1]]

    @pytest.mark.parametrize(
        "words",
        [
            [0, 5, 1, 2],  # cut
            [1, 4, 150],  # a line from nowhere
            [0, 0, 0, 0, 0, 0],  # nothing, for ever
            [0, 1, 9, 2, 1, 3, 0],  # a copy of itself
            [7, 4, 1, 1],  # no such segment
            [0, 1, 9, 1, 65_535, 9],  # more than there is room for
        ],
    )
    def test_damaged_segments(self, palette, words):
        with pytest.raises(ImageReadError, match=r"its palette (is damaged|has)"):
            decode_dicom(palette(words, words, words, number=8, segmented="Segmented"))

    def test_too_few_entries_or_none(self, palette, dicom):
        with pytest.raises(ImageReadError, match=r"its palette has \d entries of one colour. Expected 256"):
            decode_dicom(palette([1, 2], [1, 2], [1, 2], number=256))
        with pytest.raises(ImageReadError, match=r"its palette is damaged"):
            decode_dicom(dicom(EIGHT, PhotometricInterpretation="PALETTE COLOR"))


class TestRecognised:
    """Files without the preamble, the word DICM, the file meta information or the transfer syntax."""

    @pytest.fixture
    def bare(self, dicom):
        """A file's meta information and data set, each by itself, implicit or big-endian if asked for."""

        def write(implicit=False, little=True):
            file = pydicom.dcmread(io.BytesIO(dicom(TWELVE, BitsStored=12, HighBit=11)))
            list(file.iterall())
            if not little:
                file.PixelData = TWELVE.astype(">u2").tobytes()
            body = io.BytesIO()
            del file.file_meta.TransferSyntaxUID
            pydicom.dcmwrite(
                body, Dataset(file), implicit_vr=implicit, little_endian=little, force_encoding=True
            )
            data = dicom(TWELVE, BitsStored=12, HighBit=11)
            return data[132 : data.index(b"\x08\0\x16\0UI", 132)], body.getvalue()

        return write

    @pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
    def test_a_data_set_alone(self, bare, implicit, little):
        _, body = bare(implicit, little)
        np.testing.assert_array_equal(read_image(body).pixels, TWELVE)
        np.testing.assert_array_equal(read_image(bytes(128) + b"DICM" + body).pixels, TWELVE)

    @pytest.mark.parametrize("front", [b"", b"DICM", bytes(128)], ids=["nothing", "DICM", "preamble"])
    def test_without_preamble_or_word(self, bare, front):
        meta, body = bare()
        assert meta.startswith(b"\x02\0\0\0UL")
        np.testing.assert_array_equal(read_image(front + meta + body).pixels, TWELVE)

    def test_without_the_length_of_the_group(self, bare):
        meta, body = bare()
        np.testing.assert_array_equal(read_image(bytes(128) + b"DICM" + meta[12:] + body).pixels, TWELVE)

    def test_without_the_transfer_syntax(self, dicom):
        data = dicom(TWELVE, BitsStored=12, HighBit=11)
        at = data.index(b"\x02\0\x10\0UI")
        length = 8 + int.from_bytes(data[at + 6 : at + 8], "little")
        np.testing.assert_array_equal(read_image(data[:at] + data[at + length :]).pixels, TWELVE)

    @pytest.mark.parametrize("seed", range(20))
    def test_what_is_no_dicom(self, seed):
        rng = np.random.default_rng(seed)
        noise = rng.bytes(400)
        for data in (
            noise, b"\x08\0" + noise, b"\x02\0\0\0" + noise, bytes(400), b"\x08\0" * 200, bytes(128) + noise,
        ):  # fmt: skip
            with pytest.raises(ImageReadError, match=r"it is no image of a known kind"):
                read_image(data)


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
        "syntax",
        [
            "1.2.840.10008.1.2.4.57",
            "1.2.840.10008.1.2.4.70",
            "1.2.840.10008.1.2.4.80",
            "1.2.840.10008.1.2.4.81",
            "1.2.840.10008.1.2.4.51",
        ],
    )
    def test_a_missing_decoder_names_syntax_and_package(self, packed, monkeypatch, syntax):
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
        name = pydicom.uid.UID(syntax).name
        with pytest.raises(DecoderNotFoundError) as caught:
            read_image(packed(TWELVE_BITS, syntax, (4, 4), BitsAllocated=16, BitsStored=12), dataset="vindr")
        for part in ("vindr: cannot read", f"{name} ({syntax})", 'pip install "xrdatasets[dicom]"'):
            assert part in str(caught.value)

    def test_what_needs_no_package(self, packed, monkeypatch, save, radiograph, tmp_path):
        """JPEG of 8 bits, also where it is called extended, JPEG 2000 and RLE."""
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
        for syntax in (pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEGExtended12Bit):
            decode_dicom(packed(save(radiograph, "JPEG"), syntax, radiograph.shape))
        frame = save(radiograph, "JPEG2000", no_jp2=True)
        decode_dicom(packed(frame, pydicom.uid.JPEG2000, radiograph.shape))

    def test_a_video_has_no_decoder(self, packed):
        with pytest.raises(DecoderNotFoundError, match=r"MPEG2 .*nothing here decodes. Convert it"):
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
        with pytest.raises(
            ImageReadError, match=r"its packed pixel data is cut or damaged: it has no end mark"
        ):
            decode_dicom(packed(frame[: len(frame) // 2], pydicom.uid.JPEGBaseline8Bit, radiograph.shape))

    def test_pixel_data_shorter_than_the_header_says(self, dicom):
        with pytest.raises(ImageReadError, match=r"its pixel data is cut: it ends after 6 of 9 bytes"):
            decode_dicom(dicom(EIGHT, Rows=3))

    def test_a_frame_of_another_size_than_the_header_says(self, packed, save, radiograph):
        with pytest.raises(ImageReadError):
            decode_dicom(packed(save(radiograph, "JPEG"), pydicom.uid.JPEGBaseline8Bit, (10, 10)))

    def test_a_bomb_by_its_header(self, dicom):
        with pytest.raises(ImageReadError, match=r"its header says 60,000 x 60,000 pixels"):
            decode_dicom(dicom(EIGHT, Rows=60_000, Columns=60_000))

    @pytest.mark.parametrize("little", [True, False])
    def test_sequences_of_a_million_empty_items(self, dicom, little):
        data = dicom(EIGHT)
        item = b"\xfe\xff\x00\xe0" if little else b"\xff\xfe\xe0\x00"
        at = data.index(b"\x28\x00\x02\x00US")
        head = b"\x09\x00\x10\x10SQ\x00\x00\xff\xff\xff\xff"
        if not little:
            data = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
        hostile = data[:at] + head + (item + bytes(4)) * 1_000_000 + data[at:]
        with pytest.raises(ImageReadError, match=r"more than 10,000 items of sequences"):
            decode_dicom(hostile)

    def test_several_frames(self, dicom):
        with pytest.raises(ImageReadError, match=r"it has 2 frames. Expected one"):
            decode_dicom(dicom(EIGHT, NumberOfFrames=2))

    @pytest.mark.parametrize(
        "elements",
        [
            {"PhotometricInterpretation": "RGB"},
            {"SamplesPerPixel": 3},
            {"BitsAllocated": 32},
            {"BitsAllocated": 12},
            {"BitsStored": 9},
            {"PhotometricInterpretation": "YBR_FULL_422", "SamplesPerPixel": 3},  # of an odd width
        ],
    )
    def test_pixels_that_are_not_read(self, dicom, elements):
        with pytest.raises(ImageReadError, match=r"Expected MONOCHROME1, MONOCHROME2 or PALETTE COLOR"):
            decode_dicom(dicom(EIGHT, **elements))

    @pytest.mark.parametrize("kind", ["YBR_PARTIAL_420", "HSV", "DOE JANE"])
    def test_another_kind_of_pixels_is_not_repeated(self, dicom, kind):
        with pytest.raises(
            ImageReadError, match=r"its pixels are of another kind than MONOCHROME1, .*YBR_RCT"
        ):
            decode_dicom(dicom(EIGHT, PhotometricInterpretation=kind))

    @pytest.mark.parametrize("name", ["FloatPixelData", "DoubleFloatPixelData"])
    def test_floating_point_pixels(self, dicom, name):
        file = pydicom.dcmread(io.BytesIO(dicom(EIGHT)))
        del file.PixelData
        setattr(file, name, np.zeros(6, np.float32 if name == "FloatPixelData" else np.float64).tobytes())
        target = io.BytesIO()
        file.save_as(target)
        with pytest.raises(
            ImageReadError, match=r"its pixels are floating-point numbers. Expected whole numbers"
        ):
            decode_dicom(target.getvalue())

    @pytest.mark.parametrize("name", ["Rows", "PixelData", "PhotometricInterpretation", "BitsAllocated"])
    def test_a_missing_element_is_named(self, dicom, name):
        with pytest.raises(ImageReadError, match=rf"it is a DICOM file without {name}: "):
            decode_dicom(dicom(EIGHT, **{name: None}))

    @pytest.mark.parametrize("seed", range(60))
    def test_no_word_of_the_patient_in_a_message_or_the_log(self, dicom, seed, caplog, recwarn):
        """pydicom's messages quote what it stumbles on, here the name in place of a number or a VR."""
        caplog.set_level(0)
        data = bytearray(dicom(EIGHT, PatientName="Doe^Jane" * 6, PatientID="Doe^Jane", RescaleSlope="1"))
        rng = np.random.default_rng(seed)
        for _ in range(4):  # the name gets where something else was
            at = rng.integers(132, len(data) - 8)
            data[at : at + 8] = b"Doe^Jane"
        try:
            read_image(bytes(data))
        except (ImageReadError, DecoderNotFoundError) as error:
            shown = "".join(traceback.format_exception(error)) + repr(error)
            assert "Jane" not in shown
        assert "Jane" not in caplog.text
        assert len(recwarn) == 0

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

    def test_every_one_is_tried(self, real_images):
        names = {path.name for path in (real_images / "fixtures").rglob("*.dcm")}
        assert {name for name in names if not name.endswith("1517875201.850819.dcm")} == {
            "test1.dcm", "test2.dcm", "test3.dcm",
        }  # fmt: skip

    def test_nih_as_dicom(self, real_images):
        for path in sorted((real_images / "fixtures/nih_dicom_udacity").glob("*.dcm")):
            raw = read_image(path)
            data = path.read_bytes()
            stored = np.frombuffer(data[-1024 * 1024 :], np.uint8).reshape(1024, 1024)
            np.testing.assert_array_equal(raw.pixels, stored)
