"""Table 3.1, what a preset fills in, and the names of the strategies."""

from __future__ import annotations

import pytest

from rrtool.errors import OptionError, UsageError
from rrtool.stages.learning.acquisition_options import COMPARED, STRATEGIES
from rrtool.stages.learning.options import PRESETS, AlCycleOptions
from rrtool.stages.learning.strategies import STRATEGIES as TABLE


def options(**given):
    return AlCycleOptions(images="photos", output="s.h5", **given)


def test_strategies_are_those_of_the_table_and_no_others():
    assert set(TABLE) == set(STRATEGIES)
    assert set(COMPARED) <= set(STRATEGIES)


def test_presets_are_table_3_1():
    rows = {}
    for name in PRESETS:
        row = options(preset=name)
        rows[name] = (
            row.batch_size, row.semi_batch_size, row.semi_labeled, row.budget, row.flip,
        )  # fmt: skip
        assert (row.epochs, row.learning_rate, row.momentum) == (200, 0.2, 0.9)
        assert (row.weight_decay, row.translate, row.width) == (2e-4, 4, 1)
        assert row.rampdown * row.epochs == 210
    assert rows == {
        "mnist": (10, 64, 10, 10, False),
        "svhn": (32, 128, 50, 100, False),
        "cifar10-100": (32, 128, 50, 100, True),
        "cifar10-1000": (32, 128, 50, 1000, True),
        "cifar100": (32, 128, 50, 1000, True),
    }


def test_what_is_given_wins_over_the_preset_which_wins_over_the_default():
    row = options(preset="mnist", budget=7, flip=True, semi_labeled=3)
    assert (row.budget, row.flip, row.semi_labeled, row.semi_batch_size) == (7, True, 3, 64)
    row = options(budget=7)
    assert (row.batch_size, row.semi_batch_size, row.semi_labeled, row.flip) == (32, 128, 50, None)
    assert "preset" not in row.settings()
    assert row.settings() == options(budget=7, batch_size=32, cycles=1).settings()


def test_cycle_without_a_budget_or_with_an_unknown_preset_is_refused():
    with pytest.raises(UsageError, match="--budget, --schedule or --preset"):
        options()
    with pytest.raises(OptionError, match=r"unknown --preset .*found imagenet"):
        options(preset="imagenet")
    with pytest.raises(OptionError, match=r"bad --semi-batch-size .*more than the 50 labelled"):
        options(budget=1, semi_batch_size=50)


def test_classes_are_names_or_the_lines_of_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("a cat\n\ndog\n")
    assert options(budget=1, classes=str(tmp_path / "names.txt")).classes == ("a cat", "dog")
    assert options(budget=1, classes="cat, dog").classes == ("cat", "dog")
    assert options(budget=1, classes=["cat", "dog"]).classes == ("cat", "dog")
    with pytest.raises(OptionError, match=r"bad --classes .*different names"):
        options(budget=1, classes="cat,cat")
