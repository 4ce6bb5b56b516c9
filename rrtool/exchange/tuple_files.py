"""Tuple files of Radenović et al. (``retrieval-SfM-30k.pkl``, ``retrieval-SfM-120k.pkl``).

A pickle of ``{"train": …, "val": …}``, and in each: ``cids``, the images; ``cluster``, of each the
3D model that it is of; ``qidxs`` and ``pidxs``, query and positive of each pair, as places in
``cids``. The image ``c`` is the file ``c[-2:]/c[-4:-2]/c[-6:-4]/c``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.errors import UsageError
from rrtool.exchange.names import require_names
from rrtool.ground_truth.names import first_few
from rrtool.ground_truth.restricted_pickle import load_restricted

# The name of a file, long enough for its folders.
_CID = re.compile(r"[^/\0]{6,255}")


@dataclass(frozen=True)
class TupleFile:
    """A split of a tuple file.

    Attributes:
        names: of the images, with their folders.
        groups: ``(n,)`` int32, numbered as they come.
        pairs: ``(p, 2)`` int32 rows, query and positive, of one group each.
    """

    names: list[str]
    groups: np.ndarray
    pairs: np.ndarray


def read_tuple_file(path: str, split: str) -> TupleFile:
    """The images and pairs of one split.

    Raises:
        UsageError: it cannot be read, or is no such file.
    """
    content = load_restricted(Path(path))
    if not isinstance(content, dict) or not isinstance(content.get(split), dict):
        found = first_few([*map(str, content)]) if isinstance(content, dict) else "another pickle"
        raise UsageError("no such split", where=path, expected=f"'{split}'", found=found or "none")
    entries = content[split]
    cids = _list(entries, "cids", path)
    for cid in cids:
        if not isinstance(cid, str) or not _CID.fullmatch(cid) or cid.endswith(".."):
            raise UsageError(
                "cids that are no names of files", where=path, expected="six letters or more",
                found=f"'{cid}'",
            )  # fmt: skip
    names = [f"{cid[-2:]}/{cid[-4:-2]}/{cid[-6:-4]}/{cid}" for cid in cids]
    require_names(names, path)
    clusters = _numbers(entries, "cluster", path)
    if len(clusters) != len(cids):
        raise _other_length("cluster", len(cids), len(clusters), path)
    queries, positives = (_numbers(entries, key, path) for key in ("qidxs", "pidxs"))
    if len(queries) != len(positives):
        raise _other_length("pidxs", len(queries), len(positives), path)
    pairs = np.stack([queries, positives], axis=1)
    _require_pairs(pairs, clusters, path)
    _, first, groups = np.unique(clusters, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return TupleFile(names, order[groups].astype(np.int32), pairs.astype(np.int32))


def _list(entries: Mapping[Any, Any], key: str, path: str) -> list[Any]:
    values = entries.get(key)
    if not isinstance(values, list) or not values:
        found = "none" if values is None or values == [] else type(values).__name__
        raise UsageError(f"no {key}", where=path, expected="a list", found=found)
    return values


def _numbers(entries: Mapping[Any, Any], key: str, path: str) -> np.ndarray:
    """``(m,)`` int64."""
    values = _list(entries, key, path)
    bad = [value for value in values if not _is_whole(value)]
    if bad:
        raise UsageError(
            f"{key} that are no numbers", where=path, expected="whole ones", found=repr(bad[0])
        )
    return np.array([int(value) for value in values], dtype=np.int64)


def _is_whole(value: object) -> bool:
    """Whether it is a number without a fraction, of an index's size; NaN and infinity are not."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and value == value
        and abs(value) < 2**62
        and int(value) == value
    )


def _other_length(key: str, expected: int, found: int, path: str) -> UsageError:
    return UsageError(f"{key} of another length", where=path, expected=expected, found=found)


def _require_pairs(pairs: np.ndarray, clusters: np.ndarray, path: str) -> None:
    """Pairs are of two different images of one cluster."""
    n = len(clusters)
    strange = (pairs < 0).any(axis=1) | (pairs >= n).any(axis=1)
    if strange.any():
        found = pairs[strange][0].tolist()
        raise UsageError(
            "a pair of images that are not in cids", where=path, expected=f"0 to {n - 1}",
            found=found,
        )  # fmt: skip
    same = pairs[:, 0] == pairs[:, 1]
    wrong = same | (clusters[pairs[:, 0]] != clusters[pairs[:, 1]])
    if wrong.any():
        what = "of an image with itself" if same[wrong][0] else "of two clusters"
        raise UsageError(f"a pair {what}", where=path, found=pairs[wrong][0].tolist())
