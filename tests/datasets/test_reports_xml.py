"""XML reports from the internet: what is read, what is refused, and how it is said."""

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

import xrdatasets as xr
from tests.fakes.openi import write_archive
from xrdatasets.datasets.releases import reports_xml
from xrdatasets.datasets.releases.reports_xml import LARGEST, parse_report, read_reports

REPORT = b'<?xml version="1.0" encoding="utf-8"?>\n<eCitation><uId id="CXR1"/></eCitation>'


def archive_of(path, member, data=b""):
    """An archive with one member of one's own making."""
    member.size = len(data)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(data))
    return path


def test_members_come_in_the_order_of_their_numbers(tmp_path):
    names = ["r/10.xml", "r/2.xml", "r/1.xml", "r/readme.txt", "r/._1.xml"]
    path = write_archive(tmp_path / "reports.tgz", dict.fromkeys(names, REPORT))
    found = read_reports(path, dataset="own")
    assert [name for name, _ in found] == ["r/1.xml", "r/2.xml", "r/10.xml"]
    assert [root.find("uId").get("id") for _, root in found] == ["CXR1"] * 3


def test_a_folder_and_an_archive_say_the_same(tmp_path):
    for number in (1, 3, 20):
        (tmp_path / f"{number}.xml").write_bytes(REPORT)
    (tmp_path / "._1.xml").write_bytes(b"Mac OS X")
    (tmp_path / "more.xml").mkdir()
    assert [name for name, _ in read_reports(tmp_path, dataset="own")] == ["1.xml", "3.xml", "20.xml"]


def test_an_archive_without_compression(tmp_path):
    packed = write_archive(tmp_path / "reports.tgz", {"1.xml": REPORT})
    (tmp_path / "reports.tar").write_bytes(gzip.decompress(packed.read_bytes()))
    assert len(read_reports(tmp_path / "reports.tar", dataset="own")) == 1


def test_nothing_is_written(tmp_path):
    path = write_archive(tmp_path / "reports.tgz", {"1.xml": REPORT})
    read_reports(path, dataset="own")
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r>&b;</r>',
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>',
        b'<?xml version="1.0"?>\n<!doctype r><r/>',
        b'<r><!ENTITY x "y"></r>',
        b"\xef\xbb\xbf<!DOCTYPE r><r/>",
    ],
)
def test_document_types_and_entities_are_refused(data):
    with pytest.raises(xr.TableError, match=r"own: '1.xml': expected a small XML report .* define entities"):
        parse_report(data, name="1.xml", dataset="own")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_hides_nothing(encoding):
    data = '<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>'.encode(encoding)
    with pytest.raises(xr.TableError, match=r"'1.xml'"):
        parse_report(data, name="1.xml", dataset="own")


def test_a_nul_is_refused():
    with pytest.raises(xr.TableError, match=r"got '.x00', which may hide or define entities"):
        parse_report(b"<r>\0</r>", name="1.xml", dataset="own")


def test_a_declared_encoding_is_not_believed():
    """Decoded as it says, these bytes would be a document type."""
    hidden = '<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>'.encode("cp037")
    data = b'<?xml version="1.0" encoding="cp037"?>' + hidden
    with pytest.raises(xr.TableError, match=r"'1.xml'"):
        parse_report(data, name="1.xml", dataset="own")


@pytest.mark.parametrize("data", [b"", b"<r>", b"<r></s>", b"no xml", b"<r>&nbsp;</r>", b"<r>\xff</r>"])
def test_a_damaged_report_is_named(tmp_path, data):
    path = write_archive(tmp_path / "reports.tgz", {"r/7.xml": data})
    with pytest.raises(xr.TableError, match=r"own: '.*reports.tgz/r/7.xml' is no XML report in UTF-8"):
        read_reports(path, dataset="own")


@pytest.mark.parametrize("name", ["../1.xml", "/tmp/1.xml", "r/../../1.xml", "C:/1.xml", "r\\..\\1.xml"])
def test_names_that_point_outside_are_refused(tmp_path, name):
    path = archive_of(tmp_path / "reports.tgz", tarfile.TarInfo(name), REPORT)
    with pytest.raises(xr.TableError, match=r"a name that points outside the archive"):
        read_reports(path, dataset="own")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    member = tarfile.TarInfo("r/1.xml")
    member.type, member.linkname = kind, "/etc/passwd"
    path = archive_of(tmp_path / "reports.tgz", member)
    with pytest.raises(xr.TableError, match=r"r/1.xml': .* got a link or a device"):
        read_reports(path, dataset="own")


def test_a_large_member_is_refused(tmp_path):
    path = write_archive(tmp_path / "reports.tgz", {"1.xml": b" " * (LARGEST + 1)})
    with pytest.raises(xr.TableError, match=r"got 1,048,577 bytes, at most 1,048,576 are read"):
        read_reports(path, dataset="own")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "1.xml").write_bytes(b" " * (LARGEST + 1))
    with pytest.raises(xr.TableError, match=r"at most 1,048,576 are read"):
        read_reports(tmp_path / "folder", dataset="own")


def test_an_archive_that_grows_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reports_xml, "LARGEST_ARCHIVE", 1 << 16)
    path = tmp_path / "reports.tgz"
    path.write_bytes(gzip.compress(b"\0" * (1 << 20)))
    with pytest.raises(xr.TableError, match=r"more than 65,536 bytes"):
        read_reports(path, dataset="own")


def test_a_cut_archive(tmp_path):
    whole = write_archive(tmp_path / "reports.tgz", {f"{n}.xml": REPORT * 1 for n in range(40)}).read_bytes()
    for end in (0, 10, len(whole) // 2):
        (tmp_path / "cut.tgz").write_bytes(whole[:end])
        with pytest.raises(xr.TableError, match=r"cut.tgz' is no whole tar archive"):
            read_reports(tmp_path / "cut.tgz", dataset="own")


def test_no_report_at_all(tmp_path):
    path = write_archive(tmp_path / "reports.tgz", {"readme.txt": b"nothing"})
    with pytest.raises(xr.TableError, match=r"holds no .xml file"):
        read_reports(path, dataset="own")


def test_a_document_type_is_refused_in_one_sentence():
    with pytest.raises(xr.TableError) as error:
        parse_report(b"<!DOCTYPE r><r/>", name="1.xml", dataset="own")
    assert str(error.value).count("own: '1.xml'") == 1


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_archives_in_disguise_are_not_unpacked(tmp_path, pack):
    packed = write_archive(tmp_path / "reports.tgz", {"1.xml": REPORT})
    packed.write_bytes(pack(gzip.decompress(packed.read_bytes())))
    with pytest.raises(xr.TableError, match=r"reports.tgz' is no whole tar archive"):
        read_reports(packed, dataset="own")


@pytest.mark.parametrize("blocks", range(1, 9))
def test_a_plain_archive_that_is_cut(tmp_path, blocks):
    names = [f"{number}.xml" for number in range(4)]
    packed = write_archive(tmp_path / "reports.tgz", dict.fromkeys(names, REPORT))
    path = tmp_path / "reports.tar"
    path.write_bytes(gzip.decompress(packed.read_bytes())[: blocks * 512])
    with pytest.raises(xr.TableError, match=r"reports.tar' is no whole tar archive"):
        read_reports(path, dataset="own")


@pytest.mark.parametrize("size", ["-512", "9" * 5000, "x", "1e3"])
def test_hostile_pax_headers(tmp_path, size):
    member = tarfile.TarInfo("1.xml")
    member.pax_headers = {"size": size}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    path = tmp_path / "reports.tar"
    path.write_bytes(stream.getvalue())
    with pytest.raises(xr.TableError):
        read_reports(path, dataset="own")


def test_pax_headers_one_in_another(tmp_path):
    link = tarfile.TarInfo("y")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 1
    chain = (link.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 5000
    (tmp_path / "reports.tar").write_bytes(chain + bytes(1024))
    with pytest.raises(xr.TableError, match=r"no whole tar archive|holds no"):
        read_reports(tmp_path / "reports.tar", dataset="own")
