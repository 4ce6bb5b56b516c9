"""Options of doctor (docs/doctor.md)."""

from dataclasses import dataclass
from typing import ClassVar

from rrtool.errors import OptionError
from rrtool.options import Command, Options, argument, option


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """Tell whether rrtool works here, how fast, and what is damaged or left over in a folder."""

    COMMAND: ClassVar = Command(
        "doctor", "rrtool.stages.doctor.doctor", "ch. 2–4", "docs/doctor.md", quick=False
    )
    folder: str | None = argument(
        "A folder of artifacts: how fast it is written, whether locks hold there, which artifacts "
        "in it are damaged, and what killed runs have left.",
        None, role="file",
    )  # fmt: skip
    clean: bool = option(
        False,
        "Remove what killed runs have left in the folder: new files, parts that the same command "
        "would go on from, and locks. What a run is writing now stays, and what is not ours.",
        shapes=False, replaces=True, panel="Output",
    )  # fmt: skip

    warm: bool = option(
        False,
        "Only compile what is compiled at first use, so that no command has to wait for it, and "
        "say where it is kept.",
        shapes=False,
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.warm and self.folder is not None:
            raise OptionError(
                "--warm does not go with FOLDER", option="warm", found=self.folder,
                todo="leave one of them out",
            )  # fmt: skip
        if self.clean and self.folder is None:
            raise OptionError("--clean needs a FOLDER", option="clean")
