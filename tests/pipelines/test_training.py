"""The pipeline of thesis tables 4.5 to 4.8, on small data in the format of the real ones."""

from __future__ import annotations

from pathlib import Path

from rrtool.artifacts import Training, open_artifact
from rrtool.artifacts.kinds import open_any
from tests.pipelines.making import make, uuids
from tests.pipelines.test_retrieval import revisited_data
from tests.tiny import picture


def test_training_pipeline_ends_in_the_table_of_a_network_trained_with_spatial_matching(
    tmp_path: Path,
) -> None:
    revisited_data(tmp_path / "data/roxford5k", "roxford5k")
    (tmp_path / "photos").mkdir()
    for i in range(6):
        picture(i % 3).rotate(5 * i).save(tmp_path / f"photos/{'abc'[i % 3]}_{i}.png")
    given = (
        "PHOTOS=photos", "GROUPS=prefix:(.)_", "DATASETS=roxford5k", "NETWORKS=tsp", "POOL=mac",
        "TRAIN=--epochs 1 --queries 2 --negatives 1 --lr 1e-3",
    )  # fmt: skip
    table = make(tmp_path, "training.mk", *given)
    assert "squeezenet1_1, tsp, roxford5k" in table
    for method in ("global + DSM ", "global + D ", "global + DSM + D "):
        assert method in table
    with open_artifact(tmp_path / "out/tsp.training.h5", Training) as record:
        assert record.options["spatial"] is True
        assert record.options["pool"] == "mac"
    with open_any(tmp_path / "out/tsp-roxford5k/dsm.h5") as ranking:
        description = ranking.extra["description"]
        assert description["whitening"].startswith("supervised")
        assert "tsp.safetensors" in str(description)
    first = uuids(tmp_path / "out/tsp-roxford5k")
    make(tmp_path, "training.mk", *given)
    assert uuids(tmp_path / "out/tsp-roxford5k") == first
