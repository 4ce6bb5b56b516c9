"""Labels that come back from people (each mistake is told, the rest is used), and true ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool.datasets import is_standard, load_dataset
from rrtool.errors import UsageError
from rrtool.ground_truth.tables import read_table, read_titles

UNLABELED = -1


@dataclass(frozen=True)
class Mistake:
    """A row of a labels file that cannot be used.

    Attributes:
        name: of the image, as the row has it.
        reason: one line: file, line, what, expected, found.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class KnownImages:
    """What is known when labels come in.

    Attributes:
        names: of the images, ``n``.
        labels: ``(n,)`` int32, the labels of earlier cycles, −1 for none.
        class_names: the classes; empty as long as there are none.
        failures: why an image cannot be used, by row.
        relabel: a new label replaces an earlier one that differs.
    """

    names: Sequence[str]
    labels: np.ndarray
    class_names: Sequence[str]
    failures: Mapping[int, str]
    relabel: bool = False


@dataclass(frozen=True)
class TakenLabels:
    """Labels of a file that can be used, each image once.

    Attributes:
        rows: ``(m,)`` int64, increasing; those whose label was already known among them.
        labels: ``(m,)`` int32.
        class_names: the classes that ``labels`` count in.
        mistakes: rows left out.
    """

    rows: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    mistakes: list[Mistake]


@dataclass(frozen=True)
class _Answer:
    """One row of a labels file."""

    where: str
    image: str  # as the file names it
    row: int
    label: str


class _Unusable(Exception):
    """Why a row cannot be used; the argument is a ``UsageError``, for its line."""


def take_labels(path: str | Path, known: KnownImages) -> TakenLabels:
    """Read ``name,label`` or ``id,label`` rows (``id,name,label`` checks one against the other).

    Columns may come in any order with others among them, as in the list of images to label.
    Without known classes the labels themselves, sorted, are the classes. Two rows of one image
    that disagree are both left out; a row that disagrees with a label of an earlier cycle is
    left out unless ``relabel``.

    Raises:
        UsageError: the file cannot be read, or is no such table.
    """
    mistakes: list[Mistake] = []
    answers = list(_located(Path(path), known, mistakes))
    class_names = list(known.class_names) or sorted({answer.label for answer in answers})
    answers = _of_known_classes(answers, class_names, mistakes)
    chosen = _without_conflicts(answers, known, class_names, mistakes)
    rows = np.array(sorted(chosen), dtype=np.int64)
    labels = np.array([class_names.index(chosen[row]) for row in rows.tolist()], dtype=np.int32)
    return TakenLabels(rows, labels, class_names, mistakes)


def _located(path: Path, known: KnownImages, mistakes: list[Mistake]) -> Iterator[_Answer]:
    """The rows that name an image that is there and a label."""
    row_of = {name: row for row, name in enumerate(known.names)}
    for line, id_text, name, label in _rows(path):
        where, image = f"{path}, line {line}", name or f"id {id_text}"
        try:
            row = _row_of_id(id_text, name, known, where) if id_text else row_of.get(name)
            if row is None:
                raise _unusable("no image of this name", where, _few(known.names), name or "none")
            if row in known.failures:
                raise _unusable("this image could not be read", where, found=known.failures[row])
            if not label:
                raise _unusable(f"no label for {image}", where, "a class", "an empty label")
        except _Unusable as reason:
            mistakes.append(Mistake(image, str(reason)))
            continue
        yield _Answer(where, image, row, label)


def _rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, id, name and label of every row; a column that is not there is empty."""
    titles = read_titles(path)
    columns = [title for title in ("id", "name", "label") if title in titles]
    if "label" not in columns or len(columns) < 2:
        columns = ["name", "label"]
    for line, values in read_table(path, columns, allow_empty=True):
        cells = dict(zip(columns, values, strict=True))
        yield line, cells.get("id", "").strip(), cells.get("name", ""), cells["label"].strip()


def _row_of_id(id_text: str, name: str, known: KnownImages, where: str) -> int:
    n = len(known.names)
    if not (id_text.isascii() and id_text.isdigit() and int(id_text) < n):
        raise _unusable("no image of this id", where, f"0 to {n - 1}", id_text)
    row = int(id_text)
    if name and known.names[row] != name:
        raise _unusable(
            f"id {row} is another image", where, known.names[row], name, "is it of this state?"
        )
    return row


def _of_known_classes(
    answers: Sequence[_Answer], class_names: Sequence[str], mistakes: list[Mistake]
) -> list[_Answer]:
    kept = []
    for answer in answers:
        if answer.label in class_names:
            kept.append(answer)
            continue
        near = difflib.get_close_matches(answer.label, class_names, n=1)
        expected = f"perhaps {near[0]}" if near else _few(class_names)
        error = _unusable(
            "unknown class", answer.where, expected, answer.label, "--classes adds a class"
        )
        mistakes.append(Mistake(answer.image, str(error)))
    return kept


def _without_conflicts(
    answers: Sequence[_Answer],
    known: KnownImages,
    class_names: Sequence[str],
    mistakes: list[Mistake],
) -> dict[int, str]:
    """Label by row, of rows on whose label everything agrees."""
    by_row: dict[int, list[_Answer]] = {}
    for answer in answers:
        by_row.setdefault(answer.row, []).append(answer)
    chosen = {}
    for row, group in by_row.items():
        first, labels = group[0], {answer.label for answer in group}
        before = int(known.labels[row])
        if len(labels) > 1:
            other = next(answer for answer in group if answer.label != first.label)
            error = _unusable(
                f"two labels for {first.image}", first.where, "one label",
                f"{first.label} here, {other.label} in {other.where}",
            )  # fmt: skip
        elif before != UNLABELED and class_names[before] != first.label and not known.relabel:
            error = _unusable(
                f"{first.image} has another label from an earlier cycle", first.where,
                class_names[before], first.label, "--relabel replaces it",
            )  # fmt: skip
        else:
            chosen[row] = first.label
            continue
        mistakes.append(Mistake(first.image, str(error)))
    return chosen


def _few(choices: Sequence[str]) -> str:
    more = f" and {len(choices) - 3} more" if len(choices) > 3 else ""
    return ", ".join(choices[:3]) + more


def _unusable(
    what: str,
    where: str,
    expected: str | None = None,
    found: str | None = None,
    todo: str | None = None,
) -> _Unusable:
    return _Unusable(UsageError(what, where=where, expected=expected, found=found, todo=todo))


def read_truth(source: str, names: list[str], class_names: list[str]) -> np.ndarray:
    """The class of each named image, ``(n,)`` int32; −1 where nothing is known.

    Args:
        source: CSV or TSV ``name,label``, or a data set such as ``mnist:FOLDER``.

    Raises:
        UsageError: the source cannot be read, names an image or a class that is not there, or
            gives one image two labels.
    """
    if not is_standard(source):
        return _of_table(source, names, class_names)
    dataset = load_dataset(source)
    known = dict(zip(dataset.names, dataset.labels.tolist(), strict=True))
    labels = np.array([known.get(name, -1) for name in names], dtype=np.int32)
    if dataset.class_names != class_names or not (labels >= 0).any():
        raise UsageError(
            "this data set is not what the state was made of",
            where=source,
            expected=f"{names[0]} with classes {', '.join(class_names[:3])}",
            found=f"{dataset.names[0]} with classes {', '.join(dataset.class_names[:3])}",
        )
    return labels


def _of_table(path: str, names: list[str], class_names: list[str]) -> np.ndarray:
    """The class of each named image, ``(n,)`` int32; −1 where the table is silent.

    Raises:
        UsageError: the table cannot be read, names an image or a class that is not there, or
            gives one image two labels.
    """
    rows = {name: row for row, name in enumerate(names)}
    classes = {name: label for label, name in enumerate(class_names)}
    labels = np.full(len(names), UNLABELED, dtype=np.int32)
    for line, (name, label) in read_table(Path(path), ("name", "label")):
        where = f"{path}, line {line}"
        if name not in rows:
            raise UsageError(
                "no such image", where=where, expected=f"names such as {names[0]}", found=name
            )
        if label not in classes:
            raise UsageError(
                "no such class", where=where, expected=", ".join(class_names[:10]), found=label
            )
        if labels[rows[name]] not in (UNLABELED, classes[label]):
            other = class_names[labels[rows[name]]]
            raise UsageError(f"{name} has two labels", where=where, expected=other, found=label)
        labels[rows[name]] = classes[label]
    return labels
