"""Cases of index and find: a folder of artifacts that is half made, damaged, or not ours alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

from rrtool.stages.collection.layout import Index
from tests.fuzz.case import Case, apply
from tests.fuzz.corpus import Corpus, copy, stopped, words_of
from tests.fuzz.mutators import Mutator, arrays, hdf5, images, places, raw
from tests.tiny import picture

_RECORDS: dict[str, Mutator] = {**arrays.JSON, "text": raw.MUTATORS["zeros"]}
# Boxes as they are typed; the photos have 72×64 pixels.
_BOXES = (
    "5,5,40,40", "0,0,1,1", "0,0,0,0", "40,40,5,5", "60,60,900,900", "100,100,200,200", "1,2,3",
    "1,2,3,4,5", "a,b,c,d", "nan,0,9,9", "0,0,inf,9", "1e308,1e308,1e309,1e309", "", ",,,",
    "0,0,1e-9,1e-9", "-5,-5,40,40", "0.5,0.5,0.6,0.6", "9" * 400 + ",0,1,1",
)  # fmt: skip
_QUERIES = ("images", ".", "index", "index/features.h5", "nowhere.png", "", "-", "/dev/zero",
            "/dev/stdin", "x" * 300 + ".png", "x\ny.png", "\udcff.png", "../elsewhere/victim",
            "images/a_0.png/x", "~")  # fmt: skip


def files_of(folder: str) -> list[str]:
    """The places of the files of an index in a folder."""
    index = Index(Path(folder), "", {"discover": True})
    return [str(path) for path in (index.record, *index.of_photos(), *index.of_all())]


def new(corpus: Corpus, rng: Random) -> Case:
    """A new index of odd photos, or over something that is there."""
    work = corpus.fresh("index photos")
    words = words_of("index photos")
    if rng.random() < 0.6:
        title = apply(images.MUTATORS, work / "photos", rng)
    else:
        title = apply(places.AROUND, work / words[words.index("-o") + 1], rng)
    return Case("index", "index photos", title, words)


def again(corpus: Corpus, rng: Random) -> Case:
    """An index that is there, damaged or with others' files in it, brought up to date."""
    work = _with_index(corpus)
    is_changed = rng.random() < 0.5
    if is_changed:
        (work / "images" / "b_3.png").unlink()
        picture(rng.randrange(9)).save(work / "images" / "new.png")
    title, is_told = _changed(work / "index", rng)
    words = words_of("index")
    if rng.random() < 0.15:
        words.append("--dry-run")
    is_told = is_told and not is_changed and "--dry-run" not in words
    return Case("index", "index", title, words, told=is_told)


def half_made(corpus: Corpus, rng: Random) -> Case:
    """An index whose first run was killed when it would put a file in its place."""
    work = corpus.fresh("index")
    names = [os.path.basename(path) for path in files_of("index")]
    last = rng.choice(names)
    corpus.run(words_of("index"), {}, lambda program: stopped(program, [last]))
    title, is_told = f"killed at {last}", True
    if any(work.glob("index/*")) and rng.random() < 0.7:
        change, is_told = _changed(work / "index", rng)
        title += f", {change}"
    return Case("index", "index", title, words_of("index"), told=is_told)


def find(corpus: Corpus, rng: Random) -> Case:
    """A search of a damaged index, or for what is no good photo."""
    call = rng.choice(("find", "find page"))
    work = corpus.fresh(call)
    words, is_told = words_of(call), False
    what = rng.random()
    if what < 0.45:
        title, is_told = _changed(work / "index", rng)
        is_told = is_told and call == "find"
    elif what < 0.75:
        copy(corpus.require("photos"), work / "photos")
        title = apply(images.MUTATORS, work / "photos", rng)
        found = sorted(str(path.relative_to(work)) for path in (work / "photos").iterdir())
        words[2:3] = found[:20]
    elif what < 0.9:
        box = rng.choice(_BOXES)
        title, words = f"box {box[:20]!r}", [*words, "--box", box]
    else:
        query = rng.choice(_QUERIES)
        title, words[2] = f"query {query[:20]!r}", query
    return Case("find", call, title, words, told=is_told)


def _with_index(corpus: Corpus) -> Path:
    index = corpus.require("index")
    work = corpus.fresh("index")
    copy(index, work / "index")
    return work


def _changed(index: Path, rng: Random) -> tuple[str, bool]:
    """One of the files of an index, or what lies beside it, is changed.

    Returns:
        What was done, and whether a checksum tells it.
    """
    if rng.random() < 0.2:  # something beside
        output = index / os.path.basename(rng.choice(files_of("")))
        return f"{output.name}: {apply(places.AROUND, output, rng)}", False
    path = rng.choice(sorted(each for each in index.rglob("*") if each.is_file()))
    if rng.random() < 0.1:
        path.unlink()
        return f"{path.name}: missing", False
    others = sorted(each for each in index.glob("*.h5") if each != path)
    if others and rng.random() < 0.05:  # in its place
        other = rng.choice(others)
        shutil.copyfile(other, path)
        return f"{path.name}: {other.name}", False
    if path.suffix != ".h5":
        table = rng.choice((_RECORDS, _RECORDS, places.REPLACED))
    else:
        table = rng.choice((raw.MUTATORS, raw.MUTATORS, hdf5.MUTATORS, places.REPLACED))
    return f"{path.name}: {apply(table, path, rng)}", table is raw.MUTATORS
