"""``rrtool`` and ``python -m rrtool``: signals are minded before anything else is imported."""

import atexit
import gc

from rrtool.interrupts import install


def main() -> None:
    """Entry point of the ``rrtool`` command."""
    install()
    _leave_what_stays()
    from rrtool import cores

    cores.look()
    from rrtool.cli.app import main as run

    run()


def _leave_what_stays() -> None:
    """Look through the objects of imported modules seldom, and not once more at the end.

    Torch and numba make 200,000 that stay: a sixth of the time of a short run went into them.
    """
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


if __name__ == "__main__":
    main()
