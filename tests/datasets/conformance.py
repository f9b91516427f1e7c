"""What every dataset must do, wherever its images come from; a new one inherits these tests.

A dataset's tests subclass `DatasetConformance` and state key, class and size of its fake; those of a dataset
without a folder subclass `CollectionConformance` and say how it is opened.
"""

from __future__ import annotations

import gzip
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

import xrdatasets as xr
from tests import fakes
from xrdatasets.datasets.registry import class_of
from xrdatasets.datasets.tables import CANONICAL, VIEWS

SIZE = 16


class CollectionConformance:
    """Inherited by the tests of each dataset, with files or without."""

    key: str
    images: int  # rows with the default views
    findings: int = 18  # of the default space

    @pytest.fixture
    def open_(self):
        """Opens the dataset: ``open_(**options)``."""
        raise NotImplementedError

    def test_size_and_repr(self, open_):
        ds = open_()
        assert len(ds) == len(ds.table) == len(ds.labels) == len(ds.codes) == self.images
        assert f"{self.images} images" in repr(ds)

    def test_canonical_columns_come_first(self, open_):
        table = open_().table
        assert tuple(table.columns[: len(CANONICAL)]) == CANONICAL
        assert set(table["view"].dropna()) <= set(VIEWS)
        assert set(table["sex"].dropna()) <= {"M", "F"}
        assert table["age"].dtype == np.float32
        for name in ("view", "sex", "split", "dataset"):
            assert isinstance(table[name].dtype, pd.CategoricalDtype), name
        assert set(table["split"].dropna()) <= {"train", "val", "test"}
        assert table["image_id"].is_unique
        assert table.index.equals(pd.RangeIndex(self.images))

    def test_sample(self, open_):
        sample = open_(size=SIZE)[0]
        assert set(sample) == {"img", "lab", "idx"}
        assert sample["img"].shape == (1, SIZE, SIZE)
        assert sample["img"].dtype == sample["lab"].dtype == torch.float32
        assert -1024 <= sample["img"].min() <= sample["img"].max() <= 1024
        assert sample["lab"].shape == (self.findings,)
        assert sample["idx"] == 0

    def test_every_image_opens_from_either_end(self, open_):
        ds = open_(size=SIZE, intensity="unit")
        assert [sample["idx"] for sample in ds] == list(range(len(ds)))
        assert ds[-1]["idx"] == len(ds) - 1
        assert 0 <= ds[-1]["img"].min() <= ds[-1]["img"].max() <= 1
        with pytest.raises(
            IndexError, match=f"expected an index from -{len(ds)} to {len(ds) - 1}, got {len(ds)}"
        ):
            ds[len(ds)]

    def test_numbers_are_read_only(self, open_):
        ds = open_()
        for array in (ds.labels, ds.codes, ds.unmentioned):
            with pytest.raises(ValueError, match=r"read-only"):
                array[0, 0] = 1

    def test_a_sample_may_be_edited_without_touching_the_dataset(self, open_):
        ds = open_(size=SIZE, policy=xr.U_ZEROS.with_unmentioned(0.0))
        before = ds.labels.copy()
        ds[0]["lab"].fill_(7)
        np.testing.assert_array_equal(ds.labels, before)

    def test_relabel_there_and_back_keeps_what_both_spaces_share(self, open_):
        ds = open_(space="native")
        there = ds.relabel("union21")
        shared = [label for label in ds.pathologies if label in there.pathologies]
        back = there.relabel("native")
        columns = [back.pathologies.index(label) for label in shared]
        np.testing.assert_array_equal(back.codes[:, columns], ds.relabel(shared).codes)
        np.testing.assert_array_equal(back.codes, ds.codes)

    def test_no_policy_touches_what_the_dataset_does_not_label(self, open_):
        space = [*xr.LabelSpace.load("union21").labels, "COVID-19", "No Finding"]
        ds = open_(space=space)
        outside = [i for i, label in enumerate(space) if label not in ds.matrix.covered]
        codes = ds.codes[:, outside]
        for policy in (xr.U_ONES, xr.U_ZEROS, xr.U_ONES_LSR):
            labels = ds.with_policy(policy.with_unmentioned(0.5)).labels[:, outside]
            np.testing.assert_array_equal(labels, codes)

    def test_totals_count_every_image_once(self, open_):
        ds = open_(space="native")
        totals = ds.totals()
        assert totals.index.tolist() == list(ds.pathologies)
        assert (totals.sum(axis=1) == self.images).all()
        assert totals["positive"].tolist() == (ds.codes == 1).sum(axis=0).tolist()

    def test_explain_agrees_with_the_labels(self, open_):
        ds = open_(space="union21", policy=xr.U_ONES)
        for row in range(len(ds)):
            for column, label in enumerate(ds.pathologies):
                found = ds.explain(row, label)
                assert found.code == pytest.approx(ds.codes[row, column], nan_ok=True)
                assert found.target == pytest.approx(ds.labels[row, column], nan_ok=True)
                assert found.policy == "U-Ones"
                assert found.reason

    def test_select_renumbers(self, open_):
        ds = open_(size=SIZE)
        some = ds.select([self.images - 1, 0])
        assert [sample["idx"] for sample in some] == [0, 1]
        assert some.table["image_id"].tolist() == ds.table["image_id"].iloc[[-1, 0]].tolist()
        np.testing.assert_array_equal(some.labels, ds.labels[[-1, 0]])
        assert torch.equal(some[0]["img"], ds[-1]["img"])
        mask = np.arange(self.images) == 1
        assert ds.select(mask).table["image_id"].tolist() == [ds.table["image_id"][1]]

    def test_concat_equals_its_parts(self, open_):
        ds = open_(size=SIZE, policy=xr.U_ONES)
        both = xr.concat([ds.select([0]), ds.select(range(1, self.images))])
        np.testing.assert_array_equal(both.labels, ds.labels)
        np.testing.assert_array_equal(both.codes, ds.codes)
        assert both.table["image_id"].tolist() == ds.table["image_id"].tolist()
        assert torch.equal(both[1]["img"], ds[1]["img"])
        assert both[1]["source"] == 1
        assert both[1]["idx"] == 1

    def test_masks_have_one_shape(self, open_):
        ds = open_(size=SIZE, masks=True)
        for sample in ds:
            assert sample["mask"].shape == (self.findings, SIZE, SIZE)
            assert sample["mask"].dtype == torch.uint8
            assert sample["mask_known"].shape == (self.findings,)
            assert sample["mask_known"].dtype == torch.bool

    def test_the_transform_comes_last(self, open_):
        ds = open_(size=SIZE, transform=lambda sample: {**sample, "seen": sorted(sample)})
        assert ds[0]["seen"] == ["idx", "img", "lab"]

    def test_one_row_per_patient_whole(self, open_):
        everyone = open_()
        first = open_(one_per_patient=True)
        patients = everyone.table["patient_id"]
        kept = (~patients.duplicated() | patients.isna()).to_numpy()
        assert first.table["image_id"].tolist() == everyone.table["image_id"][kept].tolist()
        np.testing.assert_array_equal(first.codes, everyone.codes[kept])

    def test_it_travels_to_another_process(self, open_):
        ds = open_(size=SIZE)
        again = pickle.loads(pickle.dumps(ds))
        np.testing.assert_array_equal(again.labels, ds.labels)
        assert torch.equal(again[0]["img"], ds[0]["img"])

    def test_a_loader_gives_whole_batches(self, open_):
        ds = open_(size=SIZE)
        batches = list(xr.loader(ds, batch_size=2, workers=0))
        assert sum(len(batch["idx"]) for batch in batches) == self.images
        assert batches[0]["img"].shape == (2, 1, SIZE, SIZE)
        assert torch.equal(torch.cat([batch["idx"] for batch in batches]), torch.arange(self.images))

    def test_unknown_split(self, open_):
        with pytest.raises(xr.SplitNotFoundError, match=r"no split 'dev'"):
            open_(split="dev")

    def test_unknown_finding_and_space(self, open_):
        ds = open_()
        with pytest.raises(xr.LabelNotFoundError, match=r"Did you mean 'Nodule'"):
            ds.explain(0, "Nodul")
        with pytest.raises(xr.LabelNotFoundError, match=r"no label space is called 'xrv81'"):
            ds.relabel("xrv81")

    def test_no_row_left(self, open_):
        with pytest.raises(xr.EmptyDatasetError, match=r"leave no row. The table has: "):
            open_(views="AP_SUPINE")


class DatasetConformance(CollectionConformance):
    """Inherited by the tests of each dataset that lies in a folder."""

    options: dict = {}  # noqa: RUF012

    @pytest.fixture
    def root(self, tmp_path):
        return fakes.write(self.key, tmp_path / "release")

    @pytest.fixture
    def open_(self, root):
        return partial(self.open_at, root)

    def open_at(self, root, **options):
        if self.key == "table":
            return xr.TableDataset(root, **self.options, **options)
        return xr.open(self.key, root, **self.options, **options)

    def test_blanks_in_the_heads_of_tables_change_nothing(self, open_, root):
        before = open_(views="*")
        self.rewrite_tables(
            root, lambda line: ",".join(f" {name} " for name in line.split(",")), lambda line: line
        )
        self.assert_same(open_(views="*"), before)

    def test_a_comma_at_the_end_of_each_line_changes_nothing(self, open_, root):
        before = open_(views="*")
        self.rewrite_tables(root, lambda line: line, lambda line: f"{line},")
        self.assert_same(open_(views="*"), before)

    def test_a_repeated_row_is_refused(self, open_, monkeypatch):
        self.change_table(monkeypatch, lambda table: pd.concat([table, table.iloc[:1]], ignore_index=True))
        with pytest.raises(xr.TableError, match=r"stands in more than one row \(1 such rows\)"):
            open_(views="*", missing="keep")

    @pytest.mark.parametrize("path", ["../1", "a/../../1", "/1", "C:1", "~/1", "..\\1", "\\1"])
    def test_an_id_that_leaves_the_root_is_refused(self, open_, monkeypatch, path):
        def change(table):
            column = self.dataset_class().columns
            name = "image_id" if isinstance(column, property) else column.get("image_id", "image_id")
            if name not in table:  # one's own table
                name = "file"
            ids = table[name].astype("object")
            return table.assign(**{name: ids.where(ids != ids.iloc[0], path)})

        self.change_table(monkeypatch, change)
        with pytest.raises(xr.TableError, match=r"points outside the root. Expected a path below it"):
            open_(views="*", missing="keep")

    def dataset_class(self):
        return xr.TableDataset if self.key == "table" else class_of(self.key)

    def change_table(self, monkeypatch, change):
        """Let the dataset's own table be another one."""
        read_table = self.dataset_class().read_table
        monkeypatch.setattr(self.dataset_class(), "read_table", lambda ds: change(read_table(ds)))

    def rewrite_tables(self, root, head, line):
        """Change the head and the lines of every CSV file below the root."""
        for path in [*root.rglob("*.csv"), *root.rglob("*.csv.gz")]:
            if path.name == getattr(fakes.load(self.key), "OPTIONS", {}).get("mapping"):
                continue
            packed = path.suffix == ".gz"
            lines = (
                (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode().splitlines()
            )
            start = 1 + (self.key == "stonybrook_covid")  # its first line is a title
            changed = [*lines[: start - 1], head(lines[start - 1]), *map(line, lines[start:])]
            data = ("\n".join(changed) + "\n").encode()
            path.write_bytes(gzip.compress(data) if packed else data)

    def assert_same(self, ds, before):
        names = ["image_id", "patient_id", "study_id", "view", "sex", "age", "split"]
        pd.testing.assert_frame_equal(ds.table[names], before.table[names])
        np.testing.assert_array_equal(ds.codes, before.codes)

    def test_keys_of_files_one_by_one_and_at_once(self, open_):
        ds = open_()
        ids = ds.table["image_id"]
        assert ds.files.keys(ids).tolist() == [ds.files.key(image_id) for image_id in ids]
        assert set(ds.files.keys(ids)) <= set(ds.files.paths)

    def test_native_size_is_kept_without_a_size(self, open_):
        ds = open_()
        assert tuple(ds[0]["img"].shape[1:]) == ds.read_raw(ds.table.iloc[0]).pixels.shape

    def test_wrong_root(self, tmp_path):
        with pytest.raises(xr.DatasetNotFoundError, match=r"does not exist|no table"):
            self.open_at(tmp_path / "nowhere")

    def test_an_unknown_home(self):
        with pytest.raises(xr.DatasetNotFoundError, match=r"does not exist|no table"):
            self.open_at("~nobody-of-this-name/data")

    def test_empty_root(self, tmp_path):
        with pytest.raises(xr.DatasetNotFoundError, match=r"no "):
            self.open_at(tmp_path)

    def test_a_file_as_root(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(xr.DatasetNotFoundError, match=r"is a file|no table"):
            self.open_at(tmp_path / "file")

    def test_damaged_image_is_named(self, open_):
        ds = open_()
        path = ds.image_source(ds.table.iloc[0])
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(xr.ImageReadError) as error:
            ds[0]
        assert str(path) in str(error.value)
        assert str(error.value).startswith(f"{self.key}:")
