"""Training a network for retrieval: siamese, on tuples of images (thesis §4.5)."""
