"""Models, step 8: several classifiers as one, also where they know other findings or take other images."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from xrdatasets.labels import LabelSpace
from xrdatasets.labels.spaces import SpaceLike
from xrdatasets.models.card import Card
from xrdatasets.models.inputs import RANGES, InputSpec
from xrdatasets.models.operating import apply_operating_points
from xrdatasets.models.predictor import Predictor, calibrated_findings, check_predictor

__all__ = ["Ensemble"]

Scale = Literal["prob", "logit"]
_KINDS: dict[Scale, str] = {"prob": "probabilities", "logit": "log-odds"}
_SHOWN = 5  # findings that a warning names


class Ensemble(nn.Module):
    """The mean of several classifiers, called as one of them.

    A finding's answer is the mean over the members that were trained on it, NaN where none was. Members may
    have other label spaces, sizes and ranges: each gets the images as it takes them.

    What 0.5 stands for follows from what the mean is taken of:

    - ``space="prob"``: of what the members answer. A member answers 0.5 at its operating point, so the mean
      is above 0.5 where members stand above theirs by more than below: if all of them call a finding, the
      ensemble does. Its sensitivity and specificity are nobody's: they have to be measured.
    - ``space="logit"``: of log-odds, which know no operating points: 0.5 is even odds.
    - with `operating_points`, found on the ensemble's own `probabilities`: 0.5 is the operating point of the
      ensemble, with the sensitivity and specificity that it was chosen for, in either space.

    Args:
        members: classifiers, ensembles, or what `tta` and `ten_crop` give; one that is there twice counts
            twice.
        space: what the mean is taken of, ``"prob"`` (probabilities) or ``"logit"`` (log-odds).
        labels: the ensemble's findings: a `LabelSpace`, its name, or names; None for those of all members,
            as they come.
        operating_points: thresholds for `probabilities`, as those of a `Classifier`.

    Attributes:
        average: ``"prob"`` or ``"logit"``.
        space: the `LabelSpace`.
        inputs: the images that it takes: the first member's, in the largest size of all, and in one channel
            where a member takes one.
        operating_points: (L,) float32, NaN for none; those of the members are not among them.

    Raises:
        LabelNotFoundError: there is no such space or finding.
        ValueError: an argument is none of the above, or no member was trained on any of `labels`.

    Warns:
        UserWarning: for a finding, some members have an operating point and some have none, so that the mean
            is of two scales.

    Source:
        Mean of probabilities: Pham et al., arXiv 1911.06475. Mean of log-odds, and operating points of the
        ensemble: Cohen et al., MIDL 2020, its notebook.

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> one, other = Classifier(Network("mini", 1), ["Mass"]), Classifier(Network("mini", 14), "nih14")
        >>> both = Ensemble([one, other], labels=["Mass", "Edema"])
        >>> both.pathologies, both(torch.zeros(1, 1, 224, 224)).shape
        (('Mass', 'Edema'), torch.Size([1, 2]))
    """

    operating_points: Tensor
    _known: Tensor
    _columns: Tensor

    def __init__(
        self,
        members: Iterable[Predictor],
        *,
        space: Scale = "prob",
        labels: SpaceLike | None = None,
        operating_points: Mapping[str, float] | Sequence[float] | Tensor | None = None,
    ) -> None:
        super().__init__()
        found = _checked(members)
        if space not in get_args(Scale):
            msg = f"space: expected {' or '.join(map(repr, get_args(Scale)))}, got {space!r}."
            raise ValueError(msg)
        self.average: Scale = space
        self.space = _united([member.space for member in found]) if labels is None else LabelSpace.of(labels)
        self.inputs = _common([member.inputs for member in found])
        self._members = nn.ModuleList(cast("list[nn.Module]", found))
        self.training = any(member.training for member in self._members)
        points = _points(operating_points, self.space)
        self._has_points = not bool(points.isnan().all())
        self.register_buffer("operating_points", points, persistent=False)
        columns, known = _places(found, self.space)
        self.register_buffer("_columns", columns, persistent=False)
        self.register_buffer("_known", known, persistent=False)
        self._check_findings()

    def forward(self, images: Tensor) -> Tensor:
        """Probability of each finding.

        Args:
            images: (B, 1, H, W) or (B, 3, H, W) float in the range of `inputs`, on any device. Images of
                another size are resized, with a warning.

        Returns:
            (B, L) float32 in [0, 1], in the order of `pathologies`, NaN where no member was trained.

        Raises:
            ValueError: images of another shape or type, or in another range.
        """
        if self.average == "prob" and not self._has_points:
            return self._mean(images, lambda member, own: member(own))
        return apply_operating_points(self.probabilities(images), self.operating_points)

    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities without any operating point: the mean of the members', or the sigmoid of `logits`.

        Args:
            images: as for `forward`.

        Returns:
            (B, L) float32 in [0, 1], NaN where no member was trained.

        Raises:
            ValueError: as for `forward`.
        """
        if self.average == "logit":
            return torch.sigmoid(self.logits(images))
        return self._mean(images, lambda member, own: member.probabilities(own))

    def logits(self, images: Tensor) -> Tensor:
        """Mean of the members' log-odds.

        Args:
            images: as for `forward`.

        Returns:
            (B, L) float32, NaN where no member was trained.

        Raises:
            ValueError: as for `forward`.
        """
        return self._mean(images, lambda member, own: member.logits(own))

    def preprocess(self, source: object, *, max_value: int | None = None) -> Tensor:
        """An image as `forward` takes it, in the size of the member with the largest.

        Args:
            source: a path, a file's content, an array or a picture, see `InputSpec.load`.
            max_value: as for `InputSpec.load`.

        Returns:
            (1, C, size, size) float32, on the CPU.

        Raises:
            ImageReadError: the file cannot be read.
            ValueError: the array is of another kind.
        """
        return self.inputs.load(source, max_value=max_value)

    def for_inference(self) -> Ensemble:
        """A faster copy that gives the same answers, see `Classifier.for_inference`."""
        made = {id(member): cast("Any", member).for_inference() for member in self._members}
        return Ensemble(
            [made[id(member)] for member in self._members], space=self.average, labels=self.space,
            operating_points=self.operating_points,
        ).to(self._known.device)  # fmt: skip

    @property
    def members(self) -> tuple[Predictor, ...]:
        """The classifiers, as they were given."""
        return tuple(cast("Iterable[Predictor]", self._members))

    @property
    def pathologies(self) -> tuple[str, ...]:
        """The findings, in the order of the answers."""
        return self.space.labels

    @property
    def trained(self) -> Tensor:
        """(L,) bool, which findings at least one member was trained on."""
        return self._known.any(0)

    @property
    def calibrated(self) -> Tensor:
        """(L,) bool, for which findings 0.5 is an operating point: the ensemble's, or every member's."""
        if self.average == "logit" or self._has_points:
            return ~self.operating_points.isnan() & self.trained
        return (self._members_calibrated() | ~self._known).all(0) & self.trained

    @property
    def card(self) -> Card:
        """What is known of the members, together."""
        cards = [card for card in (getattr(member, "card", None) for member in self._members) if card]

        def words(name: str) -> str:
            return "; ".join(dict.fromkeys(getattr(card, name) for card in cards if getattr(card, name)))

        return Card(
            " + ".join(card.name or "no name" for card in cards),
            f"Mean of the {_KINDS[self.average]} of {len(self._members)} classifiers.",
            trained_on=tuple(dict.fromkeys(key for card in cards for key in card.trained_on)),
            licence=words("licence"),
            reference=words("reference"),
            intended_use=words("intended_use"),
            notes=tuple(dict.fromkeys(note for card in cards for note in card.notes)),
        )

    def __repr__(self) -> str:
        head = f"mean of the {_KINDS[self.average]} of {len(self._members)}, {len(self.space)} findings"
        rows = [("member", "findings", "trained", "size", "intensity"), *map(_row, self.members)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join([f"Ensemble: {head}", *lines])

    def _mean(self, images: Tensor, ask: Callable[[Predictor, Tensor], Tensor]) -> Tensor:
        """(B, L), the mean over the members that were trained on a finding."""
        images = self.inputs.fit(images)
        device = self._known.device
        total = torch.zeros(len(images), len(self.space), device=device)
        for member, columns, known in zip(self.members, self._columns, self._known, strict=True):
            answers = ask(member, _fitted(images, self.inputs, member.inputs)).to(device)
            total = total + torch.where(known, answers[:, columns], 0.0)
        return total / self._known.sum(0)  # 0 of 0 members: NaN

    def _members_calibrated(self) -> Tensor:
        """(M, L) bool, for which findings a member's 0.5 is an operating point."""
        pairs = zip(self.members, self._columns, strict=True)
        own = [calibrated_findings(member).to(self._known.device)[columns] for member, columns in pairs]
        return torch.stack(own)

    def _check_findings(self) -> None:
        """Refuse findings that no member knows, warn of a mean of two scales."""
        if not bool(self.trained.any()):
            names = ", ".join(self.pathologies)
            msg = f"labels: expected a finding that at least one member was trained on, got {names}."
            raise ValueError(msg)
        if self.average == "logit" or self._has_points:
            return
        on = self._members_calibrated()
        mixed = ((self._known & on).any(0) & (self._known & ~on).any(0)).nonzero().squeeze(1).tolist()
        if mixed:
            names = ", ".join(self.pathologies[column] for column in mixed[:_SHOWN])
            more = f" and {len(mixed) - _SHOWN} more" if len(mixed) > _SHOWN else ""
            text = (
                f"members: for {names}{more} some have an operating point and others have none, so that "
                "their mean is of two scales. Give operating points to all or to none, by "
                "Classifier.with_operating_points, or to the ensemble."
            )
            warnings.warn(text, stacklevel=3)


def _checked(members: object) -> list[Predictor]:
    if not isinstance(members, Iterable):
        msg = f"members: expected classifiers in a list, got {type(members).__name__}."
        raise ValueError(msg)
    found = list(members)
    if not found:
        raise ValueError("members: expected at least one classifier, got none.")
    for position, member in enumerate(found):
        check_predictor(f"members[{position}]", member)
    return found


def _united(spaces: Sequence[LabelSpace]) -> LabelSpace:
    """All findings, as they come; the space itself where all have it."""
    if all(space.labels == spaces[0].labels for space in spaces):
        return spaces[0]
    return LabelSpace("custom", tuple(dict.fromkeys(label for space in spaces for label in space.labels)))


def _common(specs: Sequence[InputSpec]) -> InputSpec:
    """What the ensemble is given: the first's, in the largest size."""
    if all(spec == specs[0] for spec in specs):
        return specs[0]
    sizes = [spec.size for spec in specs if spec.size is not None]
    # what is taken off and divided by stays each member's own
    channels = min(spec.channels for spec in specs)
    size = max(sizes, default=None)
    return dataclasses.replace(specs[0], size=size, channels=channels, mean=0.0, std=1.0)


def _fitted(images: Tensor, given: InputSpec, wanted: InputSpec) -> Tensor:
    """Images of the ensemble as a member takes them; the number of channels it brings about itself."""
    if given.intensity != wanted.intensity:
        (low, high), (least, most) = RANGES[given.intensity], RANGES[wanted.intensity]
        images = (images - low) / (high - low) * (most - least) + least
    if wanted.size is None or images.shape[2:] == (wanted.size, wanted.size):
        return images
    sides = (wanted.size, wanted.size)
    return interpolate(images, sides, mode="bilinear", antialias=True)  # as `InputSpec.fit` does


def _places(members: Sequence[Predictor], space: LabelSpace) -> tuple[Tensor, Tensor]:
    """(M, L) each: which of a member's columns a finding is in, and whether the member was trained on it."""
    where = torch.stack([torch.from_numpy(member.space.positions(space).copy()) for member in members])
    columns = where.clamp(min=0)
    trained = [member.trained.cpu()[own] for member, own in zip(members, columns, strict=True)]
    return columns, torch.stack(trained) & (where >= 0)


def _points(given: Any, space: LabelSpace) -> Tensor:
    """(L,) float32 of a dict by finding, of numbers, or of nothing."""
    points = torch.full((len(space),), torch.nan)
    if isinstance(given, Mapping):
        for label, value in given.items():
            points[space.index(label)] = value
    elif given is not None:
        points = torch.as_tensor(given, dtype=torch.float32).detach().clone()
    if points.shape != (len(space),) or bool(((points < 0) | (points > 1)).any()):
        msg = f"operating_points: expected {len(space)} numbers from 0 to 1, NaN for none, got {given!r}."
        raise ValueError(msg)
    return points


def _row(member: Predictor) -> tuple[str, ...]:
    card, spec = getattr(member, "card", None), member.inputs
    name = getattr(card, "name", "") or type(member).__name__
    size = "any" if spec.size is None else str(spec.size)
    return name, str(len(member.space)), str(int(member.trained.sum())), size, spec.intensity
