"""``rrtool find``: photos and an index → what of the index shows the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import rrtool
from rrtool.artifacts import (
    Features,
    Graph,
    LocalFeaturesFile,
    Ranking,
    open_artifact,
    skipped_list_path,
)
from rrtool.artifacts.kinds.ranking import BOX, Hit
from rrtool.errors import ArtifactError, UsageError, WorkFailed
from rrtool.progress import Progress
from rrtool.stages.collection.layout import Index, mendable, open_index
from rrtool.stages.collection.options import FindOptions
from rrtool.stages.evaluation.verified_regions import VerifiedRegions
from rrtool.stages.reports.match_rule import MatchRule
from rrtool.stages.reports.text_output import checked_page
from rrtool.tables import table_lines


@dataclass(frozen=True)
class Found:
    """What was found of one photo.

    Attributes:
        query: as it was typed.
        hits: the best first; photos of the same bytes as the query are none.
        is_match: whether the geometry of one says that it shows the same; None where none was
            asked for.
        failure: why the photo cannot be used; empty where it can.
    """

    query: str
    hits: list[Hit]
    is_match: bool | None = None
    failure: str = ""


@dataclass(frozen=True)
class Findings:
    """What was found of all photos.

    Attributes:
        found: of each, in the order of the queries.
        as_table: whether CSV is asked for.
        page: what was written, if a page was.
    """

    found: list[Found]
    as_table: bool = False
    page: str | None = None

    def rows(self) -> Iterator[Sequence[object]]:
        """One line a hit, after a line of titles."""
        yield "query", "rank", "name", "score", "similarity", "n_inliers", "is_match", *BOX
        for each in self.found:
            match = "" if each.is_match is None else int(each.is_match)
            for hit in each.hits:
                yield (
                    each.query,
                    hit.rank,
                    hit.name,
                    hit.score,
                    hit.similarity,
                    hit.n_inliers,
                    match,
                    *(hit.box or [None] * len(BOX)),
                )


def run(options: FindOptions, progress: Progress) -> Findings:
    """Describe the photos as the index is, search it, verify what is near, and order the hits.

    Raises:
        RrtoolError: there is no index or none of the photos can be used.
    """
    index = open_index(options.index)
    with mendable(index, _again(index)):
        return _findings(index, options, progress)


def _again(index: Index) -> str:
    return f"run rrtool index {index.images} -o {index.folder}"


def _findings(index: Index, options: FindOptions, progress: Progress) -> Findings:
    _require_finished(index, options.rerank)
    if options.page is not None:
        checked_page(options.page)
    with tempfile.TemporaryDirectory(prefix="rrtool-find-") as name:
        asked = _Asked(index, options, Path(name))
        asked.describe()
        rankings = asked.rank()
        asked.write_page(rankings, progress)
        return Findings(asked.found(rankings), options.csv, options.page)


def _require_finished(index: Index, rerank: str) -> None:
    """Its artifacts must be of the same photos: between the first and the last they are not.

    Raises:
        UsageError: some are missing, or the index is too small for what is asked for.
        ArtifactError: they are not of the same.
    """
    again = _again(index)
    if not (index.features.exists() and index.local.exists()):
        raise UsageError("the index is not finished", where=index.folder, todo=again)
    with (
        open_artifact(index.features, Features) as features,
        open_artifact(index.local, LocalFeaturesFile) as local,
    ):
        is_whole = features.input("images").digest == local.input("images").digest
    if rerank == "diffusion" and not index.graph.exists():
        raise UsageError(
            "the index is too small for a graph", where=index.folder, todo="use --rerank reciprocal"
        )
    if rerank in ("diffusion", "reciprocal") and index.graph.exists():
        with open_artifact(index.graph, Graph) as graph:
            is_whole &= graph.input("features").digest == features.digest
    if not is_whole:
        raise ArtifactError(
            "an update of the index is not finished", where=index.folder,
            todo=f"wait for it, or {again}",
        )  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """Queries of an index, and a folder for what is made of them."""

    index: Index
    options: FindOptions
    folder: Path

    @property
    def features(self) -> Path:
        return self.folder / "queries.h5"

    @property
    def local(self) -> Path:
        return self.folder / "query-local.h5"

    def describe(self) -> None:
        """Features and local features of the queries, by the index's own settings."""
        listed, paths = self.folder / "photos", [os.path.abspath(q) for q in self.options.queries]
        listed.write_bytes(b"\0".join(map(os.fsencode, paths)) + b"\0")
        verified = {"query_local": self.local, "levels_from": self.index.local}
        try:
            rrtool.extract(
                listed, self.features, center=self.index.features, **self._box(paths[0]),
                **self.index.network(), **self.options.running(),
                **(verified if self.options.rerank != "none" else {}),
            )  # fmt: skip
        except WorkFailed as error:
            if not skipped_list_path(self.features).exists():
                raise
            raise UsageError("no photo to look for can be used", found=error.found) from None

    def _box(self, path: str) -> dict[str, Any]:
        if self.options.box is None:
            return {}
        boxes = self.folder / "boxes.csv"
        rows = [("name", "x0", "y0", "x1", "y1"), (path, *self.options.box)]
        boxes.write_bytes(os.fsencode("".join(table_lines(rows))))
        return {"boxes": boxes}

    def rank(self) -> list[Path]:
        """The ranking by similarity, the verified one, and the one that orders the hits."""
        index, folder = self.index, self.folder
        pair = {"queries": self.features, "database": index.features}
        made = [rrtool.search(*pair.values(), folder / "global.h5")]
        if self.options.rerank != "none":
            made.append(rrtool.rerank(
                made[0], folder / "dsm.h5", query_local=self.local, database_local=index.local,
                device=self.options.device,
            ))  # fmt: skip
        if self.options.rerank == "diffusion":
            made.append(rrtool.diffuse(
                folder / "d.h5", graph=index.graph, seeds=made[-1], device=self.options.device,
                **pair,
            ))  # fmt: skip
        if self.options.rerank == "reciprocal":
            graph = index.graph if index.graph.exists() else None
            made.append(rrtool.rerank(
                made[0], folder / "reciprocal.h5", method="reciprocal", graph=graph, **pair,
            ))  # fmt: skip
        return made

    def found(self, rankings: Sequence[Path]) -> list[Found]:
        """The hits of every query, without the query itself."""
        with (
            open_artifact(rankings[-1], Ranking) as last,
            open_artifact(rankings[min(1, len(rankings) - 1)], Ranking) as verified,
            open_artifact(self.features, Features) as queries,
            open_artifact(self.index.features, Features) as database,
            self._regions(verified) as regions,
        ):
            own = queries.file_digests[:, None]
            is_same = (database.file_digests[None] == own).all(axis=2)
            answers = _Answers(last, verified, regions, self.options.top)
            return [
                Found(query, [], failure=reason)
                if reason
                else Found(query, *answers.of(row, np.flatnonzero(is_same[row]).tolist()))
                for row, (query, reason) in enumerate(
                    zip(self.options.queries, queries.reasons, strict=True)
                )
            ]

    @contextmanager
    def _regions(self, verified: Ranking) -> Iterator[VerifiedRegions | None]:
        """Where verified hits match."""
        if not verified.is_verified:
            yield None
            return
        with (
            open_artifact(self.local, LocalFeaturesFile) as query_local,
            open_artifact(self.index.local, LocalFeaturesFile) as database_local,
        ):
            yield VerifiedRegions(verified, query_local, database_local)

    def write_page(self, rankings: Sequence[Path], progress: Progress) -> None:
        """See ``--page``."""
        if self.options.page is None:
            return
        from rrtool.stages.reports.report_ranking import PageInputs, write_page

        with open_artifact(self.features, Features) as queries:
            names = queries.names
        verified: dict[str, Any] = {}
        if len(rankings) > 1:
            verified = {
                "verified": str(rankings[1]), "query_local": str(self.local),
                "database_local": str(self.index.local),
            }  # fmt: skip
        inputs = PageInputs(
            ranking=str(rankings[-1]), images=self.index.images,
            query_images=dict(zip(names, names, strict=True)), n_hits=self.options.top,
            max_queries=len(names), **verified,
        )  # fmt: skip
        write_page(inputs, Path(self.options.page), progress)


@dataclass(frozen=True)
class _Answers:
    """Hits of the ranking that orders them, with what the verified one knows of each.

    Attributes:
        last, verified: the same where nothing was verified.
        regions: where hits match; None where nothing was verified.
        n_most: hits a query.
    """

    last: Ranking
    verified: Ranking
    regions: VerifiedRegions | None
    n_most: int

    @cached_property
    def _names(self) -> Sequence[str]:
        return Ranking.database_names.encoded(self.last)

    def of(self, query: int, same: Sequence[int]) -> tuple[list[Hit], bool | None]:
        """The first hits of a query, and whether one of them is a match.

        Args:
            same: rows of the photos that are the query itself, and no hits.
        """
        own = {self._names[row] for row in same}
        others = [hit for hit in self.last.hits(query) if hit.name not in own][: self.n_most]
        ranked = [replace(hit, rank=rank) for rank, hit in enumerate(others, start=1)]
        if self.regions is None:
            return ranked, None
        rule = MatchRule.of(self.verified.described())
        counts = {hit.name: hit.n_inliers for hit in self.verified.hits(query)}
        boxes = {self._names[row]: box for row, box in self.regions.of_inliers(query).items()}
        hits, matches = [], []
        for hit in ranked:
            n_inliers = counts.get(hit.name)
            matches.append(rule.holds(hit.similarity, n_inliers))
            box = boxes.get(hit.name) if matches[-1] else None
            hits.append(replace(hit, n_inliers=n_inliers, box=box))
        return hits, any(matches)
