"""``rrtool rerank``: ranking + local features → spatially verified ranking (thesis ch. 4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, OutputFile, Provenance, create, encode_texts, open_artifact
from rrtool.artifacts.compatibility import (
    require_equal,
    require_same_names,
    require_same_network,
)
from rrtool.core.matching.fusion import SCORES, fuse, strength_agreement
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches, MatchingOptions, match
from rrtool.core.retrieval.ranking import reorder_shortlist
from rrtool.devices import resolve_device
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.matching.detect_local import read_local_features
from rrtool.stages.parts import parts_of


@dataclass(frozen=True)
class RerankOptions:
    """Options of ``rerank`` (METHODS §3).

    Attributes:
        shortlist: how many entries of each ranking are verified.
        score: ``fused`` or ``inliers``, see ``core.fusion``.
        inlier_threshold: in cells of the database map.
        max_scale_change: of a transform.
        device: where to match.
    """

    shortlist: int = 100
    score: str = "fused"
    inlier_threshold: float = 2.0
    max_scale_change: float = 3.0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.shortlist < 1:
            raise UsageError("bad --shortlist", expected="at least 1", found=self.shortlist)
        if self.score not in SCORES:
            raise UsageError("unknown --score", expected=" or ".join(SCORES), found=self.score)
        self.matching()

    def matching(self) -> MatchingOptions:
        """The options of the matching itself.

        Raises:
            UsageError: one is out of its range.
        """
        try:
            return MatchingOptions(
                self.inlier_threshold, self.max_scale_change, one_to_one=self.score == "fused"
            )
        except ValueError as error:
            raise UsageError.of_options(error) from None

    def identity(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "device"}


def run(
    ranking: str,
    output: str | Path,
    options: RerankOptions,
    *,
    query_local: str,
    database_local: str,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Verify the head of each ranking spatially and re-order it; the rest stays as it is.

    Returns:
        The path of the new ``ranking`` artifact.

    Raises:
        RrtoolError: the artifacts are about other images or of another network.
    """
    device = resolve_device(options.device)
    with (
        open_artifact(ranking, "ranking") as initial,
        open_artifact(query_local, "local-features") as q,
        open_artifact(database_local, "local-features") as d,
    ):
        _check(initial, q, d)
        provenance = Provenance(
            "ranking",
            options.identity(),
            [
                initial.as_input("ranking"),
                q.as_input("query-local"),
                d.as_input("database-local"),
            ],
            initial.network,
            device,
        )
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            verifier = _Verifier(
                read_local_features(q),
                read_local_features(d),
                initial.read_texts("query_names"),
                np.array(initial.read_texts("database_names"), dtype=object),
                options,
                device,
            )
            n_parts = _verify_all(initial, verifier, target, progress)
            before = initial.extra["description"]
            description = before | {
                "method": f"{before['method']} + DSM",
                "verification": options.identity(),
            }
            return target.publish(
                {
                    **encode_texts(initial.read_texts("query_names"), "query_names"),
                    **encode_texts(initial.read_texts("database_names"), "database_names"),
                    "query_boxes": initial.read("query_boxes"),
                },
                n_parts=n_parts,
                extra={"description": description},
            )


def _verify_all(
    initial: Artifact, verifier: _Verifier, target: OutputFile, progress: Progress
) -> int:
    """Write the parts that are missing; returns how many there are in all."""
    ids, similarities = initial.read("ids"), initial.read("similarities")
    parts = parts_of(len(ids))
    missing = target.missing_parts(len(parts))
    with progress.task("rerank", len(ids), "queries") as advance:
        advance(len(ids) - sum(len(parts[number]) for number in missing))
        for number in missing:
            results = []
            for query in parts[number]:
                results.append(verifier(query, ids[query], similarities[query]))
                advance(1)
            target.write_part(number, _stack(results))
    return len(parts)


def _check(ranking: Artifact, query_local: Artifact, database_local: Artifact) -> None:
    for names, local in (("query_names", query_local), ("database_names", database_local)):
        require_same_names(
            ranking.read_texts(names), ranking.path, local.read_texts("names"), local.path
        )
    require_same_network(query_local, database_local)
    if (query_local.options["role"], database_local.options["role"]) == ("database", "query"):
        raise UsageError(
            "--query-local and --database-local are swapped",
            where=query_local.path,
            expected="features of the role query",
            found="database",
        )
    require_same_network(ranking, database_local)
    for key in ("max_size", "scales"):
        require_equal(
            f"--{key.replace('_', '-')}",
            query_local,
            query_local.options.get(key),
            database_local,
            database_local.options.get(key),
        )


@dataclass(frozen=True)
class _Verifier:
    """Verifies the shortlist of one query after the other."""

    query: LocalFeatures
    database: LocalFeatures
    query_names: list[str]
    database_names: np.ndarray
    options: RerankOptions
    device: str

    def __call__(
        self, query: int, ids: np.ndarray, similarities: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The columns of one query."""
        size = min(self.options.shortlist, len(ids))
        n_ranked = int((ids >= 0).sum())
        shortlist = ids[: min(size, n_ranked)]
        matches = self._match(query, shortlist)
        scores = self._scores(query, shortlist, similarities[: len(shortlist)], matches)
        order = reorder_shortlist(ids, scores)
        verified = order[: len(shortlist)]
        counts = np.diff(matches.inlier_offsets)
        starts = matches.inlier_offsets[verified]
        picked = np.concatenate(
            [np.arange(start, start + counts[i]) for start, i in zip(starts, verified, strict=True)]
            or [np.zeros(0, dtype=np.int64)]
        )
        return {
            "ids": ids[order],
            "similarities": similarities[order],
            "scores": np.concatenate([scores[verified], similarities[len(shortlist) :]]).astype(
                np.float32
            ),
            "n_inliers": _padded(matches.n_inliers[verified], size, 0),
            "n_tentative": _padded(matches.n_tentative[verified], size, 0),
            "scale_pairs": _padded(matches.scale_pairs[verified], size, -1),
            "transforms": _padded(matches.M_1to2[verified].astype(np.float32), size, np.nan),
            "inlier_counts": _padded(counts[verified], size, 0),
            "inliers": matches.inliers[picked.astype(np.int64)],
        }

    def _scores(
        self, query: int, shortlist: np.ndarray, similarities: np.ndarray, matches: Matches
    ) -> np.ndarray:
        if self.options.score == "inliers":
            return matches.n_inliers.astype(np.float64)
        agreements = strength_agreement(matches, self.query, query, self.database, shortlist)
        is_copy = self.database_names[shortlist] == self.query_names[query]
        return fuse(similarities, agreements, is_copy)

    def _match(self, query: int, shortlist: np.ndarray) -> Matches:
        arguments = (self.query, query, self.database, shortlist, self.options.matching())
        if self.device == "cpu":
            return match(*arguments)
        from rrtool.core.matching import spatial_matching_torch

        return spatial_matching_torch.match(*arguments, device=self.device)


def _padded(values: np.ndarray, size: int, filler: float) -> np.ndarray:
    """``(size, …)`` with ``values`` first; rankings shorter than the shortlist leave a rest."""
    padded = np.full((size, *values.shape[1:]), filler, dtype=values.dtype)
    padded[: len(values)] = values
    return padded


def _stack(results: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The columns of a part; inliers are ragged over (query, shortlist position)."""
    columns = {
        name: np.stack([result[name] for result in results])
        for name in results[0]
        if name not in ("inliers", "inlier_counts")
    }
    counts = np.concatenate([result["inlier_counts"] for result in results])
    columns["inliers"] = np.concatenate([result["inliers"] for result in results])
    columns["offsets"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return columns
