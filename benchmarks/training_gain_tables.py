"""What ``training_gain.py`` has measured: kept in a file, and shown in tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spread import drawn_means

METHODS = {"none": "none", "tr": "T_R", "tsp": "T_SP", "mined": "mined"}
RANKINGS = {"global": "global", "dsm": "+ DSM"}
DRAWS = 2000
_OWN = ("method", "tested", "seed", "mine_size")


@dataclass(frozen=True)
class Setting:
    """One training and its test; ``none`` is the network before any.

    Attributes:
        tested: the half that is tested; the other is trained on.
        mine_size: longer side of the photos that are mined; 0 where none are.
    """

    set: str
    network: str
    pool: str
    method: str
    rate: float
    epochs: int
    queries: int
    image_size: int
    train_from: str
    max_size: int
    tested: int
    seed: int
    mine_size: int = 0

    def before(self) -> Setting:
        """The same without training."""
        return Setting(
            self.set, self.network, self.pool, "none", 0.0, 0, 0, 0, "", self.max_size,
            self.tested, 0,
        )  # fmt: skip


class Results:
    """What was measured, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.runs: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []

    def has(self, setting: Setting) -> bool:
        return any(_settings_of(run) == setting for run in self.runs)

    def add(self, setting: Setting, found: dict[str, Any]) -> None:
        self.runs.append({**asdict(setting), **found})
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.runs))
        os.replace(temporary, self._path)


def _settings_of(run: dict[str, Any]) -> Setting:
    names = Setting.__dataclass_fields__
    return Setting(**{name: run[name] for name in names if name in run})


def spread_of(values: np.ndarray, labels: Sequence[str]) -> str:
    """The mean of differences in points, and how far chance moves it."""
    spread = drawn_means(values, list(labels), DRAWS, 0).std()
    return f"{100 * values.mean():+.1f} ± {100 * spread:.1f}"


class Compared:
    """Two networks on the same queries: of each tested half, one row a seed.

    Args:
        before, after: runs; those before may be one for all seeds.
    """

    def __init__(self, before: list[dict], after: list[dict], ranking: str) -> None:
        self.halves, self.labels = [], list[str]()
        one = {(run["tested"], run["seed"]): run[ranking] for run in before}
        for tested in sorted({run["tested"] for run in after}):
            runs = sorted((r for r in after if r["tested"] == tested), key=lambda r: r["seed"])
            earlier = [one.get((tested, r["seed"])) or one[tested, 0] for r in runs]
            self.halves.append((np.array(earlier), np.array([r[ranking] for r in runs])))
            self.labels += [f"{tested} {label}" for label in runs[0]["labels"]]
        self.n_seeds = min(len(after) for _, after in self.halves)

    def cells(self) -> list[str]:
        """mAP of each half, the difference with its spread, and its range over the seeds."""
        means = [f"{100 * b.mean():.1f} → {100 * a.mean():.1f}" for b, a in self.halves]
        changes = np.concatenate([(a - b).mean(axis=0) for b, a in self.halves])
        by_seed = [
            100 * np.concatenate([a[seed] - b[seed] for b, a in self.halves]).mean()
            for seed in range(self.n_seeds)
        ]
        many = f"{min(by_seed):+.1f} to {max(by_seed):+.1f}" if self.n_seeds > 1 else "one seed"
        return [", ".join(means), spread_of(changes, self.labels), many]


def tables(runs: Iterable[dict[str, Any]]) -> str:
    """What each method gains, and what T_SP gains over T_R."""
    good = [run for run in runs if "global" in run]
    before = [run for run in good if run["method"] == "none"]
    by_kind: dict[tuple, list[dict]] = {}
    for run in good:
        if run["method"] != "none":
            by_kind.setdefault((*_common(run), run["method"]), []).append(run)
    gains, over = [], []
    for kind, after in sorted(by_kind.items(), key=lambda item: tuple(map(str, item[0]))):
        first, method = after[0], kind[-1]
        same = ("set", "network", "pool", "max_size")
        own = [run for run in before if all(run[name] == first[name] for name in same)]
        plain = by_kind.get((*kind[:-1], "tr"), []) if method == "tsp" else []
        known = {_place(run) for run in plain}
        head = [first["set"], first["network"], first["pool"], _in_words(first)]
        for ranking, words in RANKINGS.items():
            if any(ranking not in run for run in (*after, *own)):
                continue
            gains.append([*head, METHODS[method], words, *Compared(own, after, ranking).cells()])
            both = [run for run in after if _place(run) in known]
            if both:
                over.append([*head, words, *Compared(plain, both, ranking).cells()])
    titles = ["set", "network", "pooling", "training"]
    ends = ["difference", "of a seed"]
    minutes = sum(run["seconds"] for runs_of in by_kind.values() for run in runs_of) / 60
    return "\n\n".join(
        [
            _markdown([*titles, "method", "ranking", "mAP of the halves", *ends], gains),
            _markdown([*titles, "ranking", "T_R → T_SP", *ends], over),
            f"{len(good) - len(before)} trainings, {minutes:.0f} minutes.",
        ]
    )


def _common(run: dict[str, Any]) -> tuple:
    """What runs of one row have in common, beside the method."""
    return tuple(value for name, value in asdict(_settings_of(run)).items() if name not in _OWN)


def _place(run: dict[str, Any]) -> tuple[int, int]:
    return run["tested"], run["seed"]


def _in_words(run: dict[str, Any]) -> str:
    """How it was trained: epochs, queries of each, pixels, learning rate."""
    return f"{run['epochs']} × {run['queries']}, {run['image_size']} px, {run['rate']:g}"


def _markdown(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
