"""Pages of what was learnt, epoch by epoch."""
