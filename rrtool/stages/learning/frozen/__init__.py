"""Learning on frozen features (few labels on real photos)."""
