"""Compiled kernels of k-reciprocal encoding: lists of mutual neighbours, encodings, what is shared.

Sets of images are lists in CSR form, ``(starts, values)``. Which images a set holds is told by
marks ``(n,)`` int64 that no kernel has to clear: each set takes the next two numbers.
"""

import numpy as np
from numba import njit

_SHARED = 2 / 3


@njit(cache=True)
def mutual_lists(neighbor_ids, k, is_image):
    """Of each image itself and those of its first ``k`` neighbours that have it among theirs."""
    n = len(neighbor_ids)
    starts = np.zeros(n + 1, dtype=np.int64)
    values = np.empty(n * (k + 1), dtype=np.int32)
    count = 0
    for i in range(n):
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
    return starts, values[:count].copy()


@njit(cache=True)
def reverse_lists(neighbor_ids, k):
    """Of each image those that have it among their first ``k`` neighbours."""
    n = len(neighbor_ids)
    starts = np.zeros(n + 1, dtype=np.int64)
    for i in range(n):
        for a in range(k):
            if neighbor_ids[i, a] >= 0:
                starts[neighbor_ids[i, a] + 1] += 1
    starts = np.cumsum(starts)
    ends, values = starts[:-1].copy(), np.empty(starts[n], dtype=np.int32)
    for i in range(n):
        for a in range(k):
            j = neighbor_ids[i, a]
            if j >= 0:
                values[ends[j]] = i
                ends[j] += 1
    return starts, values


@njit(cache=True)
def expand(mutual, half, marks, mark, members):
    """Write a set and what joins it to ``members``; returns their number.

    Args:
        mutual: the set.
        half: mutual lists of half as many neighbours: one joins that shares two thirds of itself.
        marks, mark: ``mark`` of those in the set, ``mark - 1`` of those that have joined.
    """
    starts, values = half
    count = len(mutual)
    for a in range(count):
        members[a] = mutual[a]
        marks[mutual[a]] = mark
    for a in range(len(mutual)):
        start, end = starts[mutual[a]], starts[mutual[a] + 1]
        n_shared = 0
        for e in range(start, end):
            n_shared += marks[values[e]] == mark
        if n_shared < _SHARED * (end - start):
            continue
        for e in range(start, end):
            if marks[values[e]] < mark - 1:
                marks[values[e]] = mark - 1
                members[count] = values[e]
                count += 1
    return count


@njit(fastmath=True, inline="always")
def _product(a, b):
    total = np.float32(0)
    for c in range(len(a)):
        total += a[c] * b[c]
    return total


@njit(cache=True)
def encode(rows, mutual, half, vectors, marks, mark):
    """Encodings of some images, of sum 1 each.

    Returns:
        ``counts (r,)`` int64 of entries, ``members`` int32 and ``weights`` float32 of all, and the
        last mark.
    """
    starts, values = mutual
    longest, all_half = 0, 0
    for i in range(len(starts) - 1):
        longest = max(longest, starts[i + 1] - starts[i])
        all_half = max(all_half, half[0][i + 1] - half[0][i])
    room = min(len(vectors), longest * (1 + all_half))
    found = np.empty(room, dtype=np.int32)
    counts = np.empty(len(rows), dtype=np.int64)
    members = np.empty(max(1, len(rows)) * max(1, longest), dtype=np.int32)
    weights = np.empty(len(members), dtype=np.float32)
    count = 0
    for place in range(len(rows)):
        i = rows[place]
        mark += 2
        n_found = expand(values[starts[i] : starts[i + 1]], half, marks, mark, found)
        if count + n_found > len(members):
            more = max(len(members), n_found)
            members = np.concatenate((members, np.empty(more, dtype=np.int32)))
            weights = np.concatenate((weights, np.empty(more, dtype=np.float32)))
        total = 0.0
        for a in range(n_found):
            j = found[a]
            alike = 1.0 if i == j else _product(vectors[i], vectors[j])
            members[count + a], weights[count + a] = j, np.exp(alike - 1)
            total += weights[count + a]
        for a in range(n_found):
            weights[count + a] /= total
        counts[place] = n_found
        count += n_found
    return counts, members[:count].copy(), weights[:count].copy(), mark


@njit(cache=True)
def sharing(members, mutual, half, marks, mark):
    """Images whose encodings may hold one of ``members``: those that have it, or one whose half
    holds it, among their mutual neighbours."""
    found = np.empty(len(marks), dtype=np.int32)
    count = 0
    for g in members:
        for e in range(half[0][g], half[0][g + 1]):
            j = half[1][e]
            for f in range(mutual[0][j], mutual[0][j + 1]):
                i = mutual[1][f]
                if marks[i] != mark:
                    marks[i] = mark
                    found[count] = i
                    count += 1
    return found[:count].copy()


@njit(cache=True)
def shared(reached, neighbor_ids, reverse, n_near, encodings, query, marks, mark):
    """How much of a query's encoding each image shares, ``Σ_g min(q_g, mean_g)``, ``(n,)``.

    Args:
        reached: images whose encodings may share; ``marks`` has the last mark for them.
        neighbor_ids, n_near: with each image so many neighbours are averaged.
        reverse: lists of those that have an image among so many.
        encodings: ``starts (n,)``, ``ends (n,)``, members and weights; there for those reached.
        query: ``(n,)`` float64, the encoding of the query.
        marks: at ``mark - 1`` for those reached.
    """
    starts, ends, members, weights = encodings
    result, sums = np.zeros(len(query)), np.zeros(len(query))
    touched = np.empty(len(query), dtype=np.int32)
    is_done = np.zeros(len(query), dtype=np.bool_)
    for i in reached:
        first, last = reverse[0][i], reverse[0][i + 1]
        for e in range(first - 1, last):
            j = i if e < first else reverse[1][e]
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
    return result
