"""Publishing an artifact over images, and the list of those that were skipped beside it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rrtool.artifacts import (
    OutputFile,
    OverImages,
    decode_texts,
    skipped_list_path,
    write_skipped_list,
)
from rrtool.artifacts.output.joining import Derived
from rrtool.errors import WorkFailed
from rrtool.images.collection import Collection
from rrtool.images.folder import kinds_of

FAILED = 1
# Facts that are counted anew each time.
COUNTS = ("n_skipped", "n_failed_rows", "passed_over")
SHARE = "share"  # the fact that it is of a share of the images, see ``stages.shares``


def publish_over_images(
    output: OutputFile,
    collection: Collection,
    n_parts: int,
    *,
    columns: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    derived: Mapping[str, Derived] | None = None,
    made_with: Mapping[str, str] | None = None,
) -> None:
    """Join the parts, whose rows are all there.

    Args:
        columns, facts: to store beside what the collection says.
        derived, made_with: see ``OutputFile.publish``.

    Raises:
        WorkFailed: not one image was good; in a share of them that may be.
    """
    failed = np.concatenate([np.zeros(0), *output.read_parts(OverImages.status, n_parts)]) == FAILED
    reasons = [
        reason
        for data, offsets in zip(
            *(output.read_parts(column, n_parts) for column in OverImages.reasons.columns()),
            strict=True,
        )
        for reason in decode_texts(data, offsets)
    ]
    skipped = collection.skipped + [
        (collection.names[row], reasons[row]) for row in np.flatnonzero(failed)
    ]
    write_skipped_list(output.path, skipped + collection.passed_over)
    if failed.all() and SHARE not in facts:
        raise WorkFailed(
            f"not one of {len(failed)} images could be used",
            where=output.path,
            found=f"{skipped[0][0]}: {skipped[0][1]}",
            todo=f"see {skipped_list_path(output.path)}",
        )
    counts = len(skipped), int(failed.sum()), kinds_of(collection.passed_over)
    rows = OverImages.columns(names=collection.names, file_signatures=collection.signatures)
    output.publish(
        {**rows, **columns},
        n_parts=n_parts,
        extra={**facts, **dict(zip(COUNTS, counts, strict=True))},
        derived=derived,
        made_with=made_with,
        compress=frozenset({"activations", "nonzero/bits"}),
    )
