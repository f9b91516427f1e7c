"""torchxrayvision's modules and names over these datasets: ``import xrdatasets.legacy as xrv``.

``xrv.datasets``, ``xrv.models`` and ``xrv.utils`` hold what existing scripts call; ``docs/migrating.md`` goes
through every difference. Baseline models and autoencoders are not here, and say so.
"""

from xrdatasets.legacy.absent import autoencoders, baseline_models, models
from xrdatasets.legacy.datasets import default_pathologies
from xrdatasets.legacy.utils import load_image

__all__ = ["autoencoders", "baseline_models", "default_pathologies", "load_image", "models"]
