"""extract, search, whiten, reduce-regions (thesis ch. 2)."""
