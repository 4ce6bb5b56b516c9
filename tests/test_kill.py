"""Runs that are killed at operations on files, a few of them; ``make kills`` takes all commands.

``RRTOOL_KILLS=200 pytest tests/test_kill.py`` kills 200 times instead of 8.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

N_KILLS = int(os.environ.get("RRTOOL_KILLS", "8"))
# Parts that are joined; a list of skipped inputs; training with checkpoints; a list to label.
CALLS = "extract parts,extract skipping,al-pretrain,al-cycle ask"


def test_killed_runs_are_completed_by_the_next():
    """In a process of its own: one that has run anything has threads, and cannot be forked."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills", "--kills", str(N_KILLS), "--only", CALLS],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{N_KILLS} kills in" in done.stdout
