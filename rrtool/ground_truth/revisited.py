"""Benchmarks with query boxes: revisited Oxford and Paris (Radenović et al., CVPR 2018), INSTRE.

Both come as one file of gallery names, query names and, for each query, its box and lists of
gallery images: easy, hard and junk, or, for INSTRE (split by Iscen et al., CVPR 2017), ok alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth.names import Box, described, find_queries, restrict, rows_of_entries
from rrtool.ground_truth.restricted_pickle import load_restricted

PROTOCOL, INSTRE = "revisited", "instre"
# Setup: (lists that are positive, lists that are junk).
_SETUPS: dict[str, dict[str, tuple[Sequence[str], Sequence[str]]]] = {
    PROTOCOL: {
        "easy": (("easy",), ("junk", "hard")),
        "medium": (("easy", "hard"), ("junk",)),
        "hard": (("hard",), ("junk", "easy")),
    },
    INSTRE: {"all": (("ok",), ())},
}
_RULES = {
    PROTOCOL: (
        "easy: easy; medium: easy + hard; hard: hard",
        "easy: junk + hard; medium: junk; hard: junk + easy; and ",
    ),
    INSTRE: ("ok", ""),
}


@dataclass(frozen=True)
class RevisitedQuery:
    """One query: its image, its box in pixels, and its lists as indices of the gallery names."""

    name: str
    box: Box
    lists: dict[str, list[int]]

    def joined(self, keys: Sequence[str]) -> list[int]:
        return [index for key in keys for index in self.lists[key]]


@dataclass(frozen=True)
class Revisited:
    """A benchmark as it was read; names of the revisited ones have no folder or extension.

    Attributes:
        source: path of the file.
        gallery: names of the benchmark's own database images.
        queries: its queries, none of which is in the gallery.
        protocol: ``PROTOCOL`` or ``INSTRE``.
    """

    source: str
    gallery: list[str]
    queries: list[RevisitedQuery]
    protocol: str = PROTOCOL

    def resolve(
        self,
        query_names: Sequence[str],
        database_names: Sequence[str],
        query_boxes: Sequence[object] | None = None,
    ) -> dict[str, Sequence[QueryGroundTruth]]:
        """The ground truth in the setups `easy`, `medium` and `hard`, or `all` of INSTRE.

        Queries and database may be a part of the benchmark's, and the database may hold other
        images, which are distractors. A query image in the database is junk to every query: the
        gallery leaves those out, so the scores are the ones without it.

        Raises:
            UsageError: a query is none of the benchmark's, the database holds nothing of its
                gallery, or two images match one name.
        """
        by_name = {query.name: query for query in self.queries}
        queries = find_queries(by_name, query_names, where=self.source)
        query_images = sorted(set(by_name) - set(self.gallery))
        rows = rows_of_entries(self.gallery + query_images, database_names, where=self.source)
        aside = range(len(self.gallery), len(rows))

        def of_setup(positive: Sequence[str], junk: Sequence[str]) -> list[QueryGroundTruth]:
            return [
                restrict(rows, query.joined(positive), [*query.joined(junk), *aside])
                for query in queries
            ]

        return {setup: of_setup(*lists) for setup, lists in _SETUPS[self.protocol].items()}

    def describe(self) -> dict[str, str]:
        positives, junk = _RULES[self.protocol]
        junk += "the benchmark's query images, where the database holds them"
        return described(self.protocol, self.source, positives, junk)


def load_revisited(source: str) -> Revisited:
    """Reads a `gnd_*.pkl` file, running none of it, or a `gnd_*.mat` file.

    Lists named `ok` make it INSTRE's.

    Raises:
        UsageError: the file is no such one, or its contents do not fit together.
    """
    path = Path(source)
    if path.suffix.lower() == ".mat":
        from rrtool.ground_truth.matlab import load_matlab  # scipy.io takes its time to import

        content = load_matlab(path)
    else:
        content = load_restricted(path)
    gallery = _strings(content, "imlist", source)
    names = _strings(content, "qimlist", source)
    entries = content.get("gnd")
    if not isinstance(entries, list) or len(entries) != len(names):
        found = f"{len(entries)}" if isinstance(entries, list) else type(entries).__name__
        raise _misfit(source, "'gnd'", f"a list of {len(names)}, as qimlist", found)
    is_instre = bool(entries) and isinstance(entries[0], dict) and "ok" in entries[0]
    keys = ("ok",) if is_instre else ("easy", "hard", "junk")
    queries = [
        _query(name, entry, keys, len(gallery), f"{source}, gnd[{i}]")
        for i, (name, entry) in enumerate(zip(names, entries, strict=True))
    ]
    return Revisited(source, gallery, queries, INSTRE if is_instre else PROTOCOL)


def _query(
    name: str, entry: Any, keys: Sequence[str], n_gallery: int, where: str
) -> RevisitedQuery:
    if not isinstance(entry, dict):
        raise _misfit(where, "the entry", "a dict", type(entry).__name__)
    lists = {key: _indices(entry, key, n_gallery, where) for key in keys}
    return RevisitedQuery(name, _box(entry.get("bbx"), where), lists)


def _indices(entry: dict, key: str, n_gallery: int, where: str) -> list[int]:
    values = entry.get(key)
    if not isinstance(values, list):
        found = f"the lists {', '.join(map(str, entry))}" if values is None else repr(values)
        raise _misfit(where, f"'{key}'", "a list", found)
    wrong = [value for value in values if type(value) is not int or not 0 <= value < n_gallery]
    if wrong:
        raise _misfit(where, f"'{key}'", f"indices of imlist, 0 to {n_gallery - 1}", repr(wrong[0]))
    return values


def _box(values: Any, where: str) -> Box:
    numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not (numbers and len(values) == 4 and all(map(math.isfinite, values))):
        raise _misfit(where, "'bbx'", "x0, y0, x1, y1 in pixels", repr(values))
    x0, y0, x1, y1 = map(float, values)
    if x1 <= x0 or y1 <= y0:
        raise _misfit(where, "'bbx'", "x1 > x0 and y1 > y0", repr(values))
    return x0, y0, x1, y1


def _strings(content: Any, key: str, source: str) -> list[str]:
    values = content.get(key) if isinstance(content, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _misfit(source, f"'{key}'", "a list of image names", type(values).__name__)
    if len(set(values)) != len(values):
        raise _misfit(source, f"'{key}'", "each image name once", "a name twice")
    return values


def _misfit(where: str, what: str, expected: str, found: str) -> UsageError:
    text = f"{what} is not that of a revisited or INSTRE ground truth"
    return UsageError(text, where=where, expected=expected, found=found)
