"""Weights: the manifest of named models, files with headers, and foreign checkpoints."""
