"""The benchmark of GPUs, on the CPU and tiny: what both sides give is compared and shown."""

from __future__ import annotations

import sys
import time

import pytest
import torch

from tests.tiny import benchmark


@pytest.fixture(scope="module")
def gpu():
    return benchmark("gpu")


def _tiny(gpu):
    return gpu.Sizes("squeezenet1_1", 2, 64, 4, 30, 400, 3, 300, 16, 40)


def test_measure_and_table_on_cpu_tensors(gpu):
    sizes = _tiny(gpu)
    rows = gpu.measure("cpu", sizes, time.monotonic() + gpu.LIMIT_S, repeats=1)
    assert [row.work for row in rows] == list(gpu.WORKS)
    assert all(row.agrees and row.cpu_s > 0 and row.device_s > 0 for row in rows), rows
    lines = gpu.table(rows, "cuda").splitlines()
    assert lines[0] == "| work | CPU, s | cuda, s | ratio | results |"
    assert [line.split(" | ")[0][2:] for line in lines[2:]] == list(gpu.WORKS)
    late = gpu.measure("cpu", sizes, time.monotonic())
    assert [row.agreement for row in late] == ["left out: no time"] * len(gpu.WORKS)
    assert "NOT THE SAME" in gpu.table([gpu.Row("a", 2.0, 1.0, "other inliers", False)], "cuda")


def test_works_notice_other_results(gpu, tmp_path):
    sizes = _tiny(gpu)
    call, compare = gpu._nearest_neighbours(sizes, tmp_path)
    found = call("cpu")
    assert compare(found, found)[1]
    assert not compare(found, found + 0.01)[1]


def test_without_a_gpu_it_says_so_with_a_code_of_its_own(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 5
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == "there is no GPU here that torch can use: nothing was run\n"
