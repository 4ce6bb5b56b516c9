"""Boxes in the forms of other programs."""
