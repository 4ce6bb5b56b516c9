"""``rrtool doctor``: whether rrtool works here, and what is wrong in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rrtool.errors import printable
from rrtool.progress import Progress
from rrtool.stages.compile_ahead import compile_all
from rrtool.stages.doctor.folder import examine
from rrtool.stages.doctor.machine import engines, machine, versions
from rrtool.stages.doctor.options import DoctorOptions
from rrtool.stages.doctor.self_test import self_test


def run(options: DoctorOptions, progress: Progress) -> dict[str, Any]:
    """Facts about the installation, the machine and the folder, JSON-compatible.

    Returns:
        With ``wrong``: a line for each thing that is.

    Raises:
        UsageError: there is no such folder.
    """
    wrong: list[str] = []
    if options.warm:
        return {"compiled": _tried("compile", lambda: compile_all(progress), wrong), "wrong": wrong}
    facts: dict[str, Any] = {"versions": versions(), "machine": machine()}
    folder = None if options.folder is None else Path(options.folder)
    if folder is not None:  # first: a name that is wrong is soon told
        found = examine(folder, options.clean, progress)
        facts["folder"] = found.facts
        wrong += found.wrong
    facts["engines"] = _tried("engines", lambda: engines(progress), wrong)
    facts["self test"] = _tried("self test", self_test, wrong)
    return {**facts, "wrong": wrong}


def _tried(name: str, part: Callable[[], tuple[Any, list[str]]], wrong: list[str]) -> Any:
    """What a part of the examination finds; that it fails is a finding."""
    try:
        found, also_wrong = part()
    # Whatever is broken in an installation is what a doctor is asked to tell.
    except Exception as error:  # noqa: BLE001
        text = (str(error) or type(error).__name__).splitlines()[0]
        wrong.append(f"{name}: {printable(text)}")
        return {}
    wrong += also_wrong
    return found
