"""What training for retrieval gains on groups that it has not seen: T_R, T_SP, and without labels.

    python benchmarks/training_gain.py grocery/images --groups 'prefix:(.*)_' --set grocery \\
        --network squeezenet1_1 --weights FILE --results gain.json
    python benchmarks/training_gain.py --results gain.json      # the tables alone

The groups of a set are dealt to two halves, the largest first; groups of one stay out, photos with
an empty label are dealt too and are no queries. Whichever half is trained on, the other is tested:
each photo asks for the others of its group among those of its half (mAP, leave-one-out), by global
descriptors (``--max-size``, one scale, not whitened) and re-ranked by the local features of the
same maps (DSM). Methods: ``tr`` trains on labels, ``tsp`` the same with ``--spatial``, ``mined`` on
tuples that ``rrtool mine`` finds in the photos of the half without labels, by features, local
features and a graph of the network as it is (``--mine-size``, the network's own scales). The last
epoch's network counts.

Of each training the average precision of every query is kept in ``--results``; what is there
already is not trained again, so that a run that was killed goes on. Tables give mAP of the two
halves as means over the seeds; the mean difference over all queries ± its standard deviation over
2000 draws of groups with replacement; and the least and largest difference of a seed.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spread import average_precisions
from training_gain_tables import METHODS, RANKINGS, Results, Setting, tables

import rrtool
from rrtool.ground_truth.groups import Groups, load_groups
from rrtool.images.collection import collect

SAME = {"overwrite": True}


def halves(labels: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows of two halves of the groups of two or more; distractors are dealt too."""
    sizes = Counter(label for label in labels if label)
    groups = sorted((label for label in sizes if sizes[label] > 1), key=lambda x: (-sizes[x], x))
    half_of = {label: place % 2 for place, label in enumerate(groups)}
    distractors = itertools.cycle((0, 1))
    of_rows = [half_of.get(label) if label else next(distractors) for label in labels]
    first, second = ([row for row, each in enumerate(of_rows) if each == h] for h in (0, 1))
    return first, second


def write_halves(photos: str, rule: str, folder: Path) -> tuple[Path, Path]:
    """Of each half a table of its photos and their labels, which is list and rule in one."""
    collection = collect(photos)
    labels = load_groups(rule).labels(collection.names)
    tables = folder / "half-0.csv", folder / "half-1.csv"
    for path, rows in zip(tables, halves(labels), strict=True):
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("name", "label"))
            places = ((collection.paths[row], labels[row]) for row in rows)
            writer.writerows((os.path.abspath(path), label) for path, label in places if path)
    return tables


@dataclass(frozen=True)
class Measurement:
    """Trains on one half of a set and tests on the other.

    Attributes:
        halves: tables of the photos.
        folder: for networks and artifacts, which are of no use afterwards.
        dsm: whether local features are tested too.
    """

    halves: tuple[Path, Path]
    weights: str
    folder: Path
    results: Results
    dsm: bool

    def make(self, setting: Setting) -> None:
        """Train and test, if that is not known already."""
        if self.results.has(setting):
            return
        began = time.monotonic()
        found: dict[str, Any] = {"seconds": 0.0}
        weights = self.weights
        if setting.method != "none":
            try:
                weights = str(self._trained(setting))
            except rrtool.RrtoolError as error:
                self.results.add(setting, {"error": str(error)})
                print(f"{setting}: {error}", flush=True)
                return
            found["seconds"] = time.monotonic() - began
        found |= self._tested(setting, weights)
        self.results.add(setting, found)
        known = [name for name in RANKINGS if name in found]
        scores = ", ".join(f"{name} {100 * np.mean(found[name]):.1f}" for name in known)
        seconds = time.monotonic() - began
        print(f"{setting.set} {setting.network} {setting.pool} {setting.method} {setting.rate:g}"
              f" tested {setting.tested} seed {setting.seed}: {scores}"
              f" ({found['seconds']:.0f} s, in all {seconds:.0f} s)", flush=True)  # fmt: skip

    def _trained(self, setting: Setting) -> Path:
        table = str(self.halves[1 - setting.tested])
        given: dict[str, Any] = {"groups": table}
        examples: str | Path = table
        if setting.method == "mined":
            examples, given = self._mined(setting, table), {}
        return rrtool.train(
            examples, self.folder / "network.safetensors", network=setting.network,
            weights=self.weights, pool=setting.pool, spatial=setting.method == "tsp",
            learning_rate=setting.rate, epochs=setting.epochs, queries=setting.queries,
            image_size=setting.image_size, train_from=setting.train_from or None,
            seed=setting.seed, **given, **SAME,
        ).path  # fmt: skip

    def _mined(self, setting: Setting, table: str) -> Path:
        """Tuples of a half, from its photos alone."""
        name = f"{setting.network}-{1 - setting.tested}-{setting.mine_size}"
        features, local, graph, tuples = (
            self.folder / f"{name}-{kind}.h5" for kind in ("features", "local", "graph", "tuples")
        )
        rrtool.extract(
            table, features, local=local, network=setting.network, weights=self.weights,
            max_size=setting.mine_size, **SAME,
        )  # fmt: skip
        rrtool.build_graph(features, graph, **SAME)
        return rrtool.mine(features, tuples, graph=graph, local=local, **SAME)

    def _tested(self, setting: Setting, weights: str) -> dict[str, Any]:
        """Average precisions of the queries, and their labels."""
        table, folder = str(self.halves[setting.tested]), self.folder
        features, local, queries = (folder / f"{x}.h5" for x in ("features", "local", "queries"))
        rrtool.extract(
            table, features, network=setting.network, weights=weights, pool=setting.pool,
            max_size=setting.max_size, scales=(1.0,), whitening="none", engine="torch",
            precision="float32", **({"local": local, "query_local": queries} if self.dsm else {}),
            **SAME,
        )  # fmt: skip
        rankings = {"global": rrtool.search(features, features, folder / "global.h5", **SAME)}
        if self.dsm:
            files = {"query_local": queries, "database_local": local}
            rankings["dsm"] = rrtool.rerank(rankings["global"], folder / "dsm.h5", **files, **SAME)
        truth = Groups(table, load_groups(table).rule)
        found: dict[str, Any] = {}
        for name, path in rankings.items():
            values, found["labels"] = average_precisions(str(path), truth)
            found[name] = [round(float(value), 6) for value in values]
        return found


def settings_of(options: argparse.Namespace) -> Iterator[Setting]:
    """All that is asked for, seed by seed."""
    for seed, pool, rate, method, tested in itertools.product(
        options.seeds, options.pools, options.rates, options.methods, options.tested
    ):
        setting = Setting(
            options.set, options.network, pool, method, rate, options.epochs, options.queries,
            options.image_size, options.train_from, options.max_size, tested, seed,
            options.mine_size if method == "mined" else 0,
        )  # fmt: skip
        yield setting.before()
        yield setting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="?", help="without it the tables alone")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--groups")
    parser.add_argument("--set", help="what the set is called in tables")
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--methods", nargs="+", default=["tr", "tsp"], choices=list(METHODS)[1:])
    parser.add_argument("--pools", nargs="+", default=["gem"], choices=["gem", "mac"])
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tested", nargs="+", type=int, default=[0, 1], choices=[0, 1])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--train-from", default="last", help="empty: all layers")
    parser.add_argument("--max-size", type=int, default=362)
    parser.add_argument("--mine-size", type=int, default=512)
    parser.add_argument("--no-dsm", action="store_true")
    options = parser.parse_args()
    results = Results(options.results)
    if options.photos is not None:
        if options.groups is None or options.set is None:
            parser.error("photos need --groups and --set")
        folder = options.results.with_suffix("") / options.set
        folder.mkdir(parents=True, exist_ok=True)
        both = write_halves(options.photos, options.groups, folder)
        measurement = Measurement(both, options.weights, folder, results, not options.no_dsm)
        for setting in settings_of(options):
            measurement.make(setting)
    print(tables(results.runs))


if __name__ == "__main__":
    main()
