"""``rrtool`` and ``python -m rrtool``: signals are minded before anything else is imported."""

from rrtool.interrupts import install


def main() -> None:
    """Entry point of the ``rrtool`` command."""
    install()
    from rrtool import cores

    cores.look()
    from rrtool.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
