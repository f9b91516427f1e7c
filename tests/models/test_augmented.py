"""Test-time augmentation, seen on classifiers that answer with what they see."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from xrdatasets.labels import LabelSpace
from xrdatasets.models import Classifier, InputSpec, Network, backbone
from xrdatasets.models.augmented import ten_crop, tta
from xrdatasets.models.ensemble import Ensemble
from xrdatasets.transforms import image_seeds, pham_views


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Looking(nn.Module):
    """Answers with the mean of each image's left half, scaled to [0, 1]; knows what it was shown."""

    def __init__(self, size=32, *, batches=None, points=float("nan"), **spec):
        super().__init__()
        self.space, self.inputs = LabelSpace.of(["Mass", "Edema"]), InputSpec(size=size, **spec)
        self.trained = torch.tensor([True, False])
        self.operating_points = torch.tensor([points, float("nan")])
        self.batches = [] if batches is None else batches

    def probabilities(self, images):
        self.batches.append(images)
        seen = (images[..., : images.shape[-1] // 2].mean((1, 2, 3)) + 1024) / 2048
        return torch.stack([seen, seen], dim=1)

    def logits(self, images):
        return torch.logit(self.probabilities(images))

    def forward(self, images):
        """Equation 1 of Cohen, for a point below all that is seen here."""
        p, t = self.probabilities(images), self.operating_points
        mapped = torch.where(t.isnan(), p, 1 - (1 - p) / (2 * (1 - t)))
        return torch.where(self.trained, mapped, torch.nan)


def images(count=2, size=32, channels=1, seed=0):
    drawn = torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return 2048 * drawn - 1024


def tiny(space=("Mass", "Edema"), *, seed=0, inputs=None, **options):
    """A real classifier with random weights."""
    torch.manual_seed(seed)
    spec = inputs or InputSpec(size=32)
    network = Network(backbone("mini", width=2, channels=spec.channels), len(LabelSpace.of(space)))
    return Classifier(network, space, inputs=spec, **options)


def test_the_answer_is_the_mean_over_phams_views():
    """Ten of the transforms' own, none of them the image itself."""
    classifier = Looking()
    views = pham_views(10, width=32)(images(1), seeds=image_seeds(torch.zeros(1, dtype=torch.int64)))[0]
    expected = classifier.probabilities(views).double().mean(0)[0]
    answer = tta(classifier)(images(1))
    assert answer[0, 0].item() == pytest.approx(expected.item(), abs=1e-6)
    shown = torch.cat(classifier.batches[1:])
    assert torch.equal(shown, views)
    assert not any(torch.equal(view, images(1)[0]) for view in shown)


def test_the_original_is_there_if_asked():
    classifier = Looking()
    tta(classifier, n=3, include_original=True)(images(1))
    (shown,) = classifier.batches
    assert len(shown) == 4
    assert torch.equal(shown[0], images(1)[0])


def test_a_view_that_changes_nothing_gives_the_plain_answer():
    """A uniform image, turned by 7 degrees or less, is the same to a network that looks at its middle."""

    class Inside(Looking):
        def probabilities(self, images):
            return super().probabilities(images[..., 10:22, 10:22])

    flat = torch.full((2, 1, 32, 32), 512.0)
    torch.testing.assert_close(tta(Inside())(flat), Inside()(flat), equal_nan=True)


@pytest.mark.parametrize("make", [lambda c: tta(c, n=4, seed=3), lambda c: ten_crop(c, resize=32)])
def test_the_same_image_gives_the_same_answer_whatever_stands_beside_it(make):
    classifier = tiny()
    augmented, batch = make(classifier), images(7)
    alone = augmented(batch[4:5])
    torch.testing.assert_close(augmented(batch)[4:5], alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(augmented(batch.flip(0))[2:3], alone, rtol=0, atol=1e-6)
    assert torch.equal(make(classifier)(batch[4:5]), alone)


def test_another_seed_draws_other_views():
    classifier = tiny()
    assert not torch.equal(tta(classifier, n=3, seed=0)(images()), tta(classifier, n=3, seed=1)(images()))


def test_draws_of_an_image_s_own_follow_its_number():
    """With `idx` the same image at two places in the dataset is seen in two ways."""
    augmented, same = tta(tiny(), n=3), images(1).expand(2, -1, -1, -1)
    torch.testing.assert_close(*augmented(same).split(1))
    own = augmented(same, idx=torch.tensor([7, 8]))
    assert not torch.equal(*own.split(1))
    torch.testing.assert_close(augmented(same[:1], idx=torch.tensor([8])), own[1:], rtol=0, atol=1e-6)


def test_global_generators_are_not_touched():
    state = torch.get_rng_state()
    tta(Looking(), n=2)(images())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("n", [3, 40])
def test_the_classifier_never_gets_more_than_a_batch(n):
    classifier = Looking()
    whole, parts = tta(classifier, n=n, batch_size=500)(images(9)), tta(classifier, n=n, batch_size=8)
    classifier.batches.clear()
    torch.testing.assert_close(parts(images(9)), whole, equal_nan=True)
    assert sum(map(len, classifier.batches)) == 9 * n
    assert max(map(len, classifier.batches)) <= 8


def test_ten_crop_is_the_mean_over_corners_centre_and_mirror_images():
    """On columns that hold their number: each crop's left half, and the right half of its mirror image."""
    columns = torch.arange(36.0).expand(1, 1, 36, 36)
    lefts = [0, 4, 0, 4, 2]  # of 32 columns
    values = [torch.arange(left, left + 16).double().mean() for left in lefts]
    values += [torch.arange(left + 16, left + 32).double().mean() for left in lefts]
    expected = (torch.stack(values).mean() * 20 + 1024) / 2048
    answer = ten_crop(Looking(), resize=36)(columns * 20)
    assert answer[0, 0].item() == pytest.approx(expected.item(), abs=1e-6)
    assert answer[0, 1].isnan()


@pytest.mark.parametrize(("size", "larger"), [(224, 256), (320, 366), (512, 585)])
def test_ten_crop_takes_images_larger_by_256_over_224(size, larger):
    assert ten_crop(Looking(size)).inputs.size == larger


def test_ten_crop_shows_crops_of_the_classifier_s_size():
    classifier = Looking()
    augmented = ten_crop(classifier)
    augmented(augmented.preprocess(np.arange(60 * 50, dtype=np.uint16).reshape(60, 50), max_value=3000))
    assert [batch.shape for batch in classifier.batches] == [(10, 1, 32, 32)]


@pytest.mark.parametrize(("make", "size"), [(tta, 32), (ten_crop, 37)])
def test_images_of_another_size_are_resized_with_one_warning(make, size):
    expected = nn.functional.interpolate(images(9, 64), (size, size), mode="bilinear", antialias=True)
    with pytest.warns(UserWarning, match=f"64 x 64 are resized to {size} x {size}") as caught:
        answers = make(Looking())(images(9, 64))
    assert len(caught) == 1
    torch.testing.assert_close(answers, make(Looking())(expected), equal_nan=True)


@pytest.mark.parametrize("make", [tta, ten_crop])
def test_images_of_another_range_are_refused(make):
    with pytest.raises(ValueError, match="expected values from -1024 to 1024"):
        make(Looking())(2 * images(size=make(Looking()).inputs.size))


@pytest.mark.parametrize("make", [tta, lambda c: ten_crop(c, resize=32)])
def test_colour_channels_are_moved_together(make):
    grey, colour = Looking(), Looking(channels=3)
    make(grey)(images(3))
    make(colour)(images(3).expand(-1, 3, -1, -1))
    assert torch.equal(torch.cat(colour.batches), torch.cat(grey.batches).expand(-1, 3, -1, -1))


def test_a_range_from_0_to_1_is_kept():
    classifier = Looking(intensity="unit")
    tta(classifier, n=20)((images() + 1024) / 2048)
    shown = torch.cat(classifier.batches)
    assert 0 <= shown.min() < 0.01
    assert 0.9 < shown.max() <= 1


def test_any_size_is_augmented_as_it_is():
    classifier = Looking(size=None)
    tta(classifier, n=2)(images(size=48))
    assert classifier.batches[0].shape == (4, 1, 48, 48)


def test_views_are_averaged_on_the_scale_of_the_operating_point():
    """With a point at 0 the map is 0.5 + p / 2, and so is that of the mean."""
    augmented = tta(Looking(points=0.0), n=5)
    p = augmented.probabilities(images())[:, 0]
    torch.testing.assert_close(augmented(images())[:, 0], 0.5 + p / 2)
    assert augmented.calibrated.tolist() == [True, False]


def test_logits_are_averaged_as_they_are():
    classifier = Looking()
    answer = tta(classifier, n=6).logits(images(1))[0, 0]
    seen = classifier.batches[0][..., :16].double().mean((1, 2, 3))
    p = (seen + 1024) / 2048
    assert answer.item() == pytest.approx((p / (1 - p)).log().mean().item(), abs=1e-5)


@pytest.mark.parametrize("make", [tta, lambda c: ten_crop(c, resize=40)])
def test_it_answers_for_what_the_classifier_does(make):
    classifier = tiny("nih14", trained=["Mass", "Edema"], operating_points={"Mass": 0.3})
    augmented = make(classifier)
    assert augmented.space == classifier.space
    assert augmented.pathologies == classifier.pathologies
    assert torch.equal(augmented.trained, classifier.trained)
    assert augmented.card == classifier.card
    answers = augmented(images(size=augmented.inputs.size))
    assert torch.equal(answers[0].isnan(), ~classifier.trained)
    assert ((answers[:, classifier.trained] > 0) & (answers[:, classifier.trained] < 1)).all()


def test_what_torchxrayvision_answers_untrained_outputs_with_stays():
    assert (tta(tiny(trained=["Mass"], compat="xrv"), n=3)(images())[:, 1] == 0.5).all()


def test_an_ensemble_is_augmented_as_one():
    """Every member sees the same views, so that it is the mean of the augmented members."""
    members = [tiny(["Mass"], seed=0), tiny(["Mass"], seed=1, inputs=InputSpec(size=32, intensity="unit"))]
    unit = (images() + 1024) / 2048
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = tta(Ensemble(members), n=4)(images())
    apart = (tta(members[0], n=4)(images()) + tta(members[1], n=4)(unit)) / 2
    torch.testing.assert_close(together, apart)
    assert ten_crop(Ensemble(members)).inputs.size == 37


def test_preprocess_of_tta_is_the_classifier_s():
    classifier, picture = tiny(), np.arange(60 * 50, dtype=np.uint16).reshape(60, 50)
    assert torch.equal(tta(classifier).preprocess(picture), classifier.preprocess(picture))


def test_an_empty_batch_gives_no_rows():
    assert tta(tiny(), n=3)(torch.zeros(0, 1, 32, 32)).shape == (0, 2)
    assert ten_crop(tiny())(torch.zeros(0, 1, 37, 37)).shape == (0, 2)


def test_for_inference_gives_the_same():
    classifier = tiny()
    augmented = tta(classifier, n=3)
    faster = augmented.for_inference()
    torch.testing.assert_close(faster(images()), augmented(images()), rtol=0, atol=1e-5)
    assert augmented.classifier is classifier
    assert faster.classifier is not classifier


def test_it_goes_to_other_processes():
    augmented = ten_crop(tiny())
    again = pickle.loads(pickle.dumps(augmented))
    assert torch.equal(again(images(size=37)), augmented(images(size=37)))


def test_repr_says_what_is_averaged():
    assert repr(tta(Looking(), n=3, include_original=True)).splitlines()[1:2] == [
        "  mean of 4 views of images of 32 x 32"
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("make", [tta, lambda c: ten_crop(c, resize=32)])
def test_a_gpu_gives_the_same(make):
    augmented = make(tiny())
    expected = augmented(images())
    torch.testing.assert_close(augmented.to("cuda")(images().cuda()).cpu(), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tta(Looking(), n=0), "n: expected a whole number of at least 1, got 0"),
        (lambda: tta(Looking(), n=2.0), "n: expected a whole number of at least 1, got 2.0"),
        (lambda: tta(Looking(), seed="a"), "seed: expected a whole number, got 'a'"),
        (lambda: tta(Looking(), batch_size=0), "batch_size: expected a whole number of at least 1"),
        (
            lambda: tta(nn.Linear(2, 2)),
            "classifier: expected a Classifier, or an Ensemble of some, got Linear",
        ),
        (lambda: ten_crop("nih"), "classifier: expected a Classifier, or an Ensemble of some, got str"),
        (lambda: ten_crop(Looking(), resize=31), "resize: expected a whole number of at least 32, got 31"),
        (lambda: ten_crop(Looking(size=None)), "classifier: expected one of a fixed size"),
        (lambda: tta(Looking())(images(), idx=torch.tensor([1])), "idx: expected 2 integers"),
        (lambda: tta(Looking())(images(), idx=torch.zeros(2)), "idx: expected a tensor of B integers"),
        (lambda: tta(Looking())(images()[0]), r"images: expected the shape \(B, 1, H, W\)"),
    ],
    ids=["n", "real", "seed", "batch", "network", "name", "small", "any", "few", "float", "one"],
)
def test_arguments_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
