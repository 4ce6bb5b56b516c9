"""HTML pages that show what a ranking found and why."""
