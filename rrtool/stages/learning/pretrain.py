"""``rrtool al-pretrain``: images → parameters of a network that has learnt without labels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rrtool.artifacts import AlPretraining, OutputFile, skipped_list_path, write_skipped_list
from rrtool.datasets import Dataset, load_dataset
from rrtool.devices import resolve_device
from rrtool.errors import UsageError, WorkFailed
from rrtool.images.folder import kinds_of
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Wanted, make
from rrtool.stages.learning.options import AlPretrainOptions
from rrtool.stages.learning.training_run import TrainingRun


def run(options: AlPretrainOptions, progress: Progress) -> Path:
    """Pre-train a network by DeepCluster on all images; no label is looked at.

    Returns:
        The path of the ``al-pretraining`` artifact.

    Raises:
        RrtoolError: see ``load_dataset``, ``pretrain`` and ``artifacts.create``.
    """
    options = replace(options, device=resolve_device(options.device))
    dataset = load_dataset(
        options.images,
        image_size=options.image_size,
        limit=options.limit,
        max_pixels=options.max_pixels,
        workers=options.workers,
        progress=progress,
    )
    n_classes = options.classes or len(dataset.class_names)
    if not n_classes:
        raise UsageError(
            "the number of classes is not known",
            where=options.images,
            todo="say with --classes how many kinds of things there are, roughly",
        )
    size = list(dataset.images.shape[1:])
    settings = {**options.settings(), "classes": n_classes, "image_size": size}
    return make(
        options,
        Wanted(options.output, AlPretraining, settings),
        lambda outputs: _publish(outputs[0], dataset, n_classes, options, progress),
        progress,
        amount=lambda outputs: Amount(len(dataset), "images"),
        inputs=dataset.inputs,
        device=options.device,
    )


def _publish(
    output: OutputFile,
    dataset: Dataset,
    n_classes: int,
    options: AlPretrainOptions,
    progress: Progress,
) -> None:
    from rrtool.training.pretraining import pretrain  # and torch, which takes seconds

    skipped = dataset.all_skipped()
    write_skipped_list(output.path, skipped + dataset.passed_over)
    if dataset.status.all():
        raise WorkFailed(
            f"not one of {len(dataset)} images could be used",
            where=output.path,
            todo=f"see {skipped_list_path(output.path)}",
        )
    training = TrainingRun(output)
    with progress.task("pretrain", options.epochs, "epochs") as advance:
        record = training.recorder(advance)

        def on_epoch(phase: str, epoch: int, facts: dict[str, Any]) -> None:
            record(phase, epoch, facts)
            if n := facts["n_reseeded"]:
                progress.message(f"epoch {epoch}: {n:.0f} empty clusters were re-seeded")

        learnt = pretrain(
            dataset, n_classes, options, options.seed, checkpoint=training, on_epoch=on_epoch
        )
    output.publish(
        AlPretraining.columns(
            names=dataset.names,
            reasons=dataset.reasons,
            status=dataset.status,
            assignments=learnt.assignments,
            parameters=learnt.parameters,
        ),
        extra={
            "log": training.log,
            "n_reseeded": int(sum(entry["n_reseeded"] for entry in training.log)),
            "n_skipped": len(skipped),
            "n_failed_rows": int(dataset.status.sum()),
            "passed_over": kinds_of(dataset.passed_over),
        },
    )
