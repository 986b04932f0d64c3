"""Upscale images (`srkit upscale`)."""
