"""``rrtool merge``: the shares of a collection → what one run makes of all of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from rrtool.artifacts import (
    Features,
    Graph,
    GraphShare,
    OutputFile,
    open_any,
    skipped_list_path,
)
from rrtool.artifacts.rows import RowTable, TakenRows
from rrtool.errors import UsageError
from rrtool.files import read_regular
from rrtool.images.collection import Collection
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, foretell, parts_of
from rrtool.stages.driver import is_dry, opened
from rrtool.stages.extraction.options import MergeOptions
from rrtool.stages.over_images import Finish, publish_over_images
from rrtool.stages.shares import Share, provenance_of_whole, require_whole


def run(options: MergeOptions, progress: Progress) -> Path:
    """Join shares row by row; what is of the collection as a whole is made anew.

    Raises:
        UsageError: no share is given.
        ArtifactError: they are not the shares of one collection, made alike, each once.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(open_any(path)) for path in options.shares]
        if not files:
            raise UsageError("no share to merge")
        shares = sorted(map(Share.of, files), key=lambda share: share.first)
        require_whole(shares)
        of_graph = isinstance(files[0], GraphShare)
        provenance = provenance_of_whole(shares, Graph if of_graph else type(files[0]))
        with opened(options.output, provenance, options) as output:
            if output.is_current:
                progress.message(f"{output.path} is up to date")
            elif is_dry(options):
                amount = Amount(shares[0].n_rows, "vertices" if of_graph else "images")
                foretell(options, [output], amount, progress)
            elif of_graph:
                from rrtool.stages.diffusion.graph_shares import join_graph  # takes its time

                join_graph([share.artifact for share in shares], output, progress)
            else:
                _join(shares, output)
            return output.path


def _join(shares: list[Share], output: OutputFile) -> None:
    tables = [RowTable(share.artifact) for share in shares]
    has_own_mean = Features.unwhitened.name in tables[0].names
    names = tables[0].content - ({Features.descriptors.name} if has_own_mean else set())
    parts = parts_of(shares[0].n_rows)
    place = 0
    for number, rows in enumerate(parts):
        while rows.start >= shares[place].end:
            place += 1
        if rows.stop > shares[place].end:
            raise shares[place].artifact.damaged(shares[place].end, "a share that ends in a part")
        own = np.arange(rows.start, rows.stop) - shares[place].first
        output.keep_part(number, TakenRows(tables[place], own, names, {}))
    finish = Finish(columns=tables[0].of_all())
    if has_own_mean:
        # Here, because it brings torch.
        from rrtool.stages.retrieval.center import own_whitening, whiten_about

        whitening = own_whitening(shares[0].artifact)
        finish = whiten_about(None, whitening)(lambda column: output.read_parts(column, len(parts)))
    finish = replace(finish, facts={**shares[0].made_of()["facts"], **finish.facts})
    publish_over_images(output, _collection(shares), len(parts), finish)


def _collection(shares: list[Share]) -> Collection:
    """The list of images; what has no row is on the list beside the first share, if it is there."""
    files = [share.artifact for share in shares]
    first = files[0].extra
    try:
        text = read_regular(skipped_list_path(Path(files[0].path))).decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = [line.partition("\t")[::2] for line in text.splitlines()[2:]]
    n_rowless = first["n_skipped"] - first["n_failed_rows"]
    return Collection(
        names=[name for file in files for name in file.names],
        paths=[],
        boxes=[],
        signatures=np.concatenate([file.file_signatures for file in files]),
        inputs=files[0].inputs,
        skipped=lines[:n_rowless],
        passed_over=lines[first["n_skipped"] :],
    )
