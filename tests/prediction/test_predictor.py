"""A classifier over files and folders: numbers, files, failures, and what is left of an interrupted call."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.fakes import write_dicom
from tests.prediction.conftest import FINDINGS, SIZE, make_classifier, write_png
from xrdatasets.errors import LabelNotFoundError, XRDatasetsError
from xrdatasets.models import Classifier, InputSpec, Network, backbone
from xrdatasets.models.ensemble import Ensemble
from xrdatasets.prediction import find_images, predict_files
from xrdatasets.prediction.run import Run

# other sizes of batches take other kernels, and a network with folded normalisation rounds elsewhere
WITHIN = 2e-6


def asked(classifier, paths):
    """What the classifier says of each image alone."""
    with torch.inference_mode():
        return np.concatenate([classifier(classifier.preprocess(path)).numpy() for path in paths])


def assert_asked(table, classifier):
    np.testing.assert_allclose(
        table.drop(columns="path").to_numpy(), asked(classifier, table["path"]), rtol=0, atol=WITHIN
    )


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_has_the_classifiers_own_numbers(classifier, films, batch_size, workers):
    found = predict_files(classifier, films, batch_size=batch_size, workers=workers)
    assert list(found.table) == ["path", *FINDINGS]
    assert found.table["path"].tolist() == list(find_images(films).paths)
    assert (found.table.dtypes.iloc[1:] == np.float32).all()
    assert (len(found), found.ok, found.skipped, found.out) == (7, True, 3, None)
    assert_asked(found.table, classifier)


def test_the_classifier_is_left_as_it_was(classifier, films):
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    predict_files(classifier, films, workers=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())
    assert not any(parameter.grad is not None for parameter in classifier.parameters())


def test_images_of_any_size_go_to_a_network_of_any_size(films):
    network = Network(backbone("mini", width=4), 3)
    any_size = Classifier(network, FINDINGS, inputs=InputSpec(size=None))
    found = predict_files(any_size, films, workers=0)
    assert len(found) == 7
    assert_asked(found.table, any_size)


def test_an_ensemble_predicts_too_but_draws_nothing(films, tmp_path):
    both = Ensemble([make_classifier(0), make_classifier(1)])
    found = predict_files(both, films, out=tmp_path / "a.csv", workers=0)
    members = [asked(make_classifier(seed), found.table["path"]) for seed in (0, 1)]
    np.testing.assert_allclose(found.table[list(FINDINGS)], sum(members) / 2, atol=WITHIN)
    with pytest.raises(
        ValueError, match="heatmaps: expected a trained classifier that draws them, got Ensemble"
    ):
        predict_files(both, films, heatmaps=tmp_path / "maps", workers=0)


def test_bad_files_are_listed_and_never_fatal(classifier, films):
    (films / "film2.png").write_bytes((films / "film2.png").read_bytes()[:200])
    given = [films, films / "notes.txt", films / "gone.png"]
    found = predict_files(classifier, given, workers=0)
    assert not found.ok
    assert len(found) == 6
    assert found.failed["path"].tolist() == [str(films / "film2.png"), str(films / "gone.png")]
    assert found.failed["reason"].str.contains("ends too early|No such file").all()
    assert_asked(found.table, classifier)


def test_a_file_that_is_named_and_found_beside_is_a_failure_if_named_first(classifier, films):
    found = predict_files(classifier, [films / "notes.txt", films], workers=0)
    assert found.failed["path"].tolist() == [str(films / "notes.txt")]
    assert (len(found), found.skipped) == (7, 2)


def test_only_failures_is_no_error(classifier, tmp_path):
    found = predict_files(classifier, tmp_path / "gone.png", out=tmp_path / "a.csv", workers=0)
    assert (len(found), len(found.failed)) == (0, 1)
    assert (tmp_path / "a.csv").read_text() == "path,Atelectasis,Effusion,Nodule\n"


class TestFiles:
    def test_csv(self, classifier, films, tmp_path):
        found = predict_files(classifier, films, out=tmp_path / "a.csv", workers=0)
        read = pd.read_csv(tmp_path / "a.csv")
        assert list(read) == ["path", *FINDINGS]
        assert read["path"].tolist() == found.table["path"].tolist()
        for name in FINDINGS:  # every bit of the float32
            np.testing.assert_array_equal(read[name].astype(np.float32), found.table[name])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.csv.meta.json", "films"]

    def test_json(self, classifier, films, tmp_path):
        (films / "film2.png").write_bytes(b"")
        found = predict_files(classifier, [films, films / "film2.png"], out=tmp_path / "a.json", workers=0)
        told = json.loads((tmp_path / "a.json").read_text())
        assert (told["version"], told["command"], told["images"], told["skipped"]) == (1, "predict", 6, 4)
        assert told["findings"] == list(FINDINGS)
        assert [row["path"] for row in told["predictions"]] == found.table["path"].tolist()
        numbers = [[row["probabilities"][name] for name in FINDINGS] for row in told["predictions"]]
        np.testing.assert_array_equal(np.float32(numbers), found.table[list(FINDINGS)])
        assert not (tmp_path / "a.json.meta.json").exists()

    def test_lines(self, classifier, films, tmp_path):
        found = predict_files(classifier, films, out=tmp_path / "a.jsonl", workers=0)
        rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
        assert [row["path"] for row in rows] == found.table["path"].tolist()
        assert json.loads((tmp_path / "a.jsonl.meta.json").read_text())["images"] == 7

    def test_metadata_say_what_the_numbers_are_of(self, films, tmp_path):
        points = {"Effusion": 0.2}
        classifier = make_classifier(trained=["Atelectasis", "Effusion"], operating_points=points)
        (films / "film2.png").write_bytes(b"no image")
        told = {"name": "tiny-1", "sha256": "ab" * 32}
        given = [films / "film2.png", films]
        found = predict_files(classifier, given, out=tmp_path / "a.csv", weights=told, workers=0)
        read = json.loads((tmp_path / "a.csv.meta.json").read_text())
        assert read == {"version": 1, "command": "predict", **found.metadata}
        assert read["weights"].pop("fingerprint").isalnum()
        assert read["weights"] == told
        assert (read["space"], read["untrained"]) == ("tiny", ["Nodule"])
        assert read["operating_points"] == {"Atelectasis": None, "Effusion": 0.2, "Nodule": None}
        assert read["inputs"]["size"] == SIZE
        assert [each["path"] for each in read["failed"]] == [str(films / "film2.png")]

    def test_untrained_findings_are_empty_cells_and_null(self, films, tmp_path):
        classifier = make_classifier(trained=["Atelectasis", "Effusion"])
        found = predict_files(classifier, films / "film1.png", out=tmp_path / "a.csv", workers=0)
        assert found.table["Nodule"].isna().all()
        assert (tmp_path / "a.csv").read_text().splitlines()[1].endswith(",")
        assert pd.read_csv(tmp_path / "a.csv")["Nodule"].isna().all()
        predict_files(classifier, films / "film1.png", out=tmp_path / "a.json", workers=0)
        (row,) = json.loads((tmp_path / "a.json").read_text())["predictions"]
        assert row["probabilities"]["Nodule"] is None

    @pytest.mark.parametrize(
        "name", ['a,"b".png', "a\nb.png", "a\r\nb.png", "=cmd|' /C calc'!A0.png", "é 中.png"]
    )
    def test_names_of_any_kind_survive(self, classifier, tmp_path, name):
        path = str(write_png(tmp_path / "in" / name))
        for ending in ("csv", "json"):
            predict_files(classifier, path, out=tmp_path / f"a.{ending}", workers=0)
        assert pd.read_csv(tmp_path / "a.csv")["path"].tolist() == [path]
        with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
            assert [row["path"] for row in csv.DictReader(file)] == [path]
        assert json.loads((tmp_path / "a.json").read_text())["predictions"][0]["path"] == path

    def test_names_that_are_no_utf8_keep_their_bytes(self, classifier, tmp_path):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png")
        try:
            write_png(tmp_path / "a.png").rename(path)
        except OSError:
            pytest.skip("the file system wants UTF-8")
        found = predict_files(classifier, tmp_path, out=tmp_path / "a.csv", workers=0)
        assert found.table["path"].tolist() == [path]
        assert os.fsencode(path) in (tmp_path / "a.csv").read_bytes()
        read = pd.read_csv(tmp_path / "a.csv", encoding_errors="surrogateescape", dtype={"path": object})
        assert read["path"].tolist() == [path]
        predict_files(classifier, path, out=tmp_path / "a.json", workers=0)
        assert json.loads((tmp_path / "a.json").read_text())["predictions"][0]["path"] == path

    def test_nothing_of_a_dicom_header_is_written(self, classifier, tmp_path):
        about = {"PatientName": "Doe^Jane", "PatientID": "ID4711", "InstitutionName": "Mercy"}
        write_dicom(tmp_path / "in" / "a", **about)
        cut = write_dicom(tmp_path / "in" / "b", **about)
        cut.write_bytes(cut.read_bytes()[:-2000])
        broken = write_dicom(tmp_path / "in" / "c", **about)
        broken.write_bytes(broken.read_bytes().replace(b"MONOCHROME2 ", b"Doe^Jane    "))
        out = tmp_path / "out"
        out.mkdir()
        for ending in ("csv", "json", "jsonl"):
            options = {"out": out / f"a.{ending}", "heatmaps": out / "maps", "workers": 0}
            found = predict_files(classifier, tmp_path / "in", **options)
            assert (len(found), len(found.failed)) == (1, 2)
        written = b"".join(
            path.name.encode() + path.read_bytes() for path in out.rglob("*") if path.is_file()
        )
        for word in (b"Doe", b"Jane", b"4711", b"Mercy"):
            assert word not in written

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("a.xlsx", "expected a name that ends in .csv, .json, .jsonl"),
            ("gone/a.csv", "no folder"),
            ("films.csv", "is no ordinary file"),
        ],
    )
    def test_a_file_that_cannot_be_written_is_told_before_the_work(
        self, classifier, films, tmp_path, monkeypatch, name, message
    ):
        (tmp_path / "films.csv").mkdir()
        monkeypatch.setattr(Run, "go", lambda *_, **__: pytest.fail("it was begun"))
        with pytest.raises(ValueError, match=message):
            predict_files(classifier, films, out=tmp_path / name)

    def test_a_file_that_is_there_is_not_replaced(self, classifier, films, tmp_path):
        out = tmp_path / "a.csv"
        out.write_text("mine")
        with pytest.raises(ValueError, match=r"is there already. Pass another name, or resume=False"):
            predict_files(classifier, films, out=out)
        assert out.read_text() == "mine"
        assert len(predict_files(classifier, films, out=out, resume=False, workers=0)) == 7
        assert out.read_text().startswith("path,")


@pytest.fixture
def interrupted(monkeypatch):
    """Let a call be interrupted after some batches."""

    def after(batches):
        whole, left = Run._predict, [batches]

        def predict(self, batch):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return whole(self, batch)

        monkeypatch.setattr(Run, "_predict", predict)

    yield after
    monkeypatch.undo()


class TestResuming:
    @pytest.fixture
    def half(self, classifier, films, tmp_path, interrupted, monkeypatch):
        """A call that ended after four of seven images."""
        interrupted(2)
        with pytest.raises(KeyboardInterrupt):
            predict_files(classifier, films, out=tmp_path / "a.csv", batch_size=2, workers=0)
        monkeypatch.undo()
        assert not (tmp_path / "a.csv").exists()
        return tmp_path / "a.csv.part"

    @pytest.fixture
    def seen(self, monkeypatch):
        """Names of the images that the network is given."""
        whole, names = Run._predict, []

        def predict(self, batch):
            names.extend(os.path.basename(self.paths[row]) for row, _ in batch)  # noqa: PTH119
            return whole(self, batch)

        monkeypatch.setattr(Run, "_predict", predict)
        return names

    def test_the_same_call_goes_on(self, classifier, films, tmp_path, half, seen):
        assert len(half.read_text().splitlines()) == 5
        found = predict_files(classifier, films, out=tmp_path / "a.csv", batch_size=2, workers=0)
        assert seen == ["a.jpg", "b.tif", "c.bmp"]
        assert not half.exists()
        whole = predict_files(classifier, films, out=tmp_path / "b.csv", batch_size=2, workers=0)
        assert found.table["path"].tolist() == whole.table["path"].tolist()
        np.testing.assert_allclose(found.table[list(FINDINGS)], whole.table[list(FINDINGS)], atol=WITHIN)
        # what was known before is not rounded on its way
        known = [(tmp_path / name).read_text().splitlines()[:5] for name in ("a.csv", "b.csv")]
        assert known[0] == known[1]

    def test_a_last_line_that_is_cut_does_not_count(self, classifier, films, tmp_path, half, seen):
        half.write_bytes(half.read_bytes()[:-20])
        assert len(predict_files(classifier, films, out=tmp_path / "a.csv", workers=0)) == 7
        assert seen == ["IM000001", "a.jpg", "b.tif", "c.bmp"]

    def test_other_weights_are_refused_with_both_names(self, films, tmp_path, half):
        before = half.read_bytes()
        other = make_classifier(1)
        with pytest.raises(XRDatasetsError, match=r"other weights: 'no name' \(\w{12}\), now 'b' \(\w{12}\)"):
            predict_files(other, films, out=tmp_path / "a.csv", weights={"name": "b"}, workers=0)
        assert half.read_bytes() == before
        found = predict_files(other, films, out=tmp_path / "a.csv", resume=False, workers=0)
        assert_asked(found.table, other)

    @pytest.mark.parametrize(
        "options", [{"operating_points": [0.3] * 3}, {"trained": ["Nodule"]}, {"compat": "xrv"}], ids=str
    )
    def test_the_same_network_with_another_output_is_other_weights(self, films, tmp_path, half, options):
        with pytest.raises(XRDatasetsError, match="other weights"):
            predict_files(make_classifier(**options), films, out=tmp_path / "a.csv", workers=0)

    def test_the_same_weights_by_another_name_go_on(self, classifier, films, tmp_path, half, seen):
        predict_files(classifier, films, out=tmp_path / "a.csv", weights={"name": "copy"}, workers=0)
        assert len(seen) == 3

    def test_other_heatmaps_are_refused(self, classifier, films, tmp_path, half):
        with pytest.raises(XRDatasetsError, match="other heatmaps: null, now"):
            predict_files(classifier, films, out=tmp_path / "a.csv", heatmaps=tmp_path / "m", workers=0)

    def test_images_that_came_or_went_are_seen(self, classifier, films, tmp_path, half, seen):
        write_png(films / "film0.png")
        (films / "film1.png").unlink()
        found = predict_files(classifier, films, out=tmp_path / "a.csv", workers=0)
        assert seen == ["film0.png", "a.jpg", "b.tif", "c.bmp"]
        assert found.table["path"].tolist() == list(find_images(films).paths)
        assert pd.read_csv(tmp_path / "a.csv")["path"].tolist() == found.table["path"].tolist()
        assert_asked(found.table, classifier)

    def test_what_failed_is_tried_again(self, classifier, films, tmp_path, interrupted, monkeypatch, seen):
        path, content = films / "film1.png", (films / "film1.png").read_bytes()
        path.write_bytes(content[:100])
        interrupted(2)
        with pytest.raises(KeyboardInterrupt):
            predict_files(classifier, films, out=tmp_path / "a.csv", batch_size=2, workers=0)
        monkeypatch.undo()
        path.write_bytes(content)
        found = predict_files(classifier, films, out=tmp_path / "a.csv", workers=0)
        assert found.ok
        assert found.table["path"][0] == str(path)

    @pytest.mark.parametrize("text", ["path,Effusion\na.png,0.5\n", '{"format": "x"}\n', "[]\n"])
    def test_a_part_of_something_else_is_refused(self, classifier, films, tmp_path, text):
        (tmp_path / "a.csv.part").write_text(text)
        with pytest.raises(XRDatasetsError, match="line 1: no journal of predictions"):
            predict_files(classifier, films, out=tmp_path / "a.csv", workers=0)
        assert (tmp_path / "a.csv.part").read_text() == text

    def test_a_second_process_is_kept_out(self, classifier, films, tmp_path):
        fcntl = pytest.importorskip("fcntl")
        with (tmp_path / "a.csv.part").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(XRDatasetsError, match="in use by another process"):
                predict_files(classifier, films, out=tmp_path / "a.csv", workers=0)

    def test_a_full_disk_at_the_end_loses_nothing(self, classifier, films, tmp_path, monkeypatch, seen):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("xrdatasets.prediction.predictor.write_out", full)
        with pytest.raises(OSError, match="No space left"):
            predict_files(classifier, films, out=tmp_path / "a.csv", workers=0)
        assert len(seen) == 7
        monkeypatch.undo()
        assert len((tmp_path / "a.csv.part").read_text().splitlines()) == 8


class TestHeatmaps:
    def test_the_most_probable_finding_of_each_image(self, classifier, films, tmp_path):
        found = predict_files(classifier, films, heatmaps=tmp_path / "maps", workers=0)
        assert len(found.heatmaps) == 7
        best = found.table.set_index("path")[list(FINDINGS)].idxmax(axis=1)
        assert dict(zip(found.heatmaps["path"], found.heatmaps["finding"], strict=True)) == best.to_dict()
        assert len({path.name for path in (tmp_path / "maps").iterdir()}) == 7

    def test_a_picture_is_the_heat_over_what_the_network_sees(self, classifier, films, tmp_path):
        path = films / "film1.png"
        found = predict_files(classifier, path, heatmaps=tmp_path / "maps", findings=["nodule"], workers=0)
        (row,) = found.heatmaps.to_dict("records")
        assert row["finding"] == "Nodule"
        shown = np.asarray(Image.open(row["file"])).astype(float)
        image = classifier.preprocess(path)
        grey = (image[0, 0].numpy()[..., np.newaxis] + 1024) / 2048 * 255
        heat = classifier.heatmap(image, "Nodule")[0].numpy()[..., np.newaxis]
        wanted = (1 - 0.6 * heat) * grey + 0.6 * heat * (
            (1 - heat) * np.array([205, 0, 40]) + heat * np.array([255, 235, 0])
        )
        np.testing.assert_allclose(shown, wanted, atol=0.51)

    def test_equal_names_in_two_folders_have_two_pictures(self, classifier, tmp_path):
        for folder in ("a", "b"):
            write_png(tmp_path / folder / "1.png", ord(folder))
        options = {"heatmaps": tmp_path / "maps", "findings": ["Effusion", "Nodule"], "workers": 0}
        found = predict_files(classifier, [tmp_path / "a", tmp_path / "b"], **options)
        assert len(found.heatmaps) == len(list((tmp_path / "maps").iterdir())) == 4

    def test_json_names_them_and_resuming_keeps_them(
        self, classifier, films, tmp_path, interrupted, monkeypatch
    ):
        options = {"out": tmp_path / "a.json", "heatmaps": tmp_path / "maps", "batch_size": 2, "workers": 0}
        interrupted(2)
        with pytest.raises(KeyboardInterrupt):
            predict_files(classifier, films, **options)
        monkeypatch.undo()
        found = predict_files(classifier, films, **options)
        rows = json.loads((tmp_path / "a.json").read_text())["predictions"]
        files = [file for row in rows for file in row["heatmaps"].values()]
        assert files == found.heatmaps["file"].tolist()
        assert len(files) == 7
        assert {str(path) for path in (tmp_path / "maps").iterdir()} == set(files)

    def test_an_untrained_finding_is_never_the_most_probable(self, films, tmp_path):
        classifier = make_classifier(trained=["Nodule"], compat="xrv")
        found = predict_files(classifier, films, heatmaps=tmp_path / "maps", workers=0)
        assert set(found.heatmaps["finding"]) == {"Nodule"}

    @pytest.mark.parametrize(
        ("findings", "error", "message"),
        [
            (["Fracture"], LabelNotFoundError, "not in the space 'tiny'"),
            (["Efusion"], LabelNotFoundError, "Effusion"),
            (["Atelectasis"], ValueError, "'Atelectasis' was not trained"),
            ([], ValueError, "findings: expected names"),
            ("Nodule", ValueError, "findings: expected names"),
        ],
    )
    def test_mistakes(self, films, tmp_path, findings, error, message):
        classifier = make_classifier(trained=["Effusion", "Nodule"])
        with pytest.raises(error, match=message):
            predict_files(classifier, films, heatmaps=tmp_path / "maps", findings=findings)
        assert not (tmp_path / "maps").exists()

    def test_findings_without_a_folder(self, classifier, films):
        with pytest.raises(ValueError, match="findings: expected names of those that heatmaps are drawn of"):
            predict_files(classifier, films, findings=["Nodule"])

    def test_a_folder_that_is_a_file(self, classifier, films):
        with pytest.raises(ValueError, match=r"heatmaps: .* is no folder"):
            predict_files(classifier, films, heatmaps=films / "film1.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size: expected"), ({"workers": -1}, "workers: expected")],
)
def test_wrong_numbers(classifier, films, options, message):
    with pytest.raises(ValueError, match=message):
        predict_files(classifier, films, **options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_classifier_on_a_gpu(classifier, films, tmp_path):
    cpu = predict_files(classifier, films, workers=0)
    gpu = predict_files(classifier.cuda(), films, heatmaps=tmp_path / "maps", workers=2)
    np.testing.assert_allclose(gpu.table[list(FINDINGS)], cpu.table[list(FINDINGS)], atol=1e-3)
    assert len(gpu.heatmaps) == 7
