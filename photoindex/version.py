"""Which version of photoindex this is; the package is built from this line."""

__version__ = "0.1.0"
