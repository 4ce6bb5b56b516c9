"""The commands that are killed: those of the chain, and some whose outputs are no artifacts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tests.made_chain import COMMANDS, GROUPS, command_of, make_inputs, output_flags
from tests.tiny import make_pictures, picture, rrtool

_QUICK = ("--epochs", "1", "--width", "0.0625", "--device", "cpu")
# Calls beside those of the chain, in words.
MORE: dict[str, tuple[str, ...]] = {
    "extract skipping": (
        *("extract", "odd", "-o", "sk.h5", "--network", "squeezenet1_1", "--weights", "none"),
        *("--max-size", "96", "--scales", "1", "--device", "cpu"),
    ),
    "extract parts": (
        *("extract", "many", "-o", "pa.h5", "--network", "squeezenet1_1", "--weights", "none"),
        *("--max-size", "32", "--scales", "1", "--device", "cpu", "--save-maps", "pm.h5"),
    ),
    "extract all": (
        *("extract", "many", "-o", "pf.h5", "--network", "squeezenet1_1", "--weights", "none"),
        *("--max-size", "32", "--scales", "1", "--device", "cpu", "--save-maps", "pfm.h5"),
        *("--local", "pl.h5", "--query-local", "pq.h5"),
        *("--fs-regions", "pr.h5", "--fs-features", "prf.h5"),
    ),
    "al-cycle ask": (
        *("al-cycle", "images", "-o", "lb.h5", "--classes", "a,b", "--budget", "2"),
        *("--device", "cpu"),
    ),
    "al-cycle people": (
        *("al-cycle", "images", "-o", "pe.h5", "--state", "lb.h5", "--labels", "labels.csv"),
        *("--budget", "2", *_QUICK),
    ),
    "index": (
        *("index", "images", "-o", "ix", "--network", "squeezenet1_1", "--weights", "none"),
        *("--max-size", "64", "--device", "cpu", "--discover"),
    ),
    "train": (
        *("train", "images", "--groups", GROUPS, "-o", "net.safetensors", "--record", "tr.h5"),
        *("--network", "squeezenet1_1", "--weights", "none", "--image-size", "48"),
        *("--train-from", "features.12", "--epochs", "2", "--device", "cpu"),
    ),
    "export npy": ("export", "f.h5", "-o", "ef.npy"),
    "export ilias": ("export", "v.h5", "-o", "ev.json"),
    "report ranking": (
        *("report", "v.h5", "--images", "images", "-o", "page.html", "--ground-truth", GROUPS),
    ),
}
CALLS: dict[str, list[str]] = {
    **{name: command_of(name) for name in COMMANDS},
    **{name: list(words) for name, words in MORE.items()},
}
# What follows the name of an index in that of one of earlier photos, and of that one updated.
EARLIER, UPDATED = " earlier", " updated"
_BESIDE = (".to_label.csv", ".to_label.html", ".skipped.tsv", ".names.txt")


def make_base(folder: Path, names: Iterable[str]) -> None:
    """Run calls, and those that they need, once and undisturbed; in a process of its own."""
    make_inputs(folder)
    make_pictures(folder / "many", 70)
    shutil.copytree(folder / "images", folder / "odd")
    (folder / "odd" / "broken.png").write_bytes(b"no picture")
    (folder / "labels.csv").write_text("name,label\na_0.png,a\nb_1.png,b\n")
    for name in _with_needed(names):
        result = rrtool(*CALLS[name])
        if result.exit_code not in (0, 3):
            raise RuntimeError(f"{name}: {result.stderr} {result.exception!r}")
        if CALLS[name][0] == "index":
            _make_updated(folder, CALLS[name])


def _make_updated(folder: Path, words: list[str]) -> None:
    """An index of the photos as they once were, and what becomes of it by the same call."""
    earlier = Path(shutil.copytree(folder / "images", folder / "images earlier"))
    (earlier / "a_0.png").rename(earlier / "renamed.png")
    (earlier / "b_1.png").unlink()
    for name, seed in (("a_2.png", 90), ("gone.png", 91)):
        picture(seed).save(earlier / name)
    name = words[words.index("-o") + 1]
    for photos, output in (("images earlier", name + EARLIER), ("images", name + UPDATED)):
        if photos == "images":
            copy_index(folder / (name + EARLIER), folder / output, folder / photos)
        swapped = {"images": photos, name: output}
        result = rrtool(*(swapped.get(word, word) for word in words))
        if result.exit_code:
            raise RuntimeError(f"{output}: {result.stderr} {result.exception!r}")


def copy_index(source: Path, target: Path, photos: Path) -> None:
    """The same index, said to be of photos that lie elsewhere."""
    shutil.copytree(source, target)
    record = target / "index.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "images": str(photos)}))


def _with_needed(names: Iterable[str]) -> list[str]:
    """In the order of ``CALLS``, in which each stands after those whose outputs it reads."""
    wanted = set(names)
    files: set[str] = set()
    chosen = []
    for name, words in reversed(CALLS.items()):
        if name in wanted or files & set(outputs_named(words)):
            chosen.append(name)
            files |= set(words)
    return chosen[::-1]


def outputs_named(words: list[str]) -> list[str]:
    """The outputs of a call, by the names that it gives them."""
    flags = output_flags(" ".join(words[:2]))
    return [word for flag, word in pairwise(words) if flag in flags]


def outputs_of(words: list[str], base: Path) -> list[str]:
    """All files that a call makes, the lists beside its artifacts among them."""
    named = outputs_named(words)
    beside = [os.path.splitext(name)[0] + ending for name in named for ending in _BESIDE]
    return [*named, *(name for name in beside if (base / name).exists())]
