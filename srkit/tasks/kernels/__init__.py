"""Estimate the blur of images (`srkit estimate-kernel`)."""
