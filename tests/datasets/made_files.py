"""Small data sets in each of the standard formats, written byte by byte as the originals are."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
from scipy.io import savemat


def images_and_labels(
    n: int, shape: tuple[int, ...], n_classes: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Random bytes ``(n, *shape)`` and labels ``(n,)`` int32."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (n, *shape), dtype=np.uint8)
    return images, generator.integers(0, n_classes, n).astype(np.int32)


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, stem: str, images: np.ndarray, labels: np.ndarray) -> None:
    """One split, images compressed and labels plain."""
    folder.mkdir(exist_ok=True)
    content = gzip.compress(idx_bytes(images[..., 0]))
    (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(content)
    (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


def planes(images: np.ndarray) -> np.ndarray:
    """``(n, 32, 32, 3)`` → ``(n, 3072)``: all of red, then green, then blue, as CIFAR has it."""
    return np.stack([images[..., channel].reshape(len(images), -1) for channel in range(3)], 1)


def cifar_pickle(images: np.ndarray, labels: np.ndarray, label_key: str) -> bytes:
    """As Python 3's pickle writes it (protocol 2) with the originals' keys, bytes."""
    pixels = planes(images).reshape(len(images), -1)
    content = {b"data": pixels, label_key.encode(): labels.tolist(), b"batch_label": b"made"}
    return pickle.dumps(content, protocol=2)


def python2_cifar_pickle(images: np.ndarray, labels: np.ndarray, label_key: str) -> bytes:
    """Opcode by opcode as cPickle of Python 2 wrote it: str keys, the array's bytes a str."""
    pixels = planes(images).tobytes()
    n = len(images)
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + 2 * b"J\xff\xff\xff\xff"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + (b"K" + bytes([n]) + b"M" + struct.pack("<H", 3072) + b"\x86")
        + (dtype + b"K\x00tb\x89T" + struct.pack("<i", len(pixels)) + pixels + b"tb")
    )
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    key = b"U" + bytes([len(label_key)]) + label_key.encode()
    return b"\x80\x02}(U\x04data" + array + key + listed + b"u."


def cifar_binary(images: np.ndarray, *label_columns: np.ndarray) -> bytes:
    pixels = planes(images).reshape(len(images), -1)
    columns = [column.astype(np.uint8)[:, None] for column in label_columns]
    return np.hstack([*columns, pixels]).tobytes()


def write_svhn(folder: Path, stem: str, images: np.ndarray, labels: np.ndarray) -> None:
    """One split; the digit 0 is written as 10."""
    folder.mkdir(exist_ok=True)
    written = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    content = {"X": images.transpose(1, 2, 3, 0), "y": written}
    savemat(folder / f"{stem}_32x32.mat", content, do_compression=True)
