"""Stages whose parts workers make: the data are those of one process, to the last bit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import PartsFolder
from rrtool.artifacts.output import parts as parts_module
from rrtool.artifacts.provenance import library_versions
from rrtool.engine import mapping
from rrtool.engine.options import Workers
from rrtool.errors import OptionError, WorkFailed
from rrtool.images.collection import collect
from rrtool.progress import Silent
from rrtool.stages.activations import elsewhere
from rrtool.stages.activations import run as activations_run
from rrtool.stages.amount import parts_of
from rrtool.stages.diffusion import build_graph
from rrtool.stages.retrieval.options import ExtractOptions
from tests.stages.made_features import write_features
from tests.stages.update_sequences import NETWORK, describe, differences, one_thread
from tests.tiny import leftovers, make_pictures, picture

N = 12
INDEX = {name: value for name, value in NETWORK.items() if name != "scales"}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of three photos, of which four make the collection; by one thread as the workers."""
    monkeypatch.setattr(parts_of, "__defaults__", (3,))
    with one_thread():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, one of them broken, and all that one process makes of them."""
    folder = tmp_path_factory.mktemp("made")
    make_pictures(folder / "photos", N)
    (folder / "photos" / "004.png").write_bytes(b"no picture")
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_of, "__defaults__", (3,))
        describe(folder / "photos", folder / "here")
    return folder


class AfterTheFirst(Silent):
    """Does something when the first part is done, and remembers the files of all parts."""

    def __init__(self, action: Callable[[], object], folder: Path) -> None:
        self.action: Callable[[], object] | None = action
        self._folder = folder
        self.seen: list[dict[str, int]] = []

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        def advance(n: int) -> None:
            found = {path.name: path.stat().st_ino for path in self._folder.glob("0*.h5")}
            self.seen.append(found)
            if n and self.action:
                action, self.action = self.action, None
                action()

        yield advance


def same(one: Path, two: Path) -> bool:
    with rrtool.open(one) as first, rrtool.open(two) as second:
        return first.digest == second.digest and first.identity() == second.identity()


def test_one_pass_by_workers_equals_one_process(made, tmp_path, cluster):
    describe(made / "photos", tmp_path / "there", workers_on=cluster.option)
    assert differences(made / "here", tmp_path / "there") == []
    assert same(made / "here" / "f.h5", tmp_path / "there" / "f.h5")
    assert leftovers(tmp_path / "there") == []


def test_update_by_workers_equals_one_process(made, tmp_path, cluster):
    photos = Path(shutil.copytree(made / "photos", tmp_path / "photos"))
    for folder in ("here", "there"):
        shutil.copytree(made / "here", tmp_path / folder)
    os.rename(photos / "001.png", photos / "zz.png")
    os.remove(photos / "007.png")
    picture(77).save(photos / "009.png")
    describe(photos, tmp_path / "here", update=True)
    describe(photos, tmp_path / "there", update=True, workers_on=cluster.option)
    assert differences(tmp_path / "here", tmp_path / "there") == []


def test_share_by_workers_equals_one_process(made, tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {**NETWORK, "shard": "2/2", "regions": 2}
    rrtool.extract(made / "photos", "here.h5", **options)
    rrtool.extract(made / "photos", "there.h5", **options, workers_on=cluster.option)
    assert same(Path("here.h5"), Path("there.h5"))


def test_saved_maps_serve_workers_too(made, tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(made)  # where the workers are not
    photos, maps, regions = "photos", "here/m.h5", "here/r.h5"
    graph, central = tmp_path / "g.h5", tmp_path / "c.h5"
    rrtool.build_graph(regions, graph, k=2)
    rrtool.centrality(graph, central, measure="katz")
    for name, more in (("here", {}), ("there", {"workers_on": cluster.option})):
        (tmp_path / name).mkdir()
        local, saliency, features = (tmp_path / name / file for file in ("l", "s", "f"))
        rrtool.detect_local(photos, local, maps=maps, **more)
        rrtool.saliency_os(
            photos, saliency, maps=maps, regions=regions, centrality=central, features=features,
            **more,
        )  # fmt: skip
    for file in "lsf":
        assert same(tmp_path / "here" / file, tmp_path / "there" / file)


@pytest.mark.parametrize("method", ["exact", "ivf"])
def test_graph_by_workers_equals_one_process(tmp_path, cluster, monkeypatch, method):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build_graph, "_ROWS_PER_PART", 100)
    vectors = np.random.default_rng(5).normal(size=(450, 16))
    vectors[:30] = vectors[30:60]  # ties
    write_features(Path("f.h5"), [f"{i}.jpg" for i in range(450)], vectors, failed=[7, 120])
    watching = AfterTheFirst(lambda: None, Path(".there.h5.parts"))
    options = {"k": 9, "method": method, "device": "cpu"}
    rrtool.build_graph("f.h5", "here.h5", **options)
    more = {"workers_on": cluster.option, "progress": watching}
    rrtool.build_graph("f.h5", "there.h5", **options, **more)
    assert same(Path("here.h5"), Path("there.h5"))
    assert len(watching.seen) == 1 + 5


def test_update_and_share_of_a_graph_by_workers_equal_one_process(tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build_graph, "_ROWS_PER_PART", 100)
    vectors = np.random.default_rng(5).normal(size=(460, 16))
    names = [f"{i}.jpg" for i in range(460)]
    workers = {"here.h5": {}, "there.h5": {"workers_on": cluster.option}}
    for start in (0, 10):
        write_features(Path("f.h5"), names[start : start + 450], vectors[start : start + 450])
        for output, more in workers.items():
            rrtool.build_graph("f.h5", output, k=9, device="cpu", update=True, **more)
    assert same(Path("here.h5"), Path("there.h5"))
    for output, more in workers.items():
        options = {"k": 9, "device": "cpu", "shard": "2/3", "overwrite": True, **more}
        rrtool.build_graph("f.h5", output, **options)
    assert same(Path("here.h5"), Path("there.h5"))


@pytest.fixture(scope="module")
def index(made, tmp_path_factory) -> Path:
    """An index of the photos with all that one process makes of them."""
    folder = tmp_path_factory.mktemp("index") / "index"
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_of, "__defaults__", (3,))
        rrtool.index(made / "photos", folder, discover=True, **INDEX)
    return folder


@pytest.mark.parametrize("discover", [False, True])
def test_index_by_workers_equals_one_process(made, index, tmp_path, discover, cluster, monkeypatch):
    """By a process beside this one; and by two of a cluster, with all that they may be asked."""
    workers_on = cluster.option if discover else "local:1"
    used, opened = [], mapping.open_crew

    def noted(workers):
        used.append(workers)
        return opened(workers)

    for module in (activations_run, build_graph):
        monkeypatch.setattr(module, "open_crew", noted)
    options = {**INDEX, "discover": discover, "workers_on": workers_on}
    rrtool.index(made / "photos", tmp_path / "there", **options)
    artifacts = sorted(path.name for path in (tmp_path / "there").glob("*.h5"))
    assert len(artifacts) == (10 if discover else 4)
    assert leftovers(tmp_path / "there") == []
    assert [name for name in artifacts if not same(index / name, tmp_path / "there" / name)] == []
    # The photos and the graph; and the regions' graph, and object saliency.
    assert used == [Workers.of(workers_on)] * (4 if discover else 2)


def test_small_world_index_is_of_one_process():
    with pytest.raises(OptionError, match="one process builds the index of --method hnsw"):
        rrtool.build_graph("f.h5", "g.h5", method="hnsw", workers_on="local:2")


def test_worker_of_another_version_is_told(made, tmp_path):
    options = ExtractOptions(images=str(made / "photos"), output=str(tmp_path / "f.h5"))
    versions = {**library_versions(), "torch": "0.1"}
    order = elsewhere.ImagesOrder(
        options, collect(options.images), {}, {}, [], {}, versions=versions
    )
    with pytest.raises(WorkFailed, match=r"another versions \(torch\) \(expected 0.1, found"):
        elsewhere.describe_part(order, None)


def test_worker_that_sees_no_folder_is_told(tmp_path, monkeypatch):
    folder = PartsFolder(tmp_path / "f.h5", "key")
    with pytest.raises(WorkFailed, match=r"f\.h5\.parts: a worker does not see this folder"):
        folder.require_here()
    folder.path.mkdir()
    (folder.path / "key").write_text("another")
    with pytest.raises(WorkFailed, match="does not see this folder"):
        folder.require_here()
    monkeypatch.setattr(parts_module, "_PATIENCE_S", 0.1)
    with pytest.raises(WorkFailed, match="says that it has written this part, and it is not there"):
        folder.require_part(3)


# What follows ends processes that others need: it comes last.


def test_killed_worker_costs_its_part_alone(made, tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    watching = AfterTheFirst(lambda: os.kill(cluster.busy_pid(), 9), Path(".f.h5.parts"))
    rrtool.extract(made / "photos", "f.h5", **NETWORK, workers_on=cluster.option, progress=watching)
    assert watching.action is None
    assert same(made / "here" / "f.h5", Path("f.h5"))
    files = [set(found.items()) for found in watching.seen]
    assert all(before <= after for before, after in pairwise(files))
    assert [worker.wait(5) for worker in cluster.workers if worker.poll() is not None] == [-9]


def test_run_whose_scheduler_goes_away_is_gone_on_with(made, tmp_path, one_worker, monkeypatch):
    monkeypatch.chdir(tmp_path)
    going = AfterTheFirst(one_worker.stop, Path(".f.h5.parts"))
    with pytest.raises(WorkFailed, match="the dask scheduler has gone away; run the same command"):
        rrtool.extract(
            made / "photos", "f.h5", **NETWORK, workers_on=one_worker.option, progress=going
        )
    going_on = AfterTheFirst(lambda: None, Path(".f.h5.parts"))
    rrtool.extract(made / "photos", "f.h5", **NETWORK, progress=going_on)
    assert 1 <= len(going_on.seen[0]) < N // 3
    assert going_on.seen[0].items() <= going_on.seen[-1].items()
    assert same(made / "here" / "f.h5", Path("f.h5"))
