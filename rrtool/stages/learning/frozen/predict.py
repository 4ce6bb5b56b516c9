"""``rrtool predict``: the classes of photos by a state on frozen features → a table, folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import AlState, Features, open_artifact, write_skipped_list
from rrtool.artifacts.compatibility import require_equal, require_same_network
from rrtool.devices import resolve_device
from rrtool.errors import UsageError, WorkFailed
from rrtool.files import is_same_file
from rrtool.images.collection import collect
from rrtool.progress import Progress
from rrtool.stages.amount import inputs_told
from rrtool.stages.learning.frozen.described import describe_as, require_features
from rrtool.stages.learning.frozen.model import Teller
from rrtool.stages.learning.frozen.options import PredictOptions
from rrtool.stages.learning.frozen.photos import TUNED, Photos, paths_of
from rrtool.stages.learning.frozen.sorting import sort_into
from rrtool.stages.reports.text_output import write_text
from rrtool.tables import read_lines, table_lines

TITLES = (
    "name", "class", "probability", "second", "second probability", "third", "third probability",
    "like anything labelled",
)  # fmt: skip
_SHOWN = 3


@dataclass(frozen=True)
class Predictions:
    """What a state says of photos.

    Attributes:
        path: of the table.
        n_skipped: photos that cannot be used, or could not be sorted.
    """

    path: Path
    n_skipped: int


@dataclass(frozen=True)
class _Told:
    """By photo: its name, the probability of each class, whether it is like what is known."""

    names: Sequence[str]
    class_names: Sequence[str]
    probabilities: np.ndarray
    is_like: np.ndarray

    def best(self) -> np.ndarray:
        """``(n, 3)`` classes, the most probable first; fewer where there are no more."""
        return np.argsort(-self.probabilities, axis=1, kind="stable")[:, :_SHOWN]

    def rows(self) -> Iterator[Sequence[object]]:
        """Of the table."""
        yield TITLES
        for row, (name, best) in enumerate(zip(self.names, self.best().tolist(), strict=True)):
            cells: list[object] = []
            for label in best:
                probability = round(float(self.probabilities[row, label]), 4)
                cells += [self.class_names[label], probability]
            cells += [None] * (2 * _SHOWN - len(cells))
            yield name, *cells, "yes" if self.is_like[row] else "no"


def run(options: PredictOptions, progress: Progress) -> Predictions:
    """Tell classes, and copy or link photos into a folder for each on request.

    Raises:
        RrtoolError: the state is not of frozen features, the photos are described by another
            network, a file is in the way, or not one photo can be used.
    """
    output = _checked_output(options)
    with open_artifact(options.state, AlState) as state:
        is_tuned = _require_able(state, options)
        if options.dry_run:
            _foretell(state, options, progress)
            return Predictions(output, 0)
        with open_artifact(_described(options, state, progress), Features) as features:
            _require_alike(state, features, progress)
            told, skipped = _tell(state, features)
            if is_tuned:
                told = _told_by_network(told, state, features, options, progress)
        _say_calibration(state, progress, is_tuned=is_tuned)
    n_unlike = int((~told.is_like).sum())
    if n_unlike:
        progress.message(f"{n_unlike} of {len(told.names)} photos are unlike anything labelled")
    if options.sort_into is not None:
        skipped += _sorted(told, options)
    write_skipped_list(output, skipped)
    write_text(output, table_lines(told.rows()))
    return Predictions(output, len(skipped))


def _require_able(state: AlState, options: PredictOptions) -> bool:
    """That the state can tell the classes of what is given; whether its network was fine-tuned.

    Raises:
        UsageError: it can't.
        ArtifactError: the state is damaged.
    """
    names = state.parameters.keys()
    if "exponents" not in names:
        raise UsageError(
            "this state cannot tell the classes of other photos", where=options.state,
            expected="a state with labels, from al-cycle --features or --frozen",
        )  # fmt: skip
    if AlState.features not in state:
        raise state.damaged("none", "parameters without features", "those of its images")
    is_tuned = any(name.startswith(TUNED) for name in names)
    if is_tuned and options.images.endswith(".h5"):
        raise UsageError(
            "the network of this state was fine-tuned, and looks at the photos themselves",
            where=options.state, expected="a folder of photos or a list of them",
            found=f"features ({options.images})",
            todo="give the photos, or a state that was made without --fine-tune",
        )  # fmt: skip
    return is_tuned


def _require_alike(state: AlState, features: Features, progress: Progress) -> None:
    """Raises ``ArtifactError`` where the features were not made as those of the state.

    That they were whitened about another mean is told: where photos have joined, it is hardly
    another.
    """
    require_same_network(state, features)
    require_equal("dimensions", state, state.lengths["d"], features, features.lengths["d"])
    about, center = state.extra.get("centred_on"), features.extra.get("centred_on")
    if about and center and about != center:
        like = state.input("features").path
        progress.message(
            f"{features.path} was whitened about another mean than the features of the state, "
            f"which may cost some points: extract --center {like} takes theirs"
        )


def _foretell(state: AlState, options: PredictOptions, progress: Progress) -> None:
    """What would be done; fails as the run would as far as that is known."""
    progress.message(f"predict would read {', '.join(inputs_told(options))}")
    if options.images.endswith(".h5"):
        with open_artifact(options.images, Features) as features:
            _require_alike(state, features, progress)
            n = features.lengths["n"]
    else:
        path, like = _features_path(options), state.input("features").path
        require_features(like)
        n = len(collect(options.images))
        standing = "brought up to date" if path.exists() else "made"
        progress.message(f"{path} (features) would be {standing}")
    standing = "replaced" if Path(options.output).exists() else "written"
    progress.message(f"{options.output} would be {standing}")
    if options.sort_into is not None:
        n_photos = len(collect(options.photos or options.images))
        how = "linked" if options.link else "copied"
        progress.message(f"{n_photos} photos would be {how} into folders in {options.sort_into}")
    progress.message(f"{n} images are to be worked on")


def _checked_output(options: PredictOptions) -> Path:
    output = Path(options.output)
    for given in (options.state, options.images):
        if is_same_file(output, given):
            raise UsageError("the output is an input", where=output)
    folder = Path(options.sort_into or output.parent)
    if is_same_file(output, folder) or (folder.exists() and not folder.is_dir()):
        raise UsageError("photos are sorted into a folder", where=folder, found="a file")
    if output.exists() and not options.overwrite and not _is_ours(output):
        raise UsageError(
            "the output exists and is no table of predictions", where=output,
            todo="use --overwrite to replace it, or choose another -o",
        )  # fmt: skip
    return output


def _is_ours(path: Path) -> bool:
    try:
        return read_lines(path)[:1] == [",".join(TITLES)]
    except UsageError:
        return False


def _features_path(options: PredictOptions) -> Path:
    return Path(options.output).with_suffix(".features.h5")


def _described(options: PredictOptions, state: AlState, progress: Progress) -> str:
    """Features of the photos, made as those of the state were where they are not given."""
    if options.images.endswith(".h5"):
        return options.images
    path, like = _features_path(options), state.input("features").path
    return describe_as(like, options.images, path, device=options.device, progress=progress)


def _tell(state: AlState, features: Features) -> tuple[_Told, list[tuple[str, str]]]:
    """What is told of the usable images, and names and reasons of the others."""
    descriptors, names = features.descriptors.astype(np.float32), features.names
    finite = np.isfinite(descriptors).all(axis=1)
    usable = np.flatnonzero((features.status == 0) & finite)
    if not len(usable):
        raise WorkFailed("not one image can be used", where=features.path)
    skipped = [
        (names[row], features.reasons[row] or "its descriptor is not finite")
        for row in np.setdiff1d(np.arange(len(names)), usable).tolist()
    ]
    parameters = state.parameters
    gamma = parameters.get("gamma", [3.0])[0]  # states before it was kept had the default
    teller = Teller(state.features, parameters, int(parameters["k"][0]), float(gamma))
    asked = descriptors[usable]
    is_like = teller.similarity_to_known(asked) >= parameters["usual_similarity"][0]
    told = _Told(
        [names[row] for row in usable.tolist()], state.class_names, teller.probabilities(asked),
        is_like,
    )  # fmt: skip
    return told, skipped


def _told_by_network(
    told: _Told, state: AlState, features: Features, options: PredictOptions, progress: Progress
) -> _Told:
    """With the probabilities of the network that was fine-tuned."""
    from rrtool.stages.learning.frozen.fine_tuning import Tuned  # and torch

    paths = paths_of(told.names, collect(options.images))
    photos = Photos(paths, features.asked.get("options", {}), state.network)
    tuned = Tuned.of(state, photos, resolve_device(options.device))
    return replace(told, probabilities=tuned.told(paths, told.probabilities, progress))


def _say_calibration(state: AlState, progress: Progress, *, is_tuned: bool) -> None:
    if is_tuned:
        progress.message("the probabilities of a network that was fine-tuned are not calibrated")
        return
    history: list[Mapping[str, Any]] = state.extra["history"]
    held_out = history[-1].get("held_out") if history else None
    if held_out is None:
        progress.message("too few labels to hold some out: the probabilities are not calibrated")
        return
    error = 100 * held_out["calibration_error"]
    progress.message(
        f"probabilities are calibrated by {held_out['n']} held-out labels; there they are off by "
        f"{error:.0f} points on average (expected calibration error)"
    )


def _sorted(told: _Told, options: PredictOptions) -> list[tuple[str, str]]:
    """Copies or links of the photos in folders of their classes; what could not be."""
    photos = collect(options.photos or options.images)
    paths = dict(zip(photos.names, photos.paths, strict=True))
    classes = [
        told.class_names[best[0]] if is_like else None
        for best, is_like in zip(told.best().tolist(), told.is_like.tolist(), strict=True)
    ]
    wanted = [
        (name, paths.get(name), label) for name, label in zip(told.names, classes, strict=True)
    ]
    return sort_into(Path(str(options.sort_into)), wanted, told.class_names, link=options.link)
