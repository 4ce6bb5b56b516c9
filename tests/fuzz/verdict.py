"""What a case must not do: each breach is a finding."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rrtool.artifacts import open_artifact
from rrtool.errors import RrtoolError
from rrtool.files import is_new_file
from tests.fuzz.child import MIB, Limits, Outcome
from tests.fuzz.made import SECRET
from tests.fuzz.mutators.places import NOTES

DOCUMENTED = (0, 1, 2, 3, 4, 130)
# Told, but no reason to fail: what libraries say of odd values, and lines that quote too much.
MINOR = ("noise", "long message")
_FAILED = (1, 2, 4)
_FOLLOWING = ("index", "predict")  # replace what they have written before
_LONGEST_MESSAGE = 2000
# Words of other libraries' own complaints, which a user cannot act on.
_NOISE = re.compile(
    r"HDF5-DIAG|^\s+#\d{3}: |\w+Warning: |Exception ignored|terminate called|libpng |"
    r"^Terminating: |^WARNING |: warning: |^\[W|^free\(\)|^double free|^malloc"
)
_LEAKS = (SECRET.strip().encode(), b"root:x:0:0")
Entry = tuple[str, str]
Snapshot = Mapping[str, Entry]


@dataclass(frozen=True)
class Finding:
    """A breach.

    Attributes:
        what: its sort, such as ``traceback``.
        detail: what findings of one cause have in common.
    """

    what: str
    detail: str


def snapshot(folder: Path) -> dict[str, Entry]:
    """What each path in a folder is and holds, without following links."""
    found: dict[str, Entry] = {}
    for root, folders, files in os.walk(os.fsencode(folder)):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            relative = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            found[relative] = _entry(path)
    return found


def _entry(path: bytes) -> Entry:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "link", os.fsdecode(os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return "folder", ""
    if not stat.S_ISREG(status.st_mode):
        return "device", ""
    if status.st_size > 64 * MIB:
        return "file", f"{status.st_size} {status.st_mtime_ns}"
    with open(path, "rb") as file:
        return _content(file.read())


def _content(data: bytes) -> Entry:
    return "file", hashlib.blake2b(data, digest_size=16).hexdigest()


def judge(
    words: list[str],
    outcome: Outcome,
    before: Snapshot,
    case: Path,
    outputs: list[str],
    limits: Limits,
) -> list[Finding]:
    """All findings of a run.

    Args:
        words: what was typed.
        before: of the folder of the case before it ran.
        case: that folder.
        outputs: the files that the command was told to write.
    """
    after = snapshot(case)
    return [
        *_endings(outcome, limits),
        *_messages(outcome),
        *_changes(words, outcome, before, after, outputs),
        *_leaks(outcome, case, before, after),
    ]


def _endings(outcome: Outcome, limits: Limits) -> Iterator[Finding]:
    text = outcome.stderr.decode("utf-8", "replace")
    if outcome.timed_out:
        yield Finding("hang", _stack(text))
    elif outcome.signal:
        yield Finding(f"signal {outcome.signal}", _stack(text))
    elif outcome.code not in DOCUMENTED:
        yield Finding("exit code", str(outcome.code))
    elif outcome.code == 130:
        yield Finding("exit code", "130 though nobody interrupted it")
    if outcome.grown > limits.memory:
        yield Finding("memory", "over its limit" if not text else _last_line(text))
    elif "out of memory" in text and not outcome.timed_out:
        yield Finding("memory", _last_line(text))
    if "Traceback (most recent call last)" in text:
        yield Finding("traceback", _traceback(text))
    if outcome.strays:
        yield Finding("process left", _last_line(text))


def _messages(outcome: Outcome) -> Iterator[Finding]:
    text = outcome.stderr.decode("utf-8", "replace")
    if outcome.code is None or "Traceback (most recent" in text:
        return
    lines = text.split("\n")
    errors = [line for line in lines if line.startswith("rrtool: ")]
    if outcome.code in _FAILED and len(errors) != 1:
        yield Finding("message", f"{len(errors)} lines of error: {_last_line(text)}")
    if outcome.code in (0, 3) and errors:
        yield Finding("message", f"an error with exit code {outcome.code}: {_generic(errors[0])}")
    if errors and len(errors[0].strip()) < 20:
        yield Finding("message", "an empty error")
    if outcome.code in _FAILED and outcome.stdout:
        yield Finding("message", f"results of a failure: {_last_line(text)}")
    for line in lines:
        if not line.isprintable():
            yield Finding("unprintable", _generic(line))
        elif _NOISE.search(line):
            yield Finding("noise", _generic(line))
        elif len(line) > _LONGEST_MESSAGE:
            yield Finding("long message", _generic(line))


def _changes(
    words: list[str], outcome: Outcome, before: Snapshot, after: Snapshot, outputs: list[str]
) -> Iterator[Finding]:
    is_done = outcome.code in (0, 3)
    for path, entry in before.items():
        if after.get(path) != entry and not _may_change(path, entry, words, outputs, is_done):
            how = "gone" if path not in after else "changed"
            yield Finding("lost", f"{how}: {_sort(path, outputs)}")
    if outcome.timed_out or outcome.signal:
        return
    for path in after:
        if path not in before and not _may_appear(path, outputs, is_done):
            yield Finding("left behind", _sort(path, outputs))
    lists = [path for path in after if ".skipped" in path and path not in before]
    tells = not {"--overwrite", "find"}.isdisjoint(words)  # find says it in its own table
    if outcome.code == 3 and not lists and not tells and words[0] != "index":
        yield Finding("message", "exit code 3 without a list of what was skipped")


def _may_change(
    path: str, entry: Entry, words: list[str], outputs: list[str], is_done: bool
) -> bool:
    """What is there before a run and is its own: temporaries, parts, a page to be replaced."""
    where, _, inner = path.partition("/")
    if where in ("stdin", "stdout", "stderr"):
        return True
    for output in outputs:
        own = (_hidden(output, "tmp"), _hidden(output, "lock"), _hidden(output, "parts"))
        is_part = inner.startswith(_hidden(output, "parts/"))
        is_own = is_part or (inner.startswith(own) and entry[0] != "link")
        is_half = entry[0] == "file" and is_new_file(os.path.basename(inner))
        if where == "work" and (is_own or (is_half and inner.startswith(_hidden(output, "")))):
            return True
        if where == "work" and inner == output and (is_done or words[0] == "index"):
            is_foreign = entry == _content(NOTES.encode()) or entry[0] != "file"
            return (
                entry[0] == "link"
                or words[0] == "report"
                or (not is_foreign and (words[0] in _FOLLOWING or "--overwrite" in words))
            )
    return False


def _hidden(output: str, ending: str) -> str:
    folder, name = os.path.split(output)
    return os.path.join(folder, f".{name}.{ending}")


def _may_appear(path: str, outputs: list[str], is_done: bool) -> bool:
    where, _, inner = path.partition("/")
    if where in ("stdout", "stderr"):
        return True
    if where != "work":
        return False
    for output in outputs:
        stem = os.path.splitext(output)[0]
        # Lists may get another name where one is in the way.
        may_be_whole = is_done or len(outputs) > 1  # the first of two, finished before the failure
        if (may_be_whole and inner == output) or inner.startswith(
            (f"{stem}.skipped", f"{stem}.to_label", f"{stem}.sorted/")
        ):
            return True
        # Finished parts of a run that failed are for the next.
        is_part = inner.startswith(_hidden(output, "parts"))
        if not is_done and is_part and not inner.endswith(".tmp"):
            return True
    return False


def _sort(path: str, outputs: list[str]) -> str:
    """A path with the outputs' own names left out."""
    for output in outputs:
        path = path.replace(output, "OUTPUT")
        path = path.replace(os.path.splitext(output)[0] + ".", "OUTPUT.")
    path = re.sub(r"\.[0-9a-zA-Z_-]{6,}\.tmp", ".*.tmp", path)
    return re.sub(r"\d+", "N", path)[:120]


def _leaks(outcome: Outcome, case: Path, before: Snapshot, after: Snapshot) -> Iterator[Finding]:
    texts = {"output": outcome.stdout, "messages": outcome.stderr}
    for path, entry in after.items():
        if entry[0] == "file" and before.get(path) != entry:
            texts[path] = (case / path).read_bytes()
    for where, content in texts.items():
        if any(secret in content for secret in _LEAKS):
            yield Finding("leak", f"another file's content in {where}")
    if any(path.endswith("pwned") for path in after):
        yield Finding("foreign code", "a program of the input ran")


def results(case: Path, outputs: list[str], stdout: bytes) -> dict[str, object]:
    """What a run has computed, without what tells one run from another."""
    found: dict[str, object] = {"stdout": stdout}
    for name in outputs:
        path = case / "work" / name
        if name.endswith(".h5"):
            found[name] = _digest(path)
        elif name.endswith(".csv"):
            found[name] = path.read_bytes() if path.is_file() else "missing"
    return found


def _digest(path: Path) -> str:
    if not path.is_file():
        return "missing"
    try:
        with open_artifact(path) as artifact:
            return artifact.computed_digest()
    except RrtoolError as error:
        return str(error)


def _traceback(text: str) -> str:
    """The exception, and where in rrtool it came from."""
    frames = re.findall(r'File "[^"]*/(rrtool/[^"]+)", line \d+, in (\S+)', text)
    kinds = re.findall(r"^[\w.]*(?:[Ee]rror|Exception|Interrupt|Exit)\b", text, re.MULTILINE)
    where = " ".join(frames[-1]) if frames else "outside rrtool"
    return f"{kinds[-1] if kinds else _last_line(text)} at {where}"


def _stack(text: str) -> str:
    """The innermost frames of a stack that faulthandler has written."""
    found = re.findall(r'File "([^"]+)", line (\d+) in (\S+)', text)
    frames = [f"{'/'.join(Path(file).parts[-2:])} {name}" for file, _, name in found]
    own = [f"{file[file.rindex('rrtool/'):]} {name}" for file, _, name in found
           if "/rrtool/" in file]  # fmt: skip
    return f"{frames[0] if frames else 'no stack'}, from {own[0] if own else 'outside rrtool'}"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return _generic(lines[-1]) if lines else "nothing said"


def _generic(line: str) -> str:
    """A line without numbers and what is quoted, so that like ones fall together."""
    line = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", line)
    line = re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "N", line)
    return line.encode("ascii", "backslashreplace").decode()[:160]
