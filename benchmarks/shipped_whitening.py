"""The whitening that comes with rrtool: what it gains on a set it has not seen, and making it.

It is learnt on photo sets with groups (``whiten fit --shrinkage 0.8 --dim 1024``). With the figures
of leaving one set out in turn comes their spread when groups are drawn with replacement; then it is
learnt on all and written.

Run: ``make whitening``, or ``python benchmarks/shipped_whitening.py --data <folder of sets>
[--write FILE]``; a set is ``<folder>/<name>/images``.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from spread import average_precisions, drawn_means

import rrtool
from rrtool import ground_truth
from rrtool.networks.packaged import WHITENING

# Which photos show the same: the name before its last or its first underscore.
SETS = {
    "scenes": "prefix:^(.*)_",
    "oxford5k_subset": "prefix:^(.*)_",
    "grocery": "prefix:^(.*)_",
    "logos": "prefix:^([^_]*)_",
}
SHRINKAGE, DIM = 0.8, 1024


def learn(names: list[str], data: Path, out: Path) -> Path:
    """A whitening of all photos of some sets."""
    folders = [data / name / "images" for name in names]
    photos = [path for folder in folders for path in sorted(folder.iterdir())]
    labels = {}
    for name, folder in zip(names, folders, strict=True):
        groups = ground_truth.load(SETS[name], "groups")
        found = sorted(path.name for path in folder.iterdir())
        labels |= {
            str(folder / photo): f"{name}/{label}"
            for photo, label in zip(found, groups.labels(found), strict=True)
        }
    listed, table = out / "photos.txt", out / "groups.csv"
    listed.write_text("".join(f"{path}\n" for path in photos))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *labels.items()])
    features = rrtool.extract(listed, out / "learn.h5", whitening="none", overwrite=True)
    return rrtool.whiten_fit(
        features, out / "whitening.h5", groups=str(table), shrinkage=SHRINKAGE, dim=DIM,
        overwrite=True,
    )  # fmt: skip


def rankings(name: str, whitening: Path, data: Path, out: Path) -> list[Path]:
    """Rankings of a set, not whitened and whitened about its own mean."""
    photos, queries = data / name / "images", data / name / "queries"
    plain = rrtool.extract(photos, out / f"{name}.h5", whitening="none", overwrite=True)
    asking = plain
    if queries.is_dir():
        asking = rrtool.extract(queries, out / f"{name}-q.h5", whitening="none", overwrite=True)
    white = [
        rrtool.whiten_apply(each, whitening, out / f"{Path(each).stem}-w.h5", center=plain,
                            overwrite=True)
        for each in (asking, plain)
    ]  # fmt: skip
    return [
        rrtool.search(asking, plain, out / f"{name}-plain.h5", overwrite=True),
        rrtool.search(*white, out / f"{name}-white.h5", overwrite=True),
    ]


def report(name: str, found: list[Path]) -> None:
    truth = ground_truth.load(SETS[name], "groups")
    (plain, labels), (white, _) = (average_precisions(str(path), truth) for path in found)
    spread = 100 * drawn_means(white - plain, labels, 2000, 0).std()
    gain = 100 * (white - plain).mean()
    print(
        f"{name}: {100 * plain.mean():.2f} → {100 * white.mean():.2f} ({gain:+.2f} ± {spread:.2f})",
        flush=True,
    )


def write(whitening: Path, target: Path) -> None:
    """In half precision, which descriptors do not notice."""
    with rrtool.open(whitening) as learned:
        tensors = {
            name: torch.from_numpy(np.array(getattr(learned, name))).half()
            for name in ("mean", "projection")
        }
        made = {"sets": ", ".join(SETS), "shrinkage": str(SHRINKAGE),
                "weights": learned.network["weights_digest"]}  # fmt: skip
    save_file(tensors, target, metadata=made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = Path(os.environ.get("RRTOOL_SHARED_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=shared / "retrieval")
    parser.add_argument("--out", type=Path, default=Path("build/whitening"))
    parser.add_argument("--write", type=Path, nargs="?", const=WHITENING)
    parser.add_argument("--only-write", action="store_true", help="leave out the figures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in () if options.only_write else SETS:
        others = [other for other in SETS if other != name]
        whitening = learn(others, options.data, options.out)
        report(name, rankings(name, whitening, options.data, options.out))
    if options.write is not None:
        write(learn(list(SETS), options.data, options.out), options.write)


if __name__ == "__main__":
    main()
