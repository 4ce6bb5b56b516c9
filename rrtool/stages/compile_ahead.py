"""Compile all kernels before they are needed, by running them on arrays of a few numbers.

Numba compiles a kernel when it is first called, for the types it is called with, and keeps what it
has compiled in files. The calls here have the types of those that the commands make.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from scipy import sparse

from rrtool.progress import Progress

_N = 4  # images, vertices, channels
_begun: set[str] = set()  # in this process


def compile_all(progress: Progress) -> tuple[dict[str, Any], list[str]]:
    """Compile what is not compiled yet.

    Returns:
        The folder of the first group, where a folder beside it may serve each; and the seconds that
        each group took, almost none if it was compiled before; and nothing that is wrong.
    """
    from rrtool.core.matching.mser_numba import detect_block

    seconds: dict[str, Any] = {"kept in": detect_block.stats.cache_path}
    with progress.task("compile", len(GROUPS), "groups of kernels") as advance:
        for name, run in GROUPS.items():
            started = time.monotonic()
            run()
            seconds[f"{name}, seconds"] = round(time.monotonic() - started, 1)
            advance(1)
    return seconds, []


def compile_meanwhile(name: str) -> None:
    """Compile a group of kernels in a thread, while a network is loaded and runs.

    Half of the time of compiling lets other threads of Python run. Whoever needs a kernel before it
    is there waits for it; the thread is not of the kind that is cut off at the end of a process,
    for that may be in the midst of a library.
    """
    if name not in _begun:
        _begun.add(name)
        threading.Thread(target=_try, args=(GROUPS[name],), name=f"compile {name}").start()


def _try(run: Callable[[], None]) -> None:
    """What is wrong is told where the kernels are used."""
    with suppress(Exception):
        run()


def _local_features() -> None:
    from rrtool.core.matching.detection import DetectionOptions, detect, select

    regions = detect(_maps(), scale=255.0, delta=5)
    select([regions], _N, DetectionOptions())


def _spatial_matching() -> None:
    from rrtool.core.matching.spatial_matching import MatchingOptions, match

    features = _features()
    for one_to_one in (False, True):
        match(features, 0, features, np.zeros(1, np.int64), MatchingOptions(one_to_one=one_to_one))


def _masks() -> None:
    from rrtool.core.matching.detection import DetectionOptions
    from rrtool.core.matching.pair_masks import locate, region_mask

    located = locate(_maps(), scale=255.0, delta=5, options=DetectionOptions())
    region_mask(located, np.arange(0))


def _graph() -> None:
    from rrtool.core.diffusion.graph import build_adjacency

    build_adjacency(*_lists())


def _diffusion() -> None:
    from rrtool.core.diffusion.conjugate_gradients import solve
    from rrtool.core.diffusion.conjugate_gradients_numba import Operator

    solve(_matrix(), np.eye(_N), 0.5)
    Operator(_matrix(), 0.5).residual(np.eye(_N), np.eye(_N))  # as refined solutions are: float64


def _truncated_diffusion() -> None:
    from rrtool.core.diffusion.truncated_diffusion import solve_on_subgraphs

    vertices = np.arange(_N, dtype=np.int32)[None]
    solve_on_subgraphs(_matrix(), vertices, np.ones((1, _N)), 0.5)


def _reciprocal() -> None:
    from rrtool.core.diffusion.reciprocal import ReciprocalEncoder, ReciprocalOptions

    descriptors, options = np.eye(_N, dtype=np.float32), ReciprocalOptions((1,))
    encoder = ReciprocalEncoder(descriptors, np.ones(_N, bool), *_lists(), options)
    encoder.rank_scores(descriptors[0])


def _communities() -> None:
    from rrtool.core.diffusion.mining.communities import communities

    communities(_matrix(), seed=0)


def _saliency() -> None:
    from rrtool.core.discovery.expanding_gaussian_mixture import fit_mixtures
    from rrtool.core.discovery.region_pooling import pool_regions

    fit_mixtures([np.eye(_N)])
    pool_regions(_maps(), np.array([[0, 0, 1, 1]]))


def _object_saliency() -> None:
    from rrtool.core.discovery.region_pooling import pool_windows

    pool_windows(_maps(), 2)


def _inverted_lists() -> None:
    from rrtool.core.diffusion.knn import KnnOptions, Searcher, has_faiss

    if has_faiss():
        vectors = np.eye(_N, dtype=np.float32)
        Searcher(vectors, KnnOptions(1, "ivf")).search(vectors, 1)


def _centrality() -> None:
    from rrtool.core.discovery.shortest_path_centrality import edge_costs

    edge_costs(_matrix(), *_lists())


def _coreset() -> None:
    from rrtool.core.learning.acquisition import acquire_coreset

    features, generator = np.eye(_N, dtype=np.float32), np.random.default_rng(0)
    acquire_coreset(features, np.arange(1), np.arange(1, _N), 1, generator)


def _maps() -> np.ndarray:
    """``(k, h, w)`` float32 with a region in every channel."""
    maps = np.zeros((_N, 5, 5), np.float32)
    maps[:, 1:3, 1:4] = 1
    return maps


def _features() -> Any:
    from rrtool.core.matching.detection import DetectionOptions, detect, select

    return select([detect(_maps(), scale=255.0, delta=5)], _N, DetectionOptions(role="query"))


def _lists() -> tuple[np.ndarray, np.ndarray]:
    """The neighbours ``(n, 1)`` of vertices in pairs, and similarities."""
    return (np.arange(_N, dtype=np.int32) ^ 1)[:, None], np.full((_N, 1), 0.5, np.float32)


def _matrix() -> sparse.csr_array:
    from rrtool.core.diffusion.graph import build_adjacency, normalize

    return normalize(build_adjacency(*_lists()))


GROUPS: dict[str, Callable[[], None]] = {
    "local features": _local_features,
    "spatial matching": _spatial_matching,
    "masks of pairs": _masks,
    "graph": _graph,
    "diffusion": _diffusion,
    "truncated diffusion": _truncated_diffusion,
    "k-reciprocal encoding": _reciprocal,
    "communities": _communities,
    "saliency": _saliency,
    "object saliency": _object_saliency,
    "inverted lists": _inverted_lists,
    "shortest paths": _centrality,
    "CoreSet": _coreset,
}
