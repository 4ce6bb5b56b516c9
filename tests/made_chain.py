"""One small chain of every command: what the tests of wrong input and of changed options share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import torch

from rrtool.commands import by_name
from rrtool.networks.backbones import seeded_classifier
from rrtool.options import declarations
from tests.tiny import assert_done, make_digits, make_pictures, rrtool

GROUPS = "prefix:(.)_"
_ITS_SCALES = ("--network", "squeezenet1_1", "--weights", "none", "--max-size", "96",
              "--device", "cpu")  # fmt: skip
_NETWORK = (*_ITS_SCALES, "--scales", "1")
_QUICK = ("--epochs", "1", "--width", "0.0625", "--device", "cpu")

# Every command but report and demo, each after those whose artifacts it reads.
COMMANDS: dict[str, tuple[str, ...]] = {
    "extract": ("images", "-o", "f.h5", *_NETWORK, "--save-maps", "m.h5"),
    "extract regions": ("images", "-o", "ur.h5", *_NETWORK, "--regions", "2"),
    "extract zoomed": ("images", "-o", "zr.h5", *_ITS_SCALES, "--regions", "1", "--zoom", "40"),
    "extract all": ("images", "-o", "af.h5", *_NETWORK, "--local", "al.h5",
                    "--query-local", "aq.h5", "--fs-regions", "ar.h5", "--fs-features", "aff.h5"),
    "detect-local": ("images", "-o", "d.h5", *_NETWORK),
    "detect-local query": ("images", "-o", "q.h5", "--maps", "m.h5", "--role", "query",
                           "--levels-from", "d.h5"),
    "search": ("f.h5", "f.h5", "-o", "r.h5"),
    "search expanded": ("f.h5", "f.h5", "-o", "re.h5", "--expand", "1"),
    "search regions": ("ur.h5", "ur.h5", "-o", "rr.h5"),
    "rerank": ("r.h5", "--query-local", "q.h5", "--database-local", "d.h5", "-o", "v.h5"),
    "rerank reciprocal": ("r.h5", "--method", "reciprocal", "--queries", "f.h5",
                          "--database", "f.h5", "-o", "vr.h5"),
    "rerank refine": ("r.h5", "--method", "refine", "--queries", "f.h5", "--database", "f.h5",
                      "-o", "vf.h5"),
    "whiten fit": ("f.h5", "--groups", GROUPS, "-o", "w.h5"),
    "whiten fit pca": ("f.h5", "--method", "pca", "-o", "wp.h5"),
    "whiten apply": ("f.h5", "w.h5", "--center", "f.h5", "-o", "fw.h5"),
    "reduce-regions": ("ur.h5", "--n-regions", "2", "-o", "rd.h5"),
    "import": ("own.npz", "-o", "im.h5"),
    "build-graph": ("f.h5", "--k", "2", "-o", "g.h5"),
    "build-graph ivf": ("f.h5", "--k", "2", "--method", "ivf", "-o", "gi.h5"),
    "diffuse plain": ("--graph", "g.h5", "--queries", "f.h5", "--database", "f.h5",
                      "-o", "sp.h5"),
    "diffuse": ("--graph", "g.h5", "--queries", "f.h5", "--database", "f.h5", "--seeds", "v.h5",
                "-o", "s.h5"),
    "diffuse prepare": ("--prepare", "--graph", "g.h5", "--database", "f.h5", "-o", "p.h5"),
    "diffuse offline": ("--offline", "p.h5", "--graph", "g.h5", "--queries", "f.h5",
                        "--database", "f.h5", "-o", "so.h5"),
    "mine": ("f.h5", "--groups", GROUPS, "-o", "t.h5"),
    "saliency fs": ("images", "-o", "fr.h5", *_NETWORK, "--features", "ff.h5", "--keep-maps"),
    "build-graph regions": ("fr.h5", "--k", "2", "-o", "rg.h5"),
    "centrality": ("rg.h5", "--measure", "katz", "-o", "c.h5"),
    "centrality sampled": ("rg.h5", "--measure", "closeness", "--samples", "3", "-o", "cs.h5"),
    "saliency os": ("images", "-o", "os.h5", "--maps", "m.h5", "--regions", "fr.h5",
                    "--centrality", "c.h5", "--features", "of.h5"),
    "discover": ("fr.h5", "--graph", "rg.h5", "--centrality", "c.h5", "--min-images", "2",
                 "-o", "ob.h5"),
    "evaluate": ("r.h5", "v.h5", "--ground-truth", GROUPS, "-o", "e.h5"),
    "evaluate boxes": ("os.h5", "fr.h5", "--boxes", "boxes.csv", "-o", "eb.h5"),
    "al-pretrain": ("mnist:digits", "-o", "pre.h5", *_QUICK, "--limit", "60",
                    "--clusters-per-class", "1", "--kmeans-iterations", "1"),
    "al-cycle": ("mnist:digits", "-o", "a.h5", "--oracle", "dataset", "--budget", "10", *_QUICK,
                 "--semi", "--semi-epochs", "1", "--k", "5", "--pretrain", "pre.h5"),
    "al-cycle features": ("--features", "f.h5", "-o", "sf.h5", "--budget", "2", "--review", "3"),
    "al-cycle start": ("mnist:digits", "-o", "st.h5", "--classes", "a,b", "--budget", "2"),
    "al-agree": ("a.h5", "-o", "ag.h5", "--truth", "mnist:digits", "--k", "5"),
}  # fmt: skip


def command_name(call: str) -> str:
    """The command of a call: words after it only tell several calls of one command apart."""
    return next(name for name in sorted(by_name(), key=len, reverse=True) if call.startswith(name))


def command_of(call: str) -> list[str]:
    """The words of a call, without ``rrtool``."""
    return [*command_name(call).split(), *COMMANDS[call]]


@cache
def output_flags(call: str) -> frozenset[str]:
    """How what a call writes is named: what one command writes another may read."""
    options = declarations(by_name()[command_name(call)]).values()
    return frozenset(
        flag for each in options if each.declared.role == "output" for flag in each.flags
    )


def make_inputs(folder: Path) -> Path:
    """Make six images in two groups, boxes in them, a few digits, and weights; go there."""
    make_pictures(folder / "images", 6)
    for i in range(6):
        (folder / "images" / f"{i:03d}.png").rename(folder / "images" / f"{'ab'[i % 2]}_{i}.png")
    (folder / "boxes.csv").write_text("a_0.png,5,5,40,40\nb_1.png,9,9,60,60\n")
    make_digits(folder / "digits", 60, 20)
    names = [f"{'ab'[i % 2]}_{i}.png" for i in range(6)]
    vectors = np.random.default_rng(6).normal(size=(6, 6))
    np.savez(folder / "own.npz", names=names, descriptors=vectors)
    torch.save(seeded_classifier("squeezenet1_1", 5).state_dict(), folder / "net.pth")
    os.chdir(folder)
    return folder


def make_chain(folder: Path) -> Path:
    """Make the inputs and every artifact of them; go there."""
    make_inputs(folder)
    for name in COMMANDS:
        assert_done(rrtool(*command_of(name)))
    return folder
