"""Only regular files are read; new ones are whole, durable, and follow no link."""

import errno
import io
import os
import socket
import stat

import pytest

from rrtool import files
from rrtool.errors import WorkFailed
from rrtool.files import (
    have_same_content,
    is_same_file,
    new_file,
    open_regular,
    read_regular,
    reclaim,
    temporaries,
    write_durably,
    write_failures,
)


def test_read_regular_gives_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"some bytes")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "a") == read_regular(str(tmp_path / "link")) == b"some bytes"


def test_read_regular_refuses_what_no_memory_holds(tmp_path, monkeypatch):
    class Large(io.BytesIO):
        def read(self, *size):
            raise MemoryError

    monkeypatch.setattr(files, "open_regular", lambda path: Large())
    with pytest.raises(OSError, match="File too large"):
        files.read_regular(tmp_path / "x")


def test_open_regular_refuses_what_may_never_answer(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "fifo", tmp_path / "socket", "/dev/zero"):
            with pytest.raises(OSError, match="not a file"):
                open_regular(path)


def test_open_regular_refuses_folders_and_files_that_are_not_there(tmp_path):
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def _write(path, text="new"):
    write_durably(path, [text])


def test_write_durably_keeps_the_mode_of_what_it_replaces(tmp_path):
    path, previous = tmp_path / "a", os.umask(0o027)
    try:
        _write(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o444, 0o666):
            path.chmod(mode)
            _write(path, f"{mode}")
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert path.read_text() == f"{mode}"
    finally:
        os.umask(previous)
    assert os.listdir(tmp_path) == ["a"]


def test_write_durably_replaces_a_link_and_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    _write(tmp_path / "link")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_text() == "new"


def test_new_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")

    def pieces():
        yield "half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_durably(tmp_path / "a", pieces())
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_new_file_has_a_name_that_nobody_can_guess_and_is_on_the_disk_before_its_own(
    tmp_path, monkeypatch
):
    calls, names = [], set()
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))
        )
    for _ in range(2):
        with new_file(tmp_path / ("a" * 250)):
            names |= {path.name for path in tmp_path.iterdir() if path.name.startswith(".")}
    assert len(names) == 2
    assert calls == ["fsync", "replace", "fsync"] * 2


def test_reclaim_takes_what_nobody_writes_any_more(tmp_path):
    dead = tmp_path / ".a.0123456789abcdef.tmp"
    others = [tmp_path / name for name in (".a.tmp", ".b.0123456789abcdef.tmp", "a.tmp")]
    for path in (dead, *others):
        path.touch()
    (tmp_path / ".a.0123456789abcde0.tmp").symlink_to("a.tmp")
    with new_file(tmp_path / "a"):
        reclaim(tmp_path / "a")
        assert not dead.exists()
        assert len(temporaries(tmp_path / "a")) == 2  # the one being written, and a link
    assert all(path.exists() for path in others)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "your share of the disk is full; free some space"),
        (errno.EROFS, "the file system can only be read; choose another place"),
        (errno.EACCES, "no permission to write there"),
        (errno.EIO, "the disk fails: input/output error"),
        (errno.ENAMETOOLONG, "the name is too long"),
        (errno.EMFILE, "cannot write the output (found"),
    ],
)
def test_write_failures_say_what_is_to_be_done(number, text):
    with pytest.raises(WorkFailed) as error, write_failures("a.h5"):
        raise OSError(number, os.strerror(number))
    assert str(error.value).startswith(f"a.h5: {text}")
    assert ("free some space" in str(error.value)) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_is_same_file_by_any_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "here").symlink_to(".")
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("a")
    for spelling in ("./a", "sub/../a", "here/a", tmp_path / "a", "link"):
        assert is_same_file("a", spelling)
    for spelling in ("./b", "sub/../b", "here/b", tmp_path / "b"):
        assert is_same_file("b", spelling)
    assert not is_same_file("a", "b")
    assert not is_same_file("b", "sub/b")


def test_have_same_content_compares_bytes(tmp_path):
    for name, content in (("a", b"xy"), ("b", b"xy"), ("c", b"xz"), ("d", b"xyz")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    same = {
        name
        for name in ("a", "b", "c", "d", "link", "pipe", "gone", "\0")
        if have_same_content(tmp_path / "a", tmp_path / name)
    }
    assert same == {"a", "b", "link"}
    assert not have_same_content(tmp_path / "gone", tmp_path / "gone")
    assert not have_same_content(tmp_path / "pipe", tmp_path / "d")
