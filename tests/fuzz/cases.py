"""From a seed and a number to a case: a call, what is changed for it, and what is expected."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import indexes, made
from tests.fuzz.case import Case, Unfit, apply
from tests.fuzz.corpus import CALLS, Corpus, copy, inputs_of, outputs_of, words_of
from tests.fuzz.mutators import (
    Mutator,
    arrays,
    hdf5,
    images,
    onnx_graphs,
    pickles,
    places,
    raw,
    text,
    weights,
)


@dataclass(frozen=True)
class Target:
    """An input of a call."""

    call: str
    name: str


def _targets(*suffixes: str, calls: Sequence[str] = ()) -> list[Target]:
    return [
        Target(call, name)
        for call in calls or CALLS
        for name in inputs_of(call)
        if name.endswith(suffixes)
    ]


_CHEAP = (
    "search", "search expanded", "search regions", "rerank", "rerank reciprocal",
    "rerank reciprocal graph", "rerank reciprocal lists", "rerank refine", "whiten fit",
    "whiten apply", "build-graph", "build-graph verified", "diffuse plain", "diffuse offline",
    "centrality", "discover", "discover verified", "evaluate", "evaluate objects", "evaluate hits",
    "inspect verify", "report states", "report figures", "export objects", "predict",
)  # fmt: skip
_DATASETS = ("mnist", "cifar10", "cifar10bin", "cifar100", "svhn")
_TRUTHS = ("gnd_rev.pkl", "gnd_instre.pkl", "gnd_classic.pkl", "tuples.pkl")
# Formats with checksums of their own.
_TELLING = (".h5", ".pth", ".gz")
# Calls whose inputs change in a way that takes long for what it shows are left to fewer cases.
_SLOW = ("al-cycle", "al-pretrain", "al-agree", "al-cycle oracle", "al-cycle labels")


class Cases:
    """All cases of a seed.

    Args:
        only: kinds to take; empty takes all.
    """

    def __init__(self, corpus: Corpus, seed: int, only: Sequence[str] = ()) -> None:
        self._corpus, self._seed, self._only = corpus, seed, only

    def prepare(self, number: int) -> Case | None:
        """Lay out the files of a case; None if its kind is not wanted.

        A change that its file cannot take (a dataset without rows made longer) gives way to
        another, drawn by the same generator.
        """
        rng = Random(f"{self._seed}:{number}")
        kind = rng.choices(list(KINDS), [share for share, _ in KINDS.values()])[0]
        if self._only and kind not in self._only:
            return None
        for _ in range(100):
            with suppress(Unfit):
                return KINDS[kind][1](self._corpus, rng)
        raise RuntimeError(f"no change fits: {self._seed}:{number}, {kind}")


def _files(kind: str, targets: Sequence[Target], *tables: Mapping[str, Mutator]) -> _Maker:
    """Cases that change one of the targets by a mutator of one of the tables."""

    def make(corpus: Corpus, rng: Random) -> Case:
        target = rng.choice(targets)
        if target.call in _SLOW and rng.random() < 0.8:
            target = rng.choice(targets)
        path = _member(corpus.fresh(target.call) / target.name, rng)
        table = rng.choice(tables)
        title = apply(table, path, rng)
        name = f"{target.name}: {title}"
        is_told = table is raw.MUTATORS and path.suffix in _TELLING
        return Case(kind, target.call, name, words_of(target.call), told=is_told)

    return make


def _member(path: Path, rng: Random) -> Path:
    """One of the files of a folder."""
    return rng.choice(sorted(path.iterdir())) if path.is_dir() else path


def _photo(corpus: Corpus, rng: Random) -> Case:
    call = rng.choice(("al-cycle photos",) * 5 + ("extract photos",) * 2
                      + ("report photos", "saliency fs photos", "detect-local photos",
                         "predict photos"))  # fmt: skip
    folder = corpus.fresh(call) / "photos"
    title = apply(images.MUTATORS, folder, rng)
    if call == "report photos":  # which looks for those of its ranking
        for path, name in zip(sorted(folder.glob("p?.*")), made.NAMES[1:], strict=False):
            path.rename(folder / name)
    return Case("photo", call, title, words_of(call))


def _rule(corpus: Corpus, rng: Random) -> Case:
    call = rng.choice(("evaluate", "evaluate long", "whiten fit"))
    corpus.fresh(call)
    rule = rng.choice(text.RULES)
    words = [rule if word.startswith("prefix:") else word for word in words_of(call)]
    return Case("truth", call, f"rule {rule[:40]!r}", words)


def _config(corpus: Corpus, rng: Random) -> Case:
    call = rng.choice(_CHEAP)
    work = corpus.fresh(call)
    if rng.random() < 0.75:
        (work / "rrtool.toml").write_bytes(text.toml(rng))
        return Case("config", call, "rrtool.toml", words_of(call))
    key, value = rng.choice(text.VARIABLES)
    name = f"variable {key!r}={value[:20]!r}"
    return Case("config", call, name, words_of(call), {f"RRTOOL_{key}": value})


def _place(corpus: Corpus, rng: Random) -> Case:
    call = rng.choice(list(CALLS) if rng.random() < 0.5 else _CHEAP)
    work = corpus.fresh(call)
    name = rng.choice(inputs_of(call))
    title = apply(places.REPLACED, work / name, rng)
    return Case("place", call, f"{name}: {title}", words_of(call))


def _around(corpus: Corpus, rng: Random) -> Case:
    call = rng.choice([call for call in (*_CHEAP, "al-cycle photos", "extract photos",
    "report ranking")
                       if outputs_of(call)])  # fmt: skip
    work = corpus.fresh(call)
    output = rng.choice(outputs_of(call))
    words = words_of(call)
    if rng.random() < 0.2:
        typed = rng.choice(places.OUTPUTS)
        words = [typed if word == output and before in ("-o", "--output") else word
                 for before, word in zip(("", *words), words, strict=False)]  # fmt: skip
        title = f"output {typed[:20]!r}"
    else:
        title = apply(places.AROUND, work / output, rng)
    if "photos" in call and rng.random() < 0.5:
        (work / "photos" / "bad.png").write_bytes(b"no photo")  # so that there is a skipped list
    if rng.random() < 0.3:
        words.append("--overwrite")
    return Case("around", call, title, words)


def _earlier(corpus: Corpus, rng: Random) -> Case:
    """The output is there from an earlier run; it, or an input since, has changed."""
    call = rng.choice([call for call in _CHEAP if outputs_of(call)[:1] not in ([], ["x.html"])])
    output = outputs_of(call)[0]
    earlier = corpus.require(output)
    work = corpus.fresh(call)
    copy(earlier, work / output)
    name = rng.choice((output, *(name for name in inputs_of(call) if name.endswith(".h5"))))
    table = rng.choice((raw.MUTATORS, hdf5.MUTATORS))
    title = apply(table, work / name, rng)
    words = words_of(call)
    if rng.random() < 0.5:
        words.append("--overwrite")
    is_told = table is raw.MUTATORS and name != output
    return Case("around", call, f"earlier, {name}: {title}", words, told=is_told)


_PARTED = ("extract", "extract regions", "detect-local", "rerank", "rerank reciprocal", "diffuse",
"saliency fs")  # fmt: skip


def _parts(corpus: Corpus, rng: Random) -> Case:
    """The parts that an interrupted run left have changed."""
    call = rng.choice(_PARTED)
    parts = corpus.require_parts(call)
    work = corpus.fresh(call)
    for folder in parts:
        copy(folder, work / folder.name)
    path = work / rng.choice([folder.name for folder in parts])
    file = rng.choice(sorted(each for each in path.rglob("*") if each.is_file()))
    table = rng.choice((raw.MUTATORS, raw.MUTATORS, raw.MUTATORS, hdf5.MUTATORS, places.REPLACED))
    title = apply(table, file, rng)
    is_told = table is raw.MUTATORS
    return Case("parts", call, f"{file.name}: {title}", words_of(call), told=is_told)


def _list(corpus: Corpus, rng: Random) -> Case:
    """A list of images, from a file or from standard input."""
    target = rng.choice(_targets("list.txt", "list.csv", "list.zero"))
    work = corpus.fresh(target.call)
    table = rng.choice((text.MUTATORS, text.MUTATORS, raw.MUTATORS))
    title = apply(table, work / target.name, rng)
    words = words_of(target.call)
    if rng.random() < 0.3:
        shutil.move(work / target.name, corpus.case / "stdin")
        words = ["-" if word == target.name else word for word in words]
    return Case("list", target.call, f"{target.name}: {title}", words)


_Maker = Callable[[Corpus, Random], Case]


def _one_of(*makers: _Maker) -> _Maker:
    return lambda corpus, rng: rng.choice(makers)(corpus, rng)


# Each with its share of the cases.
KINDS: dict[str, tuple[float, _Maker]] = {
    "artifact": (34, _one_of(
        _files("artifact", [x for x in _targets(".h5") if x.call not in _SLOW], raw.MUTATORS,
        hdf5.MUTATORS),
        _files("artifact", _targets(".h5", calls=_CHEAP), raw.MUTATORS, hdf5.MUTATORS),
    )),
    "photo": (16, _photo),
    "truth": (14, _one_of(
        _files("truth", _targets(*_TRUTHS), pickles.PICKLES, pickles.PICKLES, raw.MUTATORS),
        _files("truth", _targets(".mat"), pickles.MATLAB, pickles.MATLAB, raw.MUTATORS),
        _files("truth", _targets("oxford"), text.MUTATORS, raw.MUTATORS),
        _files("truth", _targets("groups.csv", "groups.tsv", "boxes.csv"), text.MUTATORS,
        raw.MUTATORS),
        _rule,
    )),
    "table": (8, _files(
        "table", _targets("pairs.csv", "labels.csv", "truth.csv", "classes.txt", "digits.csv"),
        text.MUTATORS, text.MUTATORS, raw.MUTATORS,
    )),
    "list": (4, _list),
    "dataset": (5, _one_of(
        _files("dataset", _targets(*_DATASETS), raw.MUTATORS),
        _files("dataset", _targets("cifar10", "cifar100"), pickles.PICKLES, raw.MUTATORS),
        _files("dataset", _targets("svhn"), pickles.MATLAB, raw.MUTATORS),
    )),
    "weights": (6, _one_of(
        _files("weights", _targets(".pth"), weights.TORCH, weights.TORCH, raw.MUTATORS),
        _files("weights", _targets(".safetensors"), weights.SAFETENSORS, raw.MUTATORS),
        _files("weights", _targets(".onnx"), onnx_graphs.MUTATORS, onnx_graphs.MUTATORS,
               raw.MUTATORS),
    )),
    "exchange": (6, _one_of(
        _files("exchange", _targets(".npy"), arrays.NPY, arrays.NPY, raw.MUTATORS),
        _files("exchange", _targets(".npz"), arrays.NPZ, arrays.NPZ, raw.MUTATORS),
        _files("exchange", _targets(".hdf5"), hdf5.MUTATORS, raw.MUTATORS),
        _files("exchange", _targets(".json"), arrays.JSON, raw.MUTATORS),
        _files("exchange", _targets(".parquet"), raw.MUTATORS),
        _files("exchange", _targets("own.csv", "own.txt", "names.txt"), text.MUTATORS,
               raw.MUTATORS),
    )),
    "index": (4, _one_of(indexes.new, indexes.again, indexes.again, indexes.half_made)),
    "find": (4, indexes.find),
    "config": (5, _config),
    "parts": (4, _parts),
    "place": (4, _place),
    "around": (4, _one_of(_around, _around, _earlier)),
}  # fmt: skip
