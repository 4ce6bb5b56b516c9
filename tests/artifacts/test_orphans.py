"""What killed runs leave is told from what is being written, and from what is not ours."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

import pytest

from rrtool.artifacts.output.lock import lock_path, output_lock
from rrtool.artifacts.output.orphans import orphan_at, remove_orphan
from rrtool.artifacts.output.parts import claim_parts, part_path, parts_path
from rrtool.files import new_file, temporaries

NEW = ".f.h5.0123456789abcdef.tmp"


def _left(folder, name):
    """A file or folder as a killed run leaves it."""
    path = folder / name
    if name.endswith(".parts"):
        claim_parts(path, "key")
        part_path(path, 0).write_bytes(b"part")
        (path / ".0000001.h5.0123456789abcdef.tmp").write_bytes(b"half")
    else:
        path.write_text("process 1 on a machine" if name.endswith(".lock") else "half")
    return path


@pytest.mark.parametrize("name", [NEW, ".f.h5.parts", ".f.h5.lock"])
def test_orphan_is_known_and_removed(tmp_path, name):
    (tmp_path / "f.h5").write_text("the output")
    path = _left(tmp_path, name)
    orphan = orphan_at(path)
    assert orphan is not None
    n_bytes = sum(each.stat().st_size for each in path.iterdir()) if path.is_dir() else None
    assert orphan.n_bytes == (n_bytes or path.stat().st_size)
    assert remove_orphan(orphan)
    assert [each.name for each in tmp_path.iterdir()] == ["f.h5"]


def test_orphan_parts_say_how_many_are_finished(tmp_path):
    orphan = orphan_at(_left(tmp_path, ".f.h5.parts"))
    assert orphan is not None
    # The key, a part, and one that was not finished.
    assert orphan.what == "1 finished parts of f.h5"


@contextmanager
def _held(path):
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@pytest.mark.parametrize("name", [NEW, ".f.h5.lock"])
def test_orphan_is_nothing_that_somebody_holds(tmp_path, name):
    path = _left(tmp_path, name)
    orphan = orphan_at(path)
    assert orphan is not None
    with _held(path):
        assert orphan_at(path) is None
        assert not remove_orphan(orphan)  # that it is held was not known when it was found
    assert path.exists()


def test_orphan_is_nothing_of_a_run_that_goes_on(tmp_path):
    output = tmp_path / "f.h5"
    parts = _left(tmp_path, ".f.h5.parts")
    orphan = orphan_at(parts)
    assert orphan is not None
    with output_lock(output), new_file(output):
        beside = [parts, lock_path(output), *temporaries(output)]
        assert len(beside) == 3
        assert [orphan_at(path) for path in beside] == [None] * 3
        assert not remove_orphan(orphan)
    assert part_path(parts_path(output), 0).exists()


def _others(folder):
    """Paths that look as if they were ours, and are not beyond doubt."""
    empty_lock = folder / ".a.lock"
    empty_lock.touch()
    short = folder / ".a.0123456789abcde.tmp"
    short.touch()
    visible = folder / "a.0123456789abcdef.tmp"
    visible.touch()
    link = folder / ".b.0123456789abcdef.tmp"
    link.symlink_to(visible)
    twice = folder / ".c.0123456789abcdef.tmp"
    os.link(short, twice)
    with_more = _left(folder, ".d.parts")
    (with_more / "notes.txt").write_text("mine")
    pipe = folder / ".e.0123456789abcdef.tmp"
    os.mkfifo(pipe)
    no_parts = folder / ".f.parts"
    no_parts.write_text("a file")
    folder_of_lock = folder / ".g.lock"
    folder_of_lock.mkdir()
    return [empty_lock, short, visible, link, twice, with_more, pipe, no_parts, folder_of_lock]


def test_orphan_is_nothing_that_is_not_ours(tmp_path):
    for path in _others(tmp_path):
        assert orphan_at(path) is None, path
    assert orphan_at(tmp_path / "nothing") is None


def test_orphan_is_nothing_of_another_user(tmp_path, monkeypatch):
    path = _left(tmp_path, NEW)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    assert orphan_at(path) is None
