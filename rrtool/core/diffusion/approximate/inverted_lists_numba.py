"""The loops of ``InvertedLists``: products list by list, and the best of each query's."""

import numpy as np
from numba import njit

from rrtool.core.lanes import add_product, load, repeat, store

BLOCK = 16  # vectors that are multiplied together


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_lists(queries, asked, ends, blocks, bounds, first, last, places, products):
    """Products of the queries of some lists with the vectors in them, six with ``BLOCK`` at a time.

    Args:
        queries: ``(q, d)`` float32.
        asked: ``(p,)`` which query each pair of a query and a list is of, list by list.
        ends: ``(n_lists + 1,)`` where the pairs of each list begin in ``asked``, and end.
        blocks: ``(n_blocks · d, BLOCK)`` float32, list by list, each block of vectors turned.
        bounds: ``(n_lists + 1,)`` where the blocks of each list begin, and end.
        first, last: of the lists, the last not included.
        places: ``(p,)`` where the products of a pair begin in ``products``.
        products: ``(·, BLOCK)`` float32, a row for each block; written to.
    """
    d = queries.shape[1]
    for a_list in range(first, last):
        begin, n_blocks = bounds[a_list], bounds[a_list + 1] - bounds[a_list]
        for pair in range(ends[a_list], ends[a_list + 1], 6):
            # Of fewer than six queries the last one is multiplied again.
            end = ends[a_list + 1] - 1
            pair1, pair2, pair3 = min(pair + 1, end), min(pair + 2, end), min(pair + 3, end)
            pair4, pair5 = min(pair + 4, end), min(pair + 5, end)
            query, query1, query2 = asked[pair], asked[pair1], asked[pair2]
            query3, query4, query5 = asked[pair3], asked[pair4], asked[pair5]
            for block in range(n_blocks):
                sums = sums1 = sums2 = sums3 = sums4 = sums5 = repeat(BLOCK, 0)
                for x in range(d):
                    values = load(BLOCK, blocks, (begin + block) * d + x, 0)
                    sums = add_product(sums, queries[query, x], values)
                    sums1 = add_product(sums1, queries[query1, x], values)
                    sums2 = add_product(sums2, queries[query2, x], values)
                    sums3 = add_product(sums3, queries[query3, x], values)
                    sums4 = add_product(sums4, queries[query4, x], values)
                    sums5 = add_product(sums5, queries[query5, x], values)
                store(products, places[pair] + block, 0, sums)
                store(products, places[pair1] + block, 0, sums1)
                store(products, places[pair2] + block, 0, sums2)
                store(products, places[pair3] + block, 0, sums3)
                store(products, places[pair4] + block, 0, sums4)
                store(products, places[pair5] + block, 0, sums5)


@njit(cache=True, nogil=True, error_model="numpy")
def choose_best(lists, bounds, ids, products, begins, first, last, best, best_ids):
    """The k largest products of each query, the largest first, equal ones by id.

    Args:
        lists: ``(q, p)`` of each query; those below zero are none.
        bounds: ``(n_lists + 1,)`` where the vectors of each list begin, and end.
        ids: ``(n,)`` int32 of the vectors.
        products: as above but flat; those of a query are next to each other.
        begins: ``(q,)`` where the products of a query begin.
        first, last: of the queries, the last not included.
        best, best_ids: ``(q, k)`` −inf and −1; written to.
    """
    last_place, one = np.uint64(best.shape[1] - 1), np.uint64(1)  # unsigned: none is negative
    for q in range(first, last):
        largest, largest_ids, place = best[q], best_ids[q], np.uint64(begins[q])
        worst = largest[last_place]
        for a_list in lists[q]:
            if a_list < 0:
                continue
            begin, end = bounds[a_list], bounds[a_list + 1]
            for start in range(begin, end, BLOCK):
                n_better = 0
                for lane in range(BLOCK):  # all at once; most blocks have none
                    n_better += products[place + np.uint64(lane)] >= worst
                if n_better:
                    for vector in range(start, min(start + BLOCK, end)):
                        product = products[place + np.uint64(vector - start)]
                        number = ids[vector]
                        if product < worst or (
                            product == worst and number > largest_ids[last_place]
                        ):
                            continue
                        at = last_place
                        while at > 0 and largest[at - one] < product:
                            largest[at], largest_ids[at] = largest[at - one], largest_ids[at - one]
                            at -= one
                        while at > 0 and (
                            largest[at - one] == product and largest_ids[at - one] > number
                        ):
                            largest[at], largest_ids[at] = largest[at - one], largest_ids[at - one]
                            at -= one
                        largest[at], largest_ids[at] = product, number
                        worst = largest[last_place]
                place += np.uint64(BLOCK)
