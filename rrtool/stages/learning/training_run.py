"""What the stages that train share: a checkpoint beside the output, with the log of the epochs."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rrtool.artifacts import OutputFile
from rrtool.progress import Advance

_LOG = "log"


class TrainingRun:
    """A ``training.checkpoint.Checkpoint`` in the first part of an output: a killed run goes on.

    Attributes:
        log: phase, number and facts of every epoch so far, those before a kill too.
    """

    def __init__(self, output: OutputFile) -> None:
        output.missing_parts(1)
        self._output, self._start = output, time.monotonic()
        self.log: list[dict[str, Any]] = []

    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._start

    def load(self) -> dict[str, np.ndarray] | None:
        state = self._output.read_part(0)
        if state is not None:
            self.log = json.loads(state.pop(_LOG).tobytes())
        return state

    def save(self, state: dict[str, np.ndarray]) -> None:
        log = np.frombuffer(json.dumps(self.log).encode(), np.uint8)
        self._output.write_part(0, {**state, _LOG: log})

    def recorder(self, advance: Advance) -> Callable[[str, int, Mapping[str, float]], None]:
        """Takes epochs into the log, and shows how many there are; the learner's ``on_epoch``."""
        n_shown = 0

        def record(phase: str, epoch: int, facts: Mapping[str, float]) -> None:
            nonlocal n_shown
            self.log.append({"phase": phase, "epoch": epoch, **facts})
            advance(len(self.log) - n_shown)  # with those before a kill
            n_shown = len(self.log)

        return record
