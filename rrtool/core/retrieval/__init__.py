"""Descriptors, search, expansion, whitening (thesis ch. 2)."""
