"""``rrtool al-pretrain``: images → parameters of a network that has learnt without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rrtool.artifacts import Provenance, create, encode_texts
from rrtool.datasets import Dataset, load_dataset
from rrtool.devices import resolve_device
from rrtool.errors import UsageError, WorkFailed
from rrtool.images.decode import DEFAULT_MAX_PIXELS
from rrtool.progress import Progress
from rrtool.stages.activations.run import skipped_list_path, write_skipped_list
from rrtool.stages.learning.training_run import TrainingRun, parameter_datasets
from rrtool.training.checkpoint import State
from rrtool.training.pretraining import Pretrained, PretrainingOptions, pretrain


@dataclass(frozen=True)
class AlPretrainOptions:
    """Options of ``al-pretrain`` (METHODS §8).

    Attributes:
        pretraining: how to cluster and learn.
        n_classes: classes in the world; None where the data set knows them.
        image_size: width of the squares that photos become.
        limit: only the first so many images.
        max_pixels: larger photos are refused before they are decoded.
        workers: decoding threads, 0 = as many as cores.
        seed: of everything random.
    """

    pretraining: PretrainingOptions = field(default_factory=PretrainingOptions)
    n_classes: int | None = None
    image_size: int = 32
    limit: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_classes is not None and self.n_classes < 1:
            raise UsageError("bad --classes", expected="at least 1", found=self.n_classes)
        if self.seed < 0:
            raise UsageError("bad --seed", expected="at least 0", found=self.seed)

    def load(self, images: str, progress: Progress) -> Dataset:
        """The images."""
        return load_dataset(
            images,
            image_size=self.image_size,
            limit=self.limit,
            max_pixels=self.max_pixels,
            workers=self.workers,
            progress=progress,
        )


def run(
    images: str,
    output: str | Path,
    options: AlPretrainOptions,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Pre-train a network by DeepCluster on all images; no label is looked at.

    Returns:
        The path of the ``al-pretraining`` artifact.

    Raises:
        RrtoolError: see ``load_dataset``, ``pretrain`` and ``artifacts.create``.
    """
    device = resolve_device(options.pretraining.device)
    dataset = options.load(images, progress)
    n_classes = _n_classes(images, dataset, options)
    identity = {
        **options.pretraining.identity(),
        "classes": n_classes,
        "image_size": list(dataset.images.shape[1:]),
        "limit": options.limit,
        "seed": options.seed,
    }
    provenance = Provenance("al-pretraining", identity, dataset.inputs, device=device)
    with create(output, provenance, overwrite=overwrite) as target:
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return target.path
        skipped = dataset.all_skipped()
        write_skipped_list(target.path, skipped)
        _require_some(dataset, target.path)
        training = TrainingRun(target)
        learnt = _pretrain(dataset, n_classes, options, training, progress)
        extra = {
            "log": training.log,
            "n_reseeded": int(sum(entry["n_reseeded"] for entry in training.log)),
            "n_skipped": len(skipped),
            "n_failed_rows": int(dataset.status.sum()),
        }
        return target.publish(_datasets(dataset, learnt), extra=extra)


def _n_classes(images: str, dataset: Dataset, options: AlPretrainOptions) -> int:
    n_classes = options.n_classes or len(dataset.class_names)
    if not n_classes:
        raise UsageError(
            "the number of classes is not known",
            where=images,
            todo="say with --classes how many kinds of things there are, roughly",
        )
    return n_classes


def _require_some(dataset: Dataset, output: Path) -> None:
    if dataset.status.all():
        raise WorkFailed(
            f"not one of {len(dataset)} images could be used",
            where=output,
            todo=f"see {skipped_list_path(output)}",
        )


def _pretrain(
    dataset: Dataset,
    n_classes: int,
    options: AlPretrainOptions,
    training: TrainingRun,
    progress: Progress,
) -> Pretrained:
    with progress.task("pretrain", options.pretraining.epochs, "epochs") as advance:
        record = training.recorder(advance)

        def on_epoch(phase: str, epoch: int, facts: dict[str, float]) -> None:
            record(phase, epoch, facts)
            if facts["n_reseeded"]:
                progress.message(
                    f"epoch {epoch}: {facts['n_reseeded']:.0f} empty clusters were re-seeded"
                )

        return pretrain(
            dataset,
            n_classes,
            options.pretraining,
            options.seed,
            checkpoint=training,
            on_epoch=on_epoch,
        )


def _datasets(dataset: Dataset, learnt: Pretrained) -> State:
    return {
        **encode_texts(dataset.names, "names"),
        **encode_texts(dataset.reasons, "reasons"),
        "status": dataset.status,
        "assignments": learnt.assignments,
        **parameter_datasets(learnt.parameters),
    }
