"""What reports share: which rows they show, and how their artifacts were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rrtool.artifacts import open_artifact
from rrtool.errors import UsageError

# Learning curves show many states on one page; every other page shows one artifact.
KINDS = ("ranking", "saliency", "objects", "al-state", "al-agreement")
UNTRAINED = "The network is untrained (seeded random weights)."


def kind_of(paths: Sequence[str]) -> str:
    """The kind of the artifacts of a report.

    Raises:
        RrtoolError: they are of several kinds, or several of a kind that makes a page alone.
    """
    with open_artifact(paths[0], *KINDS) as first:
        kind = first.kind
    for path in paths[1:]:
        with open_artifact(path, kind):
            pass
    if kind != "al-state" and len(paths) > 1:
        raise UsageError("a page shows one such artifact", expected=f"one {kind}", found=len(paths))
    return kind


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
