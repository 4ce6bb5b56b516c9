"""What is learnt from: tuples that name their photos, and what is held out."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from rrtool.artifacts import Provenance, Training, Tuples, create, open_artifact
from rrtool.progress import Silent
from rrtool.stages.memory import free_memory
from rrtool.stages.training.given import examples_of, numbered, read_given
from rrtool.stages.training.train_options import TrainOptions
from tests.stages.training.conftest import QUICK, RULE
from tests.tiny import assert_done, assert_fails, rrtool, skipped_rows

NAMES = [f"{thing}_{i}.png" for thing in ("bear", "cup", "door", "egg") for i in range(3)]
GROUPS = np.repeat(np.arange(4), 3).astype(np.int32)


def write_tuples(path, images, names=NAMES, groups=GROUPS, pairs=()):
    columns = Tuples.columns(
        names=list(names), groups=np.asarray(groups, np.int32),
        pairs=np.array(pairs, np.int32).reshape(-1, 2),
    )  # fmt: skip
    with create(path, Provenance("tuples", {})) as output:
        return output.publish(columns, extra={"images": str(images)})


def _train(tuples, output, *options):
    return rrtool("train", tuples, "-o", output, *QUICK, *options)


def _given(examples, **own):
    return TrainOptions(**{"examples": str(examples), "output": "net.safetensors", **own})


def test_tuples_without_pairs_are_groups(things, tmp_path):
    by_rule, by_tuples = tmp_path / "rule.safetensors", tmp_path / "tuples.safetensors"
    assert_done(rrtool("train", things, "--groups", RULE, "-o", by_rule, *QUICK))
    assert_done(_train(write_tuples(tmp_path / "t.h5", things), by_tuples))
    for name, values in load_file(by_rule).items():
        assert values.equal(load_file(by_tuples)[name])
    with open_artifact(tmp_path / "tuples.training.h5", Training) as record:
        assert {each.role for each in record.inputs} == {"tuples", "images"}


def test_pairs_of_tuples_are_those_that_are_learnt(things, tmp_path):
    tuples = write_tuples(tmp_path / "t.h5", things, pairs=[(0, 1), (3, 5), (9, 10)])
    given = read_given(_given(tuples), Silent())
    examples = examples_of(given, _given(tuples, validate="prefix:(egg)_"))
    assert examples.pairs.tolist() == [[0, 1], [3, 5]]
    assert examples.groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, -1]
    assert examples.held_out.tolist() == [9, 10, 11]
    assert_done(_train(tuples, tmp_path / "net.safetensors", "--epochs", "1"))
    with open_artifact(tmp_path / "net.training.h5", Training) as record:
        assert record.extra["log"][0]["n_tuples"] == 3


def test_photos_of_tuples_may_have_moved(things, tmp_path):
    tuples = write_tuples(tmp_path / "t.h5", tmp_path / "gone")
    line = assert_fails(_train(tuples, tmp_path / "net.safetensors"), 2, "say with --images")
    assert str(tmp_path / "gone") in line
    elsewhere = ("--images", tmp_path / "neither")
    line = assert_fails(_train(tuples, tmp_path / "net.safetensors", *elsewhere), 2, "neither")
    assert "--images" not in line
    options = ("--images", things, "--epochs", "1")
    assert_done(_train(tuples, tmp_path / "net.safetensors", *options))


def test_tuples_that_do_not_say_where_their_photos_are_need_to_be_told(tmp_path):
    tuples = write_tuples(tmp_path / "t.h5", "")
    assert_fails(_train(tuples, tmp_path / "net.safetensors"), 2, "expected --images")


def test_strangers_are_skipped_and_listed(things, tmp_path):
    names = [*NAMES, "stranger_0.png", "stranger_1.png"]
    tuples = write_tuples(tmp_path / "t.h5", things, names, [*GROUPS, 4, 4])
    assert_done(_train(tuples, tmp_path / "net.safetensors"), 3)
    listed = skipped_rows(tmp_path / "net.training.h5")
    assert listed == dict.fromkeys(names[12:], "it is not there")


def test_photos_of_tuples_that_cannot_be_read_are_skipped_and_listed(things, tmp_path):
    photos = shutil.copytree(things, tmp_path / "photos")
    (photos / "cup_1.png").write_bytes(b"no picture")
    tuples = write_tuples(tmp_path / "t.h5", photos, pairs=[(0, 1), (3, 4), (4, 5), (9, 10)])
    assert_done(_train(tuples, tmp_path / "net.safetensors", "--epochs", "1"), 3)
    assert list(skipped_rows(tmp_path / "net.training.h5")) == ["cup_1.png"]


def test_damaged_tuples_are_an_error(things, tmp_path):
    tuples = write_tuples(tmp_path / "t.h5", things)
    tuples.write_bytes(tuples.read_bytes()[:-100])
    assert_fails(_train(tuples, tmp_path / "net.safetensors"), 4, str(tuples), "damaged")


def test_strangers_alone_are_an_error(things, tmp_path):
    tuples = write_tuples(tmp_path / "t.h5", things, [f"{name}.jpg" for name in NAMES])
    line = assert_fails(_train(tuples, tmp_path / "net.safetensors"), 2, "not one of the photos")
    assert "bear_0.png.jpg" in line


def test_tuples_take_no_groups_and_photos_no_images(things, tmp_path):
    tuples = write_tuples(tmp_path / "t.h5", things)
    output = tmp_path / "net.safetensors"
    assert_fails(_train(tuples, output, "--groups", RULE), 2, "leave out --groups")
    both = ("--groups", RULE, "--images", things)
    assert_fails(rrtool("train", things, "-o", output, *QUICK, *both), 2, "--images is for tuples")


def test_other_artifacts_are_no_tuples(trained, tmp_path):
    result = _train(trained / "net.training.h5", tmp_path / "net.safetensors")
    assert_fails(result, 4, "tuples", "training")


def test_tuples_of_one_group_and_of_groups_of_one_are_an_error(things, tmp_path):
    output = tmp_path / "net.safetensors"
    one = write_tuples(tmp_path / "one.h5", things, groups=np.zeros(12))
    assert_fails(_train(one, output), 2, "there are no negatives")
    alone = write_tuples(tmp_path / "alone.h5", things, groups=np.arange(12))
    assert_fails(_train(alone, output), 2, "nothing to learn from", "12 groups of one")


def test_distractors_are_groups_of_their_own():
    assert numbered(["a", "", "b", "a", ""]).tolist() == [0, 1, 2, 0, 3]


@pytest.mark.parametrize(("share", "n_groups"), [("0.01", 1), ("0.5", 2), ("0.7", 3)])
def test_share_holds_out_whole_groups_by_the_seed(things, share, n_groups):
    def drawn(seed):
        options = _given(things, groups=RULE, validate=share, seed=seed)
        given = read_given(options, Silent())
        if n_groups == 3:  # one group is left
            with pytest.raises(Exception, match="no negatives"):
                examples_of(given, options)
            return [9, 10, 11] * 3, range(3)
        examples = examples_of(given, options)
        return examples.held_out.tolist(), examples.held_out_groups

    rows, groups = drawn(1)
    assert len(rows) == 3 * n_groups
    assert len(np.unique(groups)) == n_groups or n_groups == 3
    assert drawn(1)[0] == rows


def test_share_holds_out_no_photos_that_cannot_be_used(things):
    """They are of no group, though they have the same number."""
    groups = np.where(GROUPS < 3, GROUPS, -1)
    for seed in range(4):
        options = _given(things, groups=RULE, validate="0.3", seed=seed)
        given = replace(read_given(options, Silent()), groups=groups)
        assert len(set(groups[examples_of(given, options).held_out]) - {-1}) == 1


def test_photos_keep_their_aspect_ratio_and_map_sizes(things, tmp_path):
    from rrtool.stages.training.photos import KeptPhotos, bytes_of_photo
    from rrtool.training.retrieval.trainable import Trainable

    trainable = Trainable.load("squeezenet1_1", "none", train_from=None)
    shutil.copy(things / "cup_1.png", tmp_path / "wide.png")
    options = _given(things, image_size=36, device="cpu")
    photos = KeptPhotos([str(tmp_path / "wide.png"), None], trainable, options, 10_000)
    image, missing = photos([0, 1])
    assert missing is None
    assert photos.failures == {1: "it is not there"}
    assert image.shape == (1, 3, 32, 36)  # of 72 × 64
    (half,) = photos([0], scale=0.6)
    assert half.shape == (1, 3, 19, 21)
    assert photos.n_bytes == 2 * 3 * 32 * 36
    assert list(photos([0], scale=0.1)) == [None]  # and too small at this scale alone
    assert photos.failures == {1: "it is not there"}
    assert bytes_of_photo(trainable, 36) == 3 * 27 * 36


def test_free_memory_is_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("rrtool.stages.memory._MEMINFO", str(tmp_path / "meminfo"))
    monkeypatch.setattr("rrtool.stages.memory._GROUP", str(tmp_path))
    assert free_memory() == 2_000_000_000
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   3000 kB\n")
    assert free_memory() == 3_072_000
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert free_memory() == 600
