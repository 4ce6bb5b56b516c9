"""Benchmarks whose photos' own names say what belongs together: Holidays, Copydays, UKBench."""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth.matching import spelled
from rrtool.ground_truth.names import described, first_few

_NO_ROWS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class _Place:
    """What a name says: the group, the rest of the number, and the folder of copies."""

    group: str
    rest: str
    folder: str = ""


class Numbered:
    """One of the benchmarks; photos of other names are distractors, and no queries."""

    protocol: ClassVar[str]
    example: ClassVar[str]
    positives: ClassVar[str]
    junk: ClassVar[str]
    form: ClassVar[re.Pattern[str]]  # of a whole name, with groups of the fields of _Place

    @property
    def source(self) -> str:
        return self.protocol

    def resolve(
        self,
        query_names: Sequence[str],
        database_names: Sequence[str],
        query_boxes: object = None,
        tell: Callable[[str], None] | None = None,
    ) -> dict[str, Sequence[QueryGroundTruth]]:
        """The ground truth, in the single setup ``all``, or in one a folder of copies.

        Args:
            tell: gets a line on how many queries there are.

        Raises:
            UsageError: no query has a name of the benchmark.
        """
        queries = [place if place and self.is_query(place) else None
                   for place in self._places(query_names)]  # fmt: skip
        n_queries = sum(place is not None for place in queries)
        if not n_queries and query_names:
            raise UsageError(
                f"no image is a query of {self.protocol} by its name",
                expected=f"names such as {self.example}", found=first_few(query_names),
            )  # fmt: skip
        if tell is not None and n_queries < len(queries):
            tell(
                f"{self.protocol}: {n_queries} of {len(queries)} images are queries by their names"
            )
        database = self._places(database_names)
        rows = _rows_by_group(database)
        junk = np.array([row for row, place in enumerate(database)
                         if place and self.is_aside(place)], dtype=np.int64)  # fmt: skip
        return {
            setup.replace("/", " ") or "all": [
                self.truth(query, rows.get(query.group, _NO_ROWS), database, junk)
                if query and query.folder == setup
                else QueryGroundTruth(_NO_ROWS, is_query=False)
                for query in queries
            ]
            for setup in sorted({place.folder for place in queries if place}, key=_in_order)
        }

    def describe(self) -> dict[str, str]:
        """All the rules that the scores depend on."""
        return described(self.protocol, self.source, self.positives, self.junk)

    def place(self, fields: Mapping[str, str]) -> _Place:
        """What a name says, from what its form found."""
        return _Place(**fields)

    def is_query(self, place: _Place) -> bool:
        """Whether an image with such a name is a query."""
        return True

    def is_aside(self, place: _Place) -> bool:
        """Whether an image with such a name is junk to every query."""
        return False

    def truth(
        self,
        query: _Place,
        group: np.ndarray,
        database: Sequence[_Place | None],
        junk: np.ndarray,
    ) -> QueryGroundTruth:
        """What a query should find, of the rows of its group, but for the junk of all queries."""
        return QueryGroundTruth(np.setdiff1d(group, junk), junk)

    def _places(self, names: Sequence[str]) -> list[_Place | None]:
        """Of each name; None for one that is not of the benchmark."""
        found = (self.form.fullmatch(form) for form in spelled(names))
        return [match and self.place(match.groupdict()) for match in found]


class Holidays(Numbered):
    """Jégou et al., ECCV 2008: six digits, the first four the group, 00 at the end of its query.

    As in the authors' script the query is taken out of its list.
    """

    protocol = "holidays"
    example = "100000.jpg, with 00 at the end of each query"
    positives = "database images with the query's first four digits, without the query itself"
    junk = "the query itself"
    form = re.compile(r"(?:.*/)?(?P<group>\d{4})(?P<rest>\d\d)\.\w+")

    def is_query(self, place: _Place) -> bool:
        return place.rest == "00"

    def truth(
        self,
        query: _Place,
        group: np.ndarray,
        database: Sequence[_Place | None],
        junk: np.ndarray,
    ) -> QueryGroundTruth:
        is_itself = np.array([database[row] == query for row in group], dtype=bool)
        return QueryGroundTruth(group[~is_itself], group[is_itself])


class Copydays(Numbered):
    """Douze et al., CIVR 2009: copies look for their original among originals and other photos.

    Of a photo in the folder ``original``, ``strong``, ``crops/<n>`` or ``jpegqual/<n>`` the first
    four signs say which original it shows. Each folder of copies is a setup.
    """

    protocol = "copydays"
    example = "strong/200001.jpg, and original/200000.jpg in the database"
    positives = "the original with the copy's first four signs"
    junk = "all copies that are in the database"
    form = re.compile(
        r"(?:.*/)?(?P<folder>original|strong|(?:crops|jpeg|jpegqual)/\d+)/"
        r"(?P<group>[^/]{4})(?P<rest>[^/]*)\.\w+"
    )

    def is_query(self, place: _Place) -> bool:
        return place.folder != "original"

    is_aside = is_query


class UkBench(Numbered):
    """Nistér and Stewénius, CVPR 2006: four photos in a row show one object.

    Every photo is a query, and finds itself too.
    """

    protocol = "ukbench"
    example = "ukbench00000.jpg"
    positives = "the four database images of the query's object, the query itself among them"
    junk = "none"
    form = re.compile(r"(?:.*/)?ukbench(?P<group>\d{5})(?P<rest>)\.\w+")

    def place(self, fields: Mapping[str, str]) -> _Place:
        return _Place(str(int(fields["group"]) // 4), "")


def _rows_by_group(places: Sequence[_Place | None]) -> dict[str, np.ndarray]:
    rows: dict[str, list[int]] = {}
    for row, place in enumerate(places):
        if place is not None:
            rows.setdefault(place.group, []).append(row)
    return {group: np.array(own, dtype=np.int64) for group, own in rows.items()}


def _in_order(folder: str) -> tuple[str, int]:
    """Folders of copies by their name and number."""
    name, number = posixpath.split(folder)
    return (name, int(number)) if number.isdigit() else (folder, 0)
