"""k-reciprocal encoding of a large database: time and memory of 100 queries, and a dense form.

The lists of neighbours, which build-graph makes, are those inside made-up groups of 50.

Run: ``python benchmarks/reciprocal.py --n 100000``.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from timing import print_machine, tell_goal

from rrtool.core.diffusion.reciprocal import ReciprocalEncoder, ReciprocalOptions, default_k1

_GROUP = 50


def made(n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors, ids and similarities of the nearest of each among its group."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((n, d), dtype=np.float32)
    ids, similarities = np.empty((n, _GROUP - 1), np.int32), np.empty((n, _GROUP - 1), np.float32)
    for start in range(0, n, _GROUP):
        own = slice(start, start + _GROUP)
        vectors[own] += generator.standard_normal(d, dtype=np.float32)
        vectors[own] /= np.linalg.norm(vectors[own], axis=1, keepdims=True)
        products = vectors[own] @ vectors[own].T
        np.fill_diagonal(products, -np.inf)
        order = np.argsort(-products, axis=1)[:, :-1]
        ids[own], similarities[own] = start + order, np.take_along_axis(products, order, axis=1)
    return vectors, ids, similarities


def dense(vectors: np.ndarray, query: np.ndarray, options: ReciprocalOptions) -> np.ndarray:
    """The scores of all images with matrices of n × n, as the paper has them."""
    n = len(vectors)
    to_images, products = vectors @ query, vectors @ vectors.T
    np.fill_diagonal(products, np.inf)  # itself comes first
    order, near = np.argsort(-products, axis=1), np.argsort(-to_images)
    np.fill_diagonal(products, 1)

    def among(k: int) -> np.ndarray:
        found = np.zeros((n, n), bool)
        np.put_along_axis(found, order[:, : k + 1], True, axis=1)
        return found

    indices = []
    for k1 in options.k1:
        k2, half = options.averaged(k1), among(max(1, round(k1 / 2)))
        half &= half.T
        first = np.isin(np.arange(n), near[:k1])
        last = products[np.arange(n), order[:, k1]]
        mutual = np.vstack([among(k1) & among(k1).T, first & (to_images >= last - 1e-6)])
        shared = mutual.astype(int) @ half.astype(int).T
        joins = mutual & (shared >= 2 / 3 * half.sum(axis=1))
        members = mutual | ((joins.astype(int) @ half.astype(int)) > 0)
        weights = np.where(members, np.exp(np.vstack([products, to_images]) - 1), 0)
        sums = weights.sum(axis=1, keepdims=True)
        sums[n] += 1  # the query itself
        encodings = weights / sums
        averaged = encodings[order[:, :k2]].mean(axis=1)
        own = (encodings[n] + encodings[near[: k2 - 1]].sum(axis=0)) / k2
        m = np.minimum(averaged, own).sum(axis=1)
        indices.append(m / (2 - m))
    return options.mixture * to_images + (1 - options.mixture) * np.mean(indices, axis=0)


def encoder_of(n: int, d: int) -> tuple[ReciprocalEncoder, np.ndarray, ReciprocalOptions, float]:
    """The encoder, the descriptors, the options, and seconds that 100 queries took with it."""
    vectors, ids, similarities = made(n, d)
    options = ReciprocalOptions(default_k1(n))
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encoder = ReciprocalEncoder(vectors, np.ones(n, bool), ids, similarities, options)
    seconds = time.process_time() - start
    for query in vectors[:100]:
        encoder.rank_scores(vectors @ query)
    whole = time.process_time() - start
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{n} descriptors of {d}, k1 = {options.k1}: {seconds:.2f} s of the processor, and with "
        f"100 queries {whole:.2f} s; {more / 2**20:.2f} GiB over the data"
    )
    return encoder, vectors, options, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000, help="a multiple of 50")
    parser.add_argument("--d", type=int, default=512)
    arguments = parser.parse_args()
    print_machine()
    encoder, vectors, options, _ = encoder_of(400, 64)
    differences = [
        np.abs(encoder.rank_scores(vectors @ query) - dense(vectors, query, options)).max()
        for query in vectors[::40]
    ]
    print(f"largest difference from the dense form: {max(differences):.1e}")
    seconds = encoder_of(arguments.n, arguments.d)[3]
    what = f"common neighbours, {arguments.n} descriptors, 100 queries, of the processor"
    tell_goal(what, seconds, most=10, unit="s")


if __name__ == "__main__":
    main()
