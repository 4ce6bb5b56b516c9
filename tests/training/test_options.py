"""Table 3.1, and options out of range."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rrtool.errors import UsageError
from rrtool.training.options import PRESETS, TrainingOptions
from rrtool.training.pretraining import PretrainingOptions


def test_presets_are_table_3_1():
    rows = {
        name: (
            preset.training.batch_size,
            preset.training.semi_batch_size,
            preset.training.semi_labeled,
            preset.budget,
            preset.n_labels,
            preset.training.flip,
        )
        for name, preset in PRESETS.items()
    }
    assert rows == {
        "mnist": (10, 64, 10, 10, 50, False),
        "svhn": (32, 128, 50, 100, 500, False),
        "cifar10-100": (32, 128, 50, 100, 500, True),
        "cifar10-1000": (32, 128, 50, 1000, 5000, True),
        "cifar100": (32, 128, 50, 1000, 5000, True),
    }
    for preset in PRESETS.values():
        training = preset.training
        assert (training.epochs, training.learning_rate, training.momentum) == (200, 0.2, 0.9)
        assert (training.weight_decay, training.translate, training.width) == (2e-4, 4, 1)
        assert training.rampdown * training.epochs == 210


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", -1), ("semi_epochs", -1), ("batch_size", 0), ("semi_batch_size", 50),
        ("semi_labeled", 0), ("semi_epoch_fraction", 0), ("renew", 0), ("learning_rate", 0),
        ("learning_rate", float("nan")), ("rampdown", 0.9), ("momentum", 1), ("momentum", 0),
        ("weight_decay", -1), ("translate", -1), ("width", 0), ("width", float("nan")),
    ],
)  # fmt: skip
def test_training_options_out_of_range_name_the_option(name, value):
    with pytest.raises(UsageError, match=f"bad --{name.replace('_', '-')}"):
        replace(TrainingOptions(), **{name: value})


@pytest.mark.parametrize("name", ["clusters_per_class", "kmeans_iterations", "batch_size", "width"])
def test_pretraining_options_out_of_range_name_the_option(name):
    with pytest.raises(UsageError, match=f"bad --{name.replace('_', '-')}"):
        replace(PretrainingOptions(), **{name: 0})


@pytest.mark.parametrize("options", [TrainingOptions(), PretrainingOptions()])
def test_identity_leaves_out_what_changes_no_result(options):
    same = replace(options, device="cuda", checkpoint_seconds=1.0)
    assert same.identity() == options.identity()
    assert replace(options, width=0.5).identity() != options.identity()
