"""Prediction, step 7: one call, from the images that are not known yet to the rows of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import XRDatasetsError
from xrdatasets.prediction.drawing import Artist
from xrdatasets.prediction.formats import Row
from xrdatasets.prediction.gathering import ImageFiles
from xrdatasets.prediction.journal import Journal, shortest
from xrdatasets.prediction.reading import read_ahead

if TYPE_CHECKING:
    from torch import Tensor

    from xrdatasets.models.predictor import Predictor

__all__ = ["Run"]

Image = npt.NDArray[np.float32]


class Run:
    """What one call knows of each image.

    Args:
        classifier: the classifier.
        files: the images.
        artist: draws the heatmaps, None for none.
        metadata: of the classifier (`describe`).

    Attributes:
        paths: of the images.
        metadata: as given.
        probabilities: (N, L) float32, NaN for none.
        drawn: names of heatmaps by finding, by image.
    """

    def __init__(
        self, classifier: Predictor, files: ImageFiles, artist: Artist | None, metadata: dict[str, Any]
    ) -> None:
        self.paths, self.metadata = files.paths, metadata
        self.probabilities = np.full((len(files), len(metadata["findings"])), np.nan, np.float32)
        self.drawn: dict[int, dict[str, str]] = {}
        self._files, self._artist, self._loader = files, artist, classifier.inputs
        self._network, self._device = _fast(classifier), _device(classifier)
        self._known = np.zeros(len(files), dtype=bool)
        self._reasons: dict[int, str] = {}
        self._journal: Journal | None = None

    def job(self) -> dict[str, Any]:
        """What an interrupted call must have in common with the one that goes on."""
        drawn = None
        if self._artist is not None:
            drawn = {"folder": str(self._artist.folder), "findings": self._artist.findings}
        return {name: self.metadata[name] for name in ("weights", "findings")} | {"heatmaps": drawn}

    def resume(self, journal: Journal) -> None:
        """Take what an interrupted call knew, and note there what comes."""
        self._journal = journal
        for row, path in enumerate(self.paths):
            if (line := journal.lines.get(path)) is not None:
                self.probabilities[row] = [np.nan if value is None else value for value in line["values"]]
                self._known[row] = True
                if "heatmaps" in line:
                    self.drawn[row] = line["heatmaps"]
        journal.lines.clear()

    def go(self, batch_size: int, workers: int | None, *, progress: bool) -> None:
        """Predict what is not known."""
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

        rows = np.flatnonzero(~self._known).tolist()
        paths = [self.paths[row] for row in rows]
        done = {"total": len(self.paths), "initial": len(self.paths) - len(rows)}
        batch: list[tuple[int, Image]] = []
        with (
            closing(read_ahead(self._loader, paths, workers=workers)) as outcomes,
            tqdm(desc="predicting", unit=" images", disable=not progress, **done) as bar,
        ):
            for row, outcome in zip(rows, outcomes, strict=True):
                if isinstance(outcome, str):
                    self._reasons[row] = outcome
                    bar.update()
                    continue
                if batch and (len(batch) == batch_size or batch[0][1].shape != outcome.shape):
                    bar.update(self._predict(batch))
                    batch = []
                batch.append((row, outcome))
            if batch:
                bar.update(self._predict(batch))

    def known(self) -> list[int]:
        """Images that have an answer, in order."""
        return np.flatnonzero(self._known).tolist()

    def rows(self) -> Iterator[Row]:
        """The rows of the file, in order."""
        return map(self._row, self.known())

    def document(self) -> dict[str, Any]:
        """What there is to know beside the rows, fit for JSON."""
        reasons = [(self.paths[row], self._reasons[row]) for row in sorted(self._reasons)]
        failed = [{"path": path, "reason": reason} for path, reason in (*self._files.failed, *reasons)]
        counts = {"images": int(self._known.sum()), "skipped": self._files.skipped, "failed": failed}
        return {**self.metadata, **counts}

    def _predict(self, batch: Sequence[tuple[int, Image]]) -> int:
        """Answers and pictures of images of one size, noted."""
        import torch

        rows = [row for row, _ in batch]
        images = torch.from_numpy(np.stack([image for _, image in batch])).to(self._device)
        try:
            values = self._answers(images)
            drawn = self._draw(images, rows, values)
        except ValueError as error:
            if len(batch) == 1:
                self._reasons[rows[0]] = str(error)
                return 1
            return sum(self._predict([each]) for each in batch)  # it may be one of them alone
        self.probabilities[rows], self._known[rows] = values, True
        self.drawn |= drawn
        if self._journal is not None:
            self._journal.note([self._line(row) for row in rows])
        return len(batch)

    def _answers(self, images: Tensor) -> Image:
        import torch

        try:
            with torch.inference_mode():
                answers: Image = self._network(images).float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            msg = f"batch_size: {self._device} has no memory for {len(images)} images. Expected fewer."
            raise XRDatasetsError(msg) from error
        return answers

    def _draw(self, images: Tensor, rows: list[int], values: Image) -> dict[int, dict[str, str]]:
        if self._artist is None:
            return {}
        made = self._artist.draw(images, [self.paths[row] for row in rows], values)
        return dict(zip(rows, made, strict=True))

    def _line(self, row: int) -> dict[str, Any]:
        path, values, drawn = self._row(row)
        return {"path": path, "values": values} | ({} if drawn is None else {"heatmaps": drawn})

    def _row(self, row: int) -> Row:
        return self.paths[row], [shortest(value) for value in self.probabilities[row]], self.drawn.get(row)


def _fast(classifier: Predictor) -> Any:
    """The same answers faster, where the classifier knows how."""
    make = getattr(classifier, "for_inference", None)
    return classifier if make is None else make()


def _device(classifier: Predictor) -> Any:
    """Where the classifier computes."""
    import torch

    parameters = classifier.parameters() if isinstance(classifier, torch.nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
