"""``rrtool search``: query and database features → ranking."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool.artifacts import Artifact, Provenance, create, encode_texts, open_artifact
from rrtool.core.ranking import rank_by_similarity
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.compatibility import require_equal, require_same_network

_DESCRIPTION = ("max_size", "scales", "pool", "gem_exponent", "whitening")


@dataclass(frozen=True)
class SearchOptions:
    """Options of ``search``.

    Attributes:
        top: entries of each ranking; None ranks the whole database.
    """

    top: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise UsageError("bad --top", expected="at least 1", found=self.top)


def run(
    queries: str,
    database: str,
    output: str | Path,
    options: SearchOptions,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Rank the database by cosine similarity to each query (thesis §2.5).

    Rows that failed in ``extract`` are in no ranking; a failed query has an empty one.

    Returns:
        The path of the ``ranking`` artifact.

    Raises:
        RrtoolError: the two are no features, or were not made alike.
    """
    with open_artifact(queries, "features") as q, open_artifact(database, "features") as d:
        require_same_network(q, d)
        for key in _DESCRIPTION:
            require_equal(
                f"--{key.replace('_', '-')}", q, q.options.get(key), d, d.options.get(key)
            )
        require_equal("dimension", q, q.shape("descriptors")[1], d, d.shape("descriptors")[1])
        provenance = Provenance(
            "ranking",
            {"top": options.top},
            [q.as_input("queries"), d.as_input("database")],
            d.network,
        )
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            ids, similarities = _rank(q, d, options, progress)
            return target.publish(
                {
                    "ids": ids,
                    "scores": similarities,
                    "similarities": similarities,
                    **encode_texts(q.read_texts("names"), "query_names"),
                    **encode_texts(d.read_texts("names"), "database_names"),
                    "query_boxes": q.read("boxes"),
                },
                extra={"description": describe(q, d, options)},
            )


def describe(queries: Artifact, database: Artifact, options: SearchOptions) -> dict[str, object]:
    """What a score that is computed from this ranking has to carry."""
    return {
        "method": "global",
        "network": database.network,
        **{key: database.options.get(key) for key in _DESCRIPTION},
        "query_crop": bool(queries.options.get("boxes")),
        "top": options.top,
        "mode": "inductive",
        "n_failed_queries": int(np.count_nonzero(queries.read("status"))),
        "n_failed_database": int(np.count_nonzero(database.read("status"))),
    }


def _rank(
    queries: Artifact, database: Artifact, options: SearchOptions, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    vectors, usable = read_usable(database, progress)
    query_vectors, query_usable = read_usable(queries, progress)
    top = min(options.top or len(vectors), int(usable.sum()))
    ids = np.full((len(query_vectors), top), -1, dtype=np.int32)
    similarities = np.full((len(query_vectors), top), -np.inf, dtype=np.float32)
    rows = np.flatnonzero(query_usable)
    start = 0
    with progress.task("search", len(rows), "queries") as advance:
        for found, values in rank_by_similarity(query_vectors[rows], vectors, usable, top):
            block = rows[start : start + len(found)]
            ids[block], similarities[block] = found, values
            start += len(found)
            advance(len(found))
    return ids, similarities


def read_usable(features: Artifact, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors ``(n, d)`` float32, unusable rows zeroed, and which rows are usable ``(n,)``.

    Raises:
        ArtifactError: no row is usable.
    """
    vectors = features.read("descriptors").astype(np.float32, copy=False)
    usable = features.read("status") == 0
    broken = usable & ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        example = features.read_texts("names")[int(np.argmax(broken))]
        progress.message(
            f"{features.path}: {broken.sum()} descriptors are not finite and are left out, "
            f"e.g. {example}"
        )
        usable &= ~broken
    zero = usable & ~vectors.any(axis=1)
    if zero.any():
        example = features.read_texts("names")[int(np.argmax(zero))]
        progress.message(
            f"{features.path}: {zero.sum()} descriptors are zero and similar to nothing, "
            f"e.g. {example}"
        )
    if not usable.any():
        raise ArtifactError("no row is usable", where=features.path)
    vectors = np.where(usable[:, None], vectors, np.float32(0))
    return vectors, usable
