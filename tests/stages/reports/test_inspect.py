"""inspect: the facts of an artifact, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rrtool
from tests.stages.damaging import damaged
from tests.stages.made_features import write_features
from tests.tiny import assert_done, assert_fails
from tests.tiny import rrtool as run


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return write_features(tmp_path / "f.h5", ["a", "b", "c"], np.eye(3), failed=[1])


def test_inspect_facts_are_those_that_are_printed(features: Path) -> None:
    facts = rrtool.inspect(features, verify=True)
    assert (facts["kind"], facts["rows"]) == ("features", {"good": 2, "failed": 1})
    assert facts["datasets"]["descriptors"] == "float32 (3, 3)"
    assert facts["verified"] is True
    shown = run("inspect", features, "--verify", "--json")
    assert_done(shown)
    assert json.loads(shown.stdout) == json.loads(json.dumps(facts))
    assert "rows:\n  good: 2\n  failed: 1\n" in run("inspect", features).stdout


@pytest.mark.parametrize(
    "datasets", [{"status": None}, {"status": np.zeros(4, np.uint8)}, {"descriptors": np.zeros(3)}]
)
def test_inspect_refuses_what_is_not_as_its_kind_says(
    features: Path, tmp_path: Path, datasets: dict[str, np.ndarray | None]
) -> None:
    broken = damaged(features, tmp_path / "broken.h5", datasets)
    assert_fails(run("inspect", broken), 4, next(iter(datasets)))
