"""Models, step 4: where in an image a network sees a finding (Grad-CAM)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from xrdatasets.models.network import Network

__all__ = ["grad_cam"]


def grad_cam(network: Network, images: Tensor, column: int) -> Tensor:
    """What each place of the last feature maps adds to the logit of a finding.

    Each map is weighted by the mean gradient of the logit over it; the sum is cut at 0, brought to the size
    of the images and divided by its maximum.

    Args:
        network: in evaluation mode; its parameters gain no gradient.
        images: (B, C, H, W) as the network takes them.
        column: of the finding.

    Returns:
        (B, H, W) float32 from 0 to 1; all 0 where nothing speaks for the finding.

    Raises:
        ValueError: images of another shape or type.

    Source:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization",
        ICCV 2017, equations 1 and 2.

    Example:
        >>> network = Network("mini", 3).eval()
        >>> grad_cam(network, 500 * torch.randn(2, 1, 64, 48), 1).shape
        torch.Size([2, 64, 48])
    """
    # a caller's no_grad or inference_mode would leave nothing to derive
    with torch.inference_mode(mode=False), torch.enable_grad():
        maps = network.maps(images.clone()).detach().requires_grad_()
        logits = network.head.logits(network.head(network.backbone.pool(maps)))
        (gradient,) = torch.autograd.grad(logits[:, column].sum(), maps)
    with torch.no_grad():
        weights = gradient.mean((2, 3), keepdim=True)
        heat = (weights * maps).sum(1, keepdim=True).relu().float()
        heat = interpolate(heat, images.shape[2:], mode="bilinear")[:, 0]
        strongest = heat.amax((1, 2), keepdim=True)
        return torch.where(strongest > 0, heat / strongest, 0.0)
