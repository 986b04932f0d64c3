"""The Python interface: one module for each command, with `run(recipe, progress) -> result`."""
