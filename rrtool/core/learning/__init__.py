"""Acquisition, label propagation, clustering (thesis ch. 3)."""
