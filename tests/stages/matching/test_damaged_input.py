"""detect-local and rerank on artifacts that cannot be: one line, exit code 4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts.kinds import ActivationMaps, LocalFeaturesFile, Ranking, open_any
from rrtool.errors import ArtifactError
from tests.stages.damaging import damaged
from tests.tiny import assert_fails, make_pictures
from tests.tiny import rrtool as run

NETWORK = {
    "network": "squeezenet1_1", "weights": "none", "scales": (1.0,), "max_size": 96,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    make_pictures(folder / "photos", 4)
    features = rrtool.extract(
        folder / "photos", folder / "f.h5", save_maps=folder / "m.h5", **NETWORK
    )
    rrtool.detect_local(folder / "photos", folder / "d.h5", maps=folder / "m.h5")
    rrtool.search(features, features, folder / "r.h5")
    return folder


def of_kind(made: Path, name: str, column: str) -> np.ndarray:
    with open_any(made / name) as artifact:
        return getattr(artifact, column)


def test_made_artifacts_are_of_their_kinds(made: Path) -> None:
    kinds = {"m.h5": ActivationMaps, "d.h5": LocalFeaturesFile, "r.h5": Ranking}
    for name, kind in kinds.items():
        with open_any(made / name) as artifact:
            assert type(artifact) is kind


def rerank(made: Path, output: Path, ranking: Path, local: Path) -> object:
    return run("rerank", ranking, "--query-local", local, "--database-local", made / "d.h5",
               "-o", output, "--device", "cpu")  # fmt: skip


def test_rerank_refuses_channels_in_disorder(made: Path, tmp_path: Path) -> None:
    channels = of_kind(made, "d.h5", "channels")[::-1]
    local = damaged(made / "d.h5", tmp_path / "q.h5", {"channels": channels})
    line = assert_fails(rerank(made, tmp_path / "v.h5", made / "r.h5", local), 4)
    assert "sorted by channel" in line
    assert not (tmp_path / "v.h5").exists()


def test_rerank_refuses_a_ranking_with_gaps(made: Path, tmp_path: Path) -> None:
    ids = of_kind(made, "r.h5", "ids")
    ids[:, 1] = -1
    ranking = damaged(made / "r.h5", tmp_path / "r.h5", {"ids": ids})
    line = assert_fails(rerank(made, tmp_path / "v.h5", ranking, made / "d.h5"), 4)
    assert "cannot be matched" in line


@pytest.mark.parametrize(
    "datasets",
    [
        {"means": None},
        {"means": np.zeros((3, 2), np.float32)},
        {"covariances": np.zeros((3, 3), np.float64)},
        {"strengths": np.zeros(0, np.float16)},
        {"map_sizes": np.zeros((4, 2, 2), np.int32)},
        {"offsets": np.array([0, 3, 2, 3, 4])},
    ],
)
def test_rerank_refuses_local_features_of_another_layout(
    made: Path, tmp_path: Path, datasets: dict[str, np.ndarray | None]
) -> None:
    local = damaged(made / "d.h5", tmp_path / "q.h5", datasets)
    line = assert_fails(rerank(made, tmp_path / "v.h5", made / "r.h5", local), 4)
    assert str(local) in line
    assert "local-features" in line


@pytest.mark.parametrize(
    "facts",
    [
        {"level_scale": 0}, {"level_scale": -1.5}, {"level_scale": float("nan")},
        {"level_scale": None}, {"delta": 0}, {"delta": 256}, {"delta": 1.5},
    ],
)  # fmt: skip
def test_detect_local_refuses_levels_that_are_none(
    made: Path, tmp_path: Path, facts: dict[str, object]
) -> None:
    model = damaged(made / "d.h5", tmp_path / "model.h5", extra=facts)
    with pytest.raises(ArtifactError, match="damaged"):
        rrtool.detect_local(
            made / "photos", tmp_path / "q.h5", maps=made / "m.h5", levels_from=model
        )


def test_detect_local_refuses_maps_that_are_not_finite(made: Path, tmp_path: Path) -> None:
    activations = of_kind(made, "m.h5", "activations")
    activations[5] = np.nan
    maps = damaged(made / "m.h5", tmp_path / "m.h5", {"activations": activations})
    with pytest.raises(ArtifactError, match=r"activations .*found nan"):
        rrtool.detect_local(made / "photos", tmp_path / "q.h5", maps=maps)


@pytest.mark.parametrize(
    ("extra", "options"),
    [({"n_channels": 7}, {}), ({"n_channels": "many"}, {}), ({}, {"scales": [1.0, 0.5]})],
)
def test_detect_local_refuses_maps_of_other_sizes(
    made: Path, tmp_path: Path, extra: dict[str, object], options: dict[str, object]
) -> None:
    maps = damaged(made / "m.h5", tmp_path / "m.h5", extra=extra, options=options)
    with pytest.raises(ArtifactError, match="damaged"):
        rrtool.detect_local(made / "photos", tmp_path / "q.h5", maps=maps)
