"""The benchmark of what training gains: its halves, its differences, and what it keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import benchmark


@pytest.fixture(scope="module")
def gain():
    return benchmark("training_gain")


@pytest.fixture(scope="module")
def found():
    return benchmark("training_gain_tables")


def _setting(gain, **given):
    setting = {
        "set": "mugs", "network": "net", "pool": "mac", "method": "tr", "rate": 1e-4, "epochs": 5,
        "queries": 60, "image_size": 224, "train_from": "last", "max_size": 362, "tested": 0,
        "seed": 0,
    }  # fmt: skip
    return gain.Setting(**{**setting, **given})


def test_halves_deal_groups_by_size_and_leave_out_those_of_one(gain):
    labels = ["a", "b", "b", "c", "c", "c", "", "d", "d", "", "e"]
    # By size and name c, b, d: the first and the third to one half; distractors in turn.
    assert gain.halves(labels) == ([3, 4, 5, 6, 7, 8], [1, 2, 9])
    assert gain.halves([]) == ([], [])


def test_tables_of_halves_are_lists_and_rules_in_one(gain, tmp_path):
    for name in ("a_0", "a_1", "b_0", "b_1", "c_0"):
        (tmp_path / f"{name}.jpg").touch()
    first, second = gain.write_halves(str(tmp_path), "prefix:(.*)_", tmp_path)
    listed = gain.collect(str(second)).names
    assert [Path(name).name for name in listed] == ["b_0.jpg", "b_1.jpg"]
    assert gain.load_groups(str(second)).labels(listed) == ["b", "b"]
    assert len(first.read_text().splitlines()) == 3


def test_all_settings_come_seed_by_seed_with_what_was_before(gain):
    asked = {
        **vars(_setting(gain)), "seeds": [0, 1], "pools": ["mac"], "rates": [1e-4], "tested": [0],
        "methods": ["tr", "mined"], "mine_size": 512,
    }  # fmt: skip
    found = list(gain.settings_of(type("Asked", (), asked)))
    assert [(each.method, each.seed, each.mine_size) for each in found] == [
        ("none", 0, 0), ("tr", 0, 0), ("none", 0, 0), ("mined", 0, 512),
        ("none", 0, 0), ("tr", 1, 0), ("none", 0, 0), ("mined", 1, 512),
    ]  # fmt: skip
    assert len({each for each in found if each.method == "none"}) == 1


def test_results_are_kept_and_known_again(gain, found, tmp_path):
    path = tmp_path / "gain.json"
    results = found.Results(path)
    results.add(_setting(gain), {"global": [0.5]})
    again = found.Results(path)
    assert again.has(_setting(gain))
    assert again.runs == results.runs
    for other in ({"seed": 1}, {"tested": 1}, {"rate": 1e-5}, {"method": "tsp"}, {"epochs": 4}):
        assert not again.has(_setting(gain, **other))


def _runs(gain, values, **given):
    """One run a seed and half: ``values[seed][half]`` average precisions."""
    for seed, of_seed in enumerate(values):
        for tested, own in enumerate(of_seed):
            setting = vars(_setting(gain, seed=seed, tested=tested, **given))
            labels = [f"{i // 2}" for i in range(len(own))]
            yield {**setting, "global": own, "labels": labels, "seconds": 30.0}


def test_tables_average_seeds_and_halves_as_by_hand(gain, found):
    zero = {"rate": 0.0, "epochs": 0, "queries": 0, "image_size": 0, "train_from": ""}
    before = list(_runs(gain, [[[0.2, 0.4], [0.1, 0.1, 0.4, 0.4]]], method="none", **zero))
    plain = list(
        _runs(gain, [[[0.4, 0.6], [0.1, 0.1, 0.4, 0.4]], [[0.6, 0.8], [0.4, 0.4, 0.4, 0.4]]])
    )
    spatial = list(_runs(gain, [[[0.5, 0.7], [0.1, 0.1, 0.4, 0.4]]], method="tsp"))
    lines = found.tables([*before, *plain, *spatial]).splitlines()
    # Seed 0 gains 0.2 twice of 6 queries, seed 1 0.4 twice and 0.3 twice: 6.7 and 23.3, mean 15.
    (row,) = (line for line in lines if "| T_R |" in line)
    spread = 100 * np.std(_means_of_draws([(0.6, 2), (0.3, 2), (0.0, 2)]))
    assert "| global | 30.0 → 60.0, 25.0 → 32.5 | +15.0 ± " in row
    assert "| +6.7 to +23.3 |" in row
    assert float(row.split("± ")[1].split(" ")[0]) == pytest.approx(spread, abs=0.4)
    # T_SP has one seed: the same one of T_R is what it is compared with.
    assert "| global | 50.0 → 60.0, 25.0 → 25.0 | +3.3 ± " in lines[-3]
    assert lines[-1] == "6 trainings, 3 minutes."
    assert not any("+ DSM" in line for line in lines)


def _means_of_draws(groups):
    """Every draw of as many groups with replacement, each as likely: sums over sizes."""
    index = np.stack(np.meshgrid(*[range(len(groups))] * len(groups)), -1).reshape(-1, len(groups))
    sums, counts = np.array(groups).T
    return sums[index].sum(axis=1) / counts[index].sum(axis=1)
