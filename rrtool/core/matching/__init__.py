"""Local features in activation maps and their spatial matching (thesis ch. 4)."""
