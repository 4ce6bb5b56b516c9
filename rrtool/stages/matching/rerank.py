"""``rrtool rerank``: ranking + local features → spatially verified ranking (thesis ch. 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    LocalFeaturesFile,
    OutputFile,
    OverImages,
    Ranking,
    offsets_of,
    open_artifact,
    require_same_names,
    require_same_network,
)
from rrtool.core.matching.fusion import COPY_SIMILARITY, fuse, strength_agreement
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches, MatchingOptions, match
from rrtool.core.retrieval.ranking import reorder_shortlist
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.driver import Datasets, Wanted, as_inputs, fill, make
from rrtool.stages.matching.copies import Copies
from rrtool.stages.matching.local_features import Excerpt, LocalFeaturesReader
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.matching.rerank_descriptors import ordering_of
from rrtool.stages.matching.rerank_update import (
    Digests,
    KeptQueries,
    Ranked,
    kept_queries,
    padded,
)
from rrtool.stages.retrieval.descriptors import require_same_options

# Shortlisted images whose features are held at once, 11 kB each, but for those of one query.
_IMAGES_AT_ONCE = 4096


def run(options: RerankOptions, progress: Progress) -> Path:
    """Verify the head of each ranking spatially and re-order it; the rest stays as it is.

    Raises:
        RrtoolError: the artifacts are about other images or of another network.
    """
    device = resolve_device(options.device)
    with (
        open_artifact(options.ranking, Ranking) as ranking,
        open_artifact(options.query_local or "", LocalFeaturesFile) as queries,
        open_artifact(options.database_local or "", LocalFeaturesFile) as database,
    ):
        _check(ranking, queries, database)

        def work(outputs: list[OutputFile]) -> None:
            readers = LocalFeaturesReader(queries), LocalFeaturesReader(database)
            with ExitStack() as stack:
                kept = kept_queries(outputs[0], stack, progress) if options.update else None
                verification = _Verification(ranking, *readers, options, device, kept)
                _verify_all(verification, outputs[0], progress)

        inputs = as_inputs(ranking=ranking, query_local=queries, database_local=database)
        follows = ("ranking", "query-local", "database-local")
        parts = "with digests" if options.update else ""
        wanted = Wanted(options.output, Ranking, options.settings(), follows=follows, parts=parts)
        return make(
            options, wanted, work, progress,
            amount=lambda outputs: _amount(ranking, queries, database, options),
            inputs=inputs, network=ranking.network, device=device,
        )  # fmt: skip


def _amount(
    ranking: Ranking,
    queries: LocalFeaturesFile,
    database: LocalFeaturesFile,
    options: RerankOptions,
) -> Amount:
    """The offsets, and the features of the images that are held at once."""
    n_queries, n_images = ranking.lengths["q"], max(1, database.lengths["n"])
    share = min(1.0, max(options.shortlist, _IMAGES_AT_ONCE) / n_images)
    columns = LocalFeaturesFile
    held = queries.n_bytes(columns.offsets) + database.n_bytes(columns.offsets)
    features = database.n_bytes(columns.means, columns.covariances, columns.strengths)
    return Amount(n_queries, "queries", held + round(2 * share * features), parts_of(n_queries))


def _check(ranking: Ranking, queries: LocalFeaturesFile, database: LocalFeaturesFile) -> None:
    for names, local in ((Ranking.query_names, queries), (Ranking.database_names, database)):
        own, others = names.encoded(ranking), OverImages.names.encoded(local)
        require_same_names(own, ranking.path, others, local.path)
    require_same_network(queries, database)
    if (queries.options["role"], database.options["role"]) == ("database", "query"):
        raise UsageError(
            "--query-local and --database-local are swapped",
            where=queries.path,
            expected="features of the role query",
            found="database",
        )
    # The ranking may be of another network, or of another program: its similarities and these
    # matches are not compared with each other.
    made = {key: queries.options.get(key) for key in ("max_size", "scales")}
    require_same_options(made, queries, database)


def _verify_all(verification: _Verification, output: OutputFile, progress: Progress) -> None:
    ranking = verification.ranking
    query_names = Ranking.query_names.encoded(ranking)
    database_names = Ranking.database_names.encoded(ranking)
    copies = Copies(verification.queries.artifact, verification.database.artifact)

    def verified(rows: range) -> Datasets:
        try:
            return _stack(list(verification.results(rows, copies)))
        except ValueError as error:
            what = "the ranking and the local features cannot be matched"
            raise ArtifactError(
                what, where=ranking.path, found=error, todo="make them again"
            ) from None

    n_parts = fill(output, len(query_names), verified, progress, label="rerank", unit="queries")
    kept = verification.kept
    if output.is_update and kept is not None:
        progress.message(
            f"update of {output.path}: {kept.n_kept} queries are kept, {kept.n_others} were "
            "verified anew"
        )
    before = ranking.extra["description"]
    method = {
        "method": f"{before.get('method')} + DSM",
        "verification": {**verification.options.settings(), **_other_network(verification)},
    }
    output.publish(
        Ranking.columns(
            query_names=query_names,
            database_names=database_names,
            query_boxes=ranking.query_boxes,
        ),
        n_parts=n_parts,
        extra={"description": before | method},
    )


@dataclass(frozen=True)
class _Verification:
    """A ranking and where the local features for its verification are read from."""

    ranking: Ranking
    queries: LocalFeaturesReader
    database: LocalFeaturesReader
    options: RerankOptions
    device: str
    kept: KeptQueries | None  # with --update

    def results(self, rows: range, copies: Copies) -> Iterator[Datasets]:
        """The columns of each query of a part; features are held of a few queries at a time."""
        n_entries = self.ranking.lengths["L"]
        step = max(1, _IMAGES_AT_ONCE // max(1, min(self.options.shortlist, n_entries)))
        for start in range(rows.start, rows.stop, step):
            block = slice(start, min(start + step, rows.stop))
            ids = self.ranking.read(Ranking.ids, block)
            similarities = self.ranking.read(Ranking.similarities, block)
            bases = self.ranking.read(ordering_of(self.ranking), block)
            asked = np.arange(block.start, block.stop)
            shortlists = [_shortlist(each, self.options.shortlist) for each in ids]
            verifier = _Verifier(
                self.queries.read(asked), self.database.read(np.concatenate(shortlists)),
                copies, self.options, self.device,
            )  # fmt: skip
            verified = verifier if self.kept is None else verifier.keeping(self.kept)
            for query, *columns in zip(asked.tolist(), ids, similarities, bases, strict=True):
                yield verified(query, Ranked(*columns))


def _other_network(verification: _Verification) -> dict[str, Any]:
    """The network of the local features, where it is not that of the ranking."""
    own, local = verification.ranking.network, verification.database.artifact.network
    keys = ("name", "weights_digest")
    if all(own.get(key) == local.get(key) for key in keys):
        return {}
    return {"network": local.get("name")}


def _shortlist(ids: np.ndarray, size: int) -> np.ndarray:
    """The first entries of a ranking, which may have fewer."""
    return ids[: min(size, int((ids >= 0).sum()))]


@dataclass(frozen=True)
class _Verifier:
    """Verifies the shortlist of one query after the other."""

    queries: Excerpt
    database: Excerpt
    copies: Copies
    options: RerankOptions
    device: str

    def __call__(self, query: int, ranked: Ranked) -> Datasets:
        """The columns of one query."""
        ids, similarities, base = ranked
        size = min(self.options.shortlist, len(ids))
        shortlist = _shortlist(ids, size)
        matches = self._match(query, shortlist)
        scores = self._scores(query, shortlist, ranked, matches)
        order = reorder_shortlist(ids, scores)
        verified = order[: len(shortlist)]
        counts = np.diff(matches.inlier_offsets)
        starts = matches.inlier_offsets[verified]
        picked = np.concatenate(
            [np.arange(start, start + counts[i]) for start, i in zip(starts, verified, strict=True)]
            or [np.zeros(0, dtype=np.int64)]
        )
        columns = {
            "ids": ids[order],
            "similarities": similarities[order],
            "scores": np.concatenate([scores[verified], base[len(shortlist) :]]).astype(np.float32),
            "n_inliers": padded(matches.n_inliers[verified], size, 0),
            "n_tentative": padded(matches.n_tentative[verified], size, 0),
            "scale_pairs": padded(matches.scale_pairs[verified], size, -1),
            "transforms": padded(matches.M_1to2[verified].astype(np.float32), size, np.nan),
            "inlier_counts": padded(counts[verified], size, 0),
            "inliers": matches.inliers[picked.astype(np.int64)],
        }
        if self.options.update:
            columns["shortlist_places"] = padded(verified.astype(np.int32), size, -1)
        return columns

    def is_copy(self, query: int, shortlist: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Which show the very photo of the query, by their bytes or their descriptor."""
        alike = similarities[: len(shortlist)] > COPY_SIMILARITY
        return self.copies.among(shortlist, query) | alike

    def keeping(self, kept: KeptQueries) -> Callable[[int, Ranked], Datasets]:
        """The same, but for queries that need not be verified again; with their digests."""
        digest_of = Digests(self.queries, self.database)

        def verified(query: int, ranked: Ranked) -> Datasets:
            size = min(self.options.shortlist, len(ranked.ids))
            shortlist = _shortlist(ranked.ids, size)
            n = len(shortlist)
            is_copy = self.is_copy(query, shortlist, ranked.similarities)
            digest = digest_of(query, shortlist, ranked.base[:n], is_copy)
            found = kept.find(digest, ranked, (n, size))
            columns = self(query, ranked) if found is None else found
            return {**columns, "verification_digests": digest}

        return verified

    def _scores(
        self, query: int, shortlist: np.ndarray, ranked: Ranked, matches: Matches
    ) -> np.ndarray:
        if self.options.score == "inliers":
            return matches.n_inliers.astype(np.float64)
        agreements = strength_agreement(matches, *self._pair(query, shortlist))
        is_copy = self.is_copy(query, shortlist, ranked.similarities)
        return fuse(ranked.base[: len(shortlist)], agreements, is_copy)

    def _pair(
        self, query: int, shortlist: np.ndarray
    ) -> tuple[LocalFeatures, int, LocalFeatures, np.ndarray]:
        """A query and its candidates, as the matching takes them."""
        place = int(self.queries.places(np.array(query)))
        candidates = self.database.places(shortlist)
        return self.queries.features, place, self.database.features, candidates

    def _match(self, query: int, shortlist: np.ndarray) -> Matches:
        asked, one_to_one = self.options, self.options.score == "fused"
        limits = MatchingOptions(
            asked.inlier_threshold, asked.max_scale_change, one_to_one=one_to_one
        )
        arguments = (*self._pair(query, shortlist), limits)
        if self.device == "cpu":
            return match(*arguments)
        from rrtool.core.matching import spatial_matching_torch

        return spatial_matching_torch.match(*arguments, device=self.device)


def _stack(results: list[Datasets]) -> Datasets:
    """The columns of a part; inliers are ragged over (query, shortlist position)."""
    counts = np.concatenate([result.pop("inlier_counts") for result in results])
    inliers = np.concatenate([result.pop("inliers") for result in results])
    columns = {name: np.stack([result[name] for result in results]) for name in results[0]}
    return Ranking.columns(**columns, inliers=inliers, offsets=offsets_of(counts))
