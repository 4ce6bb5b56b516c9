"""Activation maps on disk: float16 without zeros; what is made of them, within its tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rrtool.artifacts import (
    ActivationMaps,
    Features,
    LocalFeaturesFile,
    Regions,
    open_artifact,
)
from rrtool.stages.activations.save_maps import _saved
from tests.stages.damaging import damaged
from tests.stages.made_maps import network_maps, write_as_before
from tests.tiny import assert_done, assert_fails, rrtool

SIZE = (
    *("--network", "squeezenet1_1", "--weights", "none", "--scales", "1,0.5"),
    *("--device", "cpu", "--max-size", "192"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps, and what the stages make of the photos with the network and with these maps."""
    folder = tmp_path_factory.mktemp("maps")
    photos = folder / "photos"
    photos.mkdir()
    generator = np.random.default_rng(3)
    for i in range(4):
        texture = Image.fromarray(generator.integers(0, 256, (18, 24, 3), dtype=np.uint8))
        texture.resize((192, 144), Image.Resampling.NEAREST).save(photos / f"{i}.png")
    outputs = ("--local", folder / "l.h5", "--fs-regions", folder / "r.h5")
    features = ("--fs-features", folder / "rf.h5", "--save-maps", folder / "m.h5")
    assert_done(rrtool("extract", photos, "-o", folder / "f.h5", *outputs, *features, *SIZE))
    maps = ("--maps", folder / "m.h5")
    assert_done(rrtool("detect-local", photos, "-o", folder / "l2.h5", *maps))
    words = ("--features", folder / "rf2.h5", *maps)
    assert_done(rrtool("saliency", "fs", photos, "-o", folder / "r2.h5", *words))
    return folder


@pytest.fixture(scope="module")
def exact(made: Path) -> dict[int, list[np.ndarray]]:
    return network_maps(made / "photos", scales=(1.0, 0.5), max_size=192)


def test_maps_are_read_back_within_half_precision(
    made: Path, exact: dict[int, list[np.ndarray]]
) -> None:
    with open_artifact(made / "m.h5", ActivationMaps) as maps:
        for row, expected in exact.items():
            for found, wanted in zip(maps.of(row), expected, strict=True):
                assert found.dtype == np.float32
                np.testing.assert_array_equal(found == 0, wanted == 0)
                np.testing.assert_allclose(found, wanted, rtol=2**-11, atol=0)
        assert maps.layout("activations")[0] == np.float16
        n_cells = int(maps.map_sizes.prod(axis=2).sum()) * maps.n_channels
        assert maps.layout("activations")[1][0] == np.count_nonzero(np.unpackbits(maps.bits))
        assert len(maps.bits) <= n_cells // 8 + 8


def test_stages_on_saved_maps_agree_with_the_network_within_tolerances(made: Path) -> None:
    with (
        open_artifact(made / "rf.h5", Features) as network,
        open_artifact(made / "rf2.h5", Features) as maps,
    ):
        cosines = (network.descriptors * maps.descriptors).sum(axis=1)
        assert cosines.min() > 1 - 1e-6
    with (
        open_artifact(made / "r.h5", Regions) as network,
        open_artifact(made / "r2.h5", Regions) as maps,
    ):
        np.testing.assert_array_equal(network.offsets, maps.offsets)
        np.testing.assert_allclose(network.region_boxes, maps.region_boxes, atol=0.5)
    with (
        open_artifact(made / "l.h5", LocalFeaturesFile) as network,
        open_artifact(made / "l2.h5", LocalFeaturesFile) as maps,
    ):
        assert maps.levels()[0] == pytest.approx(network.levels()[0], rel=2**-10)
        # An activation that is rounded across a level may move, make or end a region.
        assert _share_of_equal(network, maps) > 0.95


def _share_of_equal(one: LocalFeaturesFile, other: LocalFeaturesFile) -> float:
    n_equal, n_all = 0, 0
    for row in range(4):
        first, second = one.of(row), other.of(row)
        keys = [
            {(int(s), int(c), *np.round(m, 2).tolist())
             for s, c, m in zip(found.scales, found.channels, found.means, strict=True)}
            for found in (first, second)
        ]  # fmt: skip
        n_equal += len(keys[0] & keys[1])
        n_all += len(keys[0] | keys[1])
    assert n_all > 20
    return n_equal / n_all


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_saved_map_of_any_size_is_finite_and_keeps_its_precision(factor: float) -> None:
    activations = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32) * np.float32(factor)
    activations[activations < 0.3 * factor] = 0
    saved = _saved(activations)
    assert np.isfinite(saved.values).all()
    back = saved.values.astype(np.float64) * saved.unit
    np.testing.assert_allclose(back, activations[activations > 0], rtol=2**-11)


def test_maps_of_older_versions_are_read(made: Path, tmp_path: Path) -> None:
    with open_artifact(made / "m.h5", ActivationMaps) as maps:
        rounded = {row: maps.of(row) for row in range(4)}
    write_as_before(made / "m.h5", tmp_path / "old.h5", rounded)
    with open_artifact(tmp_path / "old.h5", ActivationMaps) as maps:
        assert maps.layout("activations")[0] == np.float32
    words = ("detect-local", made / "photos", "-o", tmp_path / "l.h5")
    assert_done(rrtool(*words, "--maps", tmp_path / "old.h5"))
    with (
        open_artifact(tmp_path / "l.h5") as old,
        open_artifact(made / "l2.h5") as new,
    ):
        assert old.digest == new.digest


@pytest.mark.parametrize(
    ("datasets", "text"),
    [
        ({"units": None}, "there is no units in this activation-maps artifact"),
        ({"units": np.full((4, 2), np.nan, np.float32)}, "units"),
        ({"units": np.full((4, 2), 1e38, np.float32)}, "activations up to"),
        ({"nonzero/bits": None}, "do not fit together"),
        ({"nonzero/bits": np.zeros(9, np.uint8)}, "offsets"),
        ({"nonzero/offsets": np.zeros(9, np.int64)}, "do not fit together"),
        ({"map_sizes": np.full((4, 2, 2), 10_000, np.int32)}, "do not fit together"),
    ],
)  # fmt: skip
def test_damaged_maps_are_one_line(
    made: Path, tmp_path: Path, datasets: dict[str, np.ndarray | None], text: str
) -> None:
    maps = damaged(made / "m.h5", tmp_path / "m.h5", datasets)
    words = ("detect-local", made / "photos", "-o", tmp_path / "l.h5", "--maps", maps)
    assert_fails(rrtool(*words), 4, text)


def test_half_precision_leaves_descriptors_of_gem_alike(
    made: Path, exact: dict[int, list[np.ndarray]]
) -> None:
    """GeM of rounded maps: the tolerance of descriptors that the documents state."""
    with open_artifact(made / "m.h5", ActivationMaps) as maps:
        for row, expected in exact.items():
            pooled = [
                [torch.from_numpy(each).pow(3).mean(dim=(1, 2)).pow(1 / 3) for each in scales]
                for scales in (maps.of(row), expected)
            ]
            for found, wanted in zip(*pooled, strict=True):
                assert torch.nn.functional.cosine_similarity(found, wanted, dim=0) > 1 - 1e-6
