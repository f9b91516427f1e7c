"""The command ``pack``: a dataset's images and labels into one file.

JSON: ``dataset`` (key), ``root``, ``file``, ``images`` (that can be opened), ``left_out`` (damaged ones, with
``--damaged drop``), ``size``, ``dtype``, ``bytes``, ``seconds`` (of this call: a resumed one has less to do).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdatasets.cli import output, sources

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["HELP", "command"]

HELP = """Pack a dataset's images and labels into one file, which is read like memory.

Labels are kept as codes and source terms: label space and policy are chosen when the file is opened. If
packing is interrupted, the same command goes on where it stopped. Open the file with
xrdatasets.open("nih.h5"), or name it in place of the folder: nih=nih.h5.

\b
Examples:
  xrdatasets pack nih=/data/nih nih.h5 --size 224
  xrdatasets pack padchest=/data/padchest padchest.h5 --size 512 --dtype uint16 --workers 16
  xrdatasets pack mimic_cxr=/data/mimic mimic.h5 --size 224 --dask tcp://scheduler:8786
"""


def command(
    dataset: Annotated[
        str, typer.Argument(metavar="NAME=ROOT", help="Dataset and the folder of its download.")
    ],
    file: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The file to write.")],
    size: Annotated[int, typer.Option(metavar="PIXELS", help="Height and width of the packed images.")],
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help="Type of the pixels: uint8 or uint16.")
    ] = "uint8",
    views: Annotated[
        list[str] | None,
        typer.Option(metavar="WORDS", help="Views, with commas; '*' for all. [default: PA,AP]"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this split of the release: train, val or test.")
    ] = None,
    missing: Annotated[
        str, typer.Option(metavar="WORD", help="Rows without an image on disk: 'error', or 'drop' them.")
    ] = "error",
    damaged: Annotated[
        str, typer.Option(metavar="WORD", help="Images that cannot be read: 'error', or 'drop' them.")
    ] = "error",
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="How images are made smaller: area, gaussian or xrv.")
    ] = "area",
    crop: Annotated[bool, typer.Option(help="Cut to the centre square before resizing.")] = True,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that read images. [default: one per CPU]")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Read images on the dask cluster of this scheduler.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Pack a dataset.

    Raises:
        XRDatasetsError: the dataset cannot be opened or read, or the file cannot be written.
        ValueError: an option's value is wrong.
    """
    from xrdatasets.datasets.tables import view_words
    from xrdatasets.packed import PackedDataset, pack

    if missing == "keep":
        raise ValueError(
            "--missing: expected 'error' or 'drop', got 'keep': a missing image cannot be packed."
        )
    (source,) = sources.parse([dataset])
    words = [part.strip() for word in views or ["PA,AP"] for part in word.split(",")]
    shown = {"views": view_words("*" if "*" in words else words), "split": split, "missing": missing}
    (opened,) = sources.open_all([source], **shown, **_image_options(source, size, engine, crop))
    start = time.monotonic()
    with _cluster(dask) as executor:
        pack(
            opened, file, size=size, dtype=dtype, workers=workers, executor=executor, damaged=damaged,  # type: ignore[arg-type]
            overwrite=overwrite, progress=sys.stderr.isatty(),
        )  # fmt: skip
    seconds = time.monotonic() - start
    _tell(source, opened, PackedDataset(file), dtype=dtype, seconds=seconds, as_json=as_json)


def _image_options(source: sources.Source, size: int, engine: str, crop: bool) -> dict[str, Any]:
    """The options of a release; the Phantom is drawn as it should be, a packed file is as it is."""
    from xrdatasets.packed.layout import is_packed

    if is_packed(Path(source.root).expanduser()):
        return {}
    if source.key == "phantom":
        return {"size": size}
    return {"size": size, "engine": engine, "crop": crop}


@contextmanager
def _cluster(address: str | None) -> Iterator[Executor | None]:
    """The workers of a dask cluster, None if none is asked for.

    Raises:
        DecoderNotFoundError: dask is not installed.
        ValueError: nothing answers at the address.
    """
    if address is None:
        yield None
        return
    from xrdatasets.errors import DecoderNotFoundError

    try:
        from distributed import Client
    except ImportError as error:
        msg = '--dask needs the distributed library. Install it: pip install "xrdatasets[dask]".'
        raise DecoderNotFoundError(msg) from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        msg = f"--dask: no scheduler answers at {address!r} ({error}). Expected an address such as tcp://host:8786."
        raise ValueError(msg) from error
    with client:
        yield client.get_executor()


def _tell(
    source: sources.Source, opened: Single, packed: Single, *, dtype: str, seconds: float, as_json: bool
) -> None:
    """What was written."""
    path = Path(packed.path)  # type: ignore[attr-defined]
    size, images, left_out = path.stat().st_size, len(packed), len(opened) - len(packed)
    if as_json:
        output.to_json(
            "pack", dataset=source.key, root=source.root, file=str(path), images=images, left_out=left_out,
            size=packed.options.size, dtype=dtype, bytes=size, seconds=round(seconds, 3),
        )  # fmt: skip
        return
    lost = f", {left_out:,} damaged ones left out" if left_out else ""
    side = packed.options.size
    output.emit(
        f"{source.key} in {source.root}: {images:,} images of {side} x {side} {dtype}{lost}.",
        f"Written to {path}: {size / 2**20:,.1f} MiB in {seconds:,.1f} s.",
    )
