"""Writing artifacts: locked, in parts that survive a kill, published at once."""
