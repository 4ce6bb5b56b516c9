"""Options of training out of range, and those that change no result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rrtool.errors import UsageError
from rrtool.training.options import PretrainingOptions, TrainingOptions


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
def test_settings_leave_out_what_changes_no_result(options):
    same = replace(options, device="cuda", checkpoint_seconds=1.0)
    assert same.settings() == options.settings()
    assert replace(options, width=0.5).settings() != options.settings()
