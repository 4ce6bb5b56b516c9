"""import of tuple files: what is in them, of the photos that are there; nothing of them is run."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Tuples, open_artifact
from rrtool.errors import OptionError, RrtoolError, UsageError
from tests.tiny import assert_done, make_pictures, skipped_rows
from tests.tiny import rrtool as run

CIDS = [
    f"{letter * 2}{i:02d}{letter}0{i:02d}ab{i % 3}{letter}" for i, letter in enumerate("abcdef")
]


def _place(cid: str) -> str:
    """As the framework has it, character by character."""
    folders = [cid[len(cid) - 2 :], cid[len(cid) - 4 : len(cid) - 2],
               cid[len(cid) - 6 : len(cid) - 4]]  # fmt: skip
    return "/".join([*folders, cid])


def _split(**changed: Any) -> dict[str, Any]:
    return {
        "cids": CIDS, "cluster": [7, 3, 7, 3, 5, 7], "qidxs": [0, 1, 5], "pidxs": [2, 3, 0],
        "bbxs": [None] * 6, **changed,
    }  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos in their folders; they have no suffix, as those of SfM120k."""
    folder = tmp_path_factory.mktemp("sfm")
    make_pictures(folder / "made", len(CIDS))
    for source, cid in zip(sorted((folder / "made").iterdir()), CIDS, strict=True):
        target = folder / "ims" / _place(cid)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return folder / "ims"


def _write(path: Path, train: object, **more: object) -> Path:
    path.write_bytes(pickle.dumps({"train": train, **more}, protocol=2))
    return path


@pytest.mark.parametrize("as_arrays", [False, True])
def test_tuples_are_those_of_the_file(photos: Path, tmp_path: Path, as_arrays: bool) -> None:
    split = _split()
    if as_arrays:
        split |= {key: np.array(split[key]) for key in ("cluster", "qidxs", "pidxs")}
    source = _write(tmp_path / "t.pkl", split, val=_split(qidxs=[4 - 2], pidxs=[0]))
    path = rrtool.import_(source, tmp_path / "t.h5", images=photos)
    with open_artifact(path, Tuples) as tuples:
        groups, pairs = tuples.checked()
        assert tuples.names == [_place(cid) for cid in CIDS]
        assert groups.tolist() == [0, 1, 0, 1, 2, 0]
        assert pairs.tolist() == [[0, 2], [1, 3], [5, 0]]
        assert tuples.images == str(photos)
        assert tuples.input("images").path == str(photos)
    val = rrtool.import_(source, tmp_path / "v.h5", images=photos, split="val")
    with open_artifact(val, Tuples) as tuples:
        assert tuples.pairs.tolist() == [[2, 0]]
    with pytest.raises(RrtoolError, match="made with another --split"):
        rrtool.import_(source, tmp_path / "t.h5", images=photos, split="val")


def test_photos_that_are_not_there_are_listed_and_left_out(photos: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    shutil.copytree(photos, some)
    (some / _place(CIDS[2])).unlink()
    source = _write(tmp_path / "t.pkl", _split())
    done = run("import", str(source), "--images", str(some), "-o", str(tmp_path / "t.h5"))
    assert_done(done, 3)
    assert "1 of 6 photos are not below" in done.stderr
    assert "1 of 3 pairs are left out" in done.stderr
    assert [*skipped_rows(tmp_path / "t.h5")] == [_place(CIDS[2])]
    with open_artifact(tmp_path / "t.h5", Tuples) as tuples:
        groups, pairs = tuples.checked()
        assert groups.tolist() == [0, 1, -1, 1, 2, 0]
        assert pairs.tolist() == [[1, 3], [5, 0]]


class _Runs:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit(99)",)


@pytest.mark.parametrize(
    ("split", "error"),
    [
        (_split(qidxs=[0, 1, 6]), "not in cids"),
        (_split(pidxs=[-1, 3, 0]), "not in cids"),
        (_split(qidxs=[0, 1]), "pidxs of another length"),
        (_split(cluster=[7, 3]), "cluster of another length"),
        (_split(cluster=[7, 3, float("nan"), 3, 5, 7]), "cluster that are no numbers"),
        (_split(cluster=[7, 3, 2.5, 3, 5, 7]), "cluster that are no numbers"),
        (_split(cluster=[7, 3, "x", 3, 5, 7]), "cluster that are no numbers"),
        (_split(pidxs=[2, 3, 5]), "of an image with itself"),
        (_split(pidxs=[2, 3, 4]), "of two clusters"),
        (_split(qidxs=[], pidxs=[]), "no qidxs"),
        (_split(cids=[]), "no cids"),
        (_split(cids=["../../../etc/passwd", *CIDS[1:]]), "no names of files"),
        (_split(cids=["a", *CIDS[1:]]), "no names of files"),
        (_split(cids=[7, *CIDS[1:]]), "no names of files"),
        (_split(cids=[CIDS[1], *CIDS[1:]]), "a name occurs twice"),
        (_split(cids=[f"other{i}x" for i in range(6)]), "no pair has both its photos"),
        ([1, 2], "no such split"),
        (None, "no such split"),
        (_Runs(), "asks for more than plain data"),
    ],
)
def test_what_is_no_tuple_file_is_refused(
    photos: Path, tmp_path: Path, split: object, error: str
) -> None:
    source = _write(tmp_path / "t.pkl", split)
    with pytest.raises(UsageError, match=error):
        rrtool.import_(source, tmp_path / "t.h5", images=photos)
    assert not (tmp_path / "t.h5").exists()


def test_options_of_tuples_go_with_tuples(photos: Path, tmp_path: Path) -> None:
    source = _write(tmp_path / "t.pkl", _split())
    with pytest.raises(UsageError, match="--images, their folder"):
        rrtool.import_(source, tmp_path / "t.h5")
    for options in ({"names": "x.txt"}, {"network_name": "net"}):
        with pytest.raises(OptionError, match="does not go with tuples"):
            rrtool.import_(source, tmp_path / "t.h5", images=photos, **options)
    for options in ({"images": photos}, {"split": "val"}):
        with pytest.raises(OptionError, match="goes with tuples"):
            rrtool.import_("x.npz", tmp_path / "t.h5", **options)
