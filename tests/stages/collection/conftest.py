"""Settings for the tests that compare two runs of a network to the last bit."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def numba_threads_started() -> None:
    """Numba's threads, which start with the first kernel, change the number of torch's as well,
    and thereby how the network rounds: so they start before it first runs."""
    import numba

    numba.set_num_threads(numba.get_num_threads())
