"""Temporal ensembling: the worked values over four epochs, visits, several processes, memory, the loss."""

import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings, strategies as st

from xrdatasets.training import TemporalEnsemble, certainty_threshold, hard_labels, ute_loss

F64 = torch.float64


def f64(values):
    return torch.tensor(values, dtype=F64)


class TestEnsemble:
    def test_l5_four_epochs(self):
        ensemble, idx = TemporalEnsemble(1, 2, dtype=F64), torch.tensor([0])
        sums, targets = [ensemble.sums[0].tolist()], []
        for p in ([0.2, 0.8], [0.6, 0.9], [0.7, 0.4]):
            ensemble.record(idx, f64([p]))
            ensemble.commit()
            sums.append(ensemble.sums[0].tolist())
            targets.append(ensemble.targets(idx)[0].tolist())
        wanted = [[0, 0], [0.02, 0.08], [0.078, 0.162], [0.1402, 0.1858]]
        assert sums == [pytest.approx(row, abs=1e-12) for row in wanted]
        wanted = [[0.2, 0.8], [0.078 / 0.19, 0.162 / 0.19], [0.1402 / 0.271, 0.1858 / 0.271]]
        assert targets == [pytest.approx(row, abs=1e-12) for row in wanted]

    def test_l6_an_image_that_was_missed_is_not_pulled_to_zero(self):
        ensemble = TemporalEnsemble(2, 1, dtype=F64)
        for rows, p in (([0, 1], 0.3), ([0], 0.5), ([0, 1], 0.9)):
            ensemble.record(torch.tensor(rows), torch.full((len(rows), 1), p, dtype=F64))
            ensemble.commit()
        assert ensemble.visits.tolist() == [3, 2]
        found = ensemble.targets(torch.tensor([0, 1])).flatten().tolist()
        assert found == pytest.approx([0.5878228782, 0.6157894737], abs=5e-10)

    def test_before_the_first_epoch_there_is_no_target(self):
        ensemble = TemporalEnsemble(3, 2)
        ensemble.record(torch.tensor([0]), torch.full((1, 2), 0.5))
        assert ensemble.targets(torch.tensor([0, 2])).isnan().all()

    def test_the_last_record_of_an_epoch_counts(self):
        ensemble = TemporalEnsemble(3, 1, dtype=F64)
        ensemble.record(torch.tensor([1, 0, 1, 1]), f64([[0.1], [0.2], [0.3], [0.4]]))
        ensemble.record(torch.tensor([0]), f64([[0.9]]))
        ensemble.commit()
        assert ensemble.targets(torch.tensor([0, 1])).flatten().tolist() == pytest.approx([0.9, 0.4])
        assert ensemble.visits.tolist() == [1, 1, 0]

    def test_an_epoch_without_records_changes_nothing(self):
        ensemble = TemporalEnsemble(2, 1, dtype=F64)
        ensemble.record(torch.tensor([0]), f64([[0.3]]))
        ensemble.commit()
        ensemble.commit()
        assert ensemble.visits.tolist() == [1, 0]
        assert ensemble.targets(torch.tensor([0])).item() == 0.3

    @settings(max_examples=50)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.sampled_from([0.0, 0.5, 0.9, 0.99]))
    def test_it_is_the_weighted_mean_of_all_epochs(self, values, momentum):
        ensemble = TemporalEnsemble(1, 1, momentum=momentum, dtype=F64)
        for p in values:
            ensemble.record(torch.tensor([0]), f64([[p]]))
            ensemble.commit()
        weights = np.array([momentum**age for age in range(len(values) - 1, -1, -1)])
        wanted = float((weights * values).sum() / weights.sum())
        assert ensemble.targets(torch.tensor([0])).item() == pytest.approx(wanted, abs=1e-9)

    def test_half_precision_stays_near_over_many_epochs(self):
        generator = torch.Generator().manual_seed(0)
        half, exact = TemporalEnsemble(50, 3), TemporalEnsemble(50, 3, dtype=F64)
        for _ in range(30):
            p = torch.rand(50, 3, generator=generator)
            for ensemble in (half, exact):
                ensemble.record(torch.arange(50), p)
                ensemble.commit()
        difference = half.targets(torch.arange(50)) - exact.targets(torch.arange(50))
        assert difference.abs().max() < 2e-3

    def test_a_million_images_of_21_findings_take_less_than_100_mb(self):
        ensemble = TemporalEnsemble(1_000_000, 21)
        held = [value for value in vars(ensemble).values() if isinstance(value, torch.Tensor)]
        assert len(held) == 4
        assert sum(value.numel() * value.element_size() for value in held) < 100_000_000

    def test_a_checkpoint_in_mid_epoch_goes_on(self, tmp_path):
        first, second = (TemporalEnsemble(4, 2) for _ in range(2))
        first.record(torch.tensor([0, 1]), torch.rand(2, 2))
        first.commit()
        first.record(torch.tensor([1, 3]), torch.rand(2, 2))
        torch.save(first.state_dict(), tmp_path / "state.pt")
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for ensemble in (first, second):
            ensemble.record(torch.tensor([2]), torch.full((1, 2), 0.5))
            ensemble.commit()
        assert torch.equal(first.means, second.means)
        assert torch.equal(first.visits, second.visits)

    def test_no_gradient_is_kept(self):
        ensemble = TemporalEnsemble(1, 1)
        ensemble.record(torch.tensor([0]), torch.tensor([[0.5]], requires_grad=True))
        ensemble.commit()
        assert not ensemble.targets(torch.tensor([0])).requires_grad

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_keys_may_come_from_a_gpu(self):
        ensemble = TemporalEnsemble(3, 1)
        ensemble.record(torch.tensor([2], device="cuda"), torch.tensor([[0.5]], device="cuda"))
        ensemble.commit()
        assert ensemble.targets(torch.tensor([2], device="cuda")).tolist() == [[0.5]]

    @pytest.mark.parametrize(
        ("idx", "p", "message"),
        [
            ([0], [[0.5]], r"probabilities: expected the shape \(1, 2\), got \(1, 1\)"),
            ([0, 1], [[0.5, 0.5]], r"probabilities: expected the shape \(2, 2\)"),
            ([3], [[0.5, 0.5]], "idx: expected keys from 0 to 2, got 3 to 3"),
            ([-1], [[0.5, 0.5]], "idx: expected keys from 0 to 2"),
            ([0.0], [[0.5, 0.5]], "idx: expected .* whole numbers"),
            ([0], [[0.5, math.nan]], "probabilities: expected numbers from 0 to 1"),
            ([0], [[0.5, 1.1]], "probabilities: expected numbers from 0 to 1"),
        ],
    )
    def test_wrong_records_are_named_and_leave_no_trace(self, idx, p, message):
        ensemble = TemporalEnsemble(3, 2)
        with pytest.raises(ValueError, match=message):
            ensemble.record(torch.tensor(idx), torch.tensor(p))
        ensemble.commit()
        assert not ensemble.visits.any()

    @pytest.mark.parametrize(
        "options", [{"momentum": 1.0}, {"momentum": -0.1}, {"momentum": True}, {"dtype": torch.int64}]
    )
    def test_wrong_options_are_named(self, options):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
            TemporalEnsemble(3, 2, **options)

    def test_the_state_of_another_ensemble_is_refused(self):
        with pytest.raises(ValueError, match=r"state: expected the shape and momentum \(\(3, 2\), 0\.9\)"):
            TemporalEnsemble(3, 2).load_state_dict(TemporalEnsemble(4, 2).state_dict())


def records(epoch, rank, world, images=11):
    """What a shuffling sampler gives a process: batches of keys, some of which two processes see."""
    generator = torch.Generator().manual_seed(epoch)
    order = torch.randperm(images, generator=generator)
    padded = torch.cat([order, order[: -images % (2 * world)]])  # as DistributedSampler repeats
    for step, keys in enumerate(padded[rank::world].split(2)):
        p = torch.rand(len(keys), 3, generator=torch.Generator().manual_seed(1000 * epoch + 10 * step + rank))
        yield keys, p


def in_a_group(rank, world, folder):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
    ensemble = TemporalEnsemble(11, 3)
    for epoch in range(3):
        for keys, p in records(epoch, rank, world):
            ensemble.record(keys, p)
        ensemble.commit()
    torch.save((ensemble.means, ensemble.visits), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_two_processes_end_where_one_ends(tmp_path):
    mp.start_processes(in_a_group, (2, str(tmp_path)), nprocs=2, start_method="spawn")
    alone = TemporalEnsemble(11, 3)
    for epoch in range(3):
        for step in zip(records(epoch, 0, 2), records(epoch, 1, 2), strict=True):
            for keys, p in step:
                alone.record(keys, p)
        alone.commit()
    for rank in range(2):
        means, visits = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(means, alone.means)
        assert torch.equal(visits, alone.visits)
    assert alone.visits.tolist() == [3] * 11


class TestLoss:
    P = (0.95, 0.45, 0.1, 0.5, 0.75, 0.99)
    Z = (0.8, 0.5, 0.3, 0.5, 0.25, 0.0)
    MISSING = torch.tensor([[True, True, True, True, True, False]])

    @pytest.mark.parametrize(
        ("threshold", "reduction", "wanted"),
        [
            (0.25, "sum", 0.3125),
            (0.25, "mean", 0.0520833333333),
            (0.25, "selected", 0.1041666666667),
            (0.0, "sum", 0.315),
        ],
    )
    def test_l7_the_worked_values(self, threshold, reduction, wanted):
        found = ute_loss(f64([self.P]), f64([self.Z]), self.MISSING, threshold, reduction=reduction)
        assert found.item() == pytest.approx(wanted, abs=1e-12)

    def test_l7_the_gradient(self):
        p = f64([self.P]).requires_grad_()
        ute_loss(p, f64([self.Z]), self.MISSING, 0.25, reduction="sum").backward()
        assert p.grad[0].tolist() == pytest.approx([0.3, 0, -0.4, 0, 1.0, 0], abs=1e-12)

    def test_no_gradient_goes_to_the_target(self):
        p, z = f64([[0.9]]).requires_grad_(), f64([[0.5]]).requires_grad_()
        ute_loss(p, z, torch.tensor([[True]])).backward()
        assert z.grad is None

    def test_gradcheck(self):
        p = torch.rand(3, 4, dtype=F64, requires_grad=True)
        z, missing = torch.rand(3, 4, dtype=F64), torch.rand(3, 4) < 0.7
        z[0, 0] = math.nan
        assert torch.autograd.gradcheck(lambda q: ute_loss(q, z, missing), p)

    @pytest.mark.parametrize("reduction", ["mean", "selected", "sum"])
    def test_where_nothing_is_selected_it_is_zero_with_zero_gradient(self, reduction):
        for z, missing in ((math.nan, True), (0.5, False)):
            p = torch.full((2, 2), 0.9, requires_grad=True)
            loss = ute_loss(p, torch.full((2, 2), z), torch.full((2, 2), missing), reduction=reduction)
            loss.backward()
            assert loss.item() == 0
            assert not p.grad.any()

    def test_a_first_epoch_has_no_target(self):
        ensemble = TemporalEnsemble(2, 1)
        p = torch.tensor([[0.9], [0.1]], requires_grad=True)
        loss = ute_loss(p, ensemble.targets(torch.arange(2)), torch.ones(2, 1).bool())
        loss.backward()
        assert loss.item() == 0

    def test_half_precision_is_summed_in_float32(self):
        p = torch.full((2, 2), 0.9, dtype=torch.float16)
        assert ute_loss(p, torch.full((2, 2), 0.5), torch.ones(2, 2).bool()).dtype == torch.float32

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({"threshold": 0.6}, "threshold"),
            ({"threshold": math.nan}, "threshold"),
            ({"reduction": "luo"}, "reduction"),
            ({"missing": torch.ones(2, 2)}, "missing"),
            ({"targets": torch.ones(2, 3)}, "probabilities, targets, missing"),
        ],
    )
    def test_wrong_arguments_are_named(self, options, name):
        given = {
            "probabilities": torch.ones(2, 2),
            "targets": torch.ones(2, 2),
            "missing": torch.ones(2, 2).bool(),
        }
        with pytest.raises(ValueError, match=f"{name}: expected"):
            ute_loss(**{**given, **options})


class TestThreshold:
    def test_l8_the_default_law(self):
        wanted = [0.2845968641, 0.2813134119, 0.2705267062, 0.2433648498, 0.1897703646, 0.1055987359, 0]
        found = [certainty_threshold(epoch, 8) for epoch in range(2, 9)]
        assert found == pytest.approx(wanted, abs=1e-8)

    def test_l8_the_linear_law(self):
        found = [certainty_threshold(epoch, 8, law="linear") for epoch in range(2, 9)]
        assert found == pytest.approx([0.4, 1 / 3, 0.8 / 3, 0.2, 0.4 / 3, 0.2 / 3, 0], abs=1e-12)

    @pytest.mark.parametrize("epochs", [1, 2, 3, 100])
    def test_it_falls_to_nothing_whatever_the_number_of_epochs(self, epochs):
        found = [certainty_threshold(epoch, epochs) for epoch in range(1, epochs + 1)]
        assert found[-1] == pytest.approx(0, abs=1e-7)
        assert found == sorted(found, reverse=True)
        assert all(0 <= value <= 0.5 for value in found)

    @pytest.mark.parametrize(
        ("arguments", "name"), [((0, 8), "epoch"), ((9, 8), "epoch"), ((1, 0), "epochs"), ((1.5, 8), "epoch")]
    )
    def test_wrong_arguments_are_named(self, arguments, name):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            certainty_threshold(*arguments)
        with pytest.raises(ValueError, match="law: expected"):
            certainty_threshold(1, 8, law="gaussian")


def test_hard_labels_fill_what_is_unknown_and_guessed():
    targets = torch.tensor([[0.0, math.nan, math.nan, math.nan]])
    ensemble = torch.tensor([[0.9, 0.51, 0.5, math.nan]])
    assert hard_labels(targets, ensemble).nan_to_num(9).tolist() == [[0, 1, 0, 9]]
    with pytest.raises(ValueError, match="ensemble: expected the shape"):
        hard_labels(targets, ensemble[:, :2])
