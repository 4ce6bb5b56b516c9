"""All re-rankings on the same descriptors and shortlists: mAP, time and memory a query.

Run: ``make rerank-bench DATA=…``, or, on what ``pipelines/quality.mk`` has left,
``python benchmarks/rerank_bench.py build/quality/squeezenet1_1 --ground-truth 'prefix:(.*)_'``.

Each mAP comes with its difference from global on the same descriptors and the spread of this when
groups are drawn anew. Time is that of the processor, memory what a ranking takes at its peak beside
what was held before (Linux); both are taken on the set ``--timed``, of a second call.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from spread import average_precisions, drawn_means

import rrtool
from rrtool import ground_truth
from rrtool.ground_truth.groups import Groups

SETS = ("scenes", "oxford5k_subset", "grocery", "logos")
_DRAWS = 2000


@dataclass(frozen=True)
class Setting:
    """What ``pipelines/quality.mk`` has made of one set, and a folder for what is made here."""

    made: Path
    out: Path

    @property
    def pair(self) -> dict[str, Path]:
        """Descriptors of queries and database."""
        suffix = "-whitened" if (self.made / "database-whitened.h5").exists() else ""
        database = self.made / f"database{suffix}.h5"
        queries = self.made / f"queries{suffix}.h5"
        return {"queries": queries if queries.exists() else database, "database": database}

    @property
    def local(self) -> dict[str, Path]:
        names = ("query_local", "database_local")
        return {name: self.made / f"{name.replace('_', '-')}.h5" for name in names}

    @property
    def graph(self) -> Path:
        return self.made / "graph.h5"

    def __call__(self, name: str) -> Path:
        return self.out / f"{name}.h5"


def search(setting: Setting, output: Path, **options: object) -> None:
    rrtool.search(*setting.pair.values(), output, overwrite=True, **options)


def verify(setting: Setting, ranking: str, output: Path) -> None:
    rrtool.rerank(setting(ranking), output, overwrite=True, device="cpu", **setting.local)


def reorder(setting: Setting, method: str, output: Path) -> None:
    rrtool.rerank(setting("global"), output, method=method, overwrite=True, **setting.pair)


def diffuse(setting: Setting, output: Path, seeds: str | None = None) -> None:
    more = {} if seeds is None else {"seeds": setting(seeds)}
    rrtool.diffuse(
        output, graph=setting.graph, overwrite=True, device="cpu", **setting.pair, **more
    )


Row = Callable[[Setting, Path], None]
# Each after those whose rankings it takes.
ROWS: dict[str, Row] = {
    "global": search,
    "+ αQE": lambda s, out: search(s, out, expand=10, expand_alpha=3),
    "+ αQE of 2": lambda s, out: search(s, out, expand=2, expand_alpha=3),
    "+ DBA": lambda s, out: search(s, out, augment=10, expand_alpha=3),
    "+ DSM": lambda s, out: verify(s, "global", out),
    "+ D": diffuse,
    "+ DSM + D": lambda s, out: diffuse(s, out, "+ DSM"),
    "+ reciprocal": lambda s, out: reorder(s, "reciprocal", out),
    "+ reciprocal + DSM": lambda s, out: verify(s, "+ reciprocal", out),
    "+ reciprocal + DSM + D": lambda s, out: diffuse(s, out, "+ reciprocal + DSM"),
    "+ refine": lambda s, out: reorder(s, "refine", out),
}


def cost(row: Row, setting: Setting, output: Path) -> tuple[float, int]:
    """Seconds of the processor and bytes of a call."""
    output.unlink()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = _memory("VmRSS"), time.process_time()
    row(setting, output)
    return time.process_time() - start, _memory("VmHWM") - before


def _memory(name: str) -> int:
    """Bytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def cells(setting: Setting, truth: Groups, rows: dict[str, Row], is_timed: bool) -> list[str]:
    """Of one setting, a cell of each row."""
    first, found = None, []
    for name, row in rows.items():
        row(setting, setting(name))
        values, labels = average_precisions(str(setting(name)), truth)
        first = values if first is None else first
        gains = 100 * (values - first)
        cell = f"{100 * values.mean():.2f}"
        if name != "global":
            cell += f" ({gains.mean():+.2f} ± {drawn_means(gains, labels, _DRAWS, 0).std():.2f})"
        if is_timed:
            seconds, memory = cost(row, setting, setting(name))
            n_queries = len(first)
            cell += f" {1e3 * seconds / n_queries:.1f} ms, {memory / 2**20:.0f} MiB"
        print(f"{setting.made.name} {name}: {cell}", flush=True)
        found.append(cell)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="of networks, from quality.mk")
    parser.add_argument("--ground-truth", required=True)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS)
    parser.add_argument("--timed", help="set; by default the first")
    options = parser.parse_args()
    truth = cast(Groups, ground_truth.load(options.ground_truth, "groups"))
    timed = options.timed or options.sets[0]
    rows = {name: ROWS[name] for name in options.rows}
    for folder in options.folders:
        for suffix in ("", "-w"):
            columns = []
            for each in options.sets:
                with tempfile.TemporaryDirectory() as out:
                    setting = Setting(folder / f"{each}{suffix}", Path(out))
                    columns.append(cells(setting, truth, rows, each == timed))
            print(f"\n| {folder.name}{' + W' * bool(suffix)} | {' | '.join(options.sets)} |")
            print("|" + "---|" * (1 + len(columns)))
            for row, parts in zip(rows, zip(*columns, strict=True), strict=True):
                print(f"| {row} | {' | '.join(parts)} |")


if __name__ == "__main__":
    main()
