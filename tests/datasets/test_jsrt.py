"""JSRT: bare pixels turned round, two tables of odd form, squares made of centre and size."""

import numpy as np
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import jsrt
from xrdatasets.datasets.files import FileIndex


@pytest.fixture
def root(fake):
    return fake("jsrt")


def nodules(root, *lines, ends="\r"):
    (root / "Clinical_Information" / "CLNDAT_EN.txt").write_bytes(ends.join((*lines, "")).encode("latin-1"))


def test_golden_labels(root):
    ds = xr.JSRT(root, space=["Nodule", "Mass"], policy=xr.U_ZEROS.with_unmentioned(0.0))
    expected = np.array([[1, np.nan], [1, np.nan], [0, np.nan], [0, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(ds.codes, expected)
    np.testing.assert_array_equal(ds.labels, expected)
    assert ds.explain(0, "Nodule").file == "CLNDAT_EN.txt"
    assert ds.explain(3, "Nodule").file == "CNNDAT_EN.TXT"


def test_columns_of_both_tables(root):
    table = xr.JSRT(root).table
    first = ["JPCLN001", "M", 53.0, 5.0, 15.0, 1634.0, 692.0, "malignant", "l.upper lobe", "lung cancer"]
    columns = [
        "image_id",
        "sex",
        "age",
        "subtlety",
        "size_mm",
        "x",
        "y",
        "malignancy",
        "location",
        "diagnosis",
    ]
    assert table.loc[0, columns].tolist() == first
    assert table["diagnosis"].tolist()[1:] == ["pulmonary hematoma", "non-nodule", "non-nodule"]
    assert table["size_mm"].isna().tolist() == [False, False, True, True]
    assert table["view"].eq("PA").all()


def test_a_missing_age_is_unknown(root, caplog):
    assert xr.JSRT(root).table["age"].isna().tolist() == [False, True, False, False]
    assert caplog.text == ""
    nodules(root, jsrt.NODULES[0].replace("\t53\t", "\t\t"), jsrt.NODULES[1])
    assert xr.JSRT(root).table["age"].isna().tolist() == [True, True, False, False]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", " ", "\r\r"])
def test_line_ends_of_every_kind(root, ends):
    nodules(root, *jsrt.NODULES, ends=ends)
    table = xr.JSRT(root).table
    assert table["image_id"].tolist() == ["JPCLN001", "JPCLN002", "JPCNN001", "JPCNN002"]
    assert table["diagnosis"].tolist()[:2] == ["lung cancer", "pulmonary hematoma"]


def test_letters_that_are_no_ascii(root):
    nodules(root, jsrt.NODULES[0].replace("lung cancer", "caf\xe9"), jsrt.NODULES[1])
    assert xr.JSRT(root).table["diagnosis"].str.startswith("caf")[0]


@pytest.mark.parametrize("name", ["CNNDAT_EN.txt", "CNNDAT_EN.Txt"])
def test_the_case_of_the_extension(root, name):
    path = root / "Clinical_Information" / "CNNDAT_EN.TXT"
    path.rename(path.with_name(name))
    assert len(xr.JSRT(root)) == 4


def test_tables_in_the_root(root):
    for path in (root / "Clinical_Information").iterdir():
        path.rename(root / path.name)
    assert len(xr.JSRT(root)) == 4


@pytest.mark.parametrize("name", ["CLNDAT_EN.txt", "CNNDAT_EN.TXT"])
def test_a_missing_table(root, name):
    (root / "Clinical_Information" / name).unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=rf"jsrt: no Clinical_Information/{name} in"):
        xr.JSRT(root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\t5\t", "\t6\t"),
        ("\t15\t", "\tbig\t"),
        ("\t692\t", "\t\t"),
        ("malignant", "unclear"),
        ("JPCLN001", "JPCLN01"),
    ],
)
def test_a_damaged_record(root, old, new):
    nodules(root, jsrt.NODULES[1], jsrt.NODULES[0].replace(old, new))
    with pytest.raises(
        xr.TableError, match=r"CLNDAT_EN.txt', record 2: expected file, subtlety, size, .* got "
    ):
        xr.JSRT(root)


def test_a_table_without_records(root):
    (root / "Clinical_Information" / "CNNDAT_EN.TXT").write_text("<html>404</html>")
    with pytest.raises(
        xr.TableError, match=r"CNNDAT_EN.TXT', record 1: expected file, age, .* got 'nothing'"
    ):
        xr.JSRT(root)


class TestPixels:
    def test_film_is_turned_round_so_that_dense_is_bright(self, root):
        ds = xr.JSRT(root, intensity="unit")
        image = ds[1]["img"]
        assert image.shape == (1, 2048, 2048)
        stored = np.fromfile(root / "All247images" / "JPCLN002.IMG", dtype=">u2").reshape(2048, 2048)
        assert stored[0, 0] == 0
        assert stored[1024, 1024] == 4092
        np.testing.assert_array_equal(
            image[0].numpy(), (4095 - stored.astype(int)).astype(np.float32) / np.float32(4095)
        )
        assert image[0, 0, 0] == 1

    def test_twelve_bits_fill_the_range(self, root):
        image = xr.JSRT(root)[2]["img"]
        assert image.max() == 1024
        assert image.min() < -1020

    def test_copies_in_another_format_are_taken_as_they_are(self, root):
        ds = xr.JSRT(root)
        source = xr.read_image(root / "All247images" / "JPCLN001.png")
        assert tuple(ds[0]["img"].shape[1:]) == source.pixels.shape
        bright, dark = source.pixels.argmax(), source.pixels.argmin()
        assert ds[0]["img"].flatten()[bright] > ds[0]["img"].flatten()[dark]

    @pytest.mark.parametrize(
        "change", [lambda data: data[:100], lambda data: data[:-2], lambda data: data + b"\0"]
    )
    def test_a_file_of_another_size(self, root, change):
        path = root / "All247images" / "JPCLN002.IMG"
        path.write_bytes(change(path.read_bytes()))
        with pytest.raises(
            xr.ImageReadError, match=r"jsrt: cannot read '.*JPCLN002.IMG': .*Expected 8,388,608"
        ):
            xr.JSRT(root)[1]

    def test_swapped_bytes_are_told(self, root):
        path = root / "All247images" / "JPCLN002.IMG"
        np.fromfile(path, dtype=">u2").astype("<u2").tofile(path)
        with pytest.raises(xr.ImageReadError, match=r"jsrt: .* Expected 12-bit values, big-endian"):
            xr.JSRT(root)[1]


class TestFiles:
    def test_images_in_any_folder(self, root):
        (root / "All247images").rename(root / "films")
        assert len(xr.JSRT(root)) == 4

    def test_an_image_and_its_copy_elsewhere(self, root):
        """The release's own folder beats a folder of copies."""
        fakes.write_image(root / "png" / "JPCLN002.png")
        ds = xr.JSRT(root)
        assert ds.image_source(ds.table.iloc[1]).name == "JPCLN002.IMG"

    def test_masks_of_scr_are_never_the_images(self, root):
        (root / "All247images" / "JPCNN001.IMG").unlink()
        fakes.write_image(root / "scratch" / "masks" / "left lung" / "JPCNN001.gif")
        with pytest.raises(xr.DatasetNotFoundError, match=r"1 of 4 images are not below .* is 'JPCNN001'"):
            xr.JSRT(root)

    def test_only_jsrt_looks_for_headerless_files(self, root):
        assert set(FileIndex(root).paths) == {"JPCLN001", "JPCNN002"}
        assert len(xr.JSRT(root).files.paths) == 4


class TestBoxes:
    def test_the_square_of_the_size_around_the_centre(self, root):
        boxes = xr.JSRT(root).read_boxes()
        assert boxes["finding"].tolist() == ["Nodule", "Nodule"]
        side = 15 / 0.175
        expected = [1634 - side / 2, 692 - side / 2, side, side, 2048, 2048]
        assert boxes.loc[0, ["x", "y", "w", "h", "width", "height"]].tolist() == pytest.approx(
            expected, rel=1e-5
        )

    def test_masks(self, root):
        ds = xr.JSRT(root, space=["Nodule", "Mass"], masks=True, size=256)
        assert [ds[row]["mask_known"].tolist() for row in range(4)] == [[True, False]] * 4
        rows, columns = np.nonzero(ds[1]["mask"][0].numpy())  # 35 mm: 200 pixels, cut off at the left
        assert [columns.min(), columns.max(), rows.min(), rows.max()] == [0, 24, 124, 148]
        assert ds[2]["mask"].sum() == 0

    def test_a_nodule_without_a_size_has_no_box(self, root):
        nodules(root, jsrt.NODULES[0].replace("\t15\t", "\t?\t"), jsrt.NODULES[1])
        ds = xr.JSRT(root, space=["Nodule"], masks=True, size=32)
        assert [bool(ds[row]["mask_known"][0]) for row in range(4)] == [False, True, True, True]

    def test_a_centre_outside_the_image(self, root):
        nodules(root, jsrt.NODULES[0].replace("1634", "9634"), jsrt.NODULES[1])
        with pytest.raises(xr.TableError, match=r"CLNDAT_EN.txt', row 1: expected x, y, w, h of a box"):
            xr.JSRT(root, masks=True)
