"""An index equals one made from nothing, whatever came, went and changed before."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Features, Graph, open_artifact
from rrtool.artifacts.output.lock import output_lock
from rrtool.errors import ArtifactError, UsageError, WorkFailed
from rrtool.images.collection import collect
from rrtool.stages.collection import index as index_stage
from tests.stages.damaging import edited
from tests.tiny import Told, assert_done, assert_fails, make_pictures, picture, skipped_rows
from tests.tiny import rrtool as command

SMALL = {"network": "squeezenet1_1", "weights": "none", "max_size": 64, "device": "cpu"}
MADE = ("features.h5", "graph.h5", "local.h5", "query-local.h5")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    make_pictures(folder / "photos", 6)
    rrtool.index(folder / "photos", folder / "index", **SMALL)
    return folder


@pytest.fixture
def here(made, tmp_path) -> Path:
    """A copy, whose photos are those of the index."""
    shutil.copytree(made, tmp_path / "here")
    record = tmp_path / "here" / "index" / "index.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "images": str(tmp_path / "here" / "photos")}))
    return tmp_path / "here"


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*.h5")):
        with open_artifact(path) as artifact:
            found[path.name] = artifact.digest
    return found


def test_a_new_index_has_all_that_find_needs(made):
    assert sorted(_digests(made / "index")) == sorted(MADE)
    remembered = json.loads((made / "index" / "index.json").read_text())
    assert remembered["options"]["network"] == "squeezenet1_1"
    assert remembered["rates"].keys() == {"photo", "graph"}


def test_nothing_new_leaves_every_file_alone(here):
    before = {path: path.read_bytes() for path in (here / "index").iterdir()}
    done = rrtool.index(here / "photos", here / "index")
    assert done.work.told == ""
    assert {path: path.read_bytes() for path in (here / "index").iterdir()} == before


def test_changes_give_what_a_new_index_has(here, tmp_path):
    photos = here / "photos"
    (photos / "000.png").unlink()
    (photos / "001.png").rename(photos / "renamed.png")
    picture(40).save(photos / "002.png")
    picture(41).save(photos / "new.png")
    shutil.copy(photos / "003.png", photos / "copy.png")
    os.utime(photos / "004.png", (1, 1))
    done = rrtool.index(photos, here / "index")
    assert done.work.n_computed == 2
    assert "1 changed, 1 new, 1 gone" in done.work.told
    rrtool.index(photos, tmp_path / "fresh", **SMALL)
    found, fresh = _digests(here / "index"), _digests(tmp_path / "fresh")
    # Levels of detection are those of the first run, which an update keeps.
    assert found["features.h5"] == fresh["features.h5"]
    graphs = (here / "index" / "graph.h5", tmp_path / "fresh" / "graph.h5")
    # Equal up to ties and rounding.
    with open_artifact(graphs[0], Graph) as one, open_artifact(graphs[1], Graph) as other:
        assert one.names == other.names
        np.testing.assert_allclose(one.similarities, other.similarities, atol=2e-6)


def test_graph_is_updated_or_made_anew_where_it_cannot_be(here):
    picture(41).save(here / "photos" / "new.png")
    told = Told()
    rrtool.index(here / "photos", here / "index", progress=told)
    assert "6 of 7 descriptors are kept, 1 are new" in "\n".join(told.lines)
    options = {"k": 1, "device": "cpu", "overwrite": True}
    rrtool.build_graph(here / "index" / "features.h5", here / "index" / "graph.h5", **options)
    rrtool.index(here / "photos", here / "index")
    with open_artifact(here / "index" / "graph.h5", Graph) as graph:
        assert graph.lengths["k"] == 3


def test_a_run_that_was_interrupted_goes_on(here, monkeypatch):
    picture(50).save(here / "photos" / "new.png")

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(index_stage, "_graph", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rrtool.index(here / "photos", here / "index")
    assert rrtool.index(here / "photos", here / "index").work.told == ""
    with open_artifact(here / "index" / "graph.h5", Graph) as graph:
        assert len(graph.neighbor_ids) == 7


def test_photos_that_cannot_be_read_are_told(here, capsys):
    (here / "photos" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40)
    (here / "photos" / "notes.txt").write_text("words")
    call = ("index", here / "photos", "-o", here / "index", "--device", "cpu")
    for result in (command(*call), command(*call)):  # the next night too
        assert result.exit_code == 3
        assert (
            f"1 inputs were skipped: see {here / 'index' / 'features.skipped.tsv'}" in result.stderr
        )
        assert "1 other files were passed over (.txt 1)" in result.stderr
    assert skipped_rows(here / "index" / "features.h5").keys() == {"bad.png", "notes.txt"}


def test_one_photo_has_no_graph_and_more_have(tmp_path):
    make_pictures(tmp_path / "photos", 1)
    rrtool.index(tmp_path / "photos", tmp_path / "index", **SMALL)
    assert not (tmp_path / "index" / "graph.h5").exists()
    make_pictures(tmp_path / "photos2", 4)
    for path in (tmp_path / "photos2").iterdir():
        path.rename(tmp_path / "photos" / f"more-{path.name}")
    rrtool.index(tmp_path / "photos", tmp_path / "index")
    assert (tmp_path / "index" / "graph.h5").exists()


def test_artifacts_that_are_gone_or_damaged_are_told(here):
    photos, index = here / "photos", here / "index"
    before = _digests(index)
    for name in ("local.h5", "graph.h5"):
        (index / name).unlink()
    said = command("index", photos, "-o", index, "--dry-run").stderr
    assert "local.h5, graph.h5 missing and made anew" in said
    done = rrtool.index(photos, index)
    assert done.work.n_computed == len(list(photos.iterdir()))
    assert _digests(index) == before
    for name in ("local.h5", "query-local.h5"):
        content = (index / name).read_bytes()
        (index / name).write_bytes(content[:900])
        with pytest.raises(ArtifactError, match=rf"{name}: .*remove it and run the same command"):
            rrtool.index(photos, index)
        (index / name).write_bytes(content)
    (index / "features.h5").write_bytes(b"")
    with pytest.raises(ArtifactError, match=rf"remove it and run rrtool index .*photos -o {index}"):
        rrtool.find(index, [photos / "000.png"])


def test_artifact_of_a_newer_version_is_not_to_be_removed(here):
    with edited(here / "index" / "local.h5") as content:
        content.attrs["format_version"] = 99
    picture(40).save(here / "photos" / "new.png")
    for call in (
        lambda: rrtool.index(here / "photos", here / "index"),
        lambda: rrtool.find(here / "index", [here / "photos" / "000.png"]),
    ):
        with pytest.raises(ArtifactError, match=r"local\.h5: written by a newer.*; update rrtool$"):
            call()


def test_graph_goes_with_the_photos_and_nothing_else_does(tmp_path):
    photos = make_pictures(tmp_path / "photos", 3)
    rrtool.index(photos, tmp_path / "index", **SMALL)
    graph = tmp_path / "index" / "graph.h5"
    (photos / "000.png").unlink()
    rrtool.index(photos, tmp_path / "index")
    assert not graph.exists()
    graph.write_text("notes")
    with pytest.raises(ArtifactError, match=r"graph\.h5: damaged"):
        rrtool.index(photos, tmp_path / "index")
    assert graph.read_text() == "notes"


def test_photos_that_come_and_go_while_it_runs_are_those_of_the_next(here, tmp_path, monkeypatch):
    photos = here / "photos"
    picture(50).save(photos / "new.png")

    def collected(*arguments):
        found = collect(*arguments)
        for name in ("new.png", "000.png"):
            (photos / name).unlink(missing_ok=True)
        picture(51).save(photos / "late.png")
        return found

    with monkeypatch.context() as patched:
        patched.setattr("rrtool.stages.activations.input.collect", collected)
        assert rrtool.index(photos, here / "index").n_skipped == 1
    with open_artifact(here / "index" / "features.h5", Features) as features:
        assert features.reasons[features.names.index("new.png")] == "No such file or directory"
    assert rrtool.index(photos, here / "index").work.n_computed == 1
    rrtool.index(photos, tmp_path / "fresh", **SMALL)
    found, fresh = _digests(here / "index"), _digests(tmp_path / "fresh")
    assert found["features.h5"] == fresh["features.h5"]


def test_dry_run_says_what_would_be_done_and_writes_nothing(here):
    picture(60).save(here / "photos" / "new.png")
    before = _digests(here / "index")
    result = command("index", here / "photos", "-o", here / "index", "--dry-run")
    assert_done(result)
    assert "0 changed, 1 new, 0 gone; this takes about" in result.stderr
    assert _digests(here / "index") == before
    assert_done(command("index", here / "photos", "-o", here / "other", "--dry-run"))
    assert not (here / "other").exists()


@pytest.fixture(scope="module")
def discovered(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discovered")
    make_pictures(folder / "photos", 4)
    rrtool.index(folder / "photos", folder / "index", discover=True, **SMALL)
    return folder


def test_what_repeats_is_found_as_by_the_commands_themselves(discovered, tmp_path):
    photos, index = discovered / "photos", discovered / "index"
    of = {name: tmp_path / f"{name}.h5" for name in ("regions", "region-graph", "centrality")}
    rrtool.saliency_fs(photos, of["regions"], **SMALL)
    rrtool.build_graph(of["regions"], of["region-graph"])
    rrtool.centrality(of["region-graph"], of["centrality"], measure="katz")
    rrtool.saliency_os(
        photos, tmp_path / "saliency.h5", features=tmp_path / "object-features.h5",
        regions=of["regions"], centrality=of["centrality"], **SMALL,
    )  # fmt: skip
    made, expected = _digests(index), _digests(tmp_path)
    assert {name: made[name] for name in expected} == expected
    assert made.keys() == {*MADE, *expected, "objects.h5"}
    with pytest.raises(UsageError, match="made with another --discover"):
        rrtool.index(photos, index, discover=False)


def test_what_repeats_follows_the_photos(discovered, tmp_path, forwards):
    photos, index = discovered / "photos", discovered / "index"
    os.utime(photos / "000.png")
    before = _digests(index)
    assert rrtool.index(photos, index).work.told == ""
    assert _digests(index) == before
    assert forwards == []  # neither for a touch
    picture(40).save(photos / "new.png")
    said = command("index", photos, "-o", index, "--dry-run").stderr
    assert "1 new, 0 gone; the object saliency of all 5 is computed, as each depends on" in said
    assert rrtool.index(photos, index).work.n_mapped == 5
    assert sum(forwards) == 1 + 5
    rrtool.index(photos, tmp_path / "fresh", discover=True, **SMALL)
    found, fresh = _digests(index), _digests(tmp_path / "fresh")
    of_levels = ("local.h5", "query-local.h5")  # an update keeps those of the first run
    assert {**found, **dict.fromkeys(of_levels)} == {**fresh, **dict.fromkeys(of_levels)}
    (found,) = rrtool.find(index, [photos / "new.png"]).found
    assert len(found.hits) == 4


def test_object_saliency_that_is_missing_or_of_other_regions_is_made(
    discovered, monkeypatch, forwards
):
    photos, index = discovered / "photos", discovered / "index"
    (index / "object-features.h5").unlink()
    assert rrtool.index(photos, index).work.told.startswith("the object saliency of all")
    assert (index / "object-features.h5").exists()
    picture(41).save(photos / "000.png")

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(index_stage, "_saliency", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rrtool.index(photos, index)
    n_photos = len(list(photos.iterdir()))
    forwards.clear()
    assert rrtool.index(photos, index).work.n_mapped == n_photos
    assert sum(forwards) == n_photos
    with open_artifact(index / "saliency.h5") as saliency:
        assert saliency.input("regions").digest == _digests(index)["regions.h5"]


def test_another_run_at_the_same_index_is_told(here):
    with output_lock(here / "index" / "index.json"), pytest.raises(WorkFailed, match="another run"):
        rrtool.index(here / "photos", here / "index")


@pytest.mark.parametrize(
    ("content", "found"),
    [("{", "no JSON"), ("[]", "format"),
     ('{"rrtool_index": 2}', "found format 2.; update rrtool"),
     ('{"rrtool_index": 1, "images": 3}', "other options")],
)  # fmt: skip
def test_a_damaged_record_is_refused(here, content, found):
    (here / "index" / "index.json").write_text(content)
    with pytest.raises(ArtifactError, match=found):
        rrtool.index(here / "photos", here / "index")


def test_other_options_photos_or_folders_are_refused(here, tmp_path):
    for more, text in (
        ({"network": "alexnet"}, "made with another --network"),
        ({"max_size": 65}, "made with another --max-size"),
    ):
        with pytest.raises(UsageError, match=text):
            rrtool.index(here / "photos", here / "index", **more)
    make_pictures(tmp_path / "others", 3)
    with pytest.raises(UsageError, match="the index is of other photos"):
        rrtool.index(tmp_path / "others", here / "index")
    with pytest.raises(UsageError, match=r"something else.*found 000\.png"):
        rrtool.index(here / "photos", tmp_path / "others")
    with pytest.raises(UsageError, match="photos that stay"):
        rrtool.index("-", here / "index")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="an index is a folder"):
            rrtool.index(here / "photos", tmp_path / name)
    with pytest.raises(UsageError, match="no such folder for the index; make it first"):
        rrtool.index(here / "photos", tmp_path / "no" / "index")
    assert_fails(command("index", tmp_path / "nothing", "-o", tmp_path / "i"), 2)
    assert not (tmp_path / "i").exists()


def test_first_run_that_fails_binds_to_nothing(here, tmp_path):
    photos, index = here / "photos", tmp_path / "index"
    with pytest.raises(UsageError, match=r"nowhere\.pth"):
        rrtool.index(photos, index, **{**SMALL, "weights": "nowhere.pth"})
    assert not index.exists()
    (tmp_path / "list.txt").write_text("gone.png\n")
    with pytest.raises(WorkFailed, match="not one of 1 images could be used"):
        rrtool.index(tmp_path / "list.txt", index, **{**SMALL, "max_size": 48})
    rrtool.index(photos, index, max_size=64)  # the network is as it was asked for
    assert _digests(index) == _digests(here / "index")
    assert json.loads((index / "index.json").read_text())["images"] == str(photos)


def test_an_index_is_made_of_a_list_of_photos_with_skipped_ones(here, tmp_path):
    (tmp_path / "list.txt").write_text(f"{here}/photos/000.png\n{here}/gone.png\n")
    done = rrtool.index(tmp_path / "list.txt", tmp_path / "index", **SMALL)
    assert done.n_skipped == 1
    with open_artifact(tmp_path / "index" / "features.h5", Features) as features:
        assert features.status.tolist() == [0, 1]
