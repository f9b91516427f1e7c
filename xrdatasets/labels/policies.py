"""Labels, step 5: what "uncertain" and "not mentioned" are to mean, decided late and reversibly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels.codes import CODES, SHARE, SHARES, UNCERTAIN, UNMENTIONED, Floats, frozen
from xrdatasets.labels.draws import uniform
from xrdatasets.labels.findings import finding, near

if TYPE_CHECKING:
    from xrdatasets.labels.matrix import LabelMatrix

__all__ = ["POLICIES", "U_IGNORE", "U_ONES", "U_ONES_LSR", "U_ZEROS", "U_ZEROS_LSR", "Policy", "check_policy"]

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a target is where the code is -1 (uncertain) or a blank that may be filled.

    Positive and negative codes stay. A finding that the dataset does not label stays NaN under every
    policy.

    Attributes:
        uncertain: target of -1: a number in [0, 1], a range (low, high) from which one number is drawn
            for each cell (label smoothing, Pham 2019, Eq. 5), or None to leave it unknown.
        unmentioned: target of a blank that the report does not mention: a number in [0, 1], or None to
            leave it unknown.
        per_label: other policies for single findings; made by `for_labels`.
        seed: of the draws; it holds for `per_label` too.

    Example:
        >>> import xrdatasets as xr
        >>> xr.U_ONES.with_unmentioned(0.0)
        Policy(uncertain=1.0, unmentioned=0.0, per_label=(), seed=0)
        >>> str(xr.U_IGNORE.for_labels({"Edema": xr.U_ONES}))
        'U-Ignore, Edema: U-Ones'
    """

    uncertain: float | Range | None = None
    unmentioned: float | None = None
    per_label: tuple[tuple[str, Policy], ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        _check_uncertain(self.uncertain)
        if self.unmentioned is not None:
            _check_target("unmentioned", self.unmentioned)
        labels = [finding(label) for label, _ in self.per_label]
        if len(set(labels)) < len(labels) or not all(_is_plain(policy) for _, policy in self.per_label):
            raise ValueError("per_label: expected one plain policy for each finding.")
        pairs = tuple((str(label), policy) for label, (_, policy) in zip(labels, self.per_label, strict=True))
        object.__setattr__(self, "per_label", pairs)

    def __call__(self, matrix: LabelMatrix, epoch: int = 0) -> Floats:
        """Targets of a matrix.

        Args:
            matrix: labels of N images in a space of L findings.
            epoch: part of the key of the draws; 0, the default, draws once for good.

        Returns:
            (N, L) float32 in [0, 1], NaN unknown, read-only.
        """
        special = dict(self.per_label)
        out = np.empty((len(matrix), len(matrix.space)), dtype=np.float32)
        for column, label in enumerate(matrix.space.labels):
            states = matrix.column(label)
            policy = special.get(label, self)
            out[:, column] = policy._values()[states]
            if isinstance(policy.uncertain, tuple):
                rows = np.flatnonzero(states == UNCERTAIN)
                out[rows, column] = self._draw(policy.uncertain, matrix.key_hashes[rows], label, epoch)
        return frozen(out)

    def __str__(self) -> str:
        name = next((name for name, known in POLICIES.items() if known.uncertain == self.uncertain), None)
        words = [name or f"uncertain={self.uncertain}"]
        words += [] if self.unmentioned is None else [f"unmentioned={self.unmentioned:g}"]
        words += [f"{label}: {policy}" for label, policy in self.per_label]
        return ", ".join(words)

    @classmethod
    def load(cls, name: str) -> Policy:
        """The published policy with this name, in any case: ``U-Ones+LSR``, ``u_ones_lsr``.

        Raises:
            LabelNotFoundError: there is no such policy; the message lists those there are.
        """
        by_name = {_plain(known): policy for known, policy in POLICIES.items()}
        if _plain(name) not in by_name:
            hint = near(name, POLICIES)
            msg = f"no policy is called {name!r}. Expected one of: {', '.join(POLICIES)}. {hint}"
            raise LabelNotFoundError(msg.rstrip())
        return by_name[_plain(name)]

    def with_unmentioned(self, target: float | None) -> Policy:
        """The same policy with another target for what a report does not mention.

        Example:
            >>> U_ZEROS.with_unmentioned(0.0).unmentioned
            0.0
        """
        special = tuple((label, policy.with_unmentioned(target)) for label, policy in self.per_label)
        return replace(self, unmentioned=target, per_label=special)

    def with_mean(self) -> Policy:
        """The same policy with the mean of each range instead of a draw from it.

        The expected loss is the same, because binary cross-entropy is linear in the target.

        Example:
            >>> U_ONES_LSR.with_mean().uncertain
            0.7
        """
        special = tuple((label, policy.with_mean()) for label, policy in self.per_label)
        return replace(self, uncertain=_mean(self.uncertain), per_label=special)

    def with_seed(self, seed: int) -> Policy:
        """The same policy with other draws."""
        return replace(self, seed=seed)

    def for_labels(self, policies: Mapping[str, Policy]) -> Policy:
        """This policy, with others for single findings.

        Args:
            policies: policy by finding (canonical name or synonym).

        Raises:
            LabelNotFoundError: there is no such finding.

        Example:
            >>> policy = U_ONES.for_labels({"consolidation": U_ZEROS})
            >>> policy.per_label[0][0]
            'Consolidation'
        """
        special = dict(self.per_label) | {str(finding(label)): policy for label, policy in policies.items()}
        return replace(self, per_label=tuple(special.items()))

    def _values(self) -> Floats:
        """Target of each state; NaN where it is unknown or has to be drawn."""
        values = CODES.copy()
        fixed = self.uncertain is not None and not isinstance(self.uncertain, tuple)
        values[UNCERTAIN] = self.uncertain if fixed else np.nan
        values[UNMENTIONED] = np.nan if self.unmentioned is None else self.unmentioned
        # a share of readers is a target already; no policy overrules them
        values[SHARE + 1 : SHARE + SHARES] = np.arange(1, SHARES) / SHARES
        return values

    def _draw(self, interval: Range, keys: np.ndarray, label: str, epoch: int) -> Floats:
        low, high = interval
        draws = uniform(keys, label=label, seed=self.seed, epoch=epoch)
        return (low + (high - low) * draws).astype(np.float32)


def check_policy(policy: object) -> Policy:
    """The same policy.

    Raises:
        ValueError: it is no policy; for a name, how to get the policy of that name.
    """
    if isinstance(policy, Policy):
        return policy
    hint = f" Take xr.Policy.load({policy!r})." if isinstance(policy, str) else ""
    msg = f"policy: expected a Policy such as xr.U_ONES, got {policy!r}.{hint}"
    raise ValueError(msg)


def _is_plain(policy: object) -> bool:
    return isinstance(policy, Policy) and not policy.per_label


def _check_uncertain(value: object) -> None:
    if isinstance(value, tuple):
        for bound in value:
            _check_target("uncertain", bound)
        if len(value) != 2 or not value[0] <= value[1]:
            msg = f"uncertain: expected a range (low, high) with low <= high, got {value}."
            raise ValueError(msg)
    elif value is not None:
        _check_target("uncertain", value)


def _check_target(name: str, value: object) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:  # type: ignore[operator]
        msg = f"{name}: expected a target in [0, 1] or None, got {value!r}."
        raise ValueError(msg)


def _mean(value: float | Range | None) -> float | None:
    # rounded to what float32 can tell apart, so that (0.55, 0.85) is 0.7
    return round(sum(value) / 2, 7) if isinstance(value, tuple) else value


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


U_IGNORE = Policy()
"""Uncertain is unknown: neither loss nor gradient (Irvin 2019)."""
U_ZEROS = Policy(uncertain=0.0)
"""Uncertain is negative (Irvin 2019)."""
U_ONES = Policy(uncertain=1.0)
"""Uncertain is positive (Irvin 2019)."""
U_ONES_LSR = Policy(uncertain=(0.55, 0.85))
"""Uncertain is a draw from U(0.55, 0.85) (Pham 2019, section 3.3)."""
U_ZEROS_LSR = Policy(uncertain=(0.0, 0.3))
"""Uncertain is a draw from U(0, 0.3) (Pham 2019, section 3.3)."""

POLICIES: dict[str, Policy] = {
    "U-Ignore": U_IGNORE,
    "U-Zeros": U_ZEROS,
    "U-Ones": U_ONES,
    "U-Ones+LSR": U_ONES_LSR,
    "U-Zeros+LSR": U_ZEROS_LSR,
}
"""The published policies by name."""
