"""What was mined of a collection, as a page."""
