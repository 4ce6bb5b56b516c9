"""Engines against torch: the same maps, whatever the size of the images."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks import engines, load_network
from rrtool.networks.engines import BFLOAT16, FLOAT32, PLAIN, Engine, Unavailable, build, candidates
from rrtool.networks.engines import engine as engine_module

INSTALLED = {name: engine_module.is_installed(name) for name in ("openvino", "onnxruntime")}
# Odd sizes, one of them after another, and a batch.
SIZES = ((1, 63, 98), (3, 120, 77), (1, 63, 98), (1, 224, 160))


def _tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(8, 16, 3, padding=1, groups=4), nn.ReLU(),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def squeezenet() -> nn.Module:
    return load_network("squeezenet1_1", "none", seed=1).backbone


def _skip_unless_installed(name: str) -> None:
    if not INSTALLED.get(name, True):
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("which", ["tiny", "squeezenet1_1"])
def test_build_gives_the_maps_of_torch(name, which, squeezenet):
    _skip_unless_installed(name)
    backbone = _tiny() if which == "tiny" else squeezenet
    running = build(backbone, Engine(name), 1)
    kept = []
    for b, height, width in SIZES:
        images = torch.randn(b, 3, height, width).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            expected, found = backbone(images), running(images)
        assert found.dtype == torch.float32
        assert found.is_contiguous(memory_format=torch.channels_last)
        _assert_close(found, expected)
        kept.append((found, expected))
    for found, expected in kept:  # no result lies in memory that the next one overwrote
        _assert_close(found, expected)


def _assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Sums in another order: to a hundred-thousandth of the largest activation."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.max().item())


def test_build_takes_images_that_are_laid_out_channels_first(squeezenet):
    images = torch.randn(1, 3, 90, 70)
    for name in [name for name in INSTALLED if INSTALLED[name]]:
        found = build(squeezenet, Engine(name), 1)(images)
        _assert_close(found, squeezenet(images))


def test_build_in_bfloat16_is_near_float32_and_leaves_the_backbone(squeezenet):
    images = torch.randn(1, 3, 96, 128)
    with torch.inference_mode():
        expected = squeezenet(images)
        found = build(squeezenet, Engine("torch", BFLOAT16), 1)(images)
    assert found.dtype == expected.dtype == squeezenet[0].weight.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05 * expected.max()
    assert build(squeezenet, PLAIN, 1) is squeezenet


class _Untraceable(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("what cannot\nbe recorded")


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_build_says_in_one_line_what_an_engine_cannot_take(name):
    _skip_unless_installed(name)
    with pytest.raises(Unavailable, match=f"^{name} cannot take this network: what cannot$"):
        build(_Untraceable(), Engine(name), 1)


def _processor(folder: Path, flags: str) -> str:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: x\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\n")
    return str(path)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("avx2 avx512f", False), ("avx512_bf16", True), ("amx_bf16 amx_tile", True), ("", False)],
)
def test_has_bfloat16_reads_the_flags(tmp_path, flags, expected):
    assert engines.has_bfloat16(_processor(tmp_path, flags)) is expected
    assert not engines.has_bfloat16(str(tmp_path / "absent"))


@pytest.fixture
def machine(monkeypatch):
    """Sets what is installed and whether the processor has bfloat16."""

    def set_up(*installed: str, bfloat16: bool) -> None:
        monkeypatch.setattr(engine_module, "is_installed", lambda name: name in installed)
        monkeypatch.setattr(engine_module, "has_bfloat16", lambda: bfloat16)

    return set_up


def test_candidates_are_the_installed_ones_in_order(machine):
    machine("torch", "onnxruntime", "openvino", bfloat16=True)
    wide = [("openvino", BFLOAT16), ("torch", BFLOAT16)]
    plain = [(name, FLOAT32) for name in ("openvino", "onnxruntime", "torch")]

    def found(engine: str, precision: str, in_bfloat16: bool = True) -> list[tuple[str, str]]:
        listed = candidates(engine, precision, in_bfloat16=in_bfloat16)
        return [(each.name, each.precision) for each in listed]

    assert found("auto", "auto") == [wide[0], plain[0], plain[1], wide[1], plain[2]]
    assert found("auto", "auto", in_bfloat16=False) == found("auto", FLOAT32) == plain
    assert found("auto", BFLOAT16, in_bfloat16=False) == wide
    assert found("torch", "auto") == [wide[1], plain[2]]
    machine("torch", bfloat16=False)
    assert found("auto", "auto") == [plain[2]]


def test_candidates_refuse_what_is_not_there(machine):
    machine("torch", bfloat16=False)
    with pytest.raises(UsageError, match=r"openvino is not installed.*rrtool\[openvino\]"):
        candidates("openvino", "auto", in_bfloat16=True)
    with pytest.raises(UsageError, match=r"this processor has no bfloat16.*avx512_bf16"):
        candidates("auto", BFLOAT16, in_bfloat16=True)
    machine("torch", "onnxruntime", bfloat16=True)
    with pytest.raises(UsageError, match="onnxruntime has no bfloat16"):
        candidates("onnxruntime", BFLOAT16, in_bfloat16=True)


def test_engines_leave_nothing_in_the_home_folder_and_report_nothing(tmp_path):
    engines = [name for name in ("openvino", "onnxruntime") if find_spec(name)]
    program = (
        "import sys, torch\n"
        "from rrtool.networks.engines import Engine, build\n"
        f"for engine in {engines}:\n"
        "    run = build(torch.nn.Conv2d(3, 4, 3).eval(), Engine(engine, 'float32'), 1)\n"
        "    run(torch.zeros(1, 3, 8, 8))\n"
        "sys.exit(sys.modules.get('openvino_telemetry') is not None)\n"
    )
    silent = {"CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY"}  # where it reports nothing anyway
    kept = {key: value for key, value in os.environ.items() if key not in silent}
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "TMPDIR"), str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", program], env={**kept, **places}, check=False)
    assert ended.returncode == 0
    assert not list(tmp_path.iterdir())


def test_openvino_binds_no_thread_to_a_core():
    """Else the threads of several processes wait for the same core."""
    pytest.importorskip("openvino")
    running = build(_tiny(), Engine("openvino"), 1)
    assert not running.request.get_compiled_model().get_property("ENABLE_CPU_PINNING")
