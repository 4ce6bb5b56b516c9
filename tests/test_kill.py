"""Runs that are killed at operations on files, a few of them; ``make kills`` takes all commands.

``RRTOOL_KILLS=200 pytest tests/test_kill.py`` kills 200 times instead of 8.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.kills.case import Case
from tests.warm import warm_rrtool

N_KILLS = int(os.environ.get("RRTOOL_KILLS", "5"))
# Parts that are joined; a list of skipped inputs; training with checkpoints; a list to label.
CALLS = "extract parts,extract skipping,al-pretrain,al-cycle ask"


def test_killed_runs_are_completed_by_the_next():
    """In a process of its own: one that has run anything has threads, and cannot be forked."""
    done = subprocess.run(
        [warm_rrtool(), "-m", "tests.kills", "--kills", str(N_KILLS), "--only", CALLS],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{N_KILLS} kills in" in done.stdout


def test_what_a_kill_leaves_of_an_index_is_compared_file_by_file(tmp_path):
    base, case_path = tmp_path / "base", tmp_path / "case"
    for name, text in (("ix", "fresh"), ("ix earlier", "old"), ("ix updated", "new")):
        (base / name).mkdir(parents=True)
        (base / name / "a.txt").write_text(text)
        (base / name / "index.json").write_text('{"options": {}}')
    case = Case(["index", "images", "-o", "ix"], base, case_path, older=True)
    assert case.words == ["index", "images", "-o", "ix"]
    assert case.complaints_after_kill() == []
    assert case.complaints_after_rerun() == ["ix differs from that of an undisturbed run"]
    (case_path / "ix" / "a.txt").write_text("fresh")
    assert case.complaints_after_kill() == ["ix/a.txt is neither the old one nor the new one"]
    (case_path / "ix" / "a.txt").write_text("new")
    assert case.complaints_after_kill() == case.complaints_after_rerun() == []
    (case_path / "ix" / ".a.txt.tmp").touch()
    assert case.complaints_after_kill() == []
    assert case.complaints_after_rerun() == ["ix differs from that of an undisturbed run"]
    (case_path / "ix" / "a.txt").unlink()
    assert case.complaints_after_kill() == ["ix/a.txt is neither the old one nor the new one"]
