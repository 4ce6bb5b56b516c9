"""Tuples of another program, of photos that lie in a folder."""

from __future__ import annotations

import numpy as np

from rrtool.artifacts import OutputFile, Tuples, skipped_list_path, write_skipped_list
from rrtool.errors import UsageError
from rrtool.exchange.tuple_files import read_tuple_file
from rrtool.ground_truth.names import first_few
from rrtool.images.collection import Collection
from rrtool.progress import Progress
from rrtool.stages.exchange.options import ImportOptions

_NOT_THERE = "not below --images"


def import_tuples(
    options: ImportOptions, photos: Collection, output: OutputFile, progress: Progress
) -> None:
    """Take in one split; photos that are not there have no group, and pairs with them are left out.

    Raises:
        UsageError: the file is no tuple file, or no pair has both its photos.
    """
    found = read_tuple_file(options.source, options.split)
    there = set(photos.names)
    is_there = np.array([name in there for name in found.names], dtype=bool)
    pairs = found.pairs[is_there[found.pairs].all(axis=1)]
    missing = [name for name, known in zip(found.names, is_there, strict=True) if not known]
    if not len(pairs):
        raise UsageError(
            "no pair has both its photos in this folder", where=options.images,
            expected=first_few(found.names), found=first_few(photos.names),
        )  # fmt: skip
    skipped = [*photos.skipped, *((name, _NOT_THERE) for name in missing)]
    write_skipped_list(output.path, skipped)
    if missing:
        progress.message(
            f"{len(missing)} of {len(found.names)} photos are not below {options.images}: "
            f"{len(found.pairs) - len(pairs)} of {len(found.pairs)} pairs are left out; see "
            f"{skipped_list_path(output.path)}"
        )
    groups = np.where(is_there, found.groups, -1).astype(np.int32)
    output.publish(
        Tuples.columns(names=found.names, groups=groups, pairs=pairs),
        extra={
            "images": str(options.images), "n_skipped": len(skipped), "n_failed_rows": len(missing),
        },
    )  # fmt: skip
