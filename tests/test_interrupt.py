"""Ctrl-C in the middle of every stage that works in parts: the next run goes on from there."""

from __future__ import annotations

import pytest

from rrtool.artifacts import OutputFile
from rrtool.artifacts.output.lock import output_lock
from rrtool.stages.driver import fill, parts_of
from tests.tiny import (
    CPU,
    NETWORK,
    assert_done,
    assert_fails,
    detect_local,
    digest_of,
    extract,
    leftovers,
    make_pictures,
    rrtool,
)

STAGES = {
    "extract": ("extract", "images", *NETWORK, *CPU),
    "extract --save-maps": ("extract", "images", "--save-maps", "new-maps.h5", *NETWORK, *CPU),
    "extract --regions": ("extract", "images", "--regions", "2", *NETWORK, *CPU),
    "detect-local": ("detect-local", "images", *NETWORK, *CPU),
    "detect-local --maps": ("detect-local", "images", "--maps", "maps.h5"),
    "saliency fs": ("saliency", "fs", "images", "--maps", "maps.h5"),
    "rerank": ("rerank", "ranking.h5", "--query-local", "local.h5", "--database-local", "local.h5"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five images, and what the later stages read."""
    folder = tmp_path_factory.mktemp("interrupt")
    make_pictures(folder / "images", 5)
    features = folder / "features.h5"
    assert_done(extract(folder / "images", features, "--save-maps", folder / "maps.h5"))
    assert_done(detect_local(folder / "images", folder / "local.h5"))
    assert_done(rrtool("search", features, features, "-o", folder / "ranking.h5"))
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_interrupted_stage_goes_on_to_the_same(folder, monkeypatch, stage):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(parts_of, "__defaults__", (2,))
    monkeypatch.setattr(fill, "__kwdefaults__", {"rows_per_part": 2})
    name = stage.replace(" ", "")
    write_part, finished = OutputFile.write_part, []

    def interrupted(output, number, datasets):
        if len(finished) == (2 if "--save-maps" in stage else 1):
            raise KeyboardInterrupt
        write_part(output, number, datasets)
        finished.append(number)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "write_part", interrupted)
        result = rrtool(*STAGES[stage], "-o", f"{name}.h5")
    assert_fails(result, 130, "interrupted; run the same command again")
    assert not (folder / f"{name}.h5").exists()

    continued = []

    def counted(output, number, datasets):
        continued.append((output.path.name, number))
        write_part(output, number, datasets)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "write_part", counted)
        assert_done(rrtool(*STAGES[stage], "-o", f"{name}.h5"))
    assert [number for path, number in continued if path == f"{name}.h5"] == [1, 2]
    assert leftovers(folder) == []
    assert_done(rrtool(*STAGES[stage], "-o", f"{name}-whole.h5", "--overwrite"))
    assert digest_of(folder / f"{name}.h5") == digest_of(folder / f"{name}-whole.h5")


@pytest.mark.parametrize("stage", ["extract", "rerank"])
def test_second_run_on_one_output_stops_and_leaves_the_first_alone(folder, monkeypatch, stage):
    monkeypatch.chdir(folder)
    output = folder / "held.h5"
    with output_lock(output):
        assert_fails(rrtool(*STAGES[stage], "-o", output), 1, "another run is writing this output")
        assert not output.exists()
        assert leftovers(folder) == [".held.h5.lock"]
    assert leftovers(folder) == []
