"""Image sets in memory: standard files, and folders of photos."""

from rrtool.datasets.dataset import Dataset
from rrtool.datasets.load import is_standard, load_dataset

__all__ = ["Dataset", "is_standard", "load_dataset"]
