"""True labels that an agreement study measures by: a table, or those of a standard data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rrtool.artifacts import InputRecord
from rrtool.datasets import is_standard, load_dataset
from rrtool.errors import UsageError
from rrtool.ground_truth.tables import read_table
from rrtool.networks.checkpoints import digest_of_file


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


def truth_input(source: str) -> InputRecord:
    """The record of the true labels as an input of a stage."""
    digest = source if is_standard(source) else digest_of_file(source)
    return InputRecord("truth", source, "labels", "", digest)


def _of_table(path: str, names: list[str], class_names: list[str]) -> np.ndarray:
    """The class of each named image, ``(n,)`` int32; −1 where the table is silent.

    Raises:
        UsageError: the table cannot be read, names an image or a class that is not there, or
            gives one image two labels.
    """
    rows = {name: row for row, name in enumerate(names)}
    classes = {name: label for label, name in enumerate(class_names)}
    labels = np.full(len(names), -1, dtype=np.int32)
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
        if labels[rows[name]] not in (-1, classes[label]):
            other = class_names[labels[rows[name]]]
            raise UsageError(f"{name} has two labels", where=where, expected=other, found=label)
        labels[rows[name]] = classes[label]
    return labels
