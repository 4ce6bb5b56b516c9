"""``rrtool rerank --method reciprocal``: descriptors and neighbours → ranking."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Features,
    Graph,
    OutputFile,
    Ranking,
    open_artifact,
    require_graph_of,
    require_same_names,
)
from rrtool.core.diffusion.knn import KnnOptions
from rrtool.core.diffusion.reciprocal import (
    ReciprocalEncoder,
    ReciprocalOptions,
    default_k1,
    default_k2,
)
from rrtool.core.retrieval.ranking import top_rows
from rrtool.errors import OptionError, UsageError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.diffusion.build_graph import Neighbors
from rrtool.stages.driver import Datasets, Wanted, as_inputs, fill, make
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.retrieval.descriptors import (
    Descriptors,
    read_descriptors,
    require_comparable,
)

# Above it neighbours come from a graph, which is made once and updated.
_SEARCHED_HERE = 50_000
_ROWS_AT_ONCE = 4096


def run(options: RerankOptions, progress: Progress) -> Path:
    """Re-order rankings by k-reciprocal encoding of the database and of each query.

    Raises:
        RrtoolError: the artifacts are about other images, or were not made alike.
    """
    with (
        open_artifact(options.ranking, Ranking) as ranking,
        open_artifact(options.queries or "", Features) as queries,
        open_artifact(options.database or "", Features) as database,
        open_artifact(options.graph, Graph) if options.graph else nullcontext() as graph,
    ):
        require_comparable(queries, database)
        require_same_names(ranking.query_names, ranking.path, queries.names, queries.path)
        require_same_names(ranking.database_names, ranking.path, database.names, database.path)
        _require_plain(ranking)
        chosen = _chosen(options, database.lengths["n"])
        if graph is not None:
            require_graph_of(graph, database)
            _require_enough(graph, chosen.k1)
        elif database.lengths["n"] > _SEARCHED_HERE:
            raise UsageError(
                f"the neighbours of {database.lengths['n']} images are wanted",
                where=database.path, todo="build-graph once, and give it as --graph",
            )  # fmt: skip

        def work(outputs: list[OutputFile]) -> None:
            d = read_descriptors(database, progress)
            encoder = _encoder(d, graph, chosen, progress)
            q = read_descriptors(queries, progress)
            _rerank(ranking, q, d, encoder, outputs[0], progress, vars(chosen))

        return make(
            options, Wanted(options.output, Ranking, {"method": "reciprocal", **vars(chosen)}),
            work, progress, network=ranking.network,
            amount=lambda outputs: _amount(database, len(queries.names), chosen),
            inputs=as_inputs(ranking=ranking, queries=queries, database=database, graph=graph),
        )  # fmt: skip


def _require_plain(ranking: Ranking) -> None:
    if {"verification", "diffusion"} & ranking.extra["description"].keys():
        raise UsageError(
            "what has re-ordered this ranking would be lost", where=ranking.path,
            expected="a ranking from search", found=ranking.extra["description"].get("method"),
        )  # fmt: skip


def _amount(database: Features, n_queries: int, chosen: ReciprocalOptions) -> Amount:
    """Descriptors, and the encodings by row and by column."""
    n, d = database.lengths["n"], database.lengths["d"]
    memory = 4 * n * d + 16 * n * min(n, 2 * chosen.k1 * chosen.k2)
    return Amount(n_queries, "queries", memory, parts_of(n_queries))


def _chosen(options: RerankOptions, n_images: int) -> ReciprocalOptions:
    k1 = options.k1 or min(default_k1(n_images), max(1, n_images - 1))
    if k1 >= max(2, n_images):
        raise OptionError(
            "bad --k1: there are not that many other images",
            option="k1", where=options.database, expected=f"at most {n_images - 1}", found=k1,
        )  # fmt: skip
    return ReciprocalOptions(k1, options.k2 or default_k2(k1), options.mixture)


def _require_enough(graph: Graph, k1: int) -> None:
    if graph.options["k"] < k1:
        raise UsageError(
            "the graph has fewer neighbours than must be mutual", where=graph.path,
            expected=f"at least --k1 {k1}", found=graph.options["k"],
            todo="build-graph with a larger --k, give a smaller --k1, or leave --graph out",
        )  # fmt: skip


def _encoder(
    database: Descriptors, graph: Graph | None, chosen: ReciprocalOptions, progress: Progress
) -> ReciprocalEncoder:
    is_image = np.zeros(len(database.vectors), bool)
    is_image[database.vertices] = True
    if graph is not None:
        ids, similarities = graph.neighbor_ids, graph.similarities
    else:
        ids, similarities = _neighbors(database, max(chosen.k1, chosen.k2 - 1), progress)
    return ReciprocalEncoder(database.vectors, is_image, ids, similarities, chosen)


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


def _rerank(
    ranking: Ranking,
    queries: Descriptors,
    database: Descriptors,
    encoder: ReciprocalEncoder,
    output: OutputFile,
    progress: Progress,
    settings: dict[str, Any],
) -> None:
    n_entries = ranking.lengths["L"]

    def rows_of(rows: range) -> Datasets:
        ids = np.full((len(rows), n_entries), -1, np.int32)
        similarities = np.full((len(rows), n_entries), -np.inf, np.float32)
        scores = similarities.copy()
        for place, row in enumerate(rows):
            if not queries.usable[row]:
                continue
            alike = database.vectors @ queries.vectors[row]
            alike[~database.usable] = -np.inf
            scored = encoder.rank_scores(alike)
            found = top_rows(scored, n_entries)
            ids[place, : len(found)] = found
            similarities[place, : len(found)] = alike[found]
            scores[place, : len(found)] = scored[found]
        return Ranking.columns(ids=ids, similarities=similarities, scores=scores)

    n_parts = fill(output, len(queries.vectors), rows_of, progress, label="rerank", unit="queries")
    before = ranking.extra["description"]
    output.publish(
        Ranking.columns(
            query_names=ranking.query_names,
            database_names=ranking.database_names,
            query_boxes=ranking.query_boxes,
        ),
        n_parts=n_parts,
        extra={
            "description": {
                **before,
                "method": f"{before.get('method')} + reciprocal",
                "reciprocal": settings,
            }
        },
    )
