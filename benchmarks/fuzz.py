"""Damaged files against `read_image`: no crash, no hang, no wrong answer, and no errors but its own.

    python benchmarks/fuzz.py FOLDER --cases 10000 [--seed N] [--save FOLDER] [--only TEXT]

The PNG, JPEG and DICOM files below FOLDER, copies of them in other codings, and small drawn files are
damaged in ten ways: flipped bits, wrong bytes, a damaged head, cuts, cuts that are closed with the end mark,
removed, doubled, zeroed and exchanged blocks, and PNG whose checksums are made right again. A child process
reads them; one that takes longer than 10 s is killed. What escapes is saved with a note of what was wrong:

- anything raised that is neither `ImageReadError` nor `DecoderNotFoundError`, a dead process, a hang;
- an image that was returned from a cut file, from a PNG with a wrong checksum, in another shape than the
  file's header says, or that is no `RawImage` as documented.

Memory is the most that the child held, and how much of it came on top of what whole files took.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import os
import selectors
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PATIENCE = 10.0  # seconds for one file
FILES = 3  # of one kind
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
ALLOWED = {"ImageReadError", "DecoderNotFoundError"}
# transfer syntaxes (PS3.6, table A-1)
EXPLICIT, DEFLATED, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG_BASELINE, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
ITEM, PIXELS, LAST = b"\xfe\xff\x00\xe0", b"\xe0\x7f\x10\x00", b"\xfe\xff\xdd\xe0\0\0\0\0"


# --- the process that reads --------------------------------------------------------------------------------


def child() -> None:
    """Read files (length, bytes) from standard input to its end, and answer each with a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer
    faulthandler.enable()
    for data in iter(_next_file, None):
        print(json.dumps(attempt(data)), file=answers, flush=True)


def _next_file() -> bytes | None:
    head = sys.stdin.buffer.read(8)
    return sys.stdin.buffer.read(int.from_bytes(head)) if head else None


def attempt(data: bytes) -> dict[str, Any]:
    """What comes of one file."""
    from xrdatasets.images import read_image

    began = time.perf_counter()
    try:
        raw = read_image(data)
    except BaseException as error:  # a panic in Rust is no Exception
        found = {"raised": type(error).__name__, "message": str(error)}
        if type(error).__name__ not in ALLOWED:
            found["trace"] = traceback.format_exc()
    else:
        pixels = raw.pixels
        found = {"shape": pixels.shape, "dtype": str(pixels.dtype), "top": int(pixels.max(initial=0))}
        found |= {"max_value": raw.max_value, "contiguous": bool(pixels.flags.c_contiguous)}
    return found | {"seconds": time.perf_counter() - began, "peak": peak()}


def peak() -> int:
    """Most bytes that this process, or one that it started, has held.

    Linux starts a process's `ru_maxrss` at its parent's, /proc knows better.
    """
    try:
        children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))
        return sum(_most_held(pid) for pid in ["self", *children.split()])
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _most_held(pid: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


class Reader:
    """A child that reads files; a new one is started after a crash or a hang."""

    def __init__(self, command: Sequence[str] = (), patience: float = PATIENCE) -> None:
        self.command = command or (sys.executable, __file__, "--child")
        self.patience = patience
        self.process: subprocess.Popen[bytes] | None = None

    def read(self, data: bytes) -> dict[str, Any]:
        """The child's answer; `raised` says 'Hang' or 'Crash' where there is none."""
        patience = self.patience if self.process else 3 * self.patience  # the first one waits for imports
        process = self.process or self._start()
        with suppress(BrokenPipeError):
            process.stdin.write(len(data).to_bytes(8) + data)
            process.stdin.flush()
        answer = self._line(patience)
        if answer:
            return json.loads(answer)
        hang = process.poll() is None and not self._ends(process)
        if hang:
            process.send_signal(6)  # SIGABRT: faulthandler tells where it was
        code = process.wait()
        self.log.seek(0)
        trace = self.log.read().decode(errors="replace")[-4_000:]
        self.close()
        seconds = self.patience if hang else 0.0
        what = "Hang" if hang else "Crash"
        return {"raised": what, "message": f"exit {code}", "trace": trace, "seconds": seconds, "peak": 0}

    def close(self) -> None:
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.log.close()
            self.process = None

    def _start(self) -> subprocess.Popen[bytes]:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the child lives)
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            bufsize=0,
        )
        return self.process

    def _line(self, patience: float) -> bytes:
        """One line, or what came of it in time."""
        line, until = b"", time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, until - time.monotonic())):
                    return b""
                got = os.read(self.process.stdout.fileno(), 65_536)
                if not got:
                    return b""
                line += got
        return line

    @staticmethod
    def _ends(process: subprocess.Popen[bytes]) -> bool:
        """Whether it is about to die by itself."""
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            return False
        return True


# --- what a header says, read without the package ----------------------------------------------------------


def stated(data: bytes) -> set[tuple[int, int]]:
    """The (height, width) that the header states: several if it says two things, none if it is damaged."""
    try:
        if data.startswith(PNG):
            return {struct.unpack_from(">II", data, 16)[::-1]}
        if data.startswith(JPEG):
            return _jpeg_size(data)
        if data[128:132] == b"DICM":
            return _dicom_size(data)
        if data[:2] == b"BM":
            return _bmp_size(data)
        if data[:4] == b"GIF8":
            return {struct.unpack_from("<HH", data, 6)[::-1]}
        return _tiff_size(data)
    except (struct.error, IndexError):
        return set()


def _jpeg_size(data: bytes) -> set[tuple[int, int]]:
    at = 2
    while data[at] == 0xFF:
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return {struct.unpack_from(">HH", data, at + 5)}
        if kind == 0xFF:
            at += 1
        elif kind == 1 or 0xD0 <= kind <= 0xD8:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return set()


def _dicom_size(data: bytes) -> set[tuple[int, int]]:
    """All Rows by all Columns, explicit little-endian or implicit; a doubled block may hold several."""

    def values(element: int) -> set[int]:
        found = set()
        for mark in (b"US\2\0", b"\2\0\0\0"):
            tag, at = struct.pack("<HH", 0x28, element) + mark, -1
            while (at := data.find(tag, at + 1)) >= 0:
                found |= {struct.unpack_from("<H", data, at + 8)[0]} if at + 10 <= len(data) else set()
        return found

    return {(rows, columns) for rows in values(0x10) for columns in values(0x11)}


def _bmp_size(data: bytes) -> set[tuple[int, int]]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return {struct.unpack_from("<HH", data, 18)[::-1]}
    width, height = struct.unpack_from("<ii", data, 18)
    return {(abs(height), width)}


def _tiff_size(data: bytes) -> set[tuple[int, int]]:
    """ImageLength (257) by ImageWidth (256) of the first directory; all values of a tag that comes twice."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (number,) = struct.unpack_from(order + "H", data, start)
    sizes: dict[int, set[int]] = {256: set(), 257: set()}
    for at in range(start + 2, start + 2 + 12 * number, 12):
        tag, kind, _ = struct.unpack_from(order + "HHI", data, at)
        if tag in sizes:
            letter = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}.get(kind)
            if letter:
                sizes[tag].add(struct.unpack_from(order + letter, data, at + 8)[0])
    return {(height, width) for height in sizes[257] for width in sizes[256]}


def chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Kind, start and stop of the chunks of a PNG, as far as they are whole."""
    found, at = [], 8
    while at + 12 <= len(data):
        stop = at + 12 + struct.unpack_from(">I", data, at)[0]
        if stop > len(data):
            break
        found.append((data[at + 4 : at + 8], at, stop))
        if found[-1][0] == b"IEND":
            break
        at = stop
    return found


def png_whole(data: bytes) -> bool:
    """Whether a PNG ends with IEND, and the chunks that make its pixels match their checksums."""
    found = chunks(data)
    needed = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
    return {b"IHDR", b"IDAT", b"IEND"} <= {kind for kind, _, _ in found} and all(
        zlib.crc32(data[start + 4 : stop - 4]) == struct.unpack_from(">I", data, stop - 4)[0]
        for kind, start, stop in found
        if kind in needed
    )


def end(data: bytes) -> int:
    """Where the image ends: a file that is cut before this is truncated."""
    if data.startswith(PNG):
        return chunks(data)[-1][2]
    if data.startswith(JPEG):
        return data.rindex(b"\xff\xd9") + 2
    if data[128:132] == b"DICM":
        return dicom_end(data)
    return len(data)


def dicom_end(data: bytes) -> int:
    """The end of the pixels: the mark behind the fragments, or as many bytes as their length says."""
    if DEFLATED.encode() in data[:1_000]:
        (size,) = struct.unpack_from("<I", data, 140)  # FileMetaInformationGroupLength
        inflater = zlib.decompressobj(-15)
        inflater.decompress(data[144 + size :])
        return len(data) - len(inflater.unused_data)
    at = data.rfind(PIXELS)
    if at < 0:  # big-endian: the pixels end the file
        return len(data)
    explicit = data[at + 4 : at + 6] in (b"OB", b"OW")
    start = at + (12 if explicit else 8)
    (length,) = struct.unpack_from("<I", data, start - 4)
    return data.rindex(LAST) + 8 if length == 0xFFFFFFFF else start + length - _padding(data, start, length)


def _padding(data: bytes, start: int, length: int) -> int:
    """The byte that makes an odd number of pixels even."""
    need = [rows * columns for rows, columns in _dicom_size(data)]
    return int(length - 1 in need and data[start + length - 1] == 0)


# --- damage ------------------------------------------------------------------------------------------------


def flip(data: bytes, rng: np.random.Generator, *, below: int | None = None) -> bytes:
    """One to eight flipped bits."""
    damaged = bytearray(data)
    for at in rng.integers(0, min(below or len(data), len(data)), rng.integers(1, 9)):
        damaged[at] ^= 1 << rng.integers(8)
    return bytes(damaged)


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    """A run of 1 to 64 random bytes."""
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 65))
    return data[:at] + rng.bytes(min(size, len(data) - at)) + data[at + size :]


def head(data: bytes, rng: np.random.Generator) -> bytes:
    """Flipped bits, or an extreme value, in the head."""
    size = 2_000 if data[128:132] == b"DICM" else 300
    if rng.random() < 0.5:
        return flip(data, rng, below=size)
    at = int(rng.integers(min(size, len(data) - 4)))
    value = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xea\x60", b"\x60\xea", b"\1")[
        rng.integers(6)
    ]
    return data[:at] + value + data[at + len(value) :]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """The beginning, anything from nothing to one byte less than the whole."""
    stop = end(data)
    return data[: stop - int(rng.integers(1, 13))] if rng.random() < 0.2 else data[: int(rng.integers(stop))]


def cut_closed(data: bytes, rng: np.random.Generator) -> bytes:
    """The beginning with the end mark behind it."""
    stop = end(data)
    if data[128:132] == b"DICM" and data[stop - 8 : stop] == LAST:
        return _fragment_closed(data, rng)
    mark = 2 if data.startswith(JPEG) else 12 if data.startswith(PNG) else 8
    return data[: int(rng.integers(stop - mark))] + data[stop - mark : stop]


def _fragment_closed(data: bytes, rng: np.random.Generator) -> bytes:
    """A DICOM file whose frame is cut, with lengths and marks that know of it."""
    at = data.index(ITEM, data.index(ITEM, data.rindex(PIXELS)) + 8)
    (length,) = struct.unpack_from("<I", data, at + 4)
    frame = data[at + 8 : at + 8 + length]
    mark = frame.rstrip(b"\0")[-2:] if frame.rstrip(b"\0").endswith(b"\xff\xd9") else b""
    kept = frame[: int(rng.integers(length - 4))] + mark
    kept += b"\0" * (len(kept) % 2)
    return data[: at + 4] + struct.pack("<I", len(kept)) + kept + LAST


def _block(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    size = int(rng.integers(1, 2 + min(4_096, len(data) // 4)))
    at = int(rng.integers(len(data) - size))
    return at, at + size


def remove(data: bytes, rng: np.random.Generator) -> bytes:
    """A block taken out."""
    start, stop = _block(data, rng)
    return data[:start] + data[stop:]


def double(data: bytes, rng: np.random.Generator) -> bytes:
    """A block twice."""
    start, stop = _block(data, rng)
    return data[:stop] + data[start:]


def zero(data: bytes, rng: np.random.Generator) -> bytes:
    """A block of zeros, as a hole in a copied file."""
    start, stop = _block(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def exchange(data: bytes, rng: np.random.Generator) -> bytes:
    """A block in another's place."""
    start, stop = _block(data, rng)
    there = int(rng.integers(len(data) - (stop - start)))
    return data[:start] + data[there : there + stop - start] + data[stop:]


def repaired(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage behind right checksums (PNG), or in the middle of the pixels, which have none."""
    damaged = (flip, overwrite)[rng.integers(2)](data, rng)
    if not data.startswith(PNG):
        return damaged
    parts = [damaged[:8]]
    for kind, start, stop in chunks(damaged):
        body = damaged[start + 8 : stop - 4]
        parts.append(damaged[start : start + 4] + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


WAYS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    flip, overwrite, head, cut, cut_closed, remove, double, zero, exchange, repaired
)  # fmt: skip


def damaged(data: bytes, seed: int, number: int) -> tuple[str, bytes]:
    """One damaged copy, the same for the same numbers, and the way in which it was damaged."""
    way = WAYS[number % len(WAYS)]
    return way.__name__, way(data, np.random.default_rng((seed, number)))


def wrong(way: str, data: bytes, answer: dict[str, Any]) -> str:
    """What is wrong with an answer, or nothing."""
    if "raised" in answer:
        if answer["raised"] not in ALLOWED:
            return f"{answer['raised']}: {answer['message']}"
        return f"refused after {answer['seconds']:.1f} s" if answer["seconds"] > PATIENCE else ""
    if way in ("cut", "cut_closed"):
        return "a cut file was returned"
    if data.startswith(PNG) and not png_whole(data):
        return "a PNG with a wrong checksum or without its end was returned"
    if answer["seconds"] > PATIENCE:
        return f"returned after {answer['seconds']:.1f} s"
    sizes = stated(data)
    if sizes and tuple(answer["shape"]) not in sizes:
        return f"shape {answer['shape']}, the header says {sizes}"
    sound = answer["dtype"] in ("uint8", "uint16") and answer["contiguous"] and len(answer["shape"]) == 2
    return "" if sound and answer["top"] <= answer["max_value"] else f"no RawImage as documented: {answer}"


# --- files -------------------------------------------------------------------------------------------------


def kind(data: bytes) -> str:
    """The row of the table that a file belongs to."""
    if data.startswith(PNG):
        names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey+alpha", 6: "RGBA"}
        return f"PNG {names[data[25]]} {data[24]} bit{' interlaced' if data[28] else ''}"
    if data.startswith(JPEG):
        return "JPEG progressive" if b"\xff\xc2" in data else "JPEG baseline"
    if data[128:132] == b"DICM":
        import pydicom

        syntax = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta.TransferSyntaxUID
        return f"DICOM {syntax.name.split(' (')[0].split(',')[0]}"
    return {b"BM": "BMP", b"GI": "GIF"}.get(data[:2], "TIFF")


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """Up to `FILES` files of each kind: real ones, copies of them in other codings, drawn ones."""
    found: dict[str, list[bytes]] = {}
    suffixes = {".png", ".jpg", ".jpeg", ".dcm"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if not paths:
        message = f"no PNG, JPEG or DICOM below '{folder}'"
        raise SystemExit(message)
    for path in paths:
        data = path.read_bytes()
        if kind(data) and len(data) < 3_000_000 and len(found.setdefault(kind(data), [])) < FILES:
            found[kind(data)].append(data)
    for data in [*_recoded(found), *drawn()]:
        if len(found.setdefault(kind(data), [])) < FILES:
            found[kind(data)].append(data)
    return dict(sorted(found.items()))


def _save(image: Any, form: str, **options: Any) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def _recoded(found: dict[str, list[bytes]]) -> list[bytes]:
    """Real files in other codings."""
    from PIL import Image

    made = []
    for data in found.get("PNG grey 8 bit", [])[:1]:
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        small = Image.fromarray(pixels).resize((256, 256))
        made += [_save(pixels.astype(np.uint16) * 257, "PNG"), _save(pixels, "JPEG", progressive=True)]
        made += [_save(small, "TIFF", compression=c) for c in (None, "tiff_lzw", "tiff_deflate")]
        made += [_save(small, "BMP"), _save(small, "GIF"), _save(small.convert("RGBA"), "PNG")]
    for data in found.get("DICOM Implicit VR Little Endian", [])[:1]:
        made += packed(data).values()
    return made


def packed(data: bytes) -> dict[str, bytes]:
    """A DICOM file of 8-bit grey in other transfer syntaxes, those for which there is an encoder."""
    import pydicom
    from pydicom.encaps import encapsulate

    made = {}
    for syntax, encode in ENCODERS.items():
        file, target = pydicom.dcmread(io.BytesIO(data)), io.BytesIO()
        pixels = np.frombuffer(file.PixelData, np.uint8)[: file.Rows * file.Columns]
        with suppress(ImportError, NotImplementedError):
            frame = encode(pixels.reshape(file.Rows, file.Columns))
            file.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
            if frame:
                file.PixelData = encapsulate([frame])
                file["PixelData"].is_undefined_length = True
            file["PixelData"].VR = "OB"
            file.save_as(target, implicit_vr=False, little_endian=True)
            made[syntax] = target.getvalue()
    return made


def _rle(pixels: np.ndarray) -> bytes:
    from pydicom.pixels.encoders import RLELosslessEncoder

    height, width = pixels.shape
    about = {"rows": height, "columns": width, "samples_per_pixel": 1, "bits_allocated": 8, "bits_stored": 8}
    about |= {"photometric_interpretation": "MONOCHROME2", "pixel_representation": 0, "number_of_frames": 1}
    return RLELosslessEncoder.encode(pixels.tobytes(), encoding_plugin="pydicom", **about)


def _imagecodecs(name: str, **options: Any) -> Callable[[np.ndarray], bytes]:
    def encode(pixels: np.ndarray) -> bytes:
        import imagecodecs

        return bytes(getattr(imagecodecs, name)(pixels, **options))

    return encode


ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {
    EXPLICIT: lambda pixels: b"",
    DEFLATED: lambda pixels: b"",
    RLE: _rle,
    JPEG_BASELINE: lambda pixels: _save(pixels, "JPEG"),
    JPEG_LOSSLESS: _imagecodecs("ljpeg_encode"),
    JPEG_LS: _imagecodecs("jpegls_encode"),
    JPEG_2000: lambda pixels: _save(pixels, "JPEG2000", no_jp2=True, irreversible=False),
}


def picture(height: int = 24, width: int = 20) -> np.ndarray:
    """(height, width) uint8, smooth with noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).normal(0, 6, (height, width))
    return (120 + 80 * np.sin(x / 4) * np.cos(y / 5) + noise).clip(0, 255).astype(np.uint8)


def drawn() -> list[bytes]:
    """Small files of the kinds that real folders rarely have."""
    from PIL import Image

    grey = Image.fromarray(picture())
    deep = np.asarray(grey).astype(np.uint16) * 257
    colour = Image.fromarray(np.stack([picture(), picture()[::-1], picture()], axis=2))
    made = [_save(image, "PNG") for image in (grey.convert("1"), grey.convert("P"), grey.convert("LA"), deep)]
    made += [_save(colour, "PNG"), _save(colour.convert("RGBA"), "PNG")]
    made += [_save(image, "JPEG", progressive=p) for image in (grey, colour) for p in (False, True)]
    return made + [_save(image, form) for image in (grey, colour) for form in ("TIFF", "BMP", "GIF")]


# --- the bench ---------------------------------------------------------------------------------------------


@dataclass
class Row:
    """Of one kind."""

    files: int
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    base: int = 0
    peak: int = 0
    escaped: Counter[str] = field(default_factory=Counter)


def bench(name: str, files: list[bytes], cases: int, seed: int, save: Path) -> Row:
    """All cases of one kind, in one child."""
    row, reader = Row(len(files)), Reader()
    whole = []
    for data in files:
        answer = reader.read(data)
        row.base = max(row.base, answer["peak"])
        whole += [data] if "shape" in answer else []
    row.counts["whole files refused"] = len(files) - len(whole)
    for number in range(cases if whole else 0):
        way, data = damaged(whole[number // len(WAYS) % len(whole)], seed, number)
        answer = reader.read(data)
        row.counts[
            "refused" if answer.get("raised") in ALLOWED else "returned" if "shape" in answer else "dead"
        ] += 1
        row.seconds, row.peak = max(row.seconds, answer["seconds"]), max(row.peak, answer["peak"])
        if reason := wrong(way, data, answer):
            row.escaped[f"{way}: {reason[:120]}"] += 1
            stem = save / f"{name.replace(' ', '_')}-{seed}-{number}-{way}"
            stem.with_suffix(".bin").write_bytes(data)
            stem.with_suffix(".txt").write_text(f"{reason}\n{answer.get('trace', answer)}\n")
    reader.close()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=10_000, help="over all kinds together (default 10,000)")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--save", type=Path, default=Path("fuzz_cases"), help="default fuzz_cases")
    parser.add_argument("--only", default="", help="kinds with this in their names")
    arguments = parser.parse_args()
    arguments.save.mkdir(parents=True, exist_ok=True)
    kinds = {name: files for name, files in seeds(arguments.folder).items() if arguments.only in name}
    print(f"{'':38}{'files':>6}{'cases':>7}{'returned':>10}{'refused':>9}{'dead':>6}{'worst s':>9}"
          f"{'peak MB':>9}{'above whole':>12}{'escaped':>9}")  # fmt: skip
    rows = {}
    for at, (name, files) in enumerate(kinds.items()):
        cases = arguments.cases // len(kinds) + (at < arguments.cases % len(kinds))
        row = rows[name] = bench(name, files, cases, arguments.seed, arguments.save)
        counts = "".join(
            f"{row.counts[key]:>{wide}}" for key, wide in (("returned", 10), ("refused", 9), ("dead", 6))
        )
        print(f"{name:38}{row.files:>6}{cases:>7}{counts}{row.seconds:>9.2f}{row.peak / 1e6:>9.0f}"
              f"{(row.peak - row.base) / 1e6:>12.0f}{sum(row.escaped.values()):>9}", flush=True)  # fmt: skip
        if row.counts["whole files refused"]:
            print(f"    {row.counts['whole files refused']} refused as they are, and left out")
    for name, row in rows.items():
        for reason, number in row.escaped.most_common():
            print(f"{number:>6} {name}: {reason}")
    if any(row.escaped for row in rows.values()):
        message = f"what escaped is in '{arguments.save}'"
        raise SystemExit(message)


if __name__ == "__main__":
    child() if sys.argv[1:] == ["--child"] else main()
