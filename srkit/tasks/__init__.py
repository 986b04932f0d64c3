"""The Python interface: a package or module per command."""
