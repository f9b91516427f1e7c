"""Files that no library writes: PNG of every colour type, depth and interlacing, chunk by chunk."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def scanlines(pixels, depth):
    lines = []
    for row in pixels.reshape(*pixels.shape[:2], -1):
        if depth == 16:
            line = row.astype(">u2").tobytes()
        elif depth == 8:
            line = row.astype(np.uint8).tobytes()
        else:
            line = np.packbits(
                ((row.reshape(-1, 1) >> np.arange(depth)[::-1]) & 1).astype(np.uint8)
            ).tobytes()
        lines.append(b"\0" + line)
    return b"".join(lines)


class Png:
    """A PNG in parts; `bytes()` joins them."""

    def __init__(self, pixels, *, colour=0, depth=8, interlaced=False, palette=None, extra=()):
        height, width = pixels.shape[:2]
        self.header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
        passes = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [pixels]
        self.raw = b"".join(scanlines(part, depth) for part in passes if part.size)
        self.idat = zlib.compress(self.raw)
        self.extra = list(extra)
        if palette is not None:
            self.extra.insert(0, (b"PLTE", palette.tobytes()))

    def __bytes__(self):
        head = [(b"IHDR", self.header), *self.extra, (b"IDAT", self.idat), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in head)


@pytest.fixture
def make_png():
    return Png


@pytest.fixture
def make_chunk():
    return chunk


@pytest.fixture
def save():
    """The bytes of an array or image as pillow writes them."""

    def write(image, kind, **options):
        file = io.BytesIO()
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(file, kind, **options)
        return file.getvalue()

    return write


@pytest.fixture
def radiograph():
    """(96, 80) uint8, smooth with noise, as compressible as a radiograph."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :80]
    return (
        (120 + 80 * np.sin(x / 17) * np.cos(y / 23) + rng.normal(0, 6, (96, 80)))
        .clip(0, 255)
        .astype(np.uint8)
    )


@pytest.fixture
def real_images():
    folder = os.environ.get("XRDATASETS_DATA")
    if not folder:
        pytest.skip("XRDATASETS_DATA is not set")
    return Path(folder)
