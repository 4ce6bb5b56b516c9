"""Training of a network on few labels, on pseudo-labels, or on none (thesis ch. 3)."""
