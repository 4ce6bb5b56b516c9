"""What stands under the names that a run needs: others' files stay, those of killed runs go."""

from __future__ import annotations

import os
import signal
import stat

import h5py
import numpy as np
import pytest

from rrtool.artifacts import Provenance, create, skipped_list_path, write_skipped_list
from rrtool.artifacts.checksums import add_checksums
from rrtool.artifacts.output.lock import output_lock
from rrtool.artifacts.output.writer import renew
from rrtool.errors import ArtifactError, UsageError
from tests.tiny import digest_of, leftovers, skipped_rows

X = {"x": np.zeros(2)}
LEFT = ".a.h5.0123456789abcdef.tmp"


def _provenance(size=3):
    return Provenance("evaluation", {"size": size})


def _write(path, size=3, datasets=X, **options):
    with create(path, _provenance(size), **options) as output:
        return output.publish(datasets)


def _interrupted(path, size=3):
    """A run that has finished one of two parts."""
    with create(path, _provenance(size)) as output:
        output.missing_parts(2)
        output.write_part(0, X)


@pytest.mark.parametrize("name", [".a.h5.lock", ".a.h5.tmp"])
def test_link_under_a_name_of_ours_is_never_followed(tmp_path, name):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / name).symlink_to("mine")
    if name.endswith(".lock"):
        with pytest.raises(UsageError, match=r"a\.h5\.lock: .* in the way .found a link.; remove"):
            _write(tmp_path / "a.h5")
    else:
        _write(tmp_path / "a.h5")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / name).is_symlink()


def _hard_link(path):
    os.link(path.parent / "mine", path)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (os.mkdir, "a folder"),
        (os.mkfifo, "a pipe"),
        (lambda path: path.write_text("notes"), "a file"),
        (_hard_link, "a file"),
    ],
)
def test_what_is_no_lock_stays_and_is_called_by_its_name(tmp_path, make, found):
    (tmp_path / "mine").touch()
    lock = tmp_path / ".a.h5.lock"
    make(lock)
    with pytest.raises(UsageError, match=rf"a\.h5\.lock: .*in the way .found {found}.*; remove it"):
        _write(tmp_path / "a.h5")
    assert os.path.lexists(lock)


def test_lock_that_a_killed_run_left_is_taken(tmp_path):
    (tmp_path / ".a.h5.lock").write_text("process 1 on moon")
    _write(tmp_path / "a.h5")
    assert leftovers(tmp_path) == []


def test_parts_in_a_folder_behind_a_link_are_not_touched(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "0000000.h5").write_text("mine")
    parts = tmp_path / ".a.h5.parts"
    parts.symlink_to("mine")
    with pytest.raises(UsageError, match=r"a\.h5\.parts: .*in the way .found a link.; remove it"):
        _interrupted(tmp_path / "a.h5")
    _write(tmp_path / "a.h5")  # a run without parts does not need the name
    assert os.listdir(mine) == ["0000000.h5"]


def test_folder_of_parts_with_a_foreign_file_keeps_it(tmp_path):
    _interrupted(tmp_path / "a.h5")
    parts = tmp_path / ".a.h5.parts"
    (parts / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"a\.h5\.parts: .*found a folder with notes\.txt"):
        _interrupted(tmp_path / "a.h5")
    assert (parts / "notes.txt").read_text() == "mine"
    parts.rename(tmp_path / "moved")
    parts.write_text("a file")
    with pytest.raises(UsageError, match=r"a\.h5\.parts: .*found a file.; remove it"):
        _interrupted(tmp_path / "a.h5")


def _drop(file):
    del file["x"]


def _reshape(file):
    values = file["x"][:]
    del file["x"]
    file["x"] = values[None]


def _change(file):
    file["x"][0] = 1


@pytest.mark.parametrize("change", [None, _drop, _reshape, _change])
def test_part_that_another_program_wrote_anew_is_not_taken(tmp_path, change):
    _interrupted(tmp_path / "a.h5")
    if change:  # by one that also writes checksums of its own
        path = tmp_path / ".a.h5.parts" / "0000000.h5"
        with h5py.File(path, "r+") as file:
            change(file)
        with path.open("r+b") as content:
            add_checksums(content)
    with create(tmp_path / "a.h5", _provenance()) as output:
        assert output.missing_parts(2) == ([0, 1] if change else [1])
        assert (output.read_part(0) is None) == bool(change)


def test_part_of_another_run_is_not_taken(tmp_path):
    for name, size in (("a.h5", 3), ("b.h5", 4)):
        _interrupted(tmp_path / name, size)
    (tmp_path / ".b.h5.parts" / "0000000.h5").rename(tmp_path / ".a.h5.parts" / "0000000.h5")
    with create(tmp_path / "a.h5", _provenance()) as output:
        assert output.missing_parts(2) == [0, 1]


def test_parts_that_are_links_are_not_taken_over(tmp_path):
    _interrupted(tmp_path / "a.h5")
    part = tmp_path / ".a.h5.parts" / "0000000.h5"
    part.rename(tmp_path / "mine.h5")
    part.symlink_to(tmp_path / "mine.h5")
    with create(tmp_path / "a.h5", _provenance()) as output:
        assert output.missing_parts(2) == [0, 1]
    assert (tmp_path / "mine.h5").exists()
    assert stat.S_IMODE((tmp_path / ".a.h5.parts").stat().st_mode) == 0o700


def _killed_after_publishing(path):
    """An artifact beside the parts, the lock and the new file of the run that made it."""
    _interrupted(path)
    parts = path.with_name(".a.h5.parts")
    parts.rename(path.with_name("kept"))
    _write(path)
    path.with_name("kept").rename(parts)
    (parts / ".0000001.h5.0123456789abcdef.tmp").touch()
    for name in (LEFT, ".a.h5.lock", ".a.skipped.tsv.0123456789abcdef.tmp"):
        path.with_name(name).touch()
    os.utime(path, (0, 0))


@pytest.mark.parametrize("again", [renew, _write])
def test_what_a_killed_run_left_goes_at_the_next_though_it_is_up_to_date(tmp_path, again):
    path = tmp_path / "a.h5"
    _killed_after_publishing(path)
    if again is renew:
        renew(path)
    else:
        with create(path, _provenance()) as output:
            assert output.is_current
    assert leftovers(tmp_path) == []
    assert path.stat().st_mtime > 0


def test_renew_leaves_a_run_that_is_writing_alone(tmp_path):
    _write(tmp_path / "a.h5")
    with output_lock(tmp_path / "a.h5"):
        (tmp_path / LEFT).touch()
        renew(tmp_path / "a.h5")
        assert leftovers(tmp_path) == sorted([LEFT, ".a.h5.lock"])


def test_overwrite_never_replaces_an_hdf5_file_of_others_but_a_damaged_artifact(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["weights"] = np.arange(3)
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="no artifact that could be replaced"):
        _write(path, overwrite=True)
    assert path.read_bytes() == before
    path.unlink()
    _write(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["digest"]
    _write(path, overwrite=True)
    digest_of(path)


def test_artifact_keeps_the_mode_of_the_one_it_replaces(tmp_path):
    path = _write(tmp_path / "a.h5")
    path.chmod(0o600)
    _write(path, size=4, overwrite=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_while_hdf5_writes_is_none_of_its_failures(tmp_path, monkeypatch, number):
    """Raised within what HDF5 calls back, it would become an error of HDF5, or nothing."""
    from rrtool.artifacts.output import storage

    write, n_writes = storage._Storage.write, []

    def interrupting(self, data):
        n_writes.append(len(n_writes))
        if len(n_writes) == 2:
            os.kill(os.getpid(), number)
        return write(self, data)

    monkeypatch.setattr(storage._Storage, "write", interrupting)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _write(tmp_path / "a.h5")
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert os.listdir(tmp_path) == []


SKIPPED = [("b.jpg", "broken"), ("c.jpg", "gone")]


def test_list_of_skipped_inputs_replaces_and_removes_its_own_alone(tmp_path):
    output, path = tmp_path / "f.h5", tmp_path / "f.skipped.tsv"
    assert write_skipped_list(output, SKIPPED) == path == skipped_list_path(output)
    assert skipped_rows(output) == dict(SKIPPED)
    write_skipped_list(output, SKIPPED[:1])
    assert list(skipped_rows(output)) == ["b.jpg"]
    write_skipped_list(tmp_path / "f.hdf5", SKIPPED)  # of another output with this stem
    assert list(skipped_rows(output)) == ["b.jpg"]
    write_skipped_list(output, [])
    assert os.listdir(tmp_path) == ["f.skipped-2.tsv"]


@pytest.mark.parametrize(
    "content", ["name\treason\nmine\tkept\n", "", "# rrtool: something else\n"]
)
def test_list_of_skipped_inputs_leaves_others_alone(tmp_path, content):
    output, foreign = tmp_path / "f.h5", tmp_path / "f.skipped.tsv"
    foreign.write_text(content)
    write_skipped_list(output, [])
    assert write_skipped_list(output, SKIPPED) == tmp_path / "f.skipped-2.tsv"
    assert skipped_list_path(output) == tmp_path / "f.skipped-2.tsv"
    write_skipped_list(output, [])
    assert foreign.read_text() == content
    assert os.listdir(tmp_path) == ["f.skipped.tsv"]
