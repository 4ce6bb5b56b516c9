"""Throughput of ``extract`` against the bare network forward on the same images in memory.

python benchmarks/extract.py [--images FOLDER] [--weights FILE] [--count 32] [--device cpu]
    [--engine auto] [--longer-side 0 4000]

The bare side has every image decoded, resized, normalised and scaled in advance and runs the
backbone alone, by the same engine. The other side is the whole stage: listing, decoding, three
scales, pooling, writing and publishing; it makes its engine and compares it with torch each time
(of 64 photos and more), which is shown by itself. Photos as they are, and then enlarged to those of
phones.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from decoding import enlarge
from PIL import Image
from timing import compare, print_machine, tell_goal

from rrtool.images.decode import decode_image
from rrtool.images.listing import list_images
from rrtool.networks import load_network
from rrtool.networks.engines import build, candidates
from rrtool.progress import Silent
from rrtool.stages.activations import input as activation_input
from rrtool.stages.activations.sources import resized
from rrtool.stages.extraction import extract
from rrtool.stages.extraction.options import OnePassOptions

SHARED = Path(os.environ.get("RRTOOL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(SHARED / "retrieval" / "scenes" / "images"))
    parser.add_argument("--weights", default=str(SHARED / "weights" / "squeezenet1_1.pth"))
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument(
        "--longer-side", type=int, nargs="+", default=[0, 4000], help="in pixels; 0: as they are"
    )
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images, weights, stand_in = arguments.images, arguments.weights, ""
        if not Path(images).is_dir() or not Path(weights).is_file():
            stand_in = "random JPEG files and an untrained network in place of photos"
            images, weights = random_photos(Path(folder), arguments.count, 1024), "none"
        found = list_images(images).paths[: arguments.count]
        print_machine(stand_in)
        for side in arguments.longer_side:
            paths = enlarge(found, Path(folder), side) if side else found
            listed = Path(folder) / "list.txt"
            listed.write_bytes(b"\n".join(os.fsencode(os.path.abspath(path)) for path in paths))
            options = OnePassOptions(
                images=str(listed), output=str(Path(folder) / "features.h5"), weights=weights,
                network=arguments.network, device=arguments.device, engine=arguments.engine,
            )  # fmt: skip
            print(f"{len(paths)} images, {arguments.network}, scales {options.working_scales}")
            _compare(paths, options, arguments.repeats, f" of {side} pixels" if side else "")


def random_photos(folder: Path, count: int, longer_side: int) -> str:
    """JPEG files of coloured blocks, three quarters as high as wide; returns their folder."""
    generator = np.random.default_rng(0)
    photos = folder / "photos"
    photos.mkdir()
    for number in range(count):
        small = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        large = Image.fromarray(small).resize((longer_side, longer_side * 3 // 4))
        large.save(photos / f"{number}.jpg")
    return str(photos)


def _compare(paths: list[str], options: OnePassOptions, repeats: int, size: str) -> None:
    making: list[float] = []
    choose = activation_input.choose_engine

    def timed(*arguments: object) -> dict[str, str]:
        start = time.perf_counter()
        found = choose(*arguments)
        making.append(time.perf_counter() - start)
        return found

    activation_input.choose_engine = timed
    sides = {"bare forward": _bare(paths, options), "extract": _stage(options)}
    timings = compare(sides, repeats)
    activation_input.choose_engine = choose
    shares = 100 * timings["bare forward"].over(timings["extract"])
    bare, whole = (timing.median for timing in timings.values())
    fixed = float(np.median(making[1:]))
    print(f"extract reaches {bare / whole:.1%} of the bare forward")
    print(f"{bare / (whole - fixed):.1%} without the {fixed:.2f} s that choosing an engine takes")
    what = (
        f"extract, {len(paths)} photos{size}, {options.network}, of the bare forward's throughput"
    )
    tell_goal(what, shares, least=90, unit="%")


def _bare(paths: list[str], options: OnePassOptions) -> Callable[[], None]:
    network = load_network(options.network, options.weights, device=options.device)
    std = torch.tensor(network.std).view(1, 3, 1, 1)
    mean = torch.tensor(network.mean).view(1, 3, 1, 1)
    inputs, device, backbone = [], options.device, network.backbone
    if device == "cpu":
        engine = candidates(options.engine, "float32", in_bfloat16=False)[0]
        backbone = build(backbone, engine, torch.get_num_threads())
        print(f"the engine of both: {engine}")
    for path in paths:
        pixels = torch.from_numpy(decode_image(path, options.working_size).pixels.copy())[None]
        image = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
        inputs += [resized(image, scale).to(device) for scale in options.working_scales]

    def run() -> None:
        with torch.inference_mode():
            for tensor in inputs:
                backbone(tensor)
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
