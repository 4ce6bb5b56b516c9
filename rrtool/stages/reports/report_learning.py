"""``rrtool report`` of al-states: learning curves and their table, from the states alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import AlState, open_artifact
from rrtool.artifacts.provenance import first_difference
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.reports.learning_curves import (
    PLAIN,
    STRATEGY_TITLES,
    VARIANTS,
    Curve,
    Point,
    render_curves,
    score_rows,
    wilson,
)
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.text_output import write_text

# What curves of one figure must share. Options that differ within one method are errors too.
_SETTING = ("subset", "budget")
# What is read of a state's options, and of each entry of its history.
_Types = Mapping[str, type | tuple[type, ...]]
_OPTIONS: _Types = {
    "seed": int, "epochs": int, "semi_epochs": int, "semi": bool, "width": (int, float),
    "budget": int, "subset": (int, type(None)),
}  # fmt: skip
_ENTRY: _Types = {
    "cycle": int, "n_labels": int, "accuracy": (int, float, type(None)), "strategy": str,
    "semi": bool, "pretrained": bool, "seconds": (int, float),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One seed of one method, from its last state.

    Attributes:
        path: of the state.
        method: strategy and variant.
        seed: its own.
        setting: what all runs of a report must share.
        options: what the runs of one method must share.
        history: one entry a trained cycle.
    """

    path: str
    method: tuple[str, str]
    seed: int
    setting: dict[str, Any]
    options: dict[str, Any]
    history: list[dict[str, Any]]


def write(options: ReportOptions, output: Path, progress: Progress) -> dict[str, Any]:
    """Write the page of learning curves, one a method: mean and deviation over seeds.

    A state holds the history of its run, so the last state of each run is enough; earlier ones
    of the same run are passed over.

    Returns:
        What the page shows (``summarize``).

    Raises:
        RrtoolError: states without held-out accuracy, or of runs that cannot be compared; the
            message names the difference.
    """
    runs = _last_of_each([_read(path) for path in options.artifacts])
    _check_comparable(runs)
    by_method = _by_method(runs)
    curves = [_curve(method, group) for method, group in by_method.items()]
    facts, made = _facts(runs), [_made(group) for group in by_method.values()]
    title = f"Learning curves: {runs[0].setting['images of']}"
    write_text(output, render_curves(title, curves, facts, made))
    progress.message(f"{len(runs)} runs of {len(curves)} methods")
    return summarize(curves, by_method)


def summarize(
    curves: Sequence[Curve], by_method: Mapping[tuple[str, str], Sequence[Run]]
) -> dict[str, Any]:
    """The curves and the table, JSON-compatible; accuracies between 0 and 1."""
    variants, rows = score_rows(curves)
    titles = [variant or PLAIN for variant in variants]
    return {
        "methods": [
            {
                "method": curve.title,
                "strategy": curve.strategy,
                "variant": curve.variant,
                "seeds": [one.seed for one in by_method[curve.strategy, curve.variant]],
                "cycles": [asdict(point) for point in curve.points],
            }
            for curve in curves
        ],
        "table": [
            {
                "cycle": row.cycle,
                "labels": f"{row.n_labels:g}",
                "strategy": row.strategy,
                **dict(zip(titles, row.cells, strict=True)),
            }
            for row in rows
        ],
    }


def _read(path: str) -> Run:
    with open_artifact(path, AlState) as state:
        history = state.extra["history"]
        state.attributes.require("options", state.options, _OPTIONS)
        for entry in history:
            state.attributes.require("extra", entry, _ENTRY)
        if not history or any(entry["accuracy"] is None for entry in history):
            raise ArtifactError(
                "no accuracy on held-out images in this state",
                where=path,
                expected="cycles run with a test set",
                found=f"{len(history)} cycles" if history else "a cold start",
            )
        strategies = dict.fromkeys(entry["strategy"] for entry in history)
        # A run that changed its ways is a method of its own.
        variants = dict.fromkeys(_variant(entry) for entry in history)
        variant = next(iter(variants)) if len(variants) == 1 else None
        if variant is None:
            raise ArtifactError(
                "this run changed between training with and without PRE or SEMI", where=path,
                found=", ".join(v or PLAIN for v in variants),
            )  # fmt: skip
        options = dict(state.options)
        seed = options.pop("seed")
        return Run(path, (" → ".join(strategies), variant), seed, _setting(state), options, history)


def _variant(entry: Mapping[str, Any]) -> str:
    return VARIANTS[int(entry["pretrained"]) + 2 * int(entry["semi"])]


def _setting(state: AlState) -> dict[str, Any]:
    inputs = {record.role: record for record in state.inputs}
    images = inputs.get("features") or state.input("images")  # what is learnt from
    test = [record.digest for role, record in sorted(inputs.items()) if role.startswith("test")]
    return {
        "images": images.digest,
        "images of": images.path,
        "number of images": state.extra["n_images"],
        "test set": test,
        "number of test images": state.extra["n_test_images"],
        **{name: state.options[name] for name in _SETTING},
    }


def _last_of_each(runs: Sequence[Run]) -> list[Run]:
    """The longest history of each method and seed.

    Raises:
        ArtifactError: two of them are no continuation of each other.
    """
    kept: dict[tuple, Run] = {}
    for one in sorted(runs, key=lambda one: -len(one.history)):
        last = kept.setdefault((*one.method, one.seed), one)
        if _facts_of(last)[: len(one.history)] != _facts_of(one):
            raise ArtifactError(
                "two runs of one method and seed disagree", where=one.path,
                expected=f"a state of the run of {last.path}", found="another accuracy",
                todo="give one of the two",
            )  # fmt: skip
    return list(kept.values())


def _facts_of(one: Run) -> list[tuple[int, float]]:
    return [(entry["n_labels"], entry["accuracy"]) for entry in one.history]


def _check_comparable(runs: Sequence[Run]) -> None:
    for one in runs[1:]:
        for name, value in runs[0].setting.items():
            if name != "images of" and one.setting[name] != value:
                raise ArtifactError(
                    f"the states are of runs with another {name}: they make no common figure",
                    where=one.path,
                    expected=f"{value} as in {runs[0].path}",
                    found=one.setting[name],
                )
    for group in _by_method(runs).values():
        for one in group[1:]:
            difference = first_difference({"options": group[0].options}, {"options": one.options})
            if difference:
                raise ArtifactError(
                    f"runs of one method with another {difference[0]} cannot be averaged",
                    where=one.path,
                    expected=f"{difference[1]} as in {group[0].path}",
                    found=difference[2],
                )


def _by_method(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    """Methods in the order of the thesis's tables, seeds increasing."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    order = {name: place for place, name in enumerate(STRATEGY_TITLES)}

    def place(one: Run) -> tuple:
        strategy, variant = one.method
        return order.get(strategy, len(order)), strategy, VARIANTS.index(variant), one.seed

    for one in sorted(runs, key=place):
        groups[one.method].append(one)
    return dict(groups)


def _curve(method: tuple[str, str], group: Sequence[Run]) -> Curve:
    """Mean and sample deviation over the seeds that reached each cycle."""
    entries: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in group:
        for entry in one.history:
            entries[entry["cycle"]].append(entry)
    points = []
    for cycle, found in sorted(entries.items()):
        accuracies = [entry["accuracy"] for entry in found]
        deviation = float(np.std(accuracies, ddof=1)) if len(found) > 1 else None
        n_labels = float(np.mean([entry["n_labels"] for entry in found]))
        mean, n_test = float(np.mean(accuracies)), group[0].setting["number of test images"]
        interval = wilson(mean, n_test)
        if deviation is not None:
            interval = mean - deviation, mean + deviation
        points.append(Point(cycle, n_labels, mean, deviation, len(found), interval))
    return Curve(*method, points)


def _facts(runs: Sequence[Run]) -> dict[str, str]:
    """What all runs share, in words."""
    setting = runs[0].setting
    shared = {
        name: value
        for name, value in runs[0].options.items()
        if all(one.options[name] == value for one in runs) and value not in (None, [])
    }
    return {
        "images": f"{setting['images of']}, {setting['number of images']} of them"
        + (" (a random subset, drawn by the seed)" if setting["subset"] else ""),
        "held-out images": str(setting["number of test images"]),
        "options": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shared.items()),
        "deviation": "of a sample (n − 1), over seeds",
    }


def _made(group: Sequence[Run]) -> dict[str, str]:
    options = group[0].options
    seconds = [entry["seconds"] for one in group for entry in one.history]
    return {
        "seeds": ", ".join(str(one.seed) for one in group),
        "epochs": str(options["epochs"])
        + (f" + {options['semi_epochs']}" if options["semi"] else ""),
        "width": f"{options['width']:g}",
        "seconds a cycle": f"{np.mean(seconds):.0f}",
    }
