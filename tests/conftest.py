"""Settings for the whole suite."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, open_browser

# Test processes run side by side (pytest-xdist): threads of their own would only fight for cores,
# and those that wait for others would do so spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")  # kernels are tried with one and with two


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on busy cores cost a thousand times what they compute."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests of pages; they are marked with ``needs_browser``."""
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of ``made_chain``, for tests that leave in it what is there as it is."""
    from tests.made_chain import make_chain

    before = Path.cwd()
    yield make_chain(tmp_path_factory.mktemp("chain"))
    os.chdir(before)
