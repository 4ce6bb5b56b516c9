"""evaluate (thesis §2.5, §5.4.2)."""
