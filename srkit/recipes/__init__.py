"""Recipes: frozen dataclasses and the shipped TOML files. No torch here."""
