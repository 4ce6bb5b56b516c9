"""Only regular files are read."""

import os
import socket

import pytest

from rrtool.files import open_regular, read_regular


def test_read_regular_gives_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"some bytes")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "a") == read_regular(str(tmp_path / "link")) == b"some bytes"


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
