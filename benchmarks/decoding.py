"""What decoding JPEGs at a smaller scale saves, and what it does to descriptors.

python benchmarks/decoding.py [--count 6] [--engine auto]

Real photos are enlarged to the sizes of phone photos, with a little noise, and described by
SqueezeNet 1.1 (GeM, three scales, 1024 pixels) from pixels decoded in full, and at libjpeg's
smallest scale that leaves 1, 1.5 and 1.75 times the size that is asked for. A side that is
just a margin above a scale is the margin's worst case: 3072 pixels are 1.5 times 1024 at a half.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import compare, print_machine

from rrtool.core.retrieval.pooling import combine_scales, gem, l2_normalize
from rrtool.images import decode
from rrtool.images.listing import list_images
from rrtool.networks import load_network
from rrtool.networks.engines import build, candidates
from rrtool.stages.activations.sources import activation_maps

SHARED = Path(os.environ.get("RRTOOL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
LONGER_SIDES = (4000, 3072, 4096, 6144)
MAX_SIZE = 1024
MARGINS = {"full": 1e9, "1.75": 1.75, "1.5": 1.5, "1": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(SHARED / "retrieval" / "scenes" / "images"))
    parser.add_argument("--weights", default=str(SHARED / "weights" / "squeezenet1_1.pth"))
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    network = load_network("squeezenet1_1", arguments.weights)
    running = build(network.backbone, candidates("auto", "float32", in_bfloat16=False)[0], 2)
    network = type(network)(**{**vars(network), "backbone": running})
    paths = list_images(arguments.images).paths
    paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
    print_machine()
    for side in LONGER_SIDES:
        with tempfile.TemporaryDirectory() as folder:
            photos = enlarge(paths, Path(folder), side)
            print(f"{len(photos)} JPEG files, the longer side {side} pixels")
            _compare(network, photos, arguments.repeats)


def enlarge(paths: list[str], folder: Path, side: int) -> list[str]:
    """The same photos as JPEG files of quality 90, with noise, as a phone would write them."""
    generator, written = np.random.default_rng(0), []
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            photo = image.convert("RGB")
        factor = side / max(photo.size)
        size = tuple(round(factor * each) for each in photo.size)
        pixels = np.asarray(photo.resize(size, Image.Resampling.LANCZOS), dtype=np.int16)
        noise = generator.integers(-3, 4, pixels.shape[:2], dtype=np.int16)[..., None]
        noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        written.append(str(folder / f"{number}.jpg"))
        Image.fromarray(noisy).save(written[-1], quality=90)
    return written


def _compare(network, photos: list[str], repeats: int) -> None:
    def decoded(margin: float) -> list[np.ndarray]:
        decode._MARGIN = margin
        return [decode.decode_image(path, MAX_SIZE).pixels for path in photos]

    described = {name: _describe(network, decoded(margin)) for name, margin in MARGINS.items()}
    for name, vectors in described.items():
        cosines = (vectors * described["full"]).sum(dim=1)
        print(f"margin {name}: cosine to a full decode at least {cosines.min():.6f}")
    compare({name: lambda m=margin: decoded(m) for name, margin in MARGINS.items()}, repeats)


def _describe(network, images: list[np.ndarray]) -> torch.Tensor:
    found = []
    with torch.inference_mode():
        for pixels in images:
            photo = torch.from_numpy(pixels.copy())[None]
            maps = activation_maps(network, photo, (1.0, 0.7071, 0.5))
            found.append(combine_scales([l2_normalize(gem(scale)) for scale in maps])[0])
    return torch.stack(found)


if __name__ == "__main__":
    main()
