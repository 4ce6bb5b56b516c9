"""Is the default network better for training? Of one set after the other, trained on the rest.

For each set the network is trained for retrieval on the other sets (T_R, or T_SP by ``--spatial``),
a whitening is learnt on them by the trained network, and the set that neither has seen is asked:
mAP of the network as it comes with rrtool and of the trained one, both without and with a whitening
learnt on the other sets, and the differences with their spread when groups are drawn with
replacement. A network of our own would have to gain on every set. What is done is not done again.

Run: ``python benchmarks/shipped_network.py [--data <folder of sets>] [--epochs 5] [--queries 300]
[--lr 1e-4] [--train-from last] [--spatial] [--scales 1]``; a set is ``<folder>/<name>/images``.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any, cast

from extract import SHARED
from shipped_whitening import SETS, PhotoSet, learn
from spread import drawn_means

import rrtool
from rrtool import ground_truth
from rrtool.ground_truth.groups import Groups

_DRAWS = 2000


def train(left_out: str, options: argparse.Namespace) -> Path:
    """A network that has seen the photos of all sets but one."""
    groups, photos = (options.out / f"{left_out}.{kind}" for kind in ("csv", "txt"))
    paths, rows = [], []
    for name in SETS:
        if name != left_out:
            truth = cast(Groups, ground_truth.load(SETS[name], "groups"))
            found = sorted((options.data / name / "images").iterdir())
            paths += found
            labels = truth.labels([each.name for each in found])
            rows += [(path, f"{name} {label}") for path, label in zip(found, labels, strict=True)]
    photos.write_text("".join(f"{path}\n" for path in paths))
    with groups.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *rows])
    weights = options.out / f"{left_out}.safetensors"
    rrtool.train(
        photos, weights, groups=groups, train_from=options.train_from, spatial=options.spatial,
        epochs=options.epochs, queries=options.queries, learning_rate=options.lr,
        image_size=options.image_size, overwrite=True,
    )  # fmt: skip
    return weights


def described(name: str, weights: Path | None, options: argparse.Namespace) -> dict[str, PhotoSet]:
    """All sets, by the network that has not seen one of them, or as it comes."""
    out = options.out / (name if weights else "before")
    out.mkdir(parents=True, exist_ok=True)
    network: dict[str, Any] = {"network": "efficientnet_lite0", "scales": options.scales}
    if weights:
        network["weights"] = weights
    return {each: PhotoSet.of(each, options.data, out, network) for each in SETS}


def report(name: str, before: dict[str, PhotoSet], after: dict[str, PhotoSet]) -> None:
    """A row of Markdown."""
    cells = []
    for is_white in (False, True):
        values = []
        for sets in (before, after):
            others = [each for other, each in sets.items() if other != name]
            own, labels = sets[name].scores(learn(others) if is_white else None)
            values.append(100 * own)
        gain = values[1] - values[0]
        spread = drawn_means(gain, labels, _DRAWS, 0).std()
        cells += [f"{each.mean():.2f}" for each in values] + [f"{gain.mean():+.2f} ± {spread:.2f}"]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED / "retrieval")
    parser.add_argument("--out", type=Path, default=Path("build/network"))
    parser.add_argument("--scales", type=lambda text: tuple(map(float, text.split(","))),
                        default=(1.0,))  # fmt: skip
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--train-from", default="last")
    parser.add_argument("--spatial", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| left out | before | after | gain | whitened, before | after | gain |")
    print("|---|---|---|---|---|---|---|", flush=True)
    before = described("", None, options)
    for name in SETS:
        report(name, before, described(name, train(name, options), options))


if __name__ == "__main__":
    main()
