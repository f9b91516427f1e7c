"""Weights: classifiers in files, by name, and from what others published."""
