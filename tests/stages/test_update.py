"""--update: unchanged rows stay, and the result is that of a run from nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import OverImages, Provenance, create, open_any
from rrtool.errors import ArtifactError, OptionError
from rrtool.images.content import digest_of_photo
from rrtool.stages.amount import parts_of
from tests import tiny
from tests.stages.update_sequences import (
    NETWORK,
    OUTPUTS,
    describe,
    differences,
    follow,
    interrupted_at,
    one_thread,
)
from tests.tiny import Told, make_pictures, picture

SMALL = {"max_size": 64, "scales": (1.0,), "engine": "torch"}  # of the default network


@pytest.fixture(autouse=True)
def _equal_sums() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos and a file that is none, and all that comes out of one pass over them."""
    folder = tmp_path_factory.mktemp("update")
    photos = make_pictures(folder / "photos", 5)
    (photos / "bad.png").write_bytes(b"no picture")
    with one_thread():
        describe(photos, folder / "kept")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of it, with the times of the photos."""
    for name in ("photos", "kept"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def _fresh(folder: Path) -> Path:
    levels = folder / "levels.h5"
    shutil.copy(folder / "kept" / "l.h5", levels)
    describe(folder / "photos", folder / "fresh", levels_from=levels, overwrite=True)
    return folder / "fresh"


def _require_equal(folder: Path) -> None:
    assert differences(folder / "kept", _fresh(folder)) == []


@pytest.mark.parametrize("seed", range(2))
def test_update_equals_a_run_from_nothing(tmp_path: Path, seed: int) -> None:
    assert follow(tmp_path, seed, 2) == []


def _update(folder: Path, **options: object) -> str:
    told = Told()
    describe(folder / "photos", folder / "kept", update=True, progress=told, **options)
    return "\n".join(told.lines)


def test_touched_renamed_and_copied_photos_need_no_network(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = here / "photos"
    os.utime(photos / "000.png")
    os.rename(photos / "001.png", photos / "zz.png")
    (photos / "sub").mkdir()
    shutil.copy(photos / "002.png", photos / "sub" / "same.png")
    os.remove(photos / "003.png")
    with monkeypatch.context() as patch:
        patch.setattr("rrtool.stages.activations.input.load_network", None)
        told = _update(here)
        assert "kept/l.h5, " in told
        assert (
            "6 of 6 images are kept, 2 of them under a new name; 0 changed, 0 new, 1 gone" in told
        )
        assert "is up to date" in _update(here)
    _require_equal(here)


def test_what_is_made_of_the_rows_is_not_made_anew_after_a_touch(here: Path) -> None:
    kept = here / "kept"

    def make_all() -> list[tuple[int, bytes]]:
        rrtool.build_graph(kept / "r.h5", here / "g.h5", k=2)
        rrtool.centrality(here / "g.h5", here / "c.h5", measure="katz")
        rrtool.search(kept / "f.h5", kept / "f.h5", here / "s.h5")
        made = [here / name for name in ("g.h5", "c.h5", "s.h5")]
        return [(path.stat().st_ino, path.read_bytes()) for path in made]

    before, times = make_all(), {}
    os.utime(here / "photos" / "000.png")
    _update(here)
    assert make_all() == before
    for folder in (kept, _fresh(here)):
        with open_any(folder / "r.h5") as regions:
            assert regions.digest == regions.computed_digest()
            times[folder] = regions.file_signatures[0, 1]
    assert len(set(times.values())) == 1


def test_touched_photos_are_read_once_for_all_outputs(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: str, max_pixels: int) -> bytes:
        read.append(path)
        return digest_of_photo(path, max_pixels)

    monkeypatch.setattr("rrtool.stages.update.digest_of_photo", counted)
    os.utime(here / "photos" / "000.png")
    _update(here)
    assert read == [str(here / "photos" / "000.png")]


def test_new_and_changed_photos_alone_go_through_the_network(
    here: Path, forwards: list[int]
) -> None:
    picture(50).save(here / "photos" / "000b.png")
    picture(51).save(here / "photos" / "004.png")
    told = _update(here)
    assert sum(forwards) == 2
    assert "5 of 7 images are kept; 1 changed, 1 new, 0 gone" in told
    assert told.count("images are kept") == 1  # for all outputs together
    _require_equal(here)


def test_swapped_names_are_found_by_content(here: Path, forwards: list[int]) -> None:
    photos = here / "photos"
    os.rename(photos / "000.png", photos / "x")
    os.rename(photos / "004.png", photos / "000.png")
    os.rename(photos / "x", photos / "004.png")
    assert "6 of 6 images are kept, 2 of them under a new name" in _update(here)
    assert forwards == []
    _require_equal(here)


def test_content_that_changes_behind_an_equal_size_and_time_is_not_noticed(here: Path) -> None:
    bad = here / "photos" / "bad.png"
    state = os.stat(bad)
    bad.write_bytes(b"NO PICTURE")
    os.utime(bad, ns=(state.st_atime_ns, state.st_mtime_ns))
    os.utime(here / "photos" / "000.png")
    _update(here)
    with rrtool.open(here / "kept" / "f.h5") as features:
        row = features.names.index("bad.png")
        with rrtool.open(_fresh(here) / "f.h5") as fresh:
            assert not np.array_equal(features.file_digests[row], fresh.file_digests[row])


def test_suffix_says_how_a_file_is_read(here: Path, forwards: list[int]) -> None:
    os.rename(here / "photos" / "000.png", here / "photos" / "000.tif")
    assert "5 of 6 images are kept; 0 changed, 1 new, 1 gone" in _update(here)
    assert sum(forwards) == 1
    _require_equal(here)


def test_photo_that_can_be_read_again_is(here: Path, forwards: list[int]) -> None:
    (here / "photos" / "link.png").symlink_to(here / "later.png")
    (here / "photos" / "bad.png").unlink()
    _update(here)
    assert tiny.skipped_rows(here / "kept" / "f.h5").keys() == {"link.png"}
    os.utime(here / "photos" / "000.png")
    assert "6 of 6 images are kept" in _update(here)
    assert forwards == []
    picture(60).save(here / "later.png")
    assert "5 of 6 images are kept; 1 changed" in _update(here)
    assert sum(forwards) == 1
    assert not (here / "kept" / "f.skipped.tsv").exists()
    _require_equal(here)


def test_interrupted_update_goes_on_part_by_part(
    here: Path, forwards: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_of, "__defaults__", (2,))
    for i in range(4):
        picture(70 + i).save(here / "photos" / f"9{i}.png")
    before = {name: tiny.digest_of(here / "kept" / name) for name in OUTPUTS.values()}
    with pytest.raises(KeyboardInterrupt), interrupted_at(2 * len(OUTPUTS)):
        _update(here)
    # What was there can be used until the new one is.
    assert {name: tiny.digest_of(here / "kept" / name) for name in before} == before
    forwards.clear()
    assert "continuing an interrupted run: 3 of 4 images are done" in _update(here)
    assert sum(forwards) == 1
    _require_equal(here)


def test_parts_of_a_run_from_nothing_are_none_of_an_update(here: Path) -> None:
    picture(70, (90, 96)).save(here / "photos" / "90.png")
    with pytest.raises(KeyboardInterrupt), interrupted_at(len(OUTPUTS)):
        describe(here / "photos", here / "kept", overwrite=True)  # with levels of its own
    _update(here)
    _require_equal(here)
    assert tiny.leftovers(here / "kept") == []


def test_missing_output_is_made_beside_the_others(here: Path, forwards: list[int]) -> None:
    (here / "kept" / "r.h5").unlink()
    picture(50).save(here / "photos" / "7.png")
    _update(here)
    assert sum(forwards) == 6
    _require_equal(here)


def _state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in folder.iterdir()
    }


def test_dry_run_says_the_same_and_writes_nothing(here: Path, forwards: list[int]) -> None:
    before = _state_of(here / "kept")
    assert "is up to date" in _update(here, dry_run=True)
    picture(50).save(here / "photos" / "7.png")
    told = _update(here, dry_run=True)
    assert "6 of 7 images are kept; 0 changed, 1 new, 0 gone" in told
    os.remove(here / "photos" / "7.png")
    os.utime(here / "photos" / "000.png")
    assert "6 of 6 images are kept; 0 changed, 0 new, 0 gone" in _update(here, dry_run=True)
    assert _state_of(here / "kept") == before
    result = tiny.rrtool(
        *("extract", here / "photos", "-o", here / "n.h5", "--local", here / "nl.h5"),
        *("--query-local", here / "nq.h5", *tiny.NETWORK, *tiny.CPU, "--dry-run"),
    )
    tiny.assert_done(result)
    assert result.stdout == ""
    assert "nl.h5 (local-features) would be made" in result.stderr
    assert "6 images are to be worked on" in result.stderr
    assert sorted(path.name for path in here.iterdir()) == ["kept", "photos"]
    assert forwards == []


def test_other_options_are_an_error_as_without_update(here: Path) -> None:
    picture(50).save(here / "photos" / "7.png")
    with pytest.raises(ArtifactError, match=r"l\.h5: .*made with another --max-features"):
        _update(here, max_features=3)
    with pytest.raises(ArtifactError, match=r"other images.*use --update to keep"):
        describe(here / "photos", here / "kept")


@pytest.mark.parametrize("other", [{"overwrite": True}, {"boxes": "boxes.csv"}])
def test_update_does_not_go_with_everything(other: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="--update"):
        rrtool.extract("photos", "f.h5", update=True, **other)


def _rewrite(path: Path, *, without: str = "", **facts: object) -> None:
    """An artifact again, without a dataset or with other facts."""
    with open_any(path) as old:
        datasets = {name: old.read_named(name) for name in old.dataset_names() if name != without}
        about = old.kind, old.options, old.inputs, old.network, old.device, old.asked
        extra = {**old.extra, **facts}
    with create(path, Provenance(*about)) as output:
        output.publish(datasets, extra=extra)


def test_artifact_of_an_older_version_is_made_anew(here: Path, forwards: list[int]) -> None:
    for name in OUTPUTS.values():
        _rewrite(here / "kept" / name, without=OverImages.file_digests.name)
    os.utime(here / "photos" / "000.png")
    assert "0 of 6 images are kept" in _update(here)
    assert sum(forwards) == 5
    _require_equal(here)


def test_rows_of_another_engine_are_not_mixed(here: Path) -> None:
    for name in OUTPUTS.values():
        _rewrite(here / "kept" / name, engine="openvino", precision="float32")
    picture(50).save(here / "photos" / "7.png")
    with pytest.raises(ArtifactError, match=r"another engine .expected openvino in float32, found"):
        _update(here)
    os.remove(here / "photos" / "7.png")
    os.utime(here / "photos" / "000.png")
    _update(here)  # nothing is computed
    with rrtool.open(here / "kept" / "f.h5") as features:
        assert features.extra["engine"] == "openvino"


def test_whitening_about_the_mean_of_the_photos_follows_them(
    tmp_path: Path, forwards: list[int]
) -> None:
    photos = make_pictures(tmp_path / "photos", 5)
    kept, fresh = tmp_path / "kept.h5", tmp_path / "fresh.h5"
    rrtool.extract(photos, kept, update=True, **SMALL)
    for n_forwards, step in enumerate(("rename", "remove", "add")):
        if step == "rename":
            os.rename(photos / "000.png", photos / "x.png")
        elif step == "remove":
            os.remove(photos / "001.png")
        else:
            picture(50).save(photos / "y.png")
        forwards.clear()
        rrtool.extract(photos, kept, update=True, **SMALL)
        assert sum(forwards) == max(0, n_forwards - 1)
        rrtool.extract(photos, fresh, overwrite=True, **SMALL)
        assert tiny.digest_of(kept) == tiny.digest_of(fresh)


def test_queries_whitened_about_a_database_are_updated(tmp_path: Path, forwards: list[int]) -> None:
    photos = make_pictures(tmp_path / "photos", 3)
    database = rrtool.extract(photos, tmp_path / "d.h5", **SMALL)
    queries = make_pictures(tmp_path / "queries", 3, 20)
    options = {"center": database, **SMALL}
    rrtool.extract(queries, tmp_path / "q.h5", **options)
    picture(50).save(queries / "000b.png")
    forwards.clear()
    rrtool.extract(queries, tmp_path / "q.h5", update=True, **options)
    assert sum(forwards) == 1
    rrtool.extract(queries, tmp_path / "fresh.h5", **options)
    assert tiny.digest_of(tmp_path / "q.h5") == tiny.digest_of(tmp_path / "fresh.h5")


def test_stages_of_their_own_are_updated(here: Path, forwards: list[int]) -> None:
    photos, levels = here / "photos", here / "kept" / "l.h5"
    network = {**NETWORK, "scales": "1"}

    def make(folder: Path, **options: object) -> None:
        folder.mkdir(exist_ok=True)
        regions = rrtool.saliency_fs(
            photos, folder / "r.h5", features=folder / "f.h5", **network, **options
        )
        rrtool.extract(photos, folder / "u.h5", regions=2, **network, **options)
        rrtool.detect_local(photos, folder / "l.h5", levels_from=levels, **network, **options)
        rrtool.saliency_os(
            photos, folder / "os.h5", features=folder / "of.h5", regions=here / "regions.h5",
            centrality=here / "c.h5", **network, **options,
        )  # fmt: skip
        assert regions == folder / "r.h5"

    rrtool.saliency_fs(photos, here / "regions.h5", **network)
    rrtool.build_graph(here / "regions.h5", here / "g.h5", k=2)
    rrtool.centrality(here / "g.h5", here / "c.h5", measure="katz")
    make(here / "own")
    picture(50).save(photos / "7.png")
    os.rename(photos / "000.png", photos / "8.png")
    forwards.clear()
    make(here / "own", update=True)
    assert sum(forwards) == 4
    make(here / "new")
    for name in ("r.h5", "f.h5", "u.h5", "l.h5", "os.h5", "of.h5"):
        assert tiny.digest_of(here / "own" / name) == tiny.digest_of(here / "new" / name)


def test_local_features_of_saved_maps_are_updated(here: Path) -> None:
    photos, maps = here / "photos", here / "maps.h5"
    levels = here / "kept" / "l.h5"

    def make(name: str, **options: object) -> Path:
        rrtool.extract(photos, here / "x.h5", save_maps=maps, overwrite=True, **NETWORK)
        return rrtool.detect_local(photos, here / name, maps=maps, levels_from=levels, **options)

    make("l.h5")
    picture(50).save(photos / "7.png")
    make("l.h5", update=True)
    make("fresh.h5")
    assert tiny.digest_of(here / "l.h5") == tiny.digest_of(here / "fresh.h5")
    picture(51).save(photos / "8.png")
    with pytest.raises(ArtifactError, match=r"expected activation maps, found torch in float32"):
        rrtool.detect_local(photos, here / "l.h5", levels_from=levels, update=True, **NETWORK)
