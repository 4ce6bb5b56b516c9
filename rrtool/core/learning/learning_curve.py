"""What more labels would bring, by the learning curve so far (thesis §6.3.1, an open question)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

_LEAST_POINTS = 3
_CONFIDENCE = 0.8


@dataclass(frozen=True)
class Gain:
    """The expected rise of the accuracy, as shares; low and high bound it in four of five cases."""

    low: float
    expected: float
    high: float


def expected_gain(
    n_labels: Sequence[int], accuracies: Sequence[float], n_next: int, n_judged: int
) -> Gain | None:
    """By a power law of the error, ``a m^(−b)``, fitted to the curve in logarithms.

    The interval is that of Student's t for a new point of the regression, so that it is wide where
    the curve is short or rough.

    Args:
        n_labels: at each point of the curve, growing.
        accuracies: there, shares.
        n_next: labels that there will be.
        n_judged: images that the accuracy is measured on: an error of none counts as of half one.

    Returns:
        None with fewer than three points at different numbers of labels.
    """
    if len(set(n_labels)) < _LEAST_POINTS:
        return None
    errors = np.maximum(1 - np.asarray(accuracies, dtype=np.float64), 0.5 / max(1, n_judged))
    x, y = np.log(np.asarray(n_labels, dtype=np.float64)), np.log(errors)
    centered = x - x.mean()
    spread = float(centered @ centered)
    slope = min(0.0, float(centered @ y) / spread)  # more labels do no harm
    residuals = y - y.mean() - slope * centered
    n_free = len(x) - 2
    ahead = float(np.log(n_next) - x.mean())
    deviation = np.sqrt(residuals @ residuals / n_free * (1 + 1 / len(x) + ahead**2 / spread))
    reach = float(t.ppf((1 + _CONFIDENCE) / 2, n_free) * deviation)
    now, then = (float(y.mean() + slope * place) for place in (centered[-1], ahead))
    gains = [float(np.exp(now) - np.exp(min(0.0, then + shift))) for shift in (reach, 0, -reach)]
    low, expected, high = gains
    return Gain(low, expected, high)
