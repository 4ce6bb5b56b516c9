"""Pipelines of active learning through make, on small data in the formats of the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.making import make, uuids
from tests.tiny import make_digits


def test_learning_pipeline_makes_the_rows_of_the_table_and_nothing_twice(tmp_path: Path) -> None:
    make_digits(tmp_path / "digits", 60, 20)
    arguments = (
        "DATA=digits", "EPOCHS=1", "SEMI_EPOCHS=1", "PRE_EPOCHS=1", "WIDTH=0.05", "K=5",
        "DEVICE=cpu", "CYCLES=1", "SEEDS=0 1", "METHODS=random jlp-pre-semi",
    )  # fmt: skip
    table = make(tmp_path, "mnist.mk", *arguments, "table")
    assert "Random" in table
    assert "PRE + SEMI" in table
    assert "±" in table
    first = uuids(tmp_path / "out")
    assert set(first) == {"pre.h5"} | {
        f"{method}-{seed}.h5" for method in ("random", "jlp-pre-semi") for seed in (0, 1)
    }
    make(tmp_path, "mnist.mk", *arguments, "table")
    assert uuids(tmp_path / "out") == first
    make(tmp_path, "mnist.mk", *arguments, "CYCLES=2", "random")
    second = uuids(tmp_path / "out")
    assert second["random-0.h5"] != first["random-0.h5"]
    assert second["jlp-pre-semi-0.h5"] == first["jlp-pre-semi-0.h5"]


@pytest.mark.parametrize("pipeline", ["mnist", "svhn", "cifar10", "cifar100"])
def test_learning_pipeline_has_every_row_of_the_table(tmp_path: Path, pipeline: str) -> None:
    (tmp_path / "data").mkdir()
    plan = make(tmp_path, f"{pipeline}.mk", "DATA=data", "-n", "table")
    for strategy in ("random", "entropy", "coreset", "ceal", "jlp"):
        for options in ("", "--semi", "--pretrain out/pre.h5", "--semi --pretrain out/pre.h5"):
            line = " ".join(f"--strategy {strategy} {options} --overwrite".split())
            expected = 0 if strategy == "ceal" and "--semi" in options else 5
            found = [" ".join(planned.split()) for planned in plan.splitlines()]
            assert sum(line in planned for planned in found) == expected
    assert plan.count("al-pretrain") == 1
