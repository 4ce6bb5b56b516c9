"""rrtool's MSER against VLFeat's vl_mser, called channel by channel through ctypes.

Our side also measures every region (moments, boxes, strengths) and sorts them; VLFeat's side only
finds the seeds. Both get the same 8-bit levels and as many threads.

Run: ``python benchmarks/mser.py``.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
from scipy import ndimage
from timing import compare, print_machine, tell_goal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rrtool.core.matching import vlfeat
from rrtool.core.matching.mser import ActivationHistogram, Stability, detect_regions, quantize

DATA = Path(os.environ.get("RRTOOL_SHARED_DATA", ROOT.parent / "shared" / "data"))


def synthetic_maps(n_maps: int = 512, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth blobs after a ReLU, about 30 % of the positions above zero."""
    rng = np.random.default_rng(0)
    maps = ndimage.gaussian_filter(rng.standard_normal((n_maps, height, width)), (0, 2, 2))
    maps = np.maximum(maps - 0.5 * maps.std(), 0)
    return (maps / maps.max()).astype(np.float32)


def real_maps() -> np.ndarray | None:
    """SqueezeNet 1.1's last maps of one photo, or None where the weights or photos are absent."""
    weights = DATA / "weights" / "squeezenet1_1.pth"
    photos = sorted((DATA / "retrieval" / "scenes" / "images").glob("*.jpg"))
    if not (weights.is_file() and photos):
        return None
    import torch
    import torchvision
    from PIL import Image

    network = torchvision.models.squeezenet1_1()
    network.load_state_dict(torch.load(weights, weights_only=True))
    image = Image.open(photos[0]).convert("RGB")
    image.thumbnail((1024, 1024))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        maps = network.features(((pixels - mean[:, None, None]) / std[:, None, None])[None])
    return maps[0].relu().numpy()


def run(title: str, maps: np.ndarray, repeats: int) -> None:
    histogram = ActivationHistogram.empty().update(maps)
    delta, scale = histogram.stability_delta(), histogram.level_scale()
    levels = quantize(maps, scale)
    stability = Stability(delta=delta)
    regions = detect_regions(levels, maps, stability)
    n_vlfeat = sum(len(vlfeat.bright_seeds(level_map, stability)) for level_map in levels)
    print(f"\n{title}: {maps.shape}, {(levels > 0).mean():.0%} above zero, delta {delta}")
    print(f"{len(regions)} regions; VLFeat {n_vlfeat}, of which the rest are lines of pixels")
    n_threads = numba.get_num_threads()

    def seeds(level_map: np.ndarray) -> np.ndarray:
        return vlfeat.bright_seeds(level_map, stability)

    def one_thread() -> None:
        numba.set_num_threads(1)
        detect_regions(levels, maps, stability)
        numba.set_num_threads(n_threads)

    with ThreadPoolExecutor(n_threads) as pool:
        timings = compare(
            {
                "rrtool": lambda: detect_regions(levels, maps, stability),
                f"vl_mser, {n_threads} threads": lambda: list(pool.map(seeds, levels)),
                "rrtool, one thread": one_thread,
                "vl_mser, one thread": lambda: [seeds(level_map) for level_map in levels],
                "rrtool with quantize": lambda: detect_regions(
                    quantize(maps, scale), maps, stability
                ),
            },
            repeats,
        )
    ours, theirs, ours_alone, theirs_alone, _ = timings.values()
    what = f"MSER, {title}, against VLFeat, threads of each:"
    tell_goal(f"{what} all", theirs.over(ours), least=20)
    tell_goal(f"{what} one", theirs_alone.over(ours_alone), least=20)


def main() -> None:
    print_machine()
    vlfeat.library()  # says what to do where it is not here
    run("synthetic", synthetic_maps(), repeats=15)
    maps = real_maps()
    if maps is not None:
        run("SqueezeNet 1.1, one photo", maps, repeats=15)


if __name__ == "__main__":
    main()
