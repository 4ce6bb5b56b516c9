"""Nearest neighbours that are found without looking at all vectors."""
