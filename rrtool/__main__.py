"""``python -m rrtool``."""

from rrtool.cli import main

if __name__ == "__main__":
    main()
