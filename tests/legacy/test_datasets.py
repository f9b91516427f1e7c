"""Every class of torchxrayvision on the tiny downloads: its labels, its table, its items."""

import pickle
import shutil

import numpy as np
import pytest

import xrdatasets.legacy as xrv
from tests import fakes
from tests.legacy.openers import KEYS, open_fake
from xrdatasets.errors import DatasetNotFoundError, EmptyDatasetError

THIRTEEN = [
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture",
    "Lung Lesion", "Lung Opacity", "Effusion", "Pleural Other", "Pneumonia", "Pneumothorax",
    "Support Devices",
]  # fmt: skip


def labels(ds, *names):
    return ds.labels[:, [ds.pathologies.index(name) for name in names]]


@pytest.fixture(params=KEYS)
def dataset(request, fake):
    return open_fake(request.param, fake(request.param))


def test_labels_are_a_matrix_that_may_be_changed(dataset):
    assert dataset.labels.shape == (len(dataset), len(dataset.pathologies))
    assert dataset.labels.dtype == np.float32
    assert isinstance(dataset.pathologies, list)
    dataset.labels[0, 0] = 0.5
    assert dataset.labels[0, 0] == 0.5


def test_the_table_goes_with_the_labels(dataset):
    assert dataset.csv.index.tolist() == list(range(len(dataset)))
    assert set(dataset.csv["view"]) <= {"PA", "AP", "L", "AP Supine", "UNKNOWN"}
    for name in ("sex_male", "sex_female", "has_masks"):
        assert dataset.csv.get(name, dataset.labels[:, 0] > 0).dtype == bool


def test_an_item_is_a_dict_of_numpy(dataset):
    item = dataset[0]
    assert item["idx"] == 0
    np.testing.assert_array_equal(item["lab"], dataset.labels[0])
    assert isinstance(item["lab"], np.ndarray)
    assert item["img"].dtype == np.float32
    assert item["img"].ndim == 3
    assert -1024 <= item["img"].min() < item["img"].max() <= 1024


def test_a_negative_index_counts_from_the_end(dataset):
    last = len(dataset) - 1
    assert dataset[-1]["idx"] == last
    np.testing.assert_array_equal(dataset[-1]["img"], dataset[last]["img"])
    with pytest.raises(IndexError, match=f"expected an index from -{len(dataset)} to {last}, got {last + 1}"):
        dataset[len(dataset)]


def test_iteration_ends(dataset):
    assert [item["idx"] for item in dataset] == list(range(len(dataset)))


def test_a_dataset_goes_to_workers_of_any_kind(dataset):
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again[1]["img"], dataset[1]["img"])
    np.testing.assert_array_equal(again.labels, dataset.labels)


def test_it_says_how_many_images_it_has(dataset):
    assert repr(dataset) == dataset.string()
    assert dataset.string().startswith(f"{type(dataset).__name__} num_samples={len(dataset)}")


def test_transform_and_augmentation_follow_each_other(dataset):
    dataset.transform = lambda img: img[:, :10, :12]
    dataset.data_aug = lambda img: img.shape
    assert dataset[0]["img"] == (1, 10, 12)


def test_totals_count_the_values_of_each_label(dataset):
    totals = dataset.totals()
    assert list(totals) == dataset.pathologies
    for column, counts in zip(dataset.labels.T, totals.values(), strict=True):
        assert sum(counts.values()) == (~np.isnan(column)).sum()
        assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_nih_keeps_one_frontal_image_of_each_patient(fake):
    ds = xrv.datasets.NIH_Dataset(fake("nih") / "images")
    assert ds.string() == "NIH_Dataset num_samples=3 views=['PA'] data_aug=None"
    assert ds.pathologies == sorted(ds.pathologies)
    assert ds.csv["Image Index"].tolist() == ["00000001_000.png", "00000002_000.png", "00000003_000.png"]
    assert ds.csv["has_masks"].tolist() == [False, True, False]
    assert ds.csv["patientid"].tolist() == ["1", "2", "3"]
    assert ds.csv["age_years"].tolist() == [57, 80, 74]
    assert ds.csv["sex_male"].tolist() == [True, False, False]
    found = labels(ds, "Effusion", "Hernia", "Cardiomegaly", "Nodule")
    np.testing.assert_array_equal(found, [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_patients_are_in_the_order_of_their_numbers(tmp_path):
    rows = [f"{patient:08}_000.png,No Finding,0,{patient},50,M,PA,1,1,1,1" for patient in (10, 9, 100)]
    fakes.write_table(tmp_path / "Data_Entry_2017_v2020.csv", fakes.load("nih").HEAD, *rows)
    assert xrv.datasets.NIH_Dataset(tmp_path).csv["patientid"].tolist() == ["9", "10", "100"]


def test_nih_masks_are_a_dict_by_number_of_the_label(fake):
    ds = xrv.datasets.NIH_Dataset(fake("nih") / "images", pathology_masks=True)
    assert ds[0]["pathology_masks"] == {}
    ((number, mask),) = ds[1]["pathology_masks"].items()
    assert ds.pathologies[number] == "Cardiomegaly"
    expected = np.zeros((1, 64, 64))  # 256, 512, 512, 256 of 1024 pixels
    expected[0, 32:48, 16:48] = 1
    np.testing.assert_array_equal(mask, expected)


def test_masks_are_transformed_as_the_image(fake):
    """An image of ones in the box is its mask, wherever the transform puts it."""
    ds = xrv.datasets.NIH_Dataset(
        fake("nih") / "images", pathology_masks=True, transform=xrv.datasets.XRayResizer(32)
    )
    ((_, mask),) = ds[1]["pathology_masks"].items()
    assert mask.shape == (1, 32, 32)
    assert mask[0, 17:23, 9:23].min() > 0.99


def test_masks_follow_the_labels_when_these_are_put_in_another_order(fake):
    ds = xrv.datasets.NIH_Dataset(fake("nih") / "images", pathology_masks=True)
    xrv.datasets.relabel_dataset(["Mass", "Cardiomegaly"], ds, silent=True)
    assert list(ds[1]["pathology_masks"]) == [1]
    xrv.datasets.relabel_dataset(["Mass"], ds, silent=True)
    assert ds[1]["pathology_masks"] == {}


def test_without_boxes_nih_opens_but_not_with_masks(fake):
    root = fake("nih")
    (root / "BBox_List_2017.csv").unlink()
    assert "has_masks" not in xrv.datasets.NIH_Dataset(root / "images").csv
    with pytest.raises(DatasetNotFoundError, match=r"no BBox_List_2017\.csv"):
        xrv.datasets.NIH_Dataset(root / "images", pathology_masks=True)


def test_google_has_nodule_or_mass_as_one_column(fake):
    ds = xrv.datasets.NIH_Google_Dataset(fake("nih_google") / "images")
    assert ds.pathologies == ["Lung Opacity", "Fracture", "Nodule/Mass", "Pneumothorax"]
    np.testing.assert_array_equal(ds.labels, [[1, 0, 0, 0], [0, 1, 1, 0]])


def test_rows_that_are_not_wanted_are_not_read(fake):
    assert len(xrv.datasets.NIH_Google_Dataset(fake("nih_google") / "images", nrows=1)) == 1


def test_padchest_is_searched_for_words(tmp_path):
    fake = fakes.load("padchest")
    lists = {  # what is listed, what is searched for
        "'pseudonodule'": "Nodule",
        "'subcutaneous emphysema'": "Emphysema",
        "'NSG tube'": "Tube",
        "'double J stent'": "Tube",
        "'dual chamber device'": "Support Devices",
        "'exclude', 'calcified granuloma'": "Granuloma",
        "'adenopathy'": "Hilar Enlargement",
        "'air trapping'": "Air Trapping",
    }
    rows = [(f"{n}_a", 0, "20150301", "1", f"p{n}", "1950", "F", "PA", "No", f"[{words}]")
            for n, words in enumerate(lists)]  # fmt: skip
    fakes.write_table(tmp_path / fake.TABLE, fake.HEAD, *(fake.line(n, row) for n, row in enumerate(rows)))
    ds = xrv.datasets.PC_Dataset(tmp_path)
    assert len(ds.pathologies) == 28
    found = [[name for name, code in zip(ds.pathologies, row, strict=True) if code] for row in ds.labels]
    assert found == [[name] for name in lists.values()]
    assert ds.csv["age_years"].tolist() == [67] * len(lists)
    assert set(ds.csv["offset_day_int"]) == {16_495}  # 2015-03-01


def test_padchest_leaves_out_the_young_and_those_without_a_year_or_a_list(fake):
    ds = xrv.datasets.PC_Dataset(fake("padchest") / "images", views="*", unique_patients=False)
    assert ds.csv["ImageID"].tolist() == ["101_a-001.png", "102_a-002.png", "102_a-003.png"]


def test_chexpert_sets_what_no_finding_excludes(fake):
    ds = xrv.datasets.CheX_Dataset(
        fake("chexpert") / "CheXpert-v1.0-small", views=["PA", "AP"], unique_patients=False
    )
    assert ds.pathologies == THIRTEEN
    assert len(ds) == 4  # train.csv alone
    nan = np.nan
    # of the third, No Finding and an uncertain effusion: 0, as there
    np.testing.assert_array_equal(
        labels(ds, "Effusion", "Support Devices"), [[0, nan], [nan, nan], [0, nan], [nan, nan]]
    )
    assert ds.csv["age_years"].isna().tolist() == [False, True, False, False]


def test_chexpert_s_other_table_is_told_by_its_name(fake):
    root = fake("chexpert") / "CheXpert-v1.0-small"
    ds = xrv.datasets.CheX_Dataset(root, root / "valid.csv", views="*")
    assert ds.csv["Path"].tolist() == ["valid/patient64541/study1/view1_frontal.jpg"]
    assert ds[0]["img"].shape == (1, 40, 50)


def test_mimic_makes_devices_negative_too(fake):
    ds = open_fake("mimic_cxr", fake("mimic_cxr"))
    names = ds.csv["dicom_id"].tolist()
    assert "0000000b-00000004" not in names  # nobody labelled its study
    assert ds.csv["patientid"].tolist() == sorted(ds.csv["patientid"])
    normal = names.index("0000000a-00000001")
    assert labels(ds, "Support Devices", "Edema")[normal].tolist() == [0, 0]
    assert ds.csv["offset_day_int"].dtype == "Int64"
    assert ds.csv["offset_day_int"][normal] == 76_827  # 2180-05-06


def test_brax_keeps_whole_rows(fake):
    ds = open_fake("brax", fake("brax"), views="*", unique_patients=True)
    assert ds.csv["patientid"].is_unique
    assert len(ds) == 4


def test_brax_leaves_out_strips(fake):
    root = fake("brax")
    path = root / "master_spreadsheet_update.csv"
    path.write_text(path.read_text().replace(",60,50,", ",60,5,", 1))
    assert len(open_fake("brax", root, views="*", unique_patients=False)) == 5
    assert len(open_fake("brax", root, views="*", unique_patients=False, max_aspect_ratio=None)) == 6


def test_openi_searches_the_automatic_words(fake):
    ds = open_fake("openi", fake("openi"), views="*", unique_patients=False)
    assert len(ds.pathologies) == 18
    rows = ds.csv["imageid"].tolist()
    assert labels(ds, "Cardiomegaly")[rows.index("CXR1_1_IM-0001-4001"), 0] == 1
    opacity = labels(ds, "Lung Opacity", "Effusion")[rows.index("CXR3_IM-1384-1001")]
    assert opacity.tolist() == [1, 1]
    assert not np.isnan(ds.labels).any()


def test_openi_takes_the_view_of_one_table(fake):
    root = fake("openi")
    fakes.write_table(
        root / "nlmcxr_dicom_metadata.csv",
        "imageid,View Position",
        "CXR1_1_IM-0001-4001,PA",
        "CXR2_IM-0652-1001,LL",
    )
    fakes.write_table(root / "nlmcxr_tsne_pa.csv", "imageid,tsne-view", "CXR2_IM-0652-1001,PA")
    images = [
        xrv.datasets.Openi_Dataset(root / "images", use_tsne_derived_view=derived).csv["imageid"].tolist()
        for derived in (False, True)
    ]
    assert images == [["CXR1_1_IM-0001-4001"], ["CXR2_IM-0652-1001"]]


def test_covid_has_a_label_for_each_word(fake):
    ds = open_fake("covid19", fake("covid19"))
    assert ds.pathologies == ["Bacterial", "COVID-19", "Herpes", "Klebsiella", "Pneumonia", "Viral"]
    assert len(ds) == 4  # without the row to do
    np.testing.assert_array_equal(labels(ds, "Pneumonia", "COVID-19"), [[1, 1], [1, 1], [1, 0], [1, 0]])
    with pytest.raises(ValueError, match="semantic_masks: expected False"):
        open_fake("covid19", fake("covid19"), semantic_masks=True)


@pytest.mark.parametrize(("key", "count"), [("montgomery", 5), ("shenzhen", 6)])
def test_the_folder_says_which_of_the_two_tuberculosis_sets_it_is(key, count, fake):
    ds = open_fake(key, fake(key))
    assert len(ds) == count
    assert ds.labels[:, 0].tolist() == [float(name[-5]) for name in ds.csv["fname"]]
    assert set(ds.csv["view"]) == {"PA"}


def test_tuberculosis_has_four_labels(fake):
    root = fake("tbx11k") / "TBX11K"
    ds = xrv.datasets.TBX11K_Dataset(root)
    assert ds.csv["file_name"].tolist()[:2] == ["tb/tb0005.png", "tb/tb0007.png"]
    expected = [[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 1], [0] * 4, [0] * 4, [0] * 4]
    np.testing.assert_array_equal(ds.labels, expected)
    assert ds[0]["bbox"] == [[256.5, 128.0, 64.0, 32.0]]
    assert ds[5]["bbox"] == []
    assert [len(xrv.datasets.TBX11K_Dataset(root, split)) for split in ("val", "trainval")] == [2, 9]
    with pytest.raises(ValueError, match="split: expected train, val, trainval, got 'test'"):
        xrv.datasets.TBX11K_Dataset(root, "test")


def test_rsna_counts_an_opacity_as_a_pneumonia(fake):
    ds = open_fake("rsna", fake("rsna"), views=["PA", "AP"], pathology_masks=True)
    assert ds.pathologies == ["Lung Opacity", "Pneumonia"]
    np.testing.assert_array_equal(ds.labels, [[1, 1], [0, 0], [0, 0], [1, 1], [0, 0]])
    assert ds.csv["has_masks"].tolist() == [True, False, False, True, False]
    masks = ds[0]["pathology_masks"]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert masks[0].any()
    assert [mask.any() for mask in ds[1]["pathology_masks"].values()] == [False, False]
    assert len(open_fake("rsna", fake("rsna"))) == 3  # PA by the headers


def test_siim_has_a_row_for_each_outline_and_one_mask_for_all(fake):
    ds = open_fake("siim", fake("siim"), pathology_masks=True)
    assert ds.labels[:, 0].tolist() == [0, 1, 1, 0, 1]
    assert ds.csv["has_masks"].tolist() == [False, True, True, False, True]
    np.testing.assert_array_equal(ds[1]["pathology_masks"][0], ds[2]["pathology_masks"][0])
    assert ds[0]["pathology_masks"] == {}


def test_two_folders_of_siim_are_two(fake, tmp_path):
    """torchxrayvision keeps the files of the first for all that follow."""
    first = open_fake("siim", fake("siim"))
    shutil.copytree(tmp_path / "siim", tmp_path / "second")
    second = open_fake("siim", tmp_path / "second")
    paths = [str(ds.dataset.files.get(ds.csv["ImageId"][0])) for ds in (first, second)]
    assert "second" in paths[1]
    assert "second" not in paths[0]


def test_vindr_is_positive_if_one_reader_says_so(fake):
    ds = open_fake("vindr", fake("vindr"))
    assert ds.pathologies == sorted(ds.pathologies)
    assert len(ds.pathologies) == 14
    rows = ds.csv["image_id"].tolist()
    found = labels(ds, "Cardiomegaly", "Effusion", "Nodule/Mass", "ILD")
    assert found[rows.index("5a01")].tolist() == [1, 1, 0, 0]
    assert found[rows.index("5a03")].tolist() == [0, 0, 1, 0]
    assert found[rows.index("5a04")].tolist() == [0, 0, 0, 1]


def test_kaggle_s_table_of_vindr_is_taken_if_it_is_given(fake):
    root = fake("vindr")
    rows = ("image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", "5a01,Cardiomegaly,3,R9,1,1,9,9",
            "5a01,No finding,14,R8,,,,", "5a02,No finding,14,R8,,,,")  # fmt: skip
    fakes.write_table(root / "kaggle.csv", *rows)
    ds = xrv.datasets.VinDr_Dataset(root / "train", root / "kaggle.csv", pathology_masks=True)
    assert labels(ds, "Cardiomegaly")[:, 0].tolist() == [1, 0]
    assert ds.csv["has_masks"].tolist() == [True, False]
    assert list(ds[0]["pathology_masks"]) == [ds.pathologies.index("Cardiomegaly")]


def test_stony_brook_has_scores(fake):
    ds = open_fake("stonybrook_covid", fake("stonybrook_covid"))
    assert ds.pathologies == ["Geographic Extent", "Lung Opacity"]
    np.testing.assert_array_equal(ds.labels[:3], [[5, 4.5], [0, 0], [0.5, 0.5]])
    assert ds.csv["offset_day_int"][0] == 18_344  # 2020-03-23


def test_views_and_labels_of_stony_brook_stay_together(fake):
    with pytest.raises(EmptyDatasetError, match="leave no row"):
        open_fake("stonybrook_covid", fake("stonybrook_covid"), views=["PA"])


def test_object_cxr_is_read_from_its_archive(fake):
    ds = open_fake("object_cxr", fake("object_cxr"))
    assert ds.labels[:, 0].tolist() == [1, 0, 1]
    assert ds.csv["image_name"].tolist() == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert ds[2]["img"].shape == (1, 48, 56)


def test_chexlocalize_needs_its_outlines_for_masks(fake):
    root = fake("chexlocalize")
    folder, table = root / "CheXpert", root / "CheXpert" / "test_labels.csv"
    with pytest.raises(ValueError, match=r"expected gt_segmentations_val\.json or gt_"):
        xrv.datasets.CheXlocalize_Dataset(folder, table)
    outlines = root / "CheXlocalize" / "gt_segmentations_test.json"
    ds = xrv.datasets.CheXlocalize_Dataset(folder, table, segmentation_jsonpath=outlines)
    assert ds.csv["has_masks"].tolist() == [True, False]
    assert list(ds[0]["pathology_masks"]) == [ds.pathologies.index("Edema")]
    assert len(xrv.datasets.CheXlocalize_Dataset(folder, table, pathology_masks=False)) == 2


def test_a_tuple_of_views_is_as_good_as_a_list(fake):
    root = fake("nih") / "images"
    one, other = (xrv.datasets.NIH_Dataset(root, views=views) for views in (("PA", "AP"), ["PA", "AP"]))
    assert one.csv["Image Index"].tolist() == other.csv["Image Index"].tolist()
    assert len(one) == 3


def test_tables_may_lie_anywhere_if_they_are_named(fake, tmp_path):
    root = fake("nih")
    (tmp_path / "far").mkdir()
    for name in ("Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"):
        shutil.move(root / name, tmp_path / "far" / f"my_{name}")
    ds = xrv.datasets.NIH_Dataset(
        root / "images", tmp_path / "far" / "my_Data_Entry_2017_v2020.csv",
        tmp_path / "far" / "my_BBox_List_2017.csv", pathology_masks=True,
    )  # fmt: skip
    assert len(ds) == 3
    assert list(ds[1]["pathology_masks"])


def test_a_table_that_is_nowhere_says_where_to_get_it(tmp_path):
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match=r"no Data_Entry_2017_v2020\.csv .* Get it from https"):
        xrv.datasets.NIH_Dataset(folder)


def test_a_table_that_is_not_where_it_is_said_to_be(fake):
    with pytest.raises(DatasetNotFoundError, match=r"nih: no file .*wrong\.csv'. Expected Data_Entry"):
        xrv.datasets.NIH_Dataset(fake("nih") / "images", "wrong.csv")


def test_a_missing_image_is_missed_when_it_is_asked_for(fake):
    root = fake("nih")
    (root / "images" / "00000002_000.png").unlink()
    ds = xrv.datasets.NIH_Dataset(root / "images")
    assert len(ds) == 3
    with pytest.raises(DatasetNotFoundError, match="no image file '00000002_000'"):
        ds[1]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        xrv.datasets.NIH_Dataset(tmp_path / "nothing")


def test_older_names_are_the_same_classes():
    assert xrv.datasets.PadChest_Dataset is xrv.datasets.PC_Dataset
    assert xrv.datasets.VinBrain_Dataset is xrv.datasets.VinDr_Dataset
    assert xrv.datasets.Merge_Dataset is xrv.datasets.MergeDataset


def test_the_eighteen_are_in_their_order():
    assert len(xrv.datasets.default_pathologies) == 18
    assert xrv.datasets.default_pathologies[::17] == ["Atelectasis", "Enlarged Cardiomediastinum"]
