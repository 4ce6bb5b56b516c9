"""What a file from elsewhere may not hold: refused at opening, before anything is read of it."""

from __future__ import annotations

import os
import shutil

import h5py
import numpy as np
import pytest

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Evaluation
from rrtool.errors import ArtifactError, UsageError
from tests.artifacts.made_kinds import make_artifact
from tests.stages.damaging import edited
from tests.tiny import assert_fails, rrtool

SECRET = b"root:x:0:0:root:/root:/bin/bash\n"
HUGE = (1 << 40, 1 << 20)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "e.h5"
    return make_artifact(Evaluation, path, np.random.default_rng(0))


@pytest.fixture
def folder(tmp_path, good, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "passwd").write_bytes(SECRET)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.frombuffer(SECRET, np.uint8)
    shutil.copy(good, "e.h5")
    return tmp_path


def _soft(file):
    file["x"] = h5py.SoftLink("/a/b")


def _soft_in_a_group(file):
    file["a/x"] = h5py.SoftLink("/nowhere")


def _external(file):
    file["x"] = h5py.ExternalLink("other.h5", "/x")


def _external_for_all(file):
    del file["c"]
    file["c"] = h5py.ExternalLink("other.h5", "/x")


def _hard_again(file):
    file["x"] = file["a/b"]


def _circle(file):
    file["a/a"] = file["a"]


def _circle_to_the_root(file):
    file["a/a"] = file["/"]


def _type(file):
    file["x"] = np.dtype("f4")


def _stored_elsewhere(file):
    file.create_dataset("x", (len(SECRET),), "u1", external=[("passwd", 0, len(SECRET))])


def _virtual(file):
    layout = h5py.VirtualLayout((len(SECRET),), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (len(SECRET),))
    file.create_virtual_dataset("x", layout)


def _virtual_without_end(file):
    layout = h5py.VirtualLayout((1,), "u1", maxshape=(None,))
    source = h5py.VirtualSource("other.h5", "x", (len(SECRET),), maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("x", layout)


def _compound(file):
    file["x"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def _texts(file):
    file["x"] = ["a", "b"]


def _reference(file):
    file.create_dataset("x", data=[file["c"].ref], dtype=h5py.ref_dtype)


def _truths(file):
    file["x"] = np.ones(3, bool)


def _complex(file):
    file["x"] = np.ones(3, complex)


def _plugin(file):
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((4,))
    made.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, space, made)


def _scale_and_offset(file):
    file.create_dataset("x", data=np.arange(9), scaleoffset=0)


def _huge(file):
    file.create_dataset("x", HUGE, "f4")


def _huge_of_chunks(file):
    file.create_dataset("x", HUGE, "f4", chunks=(1, 1 << 20), fillvalue=1)


def _huge_and_compressed(file):
    dataset = file.create_dataset("x", HUGE, "f4", chunks=(1, 1 << 20), compression="lzf")
    dataset[0] = 1


def _a_chunk_left_out(file):
    file.create_dataset("x", (8,), "f4", chunks=(4,))[:4] = 1


def _long_and_empty(file):
    file.create_dataset("x", (0, 1 << 50), "f4")


def _never_written(file):
    file.create_dataset("x", (8,), "f4")


WAYS = [
    _soft, _soft_in_a_group, _external, _external_for_all, _hard_again, _circle,
    _circle_to_the_root, _type, _stored_elsewhere, _virtual, _virtual_without_end, _compound,
    _texts, _reference, _truths, _complex, _plugin, _scale_and_offset, _huge, _huge_of_chunks,
    _huge_and_compressed, _a_chunk_left_out, _long_and_empty, _never_written,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_no_artifact_has_is_refused_at_opening(folder, way):
    with edited("e.h5") as file:
        way(file)
    with pytest.raises(ArtifactError, match="no artifact has ") as error:
        open_artifact("e.h5")
    assert "root" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("way", [_external_for_all, _stored_elsewhere])
def test_inspect_shows_nothing_of_other_files(folder, way):
    with edited("e.h5") as file:
        way(file)
    line = assert_fails(rrtool("inspect", "e.h5", "--verify"), 4, "e.h5", "no artifact has")
    assert "root" not in line


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": (3, 2)},
        {"chunks": (3, 2), "compression": "lzf", "shuffle": True},
        {"chunks": True, "compression": "gzip", "compression_opts": 9},
        {"chunks": (300, 200), "fletcher32": True},
    ],
)
def test_chunks_that_are_all_there_are_read(folder, storage):
    values = np.zeros((300, 200), np.int32)
    with edited("e.h5") as file:
        file.create_dataset("x", data=values, **storage)
    with open_artifact("e.h5") as artifact:
        np.testing.assert_array_equal(artifact.read_named("x"), values)


def test_attributes_are_single_texts_and_numbers(folder):
    for value in (np.zeros(9), np.zeros((), [("a", "f4")]), h5py.Empty("f4"), 1.5, np.inf):
        shutil.copy("e.h5", "changed.h5")
        with edited("changed.h5") as file:
            file.attrs["format_version"] = value
        with pytest.raises(ArtifactError, match="format_version"):
            open_artifact("changed.h5")


def test_json_without_end_is_one_line(folder):
    with edited("e.h5") as file:
        file.attrs["options"] = "[" * 100_000
    with pytest.raises(ArtifactError, match="options"):
        open_artifact("e.h5")


def test_heap_of_texts_that_hdf5_would_never_leave_is_refused(folder):
    with edited("e.h5") as file:
        file.attrs["format_version"] = 1
    content = bytearray((folder / "e.h5").read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 64] = bytes(48)  # objects of the number 0 and the length 0
    (folder / "new.h5").write_bytes(content)
    (folder / "old.h5").write_bytes(content[:-20])  # without the footer there are no checksums
    with pytest.raises(ArtifactError, match="other bytes than were written"):
        open_artifact("new.h5")
    with pytest.raises(ArtifactError, match="texts of impossible length"):
        open_artifact("old.h5")


def test_data_may_begin_like_a_heap(folder):
    values = np.frombuffer(b"GCOL" + bytes(60), np.uint8)
    with edited("e.h5") as file:
        file["x"] = values
    with open_artifact("e.h5") as artifact:
        np.testing.assert_array_equal(artifact.read_named("x"), values)


def test_pipe_or_device_in_place_of_an_artifact_is_refused_at_once(folder):
    os.mkfifo("pipe.h5")
    for path in ("pipe.h5", "/dev/zero"):
        with pytest.raises(UsageError, match="a pipe, a socket or a device"):
            open_artifact(path)
