"""The mean of several classifiers, of known answers and of small networks."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels import LabelSpace
from xrdatasets.models import Card, Classifier, InputSpec, Network, backbone
from xrdatasets.models.augmented import tta
from xrdatasets.models.ensemble import Ensemble


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Fixed(nn.Module):
    """What a classifier is to an ensemble: the same answer to each image; it keeps what it was given."""

    def __init__(self, space, probabilities, *, trained=None, points=None, inputs=None, card=None):
        super().__init__()
        self.space, self.card = LabelSpace.of(space), card
        self.inputs = inputs or InputSpec(size=32)
        self.register_buffer("given", torch.tensor(probabilities, dtype=torch.float64))
        self.trained = torch.tensor(trained or [True] * len(self.space))
        self.operating_points = torch.tensor(points or [math.nan] * len(self.space))
        self.seen = []

    def probabilities(self, images):
        self.seen.append(images)
        return self.given.float().expand(len(images), -1)

    def logits(self, images):
        return torch.logit(self.given).float().expand(len(images), -1)

    def forward(self, images):
        """Cohen's equation 1, written anew."""
        p, t = self.probabilities(images), self.operating_points
        mapped = torch.where(p < t, p / (2 * t), 1 - (1 - p) / (2 * (1 - t)))
        answers = torch.where(t.isnan(), p, mapped)
        return torch.where(self.trained, answers, torch.nan)


def images(count=2, size=32, low=-1024, high=1024):
    drawn = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(count))
    return low + (high - low) * drawn


def tiny(space, *, seed, inputs=None, **options):
    """A real classifier with random weights."""
    torch.manual_seed(seed)
    spec = inputs or InputSpec(size=32)
    network = Network(backbone("mini", width=2, channels=spec.channels), len(LabelSpace.of(space)))
    return Classifier(network, space, inputs=spec, **options)


def test_the_mean_is_of_probabilities_or_of_log_odds():
    """Of .2, .6, .9 the mean is 17 / 30; the odds 1/4, 3/2, 9 have the geometric mean 3/2, which is .6."""
    members = [Fixed(["Mass"], [p]) for p in (0.2, 0.6, 0.9)]
    assert Ensemble(members)(images(1)).item() == pytest.approx(17 / 30, abs=1e-7)
    by_odds = Ensemble(members, space="logit")
    assert by_odds(images(1)).item() == pytest.approx(0.6, abs=1e-7)
    assert by_odds.logits(images(1)).item() == pytest.approx(math.log(1.5), abs=1e-6)
    assert Ensemble(members).logits(images(1)).item() == pytest.approx(math.log(1.5), abs=1e-6)


def test_a_finding_is_the_mean_over_the_members_that_were_trained_on_it():
    one = Fixed(["Mass", "Edema", "Hernia"], [0.2, 0.4, 0.9], trained=[True, False, False])
    other = Fixed(["Edema", "Nodule", "Mass"], [0.6, 0.8, 0.4])
    both = Ensemble([one, other])
    assert both.pathologies == ("Mass", "Edema", "Hernia", "Nodule")
    assert both.space.name == "custom"
    assert both.trained.tolist() == [True, True, False, True]
    for answers in (both(images(3)), both.probabilities(images(3))):
        torch.testing.assert_close(answers, torch.tensor([[0.3, 0.6, math.nan, 0.8]] * 3), equal_nan=True)
    logits = both.logits(images(1))[0]
    assert logits[1].item() == pytest.approx(math.log(0.6 / 0.4), abs=1e-6)
    assert logits[2].isnan()


def test_what_torchxrayvision_answers_untrained_outputs_with_does_not_count():
    """With compat="xrv" a classifier says 0.5 of what it does not know."""
    known = tiny(["Mass", "Edema"], seed=0)
    half = tiny(["Mass", "Edema"], seed=1, trained=["Mass"], compat="xrv")
    assert half(images())[0, 1] == 0.5
    torch.testing.assert_close(Ensemble([known, half])(images())[:, 1], known(images())[:, 1])
    assert Ensemble([half])(images()).isnan().tolist() == [[False, True]] * 2


def test_an_answer_that_is_no_number_is_not_hidden():
    """A member that was trained and fails is no member that was not trained."""
    answers = Ensemble([Fixed(["Mass"], [0.5]), Fixed(["Mass"], [math.nan])])(images(1))
    assert answers.isnan().all()


def test_members_of_one_space_keep_it():
    assert Ensemble([tiny("nih14", seed=0), tiny("nih14", seed=1)]).space == LabelSpace.load("nih14")


def test_a_given_space_chooses_orders_and_leaves_unknown():
    members = [Fixed(["Mass", "Edema"], [0.2, 0.4]), Fixed(["Nodule", "Mass"], [0.8, 0.4])]
    chosen = Ensemble(members, labels=["nodule", "Hernia", "Mass"])
    assert chosen.pathologies == ("Nodule", "Hernia", "Mass")
    expected = torch.tensor([[0.8, math.nan, 0.3]])
    torch.testing.assert_close(chosen(images(1)), expected, equal_nan=True)
    assert Ensemble(members, labels="nih14").space.name == "nih14"


def test_one_member_answers_as_it_does_alone():
    one = tiny(["Mass", "Edema"], seed=0, operating_points={"Mass": 0.3, "Edema": 0.1})
    ensemble = Ensemble([one])
    for ask in ("__call__", "probabilities", "logits"):
        torch.testing.assert_close(getattr(ensemble, ask)(images()), getattr(one, ask)(images()))


def test_a_member_that_is_there_twice_counts_twice():
    low, high = Fixed(["Mass"], [0.1]), Fixed(["Mass"], [0.7])
    assert Ensemble([low, high, high])(images(1)).item() == pytest.approx(0.5)


def test_an_ensemble_may_be_a_member():
    inner = Ensemble([Fixed(["Mass"], [0.1]), Fixed(["Edema"], [0.7])])
    outer = Ensemble([inner, Fixed(["Mass"], [0.3])])
    torch.testing.assert_close(outer(images(1)), torch.tensor([[0.2, 0.7]]))


def test_calibrated_members_are_averaged_on_the_scale_of_their_operating_points():
    """.1 of .2 is a quarter, .9 of .8 is three quarters: together on the point. Raw, .5 too, but by chance:
    .04 and .06 of thresholds .02 and .05 are both calls, though both are far below one half."""
    low = Fixed(["Mass"], [0.1], points=[0.2])
    high = Fixed(["Mass"], [0.9], points=[0.8])
    assert Ensemble([low, high])(images(1)).item() == pytest.approx(0.5)
    calls = [Fixed(["Mass"], [0.04], points=[0.02]), Fixed(["Mass"], [0.06], points=[0.05])]
    ensemble = Ensemble(calls)
    assert ensemble(images(1)).item() > 0.5
    assert ensemble.probabilities(images(1)).item() == pytest.approx(0.05)
    assert ensemble.calibrated.tolist() == [True]


def test_log_odds_know_no_operating_points():
    members = [Fixed(["Mass"], [p], points=[0.9]) for p in (0.2, 0.6, 0.9)]
    ensemble = Ensemble(members, space="logit")
    assert ensemble(images(1)).item() == pytest.approx(0.6)
    assert ensemble.calibrated.tolist() == [False]


@pytest.mark.parametrize(("space", "expected"), [("prob", (0.3 / 0.6) / 2), ("logit", 0.5)])
def test_the_ensemble_s_own_operating_point_is_its_one_half(space, expected):
    """Members of .1 and .2 (odds 1/9, 1/4: geometric mean 1/6, p = 1/7), whose own points do not count."""
    members = [Fixed(["Mass"], [0.1], points=[0.9]), Fixed(["Mass"], [0.2], points=[0.01])]
    point = 0.3 if space == "prob" else 1 / 7
    ensemble = Ensemble(members, space=space, operating_points={"mass": point})
    assert ensemble(images(1)).item() == pytest.approx(expected, abs=1e-6)
    assert ensemble.calibrated.tolist() == [True]


def test_two_scales_in_one_mean_are_warned_of():
    one = Fixed(["Mass", "Edema"], [0.2, 0.2], points=[0.1, math.nan])
    other = Fixed(["Mass", "Edema"], [0.2, 0.2])
    with pytest.warns(
        UserWarning, match="members: for Mass some have an operating point and others have none"
    ):
        Ensemble([one, other])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ensemble([one, other], space="logit")
        Ensemble([one, other], operating_points=[0.2, 0.2])
        Ensemble([one, Fixed(["Edema"], [0.2])])  # Mass is of one member alone
        Ensemble([Ensemble([one]), one])  # an ensemble of calibrated members is calibrated


def test_each_member_gets_its_size_and_range():
    small = Fixed(["Mass"], [0.2], inputs=InputSpec(size=16, intensity="unit"))
    large = Fixed(["Mass"], [0.2], inputs=InputSpec(size=32))
    both = Ensemble([large, small])
    assert (both.inputs.size, both.inputs.intensity) == (32, "xrv")
    given = images()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both(given)
    assert torch.equal(large.seen[0], given)
    # as torch resizes, moved to [0, 1] by hand
    shrunk = nn.functional.interpolate(given.double(), (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(small.seen[0].double(), (shrunk + 1024) / 2048, rtol=0, atol=1e-6)


def test_a_range_from_0_to_1_is_moved_to_torchxrayvision_s():
    unit = Fixed(["Mass"], [0.2], inputs=InputSpec(size=32, intensity="unit"))
    xrv = Fixed(["Mass"], [0.2], inputs=InputSpec(size=32))
    given = images(low=0, high=1)
    Ensemble([unit, xrv])(given)
    torch.testing.assert_close(xrv.seen[0], 2048 * given - 1024)


def test_members_of_one_and_three_channels_answer_as_alone():
    grey = tiny(["Mass"], seed=0)
    colour = tiny(["Mass"], seed=1, inputs=InputSpec(size=32, channels=3, mean=0.4, std=0.2))
    mean = (grey(images()) + colour(images())) / 2
    torch.testing.assert_close(Ensemble([colour, grey])(images()), mean)
    assert Ensemble([colour, grey]).inputs.channels == 1


def test_images_of_another_size_are_resized_with_one_warning():
    members = [tiny(["Mass"], seed=0), tiny(["Mass"], seed=1, inputs=InputSpec(size=16))]
    with pytest.warns(UserWarning, match="48 x 48 are resized to 32 x 32") as caught:
        Ensemble(members)(images(size=48))
    assert len(caught) == 1


def test_images_of_another_range_are_refused():
    with pytest.raises(ValueError, match="expected values from -1024 to 1024, got"):
        Ensemble([tiny(["Mass"], seed=0)])(images(low=0, high=65_535))


def test_preprocess_makes_the_largest_image():
    members = [tiny(["Mass"], seed=0, inputs=InputSpec(size=16)), tiny(["Mass"], seed=1)]
    made = Ensemble(members).preprocess(np.full((64, 48), 255, np.uint8))
    assert made.shape == (1, 1, 32, 32)
    assert (made == 1024).all()


def test_specs_that_agree_stay():
    spec = InputSpec(size=32, mean=0.3, std=0.2)
    assert Ensemble([tiny(["Mass"], seed=seed, inputs=spec) for seed in (0, 1)]).inputs == spec


def test_any_size_goes_with_any():
    free = tiny(["Mass"], seed=0, inputs=InputSpec(size=None))
    assert Ensemble([free, free]).inputs.size is None
    both = Ensemble([free, tiny(["Mass"], seed=1)])
    assert both.inputs.size == 32
    assert both(images()).shape == (2, 1)


def test_it_moves_with_its_members():
    ensemble = Ensemble([tiny(["Mass"], seed=0), tiny(["Edema"], seed=1)])
    moved = ensemble.to("meta")
    assert {tensor.device.type for tensor in (*moved.parameters(), *moved.buffers())} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_the_same():
    ensemble = Ensemble(
        [tiny(["Mass", "Edema"], seed=0), tiny(["Edema", "Hernia"], seed=1, trained=["Edema"])]
    )
    expected = ensemble(images())
    torch.testing.assert_close(
        ensemble.to("cuda")(images()).cpu(), expected, equal_nan=True, atol=1e-4, rtol=0
    )


def test_gradients_reach_the_images_in_spite_of_untrained_outputs():
    ensemble = Ensemble([tiny(["Mass", "Edema"], seed=0, trained=["Mass"]), tiny(["Mass"], seed=1)])
    given = images().requires_grad_()
    ensemble(given)[:, 0].sum().backward()
    assert given.grad.isfinite().all()
    assert given.grad.abs().sum() > 0


def test_an_empty_batch_gives_no_rows():
    assert Ensemble([tiny(["Mass"], seed=0)])(torch.zeros(0, 1, 32, 32)).shape == (0, 1)


def test_for_inference_maps_over_the_members():
    shared = tiny(["Mass", "Edema"], seed=0)
    ensemble = Ensemble([shared, tiny(["Edema"], seed=1), shared], labels=["Edema"], operating_points=[0.4])
    faster = ensemble.for_inference()
    torch.testing.assert_close(faster(images()), ensemble(images()), rtol=0, atol=1e-5)
    assert faster.members[0] is faster.members[2]
    assert faster.members[0] is not shared
    assert faster.pathologies == ("Edema",)


def test_the_state_dict_holds_the_members_alone():
    one = tiny(["Mass"], seed=0)
    assert len(Ensemble([one]).state_dict()) == len(one.state_dict())


def test_it_keeps_the_mode_of_its_members():
    one = tiny(["Mass"], seed=0)
    assert not Ensemble([one]).training
    assert Ensemble([one, Fixed(["Mass"], [0.5]).train()]).training


def test_its_card_says_what_all_were_trained_on():
    cards = [
        Card("a", trained_on=("nih",), licence="MIT", notes=("old",)),
        Card("b", trained_on=("nih", "rsna"), licence="Apache-2.0"),
    ]
    card = Ensemble([Fixed(["Mass"], [0.5], card=card) for card in cards]).card
    assert (card.name, card.trained_on, card.licence) == ("a + b", ("nih", "rsna"), "MIT; Apache-2.0")
    assert card.notes == ("old",)


def test_repr_is_a_table():
    one = tiny(["Mass", "Edema"], seed=0, trained=["Mass"], card=Card("one"))
    other = tiny("nih14", seed=1, inputs=InputSpec(size=None, intensity="unit"))
    assert repr(Ensemble([one, other], space="logit")).splitlines() == [
        "Ensemble: mean of the log-odds of 2, 14 findings",
        "member      findings  trained  size  intensity",
        "one                2        1    32        xrv",
        "Classifier        14       14   any       unit",
    ]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "members: expected at least one classifier, got none"),
        (3, "members: expected classifiers in a list, got int"),
        (["nih"], r"members\[0\]: expected a Classifier, or an Ensemble of some, got str\.$"),
        (
            [Fixed(["Mass"], [0.5]), nn.Linear(2, 2)],
            r"members\[1\]: .* got Linear\. A network becomes one by",
        ),
    ],
    ids=["none", "number", "name", "network"],
)
def test_what_are_no_classifiers_is_refused(members, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(members)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "nih14"}, "space: expected 'prob' or 'logit', got 'nih14'"),
        (
            {"labels": ["Hernia"]},
            "labels: expected a finding that at least one member was trained on, got Hernia",
        ),
        ({"operating_points": [0.5]}, "operating_points: expected 2 numbers from 0 to 1"),
        ({"operating_points": [0.5, 1.5]}, "operating_points: expected 2 numbers from 0 to 1"),
    ],
    ids=["space", "labels", "points", "high"],
)
def test_arguments_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Ensemble([Fixed(["Mass", "Edema"], [0.5, 0.5])], **options)


def test_a_finding_that_is_none_is_refused():
    with pytest.raises(LabelNotFoundError, match="Mas"):
        Ensemble([Fixed(["Mass"], [0.5])], labels=["Mas"])


def test_test_time_augmentation_may_be_a_member():
    one = tiny(["Mass"], seed=0)
    augmented = tta(one, n=3)
    mean = (augmented(images()) + one(images())) / 2
    torch.testing.assert_close(Ensemble([augmented, one])(images()), mean)
