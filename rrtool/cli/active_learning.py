"""Commands of active learning: al-cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rrtool.cli.console import reported
from rrtool.cli.options import (
    Device,
    Json,
    Output,
    Overwrite,
    Quiet,
    Seed,
    Verbose,
    finish,
    say_skipped,
)

commands = typer.Typer()

DataSet = Annotated[
    str,
    typer.Argument(
        help="Folder (recursive), text or CSV list, or mnist:FOLDER, cifar10:FOLDER, "
        "cifar100:FOLDER, svhn:FOLDER."
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(help="Settings of table 3.1: mnist, svhn, cifar10-100, cifar10-1000, cifar100."),
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the labels; default 200.")]
SemiEpochs = Annotated[int | None, typer.Option(help="Epochs with --semi; default 200.")]
BatchSize = Annotated[int | None, typer.Option(help="Images in a mini-batch; default 32.")]
SemiBatchSize = Annotated[int | None, typer.Option(help="The same with --semi; default 128.")]
SemiLabeled = Annotated[int | None, typer.Option(help="Labelled images among them; default 50.")]
LearningRate = Annotated[
    float | None, typer.Option("--lr", "--learning-rate", help="At the start; default 0.2.")
]
Width = Annotated[
    float | None, typer.Option(help="Factor on the network's channel counts; default 1.")
]
ImageSize = Annotated[int, typer.Option(help="Photos are cropped to a square of this side.")]
Subset = Annotated[int | None, typer.Option(help="Use only this many images, drawn by the seed.")]


@commands.command("al-cycle")
def al_cycle(
    images: DataSet,
    output: Output,
    state: Annotated[str | None, typer.Option(help="The state of the cycle before.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="What came back: CSV with label and name or id.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names, comma-separated, or a file with one a line.")
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="random, entropy, coreset, ceal or jlp.")
    ] = "random",
    budget: Annotated[int | None, typer.Option(help="Images to acquire; by --preset.")] = None,
    semi: Annotated[bool, typer.Option("--semi", help="Train on unlabelled images too.")] = False,
    pretrain: Annotated[
        str | None, typer.Option(help="Start from these parameters, of al-pretrain.")
    ] = None,
    preset: Preset = None,
    oracle: Annotated[
        str | None, typer.Option(help="Labels CSV, or 'dataset': answer by itself.")
    ] = None,
    cycles: Annotated[int, typer.Option(help="Cycles to run with --oracle.")] = 1,
    test: Annotated[str | None, typer.Option(help="Held-out images.")] = None,
    test_labels: Annotated[str | None, typer.Option(help="Their labels, CSV.")] = None,
    to_label: Annotated[
        Path | None, typer.Option(help="List of images to label; default: beside the output.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet to label from; default: beside the output.")
    ] = None,
    relabel: Annotated[
        bool, typer.Option("--relabel", help="Let --labels replace labels of earlier cycles.")
    ] = False,
    k: Annotated[int, typer.Option("--k", help="Neighbours in the graph.")] = 50,
    epsilon: Annotated[float, typer.Option(help="CEAL's threshold in cycle 0.")] = 0.005,
    epsilon_decay: Annotated[float, typer.Option(help="By how much it falls a cycle.")] = 0.00033,
    epochs: Epochs = None,
    semi_epochs: SemiEpochs = None,
    batch_size: BatchSize = None,
    semi_batch_size: SemiBatchSize = None,
    semi_labeled: SemiLabeled = None,
    lr: LearningRate = None,
    width: Width = None,
    image_size: ImageSize = 32,
    subset: Subset = None,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn from the labels so far, and ask for those that help most (al-state)."""
    with reported(quiet, verbose) as console:
        from rrtool.errors import UsageError
        from rrtool.stages.learning import cycle as stage
        from rrtool.stages.learning import oracle as al_oracle
        from rrtool.stages.learning.al_options import CycleOptions, CycleSources, class_list
        from rrtool.stages.learning.queries import QueryFiles

        training, preset_budget = training_options(
            preset,
            {
                "epochs": epochs,
                "semi_epochs": semi_epochs,
                "batch_size": batch_size,
                "semi_batch_size": semi_batch_size,
                "semi_labeled": semi_labeled,
                "learning_rate": lr,
                "width": width,
                "device": device,
            },
        )
        if budget is None:
            budget = preset_budget
        if budget is None:
            raise UsageError("how many images to acquire?", expected="--budget or --preset")
        options = CycleOptions(
            training, budget, strategy, semi, k, class_list(classes), relabel, subset,
            image_size, epsilon, epsilon_decay, seed,
        )  # fmt: skip
        sources = CycleSources(images, state, labels, pretrain, test, test_labels)
        if oracle is None:
            if cycles != 1:
                raise UsageError("--cycles needs --oracle", found=cycles)
            beside = QueryFiles.beside(output)
            queries = QueryFiles(to_label or beside.to_label, sheet or beside.sheet)
            path = stage.run(
                sources, output, options, queries=queries, overwrite=overwrite, progress=console
            )
        else:
            path = al_oracle.run(
                sources, oracle, output, options, cycles=cycles,
                queries=QueryFiles(to_label, sheet), overwrite=overwrite, progress=console,
            )  # fmt: skip
        say_skipped(console, path)
        finish(path, json)


def training_options(preset: str | None, given: dict[str, Any]) -> tuple[Any, int | None]:
    """``TrainingOptions`` of a preset with what was given, and the preset's budget."""
    from dataclasses import replace

    from rrtool.errors import UsageError
    from rrtool.training.options import PRESETS, TrainingOptions

    if preset is not None and preset not in PRESETS:
        raise UsageError("unknown --preset", expected=", ".join(PRESETS), found=preset)
    training = PRESETS[preset].training if preset else TrainingOptions()
    training = replace(training, **{key: v for key, v in given.items() if v is not None})
    return training, PRESETS[preset].budget if preset else None
