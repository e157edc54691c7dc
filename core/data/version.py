"""The version of the program, as manifests and trained references record it."""

__version__ = "0.7.0"
