"""How well descriptors find images of their own group: mAP, each image a query to all others."""

import numpy as np

from rrtool.core.evaluation.average_precision import average_precision


def mean_average_precision(descriptors: np.ndarray, groups: np.ndarray) -> float:
    """mAP (§2.5) where every image asks for the others of its group, itself left out.

    Args:
        descriptors: ``(n, d)`` float32, l2-normalised.
        groups: ``(n,)`` int.

    Returns:
        In [0, 1]; NaN where no group has two images.
    """
    scores = []
    for row, descriptor in enumerate(descriptors):
        order = np.argsort(-(descriptors @ descriptor), kind="stable")
        is_positive = groups[order[order != row]] == groups[row]
        if is_positive.any():
            scores.append(average_precision(np.flatnonzero(is_positive), int(is_positive.sum())))
    return float(np.mean(scores)) if scores else float("nan")
