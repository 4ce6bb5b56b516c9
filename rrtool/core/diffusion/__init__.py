"""Nearest neighbours, their graph, and diffusion on it (thesis §2.4)."""
