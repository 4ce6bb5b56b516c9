"""Shares of a collection, joined: what one run makes of all of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import rrtool
from rrtool.errors import ArtifactError, OptionError, UsageError
from rrtool.stages.amount import parts_of
from tests import tiny
from tests.stages.update_sequences import NETWORK, OUTPUTS, describe, differences, one_thread
from tests.tiny import make_pictures

N_SHARES = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine photos and odd files, in parts of two rows: all at once, and in three shares."""
    folder = tmp_path_factory.mktemp("shares")
    photos = make_pictures(folder / "photos", 8)
    (photos / "0040.png").write_bytes(b"no picture")
    (photos / "raw.cr2").write_bytes(b"II*\0\0\0\0\0CR\2\0" + bytes(60))
    (photos / "notes.txt").write_text("no photo")
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_of, "__defaults__", (2,))
        describe(photos, folder / "whole")
        for number in range(1, N_SHARES + 1):
            describe(photos, folder / str(number), shard=f"{number}/{N_SHARES}")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(parts_of, "__defaults__", (2,))
    monkeypatch.chdir(made)
    return tmp_path


def _shares(name: str, order: str = "213") -> list[str]:
    return [f"{number}/{name}" for number in order]


def test_merged_shares_are_what_one_run_makes(made: Path, here: Path) -> None:
    for name in OUTPUTS.values():
        assert rrtool.merge(_shares(name), here / name) == here / name
        whole, merged = (made / "whole" / name), (here / name)
        beside = [
            path.with_name(f"{path.stem}.skipped.tsv").read_text() for path in (whole, merged)
        ]
        assert beside[0] == beside[1]
        with rrtool.open(whole) as one, rrtool.open(merged) as other:
            assert one.identity() == other.identity()
    assert differences(made / "whole", here) == []


def test_merged_shares_are_up_to_date_for_the_command_that_makes_all(here: Path) -> None:
    for name in OUTPUTS.values():
        rrtool.merge(_shares(name), here / name)
    before = {name: tiny.digest_of(here / name) for name in OUTPUTS.values()}
    with one_thread():
        describe(Path("photos"), here)
    assert {name: tiny.digest_of(here / name) for name in OUTPUTS.values()} == before


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ("13", "a share is missing before this one"),
        ("23", "a share is missing before this one"),
        ("12", "the last share is missing"),
        ("1223", "another share has some of the rows"),
    ],
)
def test_gaps_and_overlaps_are_refused(here: Path, shares: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        rrtool.merge(_shares("f.h5", shares), here / "f.h5")
    assert os.listdir(here) == []


def test_strangers_are_refused(made: Path, here: Path) -> None:
    with pytest.raises(ArtifactError, match="this is no share"):
        rrtool.merge([*_shares("f.h5", "12"), "whole/f.h5"], here / "f.h5")
    with pytest.raises(ArtifactError, match=r"made otherwise .kind"):
        rrtool.merge([*_shares("f.h5", "12"), "3/l.h5"], here / "f.h5")
    options = {**NETWORK, "scales": "1"}
    with one_thread():
        rrtool.extract("photos", here / "o.h5", shard="3/3", **options)
    with pytest.raises(ArtifactError, match=r"made otherwise .options"):
        rrtool.merge([*_shares("f.h5", "12"), here / "o.h5"], here / "f.h5")
    shutil.copytree(made / "photos", here / "photos")
    os.utime(here / "photos" / "000.png")
    with one_thread():
        rrtool.extract(here / "photos", here / "p.h5", shard="3/3", **NETWORK)
    with pytest.raises(ArtifactError, match=r"made otherwise .inputs"):
        rrtool.merge([*_shares("f.h5", "12"), here / "p.h5"], here / "f.h5")


def test_share_of_another_number_is_named(made: Path, here: Path) -> None:
    shutil.copy(made / "1" / "f.h5", here / "f.h5")
    with pytest.raises(ArtifactError, match=r"another --shard .expected 2/3, found 1/3"):
        rrtool.extract("photos", here / "f.h5", shard="2/3", **NETWORK)
    with pytest.raises(ArtifactError, match=r"another --shard .expected unset, found 1/3"):
        rrtool.extract("photos", here / "f.h5", **NETWORK)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/3/3", "-1/3"])
def test_shard_must_be_one_of_so_many(shard: str) -> None:
    with pytest.raises(OptionError, match="bad --shard"):
        rrtool.extract("photos", "f.h5", shard=shard)


def test_more_shares_than_parts_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match=r"at most 5 shares of 9 images, found 6"):
        rrtool.extract("photos", here / "f.h5", shard="1/6", **NETWORK)


def test_descriptors_are_whitened_about_the_mean_of_all_shares(here: Path) -> None:
    options = {"max_size": 64, "scales": (1.0,), "engine": "torch"}
    shares = [rrtool.extract("photos", here / f"{i}.h5", shard=f"{i}/2", **options) for i in (1, 2)]
    merged = rrtool.merge(shares, here / "merged.h5")
    whole = rrtool.extract("photos", here / "whole.h5", **options)
    assert tiny.digest_of(merged) == tiny.digest_of(whole)
    rrtool.extract("photos", merged, **options)  # up to date
