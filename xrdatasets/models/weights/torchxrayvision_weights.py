"""Models, step 9: a file of torchxrayvision becomes a classifier; none of its code is needed or run."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xrdatasets.errors import WeightsError
from xrdatasets.fetching import hexdigest
from xrdatasets.labels import LabelSpace
from xrdatasets.models.backbones.making import backbone as make_backbone
from xrdatasets.models.backbones.published_states import fit_state
from xrdatasets.models.card import Card
from xrdatasets.models.classifier import Classifier
from xrdatasets.models.inputs import InputSpec
from xrdatasets.models.network import Network
from xrdatasets.models.weights.pickles import read_pickled_state
from xrdatasets.models.weights.points_table import Points, has_corrected_points, points_of
from xrdatasets.models.weights.weights_table import WeightsEntry
from xrdatasets.typing import Compat

__all__ = ["from_torchxrayvision"]

logger = logging.getLogger(__name__)

VERSION = "torchxrayvision 1.5.7"  # whose models.py the tables were read from
PREFIX = re.compile(r"^(?:(?:module|model)\.)+")  # of DataParallel, and of torchxrayvision's ResNet
DENSE = re.compile(r"features\.denseblock([0-9]{1,3})\.denselayer[0-9]{1,4}\.conv\.?([12])\.weight")
RESIDUAL = re.compile(r"layer([0-9]{1,3})\.[0-9]{1,4}\.conv([123])\.weight")
# Huang et al., CVPR 2017, table 1; He et al., CVPR 2016, table 1
NAMES: Mapping[tuple[str, tuple[int, ...]], str] = {
    ("densenet", (6, 12, 24, 16)): "densenet121",
    ("densenet", (6, 12, 32, 32)): "densenet169",
    ("densenet", (6, 12, 48, 32)): "densenet201",
    ("resnet", (3, 4, 6, 3)): "resnet50",
    ("resnet", (2, 2, 2, 2)): "resnet18",
}
HEADS = {"densenet": "classifier.weight", "resnet": "fc.weight"}
Shapes = Mapping[str, tuple[int, ...]]

RESIZED = (
    "torchxrayvision brings images to their size by a filter of its own, which also draws the outermost ring "
    "of pixels towards grey; preprocess() averages areas, so that outputs differ a little. "
    "load_image(..., engine='xrv') takes its filter, a dataset with compat='xrv' the ring too."
)
TWO_SIGMOIDS = (
    "The published operating points lie between 0.502 and 0.538, as values that went through a second "
    "sigmoid do; the corrected ones are their logits. That is inferred from the numbers and from "
    "torchxrayvision's script for calibration, and was not verified on the weights."
)


def from_torchxrayvision(
    path: str | Path,
    entry: WeightsEntry,
    *,
    operating_points: Points | None = "published",
    compat: Compat | None = None,
    sha256: str = "",
) -> Classifier:
    """A classifier from a file that torchxrayvision's users have, by `read_pickled_state`.

    Depth and width are read from the shapes of its tensors, all else from the row of the table.

    Args:
        path: of the file.
        entry: the published weights whose findings and images it has.
        operating_points: ``published``, ``corrected``, or None for none.
        compat: as for `Classifier`.
        sha256: the file's digest, if it is known already.

    Returns:
        The classifier, on the CPU, in float32.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsError: it is damaged or hostile, or holds another kind of network than `entry` says.
        ValueError: an argument is none of the above, or there are no corrected points.

    Example:
        >>> from xrdatasets.models.weights.weights_table import weights_entry
        >>> network = Network(make_backbone("densenet121", growth=4, blocks=(1, 1), stem=4), 18)
        >>> last = {f"classifier.{name}": tensor for name, tensor in network.head.state_dict().items()}
        >>> torch.save(network.backbone.state_dict() | last, TMP / "small.pt")
        >>> from_torchxrayvision(TMP / "small.pt", weights_entry("nih")).card.trained_on
        ('nih',)
    """
    path = Path(path)
    points = points_of(entry, operating_points) if operating_points is not None else None
    state = read_pickled_state(path)
    digest = sha256 or hexdigest(path)
    network = _network(path, entry, state)
    _warn(path, entry, digest, operating_points)
    return Classifier(
        network,
        entry.space,
        inputs=InputSpec(
            size=entry.size, intensity=entry.intensity, channels=network.backbone.channels, engine="area"
        ),
        trained=entry.trained,
        operating_points=points,
        card=_card(path, entry, digest, operating_points),
        compat=compat,
    )


def _network(path: Path, entry: WeightsEntry, state: Mapping[str, Tensor]) -> Network:
    """The network that the shapes speak of, with the file's weights."""
    shapes = {PREFIX.sub("", name): tuple(tensor.shape) for name, tensor in state.items()}
    family = "densenet" if "features.conv0.weight" in shapes else "resnet"
    whole = f"the weights of a {entry.architecture} with its last layer"
    if not entry.architecture.startswith(family) or HEADS[family] not in shapes:
        raise _refused(path, entry, whole, f"{len(state)} tensors, {next(iter(state))!r} first")
    outputs = len(LabelSpace.load(entry.space))
    if shapes[HEADS[family]][:1] != (outputs,):
        got = f"{HEADS[family]} of the shape {shapes[HEADS[family]]}"
        raise _refused(path, entry, f"{outputs} outputs, the findings of {entry.space}", got)
    numbers = sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
    try:
        options = (_dense_sizes if family == "densenet" else _residual_sizes)(shapes)
        network = _made(options, outputs, most=2 * numbers)  # what is missing is named below
    except (ValueError, LookupError, StopIteration, ZeroDivisionError, RuntimeError) as error:
        raise _refused(path, entry, whole, f"shapes of which none can be made ({error})") from error
    try:
        report = fit_state(network, state)
    except WeightsError as error:
        msg = f"{path}: {error}"
        raise WeightsError(msg) from error
    if report.missing:
        raise _refused(path, entry, whole, f"none for {', '.join(report.missing)}")
    return network


def _made(options: Mapping[str, Any], outputs: int, *, most: int) -> Network:
    """A network of these sizes, with no more than so many numbers.

    Raises:
        ValueError: there would be more.
    """
    with torch.device("meta"):  # sizes without memory: the shape of one tensor may ask for any
        claimed = Network(make_backbone(**options), outputs).state_dict().values()
    if (needed := sum(tensor.numel() for tensor in claimed if tensor.is_floating_point())) > most:
        msg = f"it would have {needed:,} numbers, and the file far fewer"
        raise ValueError(msg)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, which nobody should notice
        return Network(make_backbone(**options), outputs)


def _dense_sizes(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `backbone` for a DenseNet."""
    found = [(match, shapes[name]) for name in shapes if (match := DENSE.fullmatch(name))]
    between = next(shape[0] for match, shape in found if match[2] == "1")
    growth = next(shape[0] for match, shape in found if match[2] == "2")
    blocks = _blocks(Counter(match[1] for match, _ in found if match[2] == "1"))
    stem, channels = shapes["features.conv0.weight"][:2]
    return {
        "name": NAMES.get(("densenet", blocks), "densenet121"),
        "channels": channels,
        "growth": growth,
        "blocks": blocks,
        "stem": stem,
        "bn_size": between // growth,
    }


def _residual_sizes(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `backbone` for a ResNet."""
    found = [match for name in shapes if (match := RESIDUAL.fullmatch(name))]
    blocks = _blocks(Counter(match[1] for match in found if match[2] == "1"))
    bottleneck = any(match[2] == "3" for match in found)
    width, channels = shapes["conv1.weight"][:2]
    return {
        "name": NAMES.get(("resnet", blocks), "resnet50"),
        "channels": channels,
        "blocks": blocks,
        "width": width,
        "bottleneck": bottleneck,
    }


def _blocks(counts: Counter[str]) -> tuple[int, ...]:
    """Layers of each block, which are counted from 1."""
    return tuple(counts[str(number)] for number in range(1, len(counts) + 1))


def _warn(path: Path, entry: WeightsEntry, digest: str, points: Points | None) -> None:
    if entry.sha256 and digest != entry.sha256:
        logger.warning(
            "%s: its sha256 is %s, not that of %s (%s), whose findings and operating points it gets",
            path,
            digest,
            entry.name,
            entry.sha256,
        )
    if points == "published" and has_corrected_points(entry):
        logger.warning(
            "%s: its published operating points are held to be wrong (see its card); "
            "operating_points='corrected' takes others",
            entry.name,
        )


def _card(path: Path, entry: WeightsEntry, digest: str, points: Points | None) -> Card:
    """What is known of the weights, and how they came here."""
    labels = LabelSpace.load(entry.space).labels
    notes = [entry.note, RESIZED]
    if untrained := [label for label in labels if label not in entry.trained]:
        gives = "they are unknown (NaN) here and 0.5 in torchxrayvision"
        notes.append(f"Outputs that were not trained: {', '.join(untrained)}; {gives}.")
    if has_corrected_points(entry):
        notes.append(TWO_SIGMOIDS)
    provenance = {
        "source": entry.location,
        "file": path.name,
        "sha256": digest,
        "sha256_published": entry.sha256 or "not known",
        "converted_from": f"{entry.format}, read without running it",
        "table": f"{VERSION}, models.py",
        "operating_points": points or "none",
    }
    return Card(
        name=entry.name,
        description=f"{entry.architecture} of torchxrayvision, {len(entry.trained)} findings of "
        f"{entry.space}, images of {entry.size} x {entry.size} pixels.",
        trained_on=entry.trained_on,
        licence=entry.licence,
        reference=entry.reference,
        notes=tuple(note for note in notes if note),
        provenance=provenance,
    )


def _refused(path: Path, entry: WeightsEntry, expected: str, got: str) -> WeightsError:
    return WeightsError(f"{path}: expected {expected} (as {entry.name} has), got {got}.")
