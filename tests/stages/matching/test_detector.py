"""detect-local --detector vlfeat: the same regions, recorded as found by another detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rrtool.artifacts.kinds import open_any
from rrtool.core.matching import vlfeat
from tests.tiny import assert_fails, make_pictures
from tests.tiny import rrtool as run
from tests.vlfeat import needs_vlfeat

NETWORK = (
    "--network", "squeezenet1_1", "--weights", "none", "--device", "cpu", "--max-size", 96,
)  # fmt: skip


@needs_vlfeat
def test_regions_are_the_same_and_the_detector_is_recorded(tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos", 3)
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    detect = ("detect-local", tmp_path / "photos", *NETWORK)
    assert run(*detect, "-o", ours).exit_code == 0
    result = run(*detect, "-o", theirs, "--detector", "vlfeat")
    assert result.exit_code == 0, result.stderr
    with open_any(ours) as first, open_any(theirs) as second:
        assert first.offsets[-1] > 5
        for name in ("offsets", "channels", "strengths", "means", "covariances", "boxes"):
            expected, found = np.asarray(getattr(first, name)), np.asarray(getattr(second, name))
            np.testing.assert_array_equal(found, expected, err_msg=name)
    assert_fails(run(*detect, "-o", theirs), 4, "another --detector")


def test_without_the_library_no_network_runs(tmp_path: Path, monkeypatch) -> None:
    make_pictures(tmp_path / "photos", 1)
    monkeypatch.setenv(vlfeat.VARIABLE, "/no/such/libvl.so")
    vlfeat.library.cache_clear()
    output = tmp_path / "l.h5"
    result = run(
        "detect-local", tmp_path / "photos", *NETWORK, "-o", output, "--detector", "vlfeat"
    )
    vlfeat.library.cache_clear()
    assert result.exit_code != 0
    assert "VLFeat's library libvl is not here" in result.stderr
    assert not output.exists()
