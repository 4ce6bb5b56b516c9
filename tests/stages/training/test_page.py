"""rrtool report of trainings: every epoch's numbers, in a chart and in a table."""

import json
import shutil

from rrtool.artifacts import Training, open_artifact
from tests.reports.test_reports import Checker
from tests.tiny import assert_done, assert_fails, rrtool


def test_page_shows_every_epoch_of_every_training(trained, tmp_path):
    other = shutil.copy(trained / "net.training.h5", tmp_path / "other.h5")
    page = tmp_path / "page.html"
    assert_done(rrtool("report", trained / "net.training.h5", other, "-o", page))
    text = page.read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert text.count("<svg") == 3  # mAP, loss, exponent
    with open_artifact(other, Training) as record:
        for entry in record.extra["log"][1:]:
            assert text.count(f"<td>{entry['loss']:.4f}</td>") >= 2
            assert f"<td>{100 * entry['mean_average_precision']:.2f}</td>" in text
    assert "other.h5" in text
    assert "net.training.h5" in text


def test_json_has_the_log(trained, tmp_path):
    path = trained / "net.training.h5"
    result = rrtool("report", path, "-o", tmp_path / "page.html", "--json")
    assert_done(result)
    (shown,) = json.loads(result.stdout)["trainings"]
    assert [entry["epoch"] for entry in shown["log"]] == [0, 1, 2]


def test_options_of_other_pages_are_refused(trained, things, tmp_path):
    path = trained / "net.training.h5"
    result = rrtool("report", path, "-o", tmp_path / "page.html", "--images", things)
    assert_fails(result, 2, "--images")
