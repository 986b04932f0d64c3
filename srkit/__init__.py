"""srkit: super-resolution that measures what it does. The Python interface is `srkit.tasks`."""

from srkit._version import __version__

__all__ = ["__version__"]
