"""Features that come, go, change, change places and names, and recur."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.stages.made_features import write_features


class ChangingRows:
    """Descriptors that change at random, under names.

    Args:
        least: of them are not zero.
    """

    def __init__(self, generator: np.random.Generator, *, least: int = 2, n: int = 14) -> None:
        self.generator = generator
        self.least = least
        self.n_made = 0
        self.rows: list[tuple[str, np.ndarray]] = []
        for _ in range(n):
            self.add()

    def add(self) -> None:
        # Small whole numbers: similarities tie, and rows recur.
        vector = self.generator.integers(-1, 2, 5).astype(np.float32)
        vector /= max(1, np.linalg.norm(vector))
        self.n_made += 1
        self.rows.append((f"{self.n_made}.png", vector))

    def change(self) -> None:
        """One change, of whichever kind."""
        kind = self.generator.choice(
            ["add", "add", "remove", "change", "zero", "copy", "order", "rename", "whiten", "none"],
            p=[0.2, 0.1, 0.2, 0.15, 0.05, 0.1, 0.05, 0.05, 0.05, 0.05],
        )
        place = int(self.generator.integers(len(self.rows)))
        name, vector = self.rows[place]
        if kind in ("remove", "zero") and sum(row.any() for _, row in self.rows) <= self.least:
            self.add()
        elif kind == "remove":
            del self.rows[place]
        elif kind == "change":
            self.add()
            self.rows[place] = name, self.rows.pop()[1]
        elif kind == "zero":
            self.rows[place] = name, np.zeros_like(vector)
        elif kind == "copy":
            self.rows.insert(0, (f"copy-{self.n_made}-{name}", vector))
        elif kind == "order":
            self.rows = [self.rows[i] for i in self.generator.permutation(len(self.rows))]
        elif kind == "rename":
            self.rows[place] = f"renamed-{self.n_made}-{name}", vector
        elif kind == "whiten":
            self.rows = [(name, np.roll(vector, 1)) for name, vector in self.rows]
        elif kind != "none":
            self.add()

    def write(self, path: Path) -> np.ndarray:
        """Features of them; returns the descriptors."""
        vectors = np.stack([vector for _, vector in self.rows])
        write_features(path, [name for name, _ in self.rows], vectors)
        return vectors
