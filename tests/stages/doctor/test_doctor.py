"""doctor: what is wrong is told and makes the exit code 1; what is not, is not."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

import h5py
import pytest

from rrtool.networks import engines as engines_of_networks
from rrtool.networks.engines import PLAIN, Engine, Unavailable
from rrtool.progress import Silent
from rrtool.stages.doctor import doctor, folder, machine, self_test
from tests.stages.exchange.made_files import NAMES, unit_vectors
from tests.stages.made_features import write_features
from tests.tiny import assert_fails
from tests.tiny import rrtool as run


@pytest.fixture
def quick(monkeypatch):
    """Without the parts that run networks."""
    monkeypatch.setattr(doctor, "engines", lambda progress: ([], []))
    monkeypatch.setattr(doctor, "self_test", lambda: ({}, []))
    monkeypatch.setattr(machine, "_WINDOW_S", 0.01)
    monkeypatch.setattr(folder, "_WRITTEN", 1 << 20)


@pytest.fixture
def artifacts(tmp_path):
    """Two artifacts, one of them below, and a file of another program."""
    (tmp_path / "below").mkdir()
    write_features(tmp_path / "f.h5", NAMES, unit_vectors())
    write_features(tmp_path / "below" / "g.h5", NAMES, unit_vectors(seed=1))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    return tmp_path


def _diagnosis(*words, code=0):
    result = run("doctor", *words, "--json")
    assert result.exit_code == code, (result.stderr, result.exception)
    return json.loads(result.stdout)


def test_doctor_of_a_good_folder_finds_nothing_wrong(quick, artifacts):
    before = sorted(artifacts.rglob("*"))
    facts = _diagnosis(artifacts)
    assert facts["wrong"] == []
    assert facts["folder"]["artifacts"] == "2 good, 0 damaged, 1 not ours"
    assert facts["folder"]["locks"] == "hold"
    assert facts["folder"]["left by killed runs"] == "0, 0.0 MB"
    assert facts["folder"]["write speed"].endswith("MB/s")
    assert facts["versions"]["h5py"] == h5py.__version__
    assert str(len(os.sched_getaffinity(0))) in facts["machine"]["cores"]
    assert sorted(artifacts.rglob("*")) == before


def test_doctor_prints_what_is_wrong_on_standard_error(quick, artifacts):
    _damage(artifacts / "f.h5")
    result = run("doctor", artifacts)
    assert result.exit_code == 1
    assert "1 good, 1 damaged, 1 not ours" in result.stdout
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("wrong: ")]
    assert str(artifacts / "f.h5") in line
    assert "nothing is wrong" in run("doctor").stderr


def _damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def _stripped(path):
    """Changed by another program: HDF5 itself notices nothing."""
    with h5py.File(path, "r+") as file:
        file["descriptors"][0, 0] += 1


@pytest.mark.parametrize("harm", [_damage, _cut, _stripped, lambda p: p.write_bytes(b"no HDF5")])
def test_doctor_tells_a_damaged_artifact(quick, artifacts, harm):
    harm(artifacts / "below" / "g.h5")
    facts = _diagnosis(artifacts, code=1)
    (line,) = facts["wrong"]
    assert str(artifacts / "below" / "g.h5") in line
    assert facts["folder"]["artifacts"] == "1 good, 1 damaged, 1 not ours"


def test_doctor_removes_what_killed_runs_left_when_it_is_told_to(quick, artifacts):
    left = artifacts / "below" / ".g.h5.0123456789abcdef.tmp"
    left.write_bytes(b"half of it")
    held = artifacts / ".f.h5.0123456789abcdef.tmp"
    held.write_bytes(b"being written")
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (line,) = _diagnosis(artifacts, code=1)["wrong"]
    assert str(left) in line
    assert "--clean" in line
    assert left.exists()
    facts = _diagnosis(artifacts, "--clean")
    assert facts["folder"]["removed"] == 1
    assert not left.exists()
    assert held.read_bytes() == b"being written"
    os.close(descriptor)


def test_doctor_tells_where_locks_do_not_hold(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, how: None)
    facts = _diagnosis(tmp_path, code=1)
    assert facts["folder"]["locks"] == "do not hold"
    assert "locks do not hold" in facts["wrong"][0]
    assert list(tmp_path.iterdir()) == []


def test_doctor_tells_where_nothing_can_be_written(quick, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder.os, "fsync", full)
    facts = _diagnosis(tmp_path, code=1)
    assert "the disk is full" in facts["wrong"][0]
    assert list(tmp_path.iterdir()) == []


def test_doctor_tells_what_fails_while_it_looks(quick, monkeypatch):
    def broken(*arguments):
        raise ImportError("libsomething.so: cannot open\nmore")

    monkeypatch.setattr(doctor, "self_test", broken)
    assert _diagnosis(code=1)["wrong"] == ["self test: libsomething.so: cannot open"]


@pytest.mark.parametrize(
    ("words", "text"),
    [(("--clean",), "--clean needs a FOLDER"), (("nowhere",), "there is no such folder")],
)
def test_doctor_of_no_folder_is_refused(quick, words, text):
    assert_fails(run("doctor", *words), 2, text)


def test_self_test_knows_its_answer():
    facts, wrong = self_test.self_test()
    assert wrong == []
    assert facts["first hits that are right"] == "24 of 24"


def test_self_test_tells_wrong_hits(monkeypatch):
    """As if each query had found a picture of another object."""
    rankings = [Path("search.h5"), Path("rerank.h5"), Path("diffuse.h5")]
    monkeypatch.setattr(self_test, "draw_views", lambda folder: None)
    monkeypatch.setattr(self_test, "_rankings", lambda folder: rankings)
    hits = {"object_1_view_0.png": "object_1_view_1.png", "object_2_view_0.png": "x_7.png"}
    monkeypatch.setattr(self_test, "first_hits", lambda ranking: hits)
    facts, wrong = self_test.self_test()
    assert facts["first hits that are right"] == "3 of 6"
    assert len(wrong) == 3
    assert "the first hit of object_2_view_0.png is x_7.png" in wrong[0]


def test_engines_are_compared_with_torch(monkeypatch):
    """One that is as torch, one that gives something else, and one that does not run."""
    import torch

    other, broken = Engine("onnxruntime"), Engine("openvino")
    monkeypatch.setattr(machine, "_SIDE", 64)
    monkeypatch.setattr(
        engines_of_networks, "candidates", lambda *asked, in_bfloat16: [other, broken, PLAIN]
    )

    def build(backbone, engine, n_threads):
        if engine == broken:
            raise Unavailable("it cannot take this network")
        return lambda images: torch.roll(backbone(images), 1, 1)

    monkeypatch.setattr(engines_of_networks, "build", build)
    rows, wrong = machine.engines(Silent())
    assert [row["engine"] for row in rows] == ["onnxruntime in float32", "torch in float32"]
    assert "nothing here" in rows[0]["good for"]
    assert rows[1]["times as fast as torch"] == 1
    (line,) = wrong
    assert "openvino in float32" in line
    monkeypatch.setattr(engines_of_networks, "build", lambda backbone, *more: backbone)
    rows, wrong = machine.engines(Silent())
    assert rows[0]["cosine"] == pytest.approx(1)
    assert [row["good for"] for row in rows] == [
        "64 photos or more, by itself", "only where it is asked for",
        "every network, and fewer photos",
    ]  # fmt: skip
    assert wrong == []
