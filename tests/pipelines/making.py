"""Run the pipelines of the project."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rrtool.artifacts import open_artifact
from tests.warm import warm_rrtool

PIPELINES = Path(__file__).parents[2] / "pipelines"


def make(folder: Path, pipeline: str, *arguments: str) -> str:
    # The tests may be run by make themselves, which must not speak here.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-j2", "-f", PIPELINES / pipeline, f"RRTOOL={warm_rrtool()}", "WEIGHTS=none",
         "NETWORK=squeezenet1_1", "OUT=out", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def uuids(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*.h5")):
        with open_artifact(path) as artifact:
            found[path.name] = artifact.uuid
    return found
