"""``rrtool whiten fit``: features and matching images → a whitening (thesis §5.3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import Artifact, InputRecord, Provenance, create, open_artifact
from rrtool.core.retrieval.whitening import (
    LearnedWhitening,
    PairCovariance,
    covariance_of_groups,
    covariance_of_pairs,
    fit_mean,
    fit_pca,
    fit_supervised,
)
from rrtool.errors import ArtifactError, UsageError
from rrtool.ground_truth.groups import PROTOCOL, Groups
from rrtool.ground_truth.names import first_few, rows_of_entries
from rrtool.ground_truth.tables import read_table
from rrtool.networks.checkpoints import digest_of_file
from rrtool.progress import Progress
from rrtool.stages.retrieval.descriptors import DESCRIPTION, read_usable
from rrtool.stages.retrieval.whiten import publish_whitening, require_unwhitened

METHODS = ("supervised", "pca", "center")


@dataclass(frozen=True)
class FitOptions:
    """Options of ``whiten fit`` (METHODS §1).

    Attributes:
        method: ``supervised`` (eq. 5.11–5.12), ``pca``, or ``center``, which only learns the
            mean.
        dim: dimensions to keep; None keeps all.
        shrinkage: how much of the identity is mixed into the covariance, in [0, 1]; None: as much
            as the number of images calls for.
        groups: images with one label match; see ``ground_truth.load`` (supervised).
        pairs: table of two image names a row that match (supervised).
    """

    method: str = "supervised"
    dim: int | None = None
    shrinkage: float | None = None
    groups: str | None = None
    pairs: str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError("unknown --method", expected=", ".join(METHODS), found=self.method)
        if self.dim is not None and self.dim < 1:
            raise UsageError("bad --dim", expected="at least 1", found=self.dim)
        given = [name for name in ("groups", "pairs") if getattr(self, name) is not None]
        if self.method == "supervised" and len(given) != 1:
            raise UsageError(
                "supervised whitening learns from matching images",
                expected="--groups or --pairs",
                found="both" if given else "neither",
            )
        if self.method != "supervised" and given:
            raise UsageError(
                f"--method {self.method} takes no matching images", found=f"--{given[0]}"
            )
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise UsageError("bad --shrinkage", expected="[0, 1]", found=self.shrinkage)
        if self.method == "center" and (self.dim, self.shrinkage) != (None, None):
            raise UsageError("--method center has neither --dim nor --shrinkage")

    def records(self) -> list[InputRecord]:
        """Of the groups or pairs, for the provenance."""
        return [
            InputRecord(kind, source, kind, "", _digest_of_source(source))
            for kind, source in (("groups", self.groups), ("pairs", self.pairs))
            if source is not None
        ]


def _digest_of_source(source: str) -> str:
    return digest_of_file(source) if Path(source).is_file() else source


@dataclass(frozen=True)
class _Matching:
    """Which images match: by label, or by pairs of rows; neither for PCA.

    Attributes:
        labels: ``(n,)`` int64 of each row of the features, -1 for none.
        pairs: ``(p, 2)`` int64 rows of the features, each unordered pair once.
    """

    labels: np.ndarray | None = None
    pairs: np.ndarray | None = None


def run(
    features: str,
    output: str | Path,
    options: FitOptions,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Learn a whitening from features that are not whitened yet.

    Returns:
        The path of the ``whitening`` artifact.

    Raises:
        RrtoolError: the features are whitened or do not vary; there are no matching images, or
            they are not among the features; ``dim`` is more than the features have.
    """
    with open_artifact(features, "features") as source:
        require_unwhitened(source)
        n_dimensions = source.shape("descriptors")[1]
        _require_dim(options.dim, n_dimensions, source.path)
        matching = _read_matching(options, source.read_texts("names"))
        provenance = Provenance(
            "whitening",
            {"method": options.method, "dim": options.dim, "shrinkage": options.shrinkage},
            [source.as_input("features"), *options.records()],
            source.network,
        )
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            learned, facts = _learn(source, options, matching, progress)
            made = {key: source.options.get(key) for key in DESCRIPTION}
            return publish_whitening(
                target,
                learned.mean,
                learned.projection[: options.dim],
                learned.eigenvalues[: options.dim],
                {**facts, "made": made},
            )


def _require_dim(dim: int | None, limit: int, path: str) -> None:
    if dim is not None and dim > limit:
        raise UsageError(
            "--dim is more than the dimensions in which the features vary",
            where=path,
            expected=f"at most {limit}",
            found=dim,
        )


def _read_matching(options: FitOptions, names: list[str]) -> _Matching:
    if options.groups is not None:
        return _Matching(labels=_read_labels(options.groups, names))
    if options.pairs is not None:
        return _Matching(pairs=_read_pairs(Path(options.pairs), names))
    return _Matching()


def _read_labels(source: str, names: list[str]) -> np.ndarray:
    groups = cast(Groups, ground_truths.load(source, PROTOCOL))
    groups.resolve([], names)  # says which names have no label
    ids = {"": -1}
    labels = [ids.setdefault(groups.label_of(name) or "", len(ids)) for name in names]
    return np.array(labels, dtype=np.int64)


def _read_pairs(path: Path, names: list[str]) -> np.ndarray:
    table = list(read_table(path, ("first", "second")))
    if not table:
        raise UsageError("there are no pairs", where=path)
    entries = list(dict.fromkeys(name for _, pair in table for name in pair))
    rows = rows_of_entries(entries, names, where=str(path))
    unknown = [entry for entry, row in zip(entries, rows, strict=True) if row < 0]
    if unknown:
        raise UsageError(
            f"{len(unknown)} of {len(entries)} names are not among the features",
            where=path,
            expected=f"names such as {first_few(names)}",
            found=first_few(unknown),
        )
    row_of = dict(zip(entries, rows, strict=True))
    pairs = [(row_of[first], row_of[second]) for _, (first, second) in table]
    for (line, (name, _)), (first, second) in zip(table, pairs, strict=True):
        if first == second:
            raise UsageError(
                "a pair of an image with itself", where=f"{path}, line {line}", found=f"'{name}'"
            )
    return np.unique(np.sort(np.array(pairs, dtype=np.int64), axis=1), axis=0)


def _learn(
    features: Artifact, options: FitOptions, matching: _Matching, progress: Progress
) -> tuple[LearnedWhitening, dict[str, Any]]:
    """The whitening, and what it was learnt from."""
    vectors, usable = read_usable(features, progress)
    usable = usable & vectors.any(axis=1)
    descriptors = vectors[usable]
    facts: dict[str, Any] = {"method": options.method, "n_images": len(descriptors)}
    if options.method == "center":
        learned = fit_mean(descriptors)
    elif options.method == "pca":
        learned = fit_pca(descriptors, options.shrinkage)
    else:
        source = options.groups or options.pairs
        covariance, n_groups = _pair_covariance(matching, descriptors, usable, source, progress)
        try:
            learned = fit_supervised(descriptors, covariance, options.shrinkage)
        except ValueError as error:
            raise UsageError(str(error), where=source) from None
        facts |= {"n_pairs": covariance.n_pairs, "n_groups": n_groups}
        if covariance.n_independent < descriptors.shape[1]:
            progress.message(
                f"{covariance.n_independent} independent matching pairs are fewer than the"
                f" {descriptors.shape[1]} dimensions"
            )
    if learned.shrinkage:
        progress.message(
            f"the covariance is shrunk towards a multiple of the identity,"
            f" λ = {learned.shrinkage:.3g}"
        )
    if not learned.rank:
        raise ArtifactError(
            "too few different descriptors to learn a whitening from",
            where=features.path,
            expected="at least two",
        )
    if options.dim != len(learned.projection):
        _require_dim(options.dim, learned.rank, features.path)
    n_dimensions = descriptors.shape[1]
    if options.dim is None and len(learned.projection) < n_dimensions:
        progress.message(
            f"kept {learned.rank} of {n_dimensions} dimensions: the features vary in no other"
        )
    return learned, {**facts, "shrinkage": learned.shrinkage}


def _pair_covariance(
    matching: _Matching,
    descriptors: np.ndarray,
    usable: np.ndarray,
    source: str | None,
    progress: Progress,
) -> tuple[PairCovariance, int | None]:
    """C_1 of the usable descriptors, and the number of groups with at least two of them."""
    n_groups = None
    if matching.labels is not None:
        labels = matching.labels[usable]
        covariance = covariance_of_groups(descriptors, labels)
        n_groups = int((np.unique(labels[labels >= 0], return_counts=True)[1] > 1).sum())
    else:
        all_pairs = cast(np.ndarray, matching.pairs)
        pairs = all_pairs[usable[all_pairs].all(axis=1)]
        if len(pairs) < len(all_pairs):
            n_lost = len(all_pairs) - len(pairs)
            progress.message(f"{n_lost} of {len(all_pairs)} pairs have an image without descriptor")
        covariance = covariance_of_pairs(descriptors, (np.cumsum(usable) - 1)[pairs])
    if not covariance.n_pairs:
        raise UsageError("no two images with a descriptor match", where=source)
    return covariance, n_groups
