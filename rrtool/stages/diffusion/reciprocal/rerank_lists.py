"""``rrtool rerank --method reciprocal --lists``: rankings of queries and of the database → ranking.

What images share is told by their rankings alone, so it serves for whatever has ranked them: images
of several regions, which have no one descriptor. Members of an encoding weigh alike.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import OutputFile, Ranking, open_artifact, require_equal, require_same_names
from rrtool.core.diffusion.reciprocal import ReciprocalEncoder
from rrtool.core.retrieval.ranking import top_rows
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.diffusion.reciprocal.rerank_reciprocal import reciprocal_options
from rrtool.stages.diffusion.reciprocal.rerank_regions import BY_REGIONS
from rrtool.stages.driver import Datasets, Wanted, as_inputs, fill, make
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.matching.rerank_descriptors import (
    OrderedRows,
    ordering_of,
    publish_reordered,
    require_plain,
)

_COMPARED = ("method", "described_by", "network", "pool", "whitening", "max_size", "scales")


def run(options: RerankOptions, progress: Progress) -> Path:
    """Re-order rankings by k-reciprocal encoding over the rankings of the database by itself.

    Raises:
        RrtoolError: the rankings are of other images or not made alike, or are too short.
    """
    with (
        open_artifact(options.ranking, Ranking) as ranking,
        open_artifact(options.lists or "", Ranking) as lists,
    ):
        _check(ranking, lists)
        chosen = reciprocal_options(options, ranking)
        settings = {**vars(chosen), "k1": [*chosen.k1]}

        def work(outputs: list[OutputFile]) -> None:
            ids, similarities = _neighbors(lists, chosen.n_neighbors)
            n_images = len(ids)
            encoder = ReciprocalEncoder(
                np.ones((n_images, 1), np.float32), ids[:, 0] >= 0, ids, similarities, chosen
            )
            _rerank(ranking, encoder, outputs[0], settings, progress)

        n_images, n_queries = ranking.lengths["n"], ranking.lengths["q"]
        return make(
            options, Wanted(options.output, Ranking, {"method": "reciprocal", **settings}),
            work, progress, network=ranking.network,
            amount=lambda outputs: Amount(
                n_queries, "queries",
                n_images * (sum(20 * k1 for k1 in chosen.k1) + 16 * chosen.n_neighbors),
                parts_of(n_queries),
            ),
            inputs=as_inputs(ranking=ranking, lists=lists),
        )  # fmt: skip


def _check(ranking: Ranking, lists: Ranking) -> None:
    names = ranking.database_names
    for others in (lists.database_names, lists.query_names):
        require_same_names(names, ranking.path, others, lists.path)
    for each in (ranking, lists):
        require_plain(each, "global", "R-Match", f"R-Match + {BY_REGIONS}")
    first, second = ranking.extra["description"], lists.extra["description"]
    for key in _COMPARED:
        require_equal(key, ranking, first.get(key), lists, second.get(key))


def _neighbors(lists: Ranking, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of each image without itself, as a graph has them.

    Raises:
        ArtifactError: the rankings are shorter.
    """
    ids, similarities = lists.ids, lists.read(ordering_of(lists))
    n_images, n_usable = len(ids), int((ids >= 0).any(axis=1).sum())
    if ids.shape[1] < min(k + 1, n_usable):
        raise ArtifactError(
            "the rankings of the database by itself are too short", where=lists.path,
            expected=f"at least {k + 1} entries", found=ids.shape[1], todo=f"search --top {k + 1}",
        )  # fmt: skip
    near = np.full((n_images, k), -1, np.int32)
    values = np.full((n_images, k), -np.inf, np.float32)
    for row, (own, its) in enumerate(zip(ids, similarities, strict=True)):
        others = np.flatnonzero((own >= 0) & (own != row))[:k]
        near[row, : len(others)], values[row, : len(others)] = own[others], its[others]
    return near, values


def _rerank(
    ranking: Ranking,
    encoder: ReciprocalEncoder,
    output: OutputFile,
    settings: dict[str, Any],
    progress: Progress,
) -> None:
    n_queries, n_entries = ranking.lengths["q"], ranking.lengths["L"]
    ordering = ordering_of(ranking)
    n_images, n_boxes = ranking.lengths["n"], ranking.lengths.get("b", 0)

    def rows_of(rows: range) -> Datasets:
        block = slice(rows.start, rows.stop)
        listed, given = ranking.read(Ranking.ids, block), ranking.read(ordering, block)
        own_similarities = ranking.read(Ranking.similarities, block)
        given_boxes = ranking.read(Ranking.hit_boxes, block) if n_boxes else None
        ordered = OrderedRows(len(rows), n_entries, n_boxes or None)
        for place, own in enumerate(listed):
            alike, of_descriptors = np.full((2, n_images), -np.inf, np.float32)
            alike[own[own >= 0]] = given[place][own >= 0]
            of_descriptors[own[own >= 0]] = own_similarities[place][own >= 0]
            if not np.isfinite(alike).any():
                continue
            scored = encoder.rank_scores(alike)
            found = top_rows(scored, n_entries)
            boxes = None
            if given_boxes is not None:
                of_image = np.zeros((n_images, 4), np.float32)
                head = own[:n_boxes]
                of_image[head[head >= 0]] = given_boxes[place][head >= 0]
                boxes = of_image[found[:n_boxes]]
            ordered.put(place, found, of_descriptors[found], scored[found], boxes)
        return ordered.columns()

    n_parts = fill(output, n_queries, rows_of, progress, label="rerank", unit="queries")
    description = {"method": "reciprocal", "reciprocal": settings}
    publish_reordered(ranking, output, n_parts, description)
