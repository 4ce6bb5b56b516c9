"""Features artifacts with descriptors of the test's own making."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rrtool.artifacts import Provenance, create
from rrtool.artifacts.kinds import Features, Regions

OPTIONS = {
    "boxes": False,
    "gem_exponent": 3.0,
    "max_pixels": 1000,
    "max_size": 96,
    "pool": "gem",
    "scales": [1.0],
    "whitening": "none",
}
NETWORK = {
    "name": "resnet18",
    "trained": False,
    "upsample": False,
    "weights": "none (untrained)",
    "weights_digest": "0" * 32,
}


def write_features(
    path: Path,
    names: Sequence[str],
    descriptors: np.ndarray,
    *,
    failed: Sequence[int] = (),
    network: dict[str, object] | None = None,
    facts: dict[str, object] | None = None,
    **options: object,
) -> Path:
    """The columns that ``extract`` writes; the rows in ``failed`` have no descriptor."""
    n = len(names)
    status = np.zeros(n, dtype=np.uint8)
    status[list(failed)] = 1
    good = status == 0
    provenance = Provenance("features", {**OPTIONS, **options}, [], {**NETWORK, **(network or {})})
    with create(path, provenance, overwrite=True) as target:
        target.publish(
            Features.columns(
                names=names,
                reasons=["" if row else "broken" for row in good],
                status=status,
                image_sizes=np.arange(2 * n, dtype=np.int32).reshape(n, 2),
                boxes=np.arange(4 * n, dtype=np.float32).reshape(n, 4),
                file_signatures=np.arange(2 * n, dtype=np.int64).reshape(n, 2),
                descriptors=np.where(good[:, None], descriptors, 0).astype(np.float32),
            ),
            extra={
                "n_channels": 9,
                "n_skipped": len(failed),
                "n_failed_rows": len(failed),
                **(facts or {}),
            },
        )
    return path


def write_regions(
    path: Path, descriptors: np.ndarray, counts: Sequence[int], boxes: np.ndarray | None = None
) -> Path:
    """Regions of images that have so many each."""
    n, r = len(counts), len(descriptors)
    if boxes is None:
        boxes = np.tile([0, 0, 40, 40], (r, 1))
    provenance = Provenance("regions", {**OPTIONS, "regions": "made"}, [], NETWORK)
    with create(path, provenance, overwrite=True) as target:
        target.publish(
            Regions.columns(
                names=[f"{i}.png" for i in range(n)],
                reasons=[""] * n,
                status=np.zeros(n, np.uint8),
                image_sizes=np.full((n, 2), 100, np.int32),
                boxes=np.tile(np.float32([0, 0, 100, 100]), (n, 1)),
                file_signatures=np.zeros((n, 2), np.int64),
                descriptors=descriptors.astype(np.float32),
                region_boxes=boxes.astype(np.float32),
                offsets=np.concatenate([[0], np.cumsum(counts)]),
            ),
            extra={"n_channels": 9},
        )
    return path
