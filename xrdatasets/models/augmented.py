"""Models, step 9: a classifier's mean over several views of each image: test-time augmentation."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from xrdatasets.labels import LabelSpace
from xrdatasets.models.heads.base import check_count
from xrdatasets.models.inputs import InputSpec
from xrdatasets.models.predictor import Predictor, calibrated_findings, check_predictor
from xrdatasets.transforms import BatchTransform, TenCrop, image_seeds, pham_views

if TYPE_CHECKING:
    from xrdatasets.models.card import Card

__all__ = ["Augmented", "ten_crop", "tta"]

Views = Callable[[int], BatchTransform]
# before they are cropped to 224, ImageNet's images are resized to 256 (Krizhevsky et al., NIPS 2012)
_RATIO = 256 / 224


class Augmented(nn.Module):
    """A classifier that answers with its mean over several views of each image: see `tta` and `ten_crop`.

    It is called as the classifier is, and has the same findings. Where an output was not trained the answer
    stays what the classifier gives. Operating points are applied to each view, as in an `Ensemble` of
    ``space="prob"``: 0.5 is where the views stand above the operating point by as much as below.

    Args:
        classifier: a classifier, or an ensemble.
        views: called with the images' width, gives the transform that makes several views of each.
        inputs: the images that it takes.
        count: views of each image.
        seed: of what is drawn.
        batch_size: views that the classifier is given at once.

    Attributes:
        classifier: as given.
        inputs: as given.
        count: as given.
        seed: as given.
        batch_size: as given.

    Raises:
        ValueError: an argument is none of the above.

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> classifier = Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=InputSpec(size=32))
        >>> views = Augmented(classifier, lambda width: TenCrop(32), inputs=InputSpec(size=40), count=10)
        >>> views(torch.zeros(3, 1, 40, 40)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        classifier: Predictor,
        views: Views,
        *,
        inputs: InputSpec,
        count: int,
        seed: int = 0,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        check_predictor("classifier", classifier)
        check_count("count", count, least=1)
        check_count("batch_size", batch_size, least=1)
        image_seeds(torch.zeros(1, dtype=torch.int64), seed=seed)
        self._classifier = cast("nn.Module", classifier)
        self._views, self.inputs = views, inputs
        self.count, self.seed, self.batch_size = count, seed, batch_size
        self.training = self._classifier.training

    def forward(self, images: Tensor, *, idx: Tensor | None = None) -> Tensor:
        """Mean of the probabilities of the views.

        Args:
            images: (B, 1, H, W) or (B, 3, H, W) float in the range of `inputs`. Images of another size are
                resized, with a warning.
            idx: (B,) integers, the images' positions in their dataset, for draws of each image's own; None
                for the same draws for all images. Either way an image's answer does not depend on the images
                beside it.

        Returns:
            (B, L) float32 in [0, 1], in the order of `pathologies`, NaN where the output was not trained.

        Raises:
            ValueError: images or `idx` are none of the above.
        """
        return self._mean(self.classifier, images, idx)

    def probabilities(self, images: Tensor, *, idx: Tensor | None = None) -> Tensor:
        """Mean of the views' probabilities without operating points.

        Args:
            images: as for `forward`.
            idx: likewise.

        Returns:
            (B, L) float32 in [0, 1].

        Raises:
            ValueError: as for `forward`.
        """
        return self._mean(self.classifier.probabilities, images, idx)

    def logits(self, images: Tensor, *, idx: Tensor | None = None) -> Tensor:
        """Mean of the views' log-odds.

        Args:
            images: as for `forward`.
            idx: likewise.

        Returns:
            (B, L) float32.

        Raises:
            ValueError: as for `forward`.
        """
        return self._mean(self.classifier.logits, images, idx)

    def preprocess(self, source: object, *, max_value: int | None = None) -> Tensor:
        """An image as `forward` takes it.

        Args:
            source: a path, a file's content, an array or a picture, see `InputSpec.load`.
            max_value: as for `InputSpec.load`.

        Returns:
            (1, C, size, size) float32, on the CPU; of `ten_crop` larger than the classifier's.

        Raises:
            ImageReadError: the file cannot be read.
            ValueError: the array is of another kind.
        """
        return self.inputs.load(source, max_value=max_value)

    def for_inference(self) -> Augmented:
        """A faster copy that gives the same answers, see `Classifier.for_inference`."""
        made = copy.copy(self)
        made._modules = dict(self._modules)  # the copy's own list of parts
        made._classifier = cast("Any", self._classifier).for_inference()
        return made

    @property
    def classifier(self) -> Predictor:
        """The classifier, as it was given."""
        return cast("Predictor", self._classifier)

    @property
    def space(self) -> LabelSpace:
        """The classifier's label space."""
        return self.classifier.space

    @property
    def pathologies(self) -> tuple[str, ...]:
        """The findings, in the order of the answers."""
        return self.space.labels

    @property
    def trained(self) -> Tensor:
        """(L,) bool, as the classifier's."""
        return self.classifier.trained

    @property
    def operating_points(self) -> Tensor:
        """(L,) float32, as the classifier's."""
        return self.classifier.operating_points

    @property
    def calibrated(self) -> Tensor:
        """(L,) bool, for which findings the classifier's 0.5 is an operating point."""
        return calibrated_findings(self.classifier)

    @property
    def card(self) -> Card:
        """The classifier's card."""
        return cast("Card", cast("Any", self.classifier).card)

    def extra_repr(self) -> str:
        """What stands in the repr beside the classifier."""
        size = "any size" if self.inputs.size is None else f"{self.inputs.size} x {self.inputs.size}"
        return f"mean of {self.count} views of images of {size}"

    def _mean(self, ask: Callable[[Tensor], Tensor], images: Tensor, idx: Tensor | None) -> Tensor:
        """(B, L), never more than `batch_size` views at once."""
        images = self.inputs.fit(images).float()
        numbers = torch.zeros(len(images), dtype=torch.int64) if idx is None else idx
        seeds = image_seeds(numbers, seed=self.seed)
        if len(seeds) != len(images):
            msg = f"idx: expected {len(images)} integers, one for each image, got {len(seeds)}."
            raise ValueError(msg)
        views = self._views(images.shape[-1])
        few = max(1, self.batch_size // self.count)  # images whose views fit
        means = []
        for some, own in zip(torch.split(images, few), torch.split(seeds, few), strict=True):
            made = _all_channels(views, some, own)
            answers = torch.cat([ask(part) for part in torch.split(made.flatten(0, 1), self.batch_size)])
            means.append(answers.view(*made.shape[:2], answers.shape[1]).mean(1))
        return torch.cat(means)


def tta(
    classifier: Predictor, n: int = 10, *, seed: int = 0, include_original: bool = False, batch_size: int = 32
) -> Augmented:
    """Test-time augmentation as in Pham 2019: the mean over random views of each image.

    Each view is mirrored, or turned by up to 7°, or scaled by up to 2 %, or sheared by up to 5 pixels: see
    `xrdatasets.transforms.pham_views`.

    Args:
        classifier: a classifier, or an ensemble.
        n: views of each image, at least 1.
        seed: of what is drawn. The same seed, image and `idx` give the same answer.
        include_original: take the mean over the image as it is, too; the paper does not.
        batch_size: views that the classifier is given at once.

    Returns:
        The classifier with augmentation, called as the classifier is.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Pham et al., "Interpreting chest X-rays via CNNs that exploit disease dependencies and uncertainty
        labels", arXiv 1911.06475.

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> classifier = Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=InputSpec(size=32))
        >>> tta(classifier, n=4)(torch.zeros(3, 1, 32, 32)).shape
        torch.Size([3, 2])
    """
    check_predictor("classifier", classifier)
    check_count("n", n, least=1)
    inputs = classifier.inputs
    views = partial(_pham, n=n, original=bool(include_original), inputs=inputs)
    return Augmented(
        classifier, views, inputs=inputs, count=n + bool(include_original), seed=seed, batch_size=batch_size
    )


def ten_crop(classifier: Predictor, *, resize: int | None = None, batch_size: int = 32) -> Augmented:
    """Ten-crop as in Luo 2020: the mean over the four corners, the centre, and the mirror image of each.

    It takes larger images than the classifier, so that there is something to crop: `Augmented.preprocess`
    makes them, and images of another size are resized, with a warning.

    Args:
        classifier: a classifier, or an ensemble, of a fixed size of images.
        resize: rows and columns of the images that it takes; None for 256/224 of the classifier's, as
            Krizhevsky 2012 does (Luo 2020 does not say): 366 for 320.
        batch_size: crops that the classifier is given at once.

    Returns:
        The classifier with augmentation, called as the classifier is.

    Raises:
        ValueError: an argument is none of the above, `resize` is smaller than the classifier's images, or
            these may be of any size.

    Source:
        Luo et al., "Deep mining external imperfect data for chest X-ray disease screening", IEEE TMI 39(11),
        2020, its rows "w/ TenCrop".

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> classifier = Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=InputSpec(size=320))
        >>> crops = ten_crop(classifier)
        >>> crops.inputs.size, crops(torch.zeros(1, 1, 366, 366)).shape
        (366, torch.Size([1, 2]))
    """
    check_predictor("classifier", classifier)
    size = classifier.inputs.size
    if size is None:
        msg = "classifier: expected one of a fixed size of images, got one of any size: ten crops of what?"
        raise ValueError(msg)
    larger = round(size * _RATIO) if resize is None else resize
    check_count("resize", larger, least=size)
    inputs = dataclasses.replace(classifier.inputs, size=larger)
    return Augmented(classifier, partial(_crops, size=size), inputs=inputs, count=10, batch_size=batch_size)


def _pham(width: int, *, n: int, original: bool, inputs: InputSpec) -> BatchTransform:
    return pham_views(n, original=original, width=width, intensity=inputs.intensity)


def _crops(width: int, *, size: int) -> BatchTransform:
    return TenCrop(size)


def _all_channels(views: BatchTransform, images: Tensor, seeds: Tensor) -> Tensor:
    """(B, n, C, h, w): transforms take one channel, so channels go as images with the same seed."""
    batch, channels = images.shape[:2]
    alone = images.reshape(batch * channels, 1, *images.shape[2:])
    made: Tensor = views(alone, seeds=seeds.repeat_interleave(channels))
    return made.view(batch, channels, made.shape[1], *made.shape[3:]).movedim(1, 2)
