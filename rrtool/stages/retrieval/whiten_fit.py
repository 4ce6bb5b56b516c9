"""``rrtool whiten fit``: features and matching images → a whitening (thesis §5.3.5)."""

from pathlib import Path
from typing import Any, cast

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import OutputFile, Regions, Whitening, source_input
from rrtool.core.retrieval.whitening import (
    LearnedWhitening,
    PairCovariance,
    covariance_of_groups,
    covariance_of_pairs,
    fit_mean,
    fit_pca,
    fit_supervised,
)
from rrtool.errors import ArtifactError, OptionError, UsageError
from rrtool.ground_truth.groups import PROTOCOL, Groups
from rrtool.ground_truth.names import first_few, rows_of_entries
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import as_inputs, make
from rrtool.stages.retrieval.descriptors import (
    DESCRIPTION,
    Described,
    open_described,
    read_descriptors,
)
from rrtool.stages.retrieval.options import WhitenFitOptions
from rrtool.stages.retrieval.whitening import require_unwhitened, whitening_columns
from rrtool.tables import read_table


def run(options: WhitenFitOptions, progress: Progress) -> Path:
    """Learn a whitening from features that are not whitened yet.

    ``--method supervised`` is eq. 5.11–5.12; ``center`` only learns the mean.

    Raises:
        RrtoolError: the features are whitened or do not vary; there are no matching images, or
            they are not among the features; ``--dim`` is more than the features have.
    """
    with open_described(options.features) as features:
        require_unwhitened(features)
        _require_images(features, options)
        _require_dim(options.dim, features.lengths["d"], features.path)
        matching = _read_matching(options, features.names, progress)

        def work(outputs: list[OutputFile]) -> None:
            learned, facts = _learn(features, options, matching, progress)
            made = {key: features.options.get(key) for key in DESCRIPTION}
            kept = slice(options.dim)
            columns = whitening_columns(
                learned.mean, learned.projection[kept], learned.eigenvalues[kept]
            )
            outputs[0].publish(columns, extra={**facts, "made": made})

        inputs = as_inputs(features=features)
        inputs += [source_input(role, path) for role, path in options.of_role("file").items()]
        return make(
            options, Whitening, work, progress, amount=lambda outputs: _amount(features),
            inputs=inputs, network=features.network,
        )  # fmt: skip


def _amount(features: Described) -> Amount:
    """The descriptors twice, and some matrices of their dimensions."""
    n, d = features.lengths["n"], features.lengths["d"]
    return Amount(n, "images", 8 * features.lengths.get("r", n) * d + 40 * d * d)


def _require_images(features: Described, options: WhitenFitOptions) -> None:
    """What is told of images says nothing of their regions."""
    if isinstance(features, Regions) and options.method == "supervised":
        raise UsageError(
            "images match, not their regions", where=features.path, expected="features",
            found="regions", todo="use --method pca or center, or features of whole images",
        )  # fmt: skip


def _require_dim(dim: int | None, limit: int, path: str) -> None:
    if dim is not None and dim > limit:
        raise OptionError(
            "--dim is more than the dimensions in which the features vary",
            option="dim", where=path, expected=f"at most {limit}", found=dim,
        )  # fmt: skip


def _read_matching(
    options: WhitenFitOptions, names: list[str], progress: Progress
) -> np.ndarray | None:
    """Which images match: ``(n,)`` labels of the rows, or ``(p, 2)`` pairs of rows."""
    if options.groups is not None:
        return _read_labels(options.groups, names, progress)
    return None if options.pairs is None else _read_pairs(Path(options.pairs), names)


def _read_labels(source: str, names: list[str], progress: Progress) -> np.ndarray:
    """``(n,)`` int64, −1 for none."""
    groups = cast(Groups, ground_truths.load(source, PROTOCOL))
    groups.resolve([], names, tell=progress.message)
    ids = {"": -1}
    labels = [ids.setdefault(label, len(ids)) for label in groups.labels(names)]
    return np.array(labels, dtype=np.int64)


def _read_pairs(path: Path, names: list[str]) -> np.ndarray:
    """``(p, 2)`` int64, each unordered pair once."""
    table = read_table(path, ("first", "second")).rows
    if not table:
        raise UsageError("there are no pairs", where=path)
    entries = list(dict.fromkeys(name for _, pair in table for name in pair))
    rows = rows_of_entries(entries, names, where=str(path))
    unknown = [entry for entry, row in zip(entries, rows, strict=True) if row < 0]
    if unknown:
        raise UsageError(
            f"{len(unknown)} of {len(entries)} names are not among the features", where=path,
            expected=f"names such as {first_few(names)}", found=first_few(unknown),
        )  # fmt: skip
    row_of = dict(zip(entries, rows, strict=True))
    pairs = [(row_of[first], row_of[second]) for _, (first, second) in table]
    for (line, (name, _)), (first, second) in zip(table, pairs, strict=True):
        if first == second:
            raise UsageError(
                "a pair of an image with itself", where=f"{path}, line {line}", found=f"'{name}'"
            )
    return np.unique(np.sort(np.array(pairs, dtype=np.int64), axis=1), axis=0)


def _learn(
    features: Described, options: WhitenFitOptions, matching: np.ndarray | None, progress: Progress
) -> tuple[LearnedWhitening, dict[str, Any]]:
    """The whitening, and what it was learnt from."""
    found = read_descriptors(features, progress)
    usable = found.usable & found.vectors.any(axis=1)
    descriptors = found.vectors[usable]
    facts: dict[str, Any] = {"method": options.method, "n_images": len(descriptors)}
    if options.method == "center":
        learned = fit_mean(descriptors)
    elif options.method == "pca":
        learned = fit_pca(descriptors, options.shrinkage)
    elif matching is not None:
        learned, counts = _learn_supervised(descriptors, usable, options, matching, progress)
        facts |= counts
    _check_rank(learned, features, options.dim, progress)
    return learned, {**facts, "shrinkage": learned.shrinkage}


def _learn_supervised(
    descriptors: np.ndarray,
    usable: np.ndarray,
    options: WhitenFitOptions,
    matching: np.ndarray,
    progress: Progress,
) -> tuple[LearnedWhitening, dict[str, Any]]:
    source = options.groups or options.pairs
    covariance, n_groups = _pair_covariance(matching, descriptors, usable, source, progress)
    try:
        learned = fit_supervised(descriptors, covariance, options.shrinkage)
    except ValueError as error:
        raise UsageError(str(error), where=source) from None
    if covariance.n_independent < descriptors.shape[1]:
        progress.message(
            f"{covariance.n_independent} independent matching pairs are fewer than the"
            f" {descriptors.shape[1]} dimensions"
        )
    return learned, {"n_pairs": covariance.n_pairs, "n_groups": n_groups}


def _check_rank(
    learned: LearnedWhitening, features: Described, dim: int | None, progress: Progress
) -> None:
    """Say what of the features it covers.

    Raises:
        RrtoolError: the features vary in fewer dimensions than are asked for, or in none.
    """
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
    if dim != len(learned.projection):
        _require_dim(dim, learned.rank, features.path)
    n_dimensions = features.lengths["d"]
    if dim is None and len(learned.projection) < n_dimensions:
        progress.message(
            f"kept {learned.rank} of {n_dimensions} dimensions: the features vary in no other"
        )


def _pair_covariance(
    matching: np.ndarray,
    descriptors: np.ndarray,
    usable: np.ndarray,
    source: str | None,
    progress: Progress,
) -> tuple[PairCovariance, int | None]:
    """C_1 of the usable descriptors, and the number of groups with at least two of them."""
    n_groups = None
    if matching.ndim == 1:
        labels = matching[usable]
        covariance = covariance_of_groups(descriptors, labels)
        n_groups = int((np.unique(labels[labels >= 0], return_counts=True)[1] > 1).sum())
    else:
        pairs = matching[usable[matching].all(axis=1)]
        if len(pairs) < len(matching):
            n_lost = len(matching) - len(pairs)
            progress.message(f"{n_lost} of {len(matching)} pairs have an image without descriptor")
        covariance = covariance_of_pairs(descriptors, (np.cumsum(usable) - 1)[pairs])
    if not covariance.n_pairs:
        raise UsageError("no two images with a descriptor match", where=source)
    return covariance, n_groups
