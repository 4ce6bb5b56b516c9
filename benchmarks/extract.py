"""Throughput of ``extract`` against the bare network forward on the same images in memory.

python benchmarks/extract.py [--images FOLDER] [--weights FILE] [--count 24] [--device cpu]

The bare side has every image decoded, resized, normalised and scaled in advance and runs the
backbone alone. The other side is the whole stage: listing, decoding, three scales, pooling,
writing and publishing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import compare, print_machine

from rrtool.images.decode import decode_image
from rrtool.images.listing import list_images
from rrtool.networks import Network, load_network
from rrtool.progress import Silent
from rrtool.stages.activations.sources import _resized
from rrtool.stages.extraction import extract
from rrtool.stages.extraction.options import OnePassOptions

SHARED = Path(os.environ.get("RRTOOL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(SHARED / "retrieval" / "scenes" / "images"))
    parser.add_argument("--weights", default=str(SHARED / "weights" / "squeezenet1_1.pth"))
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images, weights = arguments.images, arguments.weights
        if not Path(images).is_dir() or not Path(weights).is_file():
            print("the shared photos are not here: random JPEG files, untrained network")
            images, weights = random_photos(Path(folder), arguments.count, 1024), "none"
        paths = list_images(images).paths[: arguments.count]
        listed = Path(folder) / "list.txt"
        listed.write_bytes(b"\n".join(os.fsencode(os.path.abspath(path)) for path in paths))
        network = load_network(arguments.network, weights, device=arguments.device)
        options = OnePassOptions(
            images=str(listed),
            output=str(Path(folder) / "features.h5"),
            network=arguments.network,
            weights=weights,
            device=arguments.device,
        )
        print_machine()
        print(f"{len(paths)} images, {arguments.network}, scales {options.scales}")
        compare(
            {
                "bare forward": _bare(network, paths, options),
                "extract": _stage(options),
            },
            arguments.repeats,
        )


def random_photos(folder: Path, count: int, longer_side: int) -> str:
    """JPEG files of coloured blocks, three quarters as high as wide; returns their folder."""
    generator = np.random.default_rng(0)
    photos = folder / "photos"
    photos.mkdir()
    for number in range(count):
        small = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(small).resize((longer_side, longer_side * 3 // 4)).save(
            photos / f"{number}.jpg"
        )
    return str(photos)


def _bare(network: Network, paths: list[str], options: OnePassOptions) -> Callable[[], None]:
    std = torch.tensor(network.std).view(1, 3, 1, 1)
    mean = torch.tensor(network.mean).view(1, 3, 1, 1)
    inputs, device = [], options.device
    for path in paths:
        pixels = torch.from_numpy(decode_image(path, options.max_size).pixels.copy())[None]
        image = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
        inputs += [_resized(image, scale).to(device) for scale in options.scales]

    def run() -> None:
        with torch.inference_mode():
            for tensor in inputs:
                network.backbone(tensor)
        if device != "cpu":
            torch.cuda.synchronize()

    return run


def _stage(options: OnePassOptions) -> Callable[[], None]:
    def run() -> None:
        Path(options.output).unlink(missing_ok=True)
        extract.run(options, Silent())

    return run


if __name__ == "__main__":
    main()
