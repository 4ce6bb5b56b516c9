"""What an artifact's HDF5 file may consist of: groups, and datasets of plain numbers stored in it.

HDF5 knows links into other files, data that lies in other files, filters that are loaded as
plug-ins, types that refer to anything, and datasets of which nothing is stored, however large. No
artifact has any of them: a file that does was made to read or to run what it should not, or to
fill the memory, and is refused before any data is read.
"""

import math
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5z

from rrtool.errors import NoArtifact

# How many times what is stored a filter can make of it, at most.
_EXPANSION = {h5z.FILTER_SHUFFLE: 1, h5z.FILTER_FLETCHER32: 1, h5z.FILTER_LZF: 88,
              h5z.FILTER_DEFLATE: 1032}  # fmt: skip
_LARGEST_EMPTY = 1 << 20  # an axis of a dataset that has no values


def plain_datasets(path: str, file: h5py.File, length: int) -> dict[str, h5py.Dataset]:
    """All datasets by name, sorted.

    Args:
        path: for the message.
        length: of the file, bytes.

    Raises:
        NoArtifact: there is something in the file that artifacts do not have.
    """
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise NoArtifact("no artifact has lengths of such a size", where=path)
    datasets: dict[str, h5py.Dataset] = {}
    for name, found in _objects(file.id):
        if isinstance(found, h5d.DatasetID):
            wrong = _wrong_storage(found, length)
            if not wrong:
                datasets[name] = h5py.Dataset(found)
        else:
            wrong = found
        if wrong:
            raise NoArtifact(
                f"no artifact has {wrong}",
                where=path,
                expected="plain numbers that the file holds",
                found=name,
                todo="do not use this file",
            )
    return dict(sorted(datasets.items()))


def plain_attributes(file: h5py.File) -> dict[str, Any]:
    """The root's attributes that are a text or a number, and the types of the others.

    Those may be of any size, or refer to anything.
    """
    found: dict[str, Any] = {}
    for place in range(h5a.get_num_attrs(file.id)):
        header = h5a.open(file.id, index=place)
        name, dtype = header.name.decode("utf-8", "surrogateescape"), header.dtype
        text = h5py.check_string_dtype(dtype)
        if header.shape != () or not (text or dtype.kind in "biu"):
            found[name] = dtype
            continue
        value = np.empty((), dtype)
        header.read(value)
        is_text = text is not None and text.length is None
        found[name] = value.item().decode("utf-8", "surrogateescape") if is_text else value.item()
    return found


def _objects(root: h5g.GroupID) -> Iterator[tuple[str, h5d.DatasetID | str]]:
    """Every dataset with its name, or in words what else is there."""
    seen = {h5o.get_info(root).addr}
    groups = [(b"", root)]
    while groups:
        prefix, group = groups.pop()
        for link, link_type in _links(group):
            name = prefix + link
            shown = name.decode("utf-8", "surrogateescape")
            if link_type != h5l.TYPE_HARD:
                yield shown, "a link to elsewhere"
                continue
            address, item = h5o.get_info(group, link).addr, h5o.open(group, link)
            if address in seen:
                yield shown, "two names for one thing"
            elif isinstance(item, h5g.GroupID):
                groups.append((name + b"/", item))
            else:
                yield shown, item if isinstance(item, h5d.DatasetID) else "a type of its own"
            seen.add(address)


def _links(group: h5g.GroupID) -> list[tuple[bytes, int]]:
    found: list[tuple[bytes, int]] = []
    # What the function returns ends the iteration, unless it is None.
    group.links.iterate(lambda name, info: found.append((name, info.type)), info=True)
    return found


def _wrong_storage(dataset: h5d.DatasetID, length: int) -> str:
    """In words, what is wrong with how a dataset is stored; empty if nothing is."""
    made = dataset.get_create_plist()
    # The layout before anything else: asking for the shape of a virtual dataset opens its sources.
    layout = made.get_layout()
    if layout not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED) or made.get_external_count():
        return "data in another file"
    filters = [made.get_filter(place)[0] for place in range(made.get_nfilters())]
    if not set(filters) <= _EXPANSION.keys():
        return "data behind such a filter"
    if dataset.dtype.kind not in "iuf":
        return "values of such a type"
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if not size:
        return "such a length" if max(dataset.shape, default=0) > _LARGEST_EMPTY else ""
    if layout == h5d.COMPACT:
        is_stored = size <= dataset.get_storage_size()
    elif layout == h5d.CONTIGUOUS:
        start = dataset.get_offset()
        is_stored = start is not None and start + size <= length
    else:
        grid = [-(-n // step) for n, step in zip(dataset.shape, made.get_chunk(), strict=True)]
        unpacked = math.prod(grid) * math.prod(made.get_chunk()) * dataset.dtype.itemsize
        largest = length * math.prod(map(_EXPANSION.__getitem__, filters))
        is_stored = unpacked <= largest and dataset.get_num_chunks() == math.prod(grid)
    return "" if is_stored else "data of which nothing is stored"
