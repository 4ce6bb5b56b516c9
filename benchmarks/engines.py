"""Engines against torch: a forward pass, the descriptors, and the whole of ``extract``.

python benchmarks/engines.py [--networks squeezenet1_1,resnet50] [--count 64] [--repeats 5]

The sides alternate in one process: torch in float32, then every engine that is installed, in
float32 and, where the processor has it, in bfloat16. Cosines are of GeM descriptors at three
scales of real photos (or of random ones where the shared photos are not here).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from extract import SHARED, random_photos
from timing import compare, print_machine

from rrtool.core.retrieval.pooling import combine_scales, gem, l2_normalize
from rrtool.images.decode import decode_image
from rrtool.images.listing import list_images
from rrtool.networks import Network, load_network
from rrtool.networks.engines import BFLOAT16, FLOAT32, Engine, Unavailable, build
from rrtool.networks.engines.engine import has_bfloat16, is_installed
from rrtool.progress import Silent
from rrtool.stages.activations.sources import activation_maps
from rrtool.stages.extraction import extract
from rrtool.stages.extraction.options import OnePassOptions

SIZE = (768, 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="squeezenet1_1,resnet50")
    parser.add_argument("--images", default=str(SHARED / "retrieval" / "scenes" / "images"))
    parser.add_argument("--count", type=int, default=64, help="photos of extract; 0: no extract")
    parser.add_argument("--compared", type=int, default=8, help="photos whose cosines are taken")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images, stand_in = arguments.images, ""
        if not Path(images).is_dir():
            stand_in = "random JPEG files in place of photos"
            images = random_photos(Path(folder), max(arguments.count, arguments.compared), 1024)
        print_machine(stand_in)
        paths = list_images(images).paths
        for name in arguments.networks.split(","):
            weights = SHARED / "weights" / f"{name}.pth"
            _measure(name, str(weights) if weights.is_file() else "none", paths, arguments)


def engines() -> list[Engine]:
    """All that can run here, torch in float32 first."""
    names = ["torch", *(name for name in ("openvino", "onnxruntime") if is_installed(name))]
    found = [Engine(name, FLOAT32) for name in names]
    if has_bfloat16():
        found += [Engine(name, BFLOAT16) for name in names if name != "onnxruntime"]
    return found


def _measure(name: str, weights: str, paths: list[str], arguments: argparse.Namespace) -> None:
    network = load_network(name, weights)
    print(f"\n{name}, weights {network.weights}, {SIZE[1]}×{SIZE[0]} pixels")
    photos = [decode_image(path, 1024).pixels for path in paths[: arguments.compared]]
    expected, running = _descriptors(network, photos), {}
    for engine in engines():
        start = time.perf_counter()
        try:
            backbone = build(network.backbone, engine, torch.get_num_threads())
        except Unavailable as error:
            print(error)
            continue
        seconds = time.perf_counter() - start
        vectors = _descriptors(Network(**{**vars(network), "backbone": backbone}), photos)
        cosine = (vectors * expected).sum(dim=1).min().item()
        print(f"{engine}: made in {seconds:.2f} s, cosine at least {cosine:.7f}")
        running[engine] = backbone
    images = torch.rand(1, 3, *SIZE).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        compare({str(e): partial(b, images) for e, b in running.items()}, arguments.repeats)
    if arguments.count:
        _compare_extract(name, weights, paths[: arguments.count], list(running), arguments.repeats)


def _descriptors(network: Network, photos: list) -> torch.Tensor:
    found = []
    with torch.inference_mode():
        for pixels in photos:
            photo = torch.from_numpy(pixels.copy())[None]
            maps = activation_maps(network, photo, (1.0, 0.7071, 0.5))
            found.append(combine_scales([l2_normalize(gem(scale)) for scale in maps])[0])
    return torch.stack(found)


def _compare_extract(
    name: str, weights: str, paths: list[str], running: list[Engine], repeats: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        listed, output = Path(folder) / "list.txt", Path(folder) / "f.h5"
        listed.write_bytes(b"\n".join(os.fsencode(os.path.abspath(path)) for path in paths))

        def call(engine: Engine) -> None:
            output.unlink(missing_ok=True)
            options = OnePassOptions(
                images=str(listed), output=str(output), network=name, weights=weights,
                device="cpu", engine=engine.name, precision=engine.precision,
            )  # fmt: skip
            extract.run(options, Silent())

        print(f"extract of {len(paths)} photos, three scales, the engine made each time")
        compare({str(engine): partial(call, engine) for engine in running}, max(1, repeats // 2))


if __name__ == "__main__":
    main()
