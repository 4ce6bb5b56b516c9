"""saliency, centrality, discover (thesis ch. 5)."""
