"""The original Oxford5k and Paris6k protocol: a folder of text files, four for each query."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth.names import Box, described, find_queries, restrict, rows_of_entries
from rrtool.tables import read_lines, unreadable

PROTOCOL = "oxford5k"
QUERY_SUFFIX = "_query.txt"
_IMAGE_PREFIX = "oxc1_"
# Boxes travel as float32 in artifacts, and two boxes of one image differ by far more.
_BOX_TOLERANCE = 0.01


@dataclass(frozen=True)
class OxfordQuery:
    """One query: the name of its files, its image, its box in pixels, its positives and junk."""

    title: str
    image: str
    box: Box
    positives: list[str]
    junk: list[str]


@dataclass(frozen=True)
class Oxford:
    """An original benchmark; image names have neither folder nor extension."""

    source: str
    queries: list[OxfordQuery]
    protocol: str = PROTOCOL

    def resolve(
        self,
        query_names: Sequence[str],
        database_names: Sequence[str],
        query_boxes: Sequence[Sequence[float] | None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> dict[str, Sequence[QueryGroundTruth]]:
        """The ground truth in the single setup `all`.

        Several queries may share one image: its rows then take the query of their own box, or,
        without boxes, the queries in the order of their file names.

        Args:
            query_names: images of the queries.
            database_names: images of the database; those in none of the lists are distractors.
            query_boxes: per query `(x0, y0, x1, y1)` in pixels of the original image, or None.

        Raises:
            UsageError: a query is none of the benchmark's, or the database holds none of the
                images it lists, or two images match one name.
        """
        boxes = [None] * len(query_names) if query_boxes is None else query_boxes
        queries = self._queries_of(query_names, boxes)
        gallery = sorted({x for query in self.queries for x in (*query.positives, *query.junk)})
        entry_of = {name: entry for entry, name in enumerate(gallery)}
        rows = rows_of_entries(gallery, database_names, where=self.source)

        def truth(query: OxfordQuery) -> QueryGroundTruth:
            positives, junk = (
                [entry_of[x] for x in part] for part in (query.positives, query.junk)
            )
            return restrict(rows, positives, junk)

        return {"all": [truth(query) for query in queries]}

    def describe(self) -> dict[str, str]:
        positives = "good + ok, the query image among them where it is listed"
        return described(self.protocol, self.source, positives, "junk")

    def _queries_of(
        self, names: Sequence[str], boxes: Sequence[Sequence[float] | None]
    ) -> list[OxfordQuery]:
        by_image: dict[str, list[OxfordQuery]] = {}
        for query in self.queries:
            by_image.setdefault(query.image, []).append(query)
        candidates = find_queries(by_image, names, where=self.source)
        n_seen = dict.fromkeys(by_image, 0)
        chosen = []
        for name, box, found in zip(names, boxes, candidates, strict=True):
            chosen.append(self._choose(name, found, box, n_seen[found[0].image]))
            n_seen[found[0].image] += 1
        return chosen

    def _choose(
        self, name: str, candidates: list[OxfordQuery], box: Sequence[float] | None, n_seen: int
    ) -> OxfordQuery:
        if len(candidates) == 1:
            return candidates[0]
        if box is not None:
            candidates = [query for query in candidates if _same_box(query.box, box)]
            n_seen = 0
        if n_seen < len(candidates):
            return candidates[n_seen]
        raise UsageError(
            f"no query of the benchmark left for '{name}'",
            where=self.source,
            expected="its box to be that of a query" if box is not None else "one row a query",
            found=f"box {tuple(box)}" if box is not None else f"{n_seen + 1} rows",
        )


def load_oxford(source: str) -> Oxford:
    """Reads a folder of `*_query.txt`, `*_good.txt`, `*_ok.txt` and `*_junk.txt`.

    Raises:
        UsageError: a file is missing or malformed.
    """
    folder = Path(source)
    paths = sorted(query_paths(folder))
    if not paths:
        raise UsageError("no query file", where=folder, expected=f"*{QUERY_SUFFIX}")
    return Oxford(source, [_read_query(path) for path in paths])


def query_paths(folder: Path) -> list[Path]:
    """The query files of a folder, in no order."""
    try:
        return [path for path in folder.iterdir() if path.name.endswith(QUERY_SUFFIX)]
    except OSError as error:
        raise unreadable(folder, error) from error


def _read_query(path: Path) -> OxfordQuery:
    title = path.name[: -len(QUERY_SUFFIX)]
    good, ok, junk = (
        [line for line in read_lines(path.with_name(f"{title}_{x}.txt")) if line]
        for x in ("good", "ok", "junk")
    )
    fields = " ".join(read_lines(path)).split()
    try:
        x0, y0, x1, y1 = map(float, fields[1:])
        is_box = all(map(math.isfinite, (x0, y0, x1, y1))) and x1 > x0 and y1 > y0
    except ValueError:
        is_box = False
    if not is_box:
        raise UsageError(
            "malformed query",
            where=f"{path}, line 1",
            expected="image x0 y0 x1 y1 in pixels, with x1 > x0 and y1 > y0",
            found=f"'{' '.join(fields)}'",
        )
    image = fields[0].removeprefix(_IMAGE_PREFIX)
    return OxfordQuery(title, image, (x0, y0, x1, y1), good + ok, junk)


def _same_box(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= _BOX_TOLERANCE for a, b in zip(one, other, strict=True))
