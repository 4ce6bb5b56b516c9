"""Good inputs of every kind, made when a case needs them, and the calls that read them."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import typer

from rrtool.cli.app import app, main
from rrtool.commands import by_name
from tests.fuzz import made
from tests.fuzz.child import Limits, Outcome, run_forked
from tests.made_chain import COMMANDS, command_name, output_flags
from tests.tiny import rrtool

_SMALL = ("--max-size", "64", "--scales", "1", "--device", "cpu")
_INDEX = ("--network", "squeezenet1_1", "--weights", "none", "--max-size", "64", "--device", "cpu")
_NETWORK = (*_INDEX, "--scales", "1")
_WEIGHTS = ("--network", "squeezenet1_1", *_SMALL)
_START = ("-o", "x.h5", "--budget", "2", "--classes", "a,b", "--image-size", "16")

# More calls, each under the command that it begins with.
MORE: dict[str, tuple[str, ...]] = {
    "extract photos": ("photos", "-o", "x.h5", *_NETWORK),
    "extract list": ("list.txt", "-o", "x.h5", *_NETWORK),
    "extract list csv": ("list.csv", "-o", "x.h5", *_NETWORK),
    "extract list zero": ("list.zero", "-o", "x.h5", *_NETWORK),
    "extract boxes": ("images", "--boxes", "boxes.csv", "-o", "x.h5", *_NETWORK),
    "extract boxes coco": ("images", "--boxes", "coco.json", "-o", "x.h5", *_NETWORK),
    "extract boxes pkl": ("images", "--boxes", "gnd_rev.pkl", "-o", "x.h5", *_NETWORK),
    "extract boxes oxford": ("images", "--boxes", "oxford", "-o", "x.h5", *_NETWORK),
    "extract gallery": ("images", "--gallery", "gnd_rev.pkl", "-o", "x.h5", *_NETWORK),
    "extract weights": ("images", "--weights", "net.pth", "-o", "x.h5", *_WEIGHTS),
    "extract checkpoint": ("images", "--weights", "ckpt.pth", "-o", "fc.h5", *_WEIGHTS,
                           "--whitening", "none"),
    "extract wrapped": ("images", "--weights", "wrapped.pth", "-o", "x.h5", *_WEIGHTS),
    "extract safetensors": ("images", "--weights", "net.safetensors", "-o", "x.h5", *_WEIGHTS),
    "extract timm": ("images", "--network", "timm:test_resnet", "--weights", "timm.safetensors",
                     "-o", "x.h5", *_SMALL),
    "extract onnx": ("images", "--network", "onnx:net.onnx", "-o", "x.h5", *_SMALL),
    "extract long": ("long", "-o", "fl.h5", *_NETWORK),
    "search long": ("fl.h5", "fl.h5", "-o", "rl.h5"),
    "detect-local photos": ("photos", "-o", "x.h5", *_NETWORK),
    "saliency fs photos": ("photos", "-o", "x.h5", *_NETWORK),
    "rerank reciprocal graph": ("r.h5", "--method", "reciprocal", "--queries", "f.h5",
                                "--database", "f.h5", "--graph", "g.h5", "--k1", "2",
                                "-o", "vg.h5"),
    "rerank reciprocal lists": ("r.h5", "--method", "reciprocal", "--lists", "r.h5", "--k1", "2",
                                "-o", "x.h5"),
    "build-graph verified": ("f.h5", "--k", "2", "--verify", "d.h5", "-o", "gv.h5"),
    "diffuse verified": ("--graph", "gv.h5", "--queries", "f.h5", "--database", "f.h5",
                         "-o", "x.h5"),
    "discover verified": ("fr.h5", "--graph", "rg.h5", "--centrality", "c.h5", "--min-images", "2",
                          "--quantile", "0", "--verify", "d.h5", "--merge",
                          "--labels", "truth.csv", "-o", "x.h5"),
    "whiten fit table": ("f.h5", "--groups", "groups.csv", "-o", "x.h5"),
    "whiten fit pairs": ("f.h5", "--pairs", "pairs.csv", "-o", "x.h5"),
    "whiten export": ("ckpt.pth", "--set", "made", "-o", "x.h5"),
    "whiten apply exported": ("fc.h5", "we.h5", "-o", "x.h5"),
    "evaluate csv": ("r.h5", "--ground-truth", "groups.csv", "-o", "x.h5"),
    "evaluate tsv": ("r.h5", "--ground-truth", "groups.tsv", "-o", "x.h5"),
    "evaluate revisited": ("r.h5", "--ground-truth", "gnd_rev.pkl", "-o", "x.h5"),
    "evaluate revisited mat": ("r.h5", "--ground-truth", "gnd_rev.mat", "-o", "x.h5"),
    "evaluate instre": ("r.h5", "--ground-truth", "gnd_instre.pkl", "-o", "x.h5"),
    "evaluate instre mat": ("r.h5", "--ground-truth", "gnd_instre.mat", "-o", "x.h5"),
    "evaluate classic": ("r.h5", "--ground-truth", "gnd_classic.pkl", "-o", "x.h5"),
    "evaluate oxford": ("r.h5", "--ground-truth", "oxford", "-o", "x.h5"),
    "evaluate long": ("rl.h5", "--ground-truth", "prefix:(.)", "-o", "x.h5"),
    "evaluate boxes pkl": ("os.h5", "fr.h5", "--boxes", "gnd_rev.pkl", "-o", "x.h5"),
    "evaluate objects": ("ob.h5", "--boxes", "boxes.csv", "--ground-truth", "groups.csv",
                         "-o", "x.h5"),
    "evaluate hits": ("v.h5", "--ground-truth", "groups.csv", "--boxes", "boxes.csv",
                      "--query-local", "q.h5", "--database-local", "d.h5", "-o", "x.h5"),
    "evaluate audit": ("r.h5", "--ground-truth", "gnd_rev.pkl", "--audit", "--scores", "all",
                       "-o", "x.h5"),
    "al-cycle photos": ("photos", *_START),
    "al-cycle labels": ("images", "-o", "x.h5", "--state", "si.h5", "--labels", "labels.csv",
                        "--budget", "1", "--epochs", "1", "--width", "0.0625", "--device", "cpu",
                        "--image-size", "16"),
    "al-cycle studio": ("images", *_START, "--labels", "tasks.json", "--epochs", "1",
                        "--width", "0.0625", "--device", "cpu"),
    "al-cycle fiftyone": ("images", *_START, "--labels", "fiftyone.json", "--epochs", "1",
                          "--width", "0.0625", "--device", "cpu"),
    "al-cycle images": ("images", "-o", "si.h5", "--budget", "2", "--classes", "a,b",
                        "--image-size", "16"),
    "al-cycle oracle": ("images", *_START, "--oracle", "truth.csv", "--epochs", "1",
                        "--width", "0.0625", "--device", "cpu"),
    "al-cycle test": ("images", *_START, "--test", "images", "--test-labels", "truth.csv"),
    "al-cycle classes": ("images", "-o", "x.h5", "--budget", "2", "--classes", "classes.txt",
                         "--image-size", "16"),
    "al-cycle mnist": ("mnist:mnist", "-o", "x.h5", "--budget", "2"),
    "al-cycle cifar10": ("cifar10:cifar10", "-o", "x.h5", "--budget", "2"),
    "al-cycle cifar10 binary": ("cifar10:cifar10bin", "-o", "x.h5", "--budget", "2"),
    "al-cycle cifar100": ("cifar100:cifar100", "-o", "x.h5", "--budget", "2"),
    "al-cycle svhn": ("svhn:svhn", "-o", "x.h5", "--budget", "2"),
    "al-cycle frozen": ("--features", "f.h5", "-o", "sl.h5", "--labels", "truth.csv",
                        "--budget", "1"),
    "predict": ("sl.h5", "f.h5", "-o", "pr.csv"),
    "predict photos": ("sl.h5", "photos", "-o", "x.csv", "--sort-into", "x.sorted",
                       "--device", "cpu"),
    "al-agree table": ("a.h5", "-o", "x.h5", "--truth", "digits.csv", "--k", "5"),
    "report ranking": ("v.h5", "-o", "x.html", "--images", "images", "--query-local", "q.h5",
                       "--database-local", "d.h5", "--ground-truth", "groups.csv"),
    "report photos": ("r.h5", "-o", "x.html", "--images", "photos"),
    "report agreement": ("ag.h5", "-o", "x.html"),
    "report states": ("a.h5", "-o", "x.html"),
    "report saliency": ("os.h5", "-o", "x.html", "--images", "images", "--objects", "ob.h5",
                        "--regions", "fr.h5", "--boxes", "boxes.csv"),
    "report objects": ("ob.h5", "-o", "x.html", "--images", "images"),
    "report figures": ("os.h5", "fr.h5", "rg.h5", "c.h5", "m.h5", "--figures", "all",
                       "--images", "images", "--boxes", "boxes.csv", "-o", "x.html"),
    "import npy": ("own.npy", "--names", "names.txt", "-o", "x.h5"),
    "import parquet": ("own.parquet", "-o", "x.h5"),
    "import hloc": ("own.hdf5", "--names", "names.txt", "-o", "x.h5"),
    "import ilias": ("own.json", "-o", "x.h5"),
    "import csv": ("own.csv", "--names", "names.txt", "-o", "x.h5"),
    "import pairs": ("own.txt", "-o", "x.h5"),
    "import tuples": ("tuples.pkl", "--images", "sfm", "-o", "x.h5"),
    "import ranks": ("ranks.npy", "--format", "ranks", "--names", "names.txt", "--query-names",
                     "names.txt", "-o", "x.h5"),
    "export npz": ("f.h5", "-o", "x.npz"),
    "export hloc": ("f.h5", "-o", "x.hdf5"),
    "export csv": ("v.h5", "-o", "x.csv"),
    "export ilias": ("r.h5", "-o", "x.json"),
    "export matches": ("v.h5", "-o", "x.txt", "--format", "colmap"),
    "export local": ("d.h5", "-o", "x.hdf5"),
    "export objects": ("ob.h5", "-o", "x.json", "--format", "coco"),
    "export yolo": ("ob.h5", "-o", "x.yolo", "--format", "yolo"),
    "export voc": ("os.h5", "-o", "x.voc", "--format", "voc"),
    "index": ("images", "-o", "index", "--discover", *_INDEX),
    "index photos": ("photos", "-o", "x.index", *_INDEX),
    "find": ("index", "images/a_0.png", "--top", "3", "--device", "cpu"),
    "find page": ("index", "images/a_0.png", "--rerank", "diffusion", "--page", "x.html",
                  "--device", "cpu"),
    "inspect": ("f.h5",),
    "inspect verify": ("f.h5", "--verify"), "inspect json": ("f.h5", "--json"),
}  # fmt: skip
CALLS = {**COMMANDS, **MORE, "whiten export made": ("ckpt.pth", "--set", "made", "-o", "we.h5")}
# What a call reads that its words do not name.
_LISTED = {
    **dict.fromkeys(
        ("extract list", "extract list csv", "extract list zero", "find", "find page"), ("images",)
    ),
    "predict photos": ("f.h5",),
}
# Training starts threads, with which autograd refuses a child; an index is of photos in one place.
_APART = ("al-cycle", "al-pretrain", "index")


def words_of(call: str) -> list[str]:
    """The words of a call, without ``rrtool``."""
    return [*command_name(call).split(), *CALLS[call]]


def outputs_of(call: str) -> list[str]:
    """The files that a call is told to write."""
    words = CALLS[call]
    return [word for flag, word in pairwise(words) if flag in output_flags(call)]


def inputs_of(call: str) -> list[str]:
    """The files and folders that a call reads, each once."""
    words = CALLS[call]
    found = []
    for before, word in zip(("", *words), words, strict=False):
        prefix, _, rest = word.partition(":")
        name = rest if prefix in (*made.DATASETS, "onnx") else word
        if before not in output_flags(call) and (name in made.MAKERS or name in _PRODUCERS):
            found.append(name)
    return list(dict.fromkeys([*found, *_LISTED.get(call, ())]))


def _producers() -> dict[str, str]:
    return {output: call for call in reversed(CALLS) for output in outputs_of(call)
            if not output.startswith("x.")}  # fmt: skip


_PRODUCERS = _producers()


class Corpus:
    """A folder of good inputs, and one for the case that is run.

    Attributes:
        folder: of the good inputs.
        case: of the case: ``work``, where it runs; ``tmp``; ``home``; and ``elsewhere``, which it
            must not touch.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.folder, self.case = root / "corpus", root / "case"
        self._limits = limits
        self._programs = root / "bin"
        self.folder.mkdir()
        self._programs.mkdir()
        _warm()
        for name in ("gs", "gsc", "inkscape", "rsvg-convert", "convert", "ffmpeg", "sh", "bash"):
            program = self._programs / name
            program.write_text(f"#!/bin/sh\necho {name} > {self.case}/elsewhere/pwned\nexit 1\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def require(self, name: str) -> Path:
        """A good input, made now if it is not there yet."""
        path = self.folder / name
        if not path.exists() and name in made.MAKERS:
            made.MAKERS[name](path)
        elif not path.exists():
            self._perform(_PRODUCERS[name])
        return path

    def require_parts(self, call: str) -> list[Path]:
        """The parts that a run leaves which ends just before its first output is published."""
        folder = self.folder / f"parts of {call}"
        if not folder.exists():
            work = self.fresh(call)
            outputs = outputs_of(call)
            self.run(words_of(call), {}, lambda program: stopped(program, outputs))
            folder.mkdir()
            for path in work.glob(".*.parts"):
                copy(path, folder / path.name)
        found = sorted(folder.iterdir())
        if not found:
            raise RuntimeError(f"{call} leaves no parts")
        return found

    def fresh(self, call: str) -> Path:
        """The folder of a new case, with all that the call reads in its ``work``."""
        made_before = [self.require(name) for name in inputs_of(call)]  # perhaps in this folder
        shutil.rmtree(self.case, ignore_errors=True)
        for name in ("work", "tmp", "home", "elsewhere"):
            (self.case / name).mkdir(parents=True)
        (self.case / "elsewhere" / "victim").write_text(made.SECRET)
        for path in made_before:
            copy(path, self.case / "work" / path.name)
        return self.case / "work"

    def run(
        self,
        words: list[str],
        environment: dict[str, str],
        around: Callable[[Program], Program] = lambda program: program,
    ) -> Outcome:
        """Run the command line in the folder of the case."""
        own = {
            "HOME": str(self.case / "home"),
            "TMPDIR": str(self.case / "tmp"),
            "TORCH_HOME": str(self.case / "home"),
            "PATH": f"{self._programs}:{os.environ['PATH']}",
        }
        return run_forked(
            around(as_program(words)), self.case, {**own, **environment}, self._limits
        )

    def _perform(self, call: str) -> None:
        """Make an input by a command, in this process where that can be: what it loads stays."""
        # What these compile here no child has to compile for itself.
        for name in (*inputs_of(call), *(("v.h5", "os.h5", "ob.h5") if call == "index" else ())):
            self.require(name)
        if call.startswith(_APART):
            self._in_child(call)
            return
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            result = rrtool(*words_of(call))
        finally:
            os.chdir(before)
        if result.exit_code != 0:
            raise RuntimeError(f"{call}: {result.exit_code} {result.stderr} {result.exception!r}")

    def _in_child(self, call: str) -> None:
        work = self.fresh(call)
        outcome = self.run(words_of(call), {})
        if outcome.code != 0:
            raise RuntimeError(f"{call}: {outcome.code} {outcome.stderr.decode()}")
        for name in outputs_of(call):
            copy(work / name, self.folder / name)


Program = Callable[[], None]


def stopped(program: Program, outputs: list[str]) -> Program:
    """The same program, killed at the moment when it would put an output in its place."""

    def run() -> None:
        for name in ("replace", "rename", "link"):
            _stop_at(name, outputs)
        program()

    return run


def _stop_at(name: str, outputs: list[str]) -> None:
    whole = getattr(os, name)

    def stopping(source: str, target: str, **more: int) -> None:
        if os.path.basename(os.fspath(target)) in outputs:
            os._exit(0)
        whole(source, target, **more)

    setattr(os, name, stopping)


def _warm() -> None:
    """Import and make here what every child would, for itself, else."""
    for options in by_name().values():
        import_module(options.COMMAND.runs)
    for name in ("rrtool.cli.tables", "rich.progress", "scipy.io", "safetensors.torch", "jinja2"):
        import_module(name)
    typer.main.get_command = cache(typer.main.get_command)
    typer.main.get_command(app)


def as_program(words: list[str]) -> Program:
    """The command line as ``python -m rrtool`` runs it."""

    def run() -> None:
        sys.argv = ["rrtool", *words]
        main()

    return run


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)
