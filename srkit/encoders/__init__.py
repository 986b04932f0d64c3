"""Frozen feature networks: perceptual, semantic, text, depth."""
