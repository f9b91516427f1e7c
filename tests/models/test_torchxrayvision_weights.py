"""Files of torchxrayvision as classifiers: the same numbers, and what is said of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path

import pytest
import torch

from xrdatasets.errors import WeightsError
from xrdatasets.models.backbones.making import backbone
from xrdatasets.models.heads.linear import LinearHead
from xrdatasets.models.weights.points_table import points_of
from xrdatasets.models.weights.torchxrayvision_weights import from_torchxrayvision
from xrdatasets.models.weights.weights_table import weights_entry

STORED = Path(__file__).parent / "stored"  # written by the real torchxrayvision: benchmarks/pickles.py
SIZES = {"growth": 4, "blocks": (1, 2), "stem": 6, "bn_size": 2}
NIH, RSNA, RESNET = (weights_entry(name) for name in ("nih", "rsna", "resnet50-res512-all"))


def peer_state(name="densenet121", *, outputs=18, last="classifier", prefix="", **sizes):
    """A state dict with the names of torchxrayvision's, of a network of these sizes."""
    network = backbone(name, **sizes)
    head = LinearHead(network.out_features, outputs)
    state = network.state_dict() | {f"{last}.{key}": value for key, value in head.state_dict().items()}
    return {prefix + key: value for key, value in state.items()}


@pytest.fixture
def file(tmp_path):
    """Write a state dict as torch does."""

    def write(state=None):
        torch.save(peer_state(**SIZES) if state is None else state, tmp_path / "file.pt")
        return tmp_path / "file.pt"

    return write


# -- numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["zip", "legacy"])
@pytest.mark.parametrize(
    ("kind", "entry"), [("densenet", NIH), ("resnet", RESNET)], ids=["densenet", "resnet"]
)
def test_logits_are_torchxrayvisions(kind, entry, packing):
    """Its own logits of the same 64 x 64 images of a formula, as benchmarks/pickles.py recorded them."""
    model = from_torchxrayvision(STORED / f"{kind}_{packing}.pt", entry, operating_points=None)
    b, i, j = torch.meshgrid(torch.arange(2), torch.arange(64), torch.arange(64), indexing="ij")
    images = ((37 * i * i + 101 * j + 17 * i * j + 59 * b) % 2048 - 1024).float()[:, None]
    expected = torch.tensor(json.loads((STORED / "outputs.json").read_text())[kind]["logits"])
    with torch.inference_mode():
        torch.testing.assert_close(model.network(images), expected, rtol=0, atol=1e-5)


def test_outputs_without_a_label_are_unknown_or_a_half_as_in_torchxrayvision(file):
    path, images = file(), torch.linspace(-1024, 1024, 224 * 224).reshape(1, 1, 224, 224)
    with torch.inference_mode():
        ours = from_torchxrayvision(path, NIH)(images)[0]
        theirs = from_torchxrayvision(path, NIH, compat="xrv")(images)[0]
    assert ours[:14].isfinite().all()
    assert ours[14:].isnan().all()  # Lung Lesion, Fracture, Lung Opacity, Enlarged Cardiomediastinum
    assert theirs[14:].tolist() == [0.5] * 4
    assert torch.equal(ours[:14], theirs[:14])


def test_points_are_those_of_the_table_in_the_order_of_the_findings(file):
    """torchxrayvision's `op_norm`: p / 2t below t, 1 - (1 - p) / 2(1 - t) from t on; by hand in float64."""
    model = from_torchxrayvision(file(), RSNA)
    p = 0.4
    mapped = model.calibrate(torch.full((1, 18), p))[0].double()
    for finding, t in {"Pneumonia": 0.13486601, "Lung Opacity": 0.13511065}.items():
        assert float(mapped[model.pathologies.index(finding)]) == pytest.approx(
            1 - (1 - p) / (2 * (1 - t)), abs=1e-6
        )
    assert int(model.operating_points.isfinite().sum()) == 2


def test_the_resnets_corrected_points_are_where_a_finding_is_called(file):
    state = peer_state("resnet50", last="fc", blocks=(1, 1), width=2)
    model = from_torchxrayvision(file(state), RESNET, operating_points="corrected")
    # sigmoid(0.062834906) = 0.51570356, what models.py of torchxrayvision 1.5.7 has for Atelectasis
    assert float(model.operating_points[0]) == pytest.approx(
        math.log(0.51570356 / (1 - 0.51570356)), abs=1e-7
    )
    assert model.calibrate(model.operating_points[None])[0, 0] == 0.5


def test_without_points_probabilities_are_the_networks(file):
    model = from_torchxrayvision(file(), NIH, operating_points=None)
    assert model.operating_points.isnan().all()


# -- what the shapes say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({"growth": 1, "blocks": (6, 12, 24, 16), "stem": 2, "bn_size": 1}, "densenet121"),
        ({"growth": 1, "blocks": (6, 12, 32, 32), "stem": 2, "bn_size": 1}, "densenet169"),
        ({"growth": 1, "blocks": (6, 12, 48, 32), "stem": 2, "bn_size": 1}, "densenet201"),
        ({"growth": 4, "blocks": (1, 2, 1), "stem": 6, "bn_size": 3}, "densenet121"),
        ({"growth": 2, "blocks": (1,), "stem": 4, "bn_size": 2, "channels": 3}, "densenet121"),
    ],
)
def test_depth_and_width_of_a_densenet_come_from_its_shapes(file, sizes, name):
    state = peer_state(**sizes)
    model = from_torchxrayvision(file(state), NIH)
    config = model.network.config()["backbone"]
    assert config["name"] == name
    assert {key: config[key] for key in sizes} == sizes | {"blocks": list(sizes["blocks"])}
    assert model.inputs.channels == sizes.get("channels", 1)
    assert torch.equal(model.network.head.weight, state["classifier.weight"])


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({"blocks": (3, 4, 6, 3), "width": 2, "bottleneck": True}, "resnet50"),
        ({"blocks": (2, 2, 2, 2), "width": 2, "bottleneck": False}, "resnet18"),
        ({"blocks": (1, 2), "width": 3, "bottleneck": True}, "resnet50"),
    ],
)
def test_depth_and_width_of_a_resnet_come_from_its_shapes(file, sizes, name):
    model = from_torchxrayvision(file(peer_state("resnet50", last="fc", **sizes)), RESNET)
    config = model.network.config()["backbone"]
    assert config["name"] == name
    assert {key: config[key] for key in sizes} == sizes | {"blocks": list(sizes["blocks"])}


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_prefixes_of_whole_modules_are_no_matter(file, prefix):
    """DataParallel's, and that of torchxrayvision's class ResNet, which keeps thresholds beside it."""
    state = peer_state("resnet50", last="fc", blocks=(1, 1), width=2, prefix=prefix)
    from_torchxrayvision(file(state | {"op_threshs": torch.full((18,), math.nan)}), RESNET)


def test_loading_draws_no_random_numbers(file):
    path = file()
    before = torch.get_rng_state()
    from_torchxrayvision(path, NIH)
    assert torch.equal(torch.get_rng_state(), before)


# -- what is known of it --------------------------------------------------------------------------------


def test_it_knows_its_images_and_findings(file):
    model = from_torchxrayvision(file(), NIH)
    assert (model.inputs.size, model.inputs.intensity, model.inputs.engine) == (224, "xrv", "area")
    assert model.space.name == "xrv18"
    assert (
        tuple(label for label, known in zip(model.pathologies, model.trained, strict=True) if known)
        == NIH.trained
    )
    assert not model.training


def test_the_card_says_where_it_comes_from(file):
    path = file()
    card = from_torchxrayvision(path, NIH).card
    assert (card.name, card.trained_on, card.licence) == ("densenet121-res224-nih", ("nih",), "Apache-2.0")
    assert card.provenance == {
        "source": NIH.location,
        "file": "file.pt",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "sha256_published": "not known",
        "converted_from": "torchxrayvision-module, read without running it",
        "table": "torchxrayvision 1.5.7, models.py",
        "operating_points": "published",
    }
    text = str(card)
    assert "filter of its own" in text
    assert (
        "not trained: Lung Lesion, Fracture, Lung Opacity, Enlarged Cardiomediastinum; they are unknown"
        in text
    )
    assert "second sigmoid" not in text
    assert json.loads(json.dumps(card.config())) == card.config()


def test_a_card_without_untrained_outputs_names_none(file):
    entry = dataclasses.replace(weights_entry("all"), sha256="")
    assert "not trained" not in str(from_torchxrayvision(file(), entry).card)


@pytest.mark.parametrize("points", ["published", "corrected", None])
def test_the_card_of_the_resnet_says_that_the_correction_is_inferred(file, points):
    state = peer_state("resnet50", last="fc", blocks=(1, 1), width=2)
    card = from_torchxrayvision(file(state), RESNET, operating_points=points).card
    (note,) = (note for note in card.notes if "second sigmoid" in note)
    assert "inferred" in note
    assert note.endswith("was not verified on the weights.")
    assert card.provenance["operating_points"] == (points or "none")


@pytest.mark.parametrize(("points", "said"), [("published", 1), ("corrected", 0), (None, 0)])
def test_points_that_are_held_to_be_wrong_are_taken_with_a_warning(file, caplog, points, said):
    state = peer_state("resnet50", last="fc", blocks=(1, 1), width=2)
    from_torchxrayvision(file(state), RESNET, operating_points=points)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * said
    assert ("operating_points='corrected' takes others" in caplog.text) == bool(said)


def test_another_file_than_the_published_is_named(file, caplog):
    entry = dataclasses.replace(NIH, sha256="ab" * 32)
    path = file()
    card = from_torchxrayvision(path, entry).card
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"its sha256 is {digest}, not that of densenet121-res224-nih ({'ab' * 32})" in caplog.text
    assert (card.provenance["sha256"], card.provenance["sha256_published"]) == (digest, "ab" * 32)


def test_the_published_file_is_taken_without_a_word(file, caplog):
    path = file()
    from_torchxrayvision(path, dataclasses.replace(NIH, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    assert caplog.text == ""


# -- what is refused ------------------------------------------------------------------------------------


def without(*words):
    return {key: value for key, value in peer_state(**SIZES).items() if not key.startswith(words)}


@pytest.mark.parametrize(
    ("entry", "state", "message"),
    [
        (
            RESNET,
            peer_state(**SIZES),
            "weights of a resnet50 with its last layer .as resnet50-res512-all has",
        ),
        (
            NIH,
            peer_state("resnet50", last="fc", blocks=(1, 1), width=2),
            "weights of a densenet121 with its last",
        ),
        (
            NIH,
            peer_state(outputs=14, **SIZES),
            r"expected 18 outputs, the findings of xrv18 .*, got classifier.weight of the shape \(14, 13\)",
        ),
        (NIH, without("classifier"), "densenet121 with its last layer"),
        (NIH, without("classifier.bias"), "got none for head.weight, head.bias"),
        (NIH, without("features.denseblock1"), "shapes of which none can be made"),
        (NIH, without("features.denseblock"), "shapes of which none can be made"),
        (NIH, without("features.norm5.bias"), "missing features.norm5.bias"),
        (
            NIH,
            peer_state(**SIZES) | {"features.conv0.weight": torch.zeros(6)},
            "shapes of which none can be made",
        ),
        (
            NIH,
            peer_state(**SIZES) | {"features.conv0.weight": torch.zeros(6, 2, 7, 7)},
            "expected 1 or 3, got 2",
        ),
        (NIH, peer_state(**SIZES) | {"classifier.bias": torch.full((18,), math.nan)}, "NaN or infinity"),
        (NIH, {"weight": torch.zeros(2)}, "1 tensors, 'weight' first"),
        (
            NIH,
            {"features.conv0.weight": torch.zeros(()), "classifier.weight": torch.zeros(18)},
            "none can be",
        ),
        (
            NIH,
            {"features.conv0.weight": torch.zeros(()), "classifier.weight": torch.zeros(())},
            r"of the shape \(\)",
        ),
    ],
)
def test_another_network_is_refused_by_name(file, entry, state, message):
    path = file(state)
    with pytest.raises(WeightsError, match=message) as caught:
        from_torchxrayvision(path, entry)
    assert str(path) in str(caught.value)


def test_a_shape_that_asks_for_more_memory_than_there_is(file):
    """A layer of a million maps is a million numbers in one tensor, and 10^13 in the network around it."""
    huge = {"features.denseblock1.denselayer1.conv2.weight": torch.zeros(1_000_000, 1, 1, 1)}
    wide = {"features.denseblock1.denselayer1.conv1.weight": torch.zeros(1_000_000, 1, 1, 1)}
    with pytest.raises(WeightsError, match="shapes of which none can be made"):
        from_torchxrayvision(file(peer_state(**SIZES) | huge | wide), NIH)


def test_a_hostile_pickle_runs_nothing(tmp_path):
    """As it would with torch.load(weights_only=False), which torchxrayvision calls."""

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"features.conv0.weight": Hostile()}, tmp_path / "file.pt")
    with pytest.raises(WeightsError, match=r"mkdir"):
        from_torchxrayvision(tmp_path / "file.pt", NIH)
    assert not (tmp_path / "ran").exists()


def test_corrected_points_are_asked_for_where_there_are_none(file):
    with pytest.raises(ValueError, match="need no correction"):
        from_torchxrayvision(file(), NIH, operating_points="corrected")


def test_the_points_of_the_test_are_those_of_the_table():
    assert points_of(RSNA) == {"Pneumonia": 0.13486601, "Lung Opacity": 0.13511065}
