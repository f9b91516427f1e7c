"""Packed, step 4: a dataset as WebDataset shards, for object stores that are read from front to back."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.files import user_path
from xrdatasets.datasets.options import check_count, check_flag
from xrdatasets.datasets.single import Single
from xrdatasets.datasets.tables import CANONICAL
from xrdatasets.errors import DecoderNotFoundError, ImageReadError, PackedFileError
from xrdatasets.images import read_image
from xrdatasets.images.intensity import Intensity, check_intensity, normalize
from xrdatasets.labels.codes import frozen
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.policies import U_IGNORE, Policy, check_policy
from xrdatasets.labels.spaces import LabelSpace, SpaceLike
from xrdatasets.packed.chunks import plain, read_chunk
from xrdatasets.packed.writer import Pixel, check_packable

if TYPE_CHECKING:
    from webdataset import WebDataset

__all__ = ["export_shards", "read_shards"]

FORMAT, VERSION = "xrdatasets-shards", 1
INDEX = "index.json"
# Images that are read and written at once.
STEP = 64


def export_shards(
    dataset: Collection,
    folder: str | Path,
    *,
    size: int | None = None,
    dtype: Pixel = "uint8",
    per_shard: int = 1000,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Write a dataset as tar files of images and labels, in the form of the webdataset library.

    A sample is a PNG image (8 or 16 bit, lossless) and a JSON text: ``image_id``, the table's other canonical
    columns as far as they are known (``patient_id`` among them, the pseudonym of the release, which a split
    by patient needs), the ``codes`` of the findings that are known, the ``unmentioned`` ones, and ``states``,
    from which `read_shards` makes targets. ``index.json``, which names shards, sums and findings, is written
    last. The same dataset gives the same bytes.

    Args:
        dataset: one dataset, best a packed one.
        folder: a new or empty folder.
        size: height and width of the images in pixels; None for the dataset's own.
        dtype: ``uint8`` or ``uint16``.
        per_shard: images in a shard; at 224 pixels and 8 bits a thousand take some 25 MB.
        overwrite: whether shards that are in the folder may be replaced.
        progress: whether to show a bar; None where the output is a terminal.

    Returns:
        The index, ``folder/index.json``.

    Raises:
        PackedFileError: the folder has shards, or cannot be written.
        DecoderNotFoundError: the webdataset library is missing.
        ImageReadError: an image is damaged.
        ValueError: an argument is none of the above, or the dataset has masks, a transform or several parts.

    Example:
        >>> import xrdatasets as xr
        >>> index = xr.export_shards(xr.Phantom(5, size=32), TMP / "shards", per_shard=2)
        >>> sorted(file.name for file in index.parent.iterdir())
        ['index.json', 'phantom_a-000000.tar', 'phantom_a-000001.tar', 'phantom_a-000002.tar']
        >>> type(xr.read_shards(index, space=["Effusion"])).__name__
        'WebDataset'
    """
    single, size = check_packable("export_shards", dataset, size, dtype)
    check_count("per_shard", per_shard, least=1)
    check_flag("overwrite", overwrite)
    _library()
    place = _ready(folder, overwrite)
    images, rows = plain(single, size), np.arange(len(single))
    stated = _index(single, size, dtype)
    count = math.ceil(len(rows) / per_shard)
    try:
        for number in _bar(range(count), single.facts.key, progress):
            own = rows[number * per_shard : (number + 1) * per_shard]
            name = f"{single.facts.key}-{number:06d}.tar"
            stated["shards"].append(
                {"name": name, "images": len(own), "sha256": _write(place / name, images, own, dtype)}
            )
        _replace(place / INDEX, json.dumps(stated, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        if isinstance(error, ImageReadError) or error.errno is None:
            raise
        msg = f"{str(place)!r} cannot be written ({error.strerror}). Make room, delete it, and export again."
        raise PackedFileError(msg) from error
    return place / INDEX


def read_shards(
    index: str | Path,
    *,
    at: str | None = None,
    space: SpaceLike | None = None,
    policy: Policy = U_IGNORE,
    intensity: Intensity | None = None,
    shuffle: int = 0,
    seed: int = 0,
) -> WebDataset:
    """The samples of shards, as a torch IterableDataset of the webdataset library.

    Workers of a DataLoader share the shards among them, and so do the processes of a training on several GPUs
    (as ``RANK`` and ``WORLD_SIZE`` or torch.distributed tell), so many shards are
    wanted for each worker.

    Args:
        index: ``index.json`` or the folder that holds it; it is small, and read from this machine.
        at: where the shards lie, if not beside the index: anything that webdataset opens
            (``https://…``, ``s3://…``, ``pipe:…``), to which ``/`` and the name of a shard are added.
        space: the label space, its name, or findings in order; None for that of the dataset.
        policy: what uncertain and unmentioned mean.
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1]; None for that of the dataset.
        shuffle: samples that are mixed in memory, and shards in random order; 0 for the order of the dataset.
        seed: of the order.

    Returns:
        Yields ``img`` (1, S, S) float32, ``lab`` (L,) float32 with NaN unknown, and ``idx``: what the dataset
        gave, but for the grey steps of the export.

    Raises:
        PackedFileError: the index is missing or damaged.
        DecoderNotFoundError: the webdataset library is missing.
        ImageReadError: while iterating, an image is damaged.
        ValueError: an argument is none of the above.
    """
    stated = _read_index(index)
    check_policy(policy)
    check_count("shuffle", shuffle, least=0)
    check_count("seed", seed, least=0)
    wanted = (
        LabelSpace(stated["space"]["name"], tuple(stated["space"]["labels"]))
        if space is None
        else LabelSpace.of(space)
    )
    intensity = stated["intensity"] if intensity is None else intensity
    check_intensity(intensity)
    path = user_path(index, name="index")
    beside = path if path.is_dir() else path.parent
    urls = [
        f"{beside.absolute() if at is None else at.rstrip('/')}/{shard['name']}" for shard in stated["shards"]
    ]
    library = _library()
    samples = library.WebDataset(
        urls,
        shardshuffle=len(urls) if shuffle else False,
        seed=seed,
        nodesplitter=library.split_by_node,  # without it the library refuses several processes
        empty_check=False,
    )
    if shuffle:
        samples = samples.shuffle(shuffle, seed=seed)
    return samples.map(_Sampler(tuple(stated["stored"]), tuple(stated["covered"]), wanted, policy, intensity))


class _Sampler:
    """Makes a sample of what a shard holds; it can be sent to workers."""

    def __init__(
        self,
        stored: tuple[str, ...],
        covered: tuple[str, ...],
        space: LabelSpace,
        policy: Policy,
        intensity: Intensity,
    ) -> None:
        self._facts = (stored, covered, space, policy, intensity)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        import torch

        stored, covered, space, policy, intensity = self._facts
        about = json.loads(sample["json"])
        raw = read_image(sample["png"], dataset=f"{sample.get('__url__', 'shard')}: {about['image_id']}")
        states = frozen(np.array(about["states"], dtype=np.uint8)[:, np.newaxis])
        keys = np.array([about["image_id"]], dtype=object)
        targets = LabelMatrix(states, stored, covered, keys, space).targets(policy)
        return {
            "img": torch.from_numpy(normalize(raw, intensity)),
            "lab": torch.from_numpy(targets[0].copy()),
            "idx": about["idx"],
        }


def _index(dataset: Single, size: int, dtype: str) -> dict[str, Any]:
    from xrdatasets import __version__

    return {
        "format": FORMAT,
        "version": VERSION,
        "package": __version__,
        "dataset": dataset.facts.key,
        "title": dataset.facts.title,
        "licence": dataset.facts.licence,
        "images": len(dataset),
        "size": size,
        "dtype": dtype,
        "intensity": dataset.options.intensity,
        "space": {"name": dataset.space.name, "labels": dataset.space.labels},
        "stored": dataset.matrix.stored,
        "covered": dataset.matrix.covered,
        "shards": [],
    }


def _write(path: Path, images: Single, rows: npt.NDArray[np.intp], dtype: str) -> str:
    """Write a shard; its sha256."""
    part = path.with_name(f"{path.name}.part")
    # mode, owner and time are the same in every shard, so that its bytes depend on the data alone
    with _library().TarWriter(str(part), encoder=False, mtime=0, user="", group="") as tar:
        for start in range(0, len(rows), STEP):
            for sample in _samples(images, rows[start : start + STEP], dtype):
                tar.write(sample)
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    part.replace(path)
    return digest


def _samples(images: Single, rows: npt.NDArray[np.intp], dtype: str) -> Iterator[dict[str, Any]]:
    chosen = images.select(rows)
    pixels = read_chunk(chosen, rows, dtype, drop=False).pixels
    matrix = chosen.matrix.relabel(chosen.matrix.stored)
    names, records = matrix.space.labels, chosen._table[list(CANONICAL)].astype(object).to_dict("records")
    for number, (row, record) in enumerate(zip(rows.tolist(), records, strict=True)):
        codes = zip(names, matrix.codes[number].tolist(), strict=True)
        about = {
            "idx": row,
            **{name: value for name, value in record.items() if not pd.isna(value)},
            "codes": {name: int(code) for name, code in codes if not math.isnan(code)},
            "unmentioned": [
                name for name, blank in zip(names, matrix.unmentioned[number], strict=True) if blank
            ],
            "states": matrix.states[:, number].tolist(),
        }
        text = json.dumps(about, ensure_ascii=False)
        yield {"__key__": f"{row:09d}", "json": text.encode(), "png": _png(pixels[number])}


def _png(pixels: npt.NDArray[Any]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _read_index(index: str | Path) -> dict[str, Any]:
    """What `export_shards` wrote last.

    Raises:
        PackedFileError: it is missing, damaged, or of a newer version.
    """
    path = user_path(index, name="index")
    path = path / INDEX if path.is_dir() else path
    try:
        stated: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _check_version(stated)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = (
            f"{str(path)!r} is no index of shards ({error}). Expected index.json as "
            "xrdatasets.export_shards wrote it."
        )
        raise PackedFileError(msg) from error
    return stated


def _check_version(stated: dict[str, Any]) -> None:
    if stated["format"] != FORMAT or stated["version"] > VERSION:
        msg = f"it is {stated['format']} {stated['version']}, this package reads {FORMAT} up to {VERSION}"
        raise ValueError(msg)


def _ready(folder: str | Path, overwrite: bool) -> Path:
    """The folder, made if it is not there; nothing in it tells of an old export.

    Raises:
        PackedFileError: it is a file, or holds something that may not be overwritten.
    """
    place = user_path(folder, name="folder").absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
        there = next(place.iterdir(), None)
    except OSError as error:
        msg = f"folder: {str(place)!r} cannot be made or read ({error.strerror})."
        raise PackedFileError(msg) from error
    if there is not None and not overwrite:
        msg = f"{str(place)!r} is not empty ({there.name}). Pass a new folder, or overwrite=True."
        raise PackedFileError(msg)
    (place / INDEX).unlink(missing_ok=True)
    return place


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _bar(numbers: range, key: str, progress: bool | None) -> Any:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    return tqdm(numbers, f"{key}: shards", disable=None if progress is None else not progress)


def _library() -> Any:
    """The webdataset library.

    Raises:
        DecoderNotFoundError: it is not installed.
    """
    try:
        import webdataset
    except ImportError as error:
        msg = (
            "shards are written and read by the webdataset library. Install it: pip install "
            '"xrdatasets[shards]".'
        )
        raise DecoderNotFoundError(msg) from error
    return webdataset
