"""Damaged bytes are told, wherever they lie; nothing is ever read as something else."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from rrtool.artifacts import Artifact, Provenance, create, open_artifact
from rrtool.artifacts.checksums import BLOCK, VerifiedBytes, add_checksums
from rrtool.artifacts.kinds import KINDS
from rrtool.artifacts.schema import Column
from rrtool.errors import ArtifactError, WorkFailed
from tests.artifacts.damage import contents, damaged_copies, outcome
from tests.artifacts.made_kinds import make_artifact
from tests.tiny import digest_of

ROWS = np.arange(3 * BLOCK, dtype=np.float32).reshape(-1, 64)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_damage_of_any_kind_of_artifact_is_refused(tmp_path, kind):
    generator = np.random.default_rng(8)
    path = make_artifact(kind, tmp_path / "a.h5", generator)
    with open_artifact(path) as artifact:
        expected = contents(artifact)
    content = path.read_bytes()
    for said, copy in damaged_copies(content, 40, generator):
        path.write_bytes(copy)
        assert copy == content or outcome(path, expected) == "refused", said


def _flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def large(tmp_path):
    with create(tmp_path / "a.h5", Provenance("evaluation", {})) as output:
        return output.publish({"x": ROWS})


def test_slices_are_verified_by_themselves(large):
    _flip(large, 9 * BLOCK + 5)
    with open_artifact(large) as artifact:
        np.testing.assert_array_equal(artifact.read_named("x", slice(0, 900)), ROWS[:900])
        for rows in (slice(1000, None), slice(None)):
            with pytest.raises(ArtifactError, match=f"after byte {9 * BLOCK}.*--overwrite"):
                artifact.read_named("x", rows)
        np.testing.assert_array_equal(artifact.read_named("x", slice(7, 9)), ROWS[7:9])


def test_other_programs_read_it_and_datasets_are_as_they_were(large):
    with h5py.File(large) as file:
        np.testing.assert_array_equal(file["x"][()], ROWS)
        assert file["x"].chunks is None


def test_file_that_another_program_changed_is_refused(large):
    with h5py.File(large, "r+") as file:
        file["x"][0] = 1
    with pytest.raises(ArtifactError, match="checksums are gone"):
        open_artifact(large)


def test_files_of_the_format_without_checksums_are_read(large):
    with h5py.File(large, "r+") as file:  # which removes them
        file.attrs["format_version"] = 1
    with open_artifact(large) as artifact:
        np.testing.assert_array_equal(artifact.read_named("x"), ROWS)


@pytest.mark.parametrize("n_bytes", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_bytes_of_any_length_come_back(tmp_path, n_bytes):
    content = np.random.default_rng(n_bytes).bytes(n_bytes)
    path = tmp_path / "a"
    path.write_bytes(content)
    with open(path, "r+b") as file:
        add_checksums(file)
    with VerifiedBytes(path) as verified:
        assert verified.has_checksums
        assert verified.read() == content
        for start, length in ((0, 3), (n_bytes // 2, BLOCK), (max(0, BLOCK - 2), 5)):
            verified.seek(start)
            found = bytearray(b"?" * length)
            verified.readinto(found)
            assert found == content[start : start + length].ljust(length, b"\0")
    assert path.stat().st_size == n_bytes + 4 * -(-n_bytes // BLOCK) + 20


def _part(number):
    return {"x": ROWS[number * 9 : number * 9 + 9], "offsets": np.arange(10) * 3}


def _resumed(path, *, parts):
    """Which parts a rerun makes, and the digest of what it publishes."""
    with create(path, Provenance("evaluation", {})) as output:
        made = output.missing_parts(parts)
        for number in made:
            output.write_part(number, _part(number))
        output.publish({}, n_parts=parts)
    return made, digest_of(path)


def _unfinished(path, *, parts):
    with create(path, Provenance("evaluation", {})) as output:
        output.missing_parts(parts)
        for number in range(parts):
            output.write_part(number, _part(number))
    return path.with_name(f".{path.name}.parts")


def test_damaged_parts_are_made_again(tmp_path):
    _, expected = _resumed(tmp_path / "whole.h5", parts=24)
    folder = _unfinished(tmp_path / "a.h5", parts=24)
    size = (folder / "0000000.h5").stat().st_size
    for number in range(1, 22):
        _flip(folder / f"{number:07d}.h5", number * size // 22)
    (folder / "0000022.h5").write_bytes(b"")
    (folder / "0000023.h5").unlink()
    made, digest = _resumed(tmp_path / "a.h5", parts=24)
    assert made == list(range(1, 24))
    assert digest == expected


@pytest.mark.parametrize(
    "damage",
    [lambda key: key.write_bytes(b"\xff\xfe"), lambda key: os.truncate(key, 1 << 42)],
    ids=["no text", "larger than the memory"],
)
def test_damaged_key_of_parts_makes_all_of_them_again(tmp_path, damage):
    damage(_unfinished(tmp_path / "a.h5", parts=2) / "key")
    assert _resumed(tmp_path / "a.h5", parts=2)[0] == [0, 1]


def test_part_that_is_damaged_before_it_is_joined_is_told_and_made_by_the_rerun(tmp_path):
    folder = _unfinished(tmp_path / "a.h5", parts=3)
    with create(tmp_path / "a.h5", Provenance("evaluation", {})) as output:
        assert output.missing_parts(3) == []
        _flip(folder / "0000001.h5", 3000)
        with pytest.raises(WorkFailed, match=r"0000001.*finished part is damaged.*same command"):
            output.publish({}, n_parts=3)
        with pytest.raises(WorkFailed, match="finished part is damaged"):
            list(output.read_parts(Column("float32", "n d", name="x"), 3))
        assert output.read_part(1) is None
        assert sorted(output.read_part(0)) == ["offsets", "x"]
    assert _resumed(tmp_path / "a.h5", parts=3)[0] == [1]


def test_up_to_date_output_that_is_damaged_is_replaced_with_overwrite(large):
    _flip(large, 100)
    with create(large, Provenance("evaluation", {}), overwrite=True) as output:
        assert not output.is_current
        output.publish({"x": ROWS})
    with open_artifact(large) as artifact:
        assert isinstance(artifact, Artifact)
