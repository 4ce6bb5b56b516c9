"""Average a descriptor with its nearest neighbours: query expansion, database augmentation.

Average query expansion (AQE: Chum et al. 2007), its weighted form (αQE: Radenović et al., [RTC18]
in the thesis) and database-side augmentation (DBA: Arandjelović and Zisserman 2012).
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array

from rrtool.core.retrieval.ranking import rank_by_similarity
from rrtool.core.retrieval.whitening import l2_normalize


def expand_queries(
    queries: np.ndarray,
    database: np.ndarray,
    usable: np.ndarray,
    n_neighbors: int,
    alpha: float,
    images: tuple[np.ndarray, np.ndarray],
    advance: Callable[[int], None] = lambda n: None,
) -> np.ndarray:
    """Each query averaged with its most similar database descriptors.

    ``ν(q + Σ_i max(qᵀv_i, 0)^α v_i)`` over the ``n_neighbors`` nearest ``v_i``, with 0⁰ = 1:
    α = 0 is the plain average. Descriptors of the query's own image are passed over, since
    averaging a query with itself spends a neighbour on nothing.

    Args:
        queries: ``(n_queries, d)`` float32, l2-normalised; all finite.
        database: ``(n, d)`` float32, likewise.
        usable: ``(n,)`` bool; rows that are not take no part, nor do zero ones.
        n_neighbors: N.
        alpha: at least 0.
        images: ``(n_queries,)`` and ``(n,)`` integer ids; equal ones mean the same image.
        advance: called with the number of queries done.

    Returns:
        ``(n_queries, d)`` float32, l2-normalised. A zero query stays zero.
    """
    query_images, database_images = images
    expanded = np.zeros(queries.shape, dtype=np.float32)
    taking_part = usable & database.any(axis=1)
    n_candidates = n_neighbors + _most_copies(query_images, database_images)
    start = 0
    for ids, similarities in rank_by_similarity(queries, database, taking_part, n_candidates):
        block = slice(start, start + len(ids))
        is_other = database_images[ids] != query_images[block, None]
        is_neighbor = is_other & (np.cumsum(is_other, axis=1) <= n_neighbors)
        weights = np.where(is_neighbor, np.maximum(similarities, 0) ** np.float32(alpha), 0)
        sums = queries[block] + _weighted_sums(weights.astype(np.float32), ids, database)
        expanded[block] = l2_normalize(sums)
        start += len(ids)
        advance(len(ids))
    expanded[~queries.any(axis=1)] = 0
    return expanded


def augment_database(
    database: np.ndarray,
    usable: np.ndarray,
    n_neighbors: int,
    alpha: float,
    advance: Callable[[int], None] = lambda n: None,
) -> np.ndarray:
    """Each usable descriptor averaged with its nearest neighbours, as ``expand_queries`` does.

    Itself is told by its row, so a copy of it in another row is a neighbour.

    Args:
        database, usable, n_neighbors, alpha, advance: see ``expand_queries``.

    Returns:
        ``(n, d)`` float32, l2-normalised; rows that are not usable are zero.
    """
    augmented = np.zeros(database.shape, dtype=np.float32)
    rows = np.arange(len(database))
    augmented[usable] = expand_queries(
        database[usable], database, usable, n_neighbors, alpha, (rows[usable], rows), advance
    )
    return augmented


def _most_copies(query_images: np.ndarray, database_images: np.ndarray) -> int:
    """How many database rows at most show one query's own image."""
    copies = database_images[np.isin(database_images, query_images)]
    return int(np.unique(copies, return_counts=True)[1].max(initial=0))


def _weighted_sums(weights: np.ndarray, ids: np.ndarray, database: np.ndarray) -> np.ndarray:
    """``Σ_j weights[i, j] database[ids[i, j]]`` without a copy of the rows of all neighbours."""
    n_queries, m = ids.shape
    offsets = np.arange(n_queries + 1) * m
    chosen = csr_array((weights.ravel(), ids.ravel(), offsets), (n_queries, len(database)))
    return chosen @ database
