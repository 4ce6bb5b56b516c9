"""What a stage does with activations, and what it makes of the rows of a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from rrtool.artifacts.schema import Column
from rrtool.stages.driver import Datasets, Wanted
from rrtool.stages.over_images import Finish


@dataclass(frozen=True)
class Part:
    """What became of the rows of a part.

    Attributes:
        rows: row ids.
        common: the columns that do not depend on what is computed.
        results: of the good rows, by row id.
    """

    rows: range
    common: Mapping[str, np.ndarray]
    results: Mapping[int, Any]

    def dense(
        self, of: Callable[[Any], ArrayLike], shape: tuple[int, ...] = (), dtype: Any = np.float32
    ) -> np.ndarray:
        """``(rows, *shape)``: what ``of`` takes from each result; zero where an image failed."""
        values = np.zeros((len(self.rows), *shape), dtype)
        for row, result in self.results.items():
            values[row - self.rows.start] = of(result)
        return values

    def joined(
        self, of: Callable[[Any], np.ndarray], shape: tuple[int, ...] = (), dtype: Any = np.float32
    ) -> np.ndarray:
        """``(m, *shape)``: what ``of`` takes from each result, several entries an image."""
        found = [of(self.results[row]) for row in sorted(self.results)]
        return np.concatenate([np.zeros((0, *shape), dtype), *found])

    def boxes_in_images(self, of: Callable[[Any], np.ndarray]) -> np.ndarray:
        """``(m, 4)`` float32 in pixels of the whole images.

        Args:
            of: gives x0, y0, x1, y1 as shares of the width and height of what was described.
        """
        found = [np.zeros((0, 4), np.float32)]
        for row in sorted(self.results):
            corner, end = self.common["boxes"][row - self.rows.start].reshape(2, 2)
            found.append(of(self.results[row]) * np.tile(end - corner, 2) + np.tile(corner, 2))
        return np.concatenate(found)


# From a function that gives a column part by part.
Finisher = Callable[[Callable[[Column], Iterator[np.ndarray]]], Finish]


@dataclass(frozen=True)
class Task:
    """What a stage does with activations.

    Attributes:
        describe: from the maps of a batch, one tensor per scale, to one result per image.
        columns: from a part to what each of the outputs stores of it.
        facts: to record with each output.
        finish: of its only output, if anything is to be done when all rows are there.
    """

    describe: Callable[[list[torch.Tensor]], Sequence[Any]]
    columns: Callable[[Part], Sequence[Datasets]]
    facts: Mapping[str, Any]
    finish: Finisher | None = None


@dataclass(frozen=True)
class Job:
    """A task and what it writes.

    Attributes:
        wanted: the outputs, in the order of ``Task.columns``.
        prepare: gives the task; called when there is something to do. A worker gives it the facts
            of the run's own task, so that nothing is found out twice.
    """

    wanted: Sequence[Wanted]
    prepare: Callable[[Mapping[str, Any] | None], Task]
