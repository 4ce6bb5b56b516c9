"""The loops of ``InvertedLists``: products list by list, and the best of each query's."""

from numba import njit


# Sums in any order: with the one that is written the products are not computed side by side.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def multiply_lists(queries, asked, ends, vectors, bounds, first, last, places, products):
    """Products of the queries of some lists with the vectors in them, four with two at a time.

    Args:
        queries: ``(q, d)`` float32.
        asked: ``(p,)`` which query each pair of a query and a list is of, list by list.
        ends: ``(n_lists + 1,)`` where the pairs of each list begin in ``asked``, and end.
        vectors: ``(n, d)`` float32, list by list.
        bounds: ``(n_lists + 1,)`` the same of ``vectors``.
        first, last: of the lists, the last not included.
        places: ``(p,)`` where the products of a pair begin in ``products``.
        products: flat, float32; written to.
    """
    for a_list in range(first, last):
        begin, size = bounds[a_list], bounds[a_list + 1] - bounds[a_list]
        for pair in range(ends[a_list], ends[a_list + 1], 4):
            # Of fewer than four, or an odd number of vectors, the last one is computed again.
            end = ends[a_list + 1] - 1
            pair1, pair2, pair3 = min(pair + 1, end), min(pair + 2, end), min(pair + 3, end)
            query, query1 = queries[asked[pair]], queries[asked[pair1]]
            query2, query3 = queries[asked[pair2]], queries[asked[pair3]]
            for place in range(0, size, 2):
                place1 = min(place + 1, size - 1)
                vector, vector1 = vectors[begin + place], vectors[begin + place1]
                sum00 = sum10 = sum20 = sum30 = queries.dtype.type(0)
                sum01 = sum11 = sum21 = sum31 = queries.dtype.type(0)
                for x in range(queries.shape[1]):
                    value, value1 = vector[x], vector1[x]
                    sum00 += query[x] * value
                    sum10 += query1[x] * value
                    sum20 += query2[x] * value
                    sum30 += query3[x] * value
                    sum01 += query[x] * value1
                    sum11 += query1[x] * value1
                    sum21 += query2[x] * value1
                    sum31 += query3[x] * value1
                products[places[pair] + place] = sum00
                products[places[pair1] + place] = sum10
                products[places[pair2] + place] = sum20
                products[places[pair3] + place] = sum30
                products[places[pair] + place1] = sum01
                products[places[pair1] + place1] = sum11
                products[places[pair2] + place1] = sum21
                products[places[pair3] + place1] = sum31


@njit(cache=True, nogil=True, error_model="numpy")
def choose_best(lists, bounds, ids, products, begins, first, last, best, best_ids):
    """The k largest products of each query, in a heap whose smallest is in front.

    Args:
        lists: ``(q, p)`` of each query; those below zero are none.
        bounds, products: as above; the products of a query are next to each other.
        ids: ``(n,)`` int32 of the vectors.
        begins: ``(q,)`` where the products of a query begin.
        first, last: of the queries, the last not included.
        best, best_ids: ``(q, k)`` −inf and −1; written to.
    """
    k = best.shape[1]
    for q in range(first, last):
        heap, heap_ids, place = best[q], best_ids[q], begins[q]
        for a_list in lists[q]:
            if a_list < 0:
                continue
            for vector in range(bounds[a_list], bounds[a_list + 1]):
                product = products[place]
                place += 1
                if product <= heap[0]:
                    continue
                at = 0
                while 2 * at + 1 < k:
                    below = 2 * at + 1
                    if below + 1 < k and heap[below + 1] < heap[below]:
                        below += 1
                    if heap[below] >= product:
                        break
                    heap[at], heap_ids[at] = heap[below], heap_ids[below]
                    at = below
                heap[at], heap_ids[at] = product, ids[vector]
