"""Ground truth of any folder with groups: what shares the query's label should be found."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth.names import described, find_entry, first_few
from rrtool.ground_truth.tables import read_table

PROTOCOL = "groups"
PREFIX, FOLDER = "prefix:", "folder"
_NO_IDS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Groups:
    """A rule that gives each image name its label.

    Attributes:
        source: what the user wrote.
        label_of: the label of a name; None where the rule has no answer, empty for a distractor.
        expected: what a name needs for an answer, for the error message.
    """

    source: str
    label_of: Callable[[str], str | None]
    expected: str
    protocol: str = PROTOCOL

    def resolve(
        self,
        query_names: Sequence[str],
        database_names: Sequence[str],
        query_boxes: Sequence[object] | None = None,
    ) -> dict[str, Sequence[QueryGroundTruth]]:
        """The ground truth in the single setup `all`; boxes play no part.

        Raises:
            UsageError: some names have no label.
        """
        members = _ids_by_key(self._labels(database_names))
        members.pop("", None)
        queries = _GroupQueries(
            list(query_names), self._labels(query_names), members, _ids_by_key(database_names)
        )
        return {"all": queries}

    def describe(self) -> dict[str, str]:
        positives = "database images with the query's label, without the query itself"
        return described(self.protocol, self.source, positives, "the query itself, by its name")

    def _labels(self, names: Sequence[str]) -> list[str]:
        labels = [self.label_of(name) for name in names]
        unlabelled = [name for name, label in zip(names, labels, strict=True) if label is None]
        if unlabelled:
            what = f"{len(unlabelled)} of {len(names)} image names have no label"
            found = first_few(unlabelled)
            raise UsageError(what, where=self.source, expected=self.expected, found=found)
        return [label or "" for label in labels]


class _GroupQueries(Sequence[QueryGroundTruth]):
    """One ground truth per query, made when asked for.

    Every member of a group of m lists the other m - 1: kept all at once, that is quadratic when
    a whole collection queries itself.
    """

    def __init__(
        self,
        names: list[str],
        labels: list[str],
        members: dict[str, np.ndarray],
        ids_by_name: dict[str, np.ndarray],
    ) -> None:
        self._names, self._labels = names, labels
        self._members, self._ids_by_name = members, ids_by_name

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, query):  # untyped: a Sequence has one overload for ids, one for slices
        if isinstance(query, slice):
            return [self[i] for i in range(*query.indices(len(self)))]
        itself = self._ids_by_name.get(self._names[query], _NO_IDS)
        members = self._members.get(self._labels[query], _NO_IDS)
        return QueryGroundTruth(members[~np.isin(members, itself)], itself)


def load_groups(source: str) -> Groups:
    """Groups by `prefix:REGEX`, by `folder`, or from a table of names and labels.

    - `prefix:REGEX`: the expression is matched at the start of the relative path; the label is its
      first group, or the whole match when it has none.
    - `folder`: the label is the path of the folder the image lies in.
    - a CSV or TSV file `name,label`: an empty label makes a distractor; a name without an
      extension stands for any image with that path or stem.

    Raises:
        UsageError: the expression or the table is malformed.
    """
    if source.startswith(PREFIX):
        return _groups_by_prefix(source)
    if source == FOLDER:
        return Groups(
            source, lambda name: posixpath.dirname(name) or None, "names such as 'label/image.jpg'"
        )
    labels = _read_labels(Path(source))
    return Groups(
        source,
        lambda name: find_entry(labels, name),
        "a line for every image (with an empty label for a distractor)",
    )


def _groups_by_prefix(source: str) -> Groups:
    try:
        pattern = re.compile(source[len(PREFIX) :])
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            "not a regular expression", where=source, found=error, todo="see Python's re syntax"
        ) from error

    def label_of(name: str) -> str | None:
        match = pattern.match(name)
        label = match and match[1 if pattern.groups else 0]
        # An empty match says nothing about the image: every such name would share one label.
        return label or None

    return Groups(source, label_of, f"names that begin with a match of {pattern.pattern}")


def _read_labels(path: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    for line, (name, cell) in read_table(path, ("name", "label")):
        label = cell.strip()
        if labels.get(name, label) != label:
            what, before = f"a second label for '{name}'", f"'{labels[name]}', as before"
            where = f"{path}, line {line}"
            raise UsageError(what, where=where, expected=before, found=f"'{label}'")
        labels[name] = label
    return labels


def _ids_by_key(keys: Iterable[str]) -> dict[str, np.ndarray]:
    ids = defaultdict(list)
    for row, key in enumerate(keys):
        ids[key].append(row)
    return {key: np.array(rows, dtype=np.int64) for key, rows in ids.items()}
