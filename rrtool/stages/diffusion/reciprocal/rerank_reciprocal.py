"""``rrtool rerank --method reciprocal``: descriptors and neighbours → ranking."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from rrtool.artifacts import Artifact, Features, Graph, OutputFile, Ranking
from rrtool.core.diffusion.knn import KnnOptions
from rrtool.core.diffusion.reciprocal import (
    MIXTURE,
    ReciprocalEncoder,
    ReciprocalOptions,
    default_k1,
    is_too_many,
)
from rrtool.core.retrieval.ranking import top_rows
from rrtool.errors import OptionError, UsageError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.diffusion.build_graph import Neighbors
from rrtool.stages.driver import Wanted, make
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.matching.rerank_descriptors import RerankInputs, open_inputs, write_reordered
from rrtool.stages.retrieval.descriptors import Descriptors, read_descriptors

# Above it neighbours come from a graph, which is made once and updated.
_SEARCHED_HERE = 50_000
_ROWS_AT_ONCE = 4096


def run(options: RerankOptions, progress: Progress) -> Path:
    """Re-order rankings by k-reciprocal encoding of the database and of each query.

    Raises:
        RrtoolError: the artifacts are about other images, or were not made alike.
    """
    with open_inputs(options) as given:
        database = given.database
        chosen = reciprocal_options(options, database)
        settings = {**vars(chosen), "k1": [*chosen.k1]}
        inputs = replace(given, graph=_graph_for(given, chosen))

        def work(outputs: list[OutputFile]) -> None:
            _tell(inputs, chosen, progress)
            if given.graph is not None and inputs.graph is None:
                progress.message(
                    f"{given.graph.path}: {_lists_of(given.graph)}; {chosen.n_neighbors} "
                    "neighbours of each image are searched"
                )
            d = read_descriptors(database, progress)
            encoder = _encoder(d, inputs.graph, chosen, progress)
            n_entries = inputs.ranking.lengths["L"]

            def reorder(
                query: np.ndarray, listed: np.ndarray
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                similarities = d.vectors @ query
                similarities[~d.usable] = -np.inf
                scores = encoder.rank_scores(similarities)
                ids = top_rows(scores, n_entries)
                return ids, similarities[ids], scores[ids]

            description = {"method": "reciprocal", "reciprocal": settings}
            q = read_descriptors(inputs.queries, progress)
            write_reordered(inputs, q, reorder, outputs[0], description, progress)

        return make(
            options, Wanted(options.output, Ranking, {"method": "reciprocal", **settings}),
            work, progress, network=inputs.ranking.network,
            amount=lambda outputs: _amount(database, inputs.queries, chosen),
            inputs=inputs.records(),
        )  # fmt: skip


def _amount(database: Features, queries: Features, chosen: ReciprocalOptions) -> Amount:
    """Descriptors, lists of neighbours, and the encodings of all images at each k1."""
    n, d, n_queries = database.lengths["n"], database.lengths["d"], queries.lengths["n"]
    lists = sum(20 * k1 for k1 in chosen.k1) + 8 * chosen.n_neighbors
    return Amount(n_queries, "queries", n * (4 * d + lists), parts_of(n_queries))


def reciprocal_options(
    options: RerankOptions, database: Artifact, mixture: float = MIXTURE
) -> ReciprocalOptions:
    """What is asked for, or fits the number of images of the database.

    Args:
        mixture: where none is asked for.

    Raises:
        OptionError: it has fewer images.
    """
    n_images = database.lengths["n"]
    most = max(1, n_images - 1)
    k1 = options.k1 or tuple(min(each, most) for each in default_k1(n_images))
    if max(k1) > most:
        raise OptionError(
            "bad --k1: there are not that many other images", option="k1", where=database.path,
            expected=f"at most {most}", found=max(k1),
        )  # fmt: skip
    mixture = mixture if options.mixture is None else options.mixture
    return ReciprocalOptions(tuple(sorted(set(k1))), options.k2, mixture)


def _graph_for(inputs: RerankInputs, chosen: ReciprocalOptions) -> Graph | None:
    """The graph, if its lists are long enough and whole; of a small collection they are searched.

    Of a verified graph they are not whole: nothing would tell whose neighbour a query may be.

    Raises:
        UsageError: they would take too long.
    """
    graph, n_images, wanted = inputs.graph, inputs.database.lengths["n"], chosen.n_neighbors
    if graph is not None and Graph.n_inliers not in graph and graph.options["k"] >= wanted:
        return graph
    if n_images > _SEARCHED_HERE:
        raise UsageError(
            f"{wanted} neighbours of each of {n_images} images are wanted",
            where=inputs.database.path if graph is None else graph.path,
            found=_lists_of(graph) if graph else None,
            todo=f"build-graph --k {wanted} once, and give it as --graph",
        )  # fmt: skip
    return None


def _lists_of(graph: Graph) -> str:
    """What a graph has, in words."""
    verified = "verified lists, " if Graph.n_inliers in graph else ""
    return f"{verified}k = {graph.options['k']}"


def _tell(inputs: RerankInputs, chosen: ReciprocalOptions, progress: Progress) -> None:
    """Say it beforehand if the ranking is likely to be worse than by similarity."""
    k1, n_images = max(chosen.k1), inputs.database.lengths["n"]
    if is_too_many(k1, n_images):
        progress.message(
            f"{inputs.database.path}: k1 = {k1} neighbours of {n_images} images are more than "
            "belong together, it seems: expect it to rank worse than similarity alone; try a "
            "smaller --k1, or leave it out"
        )


def _encoder(
    database: Descriptors, graph: Graph | None, chosen: ReciprocalOptions, progress: Progress
) -> ReciprocalEncoder:
    if graph is not None:
        ids, similarities = graph.neighbor_ids, graph.similarities
    else:
        ids, similarities = _neighbors(database, chosen.n_neighbors, progress)
    return ReciprocalEncoder(database.vectors, database.is_vertex, ids, similarities, chosen)


def _neighbors(database: Descriptors, k: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """As the lists of a graph."""
    neighbors = Neighbors(database.vectors, database.vertices, KnnOptions(k))
    n, found = len(database.vectors), []
    with progress.task("rerank", n, "neighbours") as advance:
        for rows in parts_of(n, _ROWS_AT_ONCE):
            found.append(neighbors(rows))
            advance(len(rows))
    ids, similarities = (
        np.concatenate([lists[column.name] for lists in found])
        for column in (Graph.neighbor_ids, Graph.similarities)
    )
    return ids, similarities
