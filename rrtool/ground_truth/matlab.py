"""Reading the ground truths that come as MATLAB files into what their pickles hold."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from rrtool.errors import UsageError
from rrtool.ground_truth.tables import unreadable

# What a damaged file makes the reader raise.
_MALFORMED = (
    ArithmeticError, LookupError, MatReadError, MemoryError, NotImplementedError, TypeError,
    ValueError,
)  # fmt: skip
_VARIABLES = ("imlist", "qimlist", "gnd")
_LISTS = ("easy", "hard", "ok", "junk")


def load_matlab(path: Path) -> dict[str, Any]:
    """`imlist`, `qimlist` and `gnd` of a MATLAB file as plain Python values.

    MATLAB counts from 1: the indices in the lists of `gnd` are counted from 0 here, as in the
    pickles. Boxes stay as they are.

    Raises:
        UsageError: the file cannot be read, or is no MATLAB file of version 7 or before.
    """
    try:
        content = loadmat(path, simplify_cells=True, variable_names=_VARIABLES)
    except OSError as error:
        raise unreadable(path, error) from error
    except _MALFORMED as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            "not a readable MATLAB file", where=path, expected="version 7 or before", found=reason
        ) from error
    found = {key: _listed(content[key]) for key in _VARIABLES if key in content}
    return found | {"gnd": [_entry(entry) for entry in found.get("gnd", [])]}


def _entry(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return {
        key: [_from_zero(value) for value in _listed(values)] if key in _LISTS else _listed(values)
        for key, values in entry.items()
    }


def _listed(value: Any) -> list:
    """A list again of what the reader takes for one value where there is only one."""
    if isinstance(value, list):
        return value
    return value.tolist() if isinstance(value, np.ndarray) and value.ndim else [value]


def _from_zero(value: Any) -> Any:
    """MATLAB stores whole numbers as floating-point ones."""
    if isinstance(value, float) and value.is_integer():
        return int(value) - 1
    return value - 1 if type(value) is int else value
