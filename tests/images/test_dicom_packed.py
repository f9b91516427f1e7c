"""One image in every transfer syntax: the same picture, and no damage goes unnoticed that can be seen."""

from __future__ import annotations

import io
import tracemalloc
import warnings
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageFile
from pydicom import uid
from pydicom.encaps import encapsulate

import xrdatasets as xr
from tests import fakes
from xrdatasets.datasets.options import ImageOptions
from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images import load_image, prepare, read_image

imagecodecs = pytest.importorskip("imagecodecs")

HT = uid.UID("1.2.840.10008.1.2.4.201")
PROCESS_14 = uid.UID("1.2.840.10008.1.2.4.57")
NATIVE = (
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)  # fmt: skip
# codestream of an array of `bits` bits, without loss
ENCODERS = {
    uid.JPEGLosslessSV1: lambda pixels, bits: imagecodecs.jpeg8_encode(
        pixels, lossless=True, predictor=1, bitspersample=bits
    ),
    PROCESS_14: lambda pixels, bits: imagecodecs.jpeg8_encode(
        pixels, lossless=True, predictor=6, bitspersample=bits
    ),
    uid.JPEGLSLossless: lambda pixels, bits: imagecodecs.jpegls_encode(pixels),
    uid.JPEG2000Lossless: lambda pixels, bits: imagecodecs.jpeg2k_encode(
        pixels, codecformat="j2k", reversible=True, bitspersample=bits
    ),
    HT: lambda pixels, bits: imagecodecs.htj2k_encode(pixels, reversible=True),
}
LOSSLESS = (*NATIVE, uid.RLELossless, *ENCODERS)


def picture(shape=(61, 50), bits=12, seed=0):
    """As compressible as a radiograph, of an odd size."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    shares = 0.5 + 0.4 * np.sin(x / 17) * np.cos(y / 23) + np.random.default_rng(seed).normal(0, 0.01, shape)
    return (shares.clip(0, 1) * (2**bits - 1)).round().astype(np.uint8 if bits <= 8 else np.uint16)


def packed(frame, syntax, pixels, bits=12, **elements):
    """The bytes of a DICOM file with one frame that was packed before."""
    file = plain(pixels, bits, **elements)
    file.file_meta.TransferSyntaxUID = syntax
    file.PixelData = encapsulate([frame])
    file["PixelData"].is_undefined_length = True
    return saved(file)


def plain(pixels, bits=12, **elements):
    """A data set of these pixels, uncompressed."""
    with TemporaryDirectory() as folder:
        path = fakes.write_dicom(Path(folder) / "x.dcm", pixels=pixels, BitsStored=bits, HighBit=bits - 1)
        file = pydicom.dcmread(path)
    for name, value in elements.items():
        setattr(file, name, value)
    return file


def saved(file):
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.save_as(target)
    return target.getvalue()


def transcoded(syntax, pixels, bits=12, **elements):
    """The bytes of a DICOM file of these pixels in a transfer syntax."""
    if syntax in ENCODERS:
        return packed(ENCODERS[syntax](pixels, bits), syntax, pixels, bits, **elements)
    file = plain(pixels, bits)
    if syntax == uid.RLELossless:
        file.compress(uid.RLELossless, encoding_plugin="pydicom")
    big = syntax == uid.ExplicitVRBigEndian
    file.file_meta.TransferSyntaxUID = syntax
    for name, value in elements.items():
        setattr(file, name, value)
    if big:
        list(file.iterall())  # numbers, which are written the other way round; pixels are not
        file.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    target = io.BytesIO()
    implicit = syntax == uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(target, file, implicit_vr=implicit, little_endian=not big, force_encoding=True)
    return target.getvalue()


@pytest.mark.parametrize("syntax", LOSSLESS, ids=str)
class TestTheSamePicture:
    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_of_some_bits(self, syntax, bits):
        pixels = picture(bits=bits)
        raw = read_image(transcoded(syntax, pixels, bits))
        np.testing.assert_array_equal(raw.pixels, pixels)
        assert (raw.pixels.dtype, raw.max_value) == (pixels.dtype, 2**bits - 1)

    def test_signed(self, syntax):
        stored = picture().astype(np.int32) - 2048
        patterns = (stored & 0x0FFF).astype(np.uint16)
        raw = read_image(transcoded(syntax, patterns, PixelRepresentation=1))
        np.testing.assert_array_equal(raw.pixels, picture())

    def test_with_a_window_and_turned_round(self, syntax):
        elements = {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": "2000", "WindowWidth": "1001"}
        raw = read_image(transcoded(syntax, picture(), **elements))
        shares = ((picture() - 1999.5) / 1000 + 0.5).clip(0, 1)
        np.testing.assert_allclose(raw.pixels, (1 - shares) * 65_535, atol=0.51)


class TestWithLoss:
    def test_jpeg_of_twelve_bits(self):
        frame = imagecodecs.jpeg8_encode(picture(), 100, bitspersample=12)
        raw = read_image(packed(frame, uid.JPEGExtended12Bit, picture()))
        assert np.abs(raw.pixels - picture().astype(int)).max() <= 2
        assert raw.max_value == 4095

    def test_jpeg_of_eight_bits_called_extended(self):
        frame = imagecodecs.jpeg8_encode(picture(bits=8), 90)
        raw = read_image(packed(frame, uid.JPEGExtended12Bit, picture(bits=8), 8))
        np.testing.assert_array_equal(raw.pixels, np.asarray(Image.open(io.BytesIO(frame))))

    def test_jpeg_ls_nearly_lossless(self):
        frame = imagecodecs.jpegls_encode(picture(), level=3)
        raw = read_image(packed(frame, uid.JPEGLSNearLossless, picture()))
        assert 0 < np.abs(raw.pixels - picture().astype(int)).max() <= 3

    def test_jpeg_2000(self):
        frame = imagecodecs.jpeg2k_encode(picture(), level=60, codecformat="j2k", bitspersample=12)
        raw = read_image(packed(frame, uid.JPEG2000, picture()))
        assert np.abs(raw.pixels - picture().astype(int)).mean() < 20

    def test_another_encoder_and_tiles(self, save):
        openjpeg = pytest.importorskip("openjpeg")
        frame = openjpeg.utils.encode_array(picture(), bits_stored=12)
        np.testing.assert_array_equal(
            read_image(packed(frame, uid.JPEG2000Lossless, picture())).pixels, picture()
        )
        frame = save(picture((90, 70), 8), "JPEG2000", irreversible=False, tile_size=(32, 32), no_jp2=True)
        raw = read_image(packed(frame, uid.JPEG2000Lossless, picture((90, 70), 8), 8))
        np.testing.assert_array_equal(raw.pixels, picture((90, 70), 8))

    def test_charls_of_another_package(self):
        jpeg_ls = pytest.importorskip("jpeg_ls")
        frame = bytes(jpeg_ls.encode_array(picture()))
        np.testing.assert_array_equal(
            read_image(packed(frame, uid.JPEGLSLossless, picture())).pixels, picture()
        )


class TestColour:
    COLOURS = np.stack([picture(bits=8, seed=seed) for seed in range(3)], axis=-1)
    LUMA = COLOURS @ np.array([0.299, 0.587, 0.114])
    RGB: ClassVar = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}

    @pytest.mark.parametrize(
        "syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless], ids=str
    )
    def test_rgb_without_loss(self, syntax):
        raw = read_image(transcoded(syntax, self.COLOURS, 8, **self.RGB))
        np.testing.assert_allclose(raw.pixels, self.LUMA, atol=0.51)

    def test_planes_one_by_one(self):
        planes = np.moveaxis(self.COLOURS, 2, 0)
        file = plain(self.COLOURS, 8, **self.RGB | {"PlanarConfiguration": 1})
        file.PixelData = planes.tobytes()
        np.testing.assert_allclose(read_image(saved(file)).pixels, self.LUMA, atol=0.51)

    @pytest.mark.parametrize("kind", ["YBR_FULL", "YBR_FULL_422"])
    def test_luma_is_that_of_ybr(self, kind):
        ybr = self.COLOURS
        file = plain(ybr, 8, **self.RGB | {"PhotometricInterpretation": kind})
        if kind == "YBR_FULL_422":  # two lumas, then their common blue and red
            blue, red = ybr[:, ::2, 1], ybr[:, ::2, 2]
            parts = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], blue, red], axis=-1)
            file.PixelData = parts.tobytes()
        np.testing.assert_array_equal(read_image(saved(file)).pixels, ybr[..., 0])

    def test_rgb_in_a_jpeg_without_marks(self, save):
        frame = save(self.COLOURS, "JPEG", quality=95, keep_rgb=True)
        assert b"Adobe" in frame
        at = frame.index(b"\xff\xee")
        bare = frame[:at] + frame[at + 16 :]
        for stream in (frame, bare):
            raw = read_image(packed(stream, uid.JPEGBaseline8Bit, self.COLOURS, 8, **self.RGB))
            assert np.abs(raw.pixels - self.LUMA).mean() < 4
        # a JFIF mark says YCbCr, whatever DICOM's header says
        frame = save(self.COLOURS, "JPEG", quality=95)
        raw = read_image(packed(frame, uid.JPEGBaseline8Bit, self.COLOURS, 8, **self.RGB))
        assert np.abs(raw.pixels - self.LUMA).mean() < 4

    def test_deep_colour_in_jpeg_2000_is_refused(self):
        deep = self.COLOURS.astype(np.uint16) * 257
        frame = imagecodecs.jpeg2k_encode(deep, codecformat="j2k", reversible=True)
        with pytest.raises(ImageReadError, match=r"its pixels are colour of 16 bits. Expected 8"):
            read_image(packed(frame, uid.JPEG2000Lossless, deep, 16, **self.RGB))


def damaged(data, rng, first=0):
    """With one to twenty bytes replaced, from `first` on."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        changed[rng.integers(first, len(data))] = rng.integers(256)
    return bytes(changed)


@pytest.mark.parametrize("syntax", [*LOSSLESS, uid.JPEGExtended12Bit], ids=str)
class TestDamage:
    """With `TestTheSamePicture`'s files: 33 cases each of 11 syntaxes."""

    @pytest.fixture
    def data(self, syntax):
        if syntax == uid.JPEGExtended12Bit:
            return packed(imagecodecs.jpeg8_encode(picture(), 90, bitspersample=12), syntax, picture())
        return transcoded(syntax, picture())

    def test_every_cut_is_refused(self, data):
        rng = np.random.default_rng(1)
        for length in [*rng.integers(1, len(data), 10).tolist(), len(data) - 1]:
            with pytest.raises((ImageReadError, DecoderNotFoundError)):
                read_image(data[:length])

    @pytest.mark.parametrize("where", ["anywhere", "pixels"])
    def test_bytes_that_were_changed(self, data, where):
        rng = np.random.default_rng(2)
        first = 0 if where == "anywhere" else len(data) // 2
        for _ in range(11):
            try:
                raw = read_image(damaged(data, rng, first))
            except (ImageReadError, DecoderNotFoundError):
                continue
            assert raw.pixels.ndim == 2
            assert raw.pixels.max() <= raw.max_value
            if where == "pixels":
                assert raw.pixels.shape == picture().shape


@pytest.mark.parametrize("syntax", [*ENCODERS, uid.JPEGExtended12Bit, uid.JPEGBaseline8Bit], ids=str)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.995])
def test_a_frame_that_was_cut_and_closed_properly(syntax, share):
    """What half of the decoders here would fill up without a word."""
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    pixels = picture((200, 160), bits)
    encode = ENCODERS.get(syntax) or (
        lambda pixels, bits: imagecodecs.jpeg8_encode(pixels, 90, bitspersample=bits)
    )
    frame = encode(pixels, bits)
    assert read_image(packed(frame, syntax, pixels, bits)).pixels.shape == (200, 160)
    cut = frame[: int(len(frame) * share)] + b"\xff\xd9"
    with pytest.raises(ImageReadError):
        read_image(packed(cut, syntax, pixels, bits))


class TestRefused:
    def test_restart_marks_that_are_missing(self):
        """A scan that was cut in front of a mark comes out with the same end whatever follows."""
        frame = imagecodecs.jpeg8_encode(picture((32, 32)), lossless=True, predictor=1, bitspersample=12)
        at = frame.index(b"\xff\xda")
        marked = frame[:at] + b"\xff\xdd\0\x04\0\x20" + frame[at:]
        with pytest.raises(ImageReadError, match=r"0 restart marks are not all"):
            read_image(packed(marked, uid.JPEGLosslessSV1, picture((32, 32))))

    @pytest.mark.parametrize("syntax", ENCODERS, ids=str)
    def test_another_size_than_the_header_says(self, syntax):
        frame = ENCODERS[syntax](picture((40, 50)), 12)
        with pytest.raises(
            ImageReadError, match=r"50 x 40 pixels of 1 samples where its header says 50 x 61"
        ):
            read_image(packed(frame, syntax, picture()))

    def test_two_images_in_a_frame(self):
        frame = imagecodecs.jpegls_encode(picture())
        with pytest.raises(ImageReadError, match=r"its pixel data has several images"):
            read_image(packed(frame + frame, uid.JPEGLSLossless, picture()))

    def test_two_frames_that_the_header_does_not_count(self):
        frame = imagecodecs.jpegls_encode(picture())
        file = plain(picture())
        file.file_meta.TransferSyntaxUID = uid.JPEGLSLossless
        file.PixelData = encapsulate([frame, frame], has_bot=True)
        file["PixelData"].is_undefined_length = True
        with pytest.raises(ImageReadError, match=r"it has 2 frames. Expected one"):
            read_image(saved(file))

    @pytest.mark.parametrize("syntax", ENCODERS, ids=str)
    def test_a_frame_of_another_format(self, syntax):
        with pytest.raises(ImageReadError, match=r"its packed (pixel data|frame) is"):
            read_image(packed(b"no codestream at all", syntax, picture()))
        other = ENCODERS[uid.JPEGLSLossless if syntax != uid.JPEGLSLossless else uid.JPEG2000Lossless]
        with pytest.raises(ImageReadError, match=r"its packed (pixel data|frame) is"):
            read_image(packed(other(picture(), 12), syntax, picture()))

    @pytest.mark.parametrize("syntax", LOSSLESS[4:], ids=str)
    def test_pixels_that_are_not_in_fragments(self, syntax):
        file = plain(picture())
        file.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        data = saved(file).replace(b"1.2.840.10008.1.2.1\0", syntax.encode().ljust(20, b"\0")[:20])
        with pytest.raises((ImageReadError, DecoderNotFoundError)):
            read_image(data)

    @pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, HT], ids=str)
    def test_pillow_told_to_read_half_files(self, syntax, monkeypatch):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with pytest.raises(ImageReadError, match=r"LOAD_TRUNCATED_IMAGES is set"):
            read_image(transcoded(syntax, picture()))

    def test_precincts_made_to_waste_memory(self):
        frame = bytearray(imagecodecs.jpeg2k_encode(picture((512, 512)), codecformat="j2k", reversible=True))
        at = frame.index(b"\xff\x52")
        levels = frame[at + 9]
        frame[at + 4] |= 1  # precincts follow, of one pixel each
        frame[at + 2 : at + 4] = (12 + levels + 1).to_bytes(2)
        frame[at + 14 : at + 14] = bytes(levels + 1)
        with pytest.raises(ImageReadError, match=r"it says \d{3},\d{3} precincts for 512 x 512 pixels"):
            read_image(packed(bytes(frame), uid.JPEG2000Lossless, picture((512, 512))))

    def test_code_blocks_made_to_waste_memory(self):
        frame = bytearray(imagecodecs.jpeg2k_encode(picture((512, 512)), codecformat="j2k", reversible=True))
        at = frame.index(b"\xff\x52")
        frame[at + 10 : at + 12] = b"\0\0"  # 4 x 4
        with pytest.raises(
            ImageReadError, match=r"it says code blocks of less than 256 for 512 x 512 pixels"
        ):
            read_image(packed(bytes(frame), uid.JPEG2000Lossless, picture((512, 512))))

    def test_tiles_made_to_waste_memory(self):
        frame = bytearray(imagecodecs.jpeg2k_encode(picture(), codecformat="j2k", reversible=True))
        frame[24:32] = (1).to_bytes(4) * 2
        with pytest.raises(ImageReadError, match=r"it says 3,050 tiles for 50 x 61 pixels"):
            read_image(packed(bytes(frame), uid.JPEG2000Lossless, picture()))

    def test_a_large_image_of_no_bytes(self):
        small = np.zeros((64, 64), np.uint8)
        frame = bytearray(imagecodecs.jpeg2k_encode(small, codecformat="j2k", reversible=True))
        frame[8:16] = frame[24:32] = (9_999).to_bytes(4) * 2
        sides = {"Rows": 9_999, "Columns": 9_999}
        with pytest.raises(ImageReadError, match=r"it says 9,999 x 9,999 pixels in \d{3} bytes"):
            read_image(packed(bytes(frame), uid.JPEG2000Lossless, small, 8, **sides))

    def test_signed_samples_of_fewer_bits_than_are_stored(self):
        """By hand: the codestream's -2048 to 2047 are the same numbers in 16 bits, which begin at -32768."""
        signed = picture().astype(np.int16) - 2048
        frame = bytearray(ENCODERS[uid.JPEG2000Lossless](picture(), 12))
        assert frame[42] == 11  # 12 bits, unsigned: the same bits mean signed ones without the shift of level
        frame[42] |= 0x80
        data = packed(bytes(frame), uid.JPEG2000Lossless, picture(), 16, PixelRepresentation=1)
        np.testing.assert_array_equal(read_image(data).pixels.astype(int) - 32_768, signed)


class TestMemory:
    @pytest.fixture
    def peak(self):
        """Most bytes that Python and numpy hold at once while a file is refused."""

        def measure(data, match):
            tracemalloc.start()
            with pytest.raises(ImageReadError, match=match):
                read_image(data)
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return most

        read_image(transcoded(uid.ExplicitVRLittleEndian, picture()))  # imports
        return measure

    @pytest.mark.parametrize("syntax", LOSSLESS, ids=str)
    def test_a_header_of_60_000_by_60_000(self, peak, syntax):
        data = transcoded(syntax, picture(), Rows=60_000, Columns=60_000)
        assert peak(data, r"its header says 60,000 x 60,000 pixels") < 2_000_000

    @pytest.mark.parametrize("syntax", ENCODERS, ids=str)
    def test_a_packed_frame_that_claims_more_than_the_header(self, peak, syntax):
        frame = bytearray(ENCODERS[syntax](picture(), 12))
        if syntax in (uid.JPEG2000Lossless, HT):
            frame[8:16] = (60_000).to_bytes(4) * 2
        else:
            at = next(frame.index(mark) for mark in (b"\xff\xc3", b"\xff\xf7") if mark in frame)
            frame[at + 5 : at + 9] = (60_000).to_bytes(2) * 2
        data = packed(bytes(frame), syntax, picture())
        assert peak(data, r"its packed (frame has|pixel data is)") < 2_000_000

    def test_a_deflated_bomb(self, peak):
        """Zeros without end behind the pixels, which deflate packs a thousand to one."""
        data = transcoded(uid.ExplicitVRLittleEndian, picture())
        at = data.index(b"\x02\0\x10\0UI")
        start = data.index(b"\x08\0\x16\0UI", at)
        head = data[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99".ljust(22, b"\0"))
        head = head.replace(b"\x02\0\x10\0UI\x14\0", b"\x02\0\x10\0UI\x16\0")
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = deflater.compress(data[start:])
        bomb += b"".join(deflater.compress(bytes(2**20)) for _ in range(100)) + deflater.flush()
        assert len(bomb) < 200_000
        assert peak(head + bomb, r"goes on far behind its pixels") < 60_000_000
        plain = zlib.compressobj(9, zlib.DEFLATED, -15)
        whole = head + plain.compress(data[start:]) + plain.flush()
        np.testing.assert_array_equal(read_image(whole).pixels, picture())


class TestReduced:
    """JPEG 2000 at the resolution level that a size needs."""

    @pytest.mark.parametrize("shape", [(203, 301), (256, 320), (257, 259), (130, 129), (61, 500)])
    @pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, HT], ids=str)
    def test_the_shorter_side_has_at_least_as_many(self, shape, syntax):
        data = transcoded(syntax, picture(shape, 16), 16)
        levels = data[data.index(b"\xff\x52") + 9]
        for at_least in (1, 7, 16, 33, 65, 100, 5000):
            raw = read_image(data, at_least=at_least)
            halved = [level for level in range(levels + 1) if -(-min(shape) // 2**level) >= at_least] or [0]
            shorter, longer = (-(-side // 2 ** halved[-1]) for side in sorted(shape))
            assert min(raw.pixels.shape) == shorter
            assert max(raw.pixels.shape) in (longer, longer - 1)
            assert (raw.pixels.dtype, raw.max_value) == (np.uint16, 65_535)
            if halved[-1]:  # so the middle stays the middle of the central square
                assert np.ptp(raw.pixels.shape) % 2 == 0

    @pytest.mark.parametrize("shape", [(512, 640), (509, 611), (401, 403)])
    @pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, HT], ids=str)
    def test_it_is_not_moved(self, shape, syntax):
        """Samples of a level lie on the first of the pixels that they stand for, not in their middle."""
        y, x = np.mgrid[: shape[0], : shape[1]]
        for ramp in (4 * x, 4 * y):
            raw = read_image(transcoded(syntax, ramp.astype(np.uint16), 16), at_least=100)
            height, width = raw.pixels.shape
            down, across = (
                (np.arange(n) + 0.5) * side / n - 0.5 for n, side in zip((height, width), shape, strict=True)
            )
            expected = 4 * (across[np.newaxis] if ramp[0, 1] else down[:, np.newaxis])
            inner = np.abs(raw.pixels - expected)[2:-2, 2:-2]
            assert inner.max() < 1.5

    def test_colour(self, save):
        pixels = np.stack([picture((256, 320), 8, seed) for seed in range(3)], axis=-1)
        frame = save(pixels, "JPEG2000", irreversible=False, no_jp2=True)
        colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_RCT", "PlanarConfiguration": 0}
        raw = read_image(packed(frame, uid.JPEG2000Lossless, pixels, 8, **colour), at_least=50)
        assert raw.pixels.shape == (64, 80)
        luma = (pixels @ [0.299, 0.587, 0.114]).reshape(64, 4, 80, 4).mean(axis=(1, 3))
        assert np.abs(raw.pixels - luma).mean() < 2

    @pytest.mark.parametrize(
        "elements",
        [
            {"PhotometricInterpretation": "PALETTE COLOR"},
            {"PixelRepresentation": 1},  # two's complements in an unsigned codestream
            {"BitsStored": 10, "HighBit": 9},  # stray bits
        ],
    )
    def test_numbers_whose_means_mean_nothing_are_decoded_in_full(self, elements):
        entries = np.arange(4096, dtype="<u2")
        tables = {
            f"{colour}PaletteColorLookupTableData": entries.tobytes() for colour in ("Red", "Green", "Blue")
        }
        file = plain(picture((256, 320)), **elements, **tables)
        file.add_new("RedPaletteColorLookupTableDescriptor", "US", [4096, 0, 16])
        file.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
        file.PixelData = encapsulate([ENCODERS[uid.JPEG2000Lossless](picture((256, 320)), 12)])
        file["PixelData"].is_undefined_length = True
        data = saved(file)
        np.testing.assert_array_equal(read_image(data, at_least=50).pixels, read_image(data).pixels)

    def test_a_tile_of_fewer_levels(self):
        """A tile may have a coding style of its own: no level is asked for that it does not have."""
        pixels = picture((256, 320))
        frame = bytearray(ENCODERS[uid.JPEG2000Lossless](pixels, 12))
        style, tile = frame.index(b"\xff\x52"), frame.index(b"\xff\x90")
        own = frame[style : style + 2 + int.from_bytes(frame[style + 2 : style + 4])]
        frame[tile + 6 : tile + 10] = (int.from_bytes(frame[tile + 6 : tile + 10]) + len(own)).to_bytes(4)
        frame[tile + 12 : tile + 12] = own
        frame[style + 9] += 1  # what the main header says holds for no tile
        raw = read_image(packed(bytes(frame), uid.JPEG2000Lossless, pixels), at_least=2)
        assert min(raw.pixels.shape) == 256 >> own[9]

    def test_a_window_comes_after_it(self):
        data = transcoded(uid.JPEG2000Lossless, picture((256, 320)), WindowCenter="2000", WindowWidth="1001")
        low = read_image(transcoded(uid.JPEG2000Lossless, picture((256, 320))), at_least=64).pixels
        raw = read_image(data, at_least=64)
        shares = ((low - 1999.5) / 1000 + 0.5).clip(0, 1)
        np.testing.assert_allclose(raw.pixels, shares * 65_535, atol=0.51)

    def test_load_image_and_its_switch(self):
        data = transcoded(uid.JPEG2000Lossless, picture((400, 500)))
        full = prepare(read_image(data), size=48)
        np.testing.assert_array_equal(load_image(data, size=48, reduced=False), full)
        soft = load_image(data, size=48)
        np.testing.assert_array_equal(soft, prepare(read_image(data, at_least=48), size=48))
        assert 0 < np.abs(soft - full).mean() < 20
        for options in ({"engine": "gaussian"}, {"engine": "xrv"}):
            np.testing.assert_array_equal(
                load_image(data, size=48, **options), prepare(read_image(data), size=48, **options)
            )
        np.testing.assert_array_equal(load_image(data), prepare(read_image(data)))

    @pytest.mark.parametrize(
        ("syntax"), [*NATIVE, uid.RLELossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1], ids=str
    )
    def test_other_syntaxes_take_no_notice(self, syntax):
        np.testing.assert_array_equal(read_image(transcoded(syntax, picture()), at_least=8).pixels, picture())

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "8", True])
    def test_what_is_no_number_of_pixels(self, wrong):
        with pytest.raises(ValueError, match=r"at_least: expected a positive integer or None, got"):
            read_image(b"", at_least=wrong)

    def test_options_of_a_dataset(self):
        assert ImageOptions(size=48).at_least == 48
        assert ImageOptions(size=48, reduced=False).at_least is None
        assert ImageOptions(size=48, masks=True).at_least is None
        assert ImageOptions(size=48, engine="gaussian").at_least is None
        assert ImageOptions().at_least is None
        with pytest.raises(ValueError, match=r"reduced: expected True or False"):
            ImageOptions(reduced="no")

    def test_a_dataset_passes_it_on(self, fake):
        root = fake("vindr")
        data = transcoded(uid.JPEG2000Lossless, picture((400, 500)))
        for path in root.rglob("*.dic*m"):
            path.write_bytes(data)
        for options, expected in (
            ({"size": 48}, load_image(data, size=48)),
            ({"size": 48, "reduced": False}, load_image(data, size=48, reduced=False)),
            ({"size": 48, "masks": True}, load_image(data, size=48, reduced=False)),
        ):
            np.testing.assert_array_equal(xr.VinDr(root, **options)[0]["img"], expected)
