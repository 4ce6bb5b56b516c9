"""Activation maps on disk: float16 without zeros; what is made of them, within its tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rrtool.artifacts import (
    ActivationMaps,
    Features,
    LocalFeaturesFile,
    Provenance,
    Regions,
    create,
    open_artifact,
)
from rrtool.stages.activations.input import open_network
from rrtool.stages.activations.save_maps import _saved
from rrtool.stages.retrieval.options import ExtractOptions
from tests.stages.damaging import damaged
from tests.tiny import CPU, assert_done, assert_fails, make_pictures, rrtool

SIZE = ("--network", "squeezenet1_1", "--weights", "none", "--scales", "1,0.5", *CPU)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps, and what the stages make of the photos with the network and with these maps."""
    folder = tmp_path_factory.mktemp("maps")
    photos = make_pictures(folder / "photos", 4)
    outputs = ("--local", folder / "l.h5", "--fs-regions", folder / "r.h5")
    features = ("--fs-features", folder / "rf.h5", "--save-maps", folder / "m.h5")
    assert_done(rrtool("extract", photos, "-o", folder / "f.h5", *outputs, *features, *SIZE))
    maps = ("--maps", folder / "m.h5")
    assert_done(rrtool("detect-local", photos, "-o", folder / "l2.h5", *maps))
    words = ("--features", folder / "rf2.h5", *maps)
    assert_done(rrtool("saliency", "fs", photos, "-o", folder / "r2.h5", *words))
    return folder


def _of_network(made: Path) -> list[list[np.ndarray]]:
    """The maps ``(k, h, w)`` of each photo at each scale, as the network gives them."""
    options = ExtractOptions(
        images=str(made / "photos"), output="x.h5", network="squeezenet1_1", weights="none",
        scales=(1.0, 0.5), max_size=96, device="cpu",
    )  # fmt: skip
    _, activations = open_network(options)
    batches = activations.source.batches([(0, range(4))])
    return [[scale[0].numpy() for scale in batch.maps] for batch in batches]


def test_maps_are_read_back_within_half_precision(made: Path) -> None:
    with open_artifact(made / "m.h5", ActivationMaps) as maps:
        for row, expected in enumerate(_of_network(made)):
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
        rows = [maps.of(row) for row in range(4)]
        flat = np.concatenate([each.ravel() for scales in rows for each in scales])
        lengths = [each.size for scales in rows for each in scales]
        kept = [name for name in maps.dataset_names() if name not in _NEW]
        datasets = {name: maps.read_named(name) for name in kept}
        datasets |= {"activations": flat, "offsets": np.cumsum([0, *lengths])}
        provenance = Provenance(maps.kind, maps.options, maps.inputs, maps.network, maps.device)
        with create(tmp_path / "old.h5", provenance) as output:
            output.publish(datasets, extra=maps.extra)
    words = ("detect-local", made / "photos", "-o", tmp_path / "l.h5")
    assert_done(rrtool(*words, "--maps", tmp_path / "old.h5"))
    with (
        open_artifact(tmp_path / "l.h5") as old,
        open_artifact(made / "l2.h5") as new,
    ):
        assert old.digest == new.digest


_NEW = ("activations", "offsets", "units", "nonzero/bits", "nonzero/offsets")


@pytest.mark.parametrize(
    ("datasets", "text"),
    [
        ({"units": None}, "there is no units in this activation-maps artifact"),
        ({"units": np.full((4, 2), np.nan, np.float32)}, "units"),
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


def test_half_precision_leaves_descriptors_of_gem_alike(made: Path) -> None:
    """GeM of rounded maps: the tolerance of descriptors that the documents state."""
    with open_artifact(made / "m.h5", ActivationMaps) as maps:
        for row, expected in enumerate(_of_network(made)):
            pooled = [
                [torch.from_numpy(each).pow(3).mean(dim=(1, 2)).pow(1 / 3) for each in scales]
                for scales in (maps.of(row), expected)
            ]
            for found, wanted in zip(*pooled, strict=True):
                assert torch.nn.functional.cosine_similarity(found, wanted, dim=0) > 1 - 1e-6
