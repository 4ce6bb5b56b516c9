"""What is in an HDF5 file, and its digest."""

import hashlib

import h5py
import numpy as np

_BLOCK_ROWS = 1 << 16


def dataset_names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(
        lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return sorted(names)


def content_digest(file: h5py.File) -> str:
    """BLAKE2b-128 of the names, types, shapes and bytes of all datasets."""
    digest = hashlib.blake2b(digest_size=16)
    for name in dataset_names(file):
        dataset = file[name]
        digest.update(f"{name}\0{dataset.dtype.str}\0{dataset.shape}\0".encode())
        if dataset.ndim == 0:
            digest.update(np.ascontiguousarray(dataset[()]).tobytes())
            continue
        for start in range(0, dataset.shape[0], _BLOCK_ROWS):
            digest.update(np.ascontiguousarray(dataset[start : start + _BLOCK_ROWS]).data)
    return digest.hexdigest()
