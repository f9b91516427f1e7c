"""A packed dataset is the dataset that was packed: labels, table, provenance, images within half a grey "
"step."""

import logging
import pickle
import shutil
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import xrdatasets as xr
from tests import fakes
from xrdatasets.labels import LabelTable
from xrdatasets.labels.rules import Rule, Term
from xrdatasets.packed import card as cards

SIZE = 16
STEP = 1024 / 255  # half a grey step of 8 bits in a range of 2048
KEYS = fakes.KEYS


def opened(key, folder, **options):
    fake = fakes.load(key)
    options = getattr(fake, "OPTIONS", {}) | options
    root = fake.write(folder / key)
    if key == "table":
        from tests.fakes import table

        return (
            xr.TableDataset(root, **options) if "table" in options else xr.TableDataset(root, **table.OPTIONS)
        )
    return xr.open(key, root, **options)


def same(one, other):
    """Two datasets that say the same."""
    assert len(one) == len(other)
    assert one.pathologies == other.pathologies
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.unmentioned, other.unmentioned)
    pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(one.totals(), other.totals())
    pd.testing.assert_frame_equal(one.terms, other.terms)


@pytest.fixture(scope="module", params=KEYS)
def both(request, tmp_path_factory):
    """A release and its packed file, opened."""
    folder = tmp_path_factory.mktemp(request.param)
    ds = opened(request.param, folder, size=SIZE, views="*", space="union21")
    return ds, xr.open(xr.pack(ds, folder / "packed.h5", workers=0))


class TestEveryDataset:
    def test_it_says_the_same(self, both):
        same(*both)

    def test_any_space_and_policy_can_be_chosen_later(self, both):
        ds, packed = both
        policy = xr.U_ONES_LSR.with_unmentioned(0.0)
        same(ds.relabel("native").with_policy(policy), packed.relabel("native").with_policy(policy))
        again = xr.open(packed.path, space="chexpert14", policy=policy)
        same(ds.relabel("chexpert14").with_policy(policy), again)

    def test_every_cell_is_explained_as_before(self, both):
        ds, packed = both
        for row in range(len(ds)):
            for label in ds.pathologies:
                assert repr(packed.explain(row, label)) == repr(ds.explain(row, label))

    def test_images_differ_by_half_a_grey_step_at_most(self, both):
        ds, packed = both
        for one, other in zip(ds, packed, strict=True):
            assert other["img"].shape == (1, SIZE, SIZE)
            assert (one["img"] - other["img"]).abs().max() <= STEP + 1e-3
            assert one["idx"] == other["idx"]
            assert torch.equal(one["lab"].nan_to_num(-9), other["lab"].nan_to_num(-9))

    def test_patients_fall_on_the_same_sides(self, both):
        ds, packed = both
        if len(ds) < 4 or ds.table.patient_id.nunique() < 3:
            pytest.skip("too few patients to split")
        for one, other in zip(
            ds.split_by_patient((0.5, 0.5), seed=3), packed.split_by_patient((0.5, 0.5), seed=3), strict=True
        ):
            same(one, other)

    def test_rows_in_any_order(self, both):
        ds, packed = both
        rows = np.arange(len(ds))[::-1]
        same(ds.select(rows), packed.select(rows))
        assert torch.equal(packed.select(rows)[0]["img"], packed[-1]["img"])

    def test_a_copy_in_another_process(self, both):
        ds, packed = both
        first = packed[0]["img"]  # a map is open now
        other = pickle.loads(pickle.dumps(packed))
        same(ds, other)
        assert torch.equal(other[0]["img"], first)


@pytest.fixture
def nih(tmp_path):
    return xr.NIH(fakes.write("nih", tmp_path / "nih"), size=SIZE)


@pytest.fixture
def packed(nih, tmp_path):
    return xr.open(xr.pack(nih, tmp_path / "nih.h5", workers=0))


def test_native_8_bit_images_stay_as_they_are(tmp_path):
    ds = xr.Phantom(6, size=48)
    again = xr.open(xr.pack(ds, tmp_path / "a.h5", workers=0))
    for one, other in zip(ds, again, strict=True):
        assert torch.equal(one["img"], other["img"])


def test_16_bits_are_256_times_as_fine(nih, tmp_path):
    packed = xr.open(xr.pack(nih, tmp_path / "fine.h5", workers=0, dtype="uint16"))
    difference = max((a["img"] - b["img"]).abs().max() for a, b in zip(nih, packed, strict=True))
    assert difference <= 1024 / 65_535 + 1e-3
    assert next(iter(xr.loader(packed, 2, workers=0, raw=True)))["img"].dtype == torch.uint16


def test_rows_that_were_chosen_before(nih, tmp_path):
    chosen = nih.select([3, 0])
    packed = xr.open(xr.pack(chosen, tmp_path / "some.h5", workers=0))
    same(chosen, packed)


def test_packing_what_is_packed_already(packed, tmp_path):
    again = xr.open(xr.pack(packed.select([2, 1]), tmp_path / "again.h5", workers=0))
    same(packed.select([2, 1]), again)
    assert torch.equal(again[0]["img"], packed[2]["img"])


@pytest.mark.parametrize("options", [{"views": "PA"}, {"one_per_patient": True}, {"intensity": "unit"}])
def test_options_at_opening_are_those_of_the_release(nih, packed, options):
    release = xr.NIH(nih.root, size=SIZE, **options)
    again = xr.open(packed.path, **options)
    same(release, again)
    assert (release[0]["img"] - again[0]["img"]).abs().max() <= STEP + 1e-3


def test_rows_as_torchxrayvision_mixes_them_are_chosen_when_packing(tmp_path):
    root = fakes.write("chexpert", tmp_path / "c")
    mixed = xr.CheXpert(root, size=SIZE, compat="xrv", one_per_patient=True, missing="drop")
    same(mixed, xr.open(xr.pack(mixed, tmp_path / "a.h5", workers=0)))
    file = xr.pack(xr.CheXpert(root, size=SIZE, compat="xrv", missing="drop"), tmp_path / "b.h5", workers=0)
    with pytest.raises(
        ValueError, match=r"one_per_patient: expected False for a file packed with compat='xrv'"
    ):
        xr.open(file, one_per_patient=True)


def test_splits(tmp_path):
    root = fakes.write("kermany", tmp_path / "kermany")
    file = xr.pack(xr.Kermany(root, size=SIZE), tmp_path / "k.h5", workers=0)
    same(xr.Kermany(root, size=SIZE, split="test"), xr.open(file, split="test"))
    with pytest.raises(xr.SplitNotFoundError, match=r"no split 'dev'"):
        xr.open(file, split="dev")


def test_closure_at_packing_and_at_opening(tmp_path):
    closed = xr.Phantom(60, "C", size=SIZE, closure="irvin2019")
    plain = xr.Phantom(60, "C", size=SIZE)
    assert not np.array_equal(closed.codes, plain.codes, equal_nan=True)
    file, later = (xr.pack(ds, tmp_path / f"{i}.h5", workers=0) for i, ds in enumerate((closed, plain)))
    same(closed, xr.open(file))
    same(closed, xr.open(later, closure="irvin2019"))
    with pytest.raises(ValueError, match=r"closure: expected 'irvin2019'.* got 'luo2020'"):
        xr.open(file, closure="luo2020")


def test_the_truth_of_the_phantom_is_packed_and_explained_as_such(tmp_path):
    ds = xr.Phantom(8, "C", size=SIZE).with_truth()
    packed = xr.open(xr.pack(ds, tmp_path / "truth.h5", workers=0))
    np.testing.assert_array_equal(packed.codes, ds.codes)
    assert packed.explain(0, "Effusion").code == ds.truth[0, ds.pathologies.index("Effusion")]


def test_a_transform_sees_every_sample(packed):
    ds = xr.open(packed.path, transform=lambda sample: sample | {"seen": True})
    assert ds[0]["seen"]
    assert all(sample["seen"] for sample in ds.__getitems__([0, 1]))


def test_many_samples_are_read_as_each_alone(packed):
    for one, other in zip(packed.__getitems__([4, 0, -1]), (packed[4], packed[0], packed[-1]), strict=True):
        assert torch.equal(one["img"], other["img"])
        assert torch.equal(one["lab"].nan_to_num(-9), other["lab"].nan_to_num(-9))
        assert one["idx"] == other["idx"]
    with pytest.raises(IndexError, match=r"expected an index from"):
        packed.__getitems__([99])


def test_a_sample_may_be_edited_without_touching_the_file(packed):
    sample = packed[0]
    before = sample["img"].clone()
    sample["img"].zero_()
    assert torch.equal(packed[0]["img"], before)


def test_readers_of_the_same_images_are_joined_from_packed_files(tmp_path):
    root = fakes.write("nih_google", tmp_path / "g")
    parts = [cls(root, size=SIZE, missing="drop") for cls in (xr.NIHGoogle, xr.NIH)]
    files = [xr.pack(ds, tmp_path / f"{i}.h5", workers=0) for i, ds in enumerate(parts)]
    joined, again = xr.join(*parts), xr.join(*map(xr.open, files))
    np.testing.assert_array_equal(joined.labels, again.labels)
    assert again.explain(0, "Fracture") == joined.explain(0, "Fracture")


def test_several_files_open_as_one_and_overlap_is_told(nih, packed, tmp_path):
    kermany = xr.Kermany(fakes.write("kermany", tmp_path / "kermany"), size=SIZE)
    other = xr.pack(kermany, tmp_path / "k.h5", workers=0)
    one = xr.open([packed.path, other], space="bundled21")
    np.testing.assert_array_equal(one.labels, xr.concat([nih, kermany]).relabel("bundled21").labels)
    with pytest.warns(xr.OverlapWarning, match=r"share"):
        xr.open([packed.path, packed.path])


class TestMappingTables:
    """The tables of today and those of the day of packing."""

    @pytest.fixture
    def changed(self, packed, monkeypatch):
        """Today's table calls Mass what was called Nodule, and has one term more if asked."""

        def change(more=()):
            old = LabelTable.load("nih")
            swap = {"Nodule": "Mass", "Mass": "Nodule"}
            rules = tuple(
                Rule(r.term, swap.get(r.target, r.target), r.relation, r.note, r.reference, r.place)
                for r in old.rules
            )
            table = LabelTable("nih", rules + tuple(more), old.absent)
            monkeypatch.setattr(LabelTable, "load", lambda key, compat=None: table)
            monkeypatch.setattr("xrdatasets.packed.dataset.digests", lambda key, compat, released: {})

        return change

    def test_another_table_with_the_same_labels_is_no_news(self, packed, monkeypatch):
        monkeypatch.setattr("xrdatasets.packed.dataset.digests", lambda key, compat, released: {})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            xr.open(packed.path)

    def test_the_packed_labels_stay_with_a_warning(self, packed, changed):
        changed()
        with pytest.warns(
            xr.MappingWarning, match=r"the mapping tables of nih have changed since it was packed"
        ):
            again = xr.open(packed.path)
        np.testing.assert_array_equal(again.codes, packed.codes)

    def test_current_makes_the_labels_anew(self, packed, changed):
        changed()
        again = xr.open(packed.path, mapping="current", space=["Nodule", "Mass"])
        np.testing.assert_array_equal(again.codes, packed.relabel(["Mass", "Nodule"]).codes)
        row = int(np.flatnonzero(again.codes[:, 0] == 1)[0]) if (again.codes[:, 0] == 1).any() else 0
        assert again.explain(row, "Nodule").code == again.codes[row, 0]

    @pytest.mark.parametrize("key", ["openi", "rsna", "vindr"])
    def test_rules_that_a_release_leaves_out_stay_out(self, tmp_path, monkeypatch, key):
        ds = opened(key, tmp_path, size=SIZE, space="union21")
        file = xr.pack(ds, tmp_path / "a.h5", workers=0)
        monkeypatch.setattr("xrdatasets.packed.dataset.digests", lambda key, compat, released: {})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            same(ds, xr.open(file))
            same(ds, xr.open(file, mapping="current"))

    def test_a_table_of_ones_own_that_is_called_as_a_release(self, tmp_path, monkeypatch):
        root = fakes.write("table", tmp_path / "secret-place")
        ds = xr.TableDataset(root, size=SIZE, **fakes.load("table").OPTIONS | {"name": "nih"})
        file = xr.pack(ds, tmp_path / "a.h5", workers=0)
        assert b"secret-place" not in file.read_bytes()
        monkeypatch.setattr("xrdatasets.packed.dataset.digests", lambda key, compat, released: {})
        same(ds, xr.open(file, mapping="current"))

    def test_a_term_that_the_file_does_not_tell_of(self, packed, changed):
        changed([Rule(Term("*", "Scoliosis"), None, None, "", "", "nih.csv:99")])
        with pytest.raises(xr.MappingError, match=r"terms of which this file does not tell: Scoliosis"):
            xr.open(packed.path, mapping="current")

    def test_another_word(self, packed):
        with pytest.raises(ValueError, match=r"mapping: expected 'packed' or 'current', got 'new'"):
            xr.open(packed.path, mapping="new")

    def test_digests_are_those_of_the_files(self):
        import hashlib

        from xrdatasets.resources import mappings

        found = cards.digests("nih", compat=None, released=True)
        own = (mappings() / "labels" / "nih.csv").read_bytes()
        assert found["labels/nih.csv"] == hashlib.sha256(own).hexdigest()
        assert set(found) == {"findings.csv", "hierarchy.csv", "labels/nih.csv"}
        assert "compat/chexpert.csv" in cards.digests("chexpert", compat="xrv", released=True)


class TestDamagedFiles:
    """Every damage is one kind of error, which names the file."""

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(xr.PackedFileError, match=r"no file .*gone\.h5"):
            xr.open(tmp_path / "gone.h5")

    def test_a_name_that_is_neither_file_nor_dataset(self):
        with pytest.raises(xr.DatasetNotFoundError, match=r"'nih' is no packed file.*and its root"):
            xr.open("nih")

    def test_a_file_of_another_kind(self, tmp_path):
        (tmp_path / "a.h5").write_text("image,label\n")
        with pytest.raises(xr.PackedFileError, match=r"is no HDF5 file"):
            xr.open(tmp_path / "a.h5")
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file["images"] = np.zeros(3)
        with pytest.raises(xr.PackedFileError, match=r"HDF5 file of another kind"):
            xr.open(tmp_path / "b.h5")

    def test_a_newer_version(self, packed):
        with h5py.File(packed.path, "r+") as file:
            file.attrs["version"] = 2
        with pytest.raises(
            xr.PackedFileError,
            match=r"version 2 of the format, written by xrdatasets 0\.1\.0.*Install that one",
        ):
            xr.open(packed.path)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
    def test_a_file_that_was_cut(self, packed, share):
        data = packed.path.read_bytes()
        packed.path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(xr.PackedFileError, match=r"nih\.h5"):
            xr.open(packed.path)

    @pytest.mark.parametrize(
        "name", ["card", "labels/states", "labels/said", "labels/tables", "table/0", "images"]
    )
    def test_a_part_that_is_missing(self, packed, name):
        with h5py.File(packed.path, "r+") as file:
            del file[name]
        with pytest.raises(xr.PackedFileError, match=r"nih\.h5.* is damaged"):
            xr.open(packed.path)

    @pytest.mark.parametrize("name", ["labels/states", "labels/said", "labels/tables", "table/0"])
    def test_a_part_of_another_shape(self, packed, name):
        with h5py.File(packed.path, "r+") as file:
            array = file[name][()]
            del file[name]
            file[name] = array[..., :2]
        with pytest.raises(xr.PackedFileError, match=r"nih\.h5.* is damaged"):
            xr.open(packed.path)

    def test_states_that_mean_nothing(self, packed):
        with h5py.File(packed.path, "r+") as file:
            file["labels/states"][0, 0] = 99
        with pytest.raises(xr.PackedFileError, match=r"states \[99\], which mean nothing"):
            xr.open(packed.path)

    def test_a_finding_that_nobody_knows(self, packed):
        with h5py.File(packed.path, "r+") as file:
            text = file["card"][()].tobytes().replace(b'"Hernia"', b'"Hermia"')
            file["card"][...] = np.frombuffer(text, np.uint8)
        with pytest.raises(xr.PackedFileError, match=r"Hermia"):
            xr.open(packed.path)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"engine": "area"', b'"engine": "cube"'),
            (b'"crop":', b'"drop":'),
            (b'"crop": true', b'"crop": 1234'),
            (b'"closure": null', b'"closure": 7777'),
            (b'"name": "patient_id"', b'"name": "patient_xx"'),
            (b'"terms": [["*", "At', b'"terms": [["*", "xx'),
            (b'"traced":', b'"braced":'),
            (b"{", b"["),
        ],
    )
    def test_a_card_that_is_damaged(self, packed, old, new):
        with h5py.File(packed.path, "r+") as file:
            text = file["card"][()].tobytes()
            assert old in text
            changed = text.replace(old, new, 1)
            file["card"][...] = np.frombuffer(changed, np.uint8)
        with pytest.raises(xr.PackedFileError, match=r"nih\.h5.* is damaged"):
            xr.open(packed.path)

    def test_an_array_that_claims_more_than_the_file_can_hold(self, packed):
        with h5py.File(packed.path, "r+") as file:
            del file["labels/said"]
            file.create_dataset(
                "labels/said", (2**20, 2**20), np.uint8, chunks=(2**10, 2**10), compression="gzip"
            )
        with pytest.raises(xr.PackedFileError, match=r"labels/said claims more bytes than the file can hold"):
            xr.open(packed.path)

    def test_a_file_that_is_cut_while_it_is_open(self, packed):
        _ = packed[0]
        with packed.path.open("r+b") as file:
            file.truncate(1000)
        with pytest.raises(xr.PackedFileError, match=r"was cut since the dataset was opened"):
            _ = packed[0]

    def test_a_file_that_is_replaced_before_a_worker_opens_it(self, packed):
        other = pickle.loads(pickle.dumps(packed))
        data = packed.path.read_bytes()
        packed.path.unlink()
        with pytest.raises(xr.PackedFileError, match=r"cannot be read any more \(No such file"):
            _ = other[0]
        packed.path.write_bytes(data + b"\0")
        with pytest.raises(xr.PackedFileError, match=r"was changed since the dataset was opened"):
            _ = other[0]

    def test_flipped_bytes_never_crash(self, packed, tmp_path):
        data = bytearray(packed.path.read_bytes())
        end = len(data) - len(packed) * SIZE * SIZE
        rng = np.random.default_rng(0)
        file = tmp_path / "flipped.h5"
        refused = 0
        for _ in range(150):
            spoilt = bytearray(data)
            for place in rng.integers(0, end, 3):
                spoilt[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(spoilt)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    again = xr.open(file)
                    _ = again[0]
                except xr.XRDatasetsError:
                    refused += 1
        assert refused


def test_unreadable_images_are_left_out_and_told(nih, tmp_path, caplog):
    victim = nih.files.get(nih.table.image_id[1])
    victim.write_bytes(victim.read_bytes()[:60])
    with pytest.raises(xr.ImageReadError, match=victim.name):
        xr.pack(nih, tmp_path / "a.h5", workers=0)
    with caplog.at_level(logging.WARNING):
        file = xr.pack(nih, tmp_path / "b.h5", workers=0, damaged="drop")
        assert victim.name in caplog.text
        packed = xr.open(file)
    assert "1 of 5 images were damaged" in caplog.text
    same(nih.select([0, 2, 3, 4]), packed)


def test_wrong_arguments_come_before_the_file(tmp_path):
    file = tmp_path / "gone.h5"
    for options, message in (
        ({"views": "PAX"}, r"views: expected"),
        ({"intensity": "dark"}, r"intensity: expected"),
        ({"one_per_patient": 1}, r"one_per_patient: expected"),
        ({"transform": 3}, r"transform: expected"),
        ({"policy": "U-Ones"}, r"policy"),
    ):
        with pytest.raises(ValueError, match=message):
            xr.open(file, **options)
    with pytest.raises(xr.LabelNotFoundError):
        xr.open(file, space="nih99")


def test_a_copy_of_the_file_elsewhere_is_the_same_dataset(packed, tmp_path):
    other = shutil.copy(packed.path, tmp_path / "copy.h5")
    same(packed, xr.open(other))
