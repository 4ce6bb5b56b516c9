"""A dask scheduler and two workers on this machine, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


class ACluster:
    """Started when it is first wanted; what has died is started again."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.scheduler_file = Path(self._folder.name) / "scheduler.json"
        self.scheduler: subprocess.Popen | None = None
        self.workers: list[subprocess.Popen] = []

    @property
    def option(self) -> str:
        """Of ``--workers-on``."""
        return f"dask:{self.scheduler_file}"

    def ready(self, n_workers: int = 2) -> ACluster:
        """With a scheduler and so many workers at least."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            self.stop()
            self.scheduler_file.unlink(missing_ok=True)
            self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
            while not self.scheduler_file.exists():
                assert self.scheduler.poll() is None
                time.sleep(0.05)
        self.workers = [each for each in self.workers if each.poll() is None]
        while len(self.workers) < n_workers:
            self.workers.append(self._start("worker", "--no-nanny", "--nthreads", "1"))
        self._wait_for_workers()
        return self

    def stop(self) -> None:
        """End all processes."""
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            process.kill()
            process.wait()
        self.workers, self.scheduler = [], None

    def client(self):
        """A client of the test's own."""
        from distributed import Client

        return Client(scheduler_file=str(self.scheduler_file), set_as_default=False)

    def busy_pid(self) -> int:
        """The process of a worker that works on a part."""
        with self.client() as client:
            pids = client.run(os.getpid)
            while True:
                for address, tasks in client.processing().items():
                    if tasks:
                        return pids[address]

    def _wait_for_workers(self) -> None:
        with self.client() as client:
            while len(client.nthreads()) != len(self.workers):
                assert all(each.poll() is None for each in self.workers)
                time.sleep(0.05)

    def _start(self, *command: str) -> subprocess.Popen:
        words = (*command, "--scheduler-file", str(self.scheduler_file), "--no-dashboard")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words], cwd=self._folder.name, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
