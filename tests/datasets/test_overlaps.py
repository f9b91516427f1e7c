"""Which images two datasets share: by id, by a table of names, by pixels; and what concat says of it."""

import json
import os
import warnings
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import xrdatasets as xr
from tests import fakes
from xrdatasets.datasets.families import FAMILY_ID, family_ids, members
from xrdatasets.datasets.nih_names import add_nih_names, read_nih_names
from xrdatasets.facts import Facts, dataset_keys

JSON = "pneumonia-challenge-dataset-mappings_2018.json"
# a challenge's names of images 1, 3 and 4 of the fake of NIH, and one that is none of them
NAMES = {"uid-b": "00000001_001", "uid-c": "00000003_000", "uid-a": "00000002_000", "uid-x": "00012345_006"}

EXPECTED = [
    (1, 0, "00000001_001", "uid-b", "join"),
    (2, 2, "00000002_000", "uid-a", "join"),
    (3, 1, "00000003_000", "uid-c", "join"),
]
RECORDS = [
    {"subset_img_id": own, "img_id": f"{stem}.png", "StudyInstanceUID": "1.2", "orig_labels": ["Mass"]}
    for own, stem in NAMES.items()
]


def challenge(folder, ids, *, names=None, key="rsna", family="nih", patients=None):
    """A dataset of a family under names of its own, or with the family's names in its table."""
    head = ["file", "opacity", *([FAMILY_ID] if names else []), *(["pid"] if patients else [])]
    cells = [
        [
            f"{i}.png",
            "1",
            *([names.get(i, "")] if names else []),
            *([patients.get(i, "")] if patients else []),
        ]
        for i in ids
    ]
    fakes.write_table(folder / "labels.csv", ",".join(head), *map(",".join, cells))
    fakes.write_table(
        folder / "mapping.csv",
        "column,source,target,relation,note,reference",
        "opacity,,Lung Opacity,exact,,our own reading guide",
    )
    columns = {"image_id": "file"} | ({"patient_id": "pid"} if patients else {})
    options = {"table": "labels.csv", "mapping": "mapping.csv", "columns": columns, "missing": "keep"}
    return xr.TableDataset(folder, name=key, image_family=family, **options)


def table_of(pairs):
    return [
        (row.index_a, row.index_b, row.image_id_a, row.image_id_b, row.how)
        for row in pairs.itertuples(index=False)
    ]


@pytest.fixture
def nih(fake):
    return xr.NIH(fake("nih"), size=16)


class TestById:
    def test_images_of_one_family(self, nih):
        pairs = xr.overlap(nih.select([0, 1, 4]), nih.select([4, 2, 0]))
        assert table_of(pairs) == [
            (0, 2, "00000001_000", "00000001_000", "id"),
            (2, 0, "00000003_001", "00000003_001", "id"),
        ]
        assert pairs["distance"].isna().all()
        assert list(pairs) == ["index_a", "index_b", "image_id_a", "image_id_b", "how", "distance"]

    def test_an_id_that_two_families_use_is_no_shared_image(self, tmp_path):
        one = challenge(tmp_path / "one", ["1", "2"], key="one", family="one")
        two = challenge(tmp_path / "two", ["1", "2"], key="two", family="two")
        pairs = xr.overlap(one, two)
        assert len(pairs) == 0
        assert list(pairs.dtypes.astype(str)) == ["int64", "int64", "str", "str", "str", "Int16"]

    def test_an_image_that_stands_twice_pairs_twice(self, nih):
        pairs = xr.overlap(nih.select([2]), nih.select([2, 0, 2]))
        assert pairs["index_b"].tolist() == [0, 2]

    def test_names_in_the_family_where_the_table_has_them(self, nih, tmp_path):
        rsna = challenge(tmp_path / "rsna", list(NAMES), names=NAMES)
        assert xr.overlap(nih, rsna)[["index_a", "image_id_b"]].values.tolist() == [
            [1, "uid-b"], [2, "uid-a"], [3, "uid-c"],
        ]  # fmt: skip
        assert len(xr.overlap(nih, challenge(tmp_path / "bare", list(NAMES)))) == 0

    def test_hannover_in_the_collection_of_covid_images(self, fake, tmp_path):
        """The collection took Hannover's images in under their ids; the families are two."""
        hannover = xr.Hannover(fake("hannover"))
        covid = challenge(tmp_path / "c", ["images/b343e657", "other"], key="covid19", family="covid19")
        assert xr.overlap(covid, hannover)[["index_a", "index_b"]].values.tolist() == [[0, 1]]


class TestByTable:
    @pytest.fixture
    def rsna(self, tmp_path):
        return challenge(tmp_path / "rsna", list(NAMES))

    @pytest.mark.parametrize("form", ["frame", "csv", "csv.gz", "json"])
    def test_columns_are_found_by_what_stands_in_them(self, nih, rsna, tmp_path, form):
        frame = pd.DataFrame(
            {"mse": 0.5, "nih": [f"{n}.png" for n in NAMES.values()], "class": "Normal", "own": list(NAMES)}
        )
        join = tmp_path / f"names.{form}"
        if form == "frame":
            join = frame
        elif form == "json":
            records = [row | {"orig_labels": ["Mass"]} for row in frame.to_dict("records")]
            join.write_text(json.dumps(records), encoding="utf-8")
        else:
            frame.to_csv(join, index=False)
        assert table_of(xr.overlap(nih, rsna, join=join)) == EXPECTED
        turned = xr.overlap(rsna, nih, join=join)
        assert sorted((b, a) for a, b, *_ in table_of(turned)) == [row[:2] for row in EXPECTED]

    def test_none_of_the_rows_shared(self, nih, rsna):
        join = pd.DataFrame({"own": list(NAMES), "nih": list(NAMES.values())})
        assert len(xr.overlap(nih.select([0]), rsna, join=join)) == 0

    def test_another_table(self, nih, rsna):
        join = pd.DataFrame({"a": ["x", "y"], "b": ["1", "2"], "c": [1, 2]})
        with pytest.raises(xr.TableError, match=r"no column of the table names an image .* are: a, b\)"):
            xr.overlap(nih, rsna, join=join)

    def test_no_table(self, nih, rsna, tmp_path):
        with pytest.raises(xr.DatasetNotFoundError, match=r"join: no file .*none\.csv"):
            xr.overlap(nih, rsna, join=tmp_path / "none.csv")
        with pytest.raises(ValueError, match=r"join: expected a path, got 3"):
            xr.overlap(nih, rsna, join=3)
        fakes.write_table(tmp_path / "no.json", '{"a": 1}')
        with pytest.raises(xr.TableError, match=r"no\.json' is no list of objects"):
            xr.overlap(nih, rsna, join=tmp_path / "no.json")
        fakes.write_table(tmp_path / "cut.json", '[{"a": 1')
        with pytest.raises(xr.TableError, match=r"cut\.json' is no JSON"):
            xr.overlap(nih, rsna, join=tmp_path / "cut.json")


class TestByPixels:
    def test_a_renamed_copy_of_other_size_and_format(self, nih, tmp_path):
        root = tmp_path / "nih" / "images"
        copies = challenge(tmp_path / "copies", ["x", "y"], key="chestx_det")
        for name, source in (("x", "00000003_000"), ("y", "00000001_000")):
            image = Image.open(root / f"{source}.png").resize((256, 256), Image.Resampling.BICUBIC)
            image.save(tmp_path / "copies" / f"{name}.jpg", quality=85)
        pairs = xr.overlap(nih, copies, hashes=True, workers=2)
        assert table_of(pairs) == [
            (0, 1, "00000001_000", "y", "hash"),
            (3, 0, "00000003_000", "x", "hash"),
        ]
        assert (pairs["distance"] <= 24).all()

    def test_what_the_id_says_comes_first_and_the_distance_stays(self, nih):
        pairs = xr.overlap(nih, nih, hashes=True)
        assert pairs["how"].tolist() == ["id"] * 5
        assert pairs["distance"].tolist() == [0] * 5

    def test_a_combined_dataset(self, nih, fake):
        both = xr.concat([xr.Kermany(fake("kermany"), size=16), nih])
        pairs = xr.overlap(both.select([7, 0]), nih, hashes=True)
        assert pairs[["index_a", "index_b", "distance"]].values.tolist() == [[0, 1, 0]]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"hashes": 1}, r"hashes: expected True or False, got 1"),
            ({"distance": -1}, r"distance: expected a whole number of at least 0, got -1"),
            ({"workers": 0}, r"workers: expected a whole number of at least 1, got 0"),
        ],
    )
    def test_arguments(self, nih, options, message):
        with pytest.raises(ValueError, match=message):
            xr.overlap(nih, nih, **options)

    def test_no_dataset(self, nih):
        with pytest.raises(ValueError, match=r"overlap: expected datasets, got 'nih'"):
            xr.overlap(nih, "nih")


class TestConcatWarns:
    def test_the_same_dataset_twice(self, nih):
        with pytest.warns(xr.OverlapWarning, match=r"nih and nih share 5 images \(family 'nih'\)"):
            xr.concat([nih, nih])

    def test_nih_with_rsna_and_the_names(self, nih, tmp_path):
        rsna = challenge(tmp_path / "rsna", list(NAMES), names=NAMES)
        with pytest.warns(xr.OverlapWarning, match=r"nih and rsna share 3 images"):
            both = xr.concat([nih, rsna])
        assert family_ids(both.table).tolist()[5:] == list(NAMES.values())

    def test_nih_with_rsna_and_no_names(self, nih, tmp_path):
        message = (
            r"nih and rsna have images of one source \(nih\).*Put the table of rsna's names, https://.*json"
        )
        with pytest.warns(xr.OverlapWarning, match=message):
            xr.concat([nih, challenge(tmp_path / "rsna", list(NAMES))])

    def test_two_challenges_of_one_family(self, tmp_path):
        rsna = challenge(tmp_path / "rsna", ["a"])
        siim = challenge(tmp_path / "siim", ["a"], key="siim")
        message = r"No table of names is public for siim: use xr\.overlap\(a, b, hashes=True\)"
        with pytest.warns(xr.OverlapWarning, match=message):
            xr.concat([rsna, siim])

    def test_a_renamed_dataset_with_itself_is_counted(self, tmp_path):
        siim = challenge(tmp_path / "siim", ["a", "b"], key="siim")
        with pytest.warns(xr.OverlapWarning, match=r"siim and siim share 1 images") as found:
            xr.concat([siim, siim.select([1])])
        assert len(found) == 1

    def test_no_warning_where_the_names_say_that_nothing_is_shared(self, nih, tmp_path):
        rsna = challenge(tmp_path / "rsna", ["uid-x"], names=NAMES)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            xr.concat([nih, rsna])

    def test_what_came_together_was_warned_of_before(self, nih, fake):
        joined = xr.join(xr.NIHGoogle(fake("nih_google")), xr.NIH(fake("nih_google")))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            xr.concat([joined, xr.Kermany(fake("kermany"))])

    def test_families_in_families(self, tmp_path):
        inner = challenge(tmp_path / "m", ["MCUCXR_0001_0"], key="montgomery", family="montgomery")
        outer = challenge(
            tmp_path / "t", ["tb/tb0005", "extra/mc/MCUCXR_0001_0"], key="tbx11k", family="tbx11k"
        )
        message = r"montgomery and tbx11k share 1 images \(families 'montgomery' and 'tbx11k'\)\. Use split"
        with pytest.warns(xr.OverlapWarning, match=message):
            xr.concat([inner, outer])
        with pytest.warns(xr.OverlapWarning, match=r"No table of names is public for tbx11k"):
            xr.concat(
                [challenge(tmp_path / "o", ["MCUCXR_0002_0"], key="montgomery", family="montgomery"), outer]
            )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            xr.concat([inner, outer.select([0])])

    def test_the_line_of_the_warning_is_the_user_s(self, nih):
        with pytest.warns(xr.OverlapWarning) as found:
            xr.concat([nih, nih])
        assert found[0].filename == __file__


class TestJoin:
    def test_readers_of_renamed_images(self, nih, tmp_path):
        rsna = challenge(tmp_path / "rsna", list(NAMES), names=NAMES).relabel(["Lung Opacity"])
        both = xr.join(rsna, nih.relabel(["Effusion"]))
        assert both.table["image_id"].tolist() == [*NAMES, "00000001_000", "00000003_001"]
        assert both.codes[:2].tolist() == [[1, 0], [1, 0]]
        assert len(xr.join(nih, rsna)) == 6


class TestNIHNames:
    def test_rsna_s_own_table(self, tmp_path):
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / JSON).write_text(json.dumps(RECORDS), encoding="utf-8")
        names = read_nih_names(tmp_path)
        assert names.index.tolist() == list(NAMES)
        assert names["patient_id"].tolist() == ["1", "3", "2", "12345"]
        assert names[FAMILY_ID].tolist() == list(NAMES.values())

    def test_a_table_of_pixel_matches(self, tmp_path):
        """Its 98 rows with a large error name an image that is none; NIH has a few images twice."""
        rows = [f"{own},Normal,{stem}.png,1.5" for own, stem in NAMES.items()]
        rows += ["uid-far,Normal,00000004_000.png,89.7", "uid-too,Normal,00000003_000.png,1.6"]
        fakes.write_table(
            tmp_path / "rsna_to_nih_26684.csv", "rsna,class,nih_image_index,mse", *rows, rows[0]
        )
        names = read_nih_names(tmp_path)
        assert names.loc["uid-c"].tolist() == ["3", "00000003_000"]
        assert names.loc["uid-too"].fillna("?").tolist() == ["3", "?"]
        assert names.index.tolist() == [*NAMES, "uid-too"]

    def test_without(self, tmp_path):
        frame = pd.DataFrame({"patientId": ["uid-a"]})
        assert read_nih_names(tmp_path) is None
        assert add_nih_names(frame, tmp_path, column="patientId", dataset="rsna") is frame

    def test_added_to_the_challenge_s_table(self, tmp_path):
        (tmp_path / JSON).write_text(json.dumps(RECORDS), encoding="utf-8")
        frame = pd.DataFrame({"patientId": ["uid-c", "none", "uid-c"]})
        frame = add_nih_names(frame, tmp_path, column="patientId", dataset="rsna")
        assert frame["patient_id"].fillna("?").tolist() == ["3", "?", "3"]
        assert frame[FAMILY_ID].fillna("?").tolist() == ["00000003_000", "?", "00000003_000"]

    @pytest.mark.parametrize(
        ("records", "message"),
        [
            ([{"subset_img_id": "a"}], r"has no column 'img_id'"),
            ([{"subset_img_id": "a", "img_id": "x.png"}], r"has the NIH file name 'x\.png'"),
            ([*RECORDS, RECORDS[0] | {"img_id": "00000009_000.png"}], r"names image 'uid-b' twice"),
        ],
    )
    def test_damage(self, tmp_path, records, message):
        (tmp_path / JSON).write_text(json.dumps(records), encoding="utf-8")
        with pytest.raises(xr.TableError, match=message):
            read_nih_names(tmp_path)


class TestFamilies:
    def test_every_row_names_a_dataset_and_a_family(self):
        families = {Facts.load(key).image_family for key in dataset_keys()}
        listed = [member for key in dataset_keys() for member in members(key)]
        assert {member.dataset for member in listed} >= {"rsna", "siim", "chestx_det", "tbx11k", "covid19"}
        assert {member.family for member in listed} <= families
        rows = (Path(fakes.__file__).parents[2] / "mappings/overlaps/families.csv").read_text().splitlines()
        assert len(rows) - 1 == len(listed)  # no row of a dataset that is none

    def test_every_dataset_of_a_shared_family_says_how_it_names_its_images(self):
        facts = [Facts.load(key) for key in dataset_keys() if not key.startswith("phantom")]
        heads = {"nih", "chexpert"}
        for each in facts:
            shared = sum(other.image_family == each.image_family for other in facts) > 1
            said = any(member.home for member in members(each.key))
            assert said == (shared and each.key not in heads), each.key


@pytest.mark.data
class TestRealData:
    @pytest.fixture
    def data(self):
        if not os.environ.get("XRDATASETS_DATA"):
            pytest.skip("XRDATASETS_DATA is not set")
        return Path(os.environ["XRDATASETS_DATA"])

    def test_rsna_is_of_nih(self, data, tmp_path):
        names = read_nih_names(data / "tables")
        assert len(names) == 26_684 - 98  # rows that name an image which only looks alike
        assert names[FAMILY_ID].isna().sum() == 1
        nih = xr.NIH(data / "tables", missing="keep", views="*")
        known = nih.table.set_index("image_id")["patient_id"]
        named = names.dropna()
        assert (known.loc[named[FAMILY_ID]].to_numpy() == named["patient_id"].to_numpy()).all()
        rsna = challenge(
            tmp_path / "r",
            names.index,
            names=names[FAMILY_ID].fillna("").to_dict(),
            patients=names["patient_id"].to_dict(),
        )
        with pytest.warns(xr.OverlapWarning, match=r"nih and rsna share 26,585 images"):
            both = xr.concat([nih, rsna])
        one, two = both.split_by_patient((0.5, 0.5))
        assert not set(one.table["patient_id"]) & set(two.table["patient_id"])
        assert not set(family_ids(one.table)) & set(family_ids(two.table))
        bare = challenge(tmp_path / "bare", names.index)
        pairs = xr.overlap(nih, bare, join=data / "tables" / "rsna_to_nih_26684.csv.gz")
        assert len(pairs) == len(names)
        assert set(pairs["how"]) == {"join"}

    def test_copies_are_found_by_their_pixels_and_nothing_else(self, data):
        """31 originals of 1024 pixels among 2,626 JPEGs of 256: all are found, and only they."""
        small = xr.NIH(data / "nih", views="*")
        large = xr.NIH(data / "nih_original", views="*", missing="drop")
        by_id = xr.overlap(small, large)
        by_hash = xr.overlap(small, large, hashes=True)
        assert len(by_id) == len(by_hash) == 31
        assert set(by_hash["how"]) == {"id"}
        assert by_hash["distance"].max() <= 4
