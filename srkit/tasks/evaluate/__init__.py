"""Measure models (`srkit eval`)."""
