"""The human loop through the command line, on photos and with the real network."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import AlAgreement, AlState
from tests.tiny import assert_done, assert_fails, digest_of, make_digits, rrtool, skipped_rows

TINY = (
    "--epochs", 2, "--semi-epochs", 1, "--width", 0.05, "--batch-size", 4, "--semi-batch-size", 8,
    "--semi-labeled", 4, "--image-size", 16, "--k", 4, "--device", "cpu",
)  # fmt: skip
COLOURS = ("blue", "green", "red")


def colour_of(name):
    return COLOURS[int(name[:2]) % 3]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """18 photos of three colours, and one file that is none."""
    folder = tmp_path_factory.mktemp("active") / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(18):
        pixels = generator.integers(0, 90, (20, 24, 3))
        pixels[..., 2 - i % 3] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02d}.png")
    (folder / "99.png").write_bytes(b"no image")
    return folder


def cycle(photos, output, *options):
    return rrtool("al-cycle", photos, "-o", output, "--budget", 4, *TINY, *options)


def asked_by(output):
    listed = output.with_name(output.stem + ".to_label.csv")
    with listed.open(newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def write(path, *rows):
    path.write_text("\n".join(("name,label", *rows)) + "\n")
    return path


def test_loop_with_mistakes_loses_nothing(tmp_path, photos):
    cold, first, second = (tmp_path / f"{name}.h5" for name in ("cold", "first", "second"))
    assert_done(cycle(photos, cold), 3)  # of the file that is no image
    asked = asked_by(cold)
    assert len(asked) == 4
    assert "99.png" not in asked

    # What came back: one answer missing, one misspelt, one image unknown, one twice, one empty.
    others = [name for name in (f"{i:02d}.png" for i in range(18)) if name not in asked]
    labels = write(
        tmp_path / "labels.csv",
        f"{asked[1]},{colour_of(asked[1])}",
        f"{asked[2]},{colour_of(asked[2])}",
        f"{asked[3]},{colour_of(asked[3])}x",
        "no-such.png,red",
        *(f"{others[0]},{colour}" for colour in ("red", "green")),
        f"{others[1]},",
        "99.png,red",
    )
    result = cycle(
        photos, first, "--state", cold, "--labels", labels, "--classes", ",".join(COLOURS), "--semi"
    )
    assert_done(result, 3)
    lines = [line for line in result.stderr.splitlines() if line.startswith(f"{labels}, line ")]
    for line, text in zip(
        sorted(lines),
        (
            f"line 4: unknown class (expected perhaps {colour_of(asked[3])}",
            "line 5: no image of this name",
            f"line 6: two labels for {others[0]}",
            f"line 8: no label for {others[1]}",
            "line 9: this image cannot be used (found ",
        ),
        strict=True,
    ):
        assert text in line
    assert "2 of 4 images that were asked for have no label yet" in result.stderr
    assert set(skipped_rows(first)) == {asked[3], "no-such.png", *others[:2], "99.png"}
    with open_artifact(first, AlState) as state:
        names, known = state.names, state.labels
        labelled = {names[row] for row in np.flatnonzero(known >= 0)}
        assert labelled == {asked[1], asked[2]}
        assert state.extra["n_missing"] == 2
        assert AlState.pseudo_labels in state
    assert not set(asked_by(first)) & labelled

    # The corrected file, cumulative, brings in what was left out.
    right = [*asked, *others[:2]]
    labels = write(tmp_path / "labels.csv", *(f"{name},{colour_of(name)}" for name in right))
    assert_done(cycle(photos, second, "--state", first, "--labels", labels), 3)
    with open_artifact(second, AlState) as state:
        known = state.labels
        assert {names[row] for row in np.flatnonzero(known >= 0)} == set(right)
        assert all(COLOURS[known[names.index(name)]] == colour_of(name) for name in right)
        assert [entry["n_labels"] for entry in state.extra["history"]] == [2, 6]
    assert list(skipped_rows(second)) == ["99.png"]


def test_same_command_does_nothing_and_another_names_the_option(tmp_path, photos):
    labels = write(tmp_path / "l.csv", "00.png,blue", "01.png,green")
    output = tmp_path / "s.h5"
    assert_done(cycle(photos, output, "--labels", labels), 3)
    content = output.read_bytes()
    again = cycle(photos, output, "--labels", labels)
    assert_done(again, 3)
    assert "up to date" in again.stderr
    assert output.read_bytes() == content
    assert_fails(cycle(photos, output, "--labels", labels, "--seed", 1), 4, "another --seed")
    assert_fails(
        cycle(photos, output, "--labels", labels, "--strategy", "jlp"), 4, "another --strategy"
    )
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "s.h5"
    assert_done(cycle(photos, other, "--labels", labels), 3)
    assert digest_of(other) == digest_of(output)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (("--strategy", "luck"), "--strategy"),
        (("--strategy", "ceal", "--semi"), "do not go together"),
        (("--cycles", 2), "--oracle"),
        (("--oracle", "dataset"), "bring no labels"),
        (("--test", "."), "--test-labels"),
        (("--preset", "imagenet"), "--preset"),
        (("--classes", "a,a"), "--classes"),
        (("--labels", "none.csv"), "none.csv"),
        (("--state", "none.h5"), "none.h5"),
        (("--subset", 50), "--subset"),
        (("--lr", 0), "--learning-rate"),
    ],
)
def test_wrong_options_exit_2_and_write_nothing(tmp_path, photos, options, fragment):
    line = assert_usage(cycle(photos, tmp_path / "s.h5", *options))
    assert fragment in line
    assert list(tmp_path.iterdir()) == []


def assert_usage(result):
    lines = [line for line in result.stderr.splitlines() if line.startswith("rrtool:")]
    assert result.exit_code == 2, result.stderr
    assert len(lines) == 1
    return lines[0]


def test_oracle_and_report_go_from_digits_to_curves(tmp_path):
    digits = make_digits(tmp_path / "digits", 60, 20)
    states = []
    for seed in (0, 1):
        states.append(tmp_path / f"{seed}.h5")
        result = rrtool(
            "al-cycle", f"mnist:{digits}", "-o", states[-1], "--preset", "mnist", "--oracle",
            "dataset", "--cycles", 2, "--seed", seed, "--epochs", 1, "--width", 0.05, "--k", 4,
            "--device", "cpu", "--subset", 50, "--json",
        )  # fmt: skip
        assert_done(result)
        history = json.loads(result.stdout)["history"]
        assert [entry["n_labels"] for entry in history] == [10, 20]
    result = rrtool("report", *states, "-o", tmp_path / "curves.html", "--json")
    assert_done(result)
    (method,) = json.loads(result.stdout)["methods"]
    assert method["seeds"] == [0, 1]
    assert [point["n_seeds"] for point in method["cycles"]] == [2, 2]
    assert "<svg" in (tmp_path / "curves.html").read_text()
    with open_artifact(states[0], AlState) as state:
        names = state.names
    truth = write(tmp_path / "truth.csv", *(f"{name},{int(name[-5:]) % 10}" for name in names))
    for output, labels in (("a.h5", truth), ("d.h5", f"mnist:{digits}")):
        agree = ("al-agree", states[0], "-o", tmp_path / output, "--truth", labels, "--k", 4)
        assert_done(rrtool(*agree))
    truths = []
    for output in ("a.h5", "d.h5"):
        with open_artifact(tmp_path / output, AlAgreement) as study:
            truths.append(study.truth)
    np.testing.assert_array_equal(*truths)
    assert_done(rrtool("report", tmp_path / "a.h5", "-o", tmp_path / "agreement.html"))
    assert "Spearman" in (tmp_path / "agreement.html").read_text()
    assert_fails(
        rrtool("report", states[0], tmp_path / "digits", "-o", tmp_path / "c.html"), 2, "digits"
    )


def test_inspect_shows_the_last_of_many_epochs(tmp_path, photos):
    output = tmp_path / "s.h5"
    labels = write(tmp_path / "l.csv", "00.png,blue", "01.png,green")
    assert_done(cycle(photos, output, "--labels", labels), 3)
    shown = rrtool("inspect", output).stdout
    assert "log: 2 entries, the last: {'" in shown
    assert len(json.loads(rrtool("inspect", output, "--json").stdout)["facts"]["log"]) == 2
