"""Metrics, each with the protocol that makes its values comparable."""
