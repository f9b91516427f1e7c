"""Models, step 10: classifiers by name or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from xrdatasets.errors import WeightsError
from xrdatasets.labels import LabelSpace
from xrdatasets.labels.spaces import SpaceLike
from xrdatasets.models.classifier import Classifier
from xrdatasets.models.weights.cache import is_here, verified
from xrdatasets.models.weights.points_table import Points
from xrdatasets.models.weights.storage import read_classifier
from xrdatasets.models.weights.torchxrayvision_weights import from_torchxrayvision
from xrdatasets.models.weights.weights_table import WeightsEntry, weights_entries, weights_entry
from xrdatasets.typing import Compat

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["list_weights", "load"]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")  # what makes a text the path of a file, there or not
PICKLED = (b"PK\x03\x04", b"\x80")  # how torch.save begins: a zip archive, or, before 1.6, a pickle
OWN = b"{"  # what stands in a safetensors file behind the eight bytes of a length, which may be anything
IN_RUN = "classifier.safetensors"  # of a training run's folder


def load(
    name_or_file: str | Path,
    *,
    space: SpaceLike | None = None,
    operating_points: Points | None = "published",
    compat: Compat | None = None,
    like: str | None = None,
    progress: bool = True,
) -> Classifier:
    """A classifier by the name of its weights, or from a file.

    Weights that are not in this package are downloaded on first use, into the folder that
    `xrdatasets.models.cache_folder` tells, and checked. Who has torchxrayvision's files already
    (``~/.torchxrayvision/models_data``) needs no download:
    ``load("….pt", like="densenet121-res224-all")`` reads one, without torchxrayvision and without running
    what is in it.

    Args:
        name_or_file: a name or alias of `list_weights`, a file that `Classifier.save` wrote, the folder of a
            training run, or, together with `like`, a file of torchxrayvision.
        space: the findings that are expected, if any are: a space, its name, or names in order.
        operating_points: ``"published"``, those that came with the weights; ``"corrected"``, where those are
            held to be wrong; None for none.
        compat: as for `Classifier`.
        like: the published weights whose findings and images a file of torchxrayvision has.
        progress: show a bar while downloading, where stderr is a terminal.

    Returns:
        The classifier, on the CPU, in evaluation mode.

    Raises:
        WeightsNotFoundError: no weights have the name, and there is no such file.
        WeightsError: the file is damaged, hostile, or not what it should be; or it has other findings than
            `space`.
        DownloadError: the weights cannot be downloaded; the message says where to put them by hand.
        ValueError: an argument is none of the above.

    Example:
        >>> from xrdatasets.models import Classifier, InputSpec, Network
        >>> Classifier(Network("mini", 2), ["Effusion", "Nodule"]).save(TMP / "mine.safetensors")
        >>> load(TMP / "mine.safetensors").pathologies
        ('Effusion', 'Nodule')
    """
    _check(operating_points, compat)
    file = _file(name_or_file)
    if file is not None:
        classifier = _from_file(file, like, operating_points, compat)
    elif like is not None:
        msg = f"like: expected None beside a name ({name_or_file!r}); it tells what a file is."
        raise ValueError(msg)
    else:
        classifier = _by_name(weights_entry(str(name_or_file)), operating_points, compat, progress=progress)
    if space is not None:
        _check_space(str(name_or_file), classifier.space, LabelSpace.of(space))
    return classifier


def list_weights() -> pd.DataFrame:
    """The weights that have a name.

    Returns:
        One row each: ``name``, ``alias``, ``here`` (bool: no download is needed), ``source``,
        ``architecture``, ``space``, ``findings`` (number of trained ones), ``size``, ``trained_on``,
        ``licence``, ``reference``, ``note``.

    Example:
        >>> list_weights().set_index("name").loc["densenet121-res224-chex", ["findings", "size"]].tolist()
        [11, 224]
    """
    import pandas as pd

    rows = [
        {
            "name": entry.name,
            "alias": entry.alias,
            "here": is_here(entry),
            "source": entry.source,
            "architecture": entry.architecture,
            "space": entry.space,
            "findings": len(entry.trained),
            "size": entry.size,
            "trained_on": ", ".join(entry.trained_on),
            "licence": entry.licence,
            "reference": entry.reference,
            "note": entry.note,
        }
        for entry in weights_entries()
    ]
    return pd.DataFrame(rows)


def _file(name_or_file: object) -> Path | None:
    """The path of a file, None if it is a name."""
    if isinstance(name_or_file, Path):
        return _of_run(name_or_file.expanduser())
    if not isinstance(name_or_file, str) or not name_or_file or "\0" in name_or_file:
        msg = f"name_or_file: expected a name of list_weights() or a file, got {name_or_file!r}."
        raise ValueError(msg)
    names = {name for entry in weights_entries() for name in (entry.name, entry.alias)}
    path = Path(name_or_file)
    is_path = path.name != name_or_file or path.suffix in SUFFIXES or _of_run(path).is_file()
    return _of_run(path.expanduser()) if is_path and name_or_file not in names else None


def _of_run(path: Path) -> Path:
    """The file itself, or that of a run's folder."""
    return path / IN_RUN if (path / IN_RUN).is_file() else path


def _by_name(
    entry: WeightsEntry, points: Points | None, compat: Compat | None, *, progress: bool
) -> Classifier:
    path, digest = verified(entry, progress=progress)
    if entry.format != "safetensors":
        return from_torchxrayvision(path, entry, operating_points=points, compat=compat, sha256=digest)
    classifier = _own(path, points, compat)
    _check_space(entry.name, classifier.space, LabelSpace.load(entry.space))
    return classifier


def _from_file(path: Path, like: str | None, points: Points | None, compat: Compat | None) -> Classifier:
    pickled = False
    if path.is_file():
        with path.open("rb") as file:
            begin = file.read(9)
        pickled = begin.startswith(PICKLED) and begin[8:] != OWN
    if like is not None:
        return from_torchxrayvision(path, _pickled_entry(like), operating_points=points, compat=compat)
    if pickled:
        names = ", ".join(entry.name for entry in weights_entries() if entry.format != "safetensors")
        msg = (
            f"{path}: it was written by torch.save and does not say which findings it has. Expected `like`, "
            f"the name of the published weights that it is of: {names}."
        )
        raise WeightsError(msg)
    return _own(path, points, compat)


def _pickled_entry(like: str) -> WeightsEntry:
    entry = weights_entry(like)
    if entry.format == "safetensors":
        msg = f"like: expected weights of torchxrayvision, got {like!r}, whose file says all itself."
        raise ValueError(msg)
    return entry


def _own(path: Path, points: Points | None, compat: Compat | None) -> Classifier:
    """From a file of `Classifier.save`, which has its operating points."""
    if points == "corrected":
        msg = f"operating_points: {path.name} has the one set of its file; expected 'published' or None."
        raise ValueError(msg)
    classifier = read_classifier(path)
    if points == "published" and compat is None:
        return classifier
    return Classifier(
        classifier.network,
        classifier.space,
        inputs=classifier.inputs,
        trained=classifier.trained,
        operating_points=classifier.operating_points if points == "published" else None,
        card=classifier.card,
        compat=compat,
    )


def _check(points: object, compat: object) -> None:
    if points is not None and points not in get_args(Points):
        known = ", ".join(map(repr, get_args(Points)))
        msg = f"operating_points: expected {known} or None, got {points!r}."
        raise ValueError(msg)
    if compat is not None and compat not in get_args(Compat):
        msg = f"compat: expected None or one of {get_args(Compat)}, got {compat!r}."
        raise ValueError(msg)


def _check_space(name: str, got: LabelSpace, expected: LabelSpace) -> None:
    if got.labels != expected.labels:
        msg = (
            f"{name}: expected the space {expected.name!r} ({', '.join(expected.labels)}), got "
            f"{got.name!r} ({', '.join(got.labels)}). Leave `space` out, or relabel the data."
        )
        raise WeightsError(msg)
