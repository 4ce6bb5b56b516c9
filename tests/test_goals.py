"""The table of goals, from what benchmarks print."""

from pathlib import Path

import pytest

from tests.tiny import benchmark

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def goals():
    return benchmark("goals")


def test_goals_become_rows_and_those_of_stand_in_data_do_not(goals, capsys):
    timing = benchmark("timing")
    timing.print_machine()
    ours, theirs = (timing.Timing("", seconds) for seconds in ((1, 2, 1), (3, 7, 3.14159)))
    timing.tell_goal("sums, by lists", theirs.over(ours), least=2)
    timing.tell_goal("products", 2.0, most=1, unit="s")
    timing.tell_goal("roots, which are wrong", [0.5, 0.5], most=1, unit="s", valid=False)
    real = capsys.readouterr().out.splitlines()
    timing.print_machine("noise in place of photos")
    timing.tell_goal("photos", 9.0, least=1)
    stand_in = capsys.readouterr().out.splitlines()
    machine, rows = goals.rows_of("sums", iter(real))
    assert "cores" in machine
    assert rows == [
        "| `sums.py` | sums, by lists | at least 2 times | 3.14 (3.07 to 3.32) times | holds |",
        "| `sums.py` | products | at most 1 s | 2 s | **missed** |",
        "| `sums.py` | roots, which are wrong | at most 1 s | 0.5 (0.5 to 0.5) s | **missed** |",
    ]
    assert "STAND-IN DATA: noise in place of photos" in stand_in[0]
    assert goals.rows_of("photos", iter(stand_in))[1] == []
    assert goals.page(rows, machine, ["mser"]).endswith("\nNot run this time: mser.\n")
    assert "Not run" not in goals.page(rows, machine, [])


def test_every_script_with_a_goal_is_run(goals):
    told = {path.stem for path in BENCHMARKS.glob("*.py") if "tell_goal(" in path.read_text()}
    assert told - {"timing"} == set(goals.SCRIPTS)
