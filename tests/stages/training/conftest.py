import shutil

import numpy as np
import pytest
from PIL import Image

from tests.tiny import rrtool

# Two layers of the smallest network, small photos, few epochs.
QUICK = (
    "--network", "squeezenet1_1", "--weights", "none", "--device", "cpu", "--image-size", "64",
    "--train-from", "features.12", "--epochs", "2", "--lr", "1e-4", "--negatives", "2",
)  # fmt: skip
RULE = "prefix:([a-z]*)_"


@pytest.fixture(scope="session")
def things(tmp_path_factory):
    """Photos of four things, three of each."""
    folder = tmp_path_factory.mktemp("things")
    for number, name in enumerate(("bear", "cup", "door", "egg")):
        pattern = np.random.default_rng(number).integers(0, 200, (4, 4, 3), dtype=np.uint8)
        for i in range(3):
            noise = np.random.default_rng(10 * number + i).integers(0, 55, (4, 4, 3), np.uint8)
            size = (72, 64) if i else (64, 72)
            picture = Image.fromarray(pattern + noise).resize(size, Image.Resampling.BICUBIC)
            picture.save(folder / f"{name}_{i}.png")
    return folder


def train(photos, output, *options):
    """On photos by the rule."""
    return rrtool("train", photos, "--groups", RULE, "-o", output, *QUICK, *options)


@pytest.fixture(scope="session")
def trained(things, tmp_path_factory):
    """The folder of a network trained with held-out photos, its record, and what was told."""
    folder = tmp_path_factory.mktemp("trained")
    result = train(things, folder / "net.safetensors", "--validate", "prefix:(egg|door)_")
    assert result.exit_code == 0, result.stderr
    (folder / "told.txt").write_text(result.stderr)
    return folder


@pytest.fixture
def net(trained, tmp_path):
    """A copy of it that may be changed."""
    return shutil.copytree(trained, tmp_path / "copy") / "net.safetensors"
