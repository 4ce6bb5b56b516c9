"""Run cases one after the other, and tell what came out."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.fuzz.cases import Case, Cases
from tests.fuzz.child import Limits, Outcome
from tests.fuzz.corpus import Corpus, words_of
from tests.fuzz.indexes import files_of
from tests.fuzz.verdict import Finding, judge, results, snapshot
from tests.made_chain import output_flags


@dataclass
class Tally:
    """Counts of a campaign.

    Attributes:
        codes: exit codes by kind, and by kind and mutator.
        findings: by finding, the numbers and calls of the cases that show it.
    """

    codes: dict[tuple[str, str], Counter] = field(default_factory=lambda: defaultdict(Counter))
    findings: dict[Finding, list[tuple[int, Case]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    n_cases: int = 0
    seconds: float = 0.0

    def add(self, number: int, case: Case, outcome: Outcome, found: Iterable[Finding]) -> None:
        """Count a case."""
        code = "hang" if outcome.timed_out else str(outcome.code if outcome.code is not None
                                                    else f"signal {outcome.signal}")  # fmt: skip
        mutator = case.mutator.rpartition(": ")[2].removesuffix(" again").partition(" '")[0]
        self.codes[case.kind, ""][code] += 1
        self.codes[case.kind, mutator][code] += 1
        for finding in set(found):
            if finding not in self.findings:
                print(
                    f"case {number}: {finding.what}: {finding.detail}", file=sys.stderr, flush=True
                )
            self.findings[finding].append((number, case))
        self.n_cases += 1


class Campaign:
    """All that a run of the fuzzer needs."""

    def __init__(self, corpus: Corpus, seed: int, only: list[str], limits: Limits) -> None:
        self._corpus, self._limits = corpus, limits
        self._cases = Cases(corpus, seed, only)
        self._expected: dict[str, dict[str, object]] = {}

    def try_one(self, number: int) -> tuple[Case, Outcome, list[Finding]] | None:
        """Run a case; None if its kind is not wanted."""
        case = self._cases.prepare(number)
        if case is None:
            return None
        folder = self._corpus.case
        outputs = typed_outputs(case.words)
        before = snapshot(folder)
        outcome = self._corpus.run(case.words, case.environment)
        found = judge(case.words, outcome, before, folder, outputs, self._limits)
        if case.told and outcome.code in (0, 3):
            got = results(folder, outputs, outcome.stdout)
            if got != self.expected(case.call):
                found.append(Finding("silently different", f"{case.kind} {case.call}"))
        return case, outcome, found

    def expected(self, call: str) -> dict[str, object]:
        """What a call computes from its good inputs."""
        if call not in self._expected:
            self._corpus.fresh(call)
            outcome = self._corpus.run(words_of(call), {})
            outputs = typed_outputs(words_of(call))
            self._expected[call] = results(self._corpus.case, outputs, outcome.stdout)
            if outcome.code not in (0, 3):
                raise RuntimeError(f"{call} fails on good inputs: {outcome.stderr.decode()}")
        return self._expected[call]


def typed_outputs(words: list[str]) -> list[str]:
    """The files that are to be written, as paths from the working folder; of an index its folder
    too, and of predictions the descriptors of photos."""
    flags = output_flags(" ".join(words[:2]))
    typed = [os.path.normpath(word) for flag, word in itertools.pairwise(words) if flag in flags]
    if words[0] == "predict":
        return [*typed, f"{os.path.splitext(typed[0])[0]}.features.h5"]
    return [*typed, *files_of(typed[0])] if words[0] == "index" else typed


def run_cases(campaign: Campaign, count: int, seconds: float) -> Tally:
    """Cases 0, 1, 2, … until there are enough, time is up, or somebody interrupts."""
    tally, begin = Tally(), time.monotonic()
    told = begin
    with suppress(KeyboardInterrupt):
        for number in itertools.count():
            tried = campaign.try_one(number)
            if tried is not None:
                tally.add(number, *tried)
            now = time.monotonic()
            tally.seconds = now - begin
            if tally.n_cases >= count or tally.seconds >= seconds:
                break
            if now - told > 1:
                told = now
                _tell(tally)
    return tally


def _tell(tally: Tally) -> None:
    rate = tally.n_cases / tally.seconds
    print(f"{tally.n_cases} cases, {rate:.1f} cases/s, {len(tally.findings)} findings",
          file=sys.stderr, flush=True)  # fmt: skip


def write_report(tally: Tally, seed: int) -> None:
    """Tables of what was tried and how it ended, then the findings, each with its replay."""
    codes = sorted({code for counts in tally.codes.values() for code in counts})
    print(f"{'kind':10} {'mutator':18} {'cases':>6} " + " ".join(f"{code:>6}" for code in codes))
    for (kind, mutator), counts in sorted(tally.codes.items()):
        row = " ".join(f"{counts[code] or '':>6}" for code in codes)
        print(f"{kind:10} {mutator or 'all':18} {sum(counts.values()):6} {row}")
    print(f"\n{tally.n_cases} cases in {tally.seconds:.0f} s, "
          f"{tally.n_cases / max(tally.seconds, 1e-9):.1f} cases/s")  # fmt: skip
    for finding in sorted(tally.findings, key=lambda each: (each.what, each.detail)):
        cases = tally.findings[finding]
        number, case = cases[0]
        print(f"\n{finding.what} ({len(cases)} cases): {finding.detail}")
        print(
            f"    {case.kind}; {case.call}; {case.mutator}".encode(
                "ascii", "backslashreplace"
            ).decode()
        )
        print(f"    python -m tests.fuzz --replay {seed}:{number}")
    print(f"\n{len(tally.findings)} findings")


def write_case(case: Case, outcome: Outcome, found: list[Finding]) -> None:
    """All that a single case shows."""
    print(f"rrtool {case.words!r} {case.environment or ''}")
    print(f"{case.kind}; {case.call}; {case.mutator!r}")
    ended = f"signal {outcome.signal}" if outcome.code is None else f"exit code {outcome.code}"
    print(f"{ended} after {outcome.seconds:.2f} s, {outcome.grown >> 20} MiB more")
    sys.stdout.flush()
    sys.stdout.buffer.write(b"stdout:\n" + outcome.stdout + b"\nstderr:\n" + outcome.stderr + b"\n")
    for finding in found:
        print(f"{finding.what}: {finding.detail}")
