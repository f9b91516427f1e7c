"""Files that claim, or unpack to, more than they are: refused in time and before memory is taken for them.

A child process reads them one after the other. What counts is the most that it held while it read one, above
what it held before, as Linux counts it: tracemalloc sees nothing of what the decoders' C and Rust allocate,
and `ru_maxrss` of a child begins with what its parent held. Seconds are the process's own: the machine may be
busy.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests import fakes
from tests.images.conftest import Png, chunk

SECONDS = 10
MEGABYTES = 50  # a picture of 60,000 x 60,000 takes 3,600
# Empty code blocks of JPEG 2000 take no bytes, so that no length is too short for a blank picture: of this
# one, pillow makes room for its 81 million pixels before it sees that it is cut.
ALLOWANCE = {"dicom jpeg 2000, one tile": 100}
HUGE = 60_000
MANY = 200_000
SIZES = {(HUGE, HUGE): "60,000 x 60,000", (9_000, 9_000): "9,000 x 9,000"}  # the second is not too large
PNGS = {
    (0, 8): "png grey",
    (2, 8): "png rgb",
    (3, 8): "png palette",
    (4, 8): "png grey+alpha",
    (6, 8): "png rgba",
}
BOMBS = {"zTXt": b"Comment\0\0", "iCCP": b"profile\0\0", "iTXt": b"Comment\0\1\0\0\0"}
COMPRESSIONS = {"plain": 1, "lzw": 5, "deflate": 8, "packbits": 32_773}
SYNTAXES = {
    "uncompressed": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg": "1.2.840.10008.1.2.4.50",
    "jpeg 12 bit": "1.2.840.10008.1.2.4.51",
    "jpeg lossless": "1.2.840.10008.1.2.4.70",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg 2000": "1.2.840.10008.1.2.4.90",
    "htj2k": "1.2.840.10008.1.2.4.201",
}
DEFLATED = "1.2.840.10008.1.2.1.99"
DEEP = ("jpeg 12 bit", "jpeg lossless", "jpeg-ls", "htj2k")  # drawn with 12 bits

CHILD = """
import json, resource, sys, time
from contextlib import suppress
from pathlib import Path
from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images import read_image

def held(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))

# what fails here shall not take the machine along
room = (int(held("VmSize")) + 3_000) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    with suppress(OSError):  # the peak begins anew; where it cannot, what is measured is only too much
        Path("/proc/self/clear_refs").write_text("5")
    before, began = held("VmRSS"), time.process_time()
    try:
        raw = read_image(data)
        end = str(raw.pixels.shape)
    except (ImageReadError, DecoderNotFoundError) as error:
        end = type(error).__name__
    except BaseException as error:
        end = repr(error)[:300]
    seconds = time.process_time() - began
    print(json.dumps([end, held("VmHWM") - before, seconds]), flush=True)
"""


def zeros(size):
    """A zlib stream of so many megabytes of zeros: one of them, packed, stands so many times."""
    adler = ((size << 20) % 65_521) << 16 | 1  # of zeros: the sums are 1 and their number
    return b"\x78\xda" + raw_zeros(size) + b"\3\0" + struct.pack(">I", adler)


def raw_zeros(size):
    """The same without head and end, to stand between other blocks of raw deflate."""
    packer = zlib.compressobj(9, wbits=-15)
    return (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)) * size


def saved(pixels, form, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


GREY = np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))
PALETTE = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def png(colour, depth, size=None, idat=None, extra=()):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    file = Png(
        np.repeat(GREY[..., None], channels, axis=2),
        colour=colour,
        depth=depth,
        palette=PALETTE if colour == 3 else None,
        extra=extra,
    )
    if size:
        file.header = struct.pack(">II", *size) + file.header[8:]
    file.idat = idat or file.idat
    return bytes(file)


def resized(data, size):
    """A JPEG, JPEG-LS or JPEG 2000 that says another (width, height)."""
    if data.startswith(b"\xff\x4f"):
        at = data.index(b"\xff\x51")
        return data[: at + 6] + struct.pack(">II", *size) + data[at + 14 :]
    kinds = (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)
    at = next(data.index(bytes([0xFF, kind, 0])) for kind in kinds if bytes([0xFF, kind, 0]) in data)
    return data[: at + 5] + struct.pack(">HH", *size[::-1]) + data[at + 9 :]


def tiff(size, strip, compression, *, strips=1):
    """A grey TIFF of one strip, little-endian."""
    width, height = size
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
    ]
    start = 8 + 2 + 12 * 9 + 4
    entries += [(273, 4, strips, start), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, strips, len(strip))]
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + struct.pack("<I", 0) + strip


def bmp(size, compression):
    data = saved(GREY, "BMP")
    return data[:18] + struct.pack("<ii", *size) + data[26:30] + struct.pack("<I", compression) + data[34:]


def gif(screen, frame):
    data = saved(GREY, "GIF")
    at = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))  # behind the table of colours
    data = data[:6] + struct.pack("<HH", *screen) + data[10:]
    return data[: at + 5] + struct.pack("<HH", *frame) + data[at + 9 :]


def dicom(folder, syntax, *, size=(32, 24), frame=None, deep=False):
    """A DICOM file that says this (width, height), with one packed frame or plain pixels."""
    import pydicom

    grey = GREY.astype(np.uint16) if deep else GREY
    file = pydicom.dcmread(fakes.write_dicom(folder / "x.dcm", pixels=grey))
    file.file_meta.TransferSyntaxUID = UID(syntax)
    file.Columns, file.Rows = size
    if deep:
        file.BitsStored, file.HighBit = 12, 11
    if frame is not None:
        file.PixelData = encapsulate([frame])
        file["PixelData"].is_undefined_length = True
        file["PixelData"].VR = "OB"
    target = io.BytesIO()
    file.save_as(target)
    return target.getvalue()


def frames():
    """A small packed frame of each transfer syntax for which an encoder is at hand."""
    made = {"uncompressed": None, "jpeg": saved(GREY, "JPEG")}
    made["rle"] = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 24
    made["jpeg 2000"] = saved(GREY, "JPEG2000", no_jp2=True, irreversible=False)
    try:
        import imagecodecs
    except ImportError:
        return made
    deep = GREY.astype(np.uint16)
    made["jpeg 12 bit"] = bytes(imagecodecs.jpeg8_encode(deep, bitspersample=12))
    made["jpeg lossless"] = bytes(
        imagecodecs.jpeg8_encode(deep, bitspersample=12, lossless=True, predictor=1)
    )
    made["jpeg-ls"] = bytes(imagecodecs.jpegls_encode(deep))
    made["htj2k"] = bytes(imagecodecs.htj2k_encode(deep, reversible=True))
    return made


def deflated(folder, *, size=(32, 24), extra=b""):
    """A deflated DICOM file; `extra` stands in front of its pixels, as packed zeros would."""
    data = dicom(folder, SYNTAXES["uncompressed"], size=size)
    (length,) = struct.unpack_from("<I", data, 140)
    start = 144 + length
    head = data[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    head = head.replace(b"UI\x14\0" + DEFLATED.encode(), b"UI\x16\0" + DEFLATED.encode())
    head = head[:140] + struct.pack("<I", len(head) - 144) + head[144:]
    pixels = data.rindex(b"\xe0\x7f\x10\x00")
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(data[start:pixels]) + packer.flush(zlib.Z_FULL_FLUSH) + extra
    packer = zlib.compressobj(9, wbits=-15)
    return head + body + packer.compress(data[pixels:]) + packer.flush()


def many_scans(count=490, side=10_000):
    """A progressive JPEG of one grey level, without an error, whose scans say nothing (T.81, G.1.2)."""
    tables = b"\xff\xdb\0\x43\0" + b"\1" * 64 + b"\xff\xc2\0\x0b\x08" + struct.pack(">HH", side, side)
    tables += b"\1\1\x11\0"
    for kind, symbol in ((0, 0), (0x10, 0xE0)):  # no difference; a run of 32,767 blocks without coefficients
        tables += b"\xff\xc4\0\x14" + bytes([kind, 1, *[0] * 15, symbol])
    blocks = (-(-side // 8)) ** 2
    bits = ("0" + "1" * 14) * -(-blocks // 32_767)
    bits += "1" * (-len(bits) % 8)
    empty = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    scans = [b"\xff\xda\0\x08\1\1\0\0\0\0" + bytes(-(-blocks // 8))]
    steps = [(0 if low == 12 else low + 1) << 4 | low for low in range(12, -1, -1)]
    for step, place in [(step, place) for step in steps for place in range(1, 64)][:count]:
        scans.append(b"\xff\xda\0\x08\1\1\0" + bytes([place, place, step]) + empty)
    return b"\xff\xd8" + tables + b"".join(scans) + b"\xff\xd9"


def raster_lies():
    """PNG, JPEG, TIFF, BMP and GIF that say to be larger than their bytes can hold, or are too large."""
    made = {"png 30,000 x 30,000 of zeros": png(0, 8, (30_000, 30_000), zeros(859))}
    for size, name in SIZES.items():
        for (colour, depth), kind in PNGS.items():
            made[f"{kind} {name}"] = png(colour, depth, size)
        made[f"jpeg {name}"] = resized(saved(GREY, "JPEG"), size)
        made[f"jpeg progressive {name}"] = resized(saved(GREY, "JPEG", progressive=True), size)
        for kind, number in COMPRESSIONS.items():
            made[f"tiff {kind} {name}"] = tiff(size, zlib.compress(bytes(500)), number)
        for compression, kind in {0: "bmp", 1: "bmp rle"}.items():
            made[f"{kind} {name}"] = bmp(size, compression)
        made[f"gif {name}"] = gif(size, size)
    made["gif frame larger than its screen"] = gif((32, 24), (HUGE, HUGE))
    made["jpeg 10,000 x 10,000 in 490 scans"] = many_scans()
    made["tiff number of strips"] = tiff((32, 24), bytes(768), 1, strips=0xFFFFFFF0)
    return made


def dicom_lies(folder):
    """The same of DICOM, in its own header, in the packed frame's, and in both."""
    made = {}
    for name, frame in frames().items():
        for size, what in SIZES.items():
            about = {"deep": name in DEEP, "folder": folder, "syntax": SYNTAXES[name]}
            made[f"dicom {name}, its header {what}"] = dicom(size=size, frame=frame, **about)
            if frame and name != "rle":  # RLE has no header of its own
                made[f"dicom {name}, its frame {what}"] = dicom(frame=resized(frame, size), **about)
                made[f"dicom {name}, both {what}"] = dicom(size=size, frame=resized(frame, size), **about)
    for size, what in SIZES.items():
        made[f"dicom deflated {what}"] = deflated(folder, size=size)
    for name, frame in odd_jpeg_2000().items():
        about = {"folder": folder, "syntax": SYNTAXES["jpeg 2000"], "frame": frame}
        made[f"dicom jpeg 2000, {name}"] = dicom(size=stated(frame), **about)
    # a private element of zeros, zeros where the next element should begin, and more pixels than bytes
    packer, head = zlib.compressobj(0, wbits=-15), struct.pack("<HH2sHI", 0x29, 0x1010, b"OB", 0, 900 << 20)
    stored = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    made["dicom deflated element"] = deflated(folder, extra=stored + raw_zeros(900))
    made["dicom deflated zeros"] = deflated(folder, extra=raw_zeros(900))
    whole = bytearray(dicom(folder, SYNTAXES["uncompressed"]))
    at = whole.rindex(b"\xe0\x7f\x10\x00") + 8
    whole[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    made["dicom length of the pixels"] = bytes(whole)
    return made


def odd_jpeg_2000():
    """Few bytes that ask for many tiles, precincts or components (T.800, A.5.1 and A.6.1)."""
    plain = saved(GREY, "JPEG2000", no_jp2=True, irreversible=False)
    at, cod = plain.index(b"\xff\x51"), plain.index(b"\xff\x52")
    large = resized(plain, (9_000, 9_000))
    tiles = large[: at + 22] + struct.pack(">II", 40, 40) + large[at + 30 :]
    single = large[: at + 22] + struct.pack(">II", 9_000, 9_000) + large[at + 30 :]
    blocks = single[: cod + 10] + b"\0\0" + single[cod + 12 :]  # of 4 x 4
    (length,) = struct.unpack_from(">H", plain, cod + 2)
    coding = bytearray(plain[cod : cod + 2 + length])
    coding[4] |= 1  # sizes of precincts follow
    sizes = b"\0" + b"\x11" * coding[9]
    coding = coding[:2] + struct.pack(">H", length + len(sizes)) + coding[4:] + sizes
    precincts = single[:cod] + bytes(coding) + single[cod + 2 + length :]
    parts = 16_384
    head = struct.pack(">H", 38 + 3 * parts) + plain[at + 4 : at + 38] + struct.pack(">H", parts)
    components = plain[: at + 2] + head + plain[at + 40 : at + 43] * parts + plain[at + 43 :]
    made = {"small tiles": tiles, "one tile": single, "small precincts": precincts}
    return made | {"small blocks": blocks, "components": components}


def stated(frame):
    """(width, height) of a JPEG 2000 codestream."""
    return struct.unpack_from(">II", frame, frame.index(b"\xff\x51") + 6)


def odd_files(folder):
    """Whole pictures of 32 x 24 beside a bomb, or in very many parts; and parts in parts."""
    made = {}
    for (colour, depth), name in PNGS.items():
        made[f"{name} with more pixels than its header says"] = png(colour, depth, idat=zeros(900))
        for kind, head in BOMBS.items():
            made[f"{name} {kind}"] = png(colour, depth, extra=[(kind.encode(), head + zeros(900))])
    made["tiff with more pixels than its header says"] = tiff((32, 24), zeros(900), 8)
    grey, jpeg, gif_file = png(0, 8), saved(GREY, "JPEG"), saved(GREY, "GIF")
    text, scan = chunk(b"tEXt", b"a\0b") * MANY, jpeg.index(b"\xff\xda")
    made["png many texts"] = grey[:33] + text + grey[33:]
    made["png palette many texts"] = png(3, 8)[:33] + text + png(3, 8)[33:]
    made["png many empty parts of pixels"] = grey[:33] + chunk(b"IDAT", b"") * MANY + grey[33:]
    made["jpeg many comments"] = jpeg[:2] + b"\xff\xfe\0\2" * MANY + jpeg[2:]
    made["jpeg many fill bytes"] = jpeg[:2] + b"\xff" * 20_000_000 + jpeg[2:]
    made["jpeg many scans"] = jpeg[:-2] + jpeg[scan:-2] * 5_000 + jpeg[-2:]
    at = gif_file.index(b",", 13)
    made["gif many comments"] = gif_file[:at] + b"!\xfe\1a\0" * MANY + gif_file[at:]
    made["tiff whose directory is its own next one"] = (
        b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHIII", 256, 3, 1, 32, 8)
    )
    plain = dicom(folder, SYNTAXES["uncompressed"])
    (length,) = struct.unpack_from("<I", plain, 140)
    start = 144 + length
    numbers = [struct.pack("<HH2sH", 9, 0x1000 + i % 60_000, b"LO", 2) + b"a " for i in range(MANY)]
    made["dicom many elements"] = plain[:start] + b"".join(numbers) + plain[start:]
    deeper = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 2**32 - 1) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 2**32 - 1
    )
    made["dicom sequences in sequences"] = plain[:start] + deeper * 50_000
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bombs")


@pytest.fixture(scope="module")
def lies(folder):
    return raster_lies() | dicom_lies(folder)


@pytest.fixture(scope="module")
def read(folder, lies):
    """What came of each file: the error's name or the shape, megabytes above before, seconds."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says how much memory a process held at most")
    # one small file of each decoder first, so that what they import does not count
    warm = {"warm png": png(0, 8), "warm jpeg": saved(GREY, "JPEG"), "warm bmp": saved(GREY, "BMP")}
    warm |= {f"warm {name}": whole(folder, name, frame) for name, frame in frames().items()}
    files = warm | lies | odd_files(folder)
    paths = {folder / f"{number}.bin": data for number, data in enumerate(files.values())}
    for path, data in paths.items():
        path.write_bytes(data)
    rows = {}
    while len(rows) < len(files):
        names = list(files)[len(rows) :]
        rows |= dict(zip(names, run(list(paths)[len(rows) :]), strict=False))
        if len(rows) < len(files):  # it died of the next one, or was killed
            rows[list(files)[len(rows)]] = ("dead", 0.0, float(SECONDS))
    return rows


def whole(folder, name, frame):
    return dicom(folder, SYNTAXES[name], frame=frame, deep=name in DEEP)


def run(paths):
    """The child's answers as far as it came; it is killed when it is late."""
    command = [sys.executable, "-c", CHILD, *map(str, paths)]
    try:
        out = subprocess.run(command, capture_output=True, timeout=12 * SECONDS, check=False).stdout
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
    return [tuple(json.loads(line)) for line in out.splitlines()]


def test_the_bombs_are_what_they_say():
    unpacker = zlib.decompressobj()
    assert unpacker.decompress(zeros(3)) == bytes(3 << 20)
    assert unpacker.eof  # the checksum is right
    assert len(png(0, 8, (30_000, 30_000), zeros(859))) < 1_000_000
    assert 859 << 20 >= 30_000 * 30_001


def test_the_picture_in_many_scans_is_one():
    with Image.open(io.BytesIO(many_scans(count=63, side=40))) as image:
        assert (np.asarray(image) == 128).all()


def test_memory_is_not_taken_before_a_file_is_refused(read):
    rows = {name: row for name, row in read.items() if not name.startswith("warm")}
    assert {name: row for name, row in rows.items() if row[1] > ALLOWANCE.get(name, MEGABYTES)} == {}


def test_no_file_takes_ten_seconds(read):
    assert {name: row for name, row in read.items() if row[2] >= SECONDS} == {}


def test_what_claims_to_be_larger_than_it_is_is_refused(read, lies):
    allowed = {"ImageReadError", "DecoderNotFoundError"}
    assert {name: read[name] for name in lies if read[name][0] not in allowed} == {}


def test_a_whole_picture_beside_a_bomb_is_read_or_refused(read, lies):
    allowed = {"ImageReadError", "DecoderNotFoundError", str(GREY.shape)}
    assert {name: row for name, row in read.items() if name not in lies and row[0] not in allowed} == {}


def test_the_measure_sees_memory(folder):
    """The judge itself, with a picture that is really so large."""
    path = folder / "large.png"
    Image.fromarray(np.zeros((9_000, 9_000), np.uint8)).save(path, compress_level=1)
    ((end, megabytes, _),) = run([path])
    assert end == "(9000, 9000)"
    assert megabytes > 70
