"""Damaged files: never a crash, a hang or another error than ours; cuts and wrong checksums are always seen.

`benchmarks/fuzz.py` does the same to real files, 10,000 times; its child process and its judge are used here.
"""

from __future__ import annotations

import importlib.util
import io
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from tests import fakes
from tests.images.conftest import Png
from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images import read_image

BENCH = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
HEIGHT, WIDTH = 24, 20


def load_bench():
    spec = importlib.util.spec_from_file_location("fuzz_bench", BENCH)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load_bench()
GREY = fuzz.picture(HEIGHT, WIDTH)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)

PNGS = {
    "png 1 bit": lambda: Png(GREY >> 7, depth=1),
    "png grey": lambda: Png(GREY),
    "png grey interlaced": lambda: Png(GREY, interlaced=True),
    "png grey 16 bit": lambda: Png(GREY.astype(np.uint16) * 257, depth=16),
    "png palette": lambda: Png(GREY, colour=3, palette=PALETTE),
    "png palette interlaced": lambda: Png(
        GREY >> 4, colour=3, depth=4, palette=PALETTE[:16], interlaced=True
    ),
    "png grey+alpha": lambda: Png(COLOUR[..., :2], colour=4),
    "png grey+alpha 16 bit": lambda: Png(COLOUR[..., :2].astype(np.uint16) * 257, colour=4, depth=16),
    "png rgb": lambda: Png(COLOUR, colour=2),
    "png rgb 16 bit": lambda: Png(COLOUR.astype(np.uint16) * 257, colour=2, depth=16),
    "png rgba": lambda: Png(np.dstack([COLOUR, GREY]), colour=6),
}
JPEGS = {
    "jpeg grey": (GREY, {}),
    "jpeg grey progressive": (GREY, {"progressive": True}),
    "jpeg grey restarts": (GREY, {"restart_marker_blocks": 2}),
    "jpeg colour": (COLOUR, {}),
    "jpeg colour progressive": (COLOUR, {"progressive": True}),
}
RASTERS = {
    "tiff": (GREY, "TIFF", {}),
    "tiff 16 bit": (GREY.astype(np.uint16) * 257, "TIFF", {}),
    "tiff lzw": (GREY, "TIFF", {"compression": "tiff_lzw"}),
    "tiff deflate": (GREY, "TIFF", {"compression": "tiff_deflate"}),
    "bmp": (GREY, "BMP", {}),
    "bmp 1 bit": (GREY > 120, "BMP", {}),
    "bmp colour": (COLOUR, "BMP", {}),
    "gif": (GREY, "GIF", {}),
}
DICOMS = {
    "dicom": fuzz.EXPLICIT,
    "dicom deflated": fuzz.DEFLATED,
    "dicom rle": fuzz.RLE,
    "dicom jpeg": fuzz.JPEG_BASELINE,
    "dicom jpeg lossless": fuzz.JPEG_LOSSLESS,
    "dicom jpeg-ls": fuzz.JPEG_LS,
    "dicom jpeg 2000": fuzz.JPEG_2000,
}
FRAGMENTS = [name for name in DICOMS if name not in ("dicom", "dicom deflated")]
NAMES = [*PNGS, *JPEGS, *RASTERS, *DICOMS]


def save(pixels, form, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A whole file of each kind; DICOM of a coding that nothing at hand writes is not there."""
    made = {name: bytes(build()) for name, build in PNGS.items()}
    made |= {name: save(pixels, "JPEG", **options) for name, (pixels, options) in JPEGS.items()}
    made |= {name: save(pixels, form, **options) for name, (pixels, form, options) in RASTERS.items()}
    plain = fakes.write_dicom(tmp_path_factory.mktemp("fuzz") / "x.dcm", pixels=GREY).read_bytes()
    names = {syntax: name for name, syntax in DICOMS.items()}
    return made | {names[syntax]: data for syntax, data in fuzz.packed(plain).items()}


@pytest.fixture
def whole(files, request):
    name = request.param
    if name not in files:
        pytest.skip(f"no encoder for {name}")
    return files[name]


@pytest.fixture(scope="module")
def reader():
    reader = fuzz.Reader()
    yield reader
    reader.close()


def accepted(cases):
    """Those of the damaged files that are returned as if they were whole; other errors than ours get out."""
    found = []
    for name, data in cases:
        try:
            read_image(data)
        except (ImageReadError, DecoderNotFoundError):
            continue
        found.append(name)
    return found


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "noise", "zero", "remove", "double", "exchange", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=3,
)


def edit(data, edits):
    """The damaged copy: each edit says what is done, where, and to how many bytes, or with which bits."""
    for what, where, size in edits:
        at = int(where * len(data))
        block, rest = data[at : at + size], data[at + size :]
        changed = {
            "flip": bytes(byte ^ size for byte in block[:1]) + block[1:],
            "noise": np.random.default_rng(size).bytes(len(block)),
            "zero": bytes(len(block)),
            "remove": b"",
            "double": block + block,
            "exchange": data[: len(block)],
            "cut": b"",
        }[what]
        data = data[:at] + changed + (b"" if what == "cut" else rest)
    return data


@pytest.mark.parametrize("whole", NAMES, indirect=True)
def test_damage_is_refused_or_gives_an_image_as_its_header_says(whole, reader):
    @settings(max_examples=12, derandomize=True, database=None, deadline=None)
    @given(EDITS)
    def damage(edits):
        data = edit(whole, edits)
        assert not fuzz.wrong("edit", data, reader.read(data))

    damage()


@pytest.mark.parametrize("whole", NAMES, indirect=True)
def test_whole_files_are_read_in_the_shape_that_their_header_states(whole, reader):
    answer = reader.read(whole)
    assert (answer["shape"], fuzz.wrong("whole", whole, answer)) == ([HEIGHT, WIDTH], "")
    if fuzz.DEFLATED.encode() not in whole:
        assert fuzz.stated(whole) == {(HEIGHT, WIDTH)}


@pytest.mark.parametrize("whole", NAMES, indirect=True)
def test_a_cut_at_any_byte_is_refused(whole):
    stop = fuzz.end(whole)
    # a DICOM header is long; its own tests cut it
    start = stop - 700 if whole[128:132] == b"DICM" else 0
    assert accepted((cut, whole[:cut]) for cut in range(max(0, start), stop)) == []


@pytest.mark.parametrize("whole", JPEGS, indirect=True)
def test_a_jpeg_that_was_cut_and_closed_is_refused(whole):
    assert accepted((cut, whole[:cut] + b"\xff\xd9") for cut in range(len(whole) - 2)) == []


@pytest.mark.parametrize("whole", FRAGMENTS, indirect=True)
def test_a_packed_frame_that_was_cut_and_closed_is_refused(whole):
    """All lengths and marks of DICOM are right: only the frame itself can show that it ends too early."""
    at = whole.index(fuzz.ITEM, whole.index(fuzz.ITEM, whole.rindex(fuzz.PIXELS)) + 8)
    (length,) = struct.unpack_from("<I", whole, at + 4)
    frame = whole[at + 8 : at + 8 + length].rstrip(b"\0")
    mark = frame[-2:] if frame.endswith(b"\xff\xd9") else b""
    cases = []
    for cut in range(len(frame) - max(1, len(mark))):
        kept = frame[:cut] + mark
        kept += bytes(len(kept) % 2)
        cases.append((cut, whole[: at + 4] + struct.pack("<I", len(kept)) + kept + fuzz.LAST))
    assert accepted(cases) == []


@pytest.mark.parametrize("whole", PNGS, indirect=True)
def test_every_flipped_bit_of_a_png_is_refused(whole):
    assert {kind for kind, _, _ in fuzz.chunks(whole)} <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
    cases = []
    for bit in range(8 * 8, 8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        cases.append((bit // 8, bytes(damaged)))
    assert sorted(set(accepted(cases))) == []


class TestBench:
    """What judges, judged."""

    def test_a_hang_is_killed_and_a_crash_is_survived(self):
        for code, end in (("import time; time.sleep(60)", "Hang"), ("import os; os.abort()", "Crash")):
            reader = fuzz.Reader((sys.executable, "-c", code), patience=0.3 if end == "Hang" else 10)
            assert reader.read(b"x")["raised"] == end
            reader.close()

    def test_it_reads_on_after_an_error(self, reader, files):
        assert reader.read(b"no image")["raised"] == "ImageReadError"
        assert reader.read(files["png grey"])["shape"] == [HEIGHT, WIDTH]

    WHOLE = types.MappingProxyType(
        {
            "shape": [HEIGHT, WIDTH],
            "dtype": "uint8",
            "top": 255,
            "max_value": 255,
            "contiguous": True,
            "seconds": 0.1,
        }
    )

    @pytest.mark.parametrize(
        ("way", "changes", "reason"),
        [
            ("cut", {}, "a cut file was returned"),
            ("flip", {"shape": [20, 24]}, "the header says {(24, 20)}"),
            ("flip", {"top": 256}, "no RawImage"),
            ("flip", {"dtype": "float32"}, "no RawImage"),
            ("flip", {"raised": "ValueError", "message": "bad"}, "ValueError: bad"),
            ("flip", {"raised": "Crash", "message": "exit -11"}, "Crash: exit -11"),
            ("flip", {"raised": "ImageReadError", "seconds": 11}, "refused after 11.0 s"),
            ("flip", {"seconds": 11}, "returned after 11.0 s"),
            ("flip", {"raised": "ImageReadError"}, ""),
            ("flip", {}, ""),
        ],
    )
    def test_it_sees_wrong_answers(self, files, way, changes, reason):
        found = fuzz.wrong(way, files["bmp"], {**self.WHOLE, **changes})
        assert reason in found
        assert bool(found) == bool(reason)

    def test_it_sees_a_png_that_should_have_been_refused(self, files):
        data = bytearray(files["png grey"])
        data[-1] ^= 1
        assert "wrong checksum" in fuzz.wrong("flip", bytes(data), self.WHOLE)

    def test_every_way_damages_every_kind(self, files):
        for data in files.values():
            for number, way in enumerate(fuzz.WAYS):
                copies = [fuzz.damaged(data, 0, number + 10 * i) for i in range(5)]
                assert {name for name, _ in copies} == {way.__name__}
                assert any(copy != data for _, copy in copies)

    def test_it_counts_and_saves_what_escapes(self, files, tmp_path, monkeypatch):
        monkeypatch.setattr(fuzz, "wrong", lambda way, data, answer: "odd" if way == "zero" else "")
        row = fuzz.bench("BMP", [files["bmp"]], 20, 0, tmp_path)
        assert row.counts["returned"] + row.counts["refused"] == 20
        assert row.escaped == {"zero: odd": 2}
        assert len(list(tmp_path.glob("*.bin"))) == 2


@pytest.mark.data
def test_real_files_damaged_in_every_way(real_images, reader):
    kinds = fuzz.seeds(real_images / "fixtures")
    assert {"PNG grey 8 bit", "PNG RGBA 8 bit", "PNG grey 16 bit", "JPEG baseline"} <= set(kinds)
    for name, files in kinds.items():
        for number in range(20):
            way, data = fuzz.damaged(files[number % len(files)], 1, number)
            assert not fuzz.wrong(way, data, reader.read(data)), (name, number, way)
