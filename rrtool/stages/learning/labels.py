"""Labels that come back from people (each mistake is told, the rest is used), and true ones."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rrtool.artifacts import InputRecord, file_input
from rrtool.artifacts.provenance import image_input
from rrtool.datasets import Dataset, is_standard, load_dataset
from rrtool.errors import UsageError
from rrtool.exchange.label_files import labels_path, read_labels
from rrtool.exchange.labelled import LabelRow
from rrtool.ground_truth.matching import match_names
from rrtool.images.listing import list_images
from rrtool.tables import in_words

UNLABELED = -1


class Mistake(NamedTuple):
    """A row of a labels file that cannot be used: its image as it has it, and why, in one line."""

    name: str
    reason: str


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

    def require_some(self, what: str, path: str) -> None:
        """Raises ``UsageError`` if not one label can be used."""
        if not len(self.rows):
            found = self.mistakes[0].reason if self.mistakes else "no rows"
            raise UsageError(what, where=path, found=found)


class _Answer(NamedTuple):
    """One row of a labels file that names an image that is there."""

    where: str
    image: str  # as the file names it
    row: int
    label: str


def take_labels(
    path: str | Path,
    dataset: Dataset,
    class_names: Sequence[str] = (),
    before: Mapping[int, str] | None = None,
) -> TakenLabels:
    """Read the labels of a file or folder of any form that ``read_labels`` knows.

    Where a row has both the id and the name of an image, one is checked against the other.
    Without known classes the labels themselves, sorted, are the classes. Two rows of one image
    that disagree are both left out, and so is a row that disagrees with a label of ``before``.

    Args:
        dataset: names of the images, and which of them cannot be used.
        class_names: the classes; empty as long as there are none.
        before: labels by row that no other may replace.

    Raises:
        UsageError: the file cannot be read, or is no such table.
    """
    mistakes: list[Mistake] = []
    answers = list(_located(read_labels(str(path)), dataset, mistakes))
    class_names = list(class_names) or sorted({answer.label for answer in answers})
    spelled = {in_words(name): name for name in class_names}
    by_row: dict[int, list[_Answer]] = {}
    for answer in answers:
        if answer.label in spelled:
            known = answer._replace(label=spelled[answer.label])
            by_row.setdefault(answer.row, []).append(known)
        else:
            near = difflib.get_close_matches(answer.label, class_names, n=1)
            error = UsageError(
                "unknown class", where=answer.where, found=answer.label,
                expected=f"perhaps {near[0]}" if near else in_few_words(class_names),
                todo="--classes adds a class",
            )  # fmt: skip
            mistakes.append(Mistake(answer.image, str(error)))
    chosen = {}
    for row, group in by_row.items():
        conflict = _conflict(group, (before or {}).get(row))
        if conflict is None:
            chosen[row] = group[0].label
        else:
            mistakes.append(Mistake(group[0].image, str(conflict)))
    rows = np.array(sorted(chosen), dtype=np.int64)
    labels = np.array([class_names.index(chosen[row]) for row in rows.tolist()], dtype=np.int32)
    return TakenLabels(rows, labels, class_names, mistakes)


def labels_input(role: str, path: str) -> InputRecord:
    """The record of a file of labels, by its bytes; of class folders, by what lies in them.

    Raises:
        UsageError: it cannot be read.
    """
    path = labels_path(path)
    if not os.path.isdir(path):
        return file_input(role, path)
    names = list_images(path).names
    return replace(image_input(path, names, [(0, 0)] * len(names)), role=role, kind=role)


def _located(
    rows: Sequence[LabelRow], dataset: Dataset, mistakes: list[Mistake]
) -> Iterator[_Answer]:
    """The rows that name an image that is there and a label."""
    images_of = _images_of((name for row in rows for name in row.names), dataset.names)
    for where, id_text, names, cell, problem in rows:
        name = next((name for name in names if images_of[name]), next(iter(names), ""))
        image, label = name or f"id {id_text}", in_words(cell.strip())
        try:
            row = _row_of(where, id_text, name, images_of.get(name, []), dataset.names)
            if dataset.status[row]:
                what = "this image cannot be used"
                raise UsageError(what, where=where, found=dataset.reasons[row])
            if not label:
                what = f"no label for {image}"
                found = problem or "an empty label"
                raise UsageError(what, where=where, expected="a class", found=found)
        except UsageError as error:
            mistakes.append(Mistake(image, str(error)))
        else:
            yield _Answer(where, image, row, label)


def _images_of(entries: Iterable[str], names: Sequence[str]) -> dict[str, list[int]]:
    """The images that each name in a table means."""
    known = list(dict.fromkeys(entries))
    images_of: dict[str, list[int]] = {entry: [] for entry in known}
    for row, own in enumerate(match_names(known, names)):
        for entry in own:
            images_of[known[entry]].append(row)
    return images_of


def _row_of(
    where: str, id_text: str, name: str, images: Sequence[int], names: Sequence[str]
) -> int:
    """The row of an image by its id, else by what its name means."""
    if id_text:
        return _row_of_id(id_text, name, images, names, where)
    return _only_row(images, name, names, where)


def _only_row(images: Sequence[int], name: str, names: Sequence[str], where: str) -> int:
    if len(images) > 1:
        twins = in_few_words([names[row] for row in images])
        raise UsageError(f"two images match {name}", where=where, found=twins)
    if not images:
        raise UsageError(
            "no image of this name", where=where, expected=in_few_words(names), found=name or "none"
        )
    return images[0]


def _row_of_id(
    id_text: str, name: str, images: Sequence[int], names: Sequence[str], where: str
) -> int:
    n = len(names)
    if not (id_text.isascii() and id_text.isdigit() and int(id_text) < n):
        what = "no image of this id"
        raise UsageError(what, where=where, expected=f"0 to {n - 1}", found=id_text)
    row = int(id_text)
    if name and row not in images:
        raise UsageError(
            f"id {row} is another image", where=where, expected=names[row], found=name,
            todo="is it of this state?",
        )  # fmt: skip
    return row


def _conflict(group: Sequence[_Answer], before: str | None) -> UsageError | None:
    """What speaks against the label of an image."""
    first = group[0]
    for other in group:
        if other.label != first.label:
            found = f"{first.label} here, {other.label} in {other.where}"
            what = f"two labels for {first.image}"
            return UsageError(what, where=first.where, expected="one label", found=found)
    if before is None or before == first.label:
        return None
    return UsageError(
        f"{first.image} has another label from an earlier cycle", where=first.where,
        expected=before, found=first.label, todo="--relabel replaces it",
    )  # fmt: skip


def in_few_words(choices: Sequence[str]) -> str:
    """Up to three names, and how many more there are."""
    more = f" and {len(choices) - 3} more" if len(choices) > 3 else ""
    return ", ".join(choices[:3]) + more


def read_truth(source: str, names: list[str], class_names: list[str]) -> np.ndarray:
    """The class of each named image, ``(n,)`` int32; −1 where nothing is known.

    Args:
        source: labels of any form that ``read_labels`` knows, or a data set such as
            ``mnist:FOLDER``.

    Raises:
        UsageError: the source cannot be read, names an image or a class that is not there, or
            gives one image two labels.
    """
    if not is_standard(source):
        return _of_labels(source, names, class_names)
    dataset = load_dataset(source)
    known = dict(zip(dataset.names, dataset.labels.tolist(), strict=True))
    labels = np.array([known.get(name, UNLABELED) for name in names], dtype=np.int32)
    if dataset.class_names != class_names or not (labels >= 0).any():
        raise UsageError(
            "this data set is not what the state was made of",
            where=source,
            expected=f"{names[0]} with classes {', '.join(class_names[:3])}",
            found=f"{dataset.names[0]} with classes {', '.join(dataset.class_names[:3])}",
        )
    return labels


def _of_labels(path: str, names: list[str], class_names: list[str]) -> np.ndarray:
    rows = read_labels(path)
    images_of = _images_of((name for row in rows for name in row.names), names)
    classes = {in_words(name): label for label, name in enumerate(class_names)}
    labels = np.full(len(names), UNLABELED, dtype=np.int32)
    for where, id_text, own_names, cell, _ in rows:
        name = next((name for name in own_names if images_of[name]), next(iter(own_names), ""))
        row = _row_of(where, id_text, name, images_of.get(name, []), names)
        label = in_words(cell.strip())
        if not label:  # not known, as of a task that was skipped
            continue
        if label not in classes:
            expected = ", ".join(class_names[:10])
            raise UsageError("no such class", where=where, expected=expected, found=label)
        if labels[row] not in (UNLABELED, classes[label]):
            other = class_names[labels[row]]
            raise UsageError(
                f"{names[row]} has two labels", where=where, expected=other, found=label
            )
        labels[row] = classes[label]
    return labels
