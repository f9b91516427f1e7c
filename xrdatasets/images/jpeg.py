"""Decode JPEG: bytes to luma, through libjpeg-turbo.

Of the decoders at hand only kornia_rs's ``decode_image_jpegturbo`` takes libjpeg's warnings for
errors. Pillow drops them, and so returns a picture that is grey from the cut on for a file which was
cut and then closed properly; kornia_rs's other JPEG reader does so for any cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from xrdatasets.errors import ImageReadError
from xrdatasets.images.pixels import DAMAGED, RawImage, check_size, grey, refusing

__all__ = ["SIGNATURE", "decode_jpeg"]

SIGNATURE = b"\xff\xd8\xff"

# ITU-T T.81, table B.1: frame headers are C0 to CF but for DHT, JPG and DAC
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# of these, the ones whose entropy coding is Huffman's and works on blocks of 8 x 8
HUFFMAN_BLOCKS = frozenset({0xC0, 0xC1, 0xC2})
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# libjpeg-turbo, TJFLAG_LIMITSCANS: a progressive file of more scans is made to waste time
MAX_SCANS = 500


@dataclass(frozen=True, slots=True)
class _Frame:
    kind: int
    precision: int
    height: int
    width: int
    sampling: tuple[tuple[int, int], ...]  # (horizontal, vertical) of each component

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

    frame = _check(_frame(data), data)
    with refusing("the JPEG's pixel data is cut or damaged"):
        decoded = grey(kornia.decode_image_jpegturbo(data, "mono"))
    if decoded.shape != (frame.height, frame.width):
        expected = (frame.height, frame.width)
        msg = f"the JPEG has {decoded.shape} pixels where its header says {expected}. {DAMAGED}"
        raise ImageReadError(msg)
    return RawImage(decoded, 255)


def _frame(data: bytes) -> _Frame:
    """The first frame header, found by walking the segments in front of the pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in STANDALONE:
            at += 2
        elif marker in FRAMES:
            return _parse(marker, data[at + 4 : at + 2 + _length(data, at)])
        elif marker in (START_OF_SCAN, END_OF_IMAGE):
            break
        else:
            at += 2 + _length(data, at)
    msg = f"the JPEG has no frame header in its {len(data):,} bytes. {DAMAGED}"
    raise ImageReadError(msg)


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 2 : at + 4])


def _parse(kind: int, body: bytes) -> _Frame:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        msg = f"the JPEG ends in its frame header. {DAMAGED}"
        raise ImageReadError(msg)
    sampling = tuple((body[i] >> 4, body[i] & 15) for i in range(7, 6 + 3 * body[5], 3))
    return _Frame(kind, body[0], int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), sampling)


def _check(frame: _Frame, data: bytes) -> _Frame:
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
    # every block holds at least its DC code, and no Huffman code is shorter than a bit (T.81, C and F.1.2)
    if frame.kind in HUFFMAN_BLOCKS and frame.blocks > 8 * len(data):
        msg = (
            f"its header says {frame.width:,} x {frame.height:,} pixels, {frame.blocks:,} coded blocks, "
            f"which {len(data):,} bytes of JPEG cannot hold. {DAMAGED}"
        )
        raise ImageReadError(msg)
    # within coded pixels FF is followed by 00 or a restart mark, so this counts scans
    scans = data.count(bytes([0xFF, START_OF_SCAN]))
    if scans > MAX_SCANS:
        msg = f"the JPEG has {scans:,} scans. Expected at most {MAX_SCANS}. {DAMAGED}"
        raise ImageReadError(msg)
    return frame


def _blocks(samples: int, most: int) -> int:
    """Blocks of 8 along one axis: ceil(ceil(samples / most) / 8)."""
    return -(-samples // (8 * most))
