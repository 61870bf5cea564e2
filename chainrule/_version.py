"""The version of the package, in the one place that both Python and the build read."""

__version__ = "0.1.0"
