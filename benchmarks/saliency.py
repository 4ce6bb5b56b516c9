"""The two kinds of saliency, whole, an image: maps, regions, descriptors; the network excluded.

The thesis's setting: one scale of a photo of 1024 pixels, 512 channels, 40,000 regions in the
graph (5,000 images of 8), k = 50. Regions are random rectangles of other photos than the measured
ones; synthetic maps stand in where there are no photos. Run: ``python benchmarks/saliency.py``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numba
import numpy as np
from scipy import ndimage
from timing import compare, print_machine, tell_goal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rrtool.core.diffusion import knn
from rrtool.core.discovery.region_pooling import pool_regions, pool_windows, region_saliency
from rrtool.core.discovery.saliency import feature_saliency
from rrtool.core.retrieval.whitening import l2_normalize
from rrtool.stages.discovery.options import ObjectSaliencyOptions, RegionsOptions
from rrtool.stages.discovery.saliency_mapper import Mapper, describe_batch, patch_searcher

DATA = Path(os.environ.get("RRTOOL_SHARED_DATA", ROOT.parent / "shared" / "data"))
N_MEASURED = 4


def synthetic_activations(n_maps: int) -> list[np.ndarray]:
    """``(512, 48, 64)`` each, smooth and a tenth above zero, as VGG's last maps are."""
    rng = np.random.default_rng(0)
    maps = []
    for _ in range(n_maps):
        noise = ndimage.gaussian_filter(rng.standard_normal((512, 48, 64)), (0, 1.5, 1.5))
        maps.append(np.maximum(noise / noise.std() - 1.3, 0).astype(np.float32))
    return maps


def real_activations(n_maps: int) -> list[np.ndarray] | None:
    """SqueezeNet's last maps of photos of 1024 pixels, or None where there are none."""
    weights = DATA / "weights" / "squeezenet1_1.pth"
    photos = sorted((DATA / "retrieval" / "scenes" / "images").glob("*.jpg"))
    if not (weights.is_file() and len(photos) >= n_maps):
        return None
    import torch
    from PIL import Image

    from rrtool.networks import load_network
    from rrtool.stages.activations.sources import activation_maps

    network = load_network("squeezenet1_1", str(weights))
    maps = []
    for photo in photos[:: len(photos) // n_maps][:n_maps]:
        image = Image.open(photo).convert("RGB")
        image.thumbnail((1024, 1024))
        with torch.inference_mode():
            pixels = torch.from_numpy(np.array(image))[None]
            maps.append(activation_maps(network, pixels, [1.0])[0][0].contiguous().numpy())
    return maps


def random_regions(maps: list[np.ndarray], n_regions: int) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors and saliencies of rectangles of a tenth to half of each side."""
    rng = np.random.default_rng(1)
    vectors, saliencies = [], []
    for activations in maps:
        size = np.array(activations.shape[:0:-1])
        n = -(-n_regions // len(maps))
        extent = np.maximum((rng.uniform(0.1, 0.5, (n, 2)) * size).astype(np.int64), 1)
        corner = rng.integers(0, size - extent + 1)
        boxes = np.hstack([corner, corner + extent])
        vectors.append(l2_normalize(pool_regions(activations, boxes)))
        saliencies.append(region_saliency(feature_saliency(activations), boxes))
    return np.concatenate(vectors)[:n_regions], np.concatenate(saliencies)[:n_regions]


def mapper(vectors: np.ndarray, saliencies: np.ndarray, method: str) -> Mapper:
    options = ObjectSaliencyOptions(method=method)
    centrality = np.random.default_rng(2).gamma(1.0, 1.0, len(vectors))
    return Mapper(
        patch_searcher(vectors, options.k, method),
        np.arange(len(vectors), dtype=np.int32),
        saliencies,
        centrality,
        None,
        options,
    )


def report_agreement(exact: Mapper, quick: Mapper, measured: list[np.ndarray]) -> float:
    """The recall of the approximate search; it prints what that costs maps and descriptors too."""
    recalls, differences, cosines = [], [], []
    for activations in measured:
        side = round(min(activations.shape[1:]) / 3)
        patches = l2_normalize(pool_windows(activations, side))
        found, wanted = (m.searcher.search(patches, 50)[1] for m in (quick, exact))
        recalls.append(knn.recall(found, wanted))
        one, other = (m([activations[None]])[0] for m in (quick, exact))
        differences.append(np.abs(one.maps[0] - other.maps[0]).mean())
        cosines.append(one.descriptor @ other.descriptor)
    print(
        f"ivf against exact on {len(measured)} maps: recall {np.mean(recalls):.3f}, mean difference"
        f" of the maps {np.mean(differences):.4f}, least cosine of descriptors {min(cosines):.4f}"
    )
    return float(np.mean(recalls))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--regions", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    real = real_activations(24)
    print_machine("" if real else "made-up activations in place of a photo's")
    maps = real or synthetic_activations(24)
    measured, others = maps[::6][:N_MEASURED], [m for i, m in enumerate(maps) if i % 6]
    vectors, saliencies = random_regions(others, arguments.regions)
    exact, quick = (mapper(vectors, saliencies, method) for method in ("exact", "ivf"))
    recall = report_agreement(exact, quick, measured)
    activations = measured[0]
    n_threads = numba.get_num_threads()
    print(f"\none image, {activations.shape}, {len(vectors)} regions, {n_threads} threads")
    batch = [activations[None]]
    sides = compare(
        {
            "fs": lambda: describe_batch(batch, RegionsOptions(rho=7.0), feature_saliency),
            "os, ivf": lambda: quick(batch),
            "os, exact": lambda: exact(batch),
        },
        arguments.repeats,
    )
    what = f"object saliency of one photo, {len(vectors)} regions, recall {recall:.3f} (aim .985)"
    tell_goal(what, sides["os, ivf"].seconds, most=0.1, unit="s", valid=recall >= 0.985)


if __name__ == "__main__":
    main()
