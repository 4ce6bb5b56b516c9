"""Artifacts: round trips, being up to date, locks, and parts that survive an interruption."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtool.artifacts import Provenance, create, decode_texts, encode_texts, open_artifact
from rrtool.errors import ArtifactError, UsageError, WorkFailed
from tests.stages.damaging import edited
from tests.tiny import (
    assert_done,
    assert_fails,
    digest_of,
    extract,
    leftovers,
    make_pictures,
    rrtool,
)


def _provenance(**options):
    return Provenance("evaluation", options or {"size": 3}, network={"name": "n"})


def _write(path, datasets, provenance=None, **options):
    with create(path, provenance or _provenance(), **options) as output:
        return output.publish(datasets, extra={"n": 1})


def test_artifact_round_trip(tmp_path):
    data = {
        "a": np.arange(6, dtype=np.float16).reshape(2, 3),
        "g/empty": np.zeros((0, 4), np.int64),
    }
    _write(tmp_path / "a.h5", data)
    with open_artifact(tmp_path / "a.h5") as artifact:
        assert artifact.dataset_names() == ["a", "g/empty"]
        for name, values in data.items():
            np.testing.assert_array_equal(artifact.read_named(name), values)
            assert artifact.layout(name) == (values.dtype, values.shape)
        assert artifact.options == {"size": 3}
        assert artifact.extra == {"n": 1}
        assert artifact.computed_digest() == artifact.digest
        with pytest.raises(ArtifactError, match="there is no b"):
            artifact.read_named("b")
    assert leftovers(tmp_path) == []


def _by_hand(datasets):
    digest = hashlib.blake2b(digest_size=16)
    for name, values in sorted(datasets.items()):
        digest.update(f"{name}\0{values.dtype.str}\0{values.shape}\0".encode() + values.tobytes())
    return digest.hexdigest()


def test_times_of_files_are_no_content_but_of_formats_before_the_third(tmp_path):
    data = {"file_signatures": np.arange(4).reshape(2, 2), "x": np.zeros(2)}
    _write(tmp_path / "a.h5", data)
    assert digest_of(tmp_path / "a.h5") == _by_hand({"x": data["x"]})
    with open_artifact(tmp_path / "a.h5") as artifact:
        assert artifact.computed_digest() == artifact.digest
    with edited(tmp_path / "a.h5") as file:
        file.attrs["format_version"] = 2
    with open_artifact(tmp_path / "a.h5") as artifact:
        assert artifact.computed_digest() == _by_hand(data)


@given(st.lists(st.binary(max_size=9)))
def test_texts_round_trip_of_any_bytes(contents):
    texts = [os.fsdecode(content) for content in contents]
    columns = encode_texts(texts, "t")
    assert decode_texts(columns["t/bytes"], columns["t/offsets"]) == texts


def test_create_same_options_is_current_and_other_options_are_an_error(tmp_path):
    path = _write(tmp_path / "a.h5", {"x": np.zeros(2)})
    with create(path, _provenance()) as output:
        assert output.is_current
    with pytest.raises(ArtifactError, match=r"another --size .expected 4, found 3.*--overwrite"), \
            create(path, _provenance(size=4)):  # fmt: skip
        pass
    with create(path, _provenance(size=4), overwrite=True) as output:
        assert not output.is_current
        output.publish({"x": np.ones(2)})
    with open_artifact(path) as artifact:
        assert artifact.options == {"size": 4}


def test_create_refuses_to_replace_what_is_no_artifact(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="no artifact that could be replaced"), \
            create(tmp_path / "thesis.txt", _provenance(), overwrite=True):  # fmt: skip
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    for place in (tmp_path, tmp_path / "no" / "a.h5"):
        with pytest.raises(UsageError), create(place, _provenance()):
            pass


def test_extract_again_is_a_no_op_and_other_options_exit_4(tmp_path):
    images, output = make_pictures(tmp_path / "images", 2), tmp_path / "f.h5"
    assert_done(extract(images, output))
    before = output.read_bytes()
    result = extract(images, output)
    assert_done(result)
    assert "is up to date" in result.stderr
    assert output.read_bytes() == before
    assert_fails(extract(images, output, "--pool", "mac"), 4, "--pool", "--overwrite")
    assert output.read_bytes() == before
    assert_done(extract(images, output, "--pool", "mac", "--overwrite"))
    assert output.read_bytes() != before
    assert leftovers(tmp_path) == []


def test_lock_of_another_process_stops_the_run_and_vanishes_with_it(tmp_path):
    path = tmp_path / "a.h5"
    code = (
        "import sys; from pathlib import Path\n"
        "from rrtool.artifacts.output.lock import output_lock\n"
        "with output_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(WorkFailed, match=f"another run.*found process {holder.pid} on"), \
            create(path, _provenance()):  # fmt: skip
        pass
    holder.kill()
    holder.wait()
    _write(path, {"x": np.zeros(1)})
    assert leftovers(tmp_path) == []


def _parts():
    return [
        {"x": np.full((n, 2), n, np.float32), "offsets": np.arange(n + 1) * 2} for n in (2, 0, 3)
    ]


def test_parts_of_an_interrupted_run_are_continued(tmp_path):
    path = tmp_path / "a.h5"
    with create(path, _provenance()) as output:
        assert output.missing_parts(3) == [0, 1, 2]
        output.write_part(1, _parts()[1])
    with create(path, _provenance()) as output:
        assert output.missing_parts(3) == [0, 2]
        for number in (2, 0):
            output.write_part(number, _parts()[number])
        output.publish({}, n_parts=3)
    expected = {"x": np.repeat([[2.0], [3]], [2, 3], axis=0).repeat(2, axis=1).astype(np.float32)}
    _write(tmp_path / "b.h5", {**expected, "offsets": np.arange(6) * 2})
    assert digest_of(path) == digest_of(tmp_path / "b.h5")
    assert leftovers(tmp_path) == []


def test_parts_of_other_options_are_discarded(tmp_path):
    with create(tmp_path / "a.h5", _provenance()) as output:
        output.missing_parts(3)
        output.write_part(0, _parts()[0])
    with create(tmp_path / "a.h5", _provenance(size=4)) as output:
        assert output.missing_parts(3) == [0, 1, 2]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=5))
def test_joined_parts_equal_one_write(tmp_path_factory, counts_by_part):
    folder = tmp_path_factory.mktemp("join")

    def columns(counts):
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return {"g/offsets": offsets, "rows": np.array(counts, np.int16)}

    with create(folder / "a.h5", _provenance()) as output:
        output.missing_parts(len(counts_by_part))
        for number, counts in enumerate(counts_by_part):
            output.write_part(number, columns(counts))
        output.publish({}, n_parts=len(counts_by_part), compress=frozenset({"rows"}))
    _write(folder / "b.h5", columns([n for counts in counts_by_part for n in counts]))
    assert digest_of(folder / "a.h5") == digest_of(folder / "b.h5")


def test_inspect_verify_detects_changed_content(tmp_path):
    path = _write(tmp_path / "a.h5", {"x": np.zeros(3)})
    assert_done(rrtool("inspect", path, "--verify"))
    with edited(path) as file:
        file["x"][1] = 1
    assert_done(rrtool("inspect", path))
    assert_fails(rrtool("inspect", path, "--verify"), 4, "not what was written")
