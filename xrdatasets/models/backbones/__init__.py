"""Backbones: images to feature maps, and those to one vector."""
