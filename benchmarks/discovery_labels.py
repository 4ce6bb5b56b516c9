"""How right the classes are that ``discover --labels`` gives to objects and photos.

python benchmarks/discovery_labels.py OBJECTS.h5 --regions R.h5 --labelled FILE --groups RULE

How many objects have a class and how many of these that of most of their photos; and how many of
the photos that were not labelled have the class that their regions say most. How pure objects are
says ``rrtool evaluate``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Objects, Regions
from rrtool.exchange.label_files import read_labels
from rrtool.ground_truth.groups import Groups, load_groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("objects")
    parser.add_argument("--regions", required=True, help="the regions of the objects")
    parser.add_argument("--labelled", required=True, help="what discover --labels took")
    parser.add_argument("--groups", required=True, help="as for rrtool evaluate")
    arguments = parser.parse_args()
    groups = load_groups(arguments.groups)
    with open_artifact(arguments.objects, Objects) as artifact:
        print_objects(artifact, groups)
        with open_artifact(arguments.regions, Regions) as regions:
            print_photos(artifact, regions, groups, arguments.labelled)


def print_objects(artifact: Objects, groups: Groups) -> None:
    labels, given = groups.labels(artifact.names), artifact.labels() or []
    images, bounds = artifact.images.tolist(), pairwise(artifact.offsets.tolist())
    true = [Counter(labels[i] for i in images[a:b]).most_common(1)[0][0] for a, b in bounds]
    right = [one == other for one, other in zip(given, true, strict=True) if one]
    print(f"objects with a class {len(right)} of {len(given)}, right {mean(right):.3f}")


def print_photos(artifact: Objects, regions: Regions, groups: Groups, labelled: str) -> None:
    photos, labels, names = artifact.names, groups.labels(artifact.names), artifact.class_names
    classes, shares = artifact.region_classes, artifact.region_class_shares
    known = {row.names[0] for row in read_labels(labelled)}
    right = []
    for photo, (start, stop) in enumerate(pairwise(regions.offsets.tolist())):
        votes = np.bincount(classes[start:stop] + 1, shares[start:stop], len(names) + 1)[1:]
        if photos[photo] not in known and votes.any():
            right.append(names[int(votes.argmax())] == labels[photo])
    n_others = len(photos) - len(known)
    print(f"photos with a class {len(right)} of {n_others}, right {mean(right):.3f}")


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


if __name__ == "__main__":
    main()
