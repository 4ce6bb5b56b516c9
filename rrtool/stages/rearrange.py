"""Updates that need no network: images were but touched, renamed, copied or taken away."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import OverImages, Provenance, create, open_any
from rrtool.artifacts.output.current import without
from rrtool.errors import RrtoolError
from rrtool.images.collection import Collection, collect
from rrtool.options import Options
from rrtool.progress import Progress
from rrtool.stages.activations.options import OverImagesOptions
from rrtool.stages.asked import asked_of, typed_names
from rrtool.stages.over_images import COUNTS, Finish, publish_over_images
from rrtool.stages.update import Kept, plan_of, reading, tell

_ROWS = 1024  # that are copied together


def rearranged(options: OverImagesOptions, progress: Progress) -> bool:
    """Update outputs whose images were but touched, renamed, copied or taken away.

    No network is needed for that, and none is loaded.

    Returns:
        Whether it was so; if not, nothing has been written.

    Raises:
        RrtoolError: an output is being written by another run, or cannot be.
    """
    with ExitStack() as stack:
        found = _found(options, stack)
        if found is None:
            return False
        collection, kept = found
        tell(kept, progress)
        if not options.dry_run:
            for path, asks in options.asking().items():
                _rearrange(Path(path), asks, kept[Path(path)], collection)
    return True


def _found(
    options: OverImagesOptions, stack: ExitStack
) -> tuple[Collection, dict[Path, Kept]] | None:
    """The collection and what each output keeps of it, where that is all of it."""
    asking = options.asking()
    if options.images == "-" or not all(os.path.isfile(path) for path in asking):
        return None
    collection = collect(options.images, None, options.gallery)
    kept: dict[Path, Kept] = {}
    digest_of = reading(options)
    for path, asks in asking.items():
        old = _asked_alike(path, _asked(asks, collection), stack)
        if old is None:
            return None
        own = Kept(old, plan_of(collection, old, options, digest_of))
        if not own.plan.is_whole or not _may_move(own):
            return None
        kept[Path(path)] = own
    return collection, kept


def _asked(asks: Options, collection: Collection) -> dict[str, Any] | None:
    """As ``asked_of``, of images that are listed already."""
    record = collection.inputs[0]
    return asked_of(asks, {(record.role, record.path): record.digest})


def _asked_alike(path: str, asked: dict[str, Any] | None, stack: ExitStack) -> OverImages | None:
    """An output that was asked for in the same words, of whichever images; None if it was not."""
    try:
        old = stack.enter_context(open_any(path))
    except RrtoolError:  # the stage will say so
        return None
    if asked is None or not isinstance(old, OverImages) or not old.asked:
        return None
    of_any = [without(each, ("images",)) for each in (asked, old.asked)]
    return old if of_any[0] == of_any[1] else None


def _may_move(kept: Kept) -> bool:
    """Whether the rows may go where the plan says: what is of the collection as a whole, such as a
    mean, may depend on their order."""
    return not kept.of_all() or np.array_equal(kept.plan.sources, np.arange(kept.old.lengths["n"]))


def _rearrange(path: Path, asks: Options, kept: Kept, collection: Collection) -> None:
    """Publish an artifact of kept rows alone; one that another run has updated since stays."""
    old = kept.old
    inputs = [collection.inputs[0], *(each for each in old.inputs if each.role != "images")]
    provenance = Provenance(
        old.kind, old.options, inputs, old.network, old.device,
        _asked(asks, collection) or {}, typed_names(asks),
    )  # fmt: skip
    facts = {name: fact for name, fact in old.extra.items() if name not in COUNTS}
    with create(path, provenance, update=True) as output:
        if output.is_current:
            return
        n_rows = len(collection)
        parts = [range(start, min(start + _ROWS, n_rows)) for start in range(0, n_rows, _ROWS)]
        for number, rows in enumerate(parts):
            output.keep_part(number, kept.taken(rows, kept.names)[1])
        finish = Finish(columns=kept.of_all(), facts=facts)
        publish_over_images(output, collection, len(parts), finish)
