"""What of a collection shows the same thing, from the collection itself."""
