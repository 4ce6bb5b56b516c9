"""``rrtool train``: photos that show the same → a network whose descriptors say so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import OutputFile, Training, write_skipped_list
from rrtool.devices import resolve_device
from rrtool.errors import UsageError
from rrtool.images.folder import kinds_of
from rrtool.networks import Network
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, in_bytes
from rrtool.stages.driver import Wanted, make
from rrtool.stages.learning.training_run import TrainingRun
from rrtool.stages.memory import free_memory
from rrtool.stages.training.given import Given, examples_of, read_given
from rrtool.stages.training.photos import KeptPhotos, bytes_of_photo, out_of_memory
from rrtool.stages.training.train_options import POOLINGS, TrainOptions
from rrtool.stages.training.weights import require_replaceable, settle, write_weights
from rrtool.training.retrieval.encoder import Encoder
from rrtool.training.retrieval.examples import Examples
from rrtool.training.retrieval.learner import SCORE, RetrievalLearner
from rrtool.training.retrieval.masks import PairMasks
from rrtool.training.retrieval.trainable import Trainable
from rrtool.training.retrieval.whitening import whitening_layer

_GB = 1_000_000_000
_FAILURES = "failures"
_COPIES = 5  # of the parameters: gradients, two moments, and the best so far


class _Checkpoints(TrainingRun):
    """Those of a run that may have gone further than it is to go now.

    Args:
        photos: what of them could not be used is kept too.
    """

    def __init__(self, output: OutputFile, epochs: int, photos: KeptPhotos) -> None:
        super().__init__(output)
        self._epochs, self._photos = epochs, photos

    def load(self) -> dict[str, np.ndarray] | None:
        state = super().load()
        if state is None or int(state["epoch"]) > self._epochs:
            self.log = []
            return None
        failures = json.loads(state.pop(_FAILURES).tobytes())
        self._photos.failures.update({int(row): why for row, why in failures.items()})
        return state

    def save(self, state: dict[str, np.ndarray]) -> None:
        failures = json.dumps(self._photos.failures).encode()
        super().save({**state, _FAILURES: np.frombuffer(failures, np.uint8)})


@dataclass(frozen=True)
class Trained:
    """What a training leaves.

    Attributes:
        path: of the weights.
        record: of the ``training`` artifact.
    """

    path: Path
    record: Path


def run(options: TrainOptions, progress: Progress) -> Trained:
    """Train a network; its weights and their record are published together.

    Raises:
        RrtoolError: see ``read_given``, ``load_network``, ``RetrievalLearner.fit`` and
            ``artifacts.create``.
    """
    options = replace(options, device=resolve_device(options.device))
    given = read_given(options, progress)
    examples = examples_of(given, options)
    trainable = Trainable.load(
        options.network, options.weights, seed=options.seed, device=options.device,
        train_from=options.train_from,
    )  # fmt: skip
    network = trainable.network
    exponent = exponent_of(network, options)
    _tell_of_weights(network, options, progress)
    settings = {**options.settings(), "pool": "mac" if exponent is None else "gem"}
    settle(options)
    record = make(
        options,
        Wanted(options.record_path, Training, settings, grows=("epochs",)),
        lambda outputs: _train(outputs[0], given, examples, trainable, options, progress),
        progress,
        amount=lambda outputs: _amount(trainable, given, options),
        inputs=given.inputs,
        network=network.describe(),
        device=options.device,
    )
    return Trained(Path(options.output), record)


def _tell_of_weights(network: Network, options: TrainOptions, progress: Progress) -> None:
    """What of a weights file was chosen, converted or left out.

    Raises:
        UsageError: it whitens before or within its pooling, which is not trained here.
    """
    head = network.head
    if head.local is not None or head.regional is not None:
        raise UsageError(
            "a checkpoint that whitens positions or regions cannot be trained",
            where=network.weights, todo="start from weights of the network alone",
        )  # fmt: skip
    for note in network.notes:
        progress.message(f"{network.weights} {note}")
    if head.projection is not None or head.whitenings:
        todo = "" if options.whiten else ": learn another by --whiten"
        what = f"{network.weights} has a whitening, which does not go with new weights{todo}"
        progress.message(what)


def exponent_of(network: Network, options: TrainOptions) -> torch.Tensor | None:
    """The exponent of GeM that training begins with; None of maximum pooling.

    Raises:
        UsageError: the checkpoint has another pooling.
    """
    method = options.pool or network.head.pooling or "gem"
    if method not in POOLINGS:
        raise UsageError(
            "the checkpoint's pooling cannot be trained", expected=" or ".join(POOLINGS),
            found=method, todo="choose one by --pool",
        )  # fmt: skip
    if method == "mac":
        return None
    if options.gem_exponent is None and network.head.exponent is not None:
        return network.head.exponent
    return torch.tensor([options.gem_exponent or 3.0])


def _train(
    output: OutputFile, given: Given, examples: Examples, trainable: Trainable,
    options: TrainOptions, progress: Progress,
) -> None:  # fmt: skip
    path = Path(options.output)
    require_replaceable(path, output.folder.key, options.overwrite)
    photos = KeptPhotos(given.paths, trainable, options, _limit(options))
    training = _Checkpoints(output, options.epochs, photos)
    masks = PairMasks() if options.spatial else None
    encoder = Encoder(trainable, exponent_of(trainable.network, options), photos, masks)
    n_tuples = examples.n_pairs_of_epoch(options.queries)
    with progress.task("train", n_tuples * options.epochs, "tuples") as advance:
        n_shown = 0

        def on_batch(epoch: int, n_done: int) -> None:
            nonlocal n_shown
            advance((epoch - 1) * n_tuples + n_done - n_shown)  # with those before a kill
            n_shown = (epoch - 1) * n_tuples + n_done

        def on_epoch(phase: str, epoch: int, facts: Mapping[str, float]) -> None:
            training.log.append({"phase": phase, "epoch": epoch, **facts})
            on_batch(epoch + 1, 0)  # those of photos that cannot be read were passed over
            progress.message(_told(epoch, facts, photos.n_bytes))

        learner = RetrievalLearner(
            encoder, examples, options, checkpoint=training, on_epoch=on_epoch, on_batch=on_batch
        )  # fmt: skip
        try:
            learner.fit()
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error) from None
    if learner.best_epoch < options.epochs:
        progress.message(f"the network is that of epoch {learner.best_epoch}, the best of all")
    tensors = encoder.tensors()
    if options.whiten:
        tensors |= whitening_layer(encoder, examples, options.pool_size)
    meta = {**_meta(encoder, options), "run": output.folder.key,
            "training": {"epoch": learner.best_epoch, **options.settings()}}  # fmt: skip
    digest = write_weights(path, tensors, meta)
    facts = {"log": training.log, "best_epoch": learner.best_epoch, "weights": path.name,
             "weights_digest": digest, "seconds": training.seconds()}  # fmt: skip
    _publish(output, given, examples, photos.failures, facts)


def _told(epoch: int, facts: Mapping[str, float], n_bytes: int) -> str:
    """An epoch in a line."""
    parts = []
    if "loss" in facts:
        parts.append(f"loss {facts['loss']:.4g} over {facts['n_tuples']:.0f} tuples")
    if SCORE in facts:
        parts.append(f"mAP {100 * facts[SCORE]:.2f} on the photos held out")
    if "exponent" in facts:
        parts.append(f"exponent {facts['exponent']:.3f}")
    if epoch == 1:
        parts.append(f"{in_bytes(n_bytes)} of photos or maps kept in memory")
    return f"{f'epoch {epoch}' if epoch else 'before training'}: {', '.join(parts)}"


def _meta(encoder: Encoder, options: TrainOptions) -> dict[str, Any]:
    """What extract reads in a retrieval checkpoint."""
    network = encoder.trainable.network
    return {
        "architecture": network.name,
        "pooling": "mac" if encoder.exponent is None else "gem",
        "mean": list(network.mean),
        "std": list(network.std),
        "local_whitening": False,
        "regional": False,
        "whitening": options.whiten,
    }


def _publish(
    output: OutputFile, given: Given, examples: Examples, failures: Mapping[int, str],
    facts: Mapping[str, Any],
) -> None:  # fmt: skip
    """The record, and the list of what was skipped."""
    n = len(given.names)
    reasons = [failures.get(row, "") for row in range(n)]
    failed = [(name, why) for name, why in zip(given.names, reasons, strict=True) if why]
    skipped = given.skipped + failed
    write_skipped_list(output.path, skipped + given.passed_over)
    held_out = np.full(n, -1, np.int32)
    held_out[examples.held_out] = examples.held_out_groups
    output.publish(
        Training.columns(
            names=given.names,
            reasons=reasons,
            status=np.array([bool(why) for why in reasons], np.uint8),
            groups=examples.groups,
            held_out=held_out,
        ),
        extra={
            **facts,
            "n_skipped": len(skipped),
            "n_failed_rows": len(failed),
            "passed_over": kinds_of(given.passed_over),
        },
    )


def _limit(options: TrainOptions) -> int:
    """Bytes of photos and maps that may be kept."""
    return free_memory() // 2 if options.keep is None else int(options.keep * _GB)


def _amount(trainable: Trainable, given: Given, options: TrainOptions) -> Amount:
    """Photos or maps that are kept, and the parameters; an image's maps are not counted."""
    kept = len(given.names) * bytes_of_photo(trainable, options.image_size)
    n_parameters = sum(each.numel() for each in trainable.trained.values())
    memory = min(_limit(options), kept) + 4 * _COPIES * n_parameters
    return Amount(len(given.names), "photos", memory)
