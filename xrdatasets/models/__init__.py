"""Models: networks from images to logits."""

from xrdatasets.models.mini import Mini

__all__ = ["Mini"]
