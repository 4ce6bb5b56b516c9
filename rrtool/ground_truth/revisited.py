"""Benchmarks that come as one file: gallery names, query names, and lists of images per query.

Which rules such a file is for is told by what it holds for each query:

- `easy`, `hard`, `junk` and a box: revisited Oxford and Paris (Radenović et al., CVPR 2018);
- `ok`, `junk` and a box: classic Oxford5k and Paris6k (Philbin et al., CVPR 2007 and 2008), where
  junk is passed over;
- `ok` and a box: INSTRE (split by Iscen et al., CVPR 2017);
- `ok`, with or without `junk`, and no box: Holidays and Copydays (Jégou et al., ECCV 2008), where
  queries are whole images. As in the authors' own script, the query itself is passed over when
  the database holds it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth import oxford
from rrtool.ground_truth.matching import match_names
from rrtool.ground_truth.names import Box, described, find_queries, restrict, rows_of_entries
from rrtool.ground_truth.restricted_pickle import load_restricted

PROTOCOL, INSTRE, HOLIDAYS = "revisited", "instre", "holidays"


@dataclass(frozen=True)
class _Rules:
    """How the lists of a protocol are used.

    Attributes:
        setups: names of the setups, each with the lists that are positive and those that are junk.
        positives, junk: the same in words.
    """

    setups: Mapping[str, tuple[Sequence[str], Sequence[str]]]
    positives: str
    junk: str = ""


_REVISITED = _Rules(
    {
        "easy": (("easy",), ("junk", "hard")),
        "medium": (("easy", "hard"), ("junk",)),
        "hard": (("hard",), ("junk", "easy")),
    },
    "easy: easy; medium: easy + hard; hard: hard",
    "easy: junk + hard; medium: junk; hard: junk + easy; and ",
)
_CLASSIC = _Rules({"all": (("ok",), ("junk",))}, "ok", "junk, and ")
_RULES = {
    PROTOCOL: _REVISITED,
    oxford.PROTOCOL: _CLASSIC,
    INSTRE: _Rules({"all": (("ok",), ())}, "ok"),
    HOLIDAYS: _Rules(_CLASSIC.setups, "ok", "junk, the query itself, and "),
}
_LISTS = ("easy", "hard", "ok", "junk")
# What the entries hold, a box last, and the protocol.
_FORMS = {
    ("easy", "hard", "junk", "bbx"): PROTOCOL,
    ("ok", "junk", "bbx"): oxford.PROTOCOL,
    ("ok", "bbx"): INSTRE,
    ("ok", "junk"): HOLIDAYS,
    ("ok",): HOLIDAYS,
}


@dataclass(frozen=True)
class RevisitedQuery:
    """One query: its image, its box in pixels, and its lists as indices of the gallery names.

    The box is None for a query that is a whole image.
    """

    name: str
    box: Box | None
    lists: dict[str, list[int]]

    def joined(self, keys: Sequence[str]) -> list[int]:
        return [index for key in keys for index in self.lists.get(key, ())]


@dataclass(frozen=True)
class Revisited:
    """A benchmark as it was read; names of the revisited ones have no folder or extension.

    Attributes:
        source: path of the file.
        gallery: names of the benchmark's own database images.
        queries: its queries; those of the classic ones and of Holidays are in the gallery.
        protocol: the key of its rules.
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
        tell: Callable[[str], None] | None = None,
    ) -> dict[str, Sequence[QueryGroundTruth]]:
        """The ground truth in the setups of the protocol.

        Queries and database may be a part of the benchmark's, and the database may hold other
        images, which are distractors. Query images that are in the database and not in the
        gallery are junk to every query: the scores are the ones without them.

        Raises:
            UsageError: a query is none of the benchmark's, the database holds nothing of its
                gallery, or two images match one name.
        """
        by_name = {query.name: query for query in self.queries}
        queries = find_queries(by_name, query_names, where=self.source)
        own = dict(zip(by_name, match_names(self.gallery, list(by_name)), strict=True))
        outside = sorted(name for name, entries in own.items() if not entries)
        rows = rows_of_entries([*self.gallery, *outside], database_names, where=self.source)
        aside = range(len(self.gallery), len(rows))

        def junk_of(query: RevisitedQuery, lists: Sequence[str]) -> list[int]:
            itself = own[query.name] if self.protocol == HOLIDAYS else ()
            return [*query.joined(lists), *aside, *itself]

        return {
            setup: [
                restrict(rows, query.joined(positive), junk_of(query, junk)) for query in queries
            ]
            for setup, (positive, junk) in _RULES[self.protocol].setups.items()
        }

    def describe(self) -> dict[str, str]:
        rules = _RULES[self.protocol]
        junk = rules.junk + "the benchmark's query images outside its gallery, where they are there"
        return described(self.protocol, self.source, rules.positives, junk)


def load_revisited(source: str) -> Revisited:
    """Reads a `gnd_*.pkl` file, running none of it, or a `gnd_*.mat` file.

    Raises:
        UsageError: the file is no such one, or its contents do not fit together.
    """
    path = Path(source)
    if path.suffix.lower() == ".mat":
        from rrtool.ground_truth.matlab import load_matlab

        content = load_matlab(path)
    else:
        content = load_restricted(path)
    gallery = _strings(content, "imlist", source)
    names = _strings(content, "qimlist", source)
    entries = content.get("gnd")
    if not isinstance(entries, list) or len(entries) != len(names):
        found = f"{len(entries)}" if isinstance(entries, list) else type(entries).__name__
        raise _misfit(source, "'gnd'", f"a list of {len(names)}, as qimlist", found)
    form = _form(entries, source)
    queries = [
        _query(name, entry, form, len(gallery), f"{source}, gnd[{i}]")
        for i, (name, entry) in enumerate(zip(names, entries, strict=True))
    ]
    return Revisited(source, gallery, queries, _FORMS[form])


def _form(entries: Sequence[Any], source: str) -> tuple[str, ...]:
    """What every entry holds, as in ``_FORMS``."""
    first = next(iter(_FORMS))
    for i, entry in enumerate(entries):
        where = f"{source}, gnd[{i}]"
        if not isinstance(entry, dict):
            raise _misfit(where, "the entry", "a dict", type(entry).__name__)
        form = tuple(key for key in _LISTS if key in entry)
        form += ("bbx",) if entry.get("bbx") not in (None, []) else ()
        if form not in _FORMS:
            expected = " or ".join(" + ".join(known) for known in _FORMS)
            raise _misfit(where, "the entry", expected, " + ".join(map(str, entry)) or "nothing")
        if i and form != first:
            what = f"{' + '.join(form)}, as gnd[0] has {' + '.join(first)}"
            raise _misfit(where, "the entry", "what the others hold", what)
        first = form
    return first


def _query(
    name: str, entry: dict, form: Sequence[str], n_gallery: int, where: str
) -> RevisitedQuery:
    lists = {key: _indices(entry, key, n_gallery, where) for key in form if key != "bbx"}
    return RevisitedQuery(name, _box(entry["bbx"], where) if "bbx" in form else None, lists)


def _indices(entry: dict, key: str, n_gallery: int, where: str) -> list[int]:
    values = entry[key]
    if not isinstance(values, list):
        raise _misfit(where, f"'{key}'", "a list", repr(values))
    wrong = [value for value in values if type(value) is not int or not 0 <= value < n_gallery]
    if wrong:
        expected = f"indices of imlist, counted from 0 to {n_gallery - 1}"
        raise _misfit(where, f"'{key}'", expected, repr(wrong[0]))
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
    text = f"{what} is not that of a ground truth of a benchmark"
    return UsageError(text, where=where, expected=expected, found=found)
