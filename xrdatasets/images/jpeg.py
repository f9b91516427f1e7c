"""Decode JPEG: bytes to luma, through libjpeg-turbo.

Of the decoders at hand only kornia_rs's ``decode_image_jpegturbo`` takes libjpeg's warnings for
errors. Pillow drops them, and so returns a picture that is grey from the cut on for a file which was
cut and then closed properly; kornia_rs's other JPEG reader does so for any cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from xrdatasets.errors import ImageReadError
from xrdatasets.images.pixels import DAMAGED, RawImage, check_size, grey, refusing

__all__ = ["SIGNATURE", "decode_jpeg"]

SIGNATURE = b"\xff\xd8\xff"

# ITU-T T.81, table B.1: frame headers are C0 to CF but for DHT, JPG and DAC
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# of these, the ones whose entropy coding is Huffman's and works on blocks of 8 x 8
HUFFMAN_BLOCKS = frozenset({0xC0, 0xC1, 0xC2})
SEQUENTIAL = frozenset({0xC0, 0xC1})
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# Within coded pixels FF is followed by 00 or a restart mark; anything else ends a scan (B.1.1.2)
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
FILLED = re.compile(rb"\xff+")  # a marker may have any number of fill bytes before it
# Segments of a file in all: cameras write about ten, and each takes a microsecond to walk.
MAX_SEGMENTS = 20_000
# libjpeg-turbo, TJFLAG_LIMITSCANS: a progressive file of more scans is made to waste time
MAX_SCANS = 500
# Times that a block may be coded over, times blocks: encoders write some 10 scans, and 500 scans of 100
# megapixels were seen to take 9 s. At this bound it is one second.
MAX_BLOCK_SCANS = 2**26
COEFFICIENTS = 64


@dataclass(frozen=True, slots=True)
class _Frame:
    kind: int
    precision: int
    height: int
    width: int
    sampling: tuple[tuple[int, int], ...]  # (horizontal, vertical) of each component
    components: tuple[int, ...] = ()

    @property
    def blocks(self) -> int:
        """Coded blocks of 8 x 8 samples of all components."""
        most_h = max(h for h, _ in self.sampling)
        most_v = max(v for _, v in self.sampling)
        return sum(
            _blocks(self.width * h, most_h) * _blocks(self.height * v, most_v) for h, v in self.sampling
        )


def decode_jpeg(data: bytes) -> RawImage:
    """Decode a JPEG of one or three components; bytes after its end mark are ignored.

    Args:
        data: the whole file.

    Returns:
        (H, W) uint8 with `max_value` 255: the luma that a JPEG stores, which is Rec. 601's and, where
        all channels are equal, that channel. EXIF is ignored.

    Raises:
        ImageReadError: the file is truncated or damaged, too large, or of a kind that is not read
            (12 bits, four colours). A file that lacks only its end mark counts as truncated.

    Source:
        ITU-T T.81; JFIF 1.02 (ITU-T T.871) for luma.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (3, 2), 77).save(file, "JPEG")
        >>> decode_jpeg(file.getvalue()).pixels[0, 0]
        np.uint8(77)
    """
    import kornia_rs.io as kornia

    frame = _frame(data)
    with refusing("the JPEG's pixel data is cut or damaged"):
        decoded = grey(kornia.decode_image_jpegturbo(data, "mono"))
    if decoded.shape != (frame.height, frame.width):
        expected = (frame.height, frame.width)
        msg = f"the JPEG has {decoded.shape} pixels where its header says {expected}. {DAMAGED}"
        raise ImageReadError(msg)
    return RawImage(decoded, 255)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker of each segment and where its length stands, coded pixels left out, to the end of the image."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        filled = FILLED.match(data, at)
        if filled is None or filled.end() + 3 > len(data):
            return
        marker, at = data[filled.end()], filled.end() + 1
        if marker in STANDALONE:
            continue
        yield marker, at
        if marker == END_OF_IMAGE:
            return
        at += int.from_bytes(data[at : at + 2])
        if marker == START_OF_SCAN:
            end = SCAN_END.search(data, at)
            if end is None:
                return
            at = end.start()
    msg = f"the JPEG has more than {MAX_SEGMENTS:,} segments. {DAMAGED}"
    raise ImageReadError(msg)


def _frame(data: bytes) -> _Frame:
    """The first frame header, checked against the scans that follow it."""
    frame: _Frame | None = None
    scans: list[bytes] = []
    coded = len(data)
    for marker, at in _segments(data):
        body = data[at + 2 : at + int.from_bytes(data[at : at + 2])]
        if marker in FRAMES and frame is None:
            frame = _check(_parse(marker, body))
        elif marker == START_OF_SCAN:
            coded = min(coded, at)
            scans.append(body)
            if frame and frame.kind in SEQUENTIAL and body[:1] == bytes([len(frame.components)]):
                break  # all of the image is in one scan
    if frame is None:
        msg = f"the JPEG has no frame header in its {len(data):,} bytes. {DAMAGED}"
        raise ImageReadError(msg)
    _check_scans(frame, scans, len(data) - coded)
    return frame


def _parse(kind: int, body: bytes) -> _Frame:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        msg = f"the JPEG ends in its frame header. {DAMAGED}"
        raise ImageReadError(msg)
    sampling = tuple((body[i] >> 4, body[i] & 15) for i in range(7, 6 + 3 * body[5], 3))
    names = tuple(body[i] for i in range(6, 6 + 3 * body[5], 3))
    return _Frame(kind, body[0], int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), sampling, names)


def _check(frame: _Frame) -> _Frame:
    """Refuse what cannot be decoded faithfully, or at all, before memory is taken."""
    if frame.precision != 8 or len(frame.sampling) not in (1, 3):
        msg = (
            f"the JPEG has {len(frame.sampling)} channels of {frame.precision} bits. "
            "Expected 1 or 3 channels of 8 bits. Convert it to a grey PNG."
        )
        raise ImageReadError(msg)
    check_size(frame.height, frame.width)
    if any(h == 0 or v == 0 for h, v in frame.sampling):
        msg = f"the JPEG's frame header has a sampling factor of 0. {DAMAGED}"
        raise ImageReadError(msg)
    return frame


def _check_scans(frame: _Frame, scans: list[bytes], size: int) -> None:
    """Refuse scans that cannot hold the image, waste time, or end before its last refinement.

    libjpeg takes a progressive file of fewer scans for a whole one: cut between two and closed, it is soft.
    """
    if frame.kind not in HUFFMAN_BLOCKS:
        return  # arithmetic coding, which the decoder refuses
    # every block holds at least its DC code, and no Huffman code is shorter than a bit (T.81, C and F.1.2)
    if frame.blocks > 8 * size:
        msg = (
            f"its pixel data is cut or damaged: {frame.width:,} x {frame.height:,} pixels are "
            f"{frame.blocks:,} "
            f"coded blocks, which {size:,} bytes of JPEG cannot hold. {DAMAGED}"
        )
        raise ImageReadError(msg)
    if len(scans) > MAX_SCANS or len(scans) * frame.blocks > MAX_BLOCK_SCANS:
        msg = f"the JPEG has {len(scans):,} scans of {frame.blocks:,} blocks. Expected some ten. {DAMAGED}"
        raise ImageReadError(msg)
    if len(scans) != 1 or frame.kind not in SEQUENTIAL:
        _check_refined(frame, scans)


def _check_refined(frame: _Frame, scans: list[bytes]) -> None:
    """Refuse an image of several scans in which a coefficient is missing, or lacks its last bit."""
    missing = {(name, number) for name in frame.components for number in range(COEFFICIENTS)}
    for scan in scans:
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            continue  # the decoder says what is wrong with it
        first, last, exact = scan[1 + 2 * count], scan[2 + 2 * count], scan[3 + 2 * count] & 15 == 0
        if exact:
            names = (scan[1 + 2 * number] for number in range(count))
            missing -= {(name, number) for name in names for number in range(first, last + 1)}
    if missing:
        msg = f"the JPEG is cut: its last scans are missing ({len(scans)} are there). {DAMAGED}"
        raise ImageReadError(msg)


def _blocks(samples: int, most: int) -> int:
    """Blocks of 8 along one axis: ceil(ceil(samples / most) / 8)."""
    return -(-samples // (8 * most))
