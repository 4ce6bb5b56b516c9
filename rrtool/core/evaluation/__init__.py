"""Average precision and the protocols (thesis §2.5)."""
