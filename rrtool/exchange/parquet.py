"""Parquet tables of descriptors: a column of names and one of lists of numbers (pyarrow)."""

import io
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from rrtool.errors import UsageError
from rrtool.exchange.described import Described
from rrtool.files import open_regular

_EXPANSION = 1032  # times what the compressions make of descriptors, by far
_VECTORS, _NAMES = "descriptor", "name"


def read_parquet(path: str) -> Described:
    """The descriptors and the names of a Parquet file.

    They are its only column of lists of numbers and its only column of texts; or, of several,
    those that are called ``descriptor`` and ``name``.

    Raises:
        UsageError: it cannot be read, is damaged, lacks one of them, or a row is empty or of
            another length; or pyarrow is not installed.
    """
    arrow, parquet = _arrow(path), _parquet()
    try:
        with open_regular(path) as file:
            table = parquet.ParquetFile(file)
            length = os.fstat(file.fileno()).st_size
            columns = _columns_of(arrow, table.schema_arrow, path)
            _require_stored(table.metadata, length, path)
            read = table.read(columns=columns, use_threads=False)
    except OSError as error:
        found = error.strerror or str(error).splitlines()[0]
        raise UsageError("cannot read it", where=path, found=found) from None
    except (arrow.ArrowException, ValueError, LookupError, RuntimeError) as error:
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError("damaged, or no Parquet file", where=path, found=found) from None
    names, vectors = (read.column(column).combine_chunks() for column in columns)
    if names.null_count:
        raise UsageError("a row has no name", where=path)
    try:
        texts = [os.fsdecode(name) for name in names.to_pylist()]
    except UnicodeDecodeError as error:  # a column of texts, which are to be UTF-8
        raise UsageError("damaged, or no Parquet file", where=path, found=error) from None
    return Described.of(texts, _matrix(vectors, path), path)


def parquet_bytes(names: Sequence[str], vectors: np.ndarray) -> bytes:
    """A Parquet file with the columns ``name`` and ``descriptor``.

    Names that are no UTF-8 make the column one of bytes.

    Raises:
        UsageError: pyarrow is not installed.
    """
    arrow, parquet = _arrow("the output"), _parquet()
    encoded = [os.fsencode(name) for name in names]
    try:
        texts = arrow.array([text.decode() for text in encoded], arrow.string())
    except UnicodeDecodeError:
        texts = arrow.array(encoded, arrow.binary())
    values = arrow.array(np.ascontiguousarray(vectors).ravel())
    lists = arrow.FixedSizeListArray.from_arrays(values, vectors.shape[1])
    content = io.BytesIO()
    parquet.write_table(arrow.table({_NAMES: texts, _VECTORS: lists}), content)
    return content.getvalue()


def _arrow(where: str) -> ModuleType:
    try:
        import pyarrow
    except ImportError:
        todo = "pip install 'rrtool[parquet]', or use another format"
        raise UsageError("Parquet needs pyarrow", where=where, todo=todo) from None
    return pyarrow


def _parquet() -> ModuleType:
    from pyarrow import parquet

    return parquet


def _columns_of(arrow: ModuleType, schema: Any, path: str) -> list[str]:
    """The names of both columns."""
    types = arrow.types

    def is_text(kind: Any) -> bool:
        return any(
            test(kind)
            for test in (types.is_string, types.is_large_string, types.is_binary,
                         types.is_large_binary)
        )  # fmt: skip

    def is_vector(kind: Any) -> bool:
        is_list = any(
            test(kind) for test in (types.is_list, types.is_large_list, types.is_fixed_size_list)
        )
        return is_list and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type))

    chosen = []
    for called, fits, what in ((_NAMES, is_text, "texts"), (_VECTORS, is_vector, "lists")):
        fitting = [field.name for field in schema if fits(field.type)]
        if called not in fitting and len(fitting) != 1:
            raise UsageError(
                f"cannot tell which column has the {called}s", where=path,
                expected=f"one of {what} called {called}, or one of {what} only",
                found=", ".join(f"{field.name}: {field.type}" for field in schema),
            )  # fmt: skip
        chosen.append(called if called in fitting else fitting[0])
    return chosen


def _require_stored(metadata: Any, length: int, path: str) -> None:
    """A file says how many values it has before it has any."""
    n_values = sum(
        max(metadata.row_group(group).column(column).num_values, 0)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    if n_values > _EXPANSION * length:
        found = f"{n_values} values in {length} bytes"
        raise UsageError("the table is larger than what is stored", where=path, found=found)


def _matrix(column: Any, path: str) -> np.ndarray:
    """``(n, d)`` from a column of lists."""
    lengths = set(column.value_lengths().to_pylist())
    if column.null_count or len(lengths) > 1:
        found = "none in a row" if None in lengths else ", ".join(map(str, sorted(lengths)[:3]))
        raise UsageError("the descriptors are not of one length", where=path, found=found)
    values = column.flatten()
    if values.null_count:
        raise UsageError("a descriptor has gaps", where=path, found=f"{values.null_count} values")
    return values.to_numpy(zero_copy_only=False).reshape(len(column), -1)
