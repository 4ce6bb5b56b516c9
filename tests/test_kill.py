"""kill -9 at any moment: the rerun ends with what an uninterrupted run writes.

``RRTOOL_KILLS=20 pytest tests/test_kill.py`` kills 20 times each instead of 3.
"""

from __future__ import annotations

import os
import subprocess
import time

import numpy as np
import pytest

from tests.tiny import (
    CPU,
    NETWORK,
    command_line,
    digest_of,
    leftovers,
    make_digits,
    make_pictures,
    run_process,
)

N_KILLS = int(os.environ.get("RRTOOL_KILLS", "3"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("kill") / "images", 100)


@pytest.mark.parametrize("command", ["extract", "detect-local"])
def test_killed_run_is_completed_by_the_next(tmp_path, images, command):
    _kill_and_complete(
        tmp_path, N_KILLS, lambda output: (command, images, "-o", output, *NETWORK, *CPU)
    )


def test_killed_cycles_of_learning_are_completed_by_the_next(tmp_path):
    digits = make_digits(tmp_path / "digits", 60, 20)
    training = ("--epochs", 15, "--semi-epochs", 15, "--width", 0.05, "--k", 5, "--device", "cpu")

    def arguments(output):
        return (
            "al-cycle", f"mnist:{digits}", "-o", output, "--oracle", "dataset", "--cycles", 2,
            "--preset", "mnist", "--strategy", "jlp", "--semi", *training,
        )  # fmt: skip

    _kill_and_complete(tmp_path, max(1, N_KILLS // 3), arguments)


def _kill_and_complete(tmp_path, n_kills, arguments):
    start = time.monotonic()
    whole = run_process(*arguments(tmp_path / "whole.h5"))
    duration = time.monotonic() - start
    assert whole.returncode == 0, whole.stderr
    expected = digest_of(tmp_path / "whole.h5")
    generator = np.random.default_rng(11)
    for i in range(n_kills):
        output = tmp_path / f"killed-{i}.h5"
        # Each kill falls in a slice of its own of the run; starting up is the first third.
        delay = duration * (0.3 + 0.7 * (i + generator.random()) / n_kills)
        process = subprocess.Popen(
            command_line(*arguments(output)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        process.kill()
        process.wait()
        if output.exists():  # whole, or not there
            assert digest_of(output) == expected
        # A process of its own: threads that libraries set here would change the last bits.
        assert run_process(*arguments(output)).returncode == 0
        assert digest_of(output) == expected, f"killed after {delay:.2f} s of {duration:.2f} s"
        assert leftovers(tmp_path) == []
