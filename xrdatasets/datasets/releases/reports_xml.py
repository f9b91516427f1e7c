"""Datasets, step 2: many small XML reports, from a folder or from an archive that is never unpacked.

A report comes from the internet, so it is not trusted: entities and document types are refused before
anything is parsed, an archive may hold nothing but plain files below itself, and a report is small.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from xrdatasets.errors import TableError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["LARGEST", "parse_report", "read_reports"]

LARGEST: Final = 1 << 20
"""Bytes of the largest report that is read; Open-i's largest has 8,967."""

LARGEST_ARCHIVE: Final = 1 << 28
"""Bytes of the largest archive, unpacked; Open-i's has 24 million."""

# a document type may define entities, and with them files to read or texts that grow without end; a NUL is no
# character of XML, and what makes expat take the text for UTF-16, in which nothing would be found
FORBIDDEN: Final = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)|\0", re.IGNORECASE)
NUMBERS: Final = re.compile(r"([0-9]+)")
BLOCK: Final = 512  # bytes; a tar archive ends with two blocks of zeros (POSIX.1, pax)
# what tarfile raises over damaged or hostile headers, besides its own
BROKEN: Final = (
    tarfile.TarError, ArithmeticError, EOFError, LookupError, OSError, RecursionError, ValueError, zlib.error,
)  # fmt: skip


def read_reports(path: Path, *, dataset: str) -> list[tuple[str, Element]]:
    """Every ``.xml`` report of a folder or of a tar archive (plain or compressed).

    Args:
        path: the folder, or the archive; its members are read in memory, nothing is written.
        dataset: its dataset, for messages.

    Returns:
        Name and root element of each report, in the order of their numbers (``2.xml`` before ``10.xml``).

    Raises:
        TableError: there is none, a report is no XML, too large, or defines entities; the archive is damaged,
            or a member of it is a link or would lie outside it. The message names file and member.
    """
    texts = _folder(path, dataset) if path.is_dir() else _archive(path, dataset)
    reports = [(name, parse_report(text, name=f"{path}/{name}", dataset=dataset)) for name, text in texts]
    if not reports:
        msg = f"{dataset}: {str(path)!r} holds no .xml file. Expected one per report. Download it again."
        raise TableError(msg)
    return sorted(reports, key=lambda report: _natural(report[0]))


def parse_report(data: bytes, *, name: str, dataset: str) -> Element:
    """The root element of one report.

    Args:
        data: the file.
        name: what it is called, for messages.
        dataset: its dataset, for messages.

    Raises:
        TableError: it is no XML in UTF-8, or has a document type or an entity.

    Example:
        >>> parse_report(b"<report><uId id='CXR1'/></report>", name="1.xml", dataset="own")[0].get("id")
        'CXR1'
    """
    from xml.etree import ElementTree as ET

    found = None
    try:
        # decoded here and parsed as text, so that no encoding of its own choice hides what is looked for
        text = data.decode("utf-8-sig")
        found = FORBIDDEN.search(text)
        root = None if found else ET.fromstring(text)
    except (UnicodeDecodeError, ET.ParseError, RecursionError, ValueError) as error:
        msg = f"{dataset}: {name!r} is no XML report in UTF-8 ({error}). Download it again."
        raise TableError(msg) from error
    if root is None:
        what = f"{found[0]!r}, which may hide or define entities" if found else "nothing"
        raise TableError(_refused(name, dataset, what))
    return root


def _folder(path: Path, dataset: str) -> Iterator[tuple[str, bytes]]:
    for file in path.glob("*.xml"):
        if file.name.startswith(".") or not file.is_file():
            continue
        try:
            _check_size(file.stat().st_size, str(file), dataset)
            yield file.name, file.read_bytes()
        except OSError as error:
            msg = f"{dataset}: {str(file)!r} cannot be read ({error.strerror}). Look at its permissions."
            raise TableError(msg) from error


def _archive(path: Path, dataset: str) -> Iterator[tuple[str, bytes]]:
    try:
        data = _unpacked(path, dataset)
        if data[-BLOCK:].strip(b"\0"):  # else a cut between two members would go unseen
            raise tarfile.ReadError("it does not end with a block of zeros")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:  # r: as it is, r would unpack more
            for member in archive:
                _check_member(member, path, dataset)
                file = PurePosixPath(member.name)
                if file.suffix.lower() == ".xml" and not file.name.startswith("."):
                    stream = archive.extractfile(member)
                    yield member.name, stream.read() if stream else b""
    except TableError:
        raise
    except BROKEN as error:
        msg = f"{dataset}: {str(path)!r} is no whole tar archive ({error}). Download it again."
        raise TableError(msg) from error


def _unpacked(path: Path, dataset: str) -> bytes:
    """The bytes of an archive without its compression: bounded, before anything trusts a size in it."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"  # gzip (RFC 1952, 2.3.1)
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        data = stream.read(LARGEST_ARCHIVE + 1)
    if len(data) > LARGEST_ARCHIVE:
        raise TableError(_refused(str(path), dataset, f"more than {LARGEST_ARCHIVE:,} bytes"))
    return data


def _check_member(member: tarfile.TarInfo, path: Path, dataset: str) -> None:
    """Refuse what no archive of reports holds."""
    name = f"{path}/{member.name}"
    place = member.name.replace("\\", "/")
    if place.startswith("/") or ".." in place.split("/") or re.match(r"[A-Za-z]:", place):
        raise TableError(_refused(name, dataset, "a name that points outside the archive"))
    if not (member.isfile() or member.isdir()):
        raise TableError(_refused(name, dataset, "a link or a device"))
    _check_size(member.size, name, dataset)


def _check_size(size: int, name: str, dataset: str) -> None:
    if not 0 <= size <= LARGEST:
        raise TableError(_refused(name, dataset, f"{size:,} bytes, at most {LARGEST:,} are read"))


def _refused(name: str, dataset: str, found: str) -> str:
    return (
        f"{dataset}: {name!r}: expected a small XML report and nothing else, got {found}. It is not read: "
        "download the release again, from its publisher."
    )


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts 2.xml before 10.xml: without its zeros, the longer of two numbers is the larger."""
    return [
        (word.isdecimal(), len(word.lstrip("0")) * word.isdecimal(), word) for word in NUMBERS.split(name)
    ]
