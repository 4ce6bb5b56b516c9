"""Artifacts over images whose list of images has changed: which rows serve again.

A row is that of a file: one of the same name, size and time is taken for unchanged without a look
at it; of others the content decides, by its digest. So a file that is written anew with the same
size and the time of the old one set back is not noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np

from rrtool.artifacts import OverImages
from rrtool.artifacts.rows import RowTable, TakenRows, put_rows
from rrtool.errors import ArtifactError
from rrtool.images.collection import Collection
from rrtool.images.content import UNKNOWN, as_row, digest_of_photo
from rrtool.images.formats import suffix_of
from rrtool.progress import Progress
from rrtool.stages.activations.options import WORTH_IT, DecodingOptions, EngineOptions
from rrtool.stages.over_images import FAILED

COMPUTED = -1
_NO_FILE = (-1, -1)
_ENGINE = ("engine", "precision")  # facts
_OF_FEW = {"engine": "torch", "precision": "float32"}  # where no other is worth its preparation
DigestOf = Callable[[str], bytes]


@dataclass(frozen=True)
class Plan:
    """Where the rows of an updated artifact come from.

    Attributes:
        sources: ``(n,)`` int64, row of the old artifact, or ``COMPUTED``.
        digests: ``(n, 16)`` uint8, of the files of kept rows.
        n_renamed: kept rows of images that had another name.
        n_changed, n_new: computed rows of names that were there, and that were not.
        n_gone: rows of the old artifact whose name and content are in none.
        is_outgrown: the rows were those of few images, and none of them is kept.
    """

    sources: np.ndarray
    digests: np.ndarray
    n_renamed: int
    n_changed: int
    n_new: int
    n_gone: int
    is_outgrown: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is to be computed."""
        return not (self.sources == COMPUTED).any()

    @property
    def keeps_any(self) -> bool:
        return bool((self.sources != COMPUTED).any())

    def of_rows(self, rows: range) -> Plan:
        """That of some rows, which count from zero."""
        part = slice(rows.start, rows.stop)
        return replace(self, sources=self.sources[part], digests=self.digests[part])

    def __str__(self) -> str:
        n, n_kept = len(self.sources), int((self.sources != COMPUTED).sum())
        if self.is_outgrown:
            return f"all {n} images are computed: {WORTH_IT} and more are worth a faster engine"
        kept = f"{n_kept} of {n} images are kept"
        if self.n_renamed:
            kept += f", {self.n_renamed} of them under a new name"
        return f"{kept}; {self.n_changed} changed, {self.n_new} new, {self.n_gone} gone"


@dataclass(frozen=True)
class _OldRows:
    """What an artifact knows of the files of its rows."""

    artifact: OverImages
    digest_of: DigestOf

    @cached_property
    def by_name(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.artifact.names)}

    @cached_property
    def signatures(self) -> list[tuple[int, int]]:
        return [tuple(pair) for pair in self.artifact.file_signatures.tolist()]

    @cached_property
    def sizes(self) -> set[int]:
        return {size for size, _ in self.signatures}

    @cached_property
    def digests(self) -> list[bytes]:
        return [row.tobytes() for row in self.artifact.file_digests]

    @cached_property
    def by_content(self) -> dict[tuple[bytes, str], int]:
        """The first good row of each content, by its suffix too, which says how some are read."""
        found: dict[tuple[bytes, str], int] = {}
        status = self.artifact.status.tolist()
        for (name, row), digest in zip(self.by_name.items(), self.digests, strict=False):
            if digest != UNKNOWN and status[row] != FAILED:
                found.setdefault((digest, suffix_of(name)), row)
        return found

    def find(self, name: str, path: str, signature: tuple[int, int]) -> tuple[int, bytes]:
        """The row that serves for a file, or ``COMPUTED``, and the file's digest if it is kept."""
        row = self.by_name.get(name, COMPUTED)
        is_untouched = row != COMPUTED and self.signatures[row] == signature
        if is_untouched and (signature == _NO_FILE or self.digests[row] != UNKNOWN):
            return row, self.digests[row]
        if signature[0] not in self.sizes:
            return COMPUTED, UNKNOWN  # no file that was there had this content
        digest = self.digest_of(path)
        if row != COMPUTED and self.digests[row] == digest != UNKNOWN:
            return row, digest
        if digest == UNKNOWN:  # which could not be read before, either
            return row if is_untouched else COMPUTED, UNKNOWN
        return self.by_content.get((digest, suffix_of(name)), COMPUTED), digest


def reading(options: DecodingOptions) -> DigestOf:
    """The digest of a photo's file, which is read once for all outputs."""
    return cache(partial(digest_of_photo, max_pixels=options.max_pixels))


def plan_of(
    collection: Collection, old: OverImages, options: EngineOptions, digest_of: DigestOf
) -> Plan:
    """Compare the files of a collection with those that an artifact was made of.

    Nothing is kept of an artifact of an older version, without digests, and of one of so few images
    that torch ran the network, where they have become as many as another engine is worth to.

    Args:
        digest_of: see ``reading``.
    """
    n = len(collection)
    is_outgrown = _is_outgrown(old, n, options)
    if is_outgrown or OverImages.file_digests not in old:
        nothing = np.full(n, COMPUTED), np.zeros((n, len(UNKNOWN)), np.uint8)
        n_old = old.lengths["n"]
        return Plan(
            *nothing, n_renamed=0, n_changed=0, n_new=n, n_gone=n_old, is_outgrown=is_outgrown
        )
    known, signatures = _OldRows(old, digest_of), collection.signatures.tolist()
    found = [
        known.find(name, path, tuple(signature))
        for name, path, signature in zip(
            collection.names, collection.paths, signatures, strict=True
        )
    ]
    sources = np.array([row for row, _ in found], dtype=np.int64)
    digests = np.stack([as_row(digest) for _, digest in found])
    own = np.array([known.by_name.get(name, COMPUTED) for name in collection.names])
    is_kept, was_there = sources != COMPUTED, own != COMPUTED
    in_use = {*sources[is_kept].tolist(), *own[was_there].tolist()}
    return Plan(
        sources,
        digests,
        n_renamed=int((is_kept & (sources != own)).sum()),
        n_changed=int((~is_kept & was_there).sum()),
        n_new=int((~is_kept & ~was_there).sum()),
        n_gone=len(known.by_name) - len(in_use),
    )


def _is_outgrown(old: OverImages, n: int, options: EngineOptions) -> bool:
    by_torch = all(old.extra.get(key) == value for key, value in _OF_FEW.items())
    return by_torch and options.engine == "auto" and old.lengths["n"] < WORTH_IT <= n


class Kept:
    """The rows of an artifact that serve again.

    Args:
        old: the artifact that is updated, open.
        plan: where its rows go.
    """

    def __init__(self, old: OverImages, plan: Plan) -> None:
        self.old = old
        self.plan = plan
        self._table = RowTable(old)

    def by(self, plan: Plan) -> Kept:
        """The same artifact by another plan."""
        other = copy(self)
        other.plan = plan
        return other

    @property
    def names(self) -> frozenset[str]:
        """The datasets of its rows, but those that the list of images gives."""
        return self._table.content

    @property
    def engine(self) -> dict[str, str]:
        """What ran the network."""
        return {key: self.old.extra[key] for key in _ENGINE if key in self.old.extra}

    def of_all(self) -> dict[str, np.ndarray]:
        """What is not of its rows, but of the collection as a whole."""
        return self._table.of_all()

    def computed(self, rows: range) -> list[int]:
        """Those of some rows of the new artifact that are not kept."""
        return [row for row in rows if self.plan.sources[row] == COMPUTED]

    def put_into(self, datasets: Mapping[str, np.ndarray], rows: range) -> dict[str, np.ndarray]:
        """A part with the kept rows in their places."""
        places, taken = self.taken(rows, datasets)
        return put_rows(type(self.old), datasets, places, taken) if len(places) else dict(datasets)

    def taken(self, rows: range, names: Iterable[str]) -> tuple[np.ndarray, TakenRows]:
        """Places of the kept rows among some rows of the new artifact, and what they have."""
        part = slice(rows.start, rows.stop)
        sources = self.plan.sources[part]
        places = np.flatnonzero(sources != COMPUTED)
        digests = OverImages.columns(file_digests=self.plan.digests[part][places])
        others = frozenset(names) - digests.keys()
        return places, TakenRows(self._table, sources[places], others, digests)


def engine_of(kept: Sequence[Kept]) -> dict[str, str]:
    """What ran the network for the rows that are kept; nothing where maps stood in for it.

    Raises:
        ArtifactError: for some it was another than for others.
    """
    first = kept[0].engine
    for each in kept:
        if each.engine != first:
            raise other_engine(each, first)
    return first


def other_engine(kept: Kept, found: Mapping[str, str]) -> ArtifactError:
    """The error where what is computed would not be as what is kept."""
    return ArtifactError(
        "the rows that are kept were made by another engine",
        where=kept.old.path,
        expected=" in ".join(kept.engine.values()) or "activation maps",
        found=" in ".join(found.values()) or "activation maps",
        todo="choose it by --engine and --precision, or use --overwrite to make all rows anew",
    )


def tell(kept: Mapping[Path, Kept], progress: Progress) -> None:
    """Say what is kept and what is not, of outputs that are alike once."""
    told: dict[str, list[str]] = {}
    for path, each in kept.items():
        told.setdefault(str(each.plan), []).append(str(path))
    for text, paths in told.items():
        progress.message(f"update of {', '.join(paths)}: {text}")
