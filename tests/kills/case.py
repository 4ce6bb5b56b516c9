"""One kill: a run that is struck, a run after it, and what must hold after each."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from rrtool.artifacts import open_artifact
from rrtool.errors import RrtoolError
from tests.kills.chain import EARLIER, UPDATED, copy_index, outputs_of
from tests.kills.faults import Fault
from tests.stages.damaging import edited

_UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIMIT_S = 120
_LIST = ".to_label.csv"
FILLED = "id,name,label,score,suggested,confidence\n0,x.png,mine,0,,\n"


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code (negative: by this signal), what it said, its operations."""

    code: int
    stderr: str
    log: list[str]


def run(words: list[str], folder: Path, fault: Fault) -> Ended:
    """Run a command in a child that is forked from this process, which has imported all."""
    sys.stdout.flush()
    sys.stderr.flush()
    out, log = folder / "stderr.txt", folder / "log.json"
    pid = os.fork()
    if pid == 0:
        os._exit(_child(words, folder, out, log, fault))
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    operations = json.loads(log.read_text()) if log.exists() else []
    ended = Ended(code, out.read_text(errors="replace"), operations)
    out.unlink()
    log.unlink(missing_ok=True)
    return ended


def _child(words: list[str], folder: Path, out: Path, log: Path, fault: Fault) -> int:
    from rrtool.cli.app import app
    from rrtool.interrupts import install

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(_LIMIT_S)
    os.chdir(folder)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["rrtool", *words]
    code = 70
    try:
        fault.install()
        install()
        app(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001 - a child must not go on in the parent's program
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    log.write_text(json.dumps(fault.log))
    return code


class Case:
    """A folder with the inputs of a call, and perhaps with older outputs.

    Args:
        words: of the call.
        base: folder in which it has run once, undisturbed.
        folder: to work in; removed by ``close``.
        older: whether other artifacts, and a list with labels, stand under the outputs' names.
    """

    def __init__(self, words: list[str], base: Path, folder: Path, *, older: bool) -> None:
        self.outputs = outputs_of(words, base)
        self.base, self.folder, self.older = base, folder, older
        folder.mkdir()
        for path in base.iterdir():
            if path.name not in self.outputs:
                (folder / path.name).symlink_to(path)
        is_index = words[0] == "index"
        self.words = [*words, "--overwrite"] if older and not is_index else words
        self.ending = UPDATED if older and is_index else ""
        for name in self.outputs if older else ():
            if is_index:
                copy_index(base / (name + EARLIER), folder / name, folder / "images")
            else:
                _make_older(base / name, folder / name)
        self.before = {name: self.content(name) for name in self.outputs}

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def content(self, name: str) -> object:
        """What must be equal of a file: an artifact's digest and options, or bytes."""
        return content_of(self.folder / name)

    def wanted(self, name: str) -> object:
        """The same of what an undisturbed run leaves."""
        return content_of(self.base / (name + self.ending))

    def complaints_after_kill(self) -> list[str]:
        """Old or new, and whole."""
        found = []
        for name in self.outputs:
            now, *allowed = (
                _files(name, content)
                for content in (self.content(name), self.before[name], self.wanted(name))
            )
            found += [
                f"{file} is neither the old one nor the new one"
                for file in set().union(*allowed)
                if now.get(file) not in [each.get(file) for each in allowed]
            ]
        return found

    def complaints_after_rerun(self) -> list[str]:
        """As an undisturbed run leaves it, and nothing else."""
        found, names = [], set(self.outputs)
        for name in self.outputs:
            place = name
            if self.older and name.endswith(_LIST):  # which had labels in it
                place = name.replace(".csv", "-2.csv")
                names.add(place)
                if self.content(name) != FILLED.encode():
                    found.append(f"the labels in {name} are gone")
            if self.content(place) != self.wanted(name):
                found.append(f"{place} differs from that of an undisturbed run")
        left = sorted(set(os.listdir(self.folder)) - set(os.listdir(self.base)) - names)
        if left:
            found.append(f"left behind: {', '.join(left)}")
        return found


def _files(name: str, content: object) -> dict[str, object]:
    """Content by the file that has it: of a folder, of each file in it."""
    if not isinstance(content, dict):
        return {name: content}
    return {f"{name}/{file}": each for file, each in content.items()}


def content_of(path: Path) -> object:
    """None where there is no file; of a folder that of each file by its name."""
    if not path.exists():
        return None
    if path.is_dir():
        return {file.name: content_of(file) for file in path.iterdir()}
    if path.name == "index.json":
        return json.loads(path.read_text())["options"]  # places and rates are of one run
    if path.suffix == ".h5":
        try:
            with open_artifact(path) as artifact:
                if artifact.computed_digest() != artifact.digest:
                    return "damaged"
                return artifact.digest, json.dumps(artifact.identity(), sort_keys=True)
        except RrtoolError as error:
            return f"damaged: {error}"
    return _UUID.sub(b"uuid", path.read_bytes())


def _make_older(source: Path, target: Path) -> None:
    """What a run with other options has left: another artifact, a page, a list with labels."""
    if target.name.endswith(_LIST):
        target.write_text(FILLED)
        return
    if target.suffix in (".npy", ".json", ".txt"):  # which export leaves alone where it is the same
        target.write_text("older")
        return
    shutil.copy(source, target)
    if target.suffix == ".h5":
        with edited(target) as file:
            options = {**json.loads(file.attrs["options"]), "older": True}
            file.attrs["options"] = json.dumps(options, sort_keys=True)
            file.attrs["asked"] = "{}"
