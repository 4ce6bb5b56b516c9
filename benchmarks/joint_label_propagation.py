"""Joint label propagation: ours, and one ``scipy.sparse.linalg.cg`` solve a pick, cold and warm.

The other side is the authors' way: solve for all of h(δ(L)) anew (eq. 3.9–3.12, tolerance 1e-6,
float64), take the argmin, repeat. At its best it begins with the solution before the last pick
("warm": that solution is given to it, and only the solve is timed). It is run at picks spread over
the run and for the first ones, each from the labels that our run had there (so the runs are the
same up to the first difference); its time for all picks is the mean of the former times their
number. Processor time is that of all threads. Where the two pick differently, a solve to 1e-12
tells which one was right.

Run it with OPENBLAS_NUM_THREADS=1 on a machine that others use: the other side's inner products
would otherwise wait for each other's threads most of the time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg
from timing import print_machine, tell_goal

from rrtool.core.diffusion.graph import normalize
from rrtool.core.learning.acquisition import Acquisition
from rrtool.core.learning.joint_label_propagation import acquire_joint_propagation
from rrtool.core.learning.label_propagation import feature_graph

ALPHA = 0.99


def make_features(n: int, d: int, n_clusters: int = 100, n_latent: int = 16) -> np.ndarray:
    """Overlapping clusters of unlike size and density on a curved manifold in d dimensions."""
    rng = np.random.default_rng(0)
    which = rng.choice(n_clusters, n, p=rng.dirichlet(np.full(n_clusters, 3.0)))
    spread = 0.6 * rng.uniform(0.5, 1.5, (n, 1))
    latent = rng.normal(size=(n_clusters, n_latent))[which]
    latent = latent + spread * rng.normal(size=(n, n_latent))
    lifted = np.tanh(latent @ rng.normal(size=(n_latent, d)) / np.sqrt(n_latent))
    return (lifted + 0.05 * rng.normal(size=(n, d))).astype(np.float32)


class Clock:
    """Wall and processor seconds of what runs within it."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    def __enter__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall.append(time.perf_counter() - self._start[0])
        self.processor.append(time.process_time() - self._start[1])

    def __str__(self) -> str:
        low, high = np.percentile(self.wall, [25, 75])
        return (
            f"median {np.median(self.wall):.3f} s (IQR {high - low:.3f} s), "
            f"processor {np.median(self.processor):.3f} s"
        )


class Naive:
    """One full solve a pick; ties go to the first of the pool, as drawn."""

    def __init__(self, adjacency: sparse.csr_array, ordered_pool: np.ndarray) -> None:
        n = adjacency.shape[0]
        self._laplacian = (sparse.eye_array(n) - ALPHA * normalize(adjacency)).tocsr()
        self._pool = ordered_pool
        self.clock, self.warm_clock = Clock(), Clock()

    def similarities(
        self, ids: np.ndarray, tolerance: float = 1e-6, start: np.ndarray | None = None
    ) -> np.ndarray:
        b = np.zeros(self._laplacian.shape[0])
        b[ids] = 1 - ALPHA
        return cg(self._laplacian, b, start, rtol=tolerance, atol=0)[0]

    def pick(self, ids: np.ndarray) -> int:
        with self.clock:
            h = self.similarities(ids)
            remaining = self._pool[~np.isin(self._pool, ids)]
            return int(remaining[h[remaining].argmin()])

    def time_warm(self, ids: np.ndarray) -> None:
        """What the pick takes that begins with the solution before the last label."""
        before = self.similarities(ids[:-1])
        with self.warm_clock:
            h = self.similarities(ids, start=before)
            remaining = self._pool[~np.isin(self._pool, ids)]
            remaining[h[remaining].argmin()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--labeled", type=int, default=10)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument(
        "--first",
        type=int,
        default=100,
        help="picks compared one by one, from the start and from the first that needs a solution",
    )
    parser.add_argument("--sample", type=int, default=30, help="picks timed over the run")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print_machine()
    adjacency = feature_graph(make_features(arguments.n, arguments.d), k=arguments.k)
    degrees = np.diff(adjacency.indptr)
    n_components, component = sparse.csgraph.connected_components(adjacency, directed=False)
    print(
        f"{arguments.n} vertices, {adjacency.nnz} entries, {(degrees == 0).sum()} isolated, "
        f"{n_components} components, the largest {np.bincount(component).max()}"
    )
    ids = np.random.default_rng(1).permutation(arguments.n)
    labeled, pool = ids[: arguments.labeled], ids[arguments.labeled :]
    measure(adjacency, labeled, pool, arguments)


def measure(
    adjacency: sparse.csr_array,
    labeled: np.ndarray,
    pool: np.ndarray,
    arguments: argparse.Namespace,
) -> None:
    budget = arguments.budget

    def ours() -> Acquisition:
        return acquire_joint_propagation(
            adjacency, labeled, pool, budget, np.random.default_rng(2), alpha=ALPHA
        )

    found = ours()
    n_free = int((found.scores == 0).sum())
    print(f"{n_free} of {budget} picks are of components without a label: nothing is solved")
    naive = Naive(adjacency, np.random.default_rng(2).permutation(np.sort(pool)))
    sample = np.unique(np.linspace(0, budget - 1, arguments.sample).astype(int))
    own = Clock()
    for part in np.array_split(sample, arguments.repeats):  # alternately, for a fair machine
        with own:
            ours()
        for step in part:
            compare_pick(naive, labeled, found, int(step))
            naive.time_warm(np.concatenate([labeled, found.ids[:step]]))
    print(f"rrtool, {budget} picks: {own}")
    for start, clock in (("cold", naive.clock), ("warm", naive.warm_clock)):
        print(f"scipy cg, {start}, one pick ({len(sample)} spread over the run): {clock}")
        total = np.mean(clock.wall) * budget
        processor = np.mean(clock.processor) * budget / np.median(own.processor)
        ratio = total / np.median(own.wall)
        print(
            f"extrapolated to {budget} picks: {total:.0f} s, {ratio:.1f} times ours "
            f"(of the processor {processor:.1f} times)"
        )
        what = f"joint label propagation, {budget} picks, against SciPy's cg, {start}"
        tell_goal(what, total / np.array(own.wall), least=10)
    for first in {0, n_free}:
        steps = range(first, min(budget, first + arguments.first))
        same = sum(compare_pick(naive, labeled, found, step) for step in steps)
        print(f"same picks from {first} to {steps.stop - 1}: {same} of {len(steps)}", flush=True)


def compare_pick(naive: Naive, labeled: np.ndarray, found: Acquisition, step: int) -> bool:
    """Whether the naive side picks as we did from the same labels; says why where not."""
    ids = np.concatenate([labeled, found.ids[:step]])
    theirs = naive.pick(ids)
    own = int(found.ids[step])
    if theirs == own:
        return True
    exact = naive.similarities(ids, 1e-12)
    gap = exact[own] - exact[theirs]
    verdict = "scipy is right" if gap > 0 else "we are right"
    print(f"  pick {step} differs: {exact[theirs]:.6e} (scipy), {gap:+.1e} (ours): {verdict}")
    return False


if __name__ == "__main__":
    main()
