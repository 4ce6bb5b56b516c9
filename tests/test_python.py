"""The Python functions: the documents' examples run, and the functions are the commands."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import rrtool
from rrtool.artifacts.kinds import Features, LocalFeaturesFile
from rrtool.errors import ArtifactError, OptionError, UsageError
from tests.tiny import make_pictures
from tests.tiny import rrtool as command

DOCS = Path(__file__).parents[1] / "docs"
NETWORK = {"network": "squeezenet1_1", "weights": "none", "scales": (1.0,), "max_size": 96}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    make_pictures(tmp_path / "photos", 4)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_examples_of_the_documents_run(photos):
    found = doctest.testfile(
        str(DOCS / "python.md"), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert found.attempted > 15
    assert found.failed == 0


def test_function_equals_the_command(photos):
    rrtool.extract(Path("photos"), "a.h5", **NETWORK)
    command("extract", "photos", "-o", "b.h5", "--network", "squeezenet1_1", "--weights", "none",
            "--scales", "1", "--max-size", "96")  # fmt: skip
    with rrtool.open("a.h5") as one, rrtool.open("b.h5") as other:
        assert one.identity() == other.identity()
        assert one.digest == other.digest
        assert one.asked == other.asked


def test_function_reports_to_the_progress_it_is_given(photos):
    class Told:
        messages: list[str] = []  # noqa: RUF012

        def message(self, text):
            self.messages.append(text)

        def task(self, *what):
            return rrtool_progress().task(*what)

    def rrtool_progress():
        from rrtool.progress import Silent

        return Silent()

    rrtool.extract("photos", "a.h5", progress=Told(), **NETWORK)
    rrtool.extract("photos", "a.h5", progress=Told(), **NETWORK)
    assert Told.messages[-1] == "a.h5 is up to date"


def test_function_wrong_arguments_are_told_as_python_does_or_as_the_command_does(photos):
    with pytest.raises(TypeError, match="missing a required argument: 'output'"):
        rrtool.extract("photos")
    with pytest.raises(TypeError, match="unexpected keyword argument 'tpo'"):
        rrtool.search("f.h5", "f.h5", "r.h5", tpo=3)
    with pytest.raises(OptionError, match="bad --top"):
        rrtool.search("f.h5", "f.h5", "r.h5", top=0)
    with pytest.raises(UsageError, match="cannot read the artifact"):
        rrtool.search("f.h5", "f.h5", "r.h5")
    with pytest.raises(AttributeError, match="no command fly"):
        rrtool.fly()
    assert "extract" in dir(rrtool)


def test_open_wrong_file_is_an_error_in_one_line(photos):
    Path("text.h5").write_text("no artifact")
    with pytest.raises(ArtifactError, match="not an HDF5 file"):
        rrtool.open("text.h5")


def test_local_features_of_one_image(photos):
    rrtool.detect_local("photos", "l.h5", **{**NETWORK, "scales": (1.0, 0.5)})
    with rrtool.open("l.h5") as local:
        assert isinstance(local, LocalFeaturesFile)
        found = local.of(1)
        start, middle, stop = local.offsets[2:5]
        assert (found.means == local.means[start:stop]).all()
        assert found.scales.tolist() == [0] * (middle - start) + [1] * (stop - middle)
        assert len(found.means) == len(found.channels) == len(found.strengths)


def test_tables_of_artifacts(photos):
    rrtool.extract("photos", "f.h5", **NETWORK)
    rrtool.search("f.h5", "f.h5", "r.h5")
    with rrtool.open("f.h5") as features:
        assert isinstance(features, Features)
        lines = features.to_csv("f.csv").read_text().splitlines()
        assert len(lines) == 5
        assert lines[0].startswith("name,status,d0,d1")
        assert lines[2].startswith("001.png,0,")
        assert float(lines[2].split(",")[3]) == pytest.approx(features.descriptors[1, 1])
        with pytest.raises(UsageError, match="no such folder for the output"):
            features.to_csv("no/such/folder.csv")
    with rrtool.open("r.h5") as ranking:
        lines = ranking.to_csv("r.csv").read_text().splitlines()
        assert len(lines) == 1 + 4 * 4
        hits = ranking.hits(2)
        assert [hit.rank for hit in hits] == [1, 2, 3, 4]
        assert hits == ranking.hits("002.png")
        assert hits[0].name == "002.png"
        for wrong in ("002.jpg", 9, -1):
            with pytest.raises(UsageError, match="no such query"):
                ranking.hits(wrong)
    rrtool.build_graph("f.h5", "g.h5", k=2)
    with rrtool.open("g.h5") as graph, pytest.raises(UsageError, match="makes no table"):
        graph.to_csv("g.csv")
