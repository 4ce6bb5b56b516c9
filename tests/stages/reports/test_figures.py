"""Figures of the thesis: what they compute by hand-worked cases, and the command."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from rrtool.artifacts import Ranking, Regions, open_artifact
from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.ground_truth.boxes import QueryBox
from rrtool.stages.reports.figures import given, inliers, patches, precision, sweeps
from rrtool.stages.reports.figures.channels import inside, shared_channels
from rrtool.stages.reports.figures.mixture import mixture_steps
from rrtool.stages.reports.figures.pooling import regions_by_level
from rrtool.stages.reports.options import ReportOptions
from tests.browser import CONTRASTS, Browser, needs_browser
from tests.core.discovery.plain_egm import fit_plain
from tests.reports.test_reports import Checker
from tests.stages.reports.made_ranking import INLIERS, write_local, write_photos, write_ranking
from tests.tiny import assert_done, assert_fails, rrtool

NAMES = ["a_1.png", "a_2.png", "b_1.png", "b_2.png", "c_1.png"]
# Of a_1 and of b_1: the photo itself first, then one right and wrong ones.
IDS = [[0, 1, 2, 3, 4], [2, 4, 0, 3, 1]]
N_INLIERS = [[50, 7, 2, 0], [40, 3, 3, 9]]


def pairs(n: int) -> list[tuple[int, int]]:
    return [(i, i) for i in range(n)]


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and a ranking of two queries, the first four of each verified."""
    folder = tmp_path_factory.mktemp("figures")
    write_photos(folder / "photos", NAMES)
    write_local(folder / "d.h5", NAMES)
    write_ranking(
        folder / "v.h5", (["a_1.png", "b_1.png"], NAMES), IDS,
        inliers=[[pairs(n) for n in counts] for counts in N_INLIERS], description=INLIERS,
    )  # fmt: skip
    return folder


def test_inliers_of_right_and_wrong_images_leave_out_the_photo_itself(verified: Path) -> None:
    truth = [
        QueryGroundTruth(np.array([1]), np.array([0])),
        QueryGroundTruth(np.array([3]), np.array([2])),
    ]
    with open_artifact(verified / "v.h5", Ranking) as ranking:
        right, wrong = inliers.inliers_by_truth(ranking, truth)
    assert right.tolist() == [7, 9]
    assert sorted(wrong.tolist()) == [0, 2, 3, 3]


def test_inliers_figure_tells_the_shares_of_right_and_wrong_images(verified: Path) -> None:
    options = ReportOptions(
        artifacts=(str(verified / "v.h5"),), output="x.html", ground_truth="prefix:(.)_"
    )
    with ExitStack() as stack:
        figure = inliers.figure(given.Given(options, stack))
    (chart,) = figure.charts
    right, wrong = (
        {vertex.x: vertex.y for vertex in line.vertices if vertex.y} for line in chart.lines
    )
    # Widths are of one inlier here: the 99.5 % quantile of 0, 2, 3, 3, 7, 9 is below 9.
    assert right == {7.0: 50.0, 8.0: 50.0}
    assert wrong == {0.0: 25.0, 2.0: 25.0, 3.0: 50.0}
    assert chart.ticks[8.0] == "8+"
    assert "2 right images: half of them have 8 inliers or more" in figure.caption


@pytest.mark.parametrize(
    ("counts", "edges"),
    [
        ([], [0]), ([0, 0], [0]), ([24], list(range(25))),
        ([48], list(range(0, 49, 2))), ([49], list(range(0, 50, 3))),
    ],
)  # fmt: skip
def test_bin_edges_are_of_equal_width(counts: list[int], edges: list[int]) -> None:
    assert inliers.bin_edges(np.array(counts, dtype=int)).tolist() == edges


def test_regions_of_a_level_are_those_of_rmac() -> None:
    levels = regions_by_level(6, 6)
    assert [len(level) for level in levels] == [1, 4, 9]
    assert levels[1] == [(0, 0, 4, 4), (2, 0, 4, 4), (0, 2, 4, 4), (2, 2, 4, 4)]


def test_shared_channels_respond_in_all_views_and_have_local_features_there() -> None:
    first, second = np.zeros((2, 4, 4, 4), np.float32)
    first[0, 0, 0] = second[0, 3, 3] = 8  # strong in both
    first[1, 0, 0] = 10  # in one alone
    first[2], second[2] = 6, 6  # everywhere: not sparse
    first[3, 1, 1] = second[3, 1, 1] = 4
    views = [first, second]
    assert shared_channels(views, views, []) == [0, 3]
    assert shared_channels(views, views, [{2, 3}, {0, 3, 2}]) == [3, 2]
    # Those in more views come first, then those that respond more.
    assert shared_channels(views, views, [{3}, {3}]) == [3, 0]
    # Of cells of 10 pixels, the box touches those of the second row and column.
    box = QueryBox("a", (15, 10, 20, 20))
    on_object = [inside(view, [box], (0, 0, 40, 40)) for view in views]
    assert [np.count_nonzero(view) for view in on_object] == [2, 2]
    assert shared_channels(views, on_object, [], 1) == [3]
    assert inside(first, [], (0, 0, 40, 40)) is first


def test_mixture_steps_are_those_of_the_plain_algorithm() -> None:
    y, x = np.mgrid[:9, :12]
    saliency = np.exp(-((x - 3) ** 2 + (y - 3) ** 2) / 6) + 0.7 * np.exp(
        -((x - 9) ** 2 + (y - 5) ** 2) / 4
    )
    options = {"rho": 1.0, "sigma": 2.5, "overlap": 0.55, "samples": "weighted"}
    regions = cast(Regions, SimpleNamespace(options=options))
    steps = mixture_steps(saliency.astype(np.float32), regions)
    prepared = np.where(saliency >= 0.01 * saliency.max(), saliency, 0)
    assert len(steps[0]) == np.count_nonzero(prepared)
    counts = fit_plain(prepared / prepared.max())[3]
    assert [len(step) for step in steps[1:]] == counts
    for n in (1, 2, len(counts)):
        weights, means, _, _ = fit_plain(prepared / prepared.max(), max_iterations=n)
        np.testing.assert_allclose(steps[n].weights, weights, atol=1e-5)
        np.testing.assert_allclose(steps[n].means, means, atol=1e-4)


def test_mixture_of_a_map_without_saliency_has_one_step_without_regions() -> None:
    options = {"rho": 7.0, "sigma": 2.5, "overlap": 0.55, "samples": "weighted"}
    regions = cast(Regions, SimpleNamespace(options=options))
    assert [len(step) for step in mixture_steps(np.zeros((3, 4), np.float32), regions)] == [0]


def test_chosen_patches_are_apart_and_the_last_is_what_objects_lose() -> None:
    features, objects = np.zeros((2, 6, 9))
    objects[1, 1], objects[1, 2], objects[4, 7] = 1, 0.9, 0.8
    features[1, 1], features[4, 4] = 0.9, 1  # salient in the photo alone
    found = patches.chosen_patches(features, objects, side=3, theta=3)
    assert found == [1 * 9 + 1, 4 * 9 + 7, 4 * 9 + 4]
    box = patches.box_of(1 * 9 + 1, 3, (6, 9))
    np.testing.assert_allclose(box * [9, 6, 9, 6], [0, 0, 3, 3])
    # Of an even side one cell more lies above and to the left; at the corner it is cut.
    np.testing.assert_allclose(patches.box_of(3 * 9 + 3, 4, (6, 9)) * [9, 6, 9, 6], [1, 1, 5, 5])
    np.testing.assert_allclose(patches.box_of(0, 4, (6, 9)) * [9, 6, 9, 6], [0, 0, 2, 2])


def test_neighbours_are_the_nearest_regions_of_other_photos() -> None:
    vectors = np.eye(4)[[0, 0, 1, 2]] + 0.1 * np.eye(4)[[1, 2, 0, 0]]
    regions = cast(
        Regions, SimpleNamespace(descriptors=vectors, of=lambda row: slice(2 * row, 2 * row + 2))
    )
    central = np.array([1.0, 2.0, 3.0, 4.0])
    found = patches.neighbours(np.array([1, 0.5, 0, 0]), regions, 1, central)
    assert [each.place for each in found] == [0, 1]
    assert [each.centrality for each in found] == [1, 2]
    assert found[0].similarity == pytest.approx(1.05)


def test_histogram_of_precision_is_in_per_cent_and_its_last_step_is_closed() -> None:
    assert precision.histogram(np.array([0, 0.24, 0.25, 1.0]), 4).tolist() == [50, 25, 0, 25]
    assert precision.histogram(np.zeros(0), 2).tolist() == [0, 0]


def test_only_one_parameter_differs_from_the_first_run() -> None:
    base = {"rho": 7.0, "sigma": 2.5, "aggregate": "weighted"}
    runs: list[Any] = [
        (base, {"all": 0.5}),
        ({**base, "rho": 9.0}, {"all": 0.6}),
        ({**base, "rho": 1.0}, {"all": 0.4}),
        ({**base, "rho": 1.0, "sigma": 5.0}, {"all": 0.1}),
        ({**base, "aggregate": "sum"}, {"all": 0.2}),
        ({**base, "sigma": 1.0}, {"all": 0.3}),
    ]
    assert sweeps.varied(runs) == {
        "rho": [(1.0, {"all": 0.4}), (7.0, {"all": 0.5}), (9.0, {"all": 0.6})],
        "sigma": [(1.0, {"all": 0.3}), (2.5, {"all": 0.5})],
    }
    assert sweeps.varied([]) == {}


def test_figures_makes_what_can_be_made_and_tells_what_the_others_lack(
    verified: Path, tmp_path: Path
) -> None:
    words = ("report", verified / "v.h5", "--ground-truth", "prefix:(.)_")
    result = rrtool(*words, "--figures", "all", "-o", tmp_path / "p.html", "--json")
    assert_done(result)
    made = json.loads(result.stdout)
    assert made["made"] == ["4.6"]
    assert made["missing"]["5.7"].startswith("needs saliency")
    page = (tmp_path / "p.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "<h2>Figure 4.6: inliers of right and wrong images</h2>" in page
    assert "needs activation maps, from extract --save-maps" in page
    # A page is replaced by the next, another file is not.
    assert_done(rrtool(*words, "--figures", "4.6", "-o", tmp_path / "p.html"))
    assert "What could not be made" not in (tmp_path / "p.html").read_text()
    (tmp_path / "other.txt").write_text("mine")
    words = (*words, "--figures", "all")
    assert_fails(rrtool(*words, "-o", tmp_path / "other.txt"), 2, "no page of rrtool")


def test_figures_refuses_what_cannot_be_made(verified: Path, tmp_path: Path) -> None:
    words = ("report", verified / "v.h5", "-o", tmp_path / "p.html", "--figures")
    assert_fails(rrtool(*words, "all"), 2, "--ground-truth")
    line = assert_fails(rrtool(*words, "5.3,5.7"), 2, "figure 5.3, figure 5.7")
    assert "saliency fs --keep-maps" in line
    assert_fails(rrtool(*words, "9.9"), 2, "--figures")
    assert_fails(rrtool(*words, "all", "--photo", "x.png"), 2, "--ground-truth")
    line = assert_fails(rrtool(*words, "4.6", "--verified", verified / "v.h5"), 2)
    assert "--verified does not go with --figures" in line
    assert_fails(rrtool(*words[:-1], "--photo", "a_1.png"), 2, "--photo goes with --figures")
    assert not (tmp_path / "p.html").exists()


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_figures_fit_a_phone_and_can_be_read(
    browser: Browser, verified: Path, tmp_path: Path, dark: bool
) -> None:
    words = ("report", verified / "v.h5", "--ground-truth", "prefix:(.)_", "--figures", "all")
    assert_done(rrtool(*words, "-o", tmp_path / "p.html"))
    browser.show(tmp_path / "p.html", width=400, dark=dark)
    assert browser.complaints() == []
    assert browser.value("document.documentElement.scrollWidth") <= 400
    assert min(browser.value(CONTRASTS % json.dumps("h1, h2, p, dt, dd, a"))) >= 4.5
