"""The task: every piece can be switched on its own, and the steps are the papers' equations."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score, roc_curve

from tests.training.small import PLAIN, SPACE, batch, counts, recipe, targets
from xrdatasets.training import TemporalEnsemble, masked_bce_with_logits
from xrdatasets.training.gathering import Counts
from xrdatasets.training.parts import make_optimisers
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.schedules import Waiting, rate_factor
from xrdatasets.training.task import PartialLabelTask
from xrdatasets.training.validation import all_rows, macro_mean, masked_aucs, youden_points

COMMON = torch.tensor([True, False, False, False])


def make(name="luo2020", *, counted=None, **changes):
    return PartialLabelTask(recipe(name, **changes), counts() if counted is None else counted)


def in_double(task):
    """The same task in float64, its ensemble too."""
    task.double()
    if task.ensemble is not None:
        task.ensemble = TemporalEnsemble(*task.ensemble.means.shape, dtype=torch.float64)
    return task


def gradients(task, terms):
    """Gradients of the network, by name."""
    task.zero_grad()
    sum(terms.values()).backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in task.network.named_parameters()
        if parameter.grad is not None
    }


def remember(task, given, seed=3):
    """Commit an epoch of invented predictions."""
    generator = torch.Generator().manual_seed(seed)
    said = torch.rand(len(given["idx"]), len(SPACE), generator=generator, dtype=task.ensemble.means.dtype)
    task.ensemble.record(given["idx"], said)
    task.ensemble.commit()
    return said.double()


class TestEquation:
    def test_without_its_pieces_luo_2020_is_the_baseline(self):
        task = make(**{key.replace(".", "__"): value for key, value in PLAIN.items()})
        given = batch()
        assert task.discriminators is None
        assert task.ensemble is None
        seen = task.look(given)
        found = gradients(task, task.terms(seen))
        task.zero_grad()
        masked_bce_with_logits(task.network(given["img"]), given["lab"], reduction="luo").backward()
        for name, parameter in task.network.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-9)

    def test_the_step_is_equations_1_to_6_in_float64(self):
        task = in_double(make(epochs=4, ensembling__gate="none", ensembling__scope="all"))
        given = batch(dtype=torch.float64)
        earlier = remember(task, given)
        found = gradients(task, task.terms(task.look(given)))
        task.zero_grad()
        # by hand: alpha 3 for the common finding, beta = N/P, the mean over all entries
        values, _ = targets()
        known, output = ~torch.isnan(given["lab"]), task.network.outputs(given["img"])
        p, y = output.logits.sigmoid(), given["lab"].nan_to_num(0)
        # beta is kept in float32
        beta = torch.tensor([(column == 0).sum() / (column == 1).sum() for column in values.T]).float()
        alpha = torch.where(COMMON, 3.0, 1.0)
        entries = -alpha * (beta.double() * y * p.log() + (1 - y) * (1 - p).log())
        l_cls = torch.where(known, entries, 0).sum() / known.numel()
        scores = task.discriminators(output.features[:, COMMON])
        inside = given["source"] == 0
        l_tat = (
            scores[inside].sigmoid().log().mean(0).sum() + (1 - scores[~inside].sigmoid()).log().mean(0).sum()
        )
        l_ute = torch.where(known, 0, (p - earlier) ** 2).sum() / known.numel()
        (l_cls + 0.03 * l_tat + 30 * l_ute).backward()
        for name, parameter in task.network.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)

    def test_the_network_s_step_leaves_the_discriminators_alone(self):
        task = make()
        gradients(task, task.terms(task.look(batch())))
        assert all(parameter.grad is None for parameter in task.discriminators.parameters())

    def test_the_discriminators_step_leaves_the_network_alone(self):
        task = make()
        seen = task.look(batch())
        task.objective.discriminator(task.discriminators, seen.judged, seen.source == 0).backward()
        assert all(parameter.grad is None for parameter in task.network.parameters())
        assert all(parameter.grad is not None for parameter in task.discriminators.parameters())

    def test_reversal_gives_the_network_the_same_gradient(self):
        both = []
        for mode in ("alternating", "reversal"):
            task = in_double(make(adversarial__mode=mode, ensembling__weight=0))
            both.append(gradients(task, task.terms(task.look(batch(dtype=torch.float64)))))
        for name, gradient in both[0].items():
            torch.testing.assert_close(both[1][name], gradient, rtol=1e-9, atol=1e-12)

    def test_reversal_trains_both_with_one_optimiser(self):
        task = make(adversarial__mode="reversal", adversarial__learning_rate=0.5)
        (optimiser,) = task.configure_optimizers()
        assert [group["lr"] for group in optimiser.param_groups] == [1e-4, 0.5]
        gradients(task, task.terms(task.look(batch())))
        assert all(parameter.grad is not None for parameter in task.discriminators.parameters())


class TestFlags:
    """Each ablation of the papers is one value, and changes its own piece alone."""

    def terms(self, **changes):
        task = make(**{"ensembling__gate": "none"} | changes)
        given = batch()
        if task.ensemble is not None:
            remember(task, given)
        return {name: value.item() for name, value in task.terms(task.look(given)).items()}

    @pytest.mark.parametrize(
        ("changes", "piece"),
        [
            ({"adversarial__strength": 0}, "adversarial"),
            ({"ensembling__weight": 0}, "ensembling"),
            ({"adversarial__kind": "holistic"}, "adversarial"),
            ({"ensembling__gate": "entropy"}, "ensembling"),
            ({"ensembling__scope": "internal_only"}, "ensembling"),
            ({"loss__task_weight": "none"}, "known"),
            ({"loss__positive_weight": False}, "known"),
            ({"loss__reduction": "entry"}, "known"),
            ({"adversarial__strength": 0.3}, "adversarial"),
        ],
        ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value)),
    )
    def test_one_value_moves_one_piece(self, changes, piece):
        whole, other = self.terms(), self.terms(**changes)
        assert set(whole) == {"known", "ensembling", "adversarial"}
        assert other.get(piece) != whole[piece]
        rest = set(whole) - {piece}
        assert {name: other[name] for name in rest} == {name: whole[name] for name in rest}

    def test_hard_labels_take_the_place_of_the_squared_distance(self):
        task = make(ensembling__hard=True)
        given = batch()
        guesses = remember(task, given)
        terms = task.terms(task.look(given))
        assert set(terms) == {"known", "adversarial"}
        filled = torch.where(given["lab"].isnan(), (guesses > 0.5).float(), given["lab"])
        wanted = masked_bce_with_logits(
            task.network(given["img"]), filled, task_weight=task.objective.task_weight,
            pos_weight=task.objective.positive_weight, reduction="luo",
        )  # fmt: skip
        torch.testing.assert_close(terms["known"], wanted)

    def test_temporal_ensembling_without_a_gate_takes_every_unknown_entry(self):
        task = make(ensembling__gate="none", adversarial__strength=0)
        given = batch()
        guesses = remember(task, given)
        seen = task.look(given)
        wanted = torch.where(given["lab"].isnan(), (seen.probabilities - guesses) ** 2, 0).mean()
        assert float(task.terms(seen)["ensembling"].detach()) == pytest.approx(30 * wanted.item(), rel=1e-3)

    def test_multi_task_outputs_learn_from_their_own_dataset(self):
        task = make("baseline", model__head="per_dataset")
        given = batch()
        given["source"][:] = 1
        gradients(task, task.terms(task.look(given)))
        rows = task.network.head.weight.grad.abs().sum(-1) > 0
        assert not rows[0].any()
        assert rows[1].tolist() == [True, False, False, True]

    def test_alignment_is_added(self):
        options = {"model__head": "per_dataset", "model__head_options__bias": False}
        task = make("cohen2020", alignment__strength=0.1, data__space="union", **options)
        vectors = task.network.head.weight
        wanted = 0.1 * (vectors[0, 0] - vectors[1, 0]).norm()
        torch.testing.assert_close(task.terms(task.look(batch()))["alignment"], wanted)

    def test_assemble_waits_for_the_end_of_its_warm_up(self, monkeypatch):
        task, given = make("assemble2023", assemble__warm_up=2), batch()
        assert set(task.terms(task.look(given))) == {"known"}
        monkeypatch.setattr(PartialLabelTask, "current_epoch", 2)
        seen = task.look(given)
        assert set(task.terms(seen)) == {"known", "pseudo", "consistency"}
        assert not torch.equal(seen.strong, seen.probabilities)

    @pytest.mark.parametrize("piece", ["pseudo", "consistency"])
    def test_either_of_its_pieces_alone(self, piece):
        other = {"pseudo": "consistency", "consistency": "pseudo"}[piece]
        task = make("assemble2023", assemble__warm_up=0, **{f"assemble__{other}": 0})
        assert set(task.terms(task.look(batch()))) == {"known", piece}

    def test_conditional_training_closes_upward_and_learns_children_below_positive_parents(self):
        space = ("Lung Opacity", "Consolidation", "Pneumonia")
        counted = Counts.of([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], space=space)
        task = make("pham2019", counted=counted, data__space=list(space))
        given = {"img": batch(2)["img"], "idx": torch.arange(2)}
        given["lab"] = torch.tensor([[torch.nan, 0.0, 1.0], [0.0, 0.0, 0.0]])
        z = task.network(given["img"])
        # the first image: all three positive by closure; the second: the root alone
        wanted = (F.softplus(-z[0]).sum() + F.softplus(z[1, 0])) / 4
        torch.testing.assert_close(task.terms(task.look(given))["known"], wanted)
        open_ = make("pham2019", counted=counted, data__space=list(space), conditional__closure=False)
        assert task.terms(task.look(given))["known"] != open_.terms(open_.look(given))["known"]

    def test_the_second_stage_moves_the_last_layer_alone(self, monkeypatch):
        task = make("pham2019", counted=Counts.of([[1.0, 0.0]], space=SPACE[:2]), data__space=list(SPACE[:2]))
        monkeypatch.setattr(task, "_optimisers", lambda: make_optimisers(task.recipe, task.network))
        moving = []
        for epoch in (0, 5):
            monkeypatch.setattr(PartialLabelTask, "current_epoch", epoch)
            task.on_train_epoch_start()
            moving.append({name for name, each in task.network.named_parameters() if each.requires_grad})
        assert len(moving[0]) > 2
        assert moving[1] == {"head.weight", "head.bias"}


class TestEdges:
    def test_nothing_is_known(self):
        task, given = make(), batch()
        given["lab"][:] = torch.nan
        remember(task, given)
        found = gradients(task, task.terms(task.look(given)))
        assert all(gradient.isfinite().all() for gradient in found.values())

    @pytest.mark.parametrize("name", ["luo2020", "baseline", "cohen2020", "assemble2023"])
    def test_a_finding_without_positives_and_one_that_nobody_labels(self, name):
        values, owner = targets()
        values[:, 1] = np.where(np.isnan(values[:, 1]), np.nan, 0)
        values[:, 2] = np.nan
        counted = Counts.of(values, owner, space=SPACE, datasets=("a", "b"))
        task, given = make(name, counted=counted, data__space="union"), batch()
        given["lab"] = torch.tensor(values[:8])
        found = gradients(task, task.terms(task.look(given)))
        assert all(gradient.isfinite().all() for gradient in found.values())
        assert task.objective.positive_weight[1] == 1
        assert counted.trained(1).tolist() == [True, False, False, True]

    def test_a_finding_that_nobody_labels_is_in_no_divisor(self):
        values, owner = targets()
        values[:, 2] = np.nan
        counted = Counts.of(values, owner, space=SPACE, datasets=("a", "b"))
        task = make(counted=counted, **{key.replace(".", "__"): value for key, value in PLAIN.items()})
        given = batch()
        given["lab"] = torch.tensor(values[:8])
        kept = [0, 1, 3]
        wanted = masked_bce_with_logits(
            task.network(given["img"])[:, kept], given["lab"][:, kept], reduction="luo"
        )
        torch.testing.assert_close(task.terms(task.look(given))["known"], wanted)

    def test_one_dataset_has_nobody_to_be_told_from(self):
        values, _ = targets()
        task = make(counted=Counts.of(values, space=SPACE))
        given = batch()
        del given["source"]
        assert task.discriminators is None
        assert set(task.terms(task.look(given))) == {"known", "ensembling"}

    def test_a_dataset_of_several_parts_is_one(self):
        values, owner = targets()
        counted = Counts.of(values, owner, space=SPACE, datasets=("a", "b"), parts=(0, 1, 1))
        given = batch()
        given["source"] = given["source"] * 2
        assert make(counted=counted).look(given).source.tolist() == [0, 1] * 4

    def test_three_channels(self):
        task = make("baseline", model__channels=3)
        assert task(batch()["img"]).shape == (8, 4)

    def test_losses_are_full_precision_under_autocast(self):
        task, given = make(), batch()
        remember(task, given)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen = task.look(given)
            terms = task.terms(seen)
        assert {value.dtype for value in terms.values()} == {torch.float32}
        assert seen.probabilities.dtype == torch.float32

    def test_weights_come_from_the_seed_alone(self):
        state = torch.get_rng_state()
        first, second, other = make(), make(), make(seed=1)
        assert torch.equal(torch.get_rng_state(), state)
        pairs = list(zip(first.parameters(), second.parameters(), other.parameters(), strict=True))
        assert all(torch.equal(one, two) for one, two, _ in pairs)
        assert not all(torch.equal(one, three) for one, _, three in pairs)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    @pytest.mark.parametrize("name", ["luo2020", "assemble2023", "cohen2020", "baseline"])
    def test_a_gpu_computes_the_same(self, name):
        given, found = batch(), []
        for device in ("cpu", "cuda"):
            task = make(name, data__space="union", batches__view="none", assemble__consistency=0).to(device)
            moved = {key: value.to(device) for key, value in given.items()}
            if task.ensemble is not None:
                task.ensemble = TemporalEnsemble(*task.ensemble.means.shape, device=device)
                remember(task, given)
            found.append(
                {key: value.cpu() for key, value in gradients(task, task.terms(task.look(moved))).items()}
            )
        for key, gradient in found[0].items():
            torch.testing.assert_close(found[1][key], gradient, rtol=1e-3, atol=1e-5)


class TestSchedules:
    def test_luo_2020_falls_after_epochs_3_and_6(self):
        rates = [1e-4 * rate_factor(Recipe.load("luo2020"), epoch) for epoch in range(8)]
        assert rates == pytest.approx([1e-4] * 3 + [1e-5] * 3 + [1e-6] * 2)

    def test_pham_2019_falls_after_each_epoch_of_each_stage(self):
        rates = [1e-4 * rate_factor(Recipe.load("pham2019"), epoch) for epoch in range(10)]
        assert rates == pytest.approx([1e-4, 1e-5, 1e-6, 1e-7, 1e-8] * 2)

    def test_waiting_is_that_of_torch(self):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimiser = torch.optim.SGD([parameter], lr=1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, mode="max", factor=0.5, patience=2, threshold=0.0
        )
        ours, rate = Waiting(2), 1.0
        for value in (0.5, 0.6, 0.6, 0.5, 0.55, 0.4, 0.3, 0.2, 0.1, 0.7, 0.7, 0.7, 0.7):
            theirs.step(value)
            rate *= 0.5 if ours.over(value) else 1.0
            assert optimiser.param_groups[0]["lr"] == rate

    def test_an_undefined_value_is_no_rise(self):
        waiting = Waiting(1)
        assert [waiting.over(value) for value in (math.nan, math.nan, 0.5, math.nan)] == [
            False, True, False, False,
        ]  # fmt: skip


class TestValidation:
    def test_auc_is_scikit_learn_s(self):
        generator = np.random.default_rng(0)
        truth = generator.integers(0, 2, (80, 3)).astype(float)
        truth[generator.random(truth.shape) < 0.3] = np.nan
        truth[:5, 0] = 0.7
        scores = generator.random(truth.shape).round(1)  # with ties
        found = masked_aucs(truth, scores)
        for column in range(3):
            known = np.isin(truth[:, column], (0, 1))
            wanted = roc_auc_score(truth[known, column], scores[known, column])
            assert found[column] == pytest.approx(wanted, abs=1e-12)

    def test_one_class_alone_is_undefined_and_in_no_mean(self):
        found = masked_aucs([[1, 1, np.nan], [1, 0, np.nan]], [[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])
        np.testing.assert_array_equal(found, [np.nan, 1.0, np.nan])
        assert macro_mean(found) == 1.0
        assert math.isnan(macro_mean([np.nan]))

    def test_youden_is_scikit_learn_s_highest_best_threshold(self):
        generator = np.random.default_rng(1)
        truth = generator.integers(0, 2, (60, 1))
        scores = np.clip(truth * 0.2 + generator.random((60, 1)), 0, 1).round(2)
        false, found, thresholds = roc_curve(truth[:, 0], scores[:, 0], drop_intermediate=False)
        wanted = thresholds[1:][np.argmax((found - false)[1:])]
        assert youden_points(truth, scores)[0] == wanted

    def test_youden_of_an_inverted_classifier_is_a_score(self):
        assert youden_points([[1], [0]], [[0.1], [0.9]])[0] in (0.1, 0.9)

    def test_rows_that_come_twice_count_once(self):
        idx, values = all_rows(torch.tensor([2, 0, 2, 1]), torch.tensor([20, 0, 20, 10]))
        assert (idx.tolist(), values.tolist()) == ([0, 1, 2], [0, 10, 20])

    def test_an_epoch(self):
        truth, _ = targets()
        task = PartialLabelTask(recipe("baseline"), counts(), truth=truth)
        given = batch()
        task.eval()
        with torch.no_grad():
            for rows in ([1, 3, 5], [0, 2, 4]):
                task.validation_step({key: value[rows] for key, value in given.items()}, 0)
            task.log = lambda *_, **__: None
            task.on_validation_epoch_end()
            wanted = masked_aucs(truth[:6], task(given["img"][:6]))
        np.testing.assert_allclose(task.aucs, wanted)
        assert task.score == pytest.approx(np.nanmean(wanted))
