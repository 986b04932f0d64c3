"""Metrics, each with the protocol that makes its number comparable."""
