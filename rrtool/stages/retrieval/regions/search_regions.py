"""What ``search`` does with images of several descriptors: cross-matching, and where it matches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from rrtool.artifacts import Regions
from rrtool.core.retrieval.ranking import BLOCK_BYTES, top_rows
from rrtool.core.retrieval.regional import best_region, max_by_image, mean_by_query
from rrtool.errors import UsageError
from rrtool.progress import Progress, Silent
from rrtool.stages.retrieval.descriptors import (
    Described,
    Descriptors,
    read_descriptors,
    read_image_blocks,
)
from rrtool.stages.retrieval.options import SearchOptions
from rrtool.stages.retrieval.search_update import digests_of_images

# Hits of each query that come with a box; whoever looks at them looks at no more.
N_BOXES = 100
# The similarities of regions of some queries to every image.
GROUP_BYTES = 256 << 20


class RegionSearch:
    """Ranks images by cross-matching; see ``stages.retrieval.search``.

    The queries are held, the database comes block by block.
    """

    def __init__(
        self, queries: Described, database: Described, options: SearchOptions, progress: Progress
    ) -> None:
        if options.expand or options.augment:
            raise UsageError("--expand and --augment average descriptors of images, not of regions")
        self._queries = read_descriptors(queries, progress)
        self._database, self._n_images = database, database.lengths["n"]
        self._top, self._progress = options.top, progress
        self._telling = progress  # of the database, when it is read for the first time

    def _blocks(self) -> Iterator[tuple[int, Descriptors]]:
        """The first image of each block, and its descriptors."""
        telling, self._telling = self._telling, Silent()
        first = 0
        for block in read_image_blocks(self._database, telling):
            yield first, block
            first += len(block.offsets) - 1

    @cached_property
    def _usable_images(self) -> np.ndarray:
        return np.concatenate([block.usable_images for _, block in self._blocks()])

    def digests(self) -> tuple[np.ndarray, np.ndarray]:
        """See ``Search``."""
        database = [digests_of_images(block) for _, block in self._blocks()]
        return digests_of_images(self._queries), np.concatenate(database)

    def __call__(
        self, rows: np.ndarray, chosen: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See ``Search``."""
        images = self._usable_images
        chosen = images if chosen is None else images & chosen
        top = int(chosen.sum()) if self._top is None else min(self._top, int(chosen.sum()))
        ids = np.full((len(rows), top), -1, dtype=np.int32)
        similarities = np.full((len(rows), top), -np.inf, dtype=np.float32)
        groups = self._groups(rows)
        with self._progress.task("search", len(groups) * self._n_images, "images") as advance:
            place = 0
            for group in groups:
                vectors, offsets = self._regions_of(group)
                best = np.full((len(vectors), self._n_images), -np.inf, dtype=np.float32)
                for first, block in self._blocks():
                    n_images = len(block.offsets) - 1
                    if chosen[first : first + n_images].any():
                        _fill_best(best[:, first : first + n_images], vectors, block)
                    advance(n_images)
                for scores in mean_by_query(best, offsets):
                    found = top_rows(np.where(chosen, scores, -np.inf), top)
                    ids[place, : len(found)] = found
                    similarities[place, : len(found)] = scores[found]
                    place += 1
        return ids, similarities

    def boxes(self, ids: np.ndarray) -> np.ndarray | None:
        """Where the first hits match: the region most similar to any region of the query.

        Args:
            ids: ``(q, L)`` of the ranking of all queries.

        Returns:
            ``(q, b, 4)`` float32 pixels, of the first b entries; zero where there is none. None
            where the database has no regions.
        """
        if not isinstance(self._database, Regions):
            return None
        heads = ids[:, :N_BOXES]
        boxes = np.zeros((*heads.shape, 4), dtype=np.float32)
        start = 0
        with self._progress.task("where", self._n_images, "images") as advance:
            for first, block in self._blocks():
                own = self._database.read(
                    Regions.region_boxes, slice(start, start + len(block.vectors))
                )
                n_images = len(block.offsets) - 1
                for query, place in np.argwhere((heads >= first) & (heads < first + n_images)):
                    image = slice(*block.offsets[heads[query, place] - first :][:2].tolist())
                    vectors, _ = self._regions_of(np.array([query]))
                    region = best_region(vectors, block.vectors[image], block.usable[image])
                    boxes[query, place] = own[image][region]
                start += len(block.vectors)
                advance(n_images)
        return boxes

    def _regions_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Usable vectors of some queries, and the offsets that divide them."""
        found = self._queries
        slices = [slice(*found.offsets[row : row + 2].tolist()) for row in rows]
        vectors = [found.vectors[own][found.usable[own]] for own in slices]
        return np.concatenate(vectors), np.cumsum([0, *map(len, vectors)])

    def _groups(self, rows: np.ndarray) -> list[np.ndarray]:
        """Queries whose similarities to every image are held at once."""
        counts = np.diff(self._queries.offsets)[rows]
        most = max(1, GROUP_BYTES // (4 * max(1, self._n_images)))
        groups, first, total = [], 0, 0
        for place, count in enumerate(counts.tolist()):
            if total and total + count > most:
                groups.append(rows[first:place])
                first, total = place, 0
            total += count
        return [*groups, rows[first:]] if len(rows) else []


def _fill_best(best: np.ndarray, vectors: np.ndarray, block: Descriptors) -> None:
    """Of each vector the largest similarity to a region of each image of a block."""
    step = max(1, BLOCK_BYTES // (4 * max(1, len(block.vectors))))
    for start in range(0, len(vectors), step):
        products = vectors[start : start + step] @ block.vectors.T
        products[:, ~block.usable] = -np.inf
        # Values that overflow may give what is no number: similar to nothing.
        np.fmax(products, np.float32(-np.inf), out=products)
        best[start : start + step] = max_by_image(products, block.offsets)
