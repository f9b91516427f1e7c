"""ONNX files: ONNX Runtime gives the classifier's answers, metadata says what they are, and no half files."""

import copy
import json
import logging
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from xrdatasets.errors import WeightsError
from xrdatasets.models import Card, Classifier, InputSpec, Mini, Network, backbone
from xrdatasets.models.inference import onnx_export
from xrdatasets.models.inference.onnx_export import card_of, export_onnx, exported

SPACE = ("Lung Opacity", "Consolidation", "Pneumonia")
POINTS = (0.2, 0.6, float("nan"))
TINY = {"growth": 4, "blocks": (2, 2), "stem": 8}


def classifier(network=None, **options):
    torch.manual_seed(0)
    network = network or Network(backbone("densenet121", **TINY), 3)
    generator = torch.Generator().manual_seed(1)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.uniform_(-0.5, 1.5, generator=generator)
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
    defaults = {"inputs": InputSpec(size=32), "operating_points": POINTS, "trained": [True, True, False]}
    model = Classifier(network, SPACE, **{**defaults, **options})
    with torch.no_grad():  # so that the probabilities are neither 0 nor 1, where every difference is lost
        batch = images(8, channels=model.inputs.channels, unit=model.inputs.intensity == "unit")
        network.head.weight /= model.logits(batch).std()
    return model


def images(count, side=32, *, channels=1, unit=False):
    """Of different brightness, so that the answers differ."""
    generator = torch.Generator().manual_seed(3)
    made = torch.rand(count, channels, side, side, generator=generator)
    made *= torch.linspace(0.3, 1, count).reshape(-1, 1, 1, 1)
    return made if unit else 1024 * (2 * made - 1)


def runtime(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def answers(session, batch):
    return session.run(None, {"images": batch.numpy()})[0]


@pytest.fixture(scope="module")
def content():
    return exported(classifier(card=Card("tiny", trained_on=("phantom",))))


class TestFile:
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_onnx_runtime_gives_the_classifiers_answers(self, content, count):
        found, wanted = answers(runtime(content), images(count)), classifier()(images(count)).detach().numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)  # NaN where NaN is
        assert np.isnan(found[:, 2]).all()
        assert ((found[:, :2] > 0.01) & (found[:, :2] < 0.99)).all()

    def test_names_and_shapes(self, content):
        session = runtime(content)
        (given,), (made,) = session.get_inputs(), session.get_outputs()
        assert (given.name, given.type, given.shape) == ("images", "tensor(float)", ["batch", 1, 32, 32])
        assert (made.name, made.type, made.shape) == ("probabilities", "tensor(float)", ["batch", 3])

    def test_it_is_one_sound_file_of_a_common_opset(self, content):
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
        assert not any(onnx.external_data_helper.uses_external_data(each) for each in model.graph.initializer)

    def test_norms_behind_convolutions_are_folded(self, content):
        kinds = [node.op_type for node in onnx.load_from_string(content).graph.node]
        assert kinds.count("BatchNormalization") == 4 + 1 + 1  # of layers, transition, end
        assert kinds.count("Conv") == 1 + 2 * 4 + 1
        assert "ScatterND" not in kinds  # what writing into a tensor would become

    def test_the_metadata_says_what_the_outputs_are(self, content):
        card = card_of(runtime(content).get_modelmeta().custom_metadata_map, "it")
        assert card["pathologies"] == list(SPACE)
        assert card["operating_points"] == [pytest.approx(0.2), pytest.approx(0.6), None]
        assert card["trained"] == [True, True, False]
        assert card["inputs"]["size"] == 32
        assert card["inputs"]["intensity"] == "xrv"
        assert card["card"]["trained_on"] == ["phantom"]
        assert card["error"] <= 1e-5
        assert (card["batch"], card["precision"], card["space"]) == (None, "float32", "custom")

    def test_the_classifier_is_left_as_it_was(self):
        model = classifier(Network(Mini(width=2), 3)).train()
        before = copy.deepcopy(model.state_dict())
        exported(model)
        assert all(part.training for part in model.modules())
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(parameter.requires_grad for parameter in model.parameters())


class TestKinds:
    def test_any_size(self):
        model = classifier(Network(Mini(width=2), 3), inputs=InputSpec(size=None))
        session = runtime(exported(model))
        for side in (32, 50):
            wanted = model(images(2, side)).detach().numpy()
            np.testing.assert_allclose(answers(session, images(2, side)), wanted, rtol=0, atol=1e-5)

    def test_one_size_of_any_and_a_fixed_batch(self):
        model = classifier(Network(Mini(width=2), 3), inputs=InputSpec(size=None))
        content = exported(model, size=40, batch=2)
        session = runtime(content)
        assert session.get_inputs()[0].shape == [2, 1, 40, 40]
        card = card_of(session.get_modelmeta().custom_metadata_map, "it")
        assert (card["inputs"]["size"], card["batch"]) == (40, 2)

    def test_three_channels_normalised_and_compat(self):
        spec = InputSpec(size=32, intensity="unit", channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
        model = classifier(Network(Mini(width=2, channels=3), 3), inputs=spec, compat="xrv")
        batch = images(2, channels=3, unit=True)
        found = answers(runtime(exported(model)), batch)
        np.testing.assert_allclose(found, model(batch).detach().numpy(), rtol=0, atol=1e-5)
        assert (found[:, 2] == 0.5).all()

    def test_instance_norm_and_residuals(self):
        network = Network(backbone("resnet18_ibn", width=4, blocks=(1, 1)), 3)
        model = classifier(network)
        found = answers(runtime(exported(model)), images(3))
        np.testing.assert_allclose(found, model(images(3)).detach().numpy(), rtol=0, atol=1e-5)


class TestWriting:
    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch, content):
        model = onnx.load_from_string(content)
        monkeypatch.setattr(onnx_export, "_graph", lambda *_: copy.deepcopy(model))

    def test_a_file_is_replaced_whole(self, tmp_path, content):
        path = tmp_path / "tiny.onnx"
        path.write_bytes(b"older")
        export_onnx(classifier(), path)
        np.testing.assert_array_equal(
            answers(runtime(path.read_bytes()), images(2)), answers(runtime(content), images(2))
        )
        assert [each.name for each in tmp_path.iterdir()] == ["tiny.onnx"]

    def test_a_graph_that_gives_other_answers_is_refused(self, tmp_path):
        path = tmp_path / "tiny.onnx"
        path.write_bytes(b"older")
        other = classifier()
        other.network.head.bias.data += 0.01
        with pytest.raises(WeightsError, match=r"probabilities differ from the classifier's by up to 0\.00"):
            export_onnx(other, path)
        assert path.read_bytes() == b"older"
        assert len(list(tmp_path.iterdir())) == 1

    def test_unknown_where_the_classifier_knows_is_a_difference(self, tmp_path):
        with pytest.raises(WeightsError, match="differ from the classifier's by up to nan"):
            export_onnx(classifier(trained=None), tmp_path / "tiny.onnx")

    def test_a_folder_that_is_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            export_onnx(classifier(), tmp_path / "no" / "tiny.onnx")


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_what_is_not_installed_is_named(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'need {name}, which .* pip install "xrdatasets\[onnx\]"'):
        export_onnx(classifier(), tmp_path / "tiny.onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 64}, "size: expected 32, that it was trained on, or None, got 64"),
        ({"size": "32"}, "size: expected a whole number"),
        ({"batch": 0}, "batch: expected a whole number of at least 1, got 0"),
        ({"batch": None}, "batch: expected a whole number"),
    ],
)
def test_wrong_arguments_are_named(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_onnx(classifier(), tmp_path / "tiny.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_only_classifiers_are_exported(tmp_path):
    with pytest.raises(ValueError, match="classifier: expected a Classifier, got Network"):
        export_onnx(Network("mini", 2), tmp_path / "tiny.onnx")


@pytest.mark.parametrize(
    "properties",
    [{}, {"xrdatasets": "{"}, {"xrdatasets": "[]"}, {"xrdatasets": "{}"}, {"xrdatasets": "[" * 100_000}],
)
def test_metadata_of_others_is_refused(properties):
    with pytest.raises(WeightsError, match="cannot open 'it': its metadata lacks the card"):
        card_of(properties, "it")


def test_another_version_is_named():
    with pytest.raises(WeightsError, match="expected version 1 of the metadata, got 2"):
        card_of({"xrdatasets": json.dumps({"version": 2})}, "it")


def test_the_loggers_level_comes_back():
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    with onnx_export._quiet():
        assert logger.getEffectiveLevel() == logging.ERROR
    assert logger.level == before
