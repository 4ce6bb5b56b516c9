"""Rankings and local features of the test's own making, over photos of one colour each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrtool.artifacts import LocalFeaturesFile, Provenance, Ranking, create, offsets_of
from tests.stages.made_features import NETWORK

SIZE = (200, 100)
MAP_SIZE = (10, 5)  # cells of 20 pixels
FUSED = {"method": "made + DSM", "verification": {"score": "fused", "shortlist": 3}}
INLIERS = {"method": "made + DSM", "verification": {"score": "inliers"}}
DIFFUSED = {"method": "made + D", "diffusion": {"alpha": 0.99}}


def colour_of(number: int) -> tuple[int, int, int]:
    """Colours that even a JPEG keeps apart."""
    return (40 + 60 * (number % 4), 40 + 60 * (number // 4 % 4), 200 - 60 * (number // 16 % 4))


def write_photos(folder: Path, names: Sequence[str], first: int = 0) -> Path:
    """A photo of ``colour_of`` its place for each name, whatever is in the name."""
    for number, name in enumerate(names, start=first):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, colour_of(number)).save(path, "png")
    return folder


def write_ranking(
    path: Path,
    names: tuple[Sequence[str], Sequence[str]],
    ids: Sequence[Sequence[int]],
    *,
    scores: Sequence[Sequence[float]] | None = None,
    similarities: Sequence[Sequence[float]] | None = None,
    inliers: Sequence[Sequence[Sequence[tuple[int, int]]]] | None = None,
    boxes: Sequence[Sequence[float]] | None = None,
    hit_boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    description: Mapping[str, Any] | None = None,
) -> Path:
    """A ranking.

    Args:
        names: of the queries and of the database.
        ids: of each query; −1 where there is none.
        scores, similarities: falling from 0.9 by default; scores are similarities by default.
        inliers: pairs of features of each of the first entries, all at the first scale.
        boxes: of the queries; all of each by default.
        hit_boxes: of the first entries of each query; none by default.
    """
    n_queries = len(names[0])
    places = np.asarray(ids, dtype=np.int32).reshape(n_queries, -1)
    falling = np.broadcast_to(0.9 - 0.1 * np.arange(places.shape[1]), places.shape)
    made = falling if similarities is None else np.asarray(similarities)
    columns: dict[str, Any] = {
        "query_names": names[0], "database_names": names[1], "ids": places,
        "scores": (made if scores is None else np.asarray(scores)).astype(np.float32),
        "similarities": made.astype(np.float32),
        "query_boxes": np.asarray(boxes or [(0, 0, *SIZE)] * n_queries, dtype=np.float32),
    }  # fmt: skip
    if hit_boxes is not None:
        columns["hit_boxes"] = np.asarray(hit_boxes, dtype=np.float32)
    if inliers is not None:
        columns |= _verification(inliers)
    provenance = Provenance("ranking", {}, [], NETWORK)
    with create(path, provenance, overwrite=True) as target:
        return target.publish(
            Ranking.columns(**columns),
            extra={"description": {"method": "made", "network": NETWORK, **(description or {})}},
        )


def _verification(inliers: Sequence[Sequence[Sequence[tuple[int, int]]]]) -> dict[str, np.ndarray]:
    counts = np.array([[len(pairs) for pairs in row] for row in inliers], dtype=np.int32)
    flat = [pair for row in inliers for pairs in row for pair in pairs]
    return {
        "n_inliers": counts,
        "n_tentative": counts,
        "scale_pairs": np.zeros((*counts.shape, 2), dtype=np.int8),
        "transforms": np.zeros((*counts.shape, 2, 3), dtype=np.float32),
        "inliers": np.array(flat, dtype=np.int32).reshape(-1, 2),
        "offsets": offsets_of(counts.ravel()),
    }


def write_local(path: Path, names: Sequence[str], n_features: int = 50) -> Path:
    """Local features at one scale: number i has its centre in cell ``(i % 10, i // 10)``.

    All are circles with a radius of one cell, those of a small number the strongest.
    """
    n = len(names)
    numbers = np.arange(n_features)
    means = np.stack([numbers % MAP_SIZE[0], numbers // MAP_SIZE[0]], axis=1)
    with create(path, Provenance("local-features", {"role": "query"}, [], NETWORK)) as target:
        return target.publish(
            LocalFeaturesFile.columns(
                names=names,
                reasons=[""] * n,
                status=np.zeros(n, dtype=np.uint8),
                image_sizes=np.tile(np.array(SIZE, dtype=np.int32), (n, 1)),
                boxes=np.tile(np.array((0, 0, *SIZE), dtype=np.float32), (n, 1)),
                file_signatures=np.zeros((n, 2), dtype=np.int64),
                map_sizes=np.tile(np.array(MAP_SIZE, dtype=np.int32), (n, 1, 1)),
                means=np.tile(means.astype(np.float32), (n, 1)),
                covariances=np.tile(np.float32([0.25, 0, 0.25]), (n * n_features, 1)),
                strengths=np.tile((100 - numbers).astype(np.float16), n),
                channels=np.zeros(n * n_features, dtype=np.uint16),
                offsets=np.arange(n + 1, dtype=np.int64) * n_features,
            ),
            extra={"n_scales": 1, "level_scale": 1.0, "delta": 1},
        )
