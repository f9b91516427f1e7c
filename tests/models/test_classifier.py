"""The classifier: probabilities with names, operating points, unknown outputs, other sizes and devices."""

import copy

import numpy as np
import pytest
import torch

from xrdatasets.labels import LabelSpace
from xrdatasets.models import Card, Classifier, ConditionalHead, InputSpec, Mini, Network

SPACE = ("Atelectasis", "Effusion", "Nodule", "Mass")


def network(outputs=4, seed=0):
    torch.manual_seed(seed)
    return Network(Mini(width=2), outputs)


def classifier(**options):
    return Classifier(network(), SPACE, **{"inputs": InputSpec(size=32), **options})


def images(count=3, size=32, seed=1):
    return 1024 * (2 * torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed)) - 1)


def by_hand(p, t):
    """Cohen 2020, equation 1, in float64."""
    return p / (2 * t) if p < t else 1 - (1 - p) / (2 * (1 - t))


class TestProbabilities:
    def test_without_points_they_are_the_sigmoid_of_the_logits(self):
        model = classifier()
        wanted = 1 / (1 + np.exp(-model.network(images()).detach().double().numpy()))
        np.testing.assert_allclose(model(images()).detach().numpy(), wanted, rtol=1e-6)
        np.testing.assert_allclose(model.probabilities(images()).detach().numpy(), wanted, rtol=1e-6)

    def test_a_half_is_the_operating_point(self):
        points = (0.2, 0.5, float("nan"), 0.9)
        model = classifier(operating_points=points)
        p = model.probabilities(images()).detach().double().numpy()
        wanted = [[by_hand(a, t) if t == t else a for a, t in zip(row, points, strict=True)] for row in p]
        np.testing.assert_allclose(model(images()).detach().numpy(), wanted, rtol=1e-5)
        np.testing.assert_allclose(
            model.calibrate(torch.tensor([[0.2, 0.5, 0.3, 0.9]])), [[0.5, 0.5, 0.3, 0.5]], rtol=1e-6
        )

    def test_logits_are_before_the_operating_points(self):
        plain, pointed = classifier(), classifier(operating_points=(0.1,) * 4)
        assert torch.equal(plain.logits(images()), pointed.logits(images()))

    def test_what_was_not_trained_is_unknown(self):
        found = classifier(trained=["Effusion", "Mass"])(images())
        assert found.isnan().tolist() == [[True, False, True, False]] * 3

    def test_as_torchxrayvision_it_is_a_half(self):
        found = classifier(trained=[False, True, True, True], compat="xrv")(images())
        assert (found[:, 0] == 0.5).all()
        assert not found.isnan().any()

    def test_gradients_reach_the_image_past_unknown_outputs(self):
        batch = images().requires_grad_()
        model = classifier(trained=["Effusion"], operating_points=[0.1, 0.2, 0.3, 0.4])
        model(batch)[:, 1].sum().backward()
        assert batch.grad.isfinite().all()
        assert batch.grad.any()

    def test_along_a_tree_a_child_never_exceeds_its_parent(self):
        head = ConditionalHead(32, 3, parents=(-1, 0, 1))
        model = Classifier(Network(Mini(width=2), head), ("Lung Opacity", "Consolidation", "Pneumonia"),
                           inputs=InputSpec(size=32))  # fmt: skip
        found = model(images())
        assert (found[:, 1] <= found[:, 0]).all()
        assert (found[:, 2] <= found[:, 1]).all()
        torch.testing.assert_close(model.logits(images()).sigmoid(), found)

    def test_an_image_does_not_depend_on_its_neighbours(self):
        model = classifier()
        torch.testing.assert_close(model(images())[1:2], model(images()[1:2]))

    def test_no_images_give_no_rows(self):
        assert classifier()(images(0)).shape == (0, 4)


class TestImages:
    def test_another_size_is_resized_with_a_warning(self):
        model = classifier()
        with pytest.warns(UserWarning, match="are resized to 32 x 32"):
            found = model(images(size=64))
        resized = torch.nn.functional.interpolate(images(size=64), (32, 32), mode="bilinear", antialias=True)
        torch.testing.assert_close(found, model(resized))

    @pytest.mark.parametrize("method", ["forward", "logits", "features", "maps", "probabilities"])
    def test_every_way_in_refuses_another_range(self, method):
        with pytest.raises(ValueError, match="expected values from -1024 to 1024"):
            getattr(classifier(), method)(torch.rand(1, 1, 32, 32))

    def test_features_and_maps(self):
        model = classifier()
        assert model.features(images()).shape == (3, 32)
        assert model.maps(images()).shape == (3, 16, 4, 4)

    def test_the_network_sees_normalised_images(self):
        net = network()
        spec = InputSpec(size=32, intensity="unit", mean=0.5, std=0.25)
        batch = torch.rand(2, 1, 32, 32)
        torch.testing.assert_close(
            Classifier(net, SPACE, inputs=spec).logits(batch), net.eval()((batch - 0.5) / 0.25)
        )

    def test_preprocess_makes_what_forward_takes(self):
        grey = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40) * 30
        model = classifier()
        assert model(model.preprocess(grey)).shape == (1, 4)
        assert model(model.preprocess(grey // 16, max_value=4_095)).shape == (1, 4)

    def test_half_precision_gives_float32(self):
        model = classifier()
        found = copy.deepcopy(model).bfloat16()(images())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, model(images()), rtol=0, atol=0.05)


class TestItself:
    def test_it_evaluates_from_the_start(self):
        model = classifier()
        assert not any(module.training for module in model.modules())

    def test_names_and_the_rest(self):
        model = classifier(card=Card("tiny"))
        assert model.pathologies == SPACE
        assert model.space == LabelSpace.of(SPACE)
        assert model.card.name == "tiny"
        assert "4 findings of custom, 4 trained, 32 x 32 xrv" in repr(model)
        assert Classifier(network(18), "xrv18").space.name == "xrv18"

    def test_the_spec_follows_the_networks_channels(self):
        assert Classifier(Network(Mini(width=2, channels=3), 4), SPACE).inputs.channels == 3

    def test_other_points_share_the_network(self):
        model = classifier(operating_points={"pleural effusion": 0.3})
        assert model.operating_points.isnan().tolist() == [True, False, True, True]
        other = model.with_operating_points(None)
        assert other.network is model.network
        assert other.operating_points.isnan().all()
        assert not model.operating_points.isnan().all()

    def test_the_givers_points_are_not_shared(self):
        points = torch.full((4,), 0.5)
        model = classifier(operating_points=points)
        points.fill_(0.1)
        assert (model.operating_points == 0.5).all()

    def test_it_compiles_whole(self):
        model = classifier(operating_points=(0.2,) * 4, trained=["Effusion"])
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(images()), model(images()), equal_nan=True)

    def test_for_inference_gives_the_same_answers(self):
        model = classifier(operating_points=(0.2,) * 4)
        torch.manual_seed(3)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        before = copy.deepcopy(model.state_dict())
        fast = model.for_inference()
        with torch.inference_mode():
            torch.testing.assert_close(fast(images()), model(images()), rtol=1e-4, atol=1e-5)
        assert fast.network.backbone is not model.network.backbone
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_a_gpu_takes_images_from_anywhere(self):
        model = classifier(operating_points=(0.2,) * 4, trained=["Effusion"])
        wanted = model(images())
        moved = copy.deepcopy(model).cuda()
        found = moved(images())
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-3, equal_nan=True)
        assert moved.heatmap(images(), "Effusion").device.type == "cuda"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": torch.nn.Linear(2, 2)}, "network: expected one of the class Network, got Linear"),
        ({"space": "nih14"}, r"space: expected 4 findings, one for each output, got 14 \(nih14\)"),
        ({"compat": "peer"}, "compat: expected None or one of"),
        ({"inputs": InputSpec(channels=3)}, "inputs: expected 1 channels, as the network takes, got 3"),
        ({"inputs": 224}, "inputs: expected one of the class InputSpec, got int"),
        ({"card": {}}, "card: expected one of the class Card, got dict"),
        ({"trained": [True, False]}, "trained: expected findings, or 4 of True or False"),
        ({"trained": [1, 0, 1, 1]}, "trained: expected findings, or 4 of True or False"),
        ({"operating_points": [0.5, 0.5]}, "operating_points: expected 4 numbers from 0 to 1"),
        ({"operating_points": [0.5, 0.5, 2, 0.5]}, "operating_points: expected 4 numbers from 0 to 1"),
        ({"operating_points": {"Effusion": -0.1}}, "operating_points: expected 4 numbers from 0 to 1"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Classifier(**{"network": network(), "space": SPACE, "inputs": InputSpec(size=32), **options})


@pytest.mark.parametrize("options", [{"trained": ["Hernia"]}, {"operating_points": {"Hernia": 0.5}}])
def test_findings_of_another_space_are_named(options):
    with pytest.raises(LookupError, match="'Hernia' is not in the space"):
        Classifier(network(), SPACE, **options)
