"""Conditions of networks beside the image: their values, and the table of functions that make them."""
