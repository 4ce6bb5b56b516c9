"""Training of networks: on few labels, pseudo-labels or none (thesis ch. 3), for retrieval."""
