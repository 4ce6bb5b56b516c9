"""``rrtool merge``: the shares of a collection → what one run makes of all of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Features,
    OutputFile,
    OverImages,
    Provenance,
    create,
    open_any,
    skipped_list_path,
)
from rrtool.artifacts.rows import RowTable, TakenRows
from rrtool.errors import ArtifactError, UsageError
from rrtool.files import read_regular
from rrtool.images.collection import Collection
from rrtool.progress import Progress
from rrtool.stages.driver import parts_of
from rrtool.stages.extraction.options import MergeOptions
from rrtool.stages.over_images import COUNTS, SHARE, Finish, publish_over_images
from rrtool.stages.retrieval.center import own_whitening, whiten_about

# Facts that are of the rows of a share alone.
_OWN = (*COUNTS, SHARE, "centred_on")


@dataclass(frozen=True)
class _Share:
    """An artifact over some rows of a collection.

    Attributes:
        first, end: its rows.
        n_images: of the collection.
    """

    artifact: OverImages
    first: int
    end: int
    n_images: int

    @staticmethod
    def of(artifact: Any) -> _Share:
        share = artifact.extra.get(SHARE) if isinstance(artifact, OverImages) else None
        if not isinstance(share, dict):
            raise ArtifactError(
                "this is no share", where=artifact.path, expected="what --shard has made",
                found=f"a whole {artifact.kind}",
            )  # fmt: skip
        numbers: list[Any] = [share.get(key) for key in ("first", "end", "images")]
        n_rows = artifact.lengths["n"]
        if not all(type(each) is int for each in numbers) or numbers[1] - numbers[0] != n_rows:
            raise artifact.damaged(share, "a share of other rows than it has")
        return _Share(artifact, *numbers)

    def made_of(self) -> dict[str, Any]:
        """What all shares have in common."""
        identity = self.artifact.identity()
        facts = {key: fact for key, fact in self.artifact.extra.items() if key not in _OWN}
        options = {key: value for key, value in identity["options"].items() if key != "shard"}
        return {**identity, "options": options, "facts": facts, "images": self.n_images}


def run(options: MergeOptions, progress: Progress) -> Path:
    """Join shares row by row; what is of the collection as a whole is made anew.

    Raises:
        UsageError: no share is given.
        ArtifactError: they are not the shares of one collection, made alike, each once.
    """
    with ExitStack() as stack:
        shares = [_Share.of(stack.enter_context(open_any(path))) for path in options.shares]
        shares.sort(key=lambda share: share.first)
        _require_whole(shares)
        with create(options.output, _provenance(shares), overwrite=options.overwrite) as output:
            if output.is_current:
                progress.message(f"{output.path} is up to date")
            else:
                _join(shares, output)
            return output.path


def _require_whole(shares: list[_Share]) -> None:
    if not shares:
        raise UsageError("no share to merge")
    reached, first = 0, shares[0]
    for share in shares:
        for key, value in first.made_of().items():
            if share.made_of()[key] != value:
                raise ArtifactError(
                    f"this share was made otherwise ({key})", where=share.artifact.path,
                    expected=f"as {first.artifact.path}", todo="make all by the same command",
                )  # fmt: skip
        if share.first != reached:
            what = "a share is missing before this one"
            if share.first < reached:
                what = "another share has some of the rows of this one"
            raise ArtifactError(
                what, where=share.artifact.path, expected=f"rows from {reached}",
                found=f"{share.first} to {share.end - 1}",
            )  # fmt: skip
        reached = share.end
    if reached != first.n_images:
        raise ArtifactError(
            "the last share is missing", where=shares[-1].artifact.path,
            expected=f"rows up to {first.n_images - 1}", found=f"up to {reached - 1}",
        )  # fmt: skip


def _provenance(shares: list[_Share]) -> Provenance:
    """That of one run over all images."""
    first = shares[0].artifact
    asked = dict(first.asked)
    if "options" in asked:
        asked["options"] = {k: v for k, v in asked["options"].items() if k != "shard"}
    options = shares[0].made_of()["options"]
    return Provenance(first.kind, options, first.inputs, first.network, first.device, asked)


def _join(shares: list[_Share], output: OutputFile) -> None:
    tables = [RowTable(share.artifact) for share in shares]
    has_own_mean = Features.unwhitened.name in tables[0].names
    names = tables[0].content - ({Features.descriptors.name} if has_own_mean else set())
    parts = parts_of(shares[0].n_images)
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
        whitening = own_whitening(shares[0].artifact)
        finish = whiten_about(None, whitening)(lambda column: output.read_parts(column, len(parts)))
    finish = replace(finish, facts={**shares[0].made_of()["facts"], **finish.facts})
    publish_over_images(output, _collection(shares), len(parts), finish)


def _collection(shares: list[_Share]) -> Collection:
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
