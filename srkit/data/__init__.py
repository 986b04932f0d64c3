"""Data for training and evaluation: folders, pairs, crops."""
