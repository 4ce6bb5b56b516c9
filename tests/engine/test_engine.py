"""A function over parts, by this process, by others of this machine and by those of a cluster."""

from __future__ import annotations

import sys
from functools import partial

import pytest

from rrtool.cores import threads_of_a_worker
from rrtool.engine import cluster as cluster_module
from rrtool.engine.mapping import map_parts, open_crew
from rrtool.engine.options import Workers, WorkersOptions
from rrtool.errors import OptionError, UsageError, WorkFailed
from tests.engine import tasks
from tests.tiny import assert_fails, rrtool


def results(workers_on, task, folder, n=8):
    with open_crew(Workers.of(workers_on)) as crew:
        return sorted(map_parts(partial(task, folder), range(n), crew))


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("local:1", Workers(n_local=1)),
        ("dask:tcp://10.0.0.1:8786", Workers(address="tcp://10.0.0.1:8786")),
        ("dask:node7:8786", Workers(address="node7:8786")),
        ("dask:[::1]:8786", Workers(address="[::1]:8786")),
        ("dask:/home/me/s.json", Workers(scheduler_file="/home/me/s.json")),
        ("dask:s.json", Workers(scheduler_file="s.json")),
    ],
)
def test_workers_on_says_who_works(text, workers):
    assert WorkersOptions(workers_on=text).crew == Workers.of(text) == workers


@pytest.mark.parametrize(
    "text",
    ["", "local", "local:", "local:0", "local:-1", "local:1.5", "local:²", "local:9999", "dask",
     "dask:", "dask: ", "dask:tcp://node7", "slurm:4", "4"],
)  # fmt: skip
def test_workers_on_that_means_nothing_is_refused(text):
    with pytest.raises(OptionError, match=r"bad --workers-on \(expected local:N"):
        WorkersOptions(workers_on=text)


def test_workers_on_shapes_nothing():
    assert WorkersOptions(workers_on="local:2").asked() == {}


def test_file_of_others_cannot_say_who_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rrtool.toml").write_text("[common]\nworkers-on = 'dask:evil:8786'\n")
    assert_fails(rrtool("extract", "images", "-o", "f.h5"), 2, "workers-on", "cannot stand in a")


def test_map_in_this_process(tmp_path):
    assert list(map_parts(partial(tasks.note, tmp_path), range(3))) == [0, 1, 4]
    assert list(map_parts(partial(tasks.note, tmp_path), [])) == []


def test_map_hands_out_each_part_once(tmp_path, workers_on):
    assert results(workers_on, tasks.note, tmp_path) == [part**2 for part in range(8)]
    assert {path.name for path in tmp_path.iterdir()} == {f"{part}-0" for part in range(8)}
    assert {path.read_text() for path in tmp_path.iterdir()} == {str(threads_of_a_worker())}
    assert results(workers_on, tasks.note, tmp_path, 0) == []


def test_map_does_the_part_of_a_killed_worker_again(tmp_path, workers_on):
    assert results(workers_on, tasks.die_once, tmp_path) == [part**2 for part in range(8)]
    again = {path.name for path in tmp_path.iterdir()} - {f"{part}-0" for part in range(8)}
    assert "3-1" in again
    # dask forgets what the worker had done just before, too; stages look what is there first
    # (``test_killed_worker_costs_its_part_alone``).
    assert len(again) <= (1 if workers_on.startswith("local") else 2)


def test_map_gives_up_a_part_that_kills_its_workers(tmp_path):
    with pytest.raises(WorkFailed, match=r"that worked on 0 has died \(found SIGKILL\)"):
        results("local:1", tasks.die, tmp_path, 1)


def test_map_tells_what_a_worker_raises_when_it_has_tried_again(tmp_path, workers_on):
    with pytest.raises(WorkFailed, match=r"failed \(found ZeroDivisionError: by nothing\)$"):
        results(workers_on, tasks.fail, tmp_path, 1)
    assert len(list(tmp_path.iterdir())) == 3


def test_scheduler_that_is_not_there_is_told_soon(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster_module, "_CONNECT_S", 1)
    with pytest.raises(WorkFailed, match=r"127.0.0.1:9: no dask scheduler answers .*; start one"):
        results("dask:127.0.0.1:9", tasks.note, tmp_path)
    (tmp_path / "s.json").write_text('{"address": 5}')
    for name, found in (("s.json", "no address of a dask"), ("none.json", "No such file")):
        with pytest.raises(UsageError, match=f"{name}: cannot read the file.* found {found}"):
            results(f"dask:{tmp_path / name}", tasks.note, tmp_path)


def test_cluster_without_the_library_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkFailed, match=r"pip install 'rrtool\[cluster\]'"):
        results("dask:127.0.0.1:9", tasks.note, tmp_path)


def test_scheduler_without_workers_is_waited_for_a_while(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(cluster_module, "_NO_WORKER_S", 0.1)
    for worker in cluster.workers:
        worker.kill()
        worker.wait()
    with pytest.raises(WorkFailed, match="the dask scheduler has no workers; start some with"):
        results(cluster.option, tasks.note, tmp_path)
