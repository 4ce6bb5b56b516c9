"""What runs the network: chosen by what is installed, compared with torch, said and recorded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rrtool.artifacts import Features, LocalFeaturesFile, open_artifact
from rrtool.networks import engines as network_engines
from rrtool.networks.engines import BFLOAT16, Engine, Unavailable
from rrtool.networks.engines import engine as engine_module
from rrtool.stages import update
from rrtool.stages.activations import engines
from tests.tiny import assert_done, assert_fails, detect_local, extract, make_pictures, picture


class _Off(nn.Module):
    """A backbone run by an engine that is off by a factor, in every other channel."""

    def __init__(self, backbone: nn.Module, factor: float) -> None:
        super().__init__()
        self.backbone, self.factor = backbone, factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.backbone(images).clone()
        maps[:, ::2] *= self.factor
        return maps


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("photos") / "p", 4)


@pytest.fixture
def machine(monkeypatch):
    """Engines that are installed, and by which factor each is off; returns which were built."""

    def set_up(factors: dict[str, float | str], *, bfloat16: bool = False, worth_it: int = 4):
        built: list[str] = []

        def build(backbone: nn.Module, engine: Engine, n_threads: int) -> nn.Module:
            built.append(str(engine))
            factor = factors[str(engine)]
            if isinstance(factor, str):
                raise Unavailable(factor)
            return _Off(backbone, factor)

        installed = {name.split()[0] for name in factors} | {"torch"}
        monkeypatch.setattr(engine_module, "is_installed", lambda name: name in installed)
        monkeypatch.setattr(engine_module, "has_bfloat16", lambda: bfloat16)
        monkeypatch.setattr(engines, "build", build)
        monkeypatch.setattr(engines, "WORTH_IT", worth_it)
        return built

    return set_up


FIRST, SECOND = "openvino in float32", "onnxruntime in float32"


def _recorded(path, kind=Features) -> str:
    with open_artifact(path, kind) as artifact:
        return f"{artifact.extra['engine']} in {artifact.extra['precision']}"


def test_auto_takes_the_first_engine_that_gives_what_torch_gives(photos, tmp_path, machine):
    built = machine({FIRST: 1.0, SECOND: 1.0})
    result = extract(photos, tmp_path / "f.h5")
    assert_done(result)
    assert built == [FIRST]
    said = "runs by openvino in float32: descriptors of 3 photos have a cosine of 1.000000"
    assert said in result.stderr
    assert _recorded(tmp_path / "f.h5") == FIRST


def test_auto_passes_over_engines_that_give_something_else(photos, tmp_path, machine):
    built = machine({FIRST: 1.1, SECOND: "onnxruntime cannot take this network: why"})
    result = extract(photos, tmp_path / "f.h5")
    assert_done(result)
    assert built == [FIRST, SECOND]
    assert "another engine is taken: openvino in float32: descriptors" in result.stderr
    assert "cannot take this network: why" in result.stderr
    assert _recorded(tmp_path / "f.h5") == "torch in float32"
    extract(photos, tmp_path / "plain.h5", "--engine", "torch", "--precision", "float32")
    with open_artifact(tmp_path / "f.h5") as f, open_artifact(tmp_path / "plain.h5") as plain:
        assert f.digest == plain.digest  # nothing of the refused engine is left


def test_auto_leaves_few_photos_to_torch(photos, tmp_path, machine):
    built = machine({FIRST: 1.0}, worth_it=5)
    assert_done(extract(photos, tmp_path / "f.h5"))
    assert built == []
    assert _recorded(tmp_path / "f.h5") == "torch in float32"


def test_bfloat16_is_for_descriptors_alone(photos, tmp_path, machine):
    wide = f"openvino in {BFLOAT16}"
    built = machine({wide: 1.0, FIRST: 1.0}, bfloat16=True)
    assert_done(extract(photos, tmp_path / "f.h5"))
    assert_done(detect_local(photos, tmp_path / "l.h5"))
    assert built == [wide, FIRST]
    assert _recorded(tmp_path / "l.h5", LocalFeaturesFile) == FIRST


def test_engine_does_not_shape_the_identity(photos, tmp_path, machine):
    machine({FIRST: 1.0})
    assert_done(extract(photos, tmp_path / "f.h5", "--engine", "openvino"))
    result = extract(photos, tmp_path / "f.h5", "--engine", "torch", "--precision", "float32")
    assert_done(result)
    assert "up to date" in result.stderr


def test_asked_engine_that_gives_something_else_fails(photos, tmp_path, machine):
    machine({FIRST: 1.1})
    result = extract(photos, tmp_path / "f.h5", "--engine", "openvino")
    assert_fails(result, 1, "openvino in float32: descriptors of 3 photos", "less than 0.9999")
    machine({FIRST: "openvino cannot take this network: why"})
    result = extract(photos, tmp_path / "f.h5", "--engine", "openvino")
    assert_fails(result, 1, "openvino cannot take this network: why", "use --engine auto")


def test_engine_or_precision_that_is_not_there_is_a_usage_error(photos, tmp_path, machine):
    machine({})
    result = extract(photos, tmp_path / "f.h5", "--engine", "openvino")
    assert_fails(result, 2, "openvino is not installed", "pip install 'rrtool[openvino]'")
    result = extract(photos, tmp_path / "f.h5", "--precision", "bfloat16")
    assert_fails(result, 2, "this processor has no bfloat16", "use --precision auto")
    result = extract(photos, tmp_path / "f.h5", "--engine", "tensorrt")
    assert_fails(result, 2, "unknown --engine")
    assert not (tmp_path / "f.h5").exists()


def test_engine_that_is_not_of_the_gpu_is_a_usage_error():
    from rrtool.errors import UsageError
    from rrtool.stages.activations.options import InferenceOptions

    engines.require_engine(InferenceOptions(engine="torch"), "cuda:0")
    for wrong in ({"engine": "openvino"}, {"precision": "float32"}):
        if wrong.get("engine") and not engine_module.is_installed("openvino"):
            continue
        with pytest.raises(UsageError, match="on a GPU torch runs the network in half precision"):
            engines.require_engine(InferenceOptions(**wrong), "cuda:0")


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_descriptors_of_engines_are_those_of_torch(photos, tmp_path, name):
    if not network_engines.engine.is_installed(name):
        pytest.skip(f"{name} is not installed")
    vectors = []
    for engine in ("torch", name):
        output = tmp_path / f"{engine}.h5"
        assert_done(extract(photos, output, "--engine", engine, "--precision", "float32"))
        with open_artifact(output, Features) as features:
            vectors.append(features.descriptors[:])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_rows_of_few_photos_are_made_anew_when_there_are_many(tmp_path, machine, monkeypatch):
    machine({FIRST: 1.001})
    monkeypatch.setattr(update, "WORTH_IT", 4)
    photos, updated = make_pictures(tmp_path / "p", 3), tmp_path / "f.h5"

    def made(output, *options):
        result = extract(photos, output, *options)
        assert_done(result)
        with open_artifact(output, Features) as features:
            return result.stderr, features.extra["engine"], features.digest

    assert made(updated, "--update")[1] == "torch"
    picture(3).save(photos / "3.png")
    assert made(updated, "--update", "--engine", "torch")[0].count("3 of 4 images are kept") == 1
    photos.joinpath("3.png").unlink()
    assert made(updated, "--update")[1] == "torch"
    picture(3).save(photos / "3.png")
    told, engine, digest = made(updated, "--update")
    assert "all 4 images are computed" in told
    assert (engine, digest) == made(tmp_path / "new.h5")[1:]
    assert engine == "openvino"
    picture(4).save(photos / "4.png")
    assert "4 of 5 images are kept" in made(updated, "--update")[0]
