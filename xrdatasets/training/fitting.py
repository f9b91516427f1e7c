"""Training: a plain loop over tensors in memory, for examples and measurements.

No trainer: no validation, no checkpoints, one device. It is there so that a network can be trained and
scored in two calls, the same way each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from xrdatasets.models.heads.base import check_count
from xrdatasets.training.losses import masked_bce_with_logits
from xrdatasets.training.weights import check_targets

__all__ = ["fit", "predict_scores"]


def fit(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    epochs: int,
    batch_size: int = 64,
    learning_rate: float = 4e-3,
    seed: int = 0,
    augment: Callable[[Tensor], Tensor] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train a network on images and targets in memory.

    AdamW (Loshchilov & Hutter, ICLR 2019; torch's weight decay, 0.01) with one cycle of the learning rate
    (Smith & Topin, arXiv 1708.07120), and `masked_bce_with_logits` with its default reduction.

    Args:
        model: from (B, 1, H, W) float32 to (B, L) logits; it is trained where its parameters are, and is
            left in the mode (training or evaluation) in which it came.
        images: (N, 1, H, W) float32 as the model takes them, or uint8, of which each batch is brought to
            -1024 to 1024 as `xrdatasets.normalize` does. Any device; batches are moved to the model's.
        targets: (N, L) in [0, 1], NaN unknown.
        epochs: how often each image is seen, at least 1.
        batch_size: images in a batch, at most; the batches of an epoch differ by one image at most, so that
            none is left with one or two.
        learning_rate: the highest of the cycle.
        seed: of the order of the images, and of what the model (dropout) and `augment` draw from torch's own
            generators, of the processor and of the model's GPU; these are put back afterwards. The first
            weights are the caller's: ``torch.manual_seed`` before the model is made. Without a GPU, the same
            arguments, torch and number of threads give the same bits.
        augment: called with each batch, (B, 1, H, W) float32 on the model's device; gives one like it.
        progress: called after each epoch with its number, from 1, and its mean loss.

    Returns:
        The mean loss of each epoch, over the targets that are known.

    Raises:
        ValueError: an argument is none of the above; no target is known; the model has no parameters.

    Example:
        >>> import torch
        >>> from xrdatasets.models import Mini, Network
        >>> images = torch.zeros(8, 1, 16, 16, dtype=torch.uint8)
        >>> images[4:] = 255
        >>> targets = torch.tensor([[0.0]] * 4 + [[1.0]] * 4)
        >>> losses = fit(Network(Mini(width=4), 1), images, targets, epochs=5, batch_size=4)
        >>> len(losses), losses[-1] < losses[0]
        (5, True)
    """
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        check_count(name, value, least=least)
    _check_rate(learning_rate)
    _check_images(images)
    _check_known(targets, images)
    device = _device(model)
    batches = -(-len(images) // batch_size)
    optimizer = AdamW((p for p in model.parameters() if p.requires_grad), lr=learning_rate)
    # of one step alone torch cannot make a cycle
    schedule = OneCycleLR(optimizer, max_lr=learning_rate, total_steps=max(2, epochs * batches))
    order = torch.Generator().manual_seed(seed)
    losses = []
    with _mode(model, training=True), _seeded(seed, device):
        for epoch in range(1, epochs + 1):
            total, known = torch.zeros(2, device=device)  # read once, at the end
            for rows in torch.randperm(len(images), generator=order).tensor_split(batches):
                batch, wanted = _images(images, rows, device), _rows(targets, rows, device)
                logits = model(batch if augment is None else augment(batch))
                loss = masked_bce_with_logits(logits, wanted)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                count = (~wanted.isnan()).sum()
                total, known = total + loss.detach() * count, known + count
            losses.append(float(total / known))
            if progress is not None:
                progress(epoch, losses[-1])
    return losses


def predict_scores(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Probabilities of a network for images in memory.

    Args:
        model: from (B, 1, H, W) float32 to (B, L) logits; it is put in evaluation mode meanwhile, so that the
            scores of an image do not depend on its neighbours.
        images: (N, 1, H, W) as for `fit`.
        batch_size: images at a time.

    Returns:
        (N, L) float32 in [0, 1], on the processor.

    Raises:
        ValueError: an argument is none of the above; the model has no parameters.

    Example:
        >>> import torch
        >>> from xrdatasets.models import Network
        >>> scores = predict_scores(Network("mini", 3), torch.zeros(5, 1, 32, 32))
        >>> scores.shape, scores.dtype
        (torch.Size([5, 3]), torch.float32)
    """
    check_count("batch_size", batch_size, least=1)
    _check_images(images)
    device = _device(model)
    with _mode(model, training=False), torch.inference_mode():
        parts = [
            model(_images(images, rows, device)).float().sigmoid().cpu()
            for rows in torch.split(torch.arange(len(images)), batch_size)
        ]
    return torch.cat(parts)


def _rows(values: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    return values[rows.to(values.device)].to(device)


def _images(images: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """The rows as (B, 1, H, W) float32; what is stored as bytes on the scale of `normalize`."""
    batch = _rows(images, rows, device)
    # the constants of xrdatasets.images.intensity.rescale, exact in float32
    return batch.float().sub_(255 / 2).div_(255 / 2048) if batch.dtype == torch.uint8 else batch


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """All parts of the model in one mode; afterwards each has its own again."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's own generators; afterwards they are as they were."""
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def _device(model: object) -> torch.device:
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if first is None:
        msg = f"model: expected a torch module with parameters, got {type(model).__name__}."
        raise ValueError(msg)
    return first.device


def _check_rate(rate: object) -> None:
    if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not 0 < rate < float("inf"):
        msg = f"learning_rate: expected a finite number above 0, got {rate!r}."
        raise ValueError(msg)


def _check_images(images: object) -> None:
    if not isinstance(images, Tensor) or images.dtype not in (torch.uint8, torch.float32):
        msg = f"images: expected uint8 or float32, got {getattr(images, 'dtype', type(images).__name__)}."
        raise ValueError(msg)
    if images.ndim != 4 or images.shape[1] != 1 or not images.numel():
        msg = f"images: expected the shape (N, 1, H, W), none of them 0, got {tuple(images.shape)}."
        raise ValueError(msg)


def _check_known(targets: Tensor, images: Tensor) -> None:
    check_targets(targets)
    if len(targets) != len(images):
        msg = f"targets: expected {len(images)} rows, one for each image, got {len(targets)}."
        raise ValueError(msg)
    if targets.isnan().all():
        raise ValueError("targets: expected a known one, got none.")
