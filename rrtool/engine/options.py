"""Where the parts of a run are worked on."""

import re
from dataclasses import dataclass

from rrtool.errors import OptionError
from rrtool.options import Options, option

_MOST_LOCAL = 1024
_ADDRESS = re.compile(r"([a-z]+://)?(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):\d{1,5}")


@dataclass(frozen=True)
class Workers:
    """Who works on the parts of a run.

    Attributes:
        n_local: processes of this machine, or 0.
        address: of a dask scheduler, or empty.
        scheduler_file: where a dask scheduler has written its address, or empty.
    """

    n_local: int = 0
    address: str = ""
    scheduler_file: str = ""

    @staticmethod
    def of(text: str) -> "Workers | None":
        """What ``--workers-on`` says; None if it says nothing that is known."""
        kind, _, value = text.partition(":")
        if kind == "local" and value.isascii() and value.isdigit():
            return Workers(n_local=int(value)) if 1 <= int(value) <= _MOST_LOCAL else None
        if kind != "dask" or not value.strip():
            return None
        if _ADDRESS.fullmatch(value):
            return Workers(address=value)
        return None if "://" in value else Workers(scheduler_file=value)


@dataclass(frozen=True, kw_only=True)
class WorkersOptions(Options):
    """Who works on the parts of a run."""

    workers_on: str | None = option(
        None,
        "Work on the parts side by side: local:4 starts four processes, dask:HOST:PORT and "
        "dask:FILE hand them to the workers of a dask scheduler, by its address or the file that "
        "it writes. A scheduler must be trusted.",
        shapes=False, trusts=True, panel="Running",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.workers_on is not None and self.crew is None:
            raise OptionError(
                "bad --workers-on", option="workers_on", found=self.workers_on,
                expected=f"local:N of 1 to {_MOST_LOCAL} processes, dask:HOST:PORT, or dask:FILE",
            )  # fmt: skip

    @property
    def crew(self) -> Workers | None:
        """None where this process works alone."""
        return None if self.workers_on is None else Workers.of(self.workers_on)
