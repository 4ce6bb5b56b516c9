"""detect-local, rerank (thesis ch. 4)."""
