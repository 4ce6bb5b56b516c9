"""Descriptors and rankings in the files of other programs (docs/formats.md)."""
