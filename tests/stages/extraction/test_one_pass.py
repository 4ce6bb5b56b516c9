"""extract with all its outputs: equal to the stages that make each alone, from one pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import LocalFeaturesFile, OutputFile, open_artifact
from rrtool.stages.activations import kept
from rrtool.stages.activations.sources import NetworkSource
from rrtool.stages.amount import parts_of
from tests.tiny import assert_done, assert_fails, leftovers, make_pictures, picture, rrtool

NETWORK = (
    *("--network", "squeezenet1_1", "--weights", "none", "--scales", "1,0.5"),
    *("--device", "cpu", "--max-size", "96"),
)
OUTPUTS = {
    "-o": "f.h5", "--save-maps": "m.h5", "--local": "l.h5", "--query-local": "q.h5",
    "--fs-regions": "r.h5", "--fs-features": "rf.h5",
}  # fmt: skip
ALONE = (
    ("extract", "-o", "f.h5", "--save-maps", "m.h5"),
    ("detect-local", "-o", "l.h5"),
    ("detect-local", "-o", "q.h5", "--role", "query", "--levels-from", "l.h5"),
    ("saliency", "fs", "-o", "r.h5", "--features", "rf.h5"),
)
N_GOOD = 6


def one_pass(**changed: str) -> tuple[str, ...]:
    outputs = {**OUTPUTS, **changed}
    return ("extract", "photos", *(word for pair in outputs.items() for word in pair), *NETWORK)


def alone(words: tuple[str, ...]) -> tuple[str, ...]:
    split = 2 if words[0] == "saliency" else 1
    return (*words[:split], "photos", *words[split:], *NETWORK)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``one`` from one pass and ``alone`` stage by stage, of photos of which some are odd."""
    folder = tmp_path_factory.mktemp("one-pass")
    photos = make_pictures(folder / "photos", N_GOOD - 1)
    picture(9, (40, 30)).save(photos / "small.png")  # too small for the second scale
    (photos / "bad.png").write_bytes(b"no picture")
    calls = {"one": [one_pass()], "alone": [alone(words) for words in ALONE]}
    with pytest.MonkeyPatch.context() as patch:
        for name, all_words in calls.items():
            (folder / name).mkdir()
            (folder / name / "photos").symlink_to(photos)
            patch.chdir(folder / name)
            for words in all_words:
                result = rrtool(*words)
                assert result.exit_code == 3, (result.stderr, result.exception)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the one pass has made, to work in."""
    for name in OUTPUTS.values():
        shutil.copy(made / "one" / name, tmp_path)
    (tmp_path / "photos").symlink_to(made / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(folder: Path, name: str) -> tuple[object, ...]:
    """What an artifact is and how it was asked for, without what differs between two runs."""
    with open_artifact(folder / name) as artifact:
        return artifact.digest, artifact.identity(), artifact.asked, artifact.extra


def uuids(folder: Path) -> dict[str, str]:
    found = {}
    for name in OUTPUTS.values():
        with open_artifact(folder / name) as artifact:
            found[name] = artifact.uuid
    return found


@pytest.mark.parametrize("name", OUTPUTS.values())
def test_one_pass_makes_what_the_stages_make_alone(made: Path, name: str) -> None:
    assert told(made / "one", name) == told(made / "alone", name)
    skipped = f"{Path(name).stem}.skipped.tsv"
    assert (made / "one" / skipped).read_text() == (made / "alone" / skipped).read_text()


def test_small_photo_has_activations_at_one_scale_alone(made: Path) -> None:
    with open_artifact(made / "one" / "l.h5", LocalFeaturesFile) as local:
        small, bad = local.names.index("small.png"), local.names.index("bad.png")
        assert local.map_sizes[small].min(axis=1).tolist() == [1, 0]
        assert local.status.tolist() == [int(row == bad) for row in range(len(local.names))]


def test_stages_find_the_outputs_of_one_pass_up_to_date(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = uuids(here)
    # They are known by the words they are asked for in: no network is loaded.
    monkeypatch.setattr("rrtool.stages.activations.input.load_network", None)
    for words in (one_pass(), *map(alone, ALONE)):
        assert "is up to date" in rrtool(*words).stderr
    assert uuids(here) == before


@pytest.mark.parametrize("missing", OUTPUTS.values())
def test_missing_output_alone_is_made_in_one_pass(
    made: Path, here: Path, forwards: list[int], missing: str
) -> None:
    before = uuids(here)
    (here / missing).unlink()
    assert rrtool(*one_pass()).exit_code == 3
    # Levels of queries come from the database that is there.
    assert sum(forwards) == N_GOOD
    after = uuids(here)
    assert {name for name in before if after[name] != before[name]} == {missing}
    assert told(here, missing) == told(made / "alone", missing)


def test_photo_goes_through_the_network_once(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forwards: list[int]
) -> None:
    (tmp_path / "photos").symlink_to(made / "photos")
    monkeypatch.chdir(tmp_path)
    assert rrtool(*one_pass()).exit_code == 3
    assert sum(forwards) == N_GOOD
    forwards.clear()
    assert rrtool(*alone(("detect-local", "-o", "x.h5"))).exit_code == 3
    assert sum(forwards) == N_GOOD  # all of them are in the sample for the levels
    forwards.clear()
    monkeypatch.setattr(kept.SampledSource.__init__, "__defaults__", (20_000,))
    assert rrtool(*alone(("detect-local", "-o", "y.h5"))).exit_code == 3
    assert N_GOOD < sum(forwards) < 2 * N_GOOD  # what does not fit goes through it again
    digests = {told(tmp_path, name)[0] for name in ("l.h5", "x.h5", "y.h5")}
    assert len(digests) == 1


def test_sample_goes_through_the_engine_of_all_others(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").symlink_to(made / "photos")
    monkeypatch.chdir(tmp_path)
    seen = []
    run = NetworkSource.maps_of

    def maps_of(source, pixels):
        seen.append(source.network.backbone.engine)
        return run(source, pixels)

    monkeypatch.setattr(NetworkSource, "maps_of", maps_of)
    assert rrtool(*one_pass(), "--engine", "torch").exit_code == 3
    assert seen
    assert None not in seen


def test_output_of_other_options_is_named_and_stays(here: Path) -> None:
    before = uuids(here)
    (here / "f.h5").unlink()
    assert_fails(rrtool(*one_pass(), "--max-features", "5"), 4, "l.h5", "another --max-features")
    assert_fails(rrtool(*one_pass(), "--rho", "5"), 4, "r.h5", "another --rho")
    assert leftovers(here) == []
    assert rrtool(*one_pass(), "--overwrite", "--max-features", "5").exit_code == 3
    after = uuids(here)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"f.h5", "l.h5", "q.h5"}
    words = (*alone(ALONE[1]), "--max-features", "5")
    assert "is up to date" in rrtool(*words).stderr


def _interrupt_at(patch: pytest.MonkeyPatch, at: int) -> None:
    """Interrupt the run at this write of a part."""
    write_part, written = OutputFile.write_part, []

    def write(output: OutputFile, number: int, datasets: dict[str, np.ndarray]) -> None:
        written.append(number)
        if len(written) == at:
            raise KeyboardInterrupt
        write_part(output, number, datasets)

    patch.setattr(OutputFile, "write_part", write)


# Of six outputs: in the midst of the first part, and after some outputs have the second one.
@pytest.mark.parametrize("at", [4, 6 + 3])
def test_interrupted_pass_goes_on_part_by_part(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forwards: list[int], at: int
) -> None:
    (tmp_path / "photos").symlink_to(made / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts_of, "__defaults__", (3,))
    with monkeypatch.context() as patch:
        _interrupt_at(patch, at)
        assert_fails(rrtool(*one_pass()), 130, "interrupted; run the same command again")
    assert not [name for name in OUTPUTS.values() if (tmp_path / name).exists()]
    forwards.clear()
    assert rrtool(*one_pass()).exit_code == 3
    # All are in the sample for the levels, and none goes through the network again.
    assert sum(forwards) == N_GOOD
    assert leftovers(tmp_path) == []
    for name in OUTPUTS.values():
        assert told(tmp_path, name) == told(made / "alone", name)


def test_kill_between_two_outputs_is_mended(
    made: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OUTPUTS.values():
        (here / name).unlink()
    publish, published = OutputFile.publish, []

    def killed(output: OutputFile, *args: object, **more: object) -> Path:
        published.append(output.path.name)
        if len(published) == 4:  # the database is there, the queries are not
            raise KeyboardInterrupt
        return publish(output, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "publish", killed)
        assert rrtool(*one_pass()).exit_code == 130
    assert published == ["f.h5", "m.h5", "l.h5", "q.h5"]
    assert rrtool(*one_pass()).exit_code == 3
    for name in OUTPUTS.values():
        assert told(here, name) == told(made / "alone", name)


def test_boxes_are_queries_in_one_pass_too(here: Path, forwards: list[int]) -> None:
    (here / "boxes.csv").write_text("000.png,5,5,60,60\n001.png,9,9,50,50\n")
    boxes = ("--boxes", "boxes.csv", "--levels-from", "l.h5", *NETWORK)
    assert_done(rrtool("extract", "photos", "-o", "b.h5", "--query-local", "bq.h5", *boxes))
    assert sum(forwards) == 2
    words = ("detect-local", "photos", "-o", "bq2.h5", "--role", "query", *boxes)
    assert_done(rrtool(*words))
    assert told(here, "bq.h5") == told(here, "bq2.h5")
    assert_done(rrtool("extract", "photos", "-o", "b2.h5", "--boxes", "boxes.csv", *NETWORK))
    assert told(here, "b.h5") == told(here, "b2.h5")


def test_levels_from_a_file_serve_both_roles(here: Path, forwards: list[int]) -> None:
    (here / "some.txt").write_text("photos/000.png\nphotos/003.png\n")
    words = ("some.txt", "--levels-from", "l.h5", *NETWORK)
    result = rrtool("extract", *words, "-o", "s.h5", "--local", "sl.h5", "--query-local", "sq.h5")
    assert_done(result)
    assert sum(forwards) == 2
    assert_done(rrtool("detect-local", *words, "-o", "sl2.h5"))
    assert_done(rrtool("detect-local", *words, "-o", "sq2.h5", "--role", "query"))
    for name in ("sl", "sq"):
        assert told(here, f"{name}.h5") == told(here, f"{name}2.h5")


def test_uniform_regions_go_with_the_others(made: Path, here: Path) -> None:
    words = ("extract", "photos", "-o", "u.h5", "--regions", "2", *NETWORK)
    assert rrtool(*words, "--local", "ul.h5").exit_code == 3
    assert rrtool(*words[:3], "u2.h5", *words[4:]).exit_code == 3
    assert told(here, "u.h5") == told(here, "u2.h5")
    assert told(here, "ul.h5") == told(made / "alone", "l.h5")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--query-local", "x.h5"), "--query-local needs the levels of the database (expected"),
        (("--fs-features", "x.h5"), "--fs-features has no effect alone; give --fs-regions"),
        (("--max-features", "9"), "--max-features has no effect alone; give --local or --query"),
        (("--levels-from", "l.h5"), "--levels-from has no effect alone; give --local or --query"),
        (("--rho", "5"), "--rho has no effect alone; give --fs-regions"),
        (("--keep-maps",), "--keep-maps has no effect alone; give --fs-regions"),
        (("--fs-regions", "x.h5", "--boxes", "b.csv"), "salient regions are of whole images"),
        (("--local", "x.h5", "--query-local", "./x.h5"), "name the same file"),
        (("--local", "f2.h5"), "name the same file"),
        (("--local", "x.h5", "--levels-from", "x.h5"), "the output is one of the inputs"),
    ],
)
def test_outputs_and_options_that_do_not_go_together(
    here: Path, words: tuple[str, ...], text: str
) -> None:
    assert_fails(rrtool("extract", "photos", "-o", "f2.h5", *words, *NETWORK), 2, text)
    assert not (here / "f2.h5").exists()


def test_levels_file_of_another_kind_is_refused(here: Path) -> None:
    words = ("extract", "photos", "-o", "g.h5", "--query-local", "x.h5", "--levels-from", "f.h5")
    assert_fails(rrtool(*words, *NETWORK), 4, "expected local-features, found features")
    assert leftovers(here) == []
