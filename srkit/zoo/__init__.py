"""Weights: the manifest of what is shipped, our own files with their headers, and anyone's checkpoints."""
