"""Everything that is wanted of a photo, from one pass of the network."""
