"""Frozen networks that give features: perceptual, semantic, depth."""
