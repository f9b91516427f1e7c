"""Heads: one vector of an image to what is said of each finding."""
