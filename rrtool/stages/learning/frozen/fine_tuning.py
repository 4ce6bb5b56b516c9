"""--fine-tune: the last stage of the network learns on, from its own weights, on photos.

SEMI (thesis §3.3) with the frozen classifier in the place of SUP and LP: photos with labels count
1, those that it is sure of by its certainty (3.10), with the class that it says. Maps of the layers
before the last stage are made once, so that an epoch is one of the last stage alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from rrtool.artifacts import AlState
from rrtool.core.learning.few_labels import directions, fit_ridges
from rrtool.core.learning.label_propagation import certainty
from rrtool.errors import UsageError, WorkFailed
from rrtool.images.decode import ImageError, decode_image
from rrtool.images.prefetch import default_workers, prefetch
from rrtool.networks import Network, load_network
from rrtool.progress import Progress
from rrtool.stages.activations.sources import activation_maps
from rrtool.stages.learning.frozen.photos import TUNED, Photos
from rrtool.stages.learning.model import Model
from rrtool.stages.learning.options import AlCycleOptions
from rrtool.stages.learning.training_run import TrainingRun
from rrtool.training.checkpoint import load_parameters, parameters_of
from rrtool.training.last_stage import LastStage, split_at_last_stage, tune

_SURE = 0.5  # certainty from which on what the frozen classifier says is learnt from
_STRENGTH = 1.0  # of the ridge that the classifier begins with
_STREAM = 6  # of the seed
_OVERSIZE = 2  # decoded larger than needed, so that the last reduction sees all pixels that matter
_BATCH, _AHEAD = 32, 64
_NEEDED = {"network": str, "weights": str, "upsample": bool, "seed": int}  # to load a network


@dataclass(frozen=True)
class Pretrained:
    """A network in two.

    Attributes:
        before: up to its last stage.
        body: the last stage, with the network's own weights.
        side: of the squares that photos are brought to, in pixels.
        device: where both are.
        workers: threads that decode; 0 chooses.
    """

    before: Network
    body: torch.nn.Sequential
    side: int
    device: str
    workers: int = 0

    @staticmethod
    def of(photos: Photos, side: int, device: str, workers: int = 0) -> Pretrained:
        """The network that the features of photos are of.

        Raises:
            UsageError: the features don't say which it was, its weights are others by now, or it
                has no last stage.
        """
        asked = photos.asked
        if any(not isinstance(asked.get(name), kind) for name, kind in _NEEDED.items()):
            what = "these features do not say how to load their network"
            raise UsageError(what, expected="features from extract", found="--fine-tune")
        network = load_network(
            asked["network"], asked["weights"], upsample=asked["upsample"], seed=asked["seed"],
            device=device,
        )  # fmt: skip
        made_by = photos.described_by.get("weights_digest")
        if network.weights_digest != made_by:
            raise UsageError(
                "the network has other weights than those that made the features",
                where=asked["weights"], expected=made_by, found=network.weights_digest,
            )  # fmt: skip
        before, body = split_at_last_stage(network.backbone)
        return Pretrained(replace(network, backbone=before), body, side, device, workers)

    def batches(
        self, paths: Sequence[str | None], progress: Progress
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of photos that can be read: their places, and what the layers before the last stage give.

        Yields:
            ``(b,)`` int64 and ``(b, k, h, w)`` float16.
        """

        def decode(path: str | None) -> np.ndarray | None:
            return None if path is None else squared(path, self.side)

        decoded = prefetch(decode, paths, self.workers or default_workers(self.device), _AHEAD)
        waiting: dict[int, np.ndarray] = {}
        with progress.task("photos", len(paths), "images") as advance:
            for place, pixels in enumerate(decoded):
                if pixels is not None:
                    waiting[place] = pixels
                if waiting and (len(waiting) == _BATCH or place == len(paths) - 1):
                    yield np.array(list(waiting)), self._maps(np.stack(list(waiting.values())))
                    waiting = {}
                advance(1)

    def _maps(self, pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).to(self.device)
            (found,) = activation_maps(self.before, batch, (1.0,))
        return found.half().cpu().numpy()

    def stage(self, n_classes: int) -> LastStage:
        """The last stage with a classifier on it."""
        return LastStage(self.body, self.before.n_channels, n_classes).to(self.device)


def squared(path: str, side: int) -> np.ndarray | None:
    """All of a photo in a square, ``(side, side, 3)`` uint8; None where it cannot be read."""
    try:
        pixels = decode_image(path, _OVERSIZE * side).pixels
    except ImageError:
        return None
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Tuned:
    """A network whose last stage has learnt on."""

    pretrained: Pretrained
    stage: LastStage

    @staticmethod
    def of(state: AlState, photos: Photos, device: str) -> Tuned:
        """That of a state.

        Raises:
            ArtifactError: its parameters do not fit the network.
            UsageError: see ``Pretrained.of``.
        """
        side = state.options.get("image_size")
        if not isinstance(side, int):
            raise state.damaged(side, "the image_size of what was fine-tuned")
        pretrained = Pretrained.of(photos, side, device)
        stage = pretrained.stage(len(state.class_names))
        known = state.parameters.items()
        parameters = {n.removeprefix(TUNED): v for n, v in known if n.startswith(TUNED)}
        try:
            load_parameters(stage, parameters)
        except UsageError:
            raise state.damaged("parameters of another network than its own") from None
        return Tuned(pretrained, stage)

    def parameters(self) -> dict[str, np.ndarray]:
        """For a state."""
        return {TUNED + name: values for name, values in parameters_of(self.stage).items()}

    def told(
        self, paths: Sequence[str | None], otherwise: np.ndarray, progress: Progress
    ) -> np.ndarray:
        """Probabilities ``(n, c)`` float32 of photos; ``otherwise`` of what cannot be read."""
        probabilities = otherwise.copy()
        for places, maps in self.pretrained.batches(paths, progress):
            probabilities[places] = self.stage.probabilities(maps)
        return probabilities


def fine_tune(
    model: Model,
    photos: Photos,
    known: tuple[np.ndarray, np.ndarray],
    options: AlCycleOptions,
    training: TrainingRun,
    progress: Progress,
) -> tuple[Tuned, Model]:
    """Train the last stage on labels and on what the frozen model is sure of.

    Args:
        model: the frozen one.
        known: ids and labels.

    Returns:
        The network, and the model with its probabilities in place of those of the frozen one,
        which stay where an image has no photo.

    Raises:
        RrtoolError: see ``Pretrained.of`` and ``tune``; or no labelled image has a photo.
    """
    pretrained = Pretrained.of(photos, options.image_size, options.device, options.workers)
    found = list(pretrained.batches(photos.paths, progress))
    rows = np.concatenate([np.zeros(0, np.int64), *(places for places, _ in found)])
    ids, labels, weights = learnt_from(model.probabilities, *known, rows)
    if not np.isin(known[0], rows).any():
        raise WorkFailed("no labelled image has a photo that can be read", found="--fine-tune")
    maps = np.concatenate([batch for _, batch in found])
    del found
    n_classes = model.probabilities.shape[1]
    stage = pretrained.stage(n_classes)
    pooled, own = stage.in_batches(stage.pooled, maps), np.searchsorted(rows, ids)
    center = pooled.mean(axis=0)
    # A classifier of random weights would spoil the stage before it is any good itself.
    vectors = directions(pooled, center)
    (ridge,) = fit_ridges(vectors, own, labels, weights, n_classes, (_STRENGTH,))
    stage.begin(center, ridge)
    seed = int(np.random.default_rng([options.seed, _STREAM]).integers(2**31))
    with progress.task("fine-tune", options.epochs, "epochs") as advance:
        tune(stage, maps[own], labels, weights, options, seed, training.recorder(advance))
    tuned, probabilities = Tuned(pretrained, stage), model.probabilities.copy()
    probabilities[rows] = stage.probabilities(maps)
    return tuned, model.changed(
        probabilities=probabilities,
        parameters={**model.parameters, **tuned.parameters()},
        facts={**model.facts, "n_fine_tuned_on": len(ids)},
    )  # fmt: skip


def learnt_from(
    probabilities: np.ndarray, labeled_ids: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, classes and weights: labels, then what the frozen classifier is sure of.

    Args:
        probabilities: ``(n, c)``, what it says.
        rows: ``(m,)``, those that have a photo.
    """
    has_photo = np.zeros(len(probabilities), bool)
    has_photo[rows] = True
    sure = certainty(probabilities)
    is_new = has_photo & (sure >= _SURE)
    is_new[labeled_ids] = False
    new, known = np.flatnonzero(is_new), has_photo[labeled_ids]
    ids = np.concatenate([labeled_ids[known], new])
    told = np.concatenate([labels[known], probabilities[new].argmax(axis=1)])
    return ids, told, np.concatenate([np.ones(known.sum()), sure[new]]).astype(np.float32)
