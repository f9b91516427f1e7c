"""Training: what a network said of each image in earlier epochs, as a target where nothing is known.

Uncertainty-aware temporal ensembling (UTE, Luo 2020): predictions are averaged over the epochs, and pull the
present one towards them where it is certain enough.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor

from xrdatasets.models.heads.base import check_count

__all__ = ["TemporalEnsemble", "certainty_threshold", "hard_labels", "ute_loss"]

Reduction = Literal["mean", "selected", "sum"]
Law = Literal["entropy", "linear"]


class TemporalEnsemble:
    """A running mean of each image's predictions over the epochs.

    With p the predictions of an epoch and m the momentum, an image's sum and its target are

        Z <- m Z + (1 - m) p        z = Z / (1 - m^n)

    where n counts the epochs in which it was seen, so that an image that was missed once has an unbiased mean
    all the same; the paper's exponent, the number of epochs before this one, is n where every image is seen
    in every epoch. A prediction counts when the epoch is over (`commit`); of several in one epoch the last
    counts. What is kept is z, which loses less in half precision than Z.

    It is no module, so that DistributedDataParallel does not copy one process's state over the others'. Keep
    it in checkpoints by `state_dict`. In a process group, `commit` joins what all processes recorded: every
    process has the same state, whichever images its sampler gave it.

    Args:
        images: number N of images; the keys are 0 to N - 1 (the ``idx`` of a sample).
        findings: number L of findings.
        momentum: from 0 to below 1; 0.9 in the paper.
        dtype: of the state: float16 keeps a million images of 21 findings in 91 MB.
        device: of the state.

    Attributes:
        means: (N, L) z, 0 for images that were never seen.
        visits: (N,) n, int16.
        sums: (N, L) Z, computed when asked for.
        momentum: as given.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, equation 4; Laine and Aila, ICLR 2017.

    Example:
        >>> ensemble = TemporalEnsemble(3, 2)
        >>> ensemble.record(torch.tensor([2]), torch.tensor([[0.25, 0.75]]))
        >>> ensemble.commit()
        >>> ensemble.targets(torch.tensor([2, 0]))
        tensor([[0.2500, 0.7500],
                [   nan,    nan]])
    """

    def __init__(
        self,
        images: int,
        findings: int,
        *,
        momentum: float = 0.9,
        dtype: torch.dtype = torch.float16,
        device: torch.device | str = "cpu",
    ) -> None:
        check_count("images", images, least=1)
        check_count("findings", findings, least=1)
        if type(momentum) not in (int, float) or not 0 <= momentum < 1:
            msg = f"momentum: expected a number from 0 to below 1, got {momentum!r}."
            raise ValueError(msg)
        if not dtype.is_floating_point:
            msg = f"dtype: expected a float type, got {dtype}."
            raise ValueError(msg)
        self.momentum = float(momentum)
        self.means = torch.zeros(images, findings, dtype=dtype, device=device)
        self.visits = torch.zeros(images, dtype=torch.int16, device=device)
        self._latest = torch.zeros_like(self.means)
        self._when = torch.zeros(images, dtype=torch.int32, device=device)  # number of the record, 0 for none
        self._records = 0

    def record(self, idx: Tensor, probabilities: Tensor) -> None:
        """Note what the network says of a batch; an image's last record of an epoch counts.

        Args:
            idx: (B,) whole numbers, keys of the images.
            probabilities: (B, L) in [0, 1]; no gradient is kept.

        Raises:
            ValueError: shapes that do not fit, a key that is none, or a prediction that is no number.
        """
        idx = self._keys(idx)
        values = probabilities.detach().to(self.means.device)
        if values.shape != (len(idx), self.means.shape[1]):
            wanted = (len(idx), self.means.shape[1])
            msg = f"probabilities: expected the shape {wanted}, got {tuple(values.shape)}."
            raise ValueError(msg)
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError("probabilities: expected numbers from 0 to 1, got others (or NaN).")
        self._records += 1
        rows = _last(idx)
        self._latest[idx[rows]] = values[rows].to(self._latest.dtype)
        self._when[idx[rows]] = self._records

    def commit(self) -> None:
        """Take what was recorded since the last time into the means: once, at the end of an epoch.

        In a process group, all processes have to call it.

        Raises:
            RuntimeError: the processes cannot be reached.
        """
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            self._gather()
        seen = self._when > 0
        self.visits[seen] += 1
        before, latest = self.means[seen].to(self._wide), self._latest[seen].to(self._wide)
        share = (1 - self.momentum) / self._weights(self.visits[seen])
        self.means[seen] = torch.lerp(before, latest, share).to(self.means.dtype)
        self._when.zero_()
        self._records = 0

    def targets(self, idx: Tensor) -> Tensor:
        """The mean prediction of images over the epochs that were committed.

        Args:
            idx: (B,) whole numbers, keys of the images.

        Returns:
            (B, L) float32 (float64 of such a state) in [0, 1], on the device of `idx`; NaN for images that
            were never seen.

        Raises:
            ValueError: a key that is none.
        """
        rows = self._keys(idx)
        known = (self.visits[rows] > 0).unsqueeze(1)
        return torch.where(known, self.means[rows].to(self._wide), torch.nan).to(idx.device)

    @property
    def sums(self) -> Tensor:
        """(N, L) Z of the paper, float32 or float64."""
        return self.means.to(self._wide) * self._weights(self.visits)

    @property
    def _wide(self) -> torch.dtype:
        return torch.promote_types(self.means.dtype, torch.float32)

    def _weights(self, visits: Tensor) -> Tensor:
        """(…, 1) 1 - m^n."""
        return (1 - self.momentum ** visits.to(self._wide)).unsqueeze(1)

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint: also what was recorded in an epoch that is not over."""
        return {
            "means": self.means, "visits": self.visits, "momentum": self.momentum,
            "latest": self._latest, "when": self._when, "records": self._records,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Args:
            state: what `state_dict` gave.

        Raises:
            ValueError: it is of other images, findings or another momentum.
        """
        shape, momentum = tuple(state["means"].shape), state["momentum"]
        if shape != tuple(self.means.shape) or momentum != self.momentum:
            own = (tuple(self.means.shape), self.momentum)
            msg = f"state: expected the shape and momentum {own}, got {(shape, momentum)}."
            raise ValueError(msg)
        for name, tensor in (("means", self.means), ("visits", self.visits), ("latest", self._latest)):
            tensor.copy_(state[name])
        self._when.copy_(state["when"])
        self._records = int(state["records"])

    def _keys(self, idx: Tensor) -> Tensor:
        if idx.ndim != 1 or idx.is_floating_point() or idx.dtype == torch.bool:
            msg = f"idx: expected (B,) whole numbers, got {tuple(idx.shape)} {idx.dtype}."
            raise ValueError(msg)
        if len(idx) and not bool(((idx >= 0) & (idx < len(self.means))).all()):
            msg = f"idx: expected keys from 0 to {len(self.means) - 1}, got {idx.min()} to {idx.max()}."
            raise ValueError(msg)
        return idx.to(self.means.device, torch.int64)

    def _gather(self) -> None:
        """Join the records of all processes: the later counts, of equally late ones the higher rank's."""
        mine = self._when.nonzero().squeeze(1)
        parts = _all_gathered(mine, self._when[mine], self._latest[mine])
        keys = torch.cat([keys for keys, _, _ in parts]).to(self.means.device)
        times = torch.cat([times for _, times, _ in parts]).to(self.means.device)
        values = torch.cat([values for _, _, values in parts]).to(self.means.device)
        order = torch.sort(times, stable=True).indices  # the ranks are in order already
        rows = order[_last(keys[order])]
        self._latest[keys[rows]] = values[rows]
        self._when[keys[rows]] = times[rows]


def ute_loss(
    probabilities: Tensor,
    targets: Tensor,
    missing: Tensor,
    threshold: float = 0.0,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """Pull certain predictions of unknown entries towards the ensemble's.

        L_ute = 1[the label is unknown and abs(0.5 - p) >= H] · (p - z)²

    Args:
        probabilities: (B, L) p, with gradient.
        targets: (B, L) z of `TemporalEnsemble.targets`, NaN for none; no gradient goes to it.
        missing: (B, L) bool, where the label is unknown. To keep to findings that only the internal dataset
            labels, give those alone.
        threshold: H, from 0 (every prediction: temporal ensembling as it was) to 0.5.
        reduction: ``"mean"`` over all B · L entries, those that are not selected counting 0: the scale of
            `masked_bce_with_logits` with ``luo``; ``"selected"`` over the selected ones; ``"sum"``.

    Returns:
        A scalar, float32 or float64; 0 with a gradient of 0 where nothing is selected.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, equations 5 and 6.

    Example:
        >>> p = torch.tensor([[0.95, 0.45]])
        >>> z = torch.tensor([[0.80, 0.50]])
        >>> round(ute_loss(p, z, torch.tensor([[True, True]]), 0.25, reduction="sum").item(), 4)
        0.0225
    """
    if reduction not in get_args(Reduction):
        msg = f"reduction: expected one of {get_args(Reduction)}, got {reduction!r}."
        raise ValueError(msg)
    if not 0 <= threshold <= 0.5:
        msg = f"threshold: expected a number from 0 to 0.5, got {threshold!r}."
        raise ValueError(msg)
    if probabilities.ndim != 2 or not probabilities.shape == targets.shape == missing.shape:
        shapes = ", ".join(str(tuple(each.shape)) for each in (probabilities, targets, missing))
        msg = f"probabilities, targets, missing: expected one shape (B, L), got {shapes}."
        raise ValueError(msg)
    if missing.dtype != torch.bool:
        msg = f"missing: expected bool, got {missing.dtype}."
        raise ValueError(msg)
    wide = torch.promote_types(probabilities.dtype, torch.float32)
    p, z = probabilities.to(wide), targets.detach().to(wide)
    selected = missing & ~z.isnan() & ((0.5 - p.detach()).abs() >= threshold)
    # what is not selected goes in as a difference of 0: 0 · NaN would be NaN, forwards and backwards
    total = torch.where(selected, p - z.nan_to_num(0.0), 0.0).square().sum()
    if reduction == "sum":
        return total
    count = selected.sum() if reduction == "selected" else torch.tensor(p.numel(), device=p.device)
    return total / count.clamp_min(1)


def certainty_threshold(epoch: int, epochs: int, *, law: Law = "entropy") -> float:
    """H of Luo 2020 in an epoch: it falls, so that more predictions are taken in.

    The paper gives no law. ``"entropy"`` is that of its authors' earlier work, turned from a bound on the
    binary entropy, (0.75 + 0.25 · exp(-5 (1 - τ)²)) · log 2, into one on abs(0.5 - p); τ goes from 0 in the
    second epoch to 1 in the last. ``"linear"`` falls from 0.4 to 0.

    Args:
        epoch: from 1; in the first there is no ensemble yet, and H is as in the second.
        epochs: how many there are.
        law: as above.

    Returns:
        H, from 0 to 0.5.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Yu et al., "Uncertainty-aware self-ensembling model", MICCAI 2019, for the bound.

    Example:
        >>> [round(certainty_threshold(epoch, 8), 5) for epoch in (2, 5, 8)]
        [0.2846, 0.24336, 0.0]
    """
    check_count("epochs", epochs, least=1)
    check_count("epoch", epoch, least=1)
    if epoch > epochs:
        msg = f"epoch: expected at most {epochs}, the number of epochs, got {epoch}."
        raise ValueError(msg)
    if law not in get_args(Law):
        msg = f"law: expected one of {get_args(Law)}, got {law!r}."
        raise ValueError(msg)
    part = 1.0 if epochs <= 2 else max(0.0, (epoch - 2) / (epochs - 2))
    if law == "linear":
        return 0.4 * (1 - part)
    bound = (0.75 + 0.25 * math.exp(-5 * (1 - part) ** 2)) * math.log(2)
    return 0.5 - _probability(bound)


def hard_labels(targets: Tensor, ensemble: Tensor) -> Tensor:
    """Targets whose unknown entries are the ensemble's guesses, 0 or 1: the ablation of Luo 2020.

    Args:
        targets: (B, L), NaN unknown.
        ensemble: (B, L) of `TemporalEnsemble.targets`, NaN for none.

    Returns:
        (B, L): where a target is unknown and the ensemble is not, 1 above 0.5, else 0.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> hard_labels(torch.tensor([[0.0, torch.nan]]), torch.tensor([[0.9, 0.9]]))
        tensor([[0., 1.]])
    """
    if targets.shape != ensemble.shape:
        msg = f"ensemble: expected the shape {tuple(targets.shape)} of targets, got {tuple(ensemble.shape)}."
        raise ValueError(msg)
    guesses = (ensemble > 0.5).to(targets.dtype)
    return torch.where(targets.isnan() & ~ensemble.isnan(), guesses, targets)


def _probability(entropy: float) -> float:
    """The p of (0, 0.5] whose binary entropy in nats this is."""
    low, high = 0.0, 0.5
    for _ in range(100):  # halves the interval; 100 times are beyond float64
        middle = (low + high) / 2
        if middle <= 0 or -middle * math.log(middle) - (1 - middle) * math.log1p(-middle) < entropy:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _last(keys: Tensor) -> Tensor:
    """Where each key stands last."""
    ordered, order = torch.sort(keys, stable=True)
    return order[torch.cat([ordered[1:] != ordered[:-1], ordered.new_ones(min(len(ordered), 1)).bool()])]


def _all_gathered(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """These tensors of every process, in the order of the ranks; the lengths may differ."""
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    length = torch.tensor([len(tensors[0])], device=device)
    lengths = [torch.zeros_like(length) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, length)
    most = int(max(lengths))
    columns = []
    for tensor in tensors:
        padded = torch.zeros(most, *tensor.shape[1:], dtype=tensor.dtype, device=device)
        padded[: len(tensor)] = tensor
        found = [torch.zeros_like(padded) for _ in lengths]
        dist.all_gather(found, padded)
        columns.append([part[: int(count)] for part, count in zip(found, lengths, strict=True)])
    return list(zip(*columns, strict=True))
