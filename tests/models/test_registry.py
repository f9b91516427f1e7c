"""Classifiers by name and from files: what is found, what is checked, what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch

from tests.models.test_torchxrayvision_weights import SIZES, peer_state
from tests.serving import serving, status, whole
from xrdatasets import fetching
from xrdatasets.errors import DownloadError, LabelNotFoundError, WeightsError, WeightsNotFoundError
from xrdatasets.labels import LabelSpace
from xrdatasets.models.backbones.mini import Mini
from xrdatasets.models.card import Card
from xrdatasets.models.classifier import Classifier
from xrdatasets.models.inputs import InputSpec
from xrdatasets.models.network import Network
from xrdatasets.models.weights import cache, weights_table
from xrdatasets.models.weights.registry import list_weights, load
from xrdatasets.models.weights.storage import save
from xrdatasets.models.weights.weights_table import COLUMNS, weights_entries

network = pytest.mark.network  # of this machine alone
POINTS = {"Effusion": 0.25}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache of this test, and a folder to work in."""
    monkeypatch.setenv("XRDATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "_sleep", lambda _: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "weights"


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Put rows in place of ``weights.csv``, each one of the real rows with changes."""

    def write(**changes):
        real = {entry.name: entry for entry in weights_entries()}
        lines = [",".join(COLUMNS)]
        for name, change in changes.items():
            entry = dataclasses.asdict(real[name]) | {"reference": "someone", "note": ""} | change
            cells = (
                "|".join(value) if isinstance(value, tuple) else str(value)
                for value in map(entry.get, COLUMNS)
            )
            lines.append(",".join(cells))
        (tmp_path / "weights.csv").write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(weights_table, "mappings", lambda: tmp_path)
        weights_table._table.cache_clear()

    yield write
    monkeypatch.undo()
    weights_table._table.cache_clear()


@pytest.fixture
def mine(tmp_path):
    """A classifier of our own, and its file."""
    model = Classifier(
        Network("mini", 2), ["Effusion", "Nodule"], inputs=InputSpec(size=32), operating_points=POINTS,
        trained=["Effusion"], card=Card("mine"),
    )  # fmt: skip
    save(model, tmp_path / "mine.safetensors")
    return model


@pytest.fixture
def theirs(tmp_path):
    """A file of torchxrayvision's kind."""
    torch.save(peer_state(**SIZES), tmp_path / "theirs.pt")
    return tmp_path / "theirs.pt"


def same(model, other):
    images = torch.linspace(-1024, 1024, 32 * 32).reshape(1, 1, 32, 32)
    with torch.inference_mode():
        return torch.equal(model.network(images), other.network(images))


# -- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_of_our_own(mine, tmp_path, kind):
    model = load(kind(tmp_path / "mine.safetensors"))
    assert same(model, mine)
    assert model.pathologies == ("Effusion", "Nodule")
    assert model.operating_points[0] == 0.25
    assert model.card == mine.card
    assert model.inputs == mine.inputs


def test_a_file_in_the_working_folder_needs_no_folder(mine):
    assert same(load("mine.safetensors"), mine)


def test_a_file_without_a_suffix(mine, tmp_path):
    (tmp_path / "mine.safetensors").rename(tmp_path / "mine")
    assert same(load("mine"), mine)


def test_a_name_beats_a_file_that_is_called_so(mine, tmp_path, monkeypatch):
    (tmp_path / "mine.safetensors").rename(tmp_path / "all")
    monkeypatch.setattr(cache, "fetch", _offline)
    with pytest.raises(DownloadError, match=r"no network\. Without the network: put the file of"):
        load("all")
    assert same(load(Path("all")), mine)


def _offline(remote, **_):
    msg = "no network."
    raise DownloadError(msg)


def test_a_home_folder(mine, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert same(load("~/mine.safetensors"), mine)


def test_without_operating_points(mine):
    model = load("mine.safetensors", operating_points=None)
    assert model.operating_points.isnan().all()
    assert model.card == mine.card


def test_outputs_that_were_not_trained_are_a_half_for_who_wants_that(mine):
    images = torch.linspace(-1024, 1024, 32 * 32).reshape(1, 1, 32, 32)
    with torch.inference_mode():
        assert load("mine.safetensors")(images)[0, 1].isnan()
        assert load("mine.safetensors", compat="xrv")(images)[0, 1] == 0.5
        assert torch.equal(load("mine.safetensors", compat="xrv")(images)[0, 0], mine(images)[0, 0])


def test_a_file_of_torchxrayvision(theirs):
    model = load(theirs, like="nih")
    assert model.space.name == "xrv18"
    assert model.card.name == "densenet121-res224-nih"
    assert int(model.trained.sum()) == 14
    assert float(model.operating_points[0]) == pytest.approx(0.039117552)


def test_a_file_of_torchxrayvision_does_not_say_its_findings(theirs):
    with pytest.raises(
        WeightsError, match=r"theirs\.pt: .* Expected `like`, the name .* densenet121-res224-nih"
    ):
        load(theirs)


def test_options_reach_a_file_of_torchxrayvision(theirs):
    model = load(theirs, like="densenet121-res224-nih", operating_points=None, compat="xrv")
    assert model.operating_points.isnan().all()
    assert model.compat == "xrv"


@pytest.mark.parametrize("name", ["nothing.safetensors", "nothing.pt", "folder/nothing", Path("nothing")])
def test_a_file_that_is_not_there(name):
    with pytest.raises(WeightsNotFoundError, match="nothing"):
        load(name)


def test_a_file_of_torchxrayvision_that_is_not_there():
    with pytest.raises(WeightsNotFoundError, match=r"nothing\.pt"):
        load("nothing.pt", like="nih")


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_file_of_something_else(tmp_path, body):
    (tmp_path / "odd.safetensors").write_bytes(body)
    with pytest.raises(WeightsError, match=r"odd\.safetensors"):
        load("odd.safetensors")


# -- the space ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [["Effusion", "Nodule"], LabelSpace.of(["Pleural Effusion", "Nodule"])])
def test_the_expected_space(mine, space):
    assert load("mine.safetensors", space=space).pathologies == ("Effusion", "Nodule")


@pytest.mark.parametrize("space", ["chexpert5", ["Nodule", "Effusion"], ["Effusion"]])
def test_another_space_is_refused_and_both_are_named(mine, space):
    with pytest.raises(WeightsError) as caught:
        load("mine.safetensors", space=space)
    expected = LabelSpace.of(space)
    assert f"expected the space {expected.name!r} ({', '.join(expected.labels)})" in str(caught.value)
    assert "got 'custom' (Effusion, Nodule)" in str(caught.value)


def test_another_space_than_torchxrayvisions(theirs):
    with pytest.raises(WeightsError, match=r"expected the space 'nih14' .*, got 'xrv18' \(Atelectasis"):
        load(theirs, like="nih", space="nih14")


def test_a_space_that_is_none(mine):
    with pytest.raises(LabelNotFoundError, match="no label space is called 'xrv19'"):
        load("mine.safetensors", space="xrv19")


# -- names --------------------------------------------------------------------------------------------------


@network
@pytest.mark.parametrize("name", ["densenet121-res224-nih", "nih"])
def test_a_published_name_is_downloaded_checked_and_converted(server, table, theirs, folder, name):
    body = theirs.read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    table(**{"densenet121-res224-nih": {"location": server.url("/v1/nih.pt"), "sha256": digest}})
    server.answers = [whole(body)]
    model = load(name)
    assert same(model, load(theirs, like="nih"))
    assert load(name).card.provenance["sha256"] == digest
    assert len(server.requests) == 1
    assert [path.name for path in folder.iterdir()] == ["nih.pt"]


@network
def test_a_published_name_whose_file_differs(server, table, theirs):
    table(**{"densenet121-res224-nih": {"location": server.url("/v1/nih.pt"), "sha256": "ab" * 32}})
    server.answers = [whole(theirs.read_bytes())]
    with pytest.raises(DownloadError, match="expected sha256:abab"):
        load("nih")


@network
def test_a_published_name_that_is_gone(server, table, folder):
    table(**{"densenet121-res224-nih": {"location": server.url("/v1/nih.pt"), "sha256": ""}})
    server.answers = [status(404)]
    with pytest.raises(DownloadError) as caught:
        load("nih")
    assert f"put the file of {server.url('/v1/nih.pt')} at {str(folder / 'nih.pt')!r}" in str(caught.value)


@network
def test_weights_of_our_own_on_a_server(server, table, mine, tmp_path):
    row = {"location": server.url("/mine.safetensors"), "sha256": "", "format": "safetensors"}
    table(**{"densenet121-res224-nih": row | {"space": "chexpert5", "trained": ""}})
    server.answers = [whole((tmp_path / "mine.safetensors").read_bytes())]
    with pytest.raises(
        WeightsError, match=r"nih: expected the space 'chexpert5' .*, got 'custom' \(Effusion, Nod"
    ):
        load("nih")


def test_bundled_weights(table, tmp_path, monkeypatch):
    model = Classifier(Network("mini", 5), "chexpert5", inputs=InputSpec(size=32))
    save(model, tmp_path / "five.safetensors")
    digest = hashlib.sha256((tmp_path / "five.safetensors").read_bytes()).hexdigest()
    row = {"source": "bundled", "location": "five.safetensors", "sha256": digest, "format": "safetensors"}
    table(**{"densenet121-res224-nih": row | {"space": "chexpert5", "trained": ""}})
    monkeypatch.setattr(cache, "BUNDLED", tmp_path)
    assert same(load("nih", space="chexpert5"), model)
    with pytest.raises(ValueError, match=r"five\.safetensors has the one set of its file"):
        load("nih", operating_points="corrected")
    with pytest.raises(ValueError, match=r"expected weights of torchxrayvision, got 'nih'"):
        load("five.safetensors", like="nih")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(
        WeightsNotFoundError, match=r"and no such file is there\. Did you mean 'densenet121-res224"
    ):
        load("densenet121-res224")


# -- arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"operating_points": "best"},
            "operating_points: expected 'published', 'corrected' or None, got 'best'",
        ),
        ({"compat": "torchxrayvision"}, r"compat: expected None or one of \('xrv',\), got 'torchxrayvision'"),
        ({"like": "nih"}, r"like: expected None beside a name \('all'\)"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_asked_for(options, message):
    with pytest.raises(ValueError, match=message):
        load("all", **options)


@pytest.mark.parametrize("name", [None, 3, "", b"all", "a\0b"])
def test_what_is_neither_name_nor_file(name):
    with pytest.raises(ValueError, match="name_or_file: expected a name of list_weights"):
        load(name)


# -- the list -----------------------------------------------------------------------------------------------


def test_the_list_has_a_row_for_each_name(folder):
    folder.mkdir(parents=True)
    (folder / "kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt").write_text("")
    frame = list_weights().set_index("name")
    assert list(frame.index) == [entry.name for entry in weights_entries()]
    assert list(frame.index[frame["here"]]) == ["densenet121-res224-rsna"]
    row = frame.loc["resnet50-res512-all"]
    assert (row["findings"], row["size"], row["space"]) == (16, 512, "xrv18")
    assert row["trained_on"] == "padchest, nih, rsna, siim, vindr"
    assert {"alias", "source", "architecture", "licence", "reference", "note"} <= set(frame.columns)


def test_the_folder_of_a_run_stands_for_its_classifier(tmp_path, monkeypatch):
    made = Classifier(Network(Mini(width=2), 2), ["Effusion", "Nodule"])
    (tmp_path / "run").mkdir()
    made.save(tmp_path / "run" / "classifier.safetensors")
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "run", str(tmp_path / "run"), "run"):
        assert load(name).pathologies == ("Effusion", "Nodule")


def test_a_safetensors_file_whose_length_begins_like_a_pickle_is_not_one(tmp_path):
    file, network = tmp_path / "a.safetensors", Network(Mini(width=2), 2)
    Classifier(network, ["Effusion", "Nodule"]).save(file)
    more = "x" * ((0x80 - file.read_bytes()[0]) % 256)  # the header grows by so much
    Classifier(network, ["Effusion", "Nodule"], card=Card(more)).save(file)
    assert file.read_bytes()[:1] == b"\x80"
    assert load(file).card.name == more
