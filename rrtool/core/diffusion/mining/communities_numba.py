"""The loop of ``communities``."""

from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def move_vertices(
    indptr, indices, weights, order, labels, least_gain, degrees, totals, links, near
):
    """Put each vertex, one after the other, where modularity gains the most, until none moves.

    Args:
        indptr, indices, weights: symmetric adjacency in CSR; entries on the diagonal are what lies
            within a vertex, counted twice.
        order: ``(n,)`` in which vertices are looked at.
        labels: ``(n,)`` int64, the community of each vertex, below n; changed in place.
        least_gain: of a move, as a share of all weights.
        degrees, totals: ``(n,)`` zeros, of the vertices and of the communities.
        links, near: ``(n,)`` zeros, and room for int64: the communities around a vertex.
    """
    n = len(order)
    all_weights = 0.0
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            degrees[i] += weights[e]
        totals[labels[i]] += degrees[i]
        all_weights += degrees[i]
    moved = all_weights > 0
    while moved:
        moved = False
        for place in range(n):
            i = order[place]
            own, n_near = labels[i], 0
            for e in range(indptr[i], indptr[i + 1]):
                if indices[e] != i and weights[e] > 0:
                    community = labels[indices[e]]
                    if links[community] == 0:
                        near[n_near] = community
                        n_near += 1
                    links[community] += weights[e]
            share = degrees[i] / all_weights
            best, best_gain = own, links[own] - share * (totals[own] - degrees[i])
            best_gain += least_gain * all_weights
            for a in range(n_near):
                gain = links[near[a]] - share * totals[near[a]]
                if near[a] != own and gain > best_gain:
                    best, best_gain = near[a], gain
            for a in range(n_near):
                links[near[a]] = 0
            if best != own:
                totals[own] -= degrees[i]
                totals[best] += degrees[i]
                labels[i] = best
                moved = True
