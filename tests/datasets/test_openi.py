"""Open-i: reports of XML, two kinds of terms, views that nobody states, Kaggle's copy."""

import gzip
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import openi
from xrdatasets.datasets.releases.openi import AUTOMATIC, heading_words
from xrdatasets.labels.table import LabelTable
from xrdatasets.resources import mappings

NAN = np.nan
EVERY = ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR2_IM-0652-1001", "CXR2_IM-0652-2001",
         "CXR3_IM-1384-1001", "CXR10_IM-0002-1001"]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    return openi.write(tmp_path / "openi")


@pytest.fixture
def kaggle(tmp_path):
    """The same images as Kaggle's copy names them."""
    root = tmp_path / "kaggle"
    fakes.write_table(root / "indiana_projections.csv", *openi.PROJECTIONS)
    fakes.write_table(
        root / "indiana_reports.csv",
        "uid,MeSH,Problems,image,indication,comparison,findings,impression",
        "1,Cardiomegaly/borderline;Pulmonary Artery/enlarged,Cardiomegaly;Pulmonary Artery,"
        "Xray Chest PA and Lateral,Cough,None.,Large heart.,",
        '2,normal,normal,"Chest, 2 views, frontal and lateral",,,,Normal.',
        "3,No Indexing,No Indexing,AP and lateral,,,,",
    )
    for number, line in enumerate(openi.PROJECTIONS[1:]):
        fakes.write_image(root / "images" / "images_normalized" / line.split(",")[1], seed=number)
    return root


def rewrite(root, reports):
    members = {f"ecgen-radiology/{row[0]}.xml": openi.report(*row) for row in reports}
    openi.write_archive(root / "NLMCXR_reports.tgz", members)


def test_one_row_per_image_labels_per_report(root):
    ds = xr.OpenI(root, views="*", space=["Cardiomegaly", "Effusion", "Lung Opacity"])
    assert ds.table["image_id"].tolist() == EVERY
    assert ds.table["patient_id"].tolist() == ["CXR1", "CXR1", "CXR2", "CXR2", "CXR3", "CXR10"]
    assert ds.table["study_id"].tolist() == ds.table["patient_id"].tolist()
    assert ds.table["findings"].tolist()[:3] == ["Report 1.", "Report 1.", "Report 2."]
    expected = [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, NAN, 1], [NAN, NAN, NAN]]
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))


def test_reports_without_image_have_no_row(root):
    assert "CXR11" not in set(xr.OpenI(root, views="*").table["patient_id"])


def test_no_indexing_is_unknown_not_negative(root):
    ds = xr.OpenI(root, views="*", space=[*xr.LabelSpace.load("xrv18").labels, "No Finding"])
    assert np.isnan(ds.codes[5]).all()
    assert ds.explain(5, "Nodule").reason == "the source says nothing that decides it"


def test_normal_is_no_finding_and_negates(root):
    ds = xr.OpenI(root, views="*", space=["No Finding", "Nodule", "Fracture"])
    assert ds.codes[2].tolist() == [1, 0, 0]
    assert ds.explain(2, "Nodule").code == 0
    assert ds.explain(0, "No Finding").code == 0


@pytest.mark.parametrize(
    ("headings", "words"),
    [
        ("Cardiomegaly", "cardiomegaly"),
        ("Opacity/lung/base/left", "opacity/lung"),
        ("Opacity/ribs/left", "opacity"),
        ("Thickening/pleura/apex/bilateral", "thickening/pleura"),
        ("Thickening/bronchovascular", "thickening"),
        ("Thoracic vertebrae/degenerative;Thoracic Vertebrae", "thoracic vertebrae"),
        ("Subcutaneous  Emphysema", "subcutaneous emphysema"),
        ("Cardiac Shadow/enlarged/mild", "cardiac shadow/enlarged"),
        ("Fractures, Bone/ribs/healed", "fractures, bone"),
        ("No Indexing", None),
        ("no indexing", None),
        ("", None),
    ],
)
def test_words_of_headings(headings, words):
    assert heading_words(headings) == words


@pytest.mark.parametrize(
    ("heading", "finding", "code"),
    [
        ("Pleural Effusion/left", "Effusion", 1),
        ("Pericardial Effusion", "Effusion", 0),
        ("Costophrenic Angle/left/blunted", "Effusion", NAN),
        ("Costophrenic Angle/left/obscured", "Effusion", 0),
        ("Hydropneumothorax/right", "Effusion", 1),
        ("Hydropneumothorax/right", "Pneumothorax", 1),
        ("Subcutaneous Emphysema", "Emphysema", 0),
        ("Bullous Emphysema", "Emphysema", 1),
        ("Pulmonary Disease, Chronic Obstructive", "Emphysema", NAN),
        ("Cicatrix/lung/base/left", "Fibrosis", NAN),
        ("Lung Diseases, Interstitial", "Fibrosis", NAN),
        ("Nodule/lung/base", "Nodule", 1),
        ("Nodule/lung/base", "Lung Lesion", 1),
        ("Nodule/lung/base", "Mass", 0),
        ("Nodule/pleura/left", "Nodule", NAN),
        ("Mass/breast/large", "Mass", NAN),
        ("Calcified Granuloma/lung", "Nodule", NAN),
        ("Granulomatous Disease", "Lung Lesion", NAN),
        ("Granuloma/spleen", "Lung Opacity", NAN),
        ("Deformity/thoracic vertebrae", "Fracture", NAN),
        ("Lung/hyperdistention", "Emphysema", NAN),
        ("Lung/hypoinflation", "Emphysema", 0),
        ("Pulmonary Congestion/mild", "Edema", NAN),
        ("Airspace Disease/lung", "Infiltration", NAN),
        ("Cysts/lung", "Lung Lesion", NAN),
        ("Cavitation/lung", "Lung Lesion", NAN),
        ("Cavitation/lung", "Lung Opacity", 1),
        ("Pulmonary Edema", "Lung Opacity", 1),
        ("Pulmonary Fibrosis", "Lung Opacity", 1),
        ("Lung Diseases, Interstitial", "Lung Opacity", 1),
        ("Pneumonia/lung", "Lung Opacity", 1),
        ("Cardiac Shadow/borderline", "Cardiomegaly", NAN),
        ("Cicatrix/pleura", "Pleural_Thickening", NAN),
        ("Tuberculosis", "Tuberculosis", 1),
        ("Sutures/lung", "Support Devices", NAN),
        ("Stents/aorta", "Support Devices", 1),
        ("Spinal Fusion/cervical vertebrae", "Support Devices", 1),
        ("Opacity/ribs/left", "Lung Opacity", NAN),
        ("Airspace Disease/lung/base/left", "Lung Opacity", 1),
        ("Airspace Disease/lung/base/left", "Consolidation", NAN),
        ("Consolidation/lung/base/left", "Consolidation", 1),
        ("Infiltrate/lung", "Infiltration", 1),
        ("Infiltrate/lung", "Consolidation", NAN),
        ("Pneumonia/lung", "Consolidation", 0),
        ("Hernia, Hiatal/large", "Hernia", 1),
        ("Cardiac Shadow/enlarged", "Cardiomegaly", 1),
        ("Heart Failure", "Cardiomegaly", NAN),
        ("Medical Device", "Support Devices", 1),
        ("Foreign Bodies/breast", "Support Devices", 0),
        ("Mediastinum/prominent", "Enlarged Cardiomediastinum", NAN),
    ],
)
def test_golden_cells(root, heading, finding, code):
    rewrite(root, [(1, "AP portable chest", EVERY[:1], (heading,), ())])
    ds = xr.OpenI(root, views="*", space=[finding], missing="keep")
    assert ds.codes[0, 0] == pytest.approx(code, nan_ok=True)


def test_automatic_terms(root):
    ds = xr.OpenI(root, views="*", terms="automatic", space=["Cardiomegaly", "Effusion", "Mass"])
    expected = [[1, 0], [1, 0], [0, 0], [0, 0], [0, 1], [NAN, NAN]]
    np.testing.assert_array_equal(ds.codes[:, :2], np.array(expected, dtype=np.float32))
    assert np.isnan(ds.codes[:, 2]).all()  # the program has no word for a mass of the lung
    assert ds.explain(4, "Effusion").value == "automatic:opacity|automatic:pleural effusion"


def test_automatic_terms_of_a_report_that_was_not_indexed(root):
    rewrite(
        root, [(1, "", EVERY[:1], ("No Indexing",), ("Nodule",)), (2, "", EVERY[2:3], ("No Indexing",), ())]
    )
    options = {"views": "*", "missing": "keep", "space": ["Nodule", "Effusion"]}
    ds = xr.OpenI(root, terms="automatic", **options)
    np.testing.assert_array_equal(ds.codes, np.array([[1, 0], [NAN, NAN]], dtype=np.float32))
    assert np.isnan(xr.OpenI(root, **options).codes).all()


@pytest.mark.parametrize(
    ("term", "finding", "ours", "theirs"),
    [
        ("subcutaneous emphysema", "Emphysema", 0, 1),
        ("Pericardial Effusion", "Effusion", 0, 1),
        ("thyroid mass", "Mass", NAN, 1),
        ("Enlarged Heart", "Cardiomegaly", 1, 0),
        ("cystic fibrosis", "Fibrosis", 0, 1),
        ("nodule", "Nodule", 1, 1),
        ("Atelectasis", "Lung Opacity", 1, 0),
        ("Pneumonia", "Lung Opacity", 1, 0),
        ("calcified granuloma", "Nodule", NAN, 0),
        ("hyperinflation", "Emphysema", NAN, 0),
    ],
)
def test_compat_finds_names_within_words(root, term, finding, ours, theirs):
    rewrite(root, [(1, "", EVERY[:1], ("Spine/degenerative",), (term,))])
    options = {"views": "*", "missing": "keep", "space": [finding]}
    ds = xr.OpenI(root, terms="automatic", **options)
    assert ds.codes[0, 0] == pytest.approx(ours, nan_ok=True)
    assert xr.OpenI(root, compat="xrv", **options).codes[0, 0] == theirs


def test_compat_takes_no_indexing_as_negative_and_its_own_views(root):
    fakes.write_table(root / "nlmcxr_tsne_pa.csv", "imageid,tsne-view", f"{EVERY[0]},PA", f"{EVERY[5]},L")
    ds = xr.OpenI(root, compat="xrv", views="*", space=["Nodule"])
    assert ds.codes[:, 0].tolist() == [0] * 6
    assert ds.table["view"].tolist() == ["PA", "PA", "UNKNOWN", "LATERAL", "PA", "LATERAL"]
    assert xr.OpenI(root, views="*").table["view"][0] == "LATERAL"  # only there


class TestViews:
    def views(self, root):
        return xr.OpenI(root, views="*").table["view"].tolist()

    def test_projections_and_captions(self, root):
        assert self.views(root) == ["LATERAL", "PA", "UNKNOWN", "LATERAL", "PA", "AP"]

    def test_the_first_image_of_a_report_may_be_the_lateral_one(self, root):
        assert xr.OpenI(root).table["image_id"].tolist() == [EVERY[1], EVERY[4], EVERY[5]]

    def test_headers_come_first(self, root):
        table = ["imageid,View Position,Other", f"{EVERY[1]},AP,1", f"{EVERY[2]},,2", f"{EVERY[3]},LL,3"]
        (root / "nlmcxr_dicom_metadata.csv.gz").write_bytes(gzip.compress("\n".join(table).encode()))
        assert self.views(root) == ["LATERAL", "AP", "UNKNOWN", "LATERAL", "PA", "AP"]

    def test_without_tables_only_captions_of_one_view_say_it(self, root, caplog):
        (root / "indiana_projections.csv").unlink()
        with caplog.at_level(logging.WARNING):
            assert xr.OpenI(root).table["image_id"].tolist() == [EVERY[5]]
        assert "openi: 5 of 6 images have no view that a table or a caption states" in caplog.text
        assert "indiana_projections.csv or nlmcxr_dicom_metadata.csv" in caplog.text
        assert self.views(root) == ["UNKNOWN"] * 5 + ["AP"]

    @pytest.mark.parametrize(
        ("caption", "view"),
        [
            ("Portable AP chest radiograph (1 view)", "AP"),
            ("CHEST ONE VIEW AP", "AP"),
            ("PA chest XXXX, XXXX", "UNKNOWN"),
            ("PA and lateral chest, single series", "UNKNOWN"),
            ("Portable chest", "UNKNOWN"),
            ("", "UNKNOWN"),
        ],
    )
    def test_captions(self, root, caption, view):
        rewrite(root, [(3999, caption, ("CXR3999_IM-2048-1001",), ("normal",), ())])
        assert xr.OpenI(root, views="*", missing="keep").table["view"].tolist() == [view]

    def test_no_view_at_all_names_what_the_table_has(self, root):
        (root / "indiana_projections.csv").unlink()
        rewrite(root, openi.REPORTS[:2])
        with pytest.raises(xr.EmptyDatasetError, match=r"leave no row. The table has: UNKNOWN 4"):
            xr.OpenI(root)


class TestLayouts:
    def test_unpacked_reports(self, root):
        before = xr.OpenI(root, views="*")
        (root / "NLMCXR_reports.tgz").unlink()
        folder = root / "NLMCXR_reports" / "ecgen-radiology"
        folder.mkdir(parents=True)
        for row in openi.REPORTS:
            (folder / f"{row[0]}.xml").write_bytes(openi.report(*row))
        after = xr.OpenI(root, views="*")
        pd.testing.assert_frame_equal(before.table, after.table)
        np.testing.assert_array_equal(before.codes, after.codes)

    def test_kaggle_keeps_the_ids_of_the_release(self, kaggle):
        ds = xr.OpenI(kaggle, views="*", space=["Cardiomegaly", "No Finding"], size=16)
        assert sorted(ds.table["image_id"]) == sorted(EVERY[:5])
        assert ds.table["patient_id"].tolist() == ["CXR1", "CXR1", "CXR2", "CXR2", "CXR3"]
        assert ds.table["view"].tolist() == ["PA", "LATERAL", "UNKNOWN", "LATERAL", "AP"]
        expected = [[1, 0], [1, 0], [0, 1], [0, 1], [NAN, NAN]]
        np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))
        assert ds[0]["img"].shape == (1, 16, 16)
        assert ds.image_source(ds.table.iloc[0]).name == "1_IM-0001-4001.dcm.png"

    def test_kaggle_has_no_automatic_terms(self, kaggle):
        with pytest.raises(xr.TableError, match=r"has no automatic terms. Expected NLMCXR_reports.tgz"):
            xr.OpenI(kaggle, terms="automatic")

    def test_kaggle_needs_its_projections(self, kaggle):
        (kaggle / "indiana_projections.csv").unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"no indiana_projections.csv"):
            xr.OpenI(kaggle)

    def test_an_image_without_a_report(self, kaggle):
        fakes.write_table(
            kaggle / "indiana_projections.csv", *openi.PROJECTIONS, "9,9_IM-1-1.dcm.png,Frontal"
        )
        with pytest.raises(xr.TableError, match=r"indiana_reports.csv' has no report '9'"):
            xr.OpenI(kaggle)

    def test_rgb_images(self, root):
        ds = xr.OpenI(root)
        assert ds[0]["img"].shape[0] == 1

    def test_two_copies_of_an_image(self, root):
        source = root / "images" / f"{EVERY[1]}.png"
        (root / "again").mkdir()
        (root / "again" / "1_IM-0001-4001.dcm.png").write_bytes(source.read_bytes())
        assert len(xr.OpenI(root)) == 3  # the one in images counts
        (root / "images").rename(root / "png")
        with pytest.raises(xr.DatasetNotFoundError, match=r"Expected one file for each image"):
            xr.OpenI(root)


def test_a_head_that_the_mapping_lacks(root):
    rewrite(root, [(1, "", EVERY[:1], ("Cardiomegalia/mild",), ())])
    with pytest.raises(xr.MappingError, match=r"openi: column 'major' names 'cardiomegalia'"):
        xr.OpenI(root, views="*")


def test_a_term_that_the_mapping_lacks(root):
    rewrite(root, [(1, "", EVERY[:1], ("normal",), ("Cardiomegalia",))])
    with pytest.raises(xr.MappingError, match=r"column 'automatic' names 'automatic:cardiomegalia'"):
        xr.OpenI(root, views="*", terms="automatic")


def test_a_report_without_id(root):
    openi.write_archive(root / "NLMCXR_reports.tgz", {"ecgen-radiology/1.xml": b"<eCitation/>"})
    with pytest.raises(xr.TableError, match=r"ecgen-radiology/1.xml' has no uId with an id"):
        xr.OpenI(root)


def test_two_reports_of_one_id(root):
    data = openi.report(*openi.REPORTS[0])
    openi.write_archive(root / "NLMCXR_reports.tgz", {"1.xml": data, "2.xml": data})
    with pytest.raises(xr.TableError, match=r"two reports of 'CXR1'"):
        xr.OpenI(root)


@pytest.mark.parametrize("name", ["../../etc/passwd", "CXR1", ""])
def test_an_image_of_another_name(root, name):
    rewrite(root, [(1, "", (name,), ("normal",), ())])
    with pytest.raises(xr.TableError, match=r"has an image called .*Expected names like"):
        xr.OpenI(root)


def test_a_projection_that_nobody_knows(root):
    fakes.write_table(
        root / "indiana_projections.csv", *openi.PROJECTIONS[:2], "1,1_IM-0001-3001.dcm.png,Upside"
    )
    with pytest.raises(xr.TableError, match=r"has the view 'Upside'"):
        xr.OpenI(root)


def test_no_reports(root):
    (root / "NLMCXR_reports.tgz").unlink()
    with pytest.raises(
        xr.DatasetNotFoundError, match=r"openi: no NLMCXR_reports.tgz in .* Get it from https"
    ):
        xr.OpenI(root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": "mesh"}, r"terms: expected 'major' or 'automatic', got 'mesh'"),
        ({"terms": "major", "compat": "xrv"}, r"expected 'automatic' with compat"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        xr.OpenI(tmp_path / "nowhere", **options)


def test_both_kinds_of_terms_stand_in_the_mapping_file():
    words = {rule.term.source for rule in LabelTable.load("openi").rules}
    assert sum(word.startswith(AUTOMATIC) for word in words) == 586 + 1  # and automatic:none
    compat = {rule.term.source for rule in LabelTable.load("openi", compat="xrv").rules}
    assert compat == {word for word in words if word.startswith(AUTOMATIC)}


# positives among the 3,267 reports of a PA image (Cohen 2020, arXiv 2002.02497, Table A.1, column Open-i)
TABLE_A1 = {
    "Atelectasis": 271, "Cardiomegaly": 185, "Edema": 50, "Effusion": 120, "Emphysema": 84, "Fibrosis": 17,
    "Fracture": 78, "Hernia": 41, "Infiltration": 66, "Lung Lesion": 3, "Lung Opacity": 327, "Mass": 6,
    "Nodule": 68, "Pleural_Thickening": 30, "Pneumonia": 68, "Pneumothorax": 14,
}  # fmt: skip
REPORTS, PA_REPORTS = 3_851, 3_267


@pytest.fixture(scope="module")
def tables():
    if not os.environ.get("XRDATASETS_DATA"):
        pytest.skip("XRDATASETS_DATA is not set")
    return Path(os.environ["XRDATASETS_DATA"]) / "tables"


@pytest.fixture(scope="module")
def everything(tables):
    return xr.OpenI(tables, views="*", missing="keep", space="native")


@pytest.mark.data
class TestRealReports:
    def test_counts_of_the_release(self, everything):
        assert len(everything) == 7_470
        assert everything.table["patient_id"].nunique() == REPORTS == 3_955 - 104
        assert everything.table["major"].isna().sum() == 172
        assert everything.table["major"].eq("normal").sum() == 2_696

    def test_counts_of_the_mapping_tables(self, everything):
        known = pd.read_csv(str(mappings() / "counts" / "openi.csv")).set_index("finding")
        totals = everything.relabel(list(known.index)).totals()
        for column in known.columns[:3]:
            assert totals[column].to_dict() == known[column].to_dict()

    def test_headings_as_grep_counts_them(self, everything):
        """Of the files with ``<parentImage``, those with ``<major>Cardiomegaly`` or an enlarged shadow."""
        first = everything.select(~everything.table["patient_id"].duplicated().to_numpy())
        counted = {
            "Cardiomegaly": 364, "Pneumothorax": 26, "Hernia": 46, "Fracture": 83, "Pleural_Thickening": 43,
            "Nodule": 95, "Atelectasis": 315, "No Finding": 1_379,
        }  # fmt: skip
        assert first.relabel(list(counted)).totals()["positive"].to_dict() == counted

    def test_table_a1_with_the_views_of_its_authors(self, tables):
        """Exact where their table of views is at hand."""
        if not list(tables.glob("nlmcxr_tsne_pa.csv*")):
            pytest.skip("nlmcxr_tsne_pa.csv is not in the folder tables")
        ds = xr.OpenI(
            tables, views="PA", missing="keep", one_per_patient=True, compat="xrv", space=list(TABLE_A1)
        )
        totals = ds.totals()
        assert totals["positive"].to_dict() == TABLE_A1
        assert (totals["positive"] + totals["negative"] == PA_REPORTS).all()

    def test_table_a1_fits_into_all_reports(self, tables):
        """Without those views: what all reports have more must fit into the 584 of a lateral image."""
        ds = xr.OpenI(
            tables, views="*", missing="keep", one_per_patient=True, compat="xrv", space=list(TABLE_A1)
        )
        totals = ds.totals()
        assert (totals["positive"] + totals["negative"] == REPORTS).all()
        more = totals["positive"] - pd.Series(TABLE_A1)
        assert ((more >= 0) & (more <= REPORTS - PA_REPORTS)).all()

    def test_fixture_opens(self, tables):
        ds = xr.OpenI(tables.parent / "fixtures" / "openi", views="*", missing="keep")
        assert ds.table["patient_id"].unique().tolist() == ["CXR1", "CXR2", "CXR3"]
