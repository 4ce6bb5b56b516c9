"""Tables on stdout: scores side by side, and the facts of an artifact."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from rrtool.errors import printable

_NO_SCORES = ("protocol", "setup")  # beside counts, which begin with n_
_WIDTH_OF_FILES = 400


def _console() -> Console:
    """Fits the terminal; into a file or a pipe, lines are not folded at 80 columns."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES, highlight=False)


def print_scores(evaluated: Sequence[Mapping[str, Any]]) -> None:
    """One row per ranking and setup; what all rows share is said once, below."""
    descriptions = [_describe(ranking) for ranking in evaluated]
    shared = {
        key: value
        for key, value in descriptions[0].items()
        if all(description.get(key) == value for description in descriptions)
    }
    varying = [key for key in descriptions[0] if key not in shared]
    names = evaluated[0]["scores"][0]
    columns = [name for name in names if name not in _NO_SCORES and not name.startswith("n_")]
    table = Table("ranking", "setup", *columns, *varying)
    for ranking, description in zip(evaluated, descriptions, strict=True):
        for scores in ranking["scores"]:
            values = [_score(column, scores[column]) for column in columns]
            differing = [printable(description.get(key, "")) for key in varying]
            table.add_row(printable(ranking["ranking"]), scores["setup"], *values, *differing)
    _console().print(table)
    _print_lines([f"{key}: {printable(value)}" for key, value in shared.items()])


def _describe(ranking: Mapping[str, Any]) -> dict[str, str]:
    """What a score depends on, in words (DESIGN §3: no score without its protocol)."""
    how, scores = ranking["description"], ranking["scores"][0]
    network = how["network"]
    texts = {
        "method": how["method"],
        "described by": how.get("described_by", "whole images"),
        "vectors an image": f"{how.get('vectors_per_image', 1):.3g}",
        "network": network["name"] + ("" if network["trained"] else " (untrained)"),
        "weights": f"{network['weights']} {network['weights_digest'][:8]}",
        "upsampled": "yes" if network["upsample"] else "no",
        "pooling": how["pool"] + (f" {how['gem_exponent']:g}" if how.get("gem_exponent") else ""),
        "whitening": how["whitening"],
        "image size": "unknown" if how["max_size"] is None else str(how["max_size"]),
        "scales": ", ".join(f"{scale:g}" for scale in how["scales"]) or "unknown",
        "query crop": "yes" if how["query_crop"] else "no",
        "mode": how["mode"],
        "ranked": "all" if how.get("top") is None else f"first {how['top']}",
        "protocol": scores["protocol"],
        "queries": f"{scores['n_queries']}, of them {scores['n_left_out']} left out (no positive)",
    }
    if "verification" in how:
        texts["verification"] = ", ".join(f"{k} {v}" for k, v in how["verification"].items())
    return texts | {key.replace("_", " "): rule for key, rule in ranking["rules"].items()}


def _score(name: str, value: float | None) -> str:
    """In per cent, but for UKBench's N-S, which counts photos."""
    return f"{value:.3f}" if name == "N-S" and value is not None else _percent(value)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def print_facts(facts: Mapping[str, Any]) -> None:
    """Nested facts, one a line."""
    lines: list[str] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            lines.append(f"{key}:")
            entries = ((printable(name), _shortened(entry)) for name, entry in value.items())
            lines += [f"  {name}: {printable(entry)}" for name, entry in entries]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines.append(f"{key}:")
            texts = (", ".join(f"{k} {v}" for k, v in entry.items()) for entry in value)
            lines += [f"  {printable(text)}" for text in texts]
        else:
            lines.append(f"{key}: {printable(value)}")
    _print_lines(lines)


def _print_lines(lines: Sequence[str]) -> None:
    console = _console()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _shortened(entry: Any) -> Any:
    """A log of many entries by its last one: ``--json`` has them all."""
    if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[-1], Mapping):
        return f"{len(entry)} entries, the last: {entry[-1]}"
    return entry


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of equal mappings, one a row; shares between 0 and 1 in per cent."""
    table = Table(*(key.replace("_", " ") for key in rows[0]))
    for row in rows:
        cells = [
            _percent(value) if isinstance(value, float) or value is None else printable(str(value))
            for value in row.values()
        ]
        table.add_row(*cells)
    _console().print(table)


def print_rules(rules: Mapping[str, str]) -> None:
    """What scores mean, a line each."""
    _print_lines([f"{key.replace('_', ' ')}: {printable(rule)}" for key, rule in rules.items()])


def print_found(findings: Any) -> None:
    """What ``find`` found, a table a query, and where its page is."""
    for each in findings.found:
        query = printable(each.query)
        if each.failure:
            _print_lines([f"{query}: cannot be used ({printable(each.failure)})"])
            continue
        says = {True: "match", False: "no match", None: f"{len(each.hits)} nearest"}[each.is_match]
        _print_lines([f"{query}: {says}"])
        says_where = any(hit.box for hit in each.hits)
        table = Table("rank", "photo", "score", "similarity", "inliers", *["box"] * says_where)
        for hit in each.hits:
            inliers = "–" if hit.n_inliers is None else str(hit.n_inliers)
            numbers = (f"{hit.score:.3f}", f"{hit.similarity:.3f}", inliers)
            box = [",".join(f"{edge:.0f}" for edge in hit.box or ())] * says_where
            table.add_row(str(hit.rank), printable(hit.name), *numbers, *box)
        _console().print(table)
    if findings.page is not None:
        _print_lines([findings.page])
