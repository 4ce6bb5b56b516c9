"""Learning curves from states: means by hand, what cannot be compared, the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import InputRecord, Provenance, create
from rrtool.artifacts.kinds import AlState
from rrtool.errors import ArtifactError, UsageError
from rrtool.reports.learning_curves import STRATEGY_TITLES, Curve, Point, render_curves
from rrtool.reports.line_chart import Line, Vertex, line_chart
from tests.reports.test_reports import Checker

ACCURACIES = {0: [0.5, 0.6, 0.7], 1: [0.7, 0.6, 0.8]}  # by seed


def entry(cycle, accuracy, strategy="random", **more):
    return {
        "cycle": cycle, "strategy": strategy, "semi": False, "pretrained": False,
        "n_labels": 10 * (cycle + 1), "accuracy": accuracy, "seconds": 1.0,
    } | more  # fmt: skip


def make_state(
    path, accuracies, *, seed=0, strategy="random", images="d", features=None, test=None, **options
):
    """A state with what the report reads, and nothing else."""
    variant = {name: options.pop(name, False) for name in ("semi", "pretrained")}
    history = options.pop("history", None) or [
        entry(i, value, strategy, **variant) for i, value in enumerate(accuracies)
    ]
    identity = {
        "seed": seed, "strategy": strategy, "semi": variant["semi"], "subset": None, "budget": 10,
        "epochs": 3, "semi_epochs": 2, "width": 1.0, "classes": [],
    } | options  # fmt: skip
    inputs = [InputRecord("images", "mnist:data", "images", "", images)]
    if features is not None:
        inputs.append(InputRecord("features", "f.h5", "features", "", features))
    if test is not None:
        inputs.append(InputRecord("test images", "t", "images", "", test))
    facts = {"cycle": len(history), "history": history, "n_images": 60, "n_test_images": 20}
    nothing = np.zeros(0)
    columns = AlState.columns(
        names=[], reasons=[], class_names=[], status=nothing.astype(np.uint8),
        labels=nothing.astype(np.int32), labeled_cycle=nothing.astype(np.int16),
        acquired_ids=nothing.astype(np.int64), acquired_scores=nothing,
    )  # fmt: skip
    with create(path, Provenance("al-state", identity, inputs)) as target:
        target.publish(columns, extra=facts)
    return str(path)


@pytest.fixture
def states(tmp_path):
    found = [
        make_state(tmp_path / f"r{seed}.h5", values, seed=seed)
        for seed, values in ACCURACIES.items()
    ]
    found.append(make_state(tmp_path / "j.h5", [0.9, 0.95], strategy="jlp", semi=True))
    return found


def report(states, tmp_path, **more):
    page = rrtool.report(states, tmp_path / "c.html", **more)
    return page.path, page.data


def test_run_averages_the_seeds_of_each_method(tmp_path, states):
    _, data = report(states, tmp_path)
    random, jlp = data["methods"]
    assert (random["method"], jlp["method"]) == ("Random", "jLP + SEMI")
    assert random["seeds"] == [0, 1]
    assert [point["n_labels"] for point in random["cycles"]] == [10, 20, 30]
    assert [point["mean"] for point in random["cycles"]] == pytest.approx([0.6, 0.6, 0.75])
    # √((0.1² + 0.1²) / (2 − 1)) by hand
    deviations = [point["deviation"] for point in random["cycles"]]
    assert deviations == pytest.approx([0.141421356, 0, 0.070710678])
    assert [point["deviation"] for point in jlp["cycles"]] == [None, None]
    assert data["table"][0] == {
        "cycle": 0, "labels": "10", "strategy": "Random",
        "labels alone": "60.00±14.14", "SEMI": "–",
    }  # fmt: skip
    assert data["table"][1]["SEMI"] == "90.00 (1)"
    assert [row["strategy"] for row in data["table"]] == [
        "Random", "jLP", "Random", "jLP", "Random",
    ]  # fmt: skip


def test_run_takes_the_last_state_of_each_run(tmp_path, states):
    earlier = make_state(tmp_path / "r0-c1.h5", ACCURACIES[0][:2])
    assert report([earlier, *states], tmp_path)[1] == report(states, tmp_path)[1]
    other = make_state(tmp_path / "other.h5", [0.5, 0.61])
    with pytest.raises(ArtifactError, match="disagree"):
        report([*states, other], tmp_path)


@pytest.mark.parametrize(
    ("difference", "what"),
    [
        ({"images": "e"}, "another images"),
        ({"features": "f"}, "another images"),
        ({"test": "t"}, "another test set"),
        ({"budget": 20}, "another budget"),
        ({"subset": 50}, "another subset"),
        ({"epochs": 4}, "another --epochs cannot be averaged"),
        ({"width": 0.5}, "another --width cannot be averaged"),
    ],
)
def test_run_refuses_states_that_cannot_be_compared(tmp_path, states, difference, what):
    other = make_state(tmp_path / "o.h5", [0.5], seed=2, **difference)
    with pytest.raises(ArtifactError, match=what):
        report([*states, other], tmp_path)
    assert not (tmp_path / "c.html").exists()


def test_run_needs_held_out_accuracy(tmp_path):
    for name, accuracies, found in (("a", [None], "1 cycles"), ("b", [], "a cold start")):
        state = make_state(tmp_path / f"{name}.h5", accuracies)
        with pytest.raises(ArtifactError, match=rf"no accuracy.*{found}"):
            report([state], tmp_path)


def test_run_names_a_strategy_that_changed_and_refuses_a_changed_training(tmp_path):
    for name, change in (("s", {"strategy": "jlp"}), ("t", {"semi": True})):
        history = [entry(0, 0.5), entry(1, 0.6, **change)]
        make_state(tmp_path / f"{name}.h5", [0.5], history=history)
    _, data = report([tmp_path / "s.h5"], tmp_path)
    assert [method["method"] for method in data["methods"]] == ["random → jlp"]
    with pytest.raises(ArtifactError, match=r"with and without PRE or SEMI.*labels alone, SEMI"):
        report([tmp_path / "t.h5"], tmp_path)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"history": [{"cycle": 0}]}, "n_labels: int"),
        ({"history": ["none"]}, "a table"),
        ({"epochs": "many"}, "epochs: int"),
    ],
)
def test_run_refuses_a_damaged_state(tmp_path, wrong, what):
    state = make_state(tmp_path / "s.h5", [0.5], **wrong)
    with pytest.raises(ArtifactError, match=f"damaged artifact.*{what}"):
        report([state], tmp_path)


def test_page_is_balanced_and_keeps_other_files(tmp_path, states):
    path, _ = report(states, tmp_path)
    page = path.read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.tags
    for text in ("Random", "jLP + SEMI", "Cycle 2: 30 labels", "60.00±14.14", "mnist:data"):
        assert text in page
    assert "http:" not in page
    assert "https:" not in page
    (tmp_path / "c.html").write_text("a page of mine")
    with pytest.raises(UsageError, match="no page of rrtool report"):
        report(states, tmp_path)
    report(states, tmp_path, overwrite=True)


class Markers(HTMLParser):
    """Tooltips and heights of the markers of a chart."""

    def __init__(self):
        super().__init__()
        self.heights, self.titles, self._in_title = [], [], False

    def handle_starttag(self, tag, attrs):
        if dict(attrs).get("class") == "marker":
            self.heights.append(float(dict(attrs)["transform"].split()[1].rstrip(")")))
        self._in_title = tag == "title"

    def handle_data(self, data):
        if self._in_title:
            self.titles.append(data)
            self._in_title = False


def test_figure_puts_higher_accuracies_higher(tmp_path, states):
    markers = Markers()
    markers.feed(report(states, tmp_path)[0].read_text())
    heights, titles = markers.heights[:5], markers.titles[1:]  # the page's own title first
    assert len(titles) == 5
    assert "Random, cycle 0, 10 labels: 60.00±14.14 (2 seeds)" in titles[0]
    assert heights[0] == heights[1] > heights[2] > heights[3] > heights[4]
    # Equal differences of accuracy are equal differences of height; each is written to 0.1 px.
    rise = 3 * (heights[3] - heights[4])  # of 15 points, by three times that of 5
    assert heights[1] - heights[2] == pytest.approx(rise, abs=0.1 + 3 * 0.1)


def test_interval_of_one_seed_is_that_of_the_held_out_images(tmp_path, states):
    _, data = report(states, tmp_path)
    random, jlp = data["methods"]
    # One deviation to either side of the mean: 0.6 ± 0.1414.
    assert random["cycles"][0]["interval"] == pytest.approx((0.458578644, 0.741421356))
    for point in jlp["cycles"]:
        share = point["mean"]
        for end in point["interval"]:  # |p − p̂| = z √(p (1 − p) / n): where Wilson's score is 1.96
            assert abs(end - share) == pytest.approx(1.959964 * (end * (1 - end) / 20) ** 0.5)
    assert "95.00, 76.4 to 99.1 (1 seed)" in report(states, tmp_path)[0].read_text()


def test_page_says_where_random_is_missing(tmp_path, states):
    missing = "No run with random acquisition is among these"
    assert missing not in report(states, tmp_path)[0].read_text()
    assert missing in report(states[-1:], tmp_path, overwrite=True)[0].read_text()


def test_axis_of_one_point_has_room_for_its_labels():
    for value, ends in ((73.33, (70, 76)), (0.0, (0, 5)), (100.0, (95, 100))):
        line = Line("", "", "", "circle", [Vertex(20, value, value, value, "")])
        chart = line_chart([line], {20: "20"}, bounds=(0, 100), least_span=5)
        levels = [level for _, level in chart["levels"]]
        assert (levels[0], levels[-1]) == ends
        heights = [height for height, _ in chart["levels"]]
        assert min(np.abs(np.diff(heights))) > 20
        assert len({f"{level:g}" for level in levels}) == len(levels)


def test_methods_of_a_figure_look_different():
    point = Point(0, 20, 0.5, None, 1, (0.4, 0.6))
    curves = [Curve(name, "", [point]) for name in STRATEGY_TITLES]
    page = "".join(render_curves("", curves, {}, [{} for _ in curves]))
    looks = re.findall(r'class="marker" transform="[^"]*" d="([^"]*)" fill="([^"]*)"', page)
    assert len(set(looks)) == len(STRATEGY_TITLES) == 10
    assert looks[0][1] == "var(--ink)"  # random
