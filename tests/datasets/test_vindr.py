"""VinDr-CXR: three readers, two layouts, a column of two names, MONOCHROME1, sizes of boxes."""

import shutil

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import vindr

N = np.nan
SPACE = ["Cardiomegaly", "Effusion", "Fracture", "Nodule", "Lung Lesion", "No Finding"]
HEAD = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
KAGGLE = (
    "9c02,No finding,14,R11,,,,",
    "9c02,No finding,14,R7,,,,",
    "9c02,No finding,14,R10,,,,",
    "9c01,Cardiomegaly,3,R10,691,1375,1653,1831",
    "9c01,Cardiomegaly,3,R9,700,1380,1650,1830",
    "9c01,Nodule/Mass,8,R9,100,100,200,200",
    "9c01,Nodule/Mass,8,R9,300,100,400,200",
    "9c01,No finding,14,R8,,,,",
)


@pytest.fixture
def root(tmp_path):
    return vindr.write(tmp_path / "vindr")


@pytest.fixture
def kaggle(tmp_path):
    root = tmp_path / "kaggle"
    fakes.write_table(root / "train.csv", HEAD, *KAGGLE)
    for number, image in enumerate(("9c01", "9c02")):
        fakes.write_dicom(root / "train" / f"{image}.dicom", seed=number, size=(200, 100))
    return root


def rewrite(root, name, change):
    path = root / name
    path.write_text(change(path.read_text()))


TRAIN, TEST = "annotations/image_labels_train.csv", "annotations/image_labels_test.csv"


class TestReaders:
    """Image 5a01: Cardiomegaly by two of three, Effusion and No finding by one each."""

    @pytest.mark.parametrize(
        ("consensus", "expected"),
        [
            # 5a03: rib, clavicle, none; Nodule/Mass of two says nothing of Nodule
            ("majority", [[1, 0, 0, 0, 0, 0], [0, 0, 1, N, 1, 0]]),
            ("any", [[1, 1, 0, 0, 0, 1], [0, 0, 1, N, 1, 0]]),
            ("all", [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]),
        ],
    )
    def test_golden_cells(self, root, consensus, expected):
        codes = xr.VinDr(root, space=SPACE, consensus=consensus).codes[[0, 2]]
        np.testing.assert_array_equal(codes, np.array(expected, dtype=np.float32))

    def test_mean_is_the_share_of_readers(self, root):
        ds = xr.VinDr(root, space=["Cardiomegaly", "Effusion", "Fracture"], consensus="mean")
        np.testing.assert_allclose(ds.labels[0], [2 / 3, 1 / 3, 0], atol=0.01)
        np.testing.assert_allclose(ds.labels[2], [0, 0, 2 / 3], atol=0.01)

    def test_majority_is_the_default(self, root):
        np.testing.assert_array_equal(xr.VinDr(root).codes, xr.VinDr(root, consensus="majority").codes)

    def test_a_rule_that_is_none_fails_before_anything_is_read(self, tmp_path):
        with pytest.raises(ValueError, match=r"consensus: expected 'any', .*, got 'most'"):
            xr.VinDr(tmp_path / "nowhere", consensus="most")

    def test_one_row_per_image_and_how_many_read_it(self, root):
        table = xr.VinDr(root).table
        assert table["image_id"].tolist() == ["5a01", "5a02", "5a03", "5a04", "7b01", "7b02"]
        assert table["readers"].tolist() == [3, 3, 3, 3, 1, 1]

    def test_the_order_of_the_rows_does_not_matter(self, root):
        before = xr.VinDr(root, space=SPACE)
        path = root / TRAIN
        frame = pd.read_csv(path)
        frame.iloc[[11, 0, 5, 8, 3, 1, 7, 2, 10, 4, 9, 6]].to_csv(path, index=False)
        after = xr.VinDr(root, space=SPACE)
        rows = [after.table["image_id"].tolist().index(name) for name in before.table["image_id"]]
        np.testing.assert_array_equal(after.codes[rows], before.codes)

    def test_a_finer_class_is_a_lung_opacity(self, root):
        space = ["Lung Opacity", "Pleural Other"]
        ds = xr.VinDr(root, space=space, consensus="any")
        # Nodule/Mass of two readers, ILD of one; the class itself is marked nowhere
        np.testing.assert_array_equal(ds.codes[:, 0], np.float32([0, 0, 1, 1, 0, 0]))
        assert np.isnan(ds.codes[:, 1]).all()
        np.testing.assert_array_equal(xr.VinDr(root, space=space).codes[:, 0], np.float32([0, 0, 1, 0, 0, 0]))
        np.testing.assert_array_equal(
            xr.VinDr(root, space=space, consensus="any", compat="xrv").codes, np.zeros((6, 2), np.float32)
        )

    def test_diagnoses(self, root):
        space = ["Tuberculosis", "Pneumonia", "Emphysema", "Fibrosis", "Pneumothorax", "Lung Lesion", "Mass"]
        codes = xr.VinDr(root, space=space, consensus="any").codes
        # COPD is not Emphysema, ILD not Fibrosis, a tumour a lesion but no Mass
        np.testing.assert_array_equal(codes[3], np.float32([1, 1, 0, 0, 1, 1, 0]))


class TestPhysioNet:
    def test_other_disease_of_the_test_table(self, root):
        ds = xr.VinDr(root, split="test")
        assert ds.terms["Other diseases"].tolist() == [1, 0]
        assert ds.explain(0, "Pneumonia").file == "image_labels_test.csv"

    def test_a_column_of_either_name_in_either_table(self, root):
        rewrite(root, TRAIN, lambda text: text.replace("Other diseases", "Other disease"))
        rewrite(root, TEST, lambda text: text.replace("Other disease", "Other diseases"))
        assert xr.VinDr(root).terms["Other diseases"].tolist()[4] == 1

    def test_splits(self, root):
        assert len(xr.VinDr(root, split="train")) == 4
        assert len(xr.VinDr(root, split="test")) == 2
        with pytest.raises(xr.SplitNotFoundError, match=r"no split 'val'. It has: train, test"):
            xr.VinDr(root, split="val")

    def test_one_table_alone(self, root):
        (root / TRAIN).unlink()
        assert xr.VinDr(root).table["split"].tolist() == ["test", "test"]

    def test_tables_beside_the_folders(self, root):
        for path in list((root / "annotations").iterdir()):
            path.rename(root / path.name)
        assert len(xr.VinDr(root, masks=True)) == 6

    def test_the_extension_dicom_and_monochrome1(self, root):
        ds = xr.VinDr(root)
        assert ds.image_source(ds.table.iloc[1]).name == f"{vindr.INVERTED}.dicom"
        stored = np.random.default_rng(1).integers(0, 4096, (64, 64))
        assert ds[1]["img"].numpy()[0] == pytest.approx((2 * (4095 - stored) / 4095 - 1) * 1024, abs=1e-3)

    def test_sex_and_age_of_the_headers(self, root):
        table = xr.VinDr(root).table
        assert table["sex"].tolist() == ["M", "F", "M", "F", "M", "F"]
        assert table["age"].tolist() == [40, 41, 42, 43, 44, 45]
        assert table["view"].unique().tolist() == ["PA"]
        assert xr.VinDr(root, headers=False).table["age"].isna().all()

    def test_boxes_of_all_readers_are_united(self, root):
        sample = xr.VinDr(root, space=["Cardiomegaly", "Effusion", "Nodule", "Edema"], masks=True)[0]
        expected = np.zeros((64, 64), np.uint8)
        expected[32:56, 16:52] = 1
        np.testing.assert_array_equal(sample["mask"][0], expected)
        assert sample["mask"][1].sum() == 8 * 16
        assert sample["mask_known"].tolist() == [True, True, True, True]

    def test_a_box_of_nodule_or_mass_is_one_of_a_lesion(self, root):
        sample = xr.VinDr(root, space=["Nodule", "Lung Lesion", "Fracture"], masks=True)[2]
        assert sample["mask"].sum(dim=(1, 2)).tolist() == [0, 64, 16]
        assert sample["mask_known"].tolist() == [False, True, True]

    def test_no_table(self, root):
        shutil.rmtree(root / "annotations")
        with pytest.raises(
            xr.DatasetNotFoundError, match=r"vindr: no train.csv .* annotations/image_labels_tr"
        ):
            xr.VinDr(root)

    def test_no_boxes(self, root):
        (root / "annotations" / "annotations_test.csv").unlink()
        assert len(xr.VinDr(root)) == 6
        with pytest.raises(xr.DatasetNotFoundError, match=r"no annotations/annotations_test.csv"):
            xr.VinDr(root, masks=True)

    def test_a_missing_column(self, root):
        rewrite(root, TRAIN, lambda text: text.replace("Rib fracture", "Ribs"))
        with pytest.raises(xr.TableError, match=r"image_labels_train.csv' has no column 'Rib fracture'"):
            xr.VinDr(root)

    def test_a_cell_that_is_no_code(self, root):
        rewrite(root, TEST, lambda text: text.replace("7b01,0", "7b01,x"))
        with pytest.raises(xr.TableError, match=r"Aortic enlargement"):
            xr.VinDr(root)

    def test_a_box_of_an_unknown_class(self, root):
        rewrite(root, "annotations/annotations_train.csv", lambda text: text.replace("Rib fracture", "Rib"))
        with pytest.raises(
            xr.MappingError, match=r"annotations_train.csv', column 'class_name': .* got 'Rib'"
        ):
            xr.VinDr(root, masks=True)

    @pytest.mark.parametrize("box", ["48.0,32.0,16.0,56.0", "16.0,32.0,x,56.0", "16.0,32.0,,56.0"])
    def test_a_box_that_is_none(self, root, box):
        change = lambda text: text.replace("16.0,32.0,48.0,56.0", box)  # noqa: E731
        rewrite(root, "annotations/annotations_train.csv", change)
        with pytest.raises(xr.TableError, match=r"annotations_train.csv', row 1: expected x, y, w, h"):
            xr.VinDr(root, masks=True)


class TestKaggle:
    def test_one_row_per_image_in_the_order_of_the_table(self, kaggle):
        ds = xr.VinDr(kaggle)
        assert ds.table["image_id"].tolist() == ["9c02", "9c01"]
        assert ds.table["readers"].tolist() == [3, 3]
        assert ds.table["split"].tolist() == ["train", "train"]

    def test_golden_cells(self, kaggle):
        space = ["Cardiomegaly", "Nodule", "Effusion", "No Finding"]
        expected = np.float32([[0, 0, 0, 1], [1, 0, 0, 0]])
        np.testing.assert_array_equal(xr.VinDr(kaggle, space=space).codes, expected)
        # one reader's Nodule/Mass does not say which
        np.testing.assert_array_equal(xr.VinDr(kaggle, space=space, consensus="any").codes[1], [1, N, 0, 1])

    def test_what_kaggle_does_not_list_is_not_covered(self, kaggle, root):
        ours, all_terms = xr.VinDr(kaggle), xr.VinDr(root)
        assert set(all_terms.matrix.covered) - set(ours.matrix.covered) == {
            "Edema", "Emphysema", "Pneumonia", "Fracture", "Tuberculosis", "Lung Lesion",
        }  # fmt: skip
        lost = ["Edema", "Fracture", "Tuberculosis", "Lung Lesion"]
        assert np.isnan(ours.relabel(lost).codes).all()
        assert len(ours.terms.columns) == 15

    def test_explain_names_the_table(self, kaggle):
        assert xr.VinDr(kaggle).explain(1, "Cardiomegaly").file == "train.csv"

    def test_an_unknown_class(self, kaggle):
        rewrite(kaggle, "train.csv", lambda text: text.replace("Cardiomegaly,3,R9", "Heart,3,R9"))
        with pytest.raises(xr.MappingError, match=r"train.csv', column 'class_name': .* got 'Heart'"):
            xr.VinDr(kaggle)

    def test_a_missing_column(self, kaggle):
        rewrite(kaggle, "train.csv", lambda text: text.replace("rad_id", "reader"))
        with pytest.raises(xr.TableError, match=r"has no column 'rad_id'"):
            xr.VinDr(kaggle)

    def test_there_is_no_test_set(self, kaggle):
        with pytest.raises(
            xr.SplitNotFoundError, match=r"It has: train. Needed for a split: image_labels_tr"
        ):
            xr.VinDr(kaggle, split="test")

    def test_physionet_counts_where_both_are_there(self, root):
        fakes.write_table(root / "train.csv", HEAD, *KAGGLE)
        assert len(xr.VinDr(root)) == 6

    @pytest.mark.parametrize("where", ["columns", "train_meta.csv"])
    def test_boxes_of_a_smaller_re_upload(self, kaggle, where):
        shutil.rmtree(kaggle / "train")
        for image in ("9c01", "9c02"):
            fakes.write_image(kaggle / "train" / f"{image}.png", size=(100, 50))
        with pytest.raises(xr.TableError, match=r"is another file, of a size of its own. Expected columns"):
            xr.VinDr(kaggle, masks=True)
        if where == "columns":
            rows = (f"{row},2000,4000" for row in KAGGLE)
            fakes.write_table(kaggle / "train.csv", f"{HEAD},width,height", *rows)
        else:
            fakes.write_table(kaggle / where, "image_id,dim0,dim1", "9c01,4000,2000", "9c02,4000,2000")
        mask = xr.VinDr(kaggle, space=["Cardiomegaly"], masks=True, crop=False)[1]["mask"][0]
        # 691 to 1653 across and 1375 to 1831 down, divided by 40
        down, across = mask.nonzero(as_tuple=True)
        assert (across.min(), across.max(), down.min(), down.max()) == (17, 40, 34, 45)

    def test_png_without_boxes_needs_no_size(self, kaggle):
        for path in list((kaggle / "train").iterdir()):
            path.unlink()
            fakes.write_image(path.with_suffix(".png"))
        assert xr.VinDr(kaggle, size=16)[0]["img"].shape == (1, 16, 16)
