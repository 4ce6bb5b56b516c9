"""``rrtool search``: query and database features → ranking."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from rrtool.artifacts import Features, OutputFile, Ranking, Regions
from rrtool.core.retrieval.ranking import Nearest, in_blocks, top_rows
from rrtool.core.retrieval.regional import cross_match
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.driver import Wanted, as_inputs, make
from rrtool.stages.retrieval.descriptors import (
    DESCRIPTION,
    Described,
    Descriptors,
    is_regional,
    open_described,
    read_blocks,
    read_descriptors,
    read_usable,
    require_comparable,
)
from rrtool.stages.retrieval.options import SearchOptions


def run(options: SearchOptions, progress: Progress) -> Path:
    """Rank the database by cosine similarity to each query (thesis §2.5).

    Images of several descriptors (``regions``) are compared by cross-matching: for each region
    of the query its best region of the image, averaged (R-Match, [Raz+16] in the thesis).

    Rows that failed in ``extract`` are in no ranking; a failed query has an empty one. With
    query expansion or database augmentation the similarities are those of the last search.

    Raises:
        RrtoolError: the two are no features, or were not made alike.
    """
    with (
        open_described(options.queries) as queries,
        open_described(options.database) as database,
    ):
        for artifact in (queries, database) if options.regional else ():
            _require_regions(artifact)
        require_comparable(queries, database)

        def work(outputs: list[OutputFile]) -> None:
            if top != options.top:
                progress.message(f"each ranking keeps the first {top} of {n_images} images (--top)")
            if isinstance(queries, Features) and isinstance(database, Features):
                ids, similarities = _rank(queries, database, asked, progress)
            else:
                ids, similarities = _cross_match(queries, database, asked, progress)
            outputs[0].publish(
                Ranking.columns(
                    ids=ids,
                    similarities=similarities,
                    query_names=queries.names,
                    database_names=database.names,
                    query_boxes=queries.boxes,
                ),
                extra={"description": describe(queries, database, options.method(), top)},
            )

        n_images = database.lengths["n"]
        top = options.top_of(n_images)
        asked = replace(options, top=top)
        wanted = Wanted(str(options.output), Ranking, asked.settings(), asks=options)
        inputs = as_inputs(queries=queries, database=database)
        return make(options, wanted, work, progress, inputs=inputs, network=database.network)


def _require_regions(artifact: Described) -> None:
    if not isinstance(artifact, Regions):
        raise ArtifactError(
            "--regional matches regions of images, and this has one descriptor an image",
            where=artifact.path,
            expected="regions",
            found=artifact.kind,
            todo="make both with extract --regions, or leave --regional out",
        )


def _cross_match(
    queries: Described, database: Described, options: SearchOptions, progress: Progress
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


def describe(
    queries: Described, database: Described, method: str, top: int | None
) -> dict[str, object]:
    """What a score that is computed from this ranking has to carry."""
    made = database.options
    return {
        "method": "R-Match" if is_regional(queries, database) else method,
        "network": database.network,
        "described_by": made.get("described_by", made.get("regions")) or "whole images",
        "vectors_per_image": _vectors_per_image(database),
        **{key: made.get(key) for key in DESCRIPTION},
        "query_crop": bool(queries.options.get("boxes")),
        "top": top,
        "mode": "inductive",
        "n_failed_queries": int(np.count_nonzero(queries.status)),
        "n_failed_database": int(np.count_nonzero(database.status)),
    }


def _vectors_per_image(artifact: Described) -> float:
    """Mean over the images that did not fail."""
    n_images = np.count_nonzero(artifact.status == 0)
    if not isinstance(artifact, Regions) or not n_images:
        return 1.0
    return artifact.lengths["r"] / n_images


def _rank(
    queries: Features, database: Features, options: SearchOptions, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    query_vectors, query_usable = read_usable(queries, progress)
    rows, n_images = np.flatnonzero(query_usable), database.lengths["n"]
    searched, blocks = query_vectors[rows], read_blocks(database, progress)
    if options.augment or options.expand:
        names = [queries.names[row] for row in rows]
        images = _image_ids(names, database.names)
        held = read_usable(database, progress)
        searched, vectors = _average(searched, *held, images, options, progress)
        blocks = in_blocks(vectors, held[1])
    nearest = Nearest(searched, min(options.top or n_images, n_images))
    with progress.task("search", n_images, "images") as advance:
        for vectors, usable in blocks:
            nearest.add(vectors, usable)
            advance(len(vectors))
    found, values = nearest.ranking()
    ids = np.full((len(query_vectors), found.shape[1]), -1, dtype=np.int32)
    similarities = np.full(ids.shape, -np.inf, dtype=np.float32)
    ids[rows], similarities[rows] = found, values
    return ids, similarities


def _average(
    queries: np.ndarray,
    database: np.ndarray,
    usable: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    options: SearchOptions,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Queries and database after the averaging that the options ask for."""
    # Here, because scipy.sparse takes its time to import.
    from rrtool.core.retrieval.query_expansion import augment_database, expand_queries

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
    queries, database = ([ids[name] for name in each] for each in (query_names, database_names))
    return np.array(queries, dtype=np.int64), np.array(database, dtype=np.int64)
