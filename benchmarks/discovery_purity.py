"""How well discovered objects agree with the labels of their photos.

python benchmarks/discovery_purity.py OBJECTS.h5 … --groups 'prefix:^(.*)_'

An object is as pure as the share of its photos that carry its most frequent label. Photos may share
more than their label says, so purity is a lower bound of what is right.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import pairwise

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Objects
from rrtool.ground_truth.groups import Groups, load_groups

PURE = 0.8
HEAD = 20  # the objects that are looked at first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("objects", nargs="+")
    parser.add_argument("--groups", required=True, help="as for rrtool evaluate")
    arguments = parser.parse_args()
    groups = load_groups(arguments.groups)
    print("objects | found | photos each | purity | of the first 20 | labels found | labels")
    for path in arguments.objects:
        print(path, "|", " | ".join(row(path, groups)))


def row(path: str, groups: Groups) -> list[str]:
    """Number of objects, their mean size, mean purities, and labels with a pure object."""
    with open_artifact(path, Objects) as artifact:
        labels = groups.labels(artifact.names)
        images = artifact.images.tolist()
        bounds = pairwise(artifact.offsets.tolist())
        counts = [Counter(labels[i] for i in images[start:stop]) for start, stop in bounds]
    purities = [max(count.values()) / count.total() for count in counts]
    found = {
        count.most_common(1)[0][0]
        for count, purity in zip(counts, purities, strict=True)
        if purity >= PURE
    }
    return [
        str(len(counts)),
        f"{mean([count.total() for count in counts]):.1f}",
        f"{mean(purities):.2f}",
        f"{mean(purities[:HEAD]):.2f}",
        str(len(found)),
        str(len(set(labels))),
    ]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


if __name__ == "__main__":
    main()
