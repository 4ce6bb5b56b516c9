"""The HDF5 files of hloc: a group an image, or a pair of images, called by its name.

Features: ``<name>/global_descriptor`` of one descriptor an image, ``<name>/keypoints`` (x, y in
pixels, pixel centres at integers) and ``<name>/scores`` of local ones, ``<name>/image_size``
(width, height). Matches: ``<name>/<other name>/matches0`` (of each keypoint of the first image that
of the second, or −1) and ``matching_scores0``, with ``-`` for each ``/`` in the names.
"""

import io
from collections.abc import Iterable, Mapping, Sequence

import h5py
import numpy as np

from rrtool.artifacts.verified import VerifiedFile
from rrtool.errors import ArtifactError, UsageError

_VECTOR, _SIZE = "/global_descriptor", "/image_size"
_EXPECTED = "a group an image with its global_descriptor"
# From the names of images, or of pairs of them, to what their groups hold.
Groups = Iterable[tuple[str, Mapping[str, np.ndarray]]]


def read_hloc(path: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The global descriptors of a file of hloc's.

    Returns:
        The names of their images, sorted; the descriptors ``(n, d)``; and ``(n, 2)`` int32, width
        and height of each image in pixels, 0 where they are not known.

    Raises:
        UsageError: it cannot be read, is damaged, or has no global descriptors, or others than
            vectors of one length.
    """
    try:
        with VerifiedFile(path) as file:
            return _read(file)
    except ArtifactError as error:
        # It is no artifact: whatever is wrong with it, the file that was given is.
        raise UsageError(
            error.what, where=path, expected=error.expected or _EXPECTED, found=error.found
        ) from None


def _read(file: VerifiedFile) -> tuple[list[str], np.ndarray, np.ndarray]:
    if "kind" in file.attributes and "format_version" in file.attributes:
        raise UsageError("this is an artifact already", where=file.path, expected=_EXPECTED)
    names = [name.removesuffix(_VECTOR) for name in file.datasets if name.endswith(_VECTOR)]
    if not names:
        found = ", ".join(list(file.datasets)[:3]) or "no dataset"
        raise UsageError(
            "no global descriptors of hloc", where=file.path, expected=_EXPECTED, found=found
        )
    rows = [file.read(name + _VECTOR).ravel() for name in names]
    for name, row in zip(names, rows, strict=True):
        if len(row) != len(rows[0]):
            raise UsageError(
                "the descriptors are not of one length", where=f"{file.path}, {name}",
                expected=len(rows[0]), found=len(row),
            )  # fmt: skip
    return names, np.stack(rows), _image_sizes(file, names)


def _image_sizes(file: VerifiedFile, names: Sequence[str]) -> np.ndarray:
    sizes = np.zeros((len(names), 2), dtype=np.int32)
    for row, name in enumerate(names):
        if name + _SIZE in file.datasets:
            size = file.read(name + _SIZE).ravel()
            if size.shape == (2,) and (size > 0).all() and (size < np.iinfo(np.int32).max).all():
                sizes[row] = size
    return sizes


def hloc_bytes(groups: Groups) -> bytes:
    """A file of hloc's.

    Raises:
        UsageError: HDF5 cannot hold a group of this name, or two would be one.
    """
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest") as file:
        for name, datasets in groups:
            _require_path(name)
            if name in file and not _is_part_of_others(file[name]):
                raise UsageError("two groups of hloc's file would have one name", found=name)
            group = file.require_group(name)
            for dataset, values in datasets.items():
                group.create_dataset(dataset, data=values)
    return content.getvalue()


def _is_part_of_others(found: object) -> bool:
    """Whether it is only the folder of other names."""
    return isinstance(found, h5py.Group) and not any(
        isinstance(each, h5py.Dataset) for each in found.values()
    )


def _require_path(name: str) -> None:
    is_utf8 = not any("\ud800" <= character <= "\udfff" for character in name)
    if not is_utf8 or any(part in ("", ".") for part in name.split("/")):
        what, expected = "HDF5 cannot hold a group of this name", "UTF-8, single slashes"
        raise UsageError(what, expected=expected, found=f"'{name}'")
