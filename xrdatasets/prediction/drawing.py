"""Prediction, step 6: the heatmaps of a batch, one PNG for each image and finding."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrdatasets.prediction.pictures import heatmap_name, overlay

if TYPE_CHECKING:
    from torch import Tensor

    from xrdatasets.models.predictor import Predictor

__all__ = ["Artist"]


class Artist:
    """Draws where the classifier sees a finding, over what it sees.

    Args:
        classifier: with a method `heatmap`.
        folder: of the pictures; made if it is not there.
        findings: those that are drawn, None for each image's most probable one.

    Attributes:
        folder: as given.
        findings: canonical names, None as given.

    Raises:
        LabelNotFoundError: a finding is not in the classifier's space.
        ValueError: its output was not trained, the classifier draws no heatmaps, or `folder` is no folder.
        OSError: the folder cannot be made.
    """

    def __init__(
        self, classifier: Predictor, folder: str | os.PathLike[str], findings: Sequence[str] | None = None
    ) -> None:
        self.folder, self._space = Path(folder), classifier.space
        self._trained = classifier.trained.cpu().numpy()
        self._heatmap: Any = getattr(classifier, "heatmap", None)
        self._low, self._high = (-1024.0, 1024.0) if classifier.inputs.intensity == "xrv" else (0.0, 1.0)
        if self._heatmap is None or not self._trained.any():
            msg = f"heatmaps: expected a trained classifier that draws them, got {type(classifier).__name__}."
            raise ValueError(msg)
        self.findings = None if findings is None else tuple(map(self._named, findings))
        if self.folder.exists() and not self.folder.is_dir():
            msg = f"heatmaps: {str(self.folder)!r} is no folder. Expected a folder, or a name that is free."
            raise ValueError(msg)
        self.folder.mkdir(parents=True, exist_ok=True)

    def draw(
        self, images: Tensor, paths: Sequence[str], values: npt.NDArray[np.float32]
    ) -> list[dict[str, str]]:
        """Write the pictures of a batch.

        Args:
            images: (B, C, H, W) on the classifier's device.
            paths: of the images, as they were given.
            values: (B, L) their probabilities.

        Returns:
            For each image the names of its pictures, by finding.
        """
        chosen = [self.findings or (self._most_probable(row),) for row in values]
        made: list[dict[str, str]] = [{} for _ in paths]
        for finding in dict.fromkeys(name for names in chosen for name in names):
            rows = [row for row, names in enumerate(chosen) if finding in names]
            heats = self._heatmap(images[rows], finding).float().cpu().numpy()
            for row, heat in zip(rows, heats, strict=True):
                made[row][finding] = self._save(images[row, 0], heat, paths[row], finding)
        return made

    def _named(self, finding: str) -> str:
        column = self._space.index(finding)
        name = self._space.labels[column]
        if not self._trained[column]:
            msg = f"finding: the output of {name!r} was not trained. Expected one that was."
            raise ValueError(msg)
        return name

    def _most_probable(self, values: npt.NDArray[np.float32]) -> str:
        known = np.where(self._trained & ~np.isnan(values), values, -np.inf)
        return self._space.labels[int(known.argmax())]

    def _save(self, image: Tensor, heat: npt.NDArray[np.float32], path: str, finding: str) -> str:
        from PIL import Image

        grey = (image.float().cpu().numpy() - self._low) / (self._high - self._low)
        file = self.folder / heatmap_name(path, finding)
        Image.fromarray(overlay(grey, heat)).save(file, "PNG")
        return str(file)
