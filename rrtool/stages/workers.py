"""Parts of an output on workers, which write them into the folder of the run's parts."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import PartsFolder
from rrtool.artifacts.provenance import library_versions
from rrtool.cores import threads_of_a_worker
from rrtool.engine.worker import at_work
from rrtool.errors import WorkFailed

# From the rows of a part to its datasets.
Compute = Callable[[range], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Order:
    """What a worker is told of a run, whatever the run is of.

    Attributes:
        n_threads: to compute with.
        versions: that a worker must have of libraries.
        run: tells runs apart.
    """

    n_threads: int = field(default_factory=threads_of_a_worker, kw_only=True)
    versions: Mapping[str, str] = field(default_factory=library_versions, kw_only=True)
    run: str = field(default_factory=lambda: str(uuid.uuid4()), kw_only=True)

    def require_same_versions(self) -> None:
        """On a worker.

        Raises:
            WorkFailed: libraries here are of other versions.
        """
        require_alike("versions", self.versions, library_versions())


@dataclass(frozen=True)
class RowsOrder(Order):
    """Parts that depend on their rows alone.

    Attributes:
        opener: gives what computes them; called once a worker.
        folder: of the parts.
    """

    opener: Callable[[], Compute]
    folder: PartsFolder


@dataclass(frozen=True)
class RowsPart:
    """A part and its rows."""

    number: int
    rows: range

    def __str__(self) -> str:
        return f"rows {self.rows.start} to {self.rows.stop - 1}"


def write_rows(order: RowsOrder, part: RowsPart) -> int:
    """On a worker: compute a part and write it.

    Raises:
        WorkFailed: versions are others here, or the folder is not to be seen.
        RrtoolError: what the stage raises.
    """
    order.folder.require_here()
    with at_work(order.run, lambda: _opened(order)) as compute:
        if not order.folder.has(part.number):  # dask forgets what a worker had done that died
            limit_threads(order.n_threads)
            order.folder.write_part(part.number, compute(part.rows))
    return part.number


def _opened(order: RowsOrder) -> Compute:
    order.require_same_versions()
    return order.opener()


def limit_threads(n_threads: int) -> None:
    """Of libraries that are imported; the numbers are of this thread, or of the process."""
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(n_threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n_threads)


def located(folder: PartsFolder) -> PartsFolder:
    """The same for a process in another folder."""
    return replace(folder, output=Path(os.path.abspath(folder.output)))


def require_alike(what: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """On a worker: whether it has the same as the run.

    Raises:
        WorkFailed: it does not.
    """
    for key in sorted({*expected, *found}):
        if expected.get(key) != found.get(key):
            raise WorkFailed(
                f"a worker has another {what} ({key})", where=socket.gethostname(),
                expected=expected.get(key), found=found.get(key),
                todo="give all workers the same installation",
            )  # fmt: skip
