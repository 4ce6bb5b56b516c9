"""Publishing an artifact over images, and the list of those that were skipped beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Finish:
    """What becomes of an output when all of its rows are there.

    Attributes:
        columns, facts: to store beside.
        derived: datasets that are made of those of the parts, by name.
    """

    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    derived: Mapping[str, Derived] = field(default_factory=dict)


def publish_over_images(
    output: OutputFile,
    collection: Collection,
    n_parts: int,
    finish: Finish,
    made_with: Mapping[str, str] | None = None,
) -> None:
    """Join the parts, whose rows are all there.

    Args:
        finish: what is stored beside them and what the collection says.
        made_with: see ``OutputFile.publish``.

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
    if failed.all() and SHARE not in finish.facts:
        raise WorkFailed(
            f"not one of {len(failed)} images could be used",
            where=output.path,
            found=f"{skipped[0][0]}: {skipped[0][1]}",
            todo=f"see {skipped_list_path(output.path)}",
        )
    counts = len(skipped), int(failed.sum()), kinds_of(collection.passed_over)
    rows = OverImages.columns(names=collection.names, file_signatures=collection.signatures)
    output.publish(
        {**rows, **finish.columns},
        n_parts=n_parts,
        extra={**finish.facts, **dict(zip(COUNTS, counts, strict=True))},
        derived=finish.derived,
        made_with=made_with,
        compress=frozenset({"activations", "nonzero/bits"}),
    )
