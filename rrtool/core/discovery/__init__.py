"""Saliency, regions, centrality, objects (thesis ch. 5)."""
