"""What the scorers of ``evaluate`` give for one artifact."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rrtool.stages.driver import Datasets


@dataclass(frozen=True)
class Scored:
    """Scores of one artifact.

    Attributes:
        summary: JSON-compatible, with everything that the scores depend on.
        values: of every query, image or object, by name.
        news: what people should know about them.
    """

    summary: dict[str, Any]
    values: Datasets
    news: list[str] = field(default_factory=list)


def number(value: float) -> float | None:
    """JSON-compatible: None for NaN."""
    return None if np.isnan(value) else float(value)
