"""Lists of the most similar rows, brought up to date after some rows came and others went."""

import numpy as np


def update_lists(
    kept: tuple[np.ndarray, np.ndarray],
    bounds: np.ndarray,
    new: tuple[np.ndarray, np.ndarray],
    length: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join what is left of lists with the most similar of the new rows.

    What a list left out was no more similar than its last entry. So the best of both are the best
    of all, as long as the last of them is no less similar than that; else what was left out may
    have moved up, and the list has to be searched anew.

    Args:
        kept: ids and similarities ``(n, m)`` as the lists were, in any order; −1 is none, or gone.
        bounds: ``(n,)``, what was in no list was no more similar than this: −inf where all rows
            were in it, inf where nothing is known of the list.
        new: ids and similarities ``(n, j)`` of the ``length`` most similar new rows, or of all;
            −1 is none.
        length: entries of a list.

    Returns:
        Ids and similarities ``(n, length)``, best first, equal similarities by id, −1 and −inf
        where there is no more; and ``(n,)`` bool, whether the list is right.
    """
    ids, similarities = (np.concatenate(each, axis=1) for each in zip(kept, new, strict=True))
    missing = max(0, length - ids.shape[1])
    ids = np.pad(ids, ((0, 0), (0, missing)), constant_values=-1)
    similarities = np.pad(similarities, ((0, 0), (0, missing)))
    similarities = np.where(ids < 0, -np.inf, similarities)
    order = np.lexsort((ids, -similarities), axis=1)[:, :length]
    ids = np.take_along_axis(ids, order, axis=1)
    similarities = np.take_along_axis(similarities, order, axis=1)
    return ids, similarities, similarities.min(axis=1, initial=np.inf) >= bounds
