"""Answers: a classifier as tensors alone says what the classifier says, and compiles whole."""

import shutil

import pytest
import torch

from xrdatasets.models import Backbone, Classifier, InputSpec, Mini, Network, head
from xrdatasets.models.inference.answering import Answer

SPACE = ("Lung Opacity", "Consolidation", "Pneumonia")
HEADS = [
    ("linear", {}),
    ("multiclass", {}),
    ("branch", {"width": 4}),
    ("class_query", {}),
    ("per_dataset", {"datasets": ("nih", "rsna")}),
    ("conditional", {"parents": (-1, 0, 1)}),
]


def classifier(kind="linear", *, channels=1, inputs=None, head_options=None, **options):
    torch.manual_seed(0)
    backbone = Mini(width=2, channels=channels)
    network = Network(backbone, head(kind, backbone.out_features, 3, **(head_options or {})))
    generator = torch.Generator().manual_seed(1)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
    return Classifier(network, SPACE, inputs=inputs or InputSpec(size=32, channels=channels), **options)


def images(count=4, channels=1, seed=2, low=-1024, high=1024):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, channels, 32, 32, generator=generator)


@pytest.mark.parametrize(("kind", "options"), HEADS)
class TestHeads:
    def test_it_says_what_the_classifier_says(self, kind, options):
        model = classifier(kind, head_options=options, operating_points=(0.0, 0.4, float("nan")))
        assert torch.equal(Answer(model)(images()), model(images()))

    def test_it_compiles_whole(self, kind, options):
        model = classifier(kind, head_options=options, operating_points=(0.2,) * 3, trained=SPACE[:2])
        torch.compiler.reset()
        compiled = torch.compile(Answer(model), backend="eager", fullgraph=True)
        with torch.inference_mode():
            for count in (4, 2):
                wanted = model(images(count))
                torch.testing.assert_close(compiled(images(count)), wanted, equal_nan=True)


def test_what_was_not_trained():
    for compat, check in ((None, torch.isnan), ("xrv", lambda column: column == 0.5)):
        answers = Answer(classifier(trained=[True, False, True], compat=compat))(images())
        assert check(answers[:, 1]).all()
        assert answers[:, [0, 2]].isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_normalised(channels):
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if channels == 3 else (0.5, 0.25)
    spec = InputSpec(size=32, intensity="unit", channels=channels, mean=mean, std=std)
    model = classifier(channels=channels, inputs=spec)
    batch = images(channels=channels, low=0, high=1)
    assert torch.equal(Answer(model)(batch), model(batch))
    by_hand = torch.stack([
        (batch[:, channel] - (mean[channel] if channels == 3 else mean))
        / (std[channel] if channels == 3 else std)
        for channel in range(channels)
    ], dim=1)  # fmt: skip
    torch.testing.assert_close(Answer(model)(batch), model.network(by_hand).sigmoid())


def test_it_checks_nothing():
    """A graph cannot: what a classifier refuses is computed."""
    assert Answer(classifier())(torch.rand(1, 1, 40, 48)).shape == (1, 3)


def test_operating_points_are_copied_and_the_network_is_shared():
    model = classifier(operating_points=(0.5,) * 3)
    answer = Answer(model)
    answer.operating_points.fill_(0.1)
    assert (model.operating_points == 0.5).all()
    assert answer.network is model.network


def test_the_classifier_keeps_its_mode():
    model = classifier().train()
    Answer(model)
    assert all(part.training for part in model.modules())


def test_in_half_precision_the_answers_are_float32():
    model = classifier().bfloat16()
    assert Answer(model)(images()).dtype == torch.float32


def test_for_inference_it_says_the_same():
    model = classifier(operating_points=(0.3,) * 3)
    torch.testing.assert_close(Answer(model.for_inference())(images()), model(images()), rtol=0, atol=1e-5)


def test_only_classifiers_are_taken():
    with pytest.raises(ValueError, match="classifier: expected a Classifier, got Mini; take members one"):
        Answer(Mini())


class Spot(Backbone):
    """One convolution, so that a compiler has little to do."""

    def __init__(self):
        super().__init__("spot", channels=1, out_features=4, least=8)
        self.convolution = torch.nn.Conv2d(1, 4, 8, stride=8)

    def maps(self, images):
        return self.convolution(images / 1024)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a compiler")
@pytest.mark.filterwarnings("default")  # of the compiler's own
def test_machine_code_says_the_same():
    torch.manual_seed(0)
    model = Classifier(Network(Spot(), 3), SPACE, inputs=InputSpec(size=32), trained=SPACE[:2],
                       operating_points=(0.2, 0.5, float("nan")))  # fmt: skip
    compiled = torch.compile(Answer(model.for_inference()), fullgraph=True)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(images()), model(images()), rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu_compiled():
    model = classifier(operating_points=(0.2, 0.5, float("nan")), trained=SPACE[:2])
    wanted = model(images())
    compiled = torch.compile(Answer(model.cuda().for_inference()), fullgraph=True)
    with torch.inference_mode():
        found = compiled(images().cuda()).cpu()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3, equal_nan=True)
