"""Stateless tensor mathematics: resizing, colour, padding."""
