"""Networks of every kind through every stage on activations, with photos of odd sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Features, LocalFeaturesFile, Regions, Saliency, open_artifact
from tests.tiny import picture

SIZES = ((96, 64), (67, 101), (131, 49), (90, 15))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of odd sizes, and one that is smaller than a patch."""
    folder = tmp_path_factory.mktemp("photos")
    for i, size in enumerate(SIZES):
        picture(i, size).save(folder / f"{i}.png")
    return folder


# Small members of the families of DINOv2 and SigLIP, ConvNeXt, ResNet, MobileNetV3, EfficientNet.
@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet"])
def test_every_stage_on_activations_takes_models_of_timm(tmp_path, photos, name):
    network = {"network": f"timm:{name}", "weights": "none", "device": "cpu", "scales": (1.0,)}
    maps = {"maps": str(tmp_path / "m.h5")}
    f = rrtool.extract(photos, tmp_path / "f.h5", save_maps=maps["maps"], **network)
    local = rrtool.detect_local(photos, tmp_path / "l.h5", **network)
    regions = rrtool.saliency_fs(photos, tmp_path / "r.h5", **maps)
    graph = rrtool.build_graph(regions, tmp_path / "g.h5", k=2, device="cpu")
    centrality = rrtool.centrality(graph, tmp_path / "c.h5", measure="katz")
    saliency = rrtool.saliency_os(
        photos, tmp_path / "s.h5", regions=regions, centrality=centrality,
        features=tmp_path / "of.h5", **maps,
    )  # fmt: skip
    too_small = name != "test_resnet"  # of less than a patch, or than the stem takes
    for path, kind in ((f, Features), (local, LocalFeaturesFile), (regions, Regions),
                       (saliency, Saliency)):  # fmt: skip
        with open_artifact(path, kind) as artifact:
            assert artifact.status.tolist() == [0, 0, 0, int(too_small)]
            if too_small:
                assert "are too few for the network" in artifact.reasons[3]
    with open_artifact(f, Features) as features:
        norms = np.linalg.norm(features.descriptors[:][:3], axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_efficientnet"])
def test_descriptors_of_other_families_are_unit_vectors(tmp_path, photos, name):
    path = rrtool.extract(
        photos, tmp_path / "f.h5", network=f"timm:{name}", weights="none", device="cpu"
    )
    with open_artifact(path, Features) as features:
        np.testing.assert_allclose(np.linalg.norm(features.descriptors[:], axis=1), 1, atol=1e-5)
