"""rrtool train --spatial: another network than without it, with the same record and resume."""

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from rrtool.artifacts import Training, open_artifact
from rrtool.artifacts.output.parts import PartsFolder
from tests.stages.training.conftest import train
from tests.tiny import assert_done, assert_fails, leftovers

# Photos whose maps have room for regions, few tuples.
SPATIAL = ("--spatial", "--image-size", "200", "--queries", "2", "--lr", "1e-3", "--pool", "mac")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two views of three things: squares on grey, moved."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(("bear", "cup", "door")):
        for view in range(2):
            own = np.random.default_rng(number)
            pixels = np.full((170 + 20 * view, 200, 3), 110, np.uint8)
            for _ in range(9):
                x, y = own.integers(0, 150, 2) + 9 * view
                side, colour = own.integers(25, 60), own.integers(0, 256, 3)
                pixels[y : y + side, x : x + side] = colour
            Image.fromarray(pixels).save(folder / f"{name}_{view}.png")
    return folder


@pytest.fixture(scope="module")
def spatial(pictures, tmp_path_factory):
    """The folder of a network trained by --spatial."""
    folder = tmp_path_factory.mktemp("spatial")
    assert_done(train(pictures, folder / "net.safetensors", *SPATIAL))
    return folder


def test_spatial_training_gives_another_network_and_says_so(spatial, pictures, tmp_path):
    plain = tmp_path / "net.safetensors"
    assert_done(train(pictures, plain, *SPATIAL[1:]))
    first, second = load_file(plain), load_file(spatial / "net.safetensors")
    assert first.keys() == second.keys()
    assert not all(first[name].equal(second[name]) for name in first)
    with open_artifact(spatial / "net.training.h5", Training) as record:
        assert record.options["spatial"] is True
        assert all(np.isfinite(entry["loss"]) for entry in record.extra["log"])
    assert_fails(train(pictures, plain, *SPATIAL), 4, "--spatial")


def test_killed_spatial_training_goes_on_where_it_was(spatial, pictures, tmp_path, monkeypatch):
    path, write = tmp_path / "net.safetensors", PartsFolder.write_part

    def write_part(self, number, datasets):
        if int(datasets["epoch"]) == 2:
            raise KeyboardInterrupt
        write(self, number, datasets)

    with monkeypatch.context() as patch:
        patch.setattr(PartsFolder, "write_part", write_part)
        assert train(pictures, path, *SPATIAL).exit_code == 130
    result = train(pictures, path, *SPATIAL)
    assert_done(result)
    assert "epoch 1:" not in result.stderr
    assert path.read_bytes() == (spatial / "net.safetensors").read_bytes()
    assert leftovers(tmp_path) == []
