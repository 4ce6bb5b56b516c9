"""Re-ranking by common neighbours: by descriptors, or by rankings alone."""
