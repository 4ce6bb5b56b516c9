"""Stages on several descriptors an image (thesis §2.5, §5.4.4)."""
