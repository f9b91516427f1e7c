"""The format: files of every version so far are read, and plain h5py sees what the page promises."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from xrdatasets.packed.card import describe
from xrdatasets.packed.columns import pack_table, unpack_table
from xrdatasets.packed.layout import create, layout_of

STORED = Path(__file__).parent / "stored"

# what the stored file holds, written down on the day it was packed
n = float("nan")
V1_CODES = [[-1.0, n, n, n], [n, 1.0, n, n], [1.0, n, 1.0, n], [1.0, n, 1.0, n]]
V1_UNMENTIONED = [
    [False, True, True, False],
    [True, False, True, False],
    [False, True, False, False],
    [False, True, False, False],
]
V1_IDS = ["C0-000002-3", "C0-000001-1", "C0-000005-1", "C0-000005-1"]
V1_VIEWS = ["AP", "PA", "AP", "AP"]
V1_SEXES = ["M", "F", "F", "F"]
V1_AGES = [44.0, 63.0, 73.0, 73.0]
V1_SUMS = [33619, 28836, 30388, 30388]
V1_PIXELS = [64, 44, 139, 64, 78, 101, 109, 208]


class TestVersion1:
    """``v1.h5``: four images of hospital C of the Phantom, 16 x 16, written by version 0.1.0."""

    @pytest.fixture
    def ds(self):
        return xr.open(STORED / "v1.h5")

    def test_labels(self, ds):
        np.testing.assert_array_equal(ds.codes, V1_CODES)
        assert ds.unmentioned.tolist() == V1_UNMENTIONED
        filled = ds.with_policy(xr.U_ZEROS.with_unmentioned(0.0)).labels
        assert filled[0].tolist()[:3] == [0, *np.nan_to_num(V1_CODES[0][1:3])]
        assert np.isnan(filled[:, 3]).all()

    def test_table(self, ds):
        assert ds.table.image_id.tolist() == V1_IDS
        assert ds.table["view"].tolist() == V1_VIEWS
        assert ds.table.sex.tolist() == V1_SEXES
        assert ds.table.age.tolist() == pytest.approx(V1_AGES)

    def test_pixels(self, ds):
        (raw,) = xr.loader(ds, 4, workers=0, raw=True)
        assert raw["img"].numpy().astype(np.int64).sum(axis=(1, 2, 3)).tolist() == V1_SUMS
        assert raw["img"][1, 0, 8, :8].tolist() == V1_PIXELS
        assert ds[1]["img"][0, 8, 0] == pytest.approx((2 * V1_PIXELS[0] / 255 - 1) * 1024, abs=1e-3)

    def test_provenance(self, ds):
        why = ds.explain(3, "Effusion")
        assert (why.column, why.relation, why.file) == ("Pleural Effusion", "exact", "(drawn)")


def test_plain_h5py_sees_what_the_page_promises(tmp_path):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)
    with h5py.File(xr.pack(ds, tmp_path / "a.h5", workers=0)) as file:
        assert dict(file.attrs) == {"format": "xrdatasets-packed", "version": 1, "package": xr.__version__}
        card = json.loads(file["card"][()].tobytes())
        assert card["size"] == 16
        assert card["facts"]["key"] == "nih"
        assert file["images"].shape == (5, 16, 16)
        assert file["images"].dtype == np.uint8
        assert file["images"].chunks is None
        assert file["readable"][()].tolist() == [1] * 5
        states = dict(zip(card["stored"], file["labels/states"], strict=True))
        effusion = xr.NIH(ds.root, space=["Effusion"]).codes[:, 0]
        assert np.isin(states["Effusion"], (3, 7)).tolist() == (effusion == 1).tolist()
        names = [column["name"] for column in card["columns"]]
        assert names == list(ds.table)
        number = names.index("image_id")
        words = file[f"table/{number}.words"][()].tobytes().decode().split("\0")
        assert [words[place] for place in file[f"table/{number}"]] == ds.table.image_id.tolist()


def test_the_same_dataset_gives_the_same_bytes_at_another_time(tmp_path, monkeypatch):
    ds = xr.Phantom(4, size=16)
    card, arrays = describe(ds, size=16, dtype="uint8")
    create(tmp_path / "a.h5", card, arrays, (4, 16, 16), "uint8")
    monkeypatch.setattr("time.time", lambda: 1e9)
    create(tmp_path / "b.h5", card, arrays, (4, 16, 16), "uint8")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_all_the_space_is_taken_before_any_image_is_read(tmp_path):
    ds = xr.Phantom(4, size=64)
    file = tmp_path / "a.h5"
    made = create(file, *describe(ds, size=64, dtype="uint16"), (4, 64, 64), "uint16")
    assert made == layout_of(file)
    assert made.images.row_bytes == 8192
    assert made.images.offset % 4096 == 0
    assert made.images.end <= file.stat().st_size
    assert file.stat().st_blocks * 512 >= made.images.end - made.images.offset


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["b", "a", None, "b", "", "é"], dtype="str"),
        pd.Series([None] * 3, dtype="str"),
        pd.Series(pd.Categorical(["x", None, "y"], categories=["y", "x", "z"])),
        pd.Series(pd.Categorical([2, 1, None], categories=[1, 2], ordered=True)),
        pd.Series(pd.Categorical([None, None])),
        pd.Series([1, 2, 3], dtype="int16"),
        pd.Series([1.5, np.nan], dtype="float32"),
        pd.Series([True, False]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([True, None], dtype="boolean"),
        pd.Series([1.5, None], dtype="Float32"),
        pd.to_datetime(pd.Series(["2020-01-31", None])).astype("datetime64[s]"),
        pd.Series([], dtype="str"),
    ],
    ids=lambda values: f"{values.dtype} {len(values)}",
)
def test_a_column_comes_back_as_it_was(values, tmp_path):
    table = pd.DataFrame({"name": values})
    kinds, arrays = pack_table(table)
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as store:
        for name, array in arrays.items():
            store[name] = array
    with h5py.File(file) as store:
        back = unpack_table(json.loads(json.dumps(kinds)), lambda name: store[name][()])
    pd.testing.assert_frame_equal(back, table)


def test_a_column_that_cannot_be_stored():
    with pytest.raises(xr.TableError, match=r"column 'x' holds a text with a NUL"):
        pack_table(pd.DataFrame({"x": ["a\0b"]}))
    with pytest.raises(xr.TableError, match=r"column 'x' holds neither text nor numbers alone"):
        pack_table(pd.DataFrame({"x": pd.Series(["a", 1], dtype=object)}))
    with pytest.raises(xr.TableError, match=r"column 'x' has categories that are neither text nor numbers"):
        pack_table(pd.DataFrame({"x": pd.Categorical([(1, 2)])}))
