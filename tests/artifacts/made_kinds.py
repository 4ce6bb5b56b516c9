"""A small artifact of every kind, made from its schema: right in form, of random content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, InputRecord, Provenance, create
from rrtool.artifacts.schema import Column, Group, Texts, schema_of

_VALUES = {int: 3, str: "katz", list: [1, 2], dict: {"a": 1}, bool: True, float: 0.5}


def make_artifact(kind: type[Artifact], path: Path, generator: np.random.Generator) -> Path:
    """Write an artifact of a kind; equal generators give equal contents."""
    options, facts = (_entries(declared) for declared in (kind.OPTIONS, kind.FACTS))
    inputs = [InputRecord("features", "f.h5", "features", "u", "d")]
    provenance = Provenance(kind.KIND, options, inputs, {"name": "n"}, asked={"options": {}})
    with create(path, provenance) as output:
        return output.publish(kind.columns(**_content(kind, generator)), extra=facts)


def _entries(declared: Any) -> dict[str, Any]:
    types = {name: kind if isinstance(kind, type) else kind[0] for name, kind in declared.items()}
    return {name: _VALUES[kind] for name, kind in types.items()}


def _content(kind: type[Artifact], generator: np.random.Generator) -> dict[str, Any]:
    schema = schema_of(kind)
    lengths: dict[str, int] = {}
    values: dict[str, Any] = {}
    by_name = {}
    for attribute, column in schema.items():
        if isinstance(column, Texts):
            count = _shape(column.shape, lengths, generator)[0]
            values[attribute] = [f"ä{i}\udcff"[: i % 4] for i in range(count)]
        elif isinstance(column, Group):
            values[attribute] = {"a/b": generator.random(5), "c": np.arange(3, dtype=np.int32)}
        else:
            shape = _shape(column.shape, lengths, generator)
            by_name[column.name] = shape
            values[attribute] = _numbers(column, shape, generator)
    for attribute, column in schema.items():
        if isinstance(column, Column) and not isinstance(column, Texts):
            _relate(column, values[attribute], (by_name, lengths), generator)
    return values


def _shape(declared: str, lengths: dict[str, int], generator: np.random.Generator) -> list[int]:
    shape = []
    for axis in declared.split():
        letters, _, more = axis.partition("+")
        length = int(letters) if letters.isdigit() else 1
        for letter in letters if letters.isalpha() else "":
            length *= lengths.setdefault(letter, int(generator.integers(2, 6)))
        shape.append(9 if axis == "*" else length + int(more or 0))
    return shape


def _numbers(column: Column, shape: list[int], generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 2, shape).astype(column.dtype.split()[0])


def _relate(column: Column, values: np.ndarray, lengths: Any, generator: np.random.Generator):
    shapes, letters = lengths
    if column.ids_of:
        values[...] = generator.integers(-1, letters[column.ids_of], values.shape)
    elif column.offsets_of:
        length = shapes[column.offsets_of][0]
        values[...] = np.sort(generator.integers(0, length + 1, len(values)))
        values[[0, -1]] = 0, length
    elif column.dtype.startswith("float"):
        values += generator.random(values.shape).astype(values.dtype)
