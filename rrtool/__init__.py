"""rrtool: find the same object again in large photo collections, and learn from few labels."""

__version__ = "0.1.0"
