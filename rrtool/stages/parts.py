"""How the rows of an output are divided into parts that survive a kill."""

from __future__ import annotations


def parts_of(n_rows: int, rows_per_part: int = 32) -> list[range]:
    """The rows of each part."""
    return [
        range(start, min(start + rows_per_part, n_rows))
        for start in range(0, n_rows, rows_per_part)
    ]
