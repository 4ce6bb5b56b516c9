"""Query times of thesis fig. 5.10: one descriptor an image against regions, with diffusion or not.

Reads what ``pipelines/regional.mk`` has made, and asks one query after the other; loading is not
counted. Run: ``python benchmarks/regional.py build/regional``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from timing import compare, print_machine

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Graph
from rrtool.core.retrieval.ranking import rank_by_similarity, top_rows
from rrtool.core.retrieval.regional import cross_match
from rrtool.progress import Silent
from rrtool.stages.diffusion.inputs import DiffusionInputs
from rrtool.stages.diffusion.options import DiffuseOptions
from rrtool.stages.diffusion.ranker import Ranker
from rrtool.stages.retrieval.descriptors import Descriptors, open_described, read_descriptors


def searcher(queries: Descriptors, database: Descriptors, n_queries: int) -> Callable[[], None]:
    """Ranks the whole database for every query, by descriptors of images or of regions."""

    def search() -> None:
        for query in range(n_queries):
            if len(database.vectors) == len(database.offsets) - 1:
                own = queries.vectors[query : query + 1]
                list(
                    rank_by_similarity(
                        own, database.vectors, database.usable, len(database.vectors)
                    )
                )
            else:
                first, last = queries.offsets[query : query + 2].tolist()
                to_regions = queries.vectors[first:last] @ database.vectors.T
                scores = cross_match(to_regions, np.array([0, last - first]), database.offsets)
                top_rows(scores[0], len(database.offsets) - 1)

    return search


def diffuser(inputs: DiffusionInputs, n_queries: int) -> Callable[[], None]:
    options = DiffuseOptions(graph="", queries="", database="", output="", device="cpu")
    ranker = Ranker.of(inputs, options, "cpu", Silent())

    def diffuse() -> None:
        for query in range(n_queries):
            ranker.rank(range(query, query + 1))

    return diffuse


def made(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, queries and database of what is there, one descriptor an image first."""
    for name in ("gem", "os"):
        yield name, folder / "queries.h5", folder / f"{name}-features.h5"
    for database in sorted(folder.glob("*-regions.h5")):
        name = database.stem.removesuffix("-regions")
        yield name, folder / f"{name}-queries.h5", database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="OUT of pipelines/regional.mk")
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    print_machine()
    sides: dict[str, Callable[[], None]] = {}
    with ExitStack() as stack:
        for name, queries_path, database_path in made(arguments.folder):
            q, d = open_described(queries_path), open_described(database_path)
            graph = open_artifact(arguments.folder / f"{name}-graph.h5", Graph)
            for artifact in (q, d, graph):
                stack.enter_context(artifact)
            queries, database = (read_descriptors(artifact, Silent()) for artifact in (q, d))
            n_queries = min(arguments.queries, len(queries.offsets) - 1)
            size = len(database.vectors) / max(1, database.usable_images.sum())
            sides[f"{name}, {size:.3g} an image"] = searcher(queries, database, n_queries)
            sides[f"{name}, diffusion"] = diffuser(DiffusionInputs(graph, q, d), n_queries)
        print(f"{len(database.offsets) - 1} images; times are of {n_queries} queries")
        compare(sides, arguments.repeats)


if __name__ == "__main__":
    main()
