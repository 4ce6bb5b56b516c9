"""Figures of the thesis, made from artifacts: one file a figure, or for figures that share it."""
