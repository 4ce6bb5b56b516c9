"""Ground truth of a retrieval run: from what the user names to positives and junk per query.

source = load("gnd_roxford5k.pkl")
setups = source.resolve(query_names, database_names)  # {"easy": [...], "medium": ..., ...}
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth import groups, numbered, oxford, revisited
from rrtool.ground_truth.names import first_few

__all__ = ["PROTOCOLS", "UKBENCH", "GroundTruthSource", "detect_protocol", "load", "resolve"]

# Benchmarks whose images' names say it all: their own name is the source.
_NUMBERED = {
    each.protocol: each for each in (numbered.Holidays, numbered.Copydays, numbered.UkBench)
}
UKBENCH = numbered.UkBench.protocol
_SOURCES = (
    f"prefix:REGEX, folder, {', '.join(_NUMBERED)}, a CSV/TSV file, a benchmark's .pkl or .mat "
    "file, or an Oxford5k folder"
)


class GroundTruthSource(Protocol):
    """A ground truth that has been read, and waits for the names of an artifact."""

    @property
    def protocol(self) -> str: ...

    @property
    def source(self) -> str: ...

    def resolve(
        self,
        query_names: Sequence[str],
        database_names: Sequence[str],
        query_boxes: Any = None,
        tell: Callable[[str], None] | None = None,
    ) -> Mapping[str, Sequence[QueryGroundTruth]]:
        """The ground truth per setup, one entry per query, as rows of the database.

        Args:
            tell: gets a line of what people should know about it.
        """
        ...

    def describe(self) -> dict[str, str]:
        """All the rules the scores depend on, for the provenance of an evaluation."""
        ...


_LOADERS: dict[str, Callable[[str], GroundTruthSource]] = {
    groups.PROTOCOL: groups.load_groups,
    revisited.PROTOCOL: revisited.load_revisited,
    oxford.PROTOCOL: oxford.load_oxford,
}
PROTOCOLS = (*_LOADERS, revisited.INSTRE, *_NUMBERED)


def load(source: str, protocol: str | None = None) -> GroundTruthSource:
    """Reads a ground truth.

    Args:
        source: `prefix:REGEX`, `folder`, `holidays`, `copydays`, `ukbench`, or the path of a
            CSV/TSV file, of a revisited or other benchmark's `.pkl` or `.mat` file, or of a folder
            of Oxford5k text files.
        protocol: one of `PROTOCOLS`; by default the one the source's form tells.

    Raises:
        UsageError: the source is missing or malformed, or is not of the protocol.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise UsageError(
            "unknown protocol", expected=f"one of {', '.join(PROTOCOLS)}", found=f"'{protocol}'"
        )
    found = detect_protocol(source)
    truth = _NUMBERED[source]() if source in _NUMBERED else _LOADERS[found](source)
    if protocol not in (None, truth.protocol):
        raise UsageError(
            "the ground truth is not of the protocol asked for",
            where=source,
            expected=protocol,
            found=truth.protocol,
            todo="leave the protocol out, or name another ground truth",
        )
    return truth


def resolve(
    truth: GroundTruthSource,
    query_names: Sequence[str],
    database_names: Sequence[str],
    query_boxes: Any = None,
    tell: Callable[[str], None] | None = None,
) -> Mapping[str, Sequence[QueryGroundTruth]]:
    """The ground truth per setup, of which at least one query has something to find.

    Raises:
        UsageError: none has, or the names do not fit the ground truth.
    """
    setups = truth.resolve(query_names, database_names, query_boxes, tell)
    found = (len(query.positives) > 0 for queries in setups.values() for query in queries)
    if query_names and not any(found):
        queries, images = first_few(query_names), first_few(database_names)
        raise UsageError(
            "no query has anything to find in the database", where=truth.source,
            found=f"queries {queries}; images of the database {images}",
            todo="name them alike; " + groups.ADVICE if truth.protocol == groups.PROTOCOL else None,
        )  # fmt: skip
    return setups


def detect_protocol(source: str) -> str:
    """The protocol a source belongs to, by its form alone: benchmarks in one file share theirs.

    Raises:
        UsageError: it has none of the known forms, or does not exist.
    """
    if source.startswith(groups.PREFIX) or source == groups.FOLDER:
        return groups.PROTOCOL
    if source in _NUMBERED:
        return source
    path = Path(source)
    if os.path.isdir(path):  # unlike Path's, it answers no where it may not look
        if oxford.query_paths(path):
            return oxford.PROTOCOL
        raise UsageError("not a ground truth", where=source, expected=_SOURCES, found="a folder")
    if not os.path.isfile(path):
        found = "a pipe, a socket or a device" if os.path.exists(path) else None
        raise UsageError("no such ground truth", where=source, expected=_SOURCES, found=found)
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle", ".mat"):
        return revisited.PROTOCOL
    if suffix in (".csv", ".tsv", ".txt"):
        return groups.PROTOCOL
    raise UsageError(
        "not a ground truth", where=source, expected=_SOURCES, found=f"a '{suffix}' file"
    )
