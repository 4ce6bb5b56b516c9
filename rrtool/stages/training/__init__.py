"""Training a network for retrieval (thesis §4.5)."""
