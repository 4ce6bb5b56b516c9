"""Compiled kernels of k-reciprocal encoding: lists of mutual neighbours, encodings, what is shared.

Sets of images are lists in CSR form, ``(starts, values)``. Which images a set holds is told by
marks ``(n,)`` int64 that no kernel has to clear: each set takes the next two numbers.

What a kernel fills is made by its caller: allocations take the compiler longer than loops.
"""

import numpy as np
from numba import njit

_SHARED = 2 / 3


@njit(cache=True, nogil=True, error_model="numpy")
def mutual_lists(neighbor_ids, k, is_image, starts, values):
    """Of each image itself and those of its first ``k`` neighbours that have it among theirs.

    Fills ``starts (n + 1,)`` and ``values``, which has room for ``n (k + 1)``.
    """
    count = 0
    starts[0] = 0
    for i in range(neighbor_ids.shape[0]):
        if is_image[i]:
            values[count] = i
            count += 1
            for a in range(k):
                j = neighbor_ids[i, a]
                for b in range(k):
                    if j >= 0 and neighbor_ids[j, b] == i:
                        values[count] = j
                        count += 1
                        break
        starts[i + 1] = count


@njit(cache=True, nogil=True, error_model="numpy")
def reverse_lists(neighbor_ids, k, ends, values):
    """Of each image those that have it among their first ``k`` neighbours.

    ``ends`` tells where the list of each begins, and afterwards where it ends.
    """
    for i in range(neighbor_ids.shape[0]):
        for a in range(k):
            j = neighbor_ids[i, a]
            if j >= 0:
                values[ends[j]] = i
                ends[j] += 1


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def expand(mutual, half_starts, half_values, marks, mark, members):
    """Write a set and what joins it to ``members``; returns their number.

    Args:
        mutual: the set.
        half_starts, half_values: mutual lists of half as many neighbours: one joins that shares
            two thirds of itself.
        marks, mark: ``mark`` of those in the set, ``mark - 1`` of those that have joined.
    """
    count = len(mutual)
    for a in range(count):
        members[a] = mutual[a]
        marks[mutual[a]] = mark
    for a in range(len(mutual)):
        start, end = half_starts[mutual[a]], half_starts[mutual[a] + 1]
        n_shared = 0
        for e in range(start, end):
            n_shared += marks[half_values[e]] == mark
        if n_shared < _SHARED * (end - start):
            continue
        for e in range(start, end):
            if marks[half_values[e]] < mark - 1:
                marks[half_values[e]] = mark - 1
                members[count] = half_values[e]
                count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def encode(
    rows, mutual_starts, mutual_values, half_starts, half_values, vectors, marks, mark, found,
    starts, ends, members, weights, n_entries,
):  # fmt: skip
    """Encodings of some images, of sum 1 each, as far as there is room.

    Args:
        found: room for the members of one image.
        starts, ends: ``(n,)``, where the entries of an image begin and end; filled.
        members, weights: of all entries; filled from ``n_entries`` on.

    Returns:
        How many of the images are done, the number of entries, and the last mark.
    """
    for place in range(len(rows)):
        i = rows[place]
        mark += 2
        mutual = mutual_values[mutual_starts[i] : mutual_starts[i + 1]]
        n_found = expand(mutual, half_starts, half_values, marks, mark, found)
        if n_entries + n_found > len(members):
            return place, n_entries, mark
        total = 0.0
        for a in range(n_found):
            j = found[a]
            product = np.float32(0)
            for c in range(vectors.shape[1]):
                product += vectors[i, c] * vectors[j, c]
            alike = 1.0 if i == j else np.float64(product)
            members[n_entries + a], weights[n_entries + a] = j, np.exp(alike - 1)
            total += weights[n_entries + a]
        for a in range(n_found):
            weights[n_entries + a] /= total
        starts[i], ends[i] = n_entries, n_entries + n_found
        n_entries += n_found
    return len(rows), n_entries, mark


@njit(cache=True, nogil=True, error_model="numpy")
def sharing(members, mutual_starts, mutual_values, half_starts, half_values, marks, mark, found):
    """Images whose encodings may hold one of ``members``: those that have it, or one whose half
    holds it, among their mutual neighbours. Writes them to ``found``; returns their number."""
    count = 0
    for place in range(len(members)):
        g = members[place]
        for e in range(half_starts[g], half_starts[g + 1]):
            j = half_values[e]
            for f in range(mutual_starts[j], mutual_starts[j + 1]):
                i = mutual_values[f]
                if marks[i] != mark:
                    marks[i] = mark
                    found[count] = i
                    count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def shared(
    reached, neighbor_ids, reverse_starts, reverse_values, n_near, starts, ends, members, weights,
    query, marks, mark, result, sums, touched, is_done,
):  # fmt: skip
    """How much of a query's encoding each image shares, ``Σ_g min(q_g, mean_g)``, in ``result``.

    Args:
        reached: images whose encodings may share; ``marks`` has the last mark for them.
        neighbor_ids, n_near: with each image so many neighbours are averaged.
        reverse_starts, reverse_values: lists of those that have an image among so many.
        starts, ends, members, weights: the encodings; there for those reached.
        query: ``(n,)`` float64, the encoding of the query.
        marks: at ``mark`` for those reached.
        result, sums: ``(n,)`` zeros.
        touched, is_done: ``(n,)``, room and all false.
    """
    for place in range(len(reached)):
        i = reached[place]
        first, last = reverse_starts[i], reverse_starts[i + 1]
        for e in range(first - 1, last):
            j = i if e < first else reverse_values[e]
            if is_done[j]:
                continue
            is_done[j] = True
            n_averaged, n_touched = 0, 0
            for a in range(-1, n_near):
                v = j if a < 0 else neighbor_ids[j, a]
                n_averaged += v >= 0
                if v < 0 or marks[v] != mark:
                    continue
                for f in range(starts[v], ends[v]):
                    g = members[f]
                    if query[g] > 0:
                        if sums[g] == 0:
                            touched[n_touched] = g
                            n_touched += 1
                        sums[g] += weights[f]
            for t in range(n_touched):
                g = touched[t]
                result[j] += min(query[g], sums[g] / n_averaged)
                sums[g] = 0
