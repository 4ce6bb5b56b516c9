"""Files of rankings: ILIAS's similarities, tables, ranks of the revisited benchmarks, pairs."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rrtool.errors import UsageError
from rrtool.exchange.numpy_files import read_npy
from rrtool.exchange.ranked import Entry, Lists, Ranked, by_score
from rrtool.files import read_regular
from rrtool.ground_truth.json_files import read_json
from rrtool.tables import decode_text, read_table, split_lines, unreadable

Entries = Mapping[str, list[Entry]]
_OURS = ("query", "rank", "name", "score", "similarity")
_OTHERS = ("query", "name", "score")


def read_ranking(path: str, form: str, lists: Lists) -> Ranked:
    """A ranking in one of the forms ``READERS`` and ``ranks``.

    Raises:
        UsageError: it cannot be read, or is none of this form; or the lists are of others.
    """
    if form == "ranks":
        return Ranked.of_ranks(read_npy(path), lists, path)
    found = Ranked.of_entries(READERS[form](path), lists, path)
    if not found.query_names:
        raise UsageError("there is no query in it", where=path)
    return found


def _read_ilias(path: str) -> Entries:
    """``{query: {image: similarity}}``, in any order; the largest similarity is the best."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(e, dict) for e in content.values()):
        expected = "{query: {image: similarity}}"
        raise UsageError("no similarities as ILIAS has them", where=path, expected=expected)
    found = {}
    for query, similarities in content.items():
        for image, value in similarities.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or _is_wrong(value):
                where, expected = f"{path}, {query}, {image}", "a number"
                raise UsageError(
                    "no similarity", where=where, expected=expected, found=json.dumps(value)
                )
        found[query] = by_score((image, value, value) for image, value in similarities.items())
    return found


def _is_wrong(number: float) -> bool:
    try:
        return not math.isfinite(float(number))
    except OverflowError:
        return True


def _read_csv(path: str) -> Entries:
    """A table ``query,name,score``, or one that ``export`` wrote, whose ranks then count."""
    table = read_table(Path(path), _OURS, _OTHERS)
    ranked: dict[str, list[tuple[float, Entry]]] = {}
    for line, cells in table.rows:
        row = dict(zip(table.columns, cells, strict=True))
        where = f"{path}, line {line}"
        score = _number(row["score"], where, "score")
        place = _number(row["rank"], where, "rank") if "rank" in row else -score
        text = row.get("similarity")
        similarity = _number(text, where, "similarity") if text else math.nan
        if text is None:
            similarity = score
        ranked.setdefault(row["query"], []).append((place, (row["name"], score, similarity)))
    return {
        query: [entry for _, entry in sorted(entries, key=lambda pair: pair[0])]
        for query, entries in ranked.items()
    }


def _number(cell: str, where: str, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"no {column}", where=where, expected="a number", found=f"'{cell}'")
    return value


def _read_pairs(path: str) -> Entries:
    """Lines ``query image``, the best first, as hloc has them; scores are 1 / rank."""
    try:
        text = decode_text(read_regular(path))
    except OSError as error:
        raise unreadable(Path(path), error) from None
    except UnicodeDecodeError as error:
        raise UsageError("not a text in UTF-16", where=path, found=error.reason) from None
    found: dict[str, list[Entry]] = {}
    for number, line in enumerate(split_lines(text), start=1):
        names = line.split()
        if len(names) not in (0, 2):
            where, expected = f"{path}, line {number}", "two names between blanks"
            raise UsageError("no pair of images", where=where, expected=expected, found=line)
        if names:
            entries = found.setdefault(names[0], [])
            entries.append((names[1], 1 / (len(entries) + 1), math.nan))
    return found


READERS: Mapping[str, Callable[[str], Entries]] = {
    "ilias": _read_ilias, "csv": _read_csv, "pairs": _read_pairs,
}  # fmt: skip


def ilias_pieces(rankings: Iterator[tuple[str, list[Entry]]]) -> Iterator[str]:
    """``{query: {image: score}}``, a query a line.

    Raises:
        UsageError: a query occurs twice.
    """
    seen = set()
    before = "{\n"
    for query, entries in rankings:
        if query in seen:
            raise UsageError(
                "a query occurs twice, and the form of ILIAS has one ranking a name",
                found=f"'{query}'", todo="use --format csv or ranks",
            )  # fmt: skip
        seen.add(query)
        scores = {name: score for name, score, _ in entries}
        yield f"{before}{_json(query)}: {_json(scores)}"
        before = ",\n"
    yield "\n}\n" if seen else "{}\n"


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


def pairs_pieces(rankings: Iterator[tuple[str, list[Entry]]]) -> Iterator[str]:
    """A line ``query image`` for each entry; an image is no pair with itself.

    Raises:
        UsageError: a name has blanks in it.
    """
    for query, entries in rankings:
        yield "".join(f"{pair_of(query, name)}\n" for name, _, _ in entries if name != query)


def pair_of(first: str, second: str) -> str:
    """Two names as hloc and COLMAP write them.

    Raises:
        UsageError: a name has blanks in it, which stand between names.
    """
    for name in (first, second):
        if len(name.split()) != 1 or name.split()[0] != name:
            what = "a name with a blank in it cannot stand in a list of pairs"
            raise UsageError(what, found=f"'{name}'", todo="use another --format")
    return f"{first} {second}"
