"""rrtool's expanding Gaussian mixture against the plain NumPy one of the tests.

Both give the same components (tests/core/test_expanding_gaussian_mixture.py). A single map is
fitted in one thread, a batch in all. Run: ``python benchmarks/egm.py``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numba
import numpy as np
from scipy import ndimage
from timing import compare, print_machine, tell_goal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rrtool.core.discovery.expanding_gaussian_mixture import fit_mixtures
from rrtool.core.discovery.region_pooling import pool_windows
from rrtool.core.discovery.saliency import feature_saliency, prepare_for_detection
from tests.core.discovery.plain_egm import fit_plain

DATA = Path(os.environ.get("RRTOOL_SHARED_DATA", ROOT.parent / "shared" / "data"))


def synthetic_map(height: int = 48, width: int = 64) -> np.ndarray:
    """As feature saliency is: no zeros, a fifth of the maximum nearly everywhere."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.standard_normal((height, width)), 2)
    return np.clip(0.45 + 0.15 * noise / noise.std(), 0.1, 1).astype(np.float32)


def real_activations() -> np.ndarray | None:
    """SqueezeNet's last maps of one photo of 1024 pixels, or None where there is none."""
    weights = DATA / "weights" / "squeezenet1_1.pth"
    photos = sorted((DATA / "retrieval" / "oxford5k_subset" / "images").glob("*.jpg"))
    if not (weights.is_file() and photos):
        return None
    import torch
    from PIL import Image

    from rrtool.networks import load_network
    from rrtool.stages.activations.sources import activation_maps

    image = Image.open(photos[0]).convert("RGB")
    image.thumbnail((1024, 1024))
    pixels = torch.from_numpy(np.array(image))[None]
    network = load_network("squeezenet1_1", str(weights))
    with torch.inference_mode():
        return activation_maps(network, pixels, [1.0])[0][0].numpy()


def run(title: str, saliency_map: np.ndarray, rho: float) -> None:
    prepared = prepare_for_detection(saliency_map, rho)
    (mixture,) = fit_mixtures([prepared])
    n_iterations = len(mixture.component_counts)
    print(f"\n{title}, {prepared.shape}, ρ = {rho:g}: {len(mixture)} in {n_iterations} iterations")
    ours, plain = compare(
        {"rrtool": lambda: fit_mixtures([prepared]), "NumPy": lambda: fit_plain(prepared)}, 5
    ).values()
    tell_goal(f"EGM, {title}, ρ = {rho:g}, against plain NumPy", plain.over(ours), least=1)


def run_batch(saliency_map: np.ndarray, n_maps: int = 64) -> None:
    maps = [np.roll(prepare_for_detection(saliency_map, 7), i, axis=1) for i in range(n_maps)]
    print(f"\n{n_maps} maps of {saliency_map.shape}, {numba.get_num_threads()} threads")
    compare(
        {
            "one by one": lambda: [fit_mixtures([values]) for values in maps],
            "as a batch": lambda: fit_mixtures(maps),
        },
        repeats=7,
    )


def run_around(activations: np.ndarray) -> None:
    side = min(activations.shape[1:]) // 3
    print(f"\nwhat stands around it, activations {activations.shape}, windows of {side} cells")
    compare(
        {
            "feature saliency": lambda: feature_saliency(activations),
            "GeM at every position": lambda: pool_windows(activations, side),
            "maximum at every position": lambda: pool_windows(activations, side, np.inf),
        },
        repeats=7,
    )


def main() -> None:
    print_machine()
    for rho in (1, 7):
        run("synthetic", synthetic_map(), rho)
    run("constant", np.ones((48, 64), np.float32), 1)
    run_batch(synthetic_map())
    activations = real_activations()
    if activations is not None:
        run("SqueezeNet 1.1, one photo", feature_saliency(activations), 7)
        run_around(activations)


if __name__ == "__main__":
    main()
