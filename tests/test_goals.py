"""The table of goals, from what benchmarks print."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def goals(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import goals

    yield goals
    for name in ("goals", "timing"):
        sys.modules.pop(name, None)


def test_goals_become_rows_and_those_of_stand_in_data_do_not(goals, capsys):
    import timing

    timing.print_machine()
    timing.tell_goal("sums, against lists", "at least 2 times", 3.14159, holds=True)
    timing.tell_goal("products", "at most 1 s", 2.0, holds=False, unit="s")
    real = capsys.readouterr().out.splitlines()
    timing.print_machine("noise in place of photos")
    timing.tell_goal("photos", "faster", 9.0, holds=True)
    stand_in = capsys.readouterr().out.splitlines()
    machine, rows = goals.rows_of("sums", iter(real))
    assert "cores" in machine
    assert rows == [
        "| `sums.py` | sums, against lists | at least 2 times | 3.14 times | holds |",
        "| `sums.py` | products | at most 1 s | 2 s | **missed** |",
    ]
    assert "STAND-IN DATA: noise in place of photos" in stand_in[0]
    assert goals.rows_of("photos", iter(stand_in))[1] == []
    assert goals.page(rows, machine, ["mser"]).endswith("\nNot run this time: mser.\n")
    assert "Not run" not in goals.page(rows, machine, [])


def test_every_script_with_a_goal_is_run(goals):
    told = {path.stem for path in BENCHMARKS.glob("*.py") if "tell_goal(" in path.read_text()}
    assert told - {"timing"} == set(goals.SCRIPTS)
