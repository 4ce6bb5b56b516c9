"""Whether rrtool works here, and what killed runs have left."""
