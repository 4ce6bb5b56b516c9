"""All that is wanted of photos in one pass of the network, against a stage for each.

python benchmarks/one_pass.py [--images FOLDER] [--weights FILE] [--count 24] [--repeats 3]

Descriptors, local features of database and queries, and regions of feature saliency. The stages'
defaults; both sides in this process, alternating, and their artifacts are compared. Ratios are to
the separate stages.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from timing import compare, print_machine

import rrtool
from rrtool.artifacts import open_artifact
from rrtool.images.listing import list_images

SHARED = Path(os.environ.get("RRTOOL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
NAMES = ("features.h5", "local.h5", "query-local.h5", "regions.h5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(SHARED / "retrieval" / "scenes" / "images"))
    parser.add_argument("--weights", default=str(SHARED / "weights" / "squeezenet1_1.pth"))
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, help="of photos; by default all")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    paths = list_images(arguments.images).paths[: arguments.count]
    network = {name: getattr(arguments, name) for name in ("network", "weights", "device")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed = folder / "list.txt"
        listed.write_bytes(b"\n".join(os.fsencode(os.path.abspath(path)) for path in paths))
        for side in ("alone", "together"):
            (folder / side).mkdir()
        print_machine()
        print(f"{len(paths)} photos, {arguments.network}")
        compare(
            {
                "separate stages": lambda: separate(listed, folder / "alone", network),
                "one pass": lambda: one_pass(listed, folder / "together", network),
            },
            arguments.repeats,
        )
        for output in NAMES:
            digests = [digest(folder / side / output) for side in ("alone", "together")]
            print(f"{output}: {'equal' if digests[0] == digests[1] else 'DIFFERENT'}")


def separate(images: Path, folder: Path, network: dict[str, Any]) -> None:
    features, local, query_local, regions = fresh(folder)
    rrtool.extract(images, features, **network)
    rrtool.detect_local(images, local, **network)
    rrtool.detect_local(images, query_local, role="query", levels_from=local, **network)
    rrtool.saliency_fs(images, regions, **network)


def one_pass(images: Path, folder: Path, network: dict[str, Any]) -> None:
    features, local, query_local, regions = fresh(folder)
    more = {"local": local, "query_local": query_local, "fs_regions": regions}
    rrtool.extract(images, features, **more, **network)


def fresh(folder: Path) -> list[Path]:
    """The outputs, which are not there yet."""
    outputs = [folder / name for name in NAMES]
    for output in outputs:
        output.unlink(missing_ok=True)
    return outputs


def digest(path: Path) -> str:
    with open_artifact(path) as artifact:
        return artifact.digest


if __name__ == "__main__":
    main()
