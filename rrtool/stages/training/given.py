"""What a network is to learn from: photos in groups, or tuples that name their photos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import InputRecord, Tuples, open_artifact, source_input
from rrtool.errors import OptionError, UsageError
from rrtool.files import open_regular
from rrtool.ground_truth.groups import PROTOCOL, Groups
from rrtool.ground_truth.names import first_few
from rrtool.images.collection import Collection, collect
from rrtool.progress import Progress
from rrtool.stages.learning.frozen.photos import paths_of
from rrtool.stages.training.train_options import TrainOptions
from rrtool.training.retrieval.examples import Examples

_STREAM = 7  # of the seed, for what is held out
_HDF5 = b"\x89HDF\r\n\x1a\n"
NO_PAIRS = np.zeros((0, 2), np.int32)
MOVED = "say with --images where they are"


@dataclass(frozen=True)
class Given:
    """Photos and what is known of them.

    Attributes:
        names: of the photos.
        paths: where they are; None where one is not there.
        groups: ``(n,)`` int32; photos of one group show the same; below 0: no part of it.
        pairs: ``(p, 2)`` int32 rows, query and positive; none where they are drawn from the groups.
        inputs: records for the provenance.
        skipped, passed_over: see ``Collection``.
    """

    names: list[str]
    paths: list[str | None]
    groups: np.ndarray
    pairs: np.ndarray
    inputs: list[InputRecord]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def read_given(options: TrainOptions, progress: Progress) -> Given:
    """What the options name.

    Raises:
        RrtoolError: it cannot be read, or does not say which photos show the same.
    """
    return _tuples(options) if _is_artifact(options.examples) else _photos(options, progress)


def _is_artifact(source: str) -> bool:
    """By content: a list of photos is text."""
    if not os.path.isfile(source):
        return False
    try:
        with open_regular(source) as file:
            return file.read(len(_HDF5)) == _HDF5
    except OSError:
        return False  # whoever reads the list says why


def _tuples(options: TrainOptions) -> Given:
    """Tuples, and their photos where these are."""
    if options.groups is not None:
        raise OptionError(
            "tuples say themselves which photos show the same", option="groups",
            found=options.groups, todo="leave out --groups",
        )  # fmt: skip
    with open_artifact(options.examples, Tuples) as tuples:
        groups, pairs = tuples.checked()
        names, source = tuples.names, options.images or tuples.images
        if not source:
            what = "these tuples do not say where their photos are"
            raise UsageError(what, where=tuples.path, expected="--images")
        collection = _photos_of_tuples(source, options)
        paths = paths_of(names, collection)
        if not any(path is not None and groups[row] >= 0 for row, path in enumerate(paths)):
            raise UsageError(
                "not one of the photos of the tuples is there", where=source,
                expected=first_few(names), found=first_few(collection.names) or "no photos",
                todo=None if options.images else MOVED,
            )  # fmt: skip
        inputs = [tuples.as_input("tuples"), *collection.inputs, *_rules(options)]
        return Given(names, paths, groups, pairs, inputs)


def _photos_of_tuples(source: str, options: TrainOptions) -> Collection:
    """What lies where the tuples say, unless ``--images`` says otherwise."""
    try:
        return collect(source)
    except UsageError as error:
        if options.images is not None:
            raise
        raise UsageError(
            "the photos of the tuples are not where these say", where=source, found=error.found,
            todo=MOVED,
        ) from None  # fmt: skip


def _photos(options: TrainOptions, progress: Progress) -> Given:
    if options.groups is None:
        raise UsageError(
            "it is not known which of these photos show the same", where=options.examples,
            expected="--groups, or tuples from rrtool mine", found="photos alone",
        )  # fmt: skip
    collection = collect(options.examples)
    truth = cast(Groups, ground_truths.load(options.groups, PROTOCOL))
    truth.resolve([], collection.names, tell=progress.message)
    return Given(
        collection.names,
        list(collection.paths),
        numbered(truth.labels(collection.names)),
        NO_PAIRS,
        [*collection.inputs, *_rules(options)],
        collection.skipped,
        collection.passed_over,
    )


def _rules(options: TrainOptions) -> list[InputRecord]:
    given = {"groups": options.groups, "validate": options.validate}
    return [source_input(role, rule) for role, rule in given.items() if rule is not None]


def numbered(labels: Sequence[str]) -> np.ndarray:
    """``(n,)`` int32: a number a label; each empty label, of a distractor, has its own."""
    known: dict[object, int] = {}
    numbers = [known.setdefault(label or i, len(known)) for i, label in enumerate(labels)]
    return np.array(numbers, dtype=np.int32)


def examples_of(given: Given, options: TrainOptions) -> Examples:
    """What is trained on, and what is held out.

    Raises:
        UsageError: there are no tuples in it, or nothing to validate on.
    """
    held_out, held_groups = _held_out(given, options)
    groups = given.groups.copy()
    groups[held_out] = -1
    pairs = given.pairs[(groups[given.pairs] >= 0).all(axis=1)]
    _require_tuples(groups, pairs, given, options)
    return Examples(groups, pairs, held_out, held_groups, options.validation_scales)


def _require_tuples(
    groups: np.ndarray, pairs: np.ndarray, given: Given, options: TrainOptions
) -> None:
    where, sizes = options.groups or options.examples, _sizes(groups)
    advice = ground_truths.groups.ADVICE if options.groups else None
    left = ""
    if options.validate and _could_be_learnt(given.groups, given.pairs):
        left, where = " that --validate leaves", options.validate
        advice = "hold fewer groups out"
    if not len(pairs) and not (sizes > 1).any():
        raise UsageError(
            f"no two of the photos{left} show the same: there is nothing to learn from",
            where=where, expected="a group of two or more",
            found=f"{len(sizes)} groups of one" if len(sizes) else "no photos", todo=advice,
        )  # fmt: skip
    if len(sizes) < 2:
        raise UsageError(
            f"all photos{left} are in one group: there are no negatives", where=where,
            expected="photos of two or more groups", found=f"{sizes.sum()} photos of one",
            todo=advice,
        )  # fmt: skip


def _sizes(groups: np.ndarray) -> np.ndarray:
    """Of the groups, how many photos each has."""
    return np.unique(groups[groups >= 0], return_counts=True)[1]


def _could_be_learnt(groups: np.ndarray, pairs: np.ndarray) -> bool:
    sizes = _sizes(groups)
    return len(sizes) > 1 and bool(len(pairs) or (sizes > 1).any())


def _held_out(given: Given, options: TrainOptions) -> tuple[np.ndarray, np.ndarray]:
    """Rows and groups of the photos that are not trained on."""
    if options.validate is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    share = share_in(options.validate)
    if share is not None:
        rows, groups = _drawn(given.groups, share, options.seed), given.groups
    else:
        truth = cast(Groups, ground_truths.load(options.validate, PROTOCOL))
        labels = truth.rule.labels(given.names)
        rows = np.flatnonzero([bool(label) for label in labels])
        groups = numbered([label or "" for label in labels])
    if _sizes(groups[rows]).max(initial=0) < 2:
        raise UsageError(
            "no two of the photos that --validate holds out show the same", where=options.validate,
            expected="a group of two or more", found=f"{len(rows)} photos",
        )  # fmt: skip
    return rows, groups[rows]


def share_in(text: str) -> float | None:
    """The share of the groups that ``--validate`` says; None where it is a rule.

    Raises:
        UsageError: a number, but no share.
    """
    try:
        share = float(text)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise UsageError("bad --validate", expected="a share between 0 and 1", found=text)
    return share


def _drawn(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Rows of a share of the groups that have two photos, one group at least."""
    members, sizes = np.unique(groups[groups >= 0], return_counts=True)
    candidates = members[sizes > 1]
    n = max(1, round(share * len(candidates)))
    generator = np.random.default_rng([seed, _STREAM])
    return np.flatnonzero(np.isin(groups, generator.permutation(candidates)[:n]))
