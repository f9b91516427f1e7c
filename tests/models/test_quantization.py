"""Quantisation: 8-bit answers stay near, say how near, and are kept in a file."""

import json

import numpy as np
import onnx
import pytest
import torch

from xrdatasets.models import Classifier, InputSpec, Network, backbone
from xrdatasets.models.inference.onnx_export import KEY, exported
from xrdatasets.models.inference.quantization import quantize
from xrdatasets.models.inference.session import Session

SPACE = ("Edema", "Mass", "Nodule")


def images(count, seed=3):
    """Of different brightness."""
    made = torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    return 1024 * (2 * made * torch.linspace(0.3, 1, count).reshape(-1, 1, 1, 1) - 1)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    network = Network(backbone("densenet121", growth=8, blocks=(2, 2), stem=16), 3)
    model = Classifier(
        network, SPACE, inputs=InputSpec(size=32), trained=SPACE[:2], operating_points=(0.5,) * 3
    )
    network.train()
    for _ in range(20):  # so that the norms have the statistics of these images
        network(images(16))
    model.eval()
    with torch.no_grad():  # so that the answers differ, and are neither 0 nor 1
        network.head.weight /= model.logits(images(16)).std(dim=0).mean()
    return model


@pytest.fixture(scope="module")
def session(classifier):
    return Session(classifier, precision="int8", calibration=images(16).numpy(), threads=1)


def test_the_answers_are_near_and_not_the_same(session, classifier):
    wanted, found = classifier(images(16)).detach().numpy(), session(images(16).numpy())
    assert np.isnan(found[:, 2]).all()
    difference = np.abs(found - wanted)[:, :2]
    assert 0 < difference.max() < 0.1
    assert wanted[:, :2].std(axis=0).min() > 0.1  # than which the error is far smaller
    assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.99


def test_the_error_is_the_greatest_on_the_calibration_images(session, classifier):
    difference = np.nanmax(np.abs(session(images(16).numpy()) - classifier(images(16)).detach().numpy()))
    assert session.precision == "int8"
    assert session.error == pytest.approx(difference, abs=1e-4)


def test_other_images_are_near_too(session, classifier):
    batch = images(12, seed=9)
    difference = np.nanmax(np.abs(session(batch.numpy()) - classifier(batch).detach().numpy()))
    assert difference < 0.1


def test_precision_and_error_are_kept_in_its_file(session, tmp_path):
    session.save(tmp_path / "int8.onnx")
    opened = Session.open(tmp_path / "int8.onnx", threads=1)
    assert (opened.precision, opened.error, opened.pathologies) == ("int8", session.error, SPACE)
    np.testing.assert_array_equal(opened(images(3).numpy()), session(images(3).numpy()))


def test_convolutions_compute_on_integers(classifier):
    content = exported(classifier)
    model = onnx.load_from_string(quantize(content, images(8).numpy()))
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 10
    assert all(makers[name] == "DequantizeLinear" for node in convolutions for name in node.input[:2])
    (card,) = [json.loads(each.value) for each in model.metadata_props if each.key == KEY]
    assert card["precision"] == "int8"


@pytest.mark.parametrize("calibration", [images(7).numpy(), images(16).numpy()[:, 0]])
def test_too_few_images_are_refused(calibration, classifier):
    with pytest.raises(ValueError, match=r"calibration: expected at least 8 images, \(N, C, H, W\), got"):
        quantize(b"", calibration)


def test_calibration_images_are_checked_like_any(classifier):
    with pytest.raises(ValueError, match="images: expected values from -1024 to 1024"):
        Session(classifier, precision="int8", calibration=torch.rand(8, 1, 32, 32))
