"""Classifiers as scripts of torchxrayvision call them, with the numbers that it gave on the same weights."""

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import xrdatasets.legacy as xrv
from xrdatasets.errors import WeightsNotFoundError
from xrdatasets.models import Network, ResNet, head

STORED = json.loads((Path(__file__).parent / "stored_models.json").read_text(encoding="utf-8"))
SIZES = {"growth_rate": 4, "block_config": (2, 2), "num_init_features": 8, "bn_size": 2}
POINTS = [0.4, math.nan, 0.45]
CHEX, RESNET = "densenet121-res224-chex", "resnet50-res512-all"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fill(state):
    """Weights that need no generator, with statistics that fit to images from -1024 to 1024."""
    for number, name in enumerate(sorted(state)):
        tensor = state[name]
        if name.endswith("num_batches_tracked"):
            continue
        wave = torch.sin(0.7 * torch.arange(tensor.numel(), dtype=torch.float64) + number).reshape(
            tensor.shape
        )
        if name.endswith("running_var"):
            value = (1 + 0.5 * wave) * (250_000 if name.startswith("features.norm0") else 1)
        elif tensor.ndim > 1:
            value = wave * (2 / tensor[0].numel()) ** 0.5
        else:
            value = 0.1 * wave + (1 if name.endswith("weight") and "norm" in name else 0)
        tensor.copy_(value)


def pictures(size, channels=1):
    """Two images, of numbers that need no generator."""
    number = torch.arange(2 * channels * size * size, dtype=torch.float64)
    waves = 1024 * torch.sin(0.05 * number) * torch.cos(0.0013 * number)
    return waves.float().reshape(2, channels, size, size)


def filled(**options):
    model = xrv.models.DenseNet(**SIZES, **options).eval()
    with torch.no_grad():
        fill({name: tensor for name, tensor in model.state_dict().items() if name != "op_threshs"})
    return model


@pytest.fixture
def files(tmp_path):
    """A folder with small files under the names of published ones, as torchxrayvision's cache has them."""
    dense = filled().state_dict()
    torch.save(dense, tmp_path / Path(xrv.models.model_urls[CHEX]["weights_url"]).name)
    body = ResNet(blocks=(1, 1, 1, 1), width=4).state_dict()
    last = {"fc.weight": torch.linspace(-1, 1, 18 * 128).reshape(18, 128), "fc.bias": torch.zeros(18)}
    torch.save(body | last, tmp_path / Path(xrv.models.model_urls[RESNET]["weights_url"]).name)
    return str(tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_answers_as_torchxrayvision_s(channels):
    stored = STORED[f"channels_{channels}"]
    model, images = filled(num_classes=3, in_channels=channels), pictures(48, channels)
    with torch.inference_mode():
        found = {"logits": model(images)}
        model.apply_sigmoid = True
        found["sigmoid"] = model(images)
        model.op_threshs = torch.tensor(POINTS)
        found["op_norm"] = model(images)
        model.op_threshs = None
        assert torch.equal(model(images), found["sigmoid"])
        found["features2"] = model.features2(images)
        maps = model.features(images)
    for name, values in found.items():
        torch.testing.assert_close(values, torch.tensor(stored[name]), rtol=0, atol=1e-5)
    assert list(maps.shape) == stored["features_shape"]
    assert maps.min() < 0  # before the last ReLU
    torch.testing.assert_close(maps[:, :, 1, 2], torch.tensor(stored["features"]), rtol=0, atol=1e-5)


def test_weights_resize_and_calibrate_as_torchxrayvision_s(files):
    model = xrv.models.DenseNet(weights=CHEX, cache_dir=files, **SIZES)
    images = pictures(60)
    with torch.inference_mode():
        answers, features = model(images), model.features2(images)
    torch.testing.assert_close(answers, torch.tensor(STORED["resized"]["answers"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(features, torch.tensor(STORED["resized"]["features2"]), rtol=0, atol=1e-5)
    assert model.targets is model.pathologies
    assert model.targets == STORED["chex"]["targets"]
    assert (answers[:, [not target for target in model.targets]] == 0.5).all()
    assert model.input_resolution == 224
    assert not model.training


def test_state_dicts_go_either_way():
    names = STORED["names"]
    model = xrv.models.DenseNet(**SIZES, num_classes=3, op_threshs=torch.tensor(POINTS))
    assert sorted(model.state_dict()) == sorted(names)
    assert "op_threshs" not in xrv.models.DenseNet(**SIZES, num_classes=3).state_dict()


def test_the_default_is_a_new_densenet_121_for_18_findings():
    model = xrv.models.DenseNet()
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_966_034
    assert model.targets == xrv.default_pathologies
    assert not hasattr(model, "pathologies")
    assert model.training
    assert model.op_threshs is None
    assert not model.classifier.bias.any()


def test_op_norm_gives_torchxrayvision_s_numbers():
    stored = STORED["op_norm"]
    points = torch.tensor([math.nan if point is None else point for point in stored["points"]])
    torch.testing.assert_close(
        xrv.models.op_norm(torch.tensor(stored["outputs"]), points), torch.tensor(stored["expected"])
    )


def test_operating_points_given_as_a_list_are_taken():
    """torchxrayvision fails for a list, and overwrites what is given beside weights."""
    assert xrv.models.DenseNet(**SIZES, num_classes=3, op_threshs=POINTS).op_threshs.isnan().sum() == 1


def test_operating_points_given_beside_weights_hold(files):
    points = [0.5] * 18
    model = xrv.models.DenseNet(weights=CHEX, cache_dir=files, op_threshs=points, **SIZES)
    assert model.op_threshs.tolist() == points


def test_images_are_looked_at_once_in_each_call(files):
    """Every batch, not the first of the process alone; torchxrayvision's rule for the range."""
    model = xrv.models.DenseNet(weights=CHEX, cache_dir=files, **SIZES)
    for images in (pictures(224) / 1024, pictures(224) * 1.01):
        with pytest.warns(UserWarning, match="x: expected images from -1024 to 1024, got") as caught:
            model(images)
        assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(pictures(224) / 4)
        xrv.models.DenseNet(**SIZES)(
            pictures(224) / 1024
        )  # of what a new network was made for nothing is known


def test_one_image_becomes_a_batch_and_others_than_squares_are_refused(files):
    model = xrv.models.DenseNet(weights=CHEX, cache_dir=files, **SIZES)
    images = pictures(224)
    torch.testing.assert_close(model(images[0]), model(images)[:1])
    with pytest.raises(ValueError, match="x: expected square images, got 224 x 100; cut them first"):
        model(images[..., :100])


def test_the_resnet_has_torchvision_s_names_and_its_own_features(files):
    model = xrv.models.ResNet(RESNET, cache_dir=files)
    images, stages = (
        pictures(60),
        Network(ResNet(blocks=(1, 1, 1, 1), width=4), head("linear", 128, 18)).eval(),
    )
    stages.backbone.load_state_dict({k: v for k, v in model.model.state_dict().items() if "fc." not in k})
    resized = functional.interpolate(images, (512, 512), mode="bilinear", antialias=True)
    with torch.inference_mode():
        maps = stages.maps(resized)
        features, answers = model.features(images), model(images)
        logits = functional.linear(features, model.model.fc.weight, model.model.fc.bias)
        torch.testing.assert_close(model.model(resized), logits)
    torch.testing.assert_close(features, functional.adaptive_avg_pool2d(maps, 1).flatten(1))
    p, points = torch.sigmoid(logits), torch.tensor(xrv.models.model_urls[RESNET]["op_threshs"])
    expected = torch.where(p < points, p / (2 * points), 1 - (1 - p) / (2 * (1 - points)))
    torch.testing.assert_close(answers, torch.where(points.isnan(), 0.5, expected), rtol=0, atol=1e-6)
    assert {"op_threshs", "model.conv1.weight", "model.fc.bias"} <= set(model.state_dict())
    model.op_threshs = None
    torch.testing.assert_close(model(images), logits)
    assert model.targets == xrv.default_pathologies  # named, though two have no operating point
    assert points.isnan().nonzero().flatten().tolist() == [14, 17]
    assert not model.training


def test_names_decide_in_get_model(files):
    assert isinstance(xrv.models.get_model(CHEX, cache_dir=files, **SIZES), xrv.models.DenseNet)
    assert isinstance(xrv.models.get_model(RESNET, cache_dir=files), xrv.models.ResNet)
    with pytest.raises(ValueError, match="weights: expected a name that begins with 'densenet' or 'resnet'"):
        xrv.models.get_model("vgg16")


def test_reprs_are_torchxrayvision_s(files):
    assert repr(xrv.models.DenseNet(**SIZES)) == "XRV-DenseNet"
    assert repr(xrv.models.DenseNet(weights=CHEX, cache_dir=files, **SIZES)) == f"XRV-DenseNet121-{CHEX}"
    assert repr(xrv.models.ResNet(RESNET, cache_dir=files)) == f"XRV-ResNet-{RESNET}"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda f: xrv.models.DenseNet(weights="densenet121-res224-chx"), WeightsNotFoundError, "chx"),
        (
            lambda f: xrv.models.DenseNet(weights=CHEX, num_classes=5),
            ValueError,
            "num_classes: expected none, as the weights have 18 outputs, got 5",
        ),
        (
            lambda f: xrv.models.DenseNet(weights=CHEX, cache_dir=f),
            ValueError,
            r"are of another network than the arguments say: growth=4, blocks=\[2, 2\]",
        ),
        (
            lambda f: xrv.models.DenseNet(weights=RESNET, cache_dir=f),
            ValueError,
            "are of another network than the arguments say",
        ),
        (lambda f: xrv.models.ResNet(CHEX, cache_dir=f), ValueError, "weights: expected those of a ResNet"),
        (lambda f: xrv.models.ResNet(), ValueError, "weights: expected 'resnet50-res512-all', got None"),
        (
            lambda f: xrv.models.DenseNet(**SIZES, op_threshs=[0.5]),
            ValueError,
            "op_threshs: expected 18 numbers, NaN for none",
        ),
        (lambda f: xrv.models.DenseNet(drop_rate=2), ValueError, "drop_rate: expected a number from 0 to 1"),
        (
            lambda f: xrv.models.get_densenet_params("vgg16"),
            ValueError,
            "arch: expected the name of a DenseNet",
        ),
    ],
    ids=["name", "classes", "sizes", "kind", "dense", "none", "points", "rate", "arch"],
)
def test_what_does_not_fit_is_refused(files, make, error, message):
    with pytest.raises(error, match=message):
        make(files)


def test_dropout_is_of_what_a_layer_adds_while_training():
    """With rate 1 each layer adds zeros: the blocks hand on what the stem gave."""
    model = filled(drop_rate=1.0)
    images = pictures(48)
    with torch.no_grad():
        stem = model.features[:4](images)
        assert not torch.equal(model.features.denseblock1(stem)[:, 8:], torch.zeros(2, 8, 12, 12))
        model.train()
        assert not model.features.denseblock1(stem)[:, 8:].any()


@pytest.mark.parametrize(
    ("arch", "parameters"),
    # torchvision's networks of these names for 1000 classes and 3 channels, less what that adds
    [("densenet121", 7_978_856), ("densenet161", 28_681_000)],
)
def test_published_sizes_have_torchvision_s_number_of_parameters(arch, parameters):
    with torch.device("meta"):
        model = xrv.models.DenseNet(**xrv.models.get_densenet_params(arch), num_classes=1000, in_channels=3)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_an_alias_names_the_same():
    assert xrv.models.model_urls["all"] is xrv.models.model_urls["densenet121-res224-all"]
    facts = xrv.models.model_urls["rsna"]
    assert facts["labels"] == [""] * 8 + ["Pneumonia"] + [""] * 7 + ["Lung Opacity", ""]
    assert facts["op_threshs"][8] == 0.13486601
    assert facts["input_resolution"] == 224


def test_models_come_late():
    """Scripts that only read labels do not wait for torch."""
    code = (
        "import sys, xrdatasets.legacy as xrv; print('torch' in sys.modules, 'DenseNet' in dir(xrv.models))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'VGG'"):
        _ = xrv.models.VGG
