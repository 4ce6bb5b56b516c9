"""The chain on made-up pictures, whose first hits are known."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rrtool
from rrtool.artifacts import Ranking, open_artifact
from rrtool.scenes.scenes import Scenes, make_scenes

_SCENES = {"n_objects": 3, "n_views": 2, "n_queries": 1, "n_distractors": 3, "size": 256}
_NETWORK: dict[str, Any] = {"max_size": 256, "scales": (1.0,), "device": "cpu"}


def self_test() -> tuple[dict[str, Any], list[str]]:
    """Describe, search, verify and diffuse; the first hit must be the object's other view.

    Returns:
        How long it took and how much was right; and what is wrong.
    """
    started = time.monotonic()
    with TemporaryDirectory(prefix="rrtool-doctor-") as folder:
        scenes = make_scenes(folder, **_SCENES)
        found = {ranking.stem: first_hits(ranking) for ranking in _rankings(Path(folder), scenes)}
    wrong = [
        f"self test, {ranking}: the first hit of {query} is {hit}, not another view of its object"
        for ranking, hits in found.items()
        for query, hit in hits.items()
        if object_of(hit) != object_of(query)
    ]
    n_hits = sum(map(len, found.values()))
    facts = {
        "stages": "extract, search, rerank, build-graph, diffuse",
        "first hits that are right": f"{n_hits - len(wrong)} of {n_hits}",
        "seconds": round(time.monotonic() - started, 1),
    }
    return facts, wrong


def _rankings(folder: Path, scenes: Scenes) -> list[Path]:
    """The global, the verified and the diffused ranking of the planted objects."""
    local, query_local = folder / "database-local.h5", folder / "query-local.h5"
    database = rrtool.extract(scenes.images, folder / "database.h5", local=local, **_NETWORK)
    queries = rrtool.extract(
        scenes.images, folder / "queries.h5", boxes=scenes.boxes, query_local=query_local,
        levels_from=local, center=database, **_NETWORK,
    )  # fmt: skip
    found = rrtool.search(queries, database, folder / "search.h5")
    verified = rrtool.rerank(
        found, folder / "rerank.h5", query_local=query_local, database_local=local, device="cpu"
    )
    graph = rrtool.build_graph(database, folder / "graph.h5", k=1, device="cpu")
    diffused = rrtool.diffuse(
        folder / "diffuse.h5", graph=graph, queries=queries, database=database, seeds=verified,
        device="cpu",
    )  # fmt: skip
    return [found, verified, diffused]


def first_hits(ranking: Path) -> dict[str, str]:
    """The best image of each query that is not the query's own."""
    with open_artifact(ranking, Ranking) as opened:
        return {
            query: next(hit.name for hit in opened.hits(row) if hit.name != query)
            for row, query in enumerate(opened.query_names)
        }


def object_of(name: str) -> str:
    """What a made-up picture shows, by its name."""
    return name.rpartition("_view_")[0]
