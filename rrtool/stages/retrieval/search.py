"""``rrtool search``: query and database features → ranking."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rrtool.artifacts import Artifact, Provenance, create, encode_texts, open_artifact
from rrtool.core.retrieval.query_expansion import augment_database, expand_queries
from rrtool.core.retrieval.ranking import rank_by_similarity, top_rows
from rrtool.core.retrieval.regional import cross_match
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.retrieval.descriptors import (
    DESCRIPTION,
    Descriptors,
    read_descriptors,
    read_usable,
    require_comparable,
)


@dataclass(frozen=True)
class SearchOptions:
    """Options of ``search``.

    Attributes:
        top: entries of each ranking; None ranks the whole database.
        expand: average each query with this many of its nearest images and search again.
        expand_alpha: weigh them by similarity to this power; 0 weighs all alike.
        augment: average each database descriptor with this many of its nearest first.
    """

    top: int | None = None
    expand: int = 0
    expand_alpha: float = 0.0
    augment: int = 0

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise UsageError("bad --top", expected="at least 1", found=self.top)
        for name in ("expand", "augment"):
            if getattr(self, name) < 0:
                raise UsageError(f"bad --{name}", expected="at least 0", found=getattr(self, name))
        if not 0 <= self.expand_alpha <= 100:
            raise UsageError("bad --expand-alpha", expected="[0, 100]", found=self.expand_alpha)
        if self.expand_alpha and not (self.expand or self.augment):
            raise UsageError(
                "--expand-alpha has no effect alone", todo="give --expand or --augment"
            )

    def method(self) -> str:
        """In words, such as ``global + DBA 5 + AQE 10``."""
        weights = f" (α {self.expand_alpha:g})" if self.expand_alpha else ""
        prefix = "α" if self.expand_alpha else "A"
        steps = ["global"]
        if self.augment:
            steps.append(f"DBA {self.augment}{weights}")
        if self.expand:
            steps.append(f"{prefix}QE {self.expand}{weights}")
        return " + ".join(steps)


def run(
    queries: str,
    database: str,
    output: str | Path,
    options: SearchOptions,
    *,
    regional: bool = False,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Rank the database by cosine similarity to each query (thesis §2.5).

    Images of several descriptors (``regions``) are compared by cross-matching: for each region
    of the query its best region of the image, averaged (R-Match, [Raz+16] in the thesis).

    Rows that failed in ``extract`` are in no ranking; a failed query has an empty one. With
    query expansion or database augmentation the similarities are those of the last search.

    Args:
        regional: accept nothing but regions; the result is the same without.

    Returns:
        The path of the ``ranking`` artifact.

    Raises:
        RrtoolError: the two are no features, or were not made alike.
    """
    kinds = ("features", "regions")
    with open_artifact(queries, *kinds) as q, open_artifact(database, *kinds) as d:
        for artifact in (q, d) if regional else ():
            _require_regions(artifact)
        require_comparable(q, d)
        provenance = Provenance(
            "ranking",
            asdict(options),
            [q.as_input("queries"), d.as_input("database")],
            d.network,
        )
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            rank = _rank if not is_regional(q, d) else _cross_match
            ids, similarities = rank(q, d, options, progress)
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


def _require_regions(artifact: Artifact) -> None:
    if artifact.kind != "regions":
        raise ArtifactError(
            "--regional matches regions of images, and this has one descriptor an image",
            where=artifact.path,
            expected="regions",
            found=artifact.kind,
            todo="make both with extract --regions, or leave --regional out",
        )


def is_regional(queries: Artifact, database: Artifact) -> bool:
    """Whether one of them has several descriptors an image."""
    return "regions" in (queries.kind, database.kind)


def _cross_match(
    queries: Artifact, database: Artifact, options: SearchOptions, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    if options.expand or options.augment:
        raise UsageError("--expand and --augment average descriptors of images, not of regions")
    q, d = read_descriptors(queries, progress), read_descriptors(database, progress)
    n_queries, n_images = len(q.offsets) - 1, int(d.usable_images.sum())
    top = min(options.top or n_images, n_images)
    ids = np.full((n_queries, top), -1, dtype=np.int32)
    similarities = np.full((n_queries, top), -np.inf, dtype=np.float32)
    with progress.task("search", n_queries, "queries") as advance:
        for query in range(n_queries):
            scores = match_regions(q, query, d)
            found = top_rows(scores, top)
            ids[query, : len(found)] = found
            similarities[query, : len(found)] = scores[found]
            advance(1)
    return ids, similarities


def match_regions(queries: Descriptors, query: int, database: Descriptors) -> np.ndarray:
    """``(n,)`` scores of all images by cross-matching with one query, −inf for none."""
    own = slice(*queries.offsets[query : query + 2].tolist())
    vectors = queries.vectors[own][queries.usable[own]]
    to_regions = vectors @ database.vectors.T
    to_regions[:, ~database.usable] = -np.inf
    return cross_match(to_regions, np.array([0, len(vectors)]), database.offsets)[0]


def describe(queries: Artifact, database: Artifact, options: SearchOptions) -> dict[str, object]:
    """What a score that is computed from this ranking has to carry."""
    return {
        "method": "R-Match" if is_regional(queries, database) else options.method(),
        "network": database.network,
        "described_by": _described_by(database),
        "vectors_per_image": _vectors_per_image(database),
        **{key: database.options.get(key) for key in DESCRIPTION},
        "query_crop": bool(queries.options.get("boxes")),
        "top": options.top,
        "mode": "inductive",
        "n_failed_queries": int(np.count_nonzero(queries.read("status"))),
        "n_failed_database": int(np.count_nonzero(database.read("status"))),
    }


def _described_by(artifact: Artifact) -> str:
    what = artifact.options.get("described_by", artifact.options.get("regions"))
    return what or "whole images"


def _vectors_per_image(artifact: Artifact) -> float:
    """Mean over the images that did not fail."""
    n_images = np.count_nonzero(artifact.read("status") == 0)
    if artifact.kind != "regions" or not n_images:
        return 1.0
    return artifact.shape("descriptors")[0] / n_images


def _rank(
    queries: Artifact, database: Artifact, options: SearchOptions, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    vectors, usable = read_usable(database, progress)
    query_vectors, query_usable = read_usable(queries, progress)
    rows = np.flatnonzero(query_usable)
    query_names = np.array(queries.read_texts("names"), dtype=object)[rows]
    images = _image_ids(list(query_names), database.read_texts("names"))
    searched, vectors = _average(query_vectors[rows], vectors, usable, images, options, progress)
    top = min(options.top or len(vectors), int(usable.sum()))
    ids = np.full((len(query_vectors), top), -1, dtype=np.int32)
    similarities = np.full((len(query_vectors), top), -np.inf, dtype=np.float32)
    start = 0
    with progress.task("search", len(rows), "queries") as advance:
        for found, values in rank_by_similarity(searched, vectors, usable, top):
            block = rows[start : start + len(found)]
            ids[block], similarities[block] = found, values
            start += len(found)
            advance(len(found))
    return ids, similarities


def _average(
    queries: np.ndarray,
    database: np.ndarray,
    usable: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    options: SearchOptions,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Queries and database after the averaging that the options ask for, if any."""
    alpha = options.expand_alpha
    if options.augment:
        with progress.task("augment", int(usable.sum()), "images") as advance:
            database = augment_database(database, usable, options.augment, alpha, advance)
    if options.expand:
        with progress.task("expand", len(queries), "queries") as advance:
            queries = expand_queries(
                queries, database, usable, options.expand, alpha, images, advance
            )
    return queries, database


def _image_ids(query_names: list[str], database_names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Equal integers where the names are equal."""
    ids = {name: i for i, name in enumerate(dict.fromkeys([*query_names, *database_names]))}
    return (
        np.array([ids[name] for name in query_names], dtype=np.int64),
        np.array([ids[name] for name in database_names], dtype=np.int64),
    )
