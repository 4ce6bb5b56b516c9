"""Image sets in memory: standard files, and folders of photos."""

from rrtool.datasets.dataset import Dataset
from rrtool.datasets.load import load_dataset

__all__ = ["Dataset", "load_dataset"]
