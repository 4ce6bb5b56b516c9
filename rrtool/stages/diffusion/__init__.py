"""build-graph, diffuse (thesis §2.4)."""
