"""What all reports share: where the page goes, and how its artifacts were made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.errors import UsageError, WorkFailed
from rrtool.reports.document import GENERATOR

UNTRAINED = "The network is untrained (seeded random weights)."


def checked_output(output: str | Path, overwrite: bool) -> Path:
    """The path of the page to be; a page of an earlier run may be replaced.

    Raises:
        UsageError: it is a folder or has none, or a file that is no report is in the way.
    """
    output = Path(output)
    if output.is_dir():
        raise UsageError("the output is a folder", where=output, expected="a file name")
    if not output.parent.is_dir():
        raise UsageError("there is no such folder for the output", where=output.parent)
    if output.exists() and not overwrite and not _is_report(output):
        raise UsageError(
            "the output exists and is no report of rrtool",
            where=output,
            todo="use --overwrite to replace it, or choose another -o",
        )
    return output


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return f'<meta name="generator" content="{GENERATOR}'.encode() in file.read(1024)
    except OSError:
        return False


def write_page(output: Path, pieces: Iterable[str]) -> Path:
    """Write the page in one step: it is there whole, or as it was before.

    Raises:
        WorkFailed: it cannot be written.
    """
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
        temporary.replace(output)
    except OSError as error:
        raise WorkFailed(
            "cannot write the page", where=output, found=error.strerror or str(error)
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return output


def evenly_spaced(n: int, most: int) -> list[int]:
    """At most ``most`` of ``n`` rows, first and last among them."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).round()).astype(int).tolist()


def facts_of(description: Mapping[str, Any]) -> dict[str, str]:
    """How an artifact was made, in words."""
    facts = {}
    for key, value in description.items():
        if key == "network":
            facts["network"], facts["weights"] = str(value.get("name")), str(value.get("weights"))
        elif isinstance(value, dict):
            facts[_label(key)] = ", ".join(f"{_label(k)} {v}" for k, v in value.items())
        elif isinstance(value, list):
            facts[_label(key)] = ", ".join(map(str, value))
        elif value is not None:
            facts[_label(key)] = str(value)
    return facts


def _label(key: str) -> str:
    return key.replace("_", " ")
