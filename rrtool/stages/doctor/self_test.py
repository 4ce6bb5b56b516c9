"""The chain on made-up pictures, whose first hits are known."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import rrtool
from rrtool.artifacts import Ranking, open_artifact
from rrtool.scenes.pictures import draw_poster

_N_OBJECTS = 4
_SIDE = 224  # pixels
_NETWORK: dict[str, Any] = {"max_size": _SIDE, "scales": (1.0,), "device": "cpu"}


def self_test() -> tuple[dict[str, Any], list[str]]:
    """Describe, search, verify and diffuse two views of each of some made-up posters.

    Returns:
        How long it took, and in how many rankings the first hit of a view is the other view, as it
        must be; and what is wrong.
    """
    started = time.monotonic()
    with TemporaryDirectory(prefix="rrtool-doctor-") as folder:
        draw_views(Path(folder, "photos"))
        found = {ranking.stem: first_hits(ranking) for ranking in _rankings(Path(folder))}
    wrong = [
        f"self test, {ranking}: the first hit of {query} is {hit}, not the other view of its object"
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


def draw_views(folder: Path) -> None:
    """A poster each, and a part of it, ``object_0_view_0.png`` and so on."""
    folder.mkdir()
    for number in range(_N_OBJECTS):
        poster = draw_poster(np.random.default_rng(number), (_SIDE, _SIDE))
        margin = _SIDE // 16
        part = poster.crop((margin, margin // 2, _SIDE - margin // 2, _SIDE - margin))
        for view, picture in enumerate((poster, part)):
            picture.convert("RGB").save(folder / f"object_{number}_view_{view}.png")


def _rankings(folder: Path) -> list[Path]:
    """The global, the verified and the diffused ranking of all views for each of them."""
    local, query_local = folder / "local.h5", folder / "query-local.h5"
    features = rrtool.extract(
        folder / "photos", folder / "f.h5", local=local, query_local=query_local, **_NETWORK
    )
    found = rrtool.search(features, features, folder / "search.h5")
    verified = rrtool.rerank(
        found, folder / "rerank.h5", query_local=query_local, database_local=local, device="cpu"
    )
    graph = rrtool.build_graph(features, folder / "graph.h5", k=1, device="cpu")
    diffused = rrtool.diffuse(
        folder / "diffuse.h5", graph=graph, queries=features, database=features, seeds=verified,
        device="cpu",
    )  # fmt: skip
    return [found, verified, diffused]


def first_hits(ranking: Path) -> dict[str, str]:
    """The best image of each query that is not the query itself."""
    with open_artifact(ranking, Ranking) as opened:
        return {
            query: next(hit.name for hit in opened.hits(row) if hit.name != query)
            for row, query in enumerate(opened.query_names)
        }


def object_of(name: str) -> str:
    """What a made-up picture shows, by its name."""
    return name.partition("_view_")[0]
