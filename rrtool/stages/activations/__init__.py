"""A network over a collection: what all stages on activations share."""
