"""A graph whose descriptors have changed: which of its lists of neighbours serve again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import Graph, open_artifact
from rrtool.artifacts.digests import match_rows
from rrtool.artifacts.kinds.graph import require_lists
from rrtool.core.diffusion.knn import KnnOptions, Searcher
from rrtool.core.retrieval.list_update import update_lists
from rrtool.progress import Progress
from rrtool.stages.retrieval.descriptors import Descriptors


@dataclass(frozen=True)
class KeptLists:
    """The lists of a graph, of the vertices whose descriptors are the same to the last bit.

    Attributes:
        ids: ``(n, m)`` int32, neighbours as they are numbered now; −1 for those that are gone, and
            for all of a vertex that is not kept.
        similarities: ``(n, m)`` float32.
        bounds: ``(n,)`` float32, see ``update_lists``.
        new: ids of the vertices that are not kept.
        search: among these.
    """

    ids: np.ndarray
    similarities: np.ndarray
    bounds: np.ndarray
    new: np.ndarray
    search: Searcher | None

    def neighbors(
        self, rows: np.ndarray, vectors: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ``k`` nearest of some vertices, and which of these lists are right.

        Args:
            rows: ``(q,)`` ids.
            vectors: ``(q, d)`` float32, of these.
        """
        ids = np.full((len(rows), 0), -1, dtype=np.int32)
        similarities = np.zeros((len(rows), 0), dtype=np.float32)
        if self.search is not None:
            found, similarities = self.search.search(vectors, min(k, len(self.new)))
            ids = np.where(found < 0, -1, self.new[found])
        kept = self.ids[rows], self.similarities[rows]
        return update_lists(kept, self.bounds[rows], (ids, similarities), k)


def kept_lists(
    path: str, found: Descriptors, search: KnnOptions, progress: Progress
) -> KeptLists | None:
    """What serves again of a graph, and say how much that is; None if nothing does.

    Args:
        path: of the graph.
        found: the descriptors as they are now.
        search: how neighbours are found.
    """
    digests = found.digests
    with open_artifact(path, Graph) as old:
        if Graph.descriptor_digests not in old:
            progress.message(
                f"update of {path}: nothing is kept, since it was made by an older rrtool, which "
                "did not note what it was made of"
            )
            return None
        sources = match_rows(old.descriptor_digests, digests)
        kept = np.flatnonzero(sources >= 0)
        is_vertex = digests.any(axis=1)
        new = np.flatnonzero(is_vertex & (sources < 0)).astype(np.int32)
        ids, similarities, bounds = _moved(old, sources)
    n_lost = int((ids[kept] < 0).any(axis=1).sum())
    progress.message(
        f"update of {path}: {len(kept)} of {is_vertex.sum()} descriptors are kept, {len(new)} are "
        f"new or changed; the lists of {n_lost} have lost a neighbour"
    )
    if not len(kept):
        return None
    searcher = Searcher(found.vectors[new], search) if len(new) else None
    return KeptLists(ids, similarities, bounds, new, searcher)


def _moved(old: Graph, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lists of kept rows in their new places: ids, similarities and bounds."""
    places = np.full(old.lengths["v"] + 1, -1, dtype=np.int32)  # the last stands for none
    kept = np.flatnonzero(sources >= 0)
    places[sources[kept]] = kept
    old_ids, old_similarities = old.neighbor_ids, old.similarities
    require_lists(old, old_ids, 0)
    ids = np.full((len(sources), old_ids.shape[1]), -1, dtype=np.int32)
    similarities = np.zeros(ids.shape, dtype=np.float32)
    bounds = np.full(len(sources), np.inf, dtype=np.float32)
    ids[kept] = places[old_ids[sources[kept]]]
    similarities[kept] = old_similarities[sources[kept]]
    # The list of an only vertex is empty: of what was not in it nothing is known.
    is_whole = (old_ids[sources[kept]] >= 0).all(axis=1)
    bounds[kept] = np.where(is_whole, similarities[kept].min(axis=1, initial=np.inf), np.inf)
    return ids, similarities, bounds
