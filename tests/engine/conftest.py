"""One scheduler and two workers for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.a_cluster import ACluster


@pytest.fixture(scope="session")
def _the_cluster() -> Iterator[ACluster]:
    pytest.importorskip("distributed", reason="distributed is not installed: no cluster to try")
    cluster = ACluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(_the_cluster: ACluster) -> ACluster:
    """Whole, whatever tests have killed of it."""
    return _the_cluster.ready()


@pytest.fixture
def one_worker(_the_cluster: ACluster) -> ACluster:
    """One is enough."""
    return _the_cluster.ready(1)


@pytest.fixture(params=["local", "dask"])
def workers_on(request: pytest.FixtureRequest) -> str:
    """Two workers of either kind."""
    return "local:2" if request.param == "local" else request.getfixturevalue("cluster").option
