"""Every option of every command: changed between two runs, the message names exactly this one."""

from __future__ import annotations

import re

import pytest

from rrtool.commands import by_name
from rrtool.options import declarations
from rrtool.stages.discovery.options import FeatureSaliencyOptions
from rrtool.stages.matching.options import LocalOptions
from tests.made_chain import COMMANDS, command_name, command_of
from tests.tiny import assert_done, assert_fails, rrtool


@pytest.fixture
def here(chain, monkeypatch):
    monkeypatch.chdir(chain)


# Which call to change, where the first of a command cannot take the option: by command and option.
CALLS = {
    ("extract", "regions"): "extract regions",
    ("extract", "zoom"): "extract zoomed",
    **{
        ("extract", key): "extract all"
        for key in (*declarations(LocalOptions), *declarations(FeatureSaliencyOptions))
    },
    ("search", "expand_alpha"): "search expanded",
    **{("rerank", key): "rerank reciprocal" for key in ("k1", "k2", "mixture")},
    **{("rerank", key): "rerank refine" for key in ("top", "neighbors", "beta")},
    ("whiten fit", "method"): "whiten fit pca",
    ("build-graph", "seed"): "build-graph ivf",
    ("diffuse", "transductive"): "diffuse plain",
    ("centrality", "samples"): "centrality sampled",
    ("centrality", "seed"): "centrality sampled",
    ("al-cycle", "classes"): "al-cycle start",
    ("al-cycle", "semi"): "al-cycle start",
    ("al-cycle", "subset"): "al-cycle start",
    **{
        ("al-cycle", key): "al-cycle features"
        for key in ("first", "schedule", "review", "fine_tune")
    },
}
# How to change it, where another value of its type and range is not enough.
WORDS = {
    "weights": ("--weights", "net.pth"),
    "pool": ("--pool", "mac"),
    "network": ("--network", "squeezenet1_0"),
    "format": ("--format", "hloc"),
    "network_name": ("--network-name", "mine"),
    ("rerank", "k1"): ("--k1", "2"),
    ("al-cycle", "classes"): ("--classes", "a,c"),
    ("al-cycle", "schedule"): ("--schedule", "random:2"),
    ("al-cycle", "symmetrize"): ("--symmetrize", "sum"),
    # With its own defaults more would be changed than this.
    ("al-cycle", "fine_tune"): (
        *("images", "--fine-tune", "--epochs", "200", "--lr", "0.2", "--image-size", "32"),
    ),
    ("al-cycle", "image_size"): ("--image-size", "40"),
    "subset": ("--subset", "50"),
    "budget": ("--budget", "20"),
    "rampdown": ("--rampdown", "1.2"),
    "semi_batch_size": ("--semi-batch-size", "100"),
    "reference": ("--reference", "random", "--strategies", "entropy,jlp"),
    ("extract", "whitening"): ("--whitening", "none"),
    ("build-graph", "method"): ("--method", "ivf"),
    ("saliency os", "method"): ("--method", "hnsw"),
    ("saliency os", "network"): ("--network", "alexnet"),
}
# Changed by leaving a word out, or for a network of its own: see the tests below.
OTHERWISE = {
    ("diffuse", "prepare"),
    ("rerank", "method"),
    ("saliency fs", "keep_maps"),
    ("import", "split"),
} | {(command, "upsample") for command in ("extract", "detect-local", "saliency fs")}
# The checkpoint carries no whitening; maps stand in for a network; digits have their own size.
WITHOUT_EFFECT = {
    ("extract", "whitening"),
    ("al-pretrain", "image_size"),
    *(("mine", key) for key in ("chance", "alike", "seed")),  # labels leave nothing to choose
} | {
    ("saliency os", key)
    for key in ("network", "weights", "seed", "upsample", "max_size", "max_pixels", "scales")
}
CASES = [
    (command, key)
    for command in dict.fromkeys(map(command_name, COMMANDS))
    for key, declared in declarations(by_name()[command]).items()
    if declared.declared.shapes
    and declared.declared.role in ("setting", "network")
    and command != "evaluate"  # its table is made anew each time
    and (command, key) not in OTHERWISE
]


def _call(command, key):
    return CALLS.get((command, key)) or next(c for c in COMMANDS if command_name(c) == command)


def _changed(command, key):
    """The words that change an option."""
    words = WORDS.get((command, key), WORDS.get(key))
    if words is not None:
        return words
    declared = declarations(by_name()[command])[key]
    given, about = COMMANDS[_call(command, key)], declared.declared
    flag = declared.flags[0]
    now = given[given.index(flag) + 1] if flag in given and declared.type is not bool else None
    if declared.type is bool:
        return (flag,)
    if about.choices:
        return flag, next(each for each in about.choices if each not in (now, declared.default))
    if declared.many:
        return flag, "0.5"
    if declared.type is int:
        value = int(now if now is not None else declared.default or 1)
        return flag, str(value + 1 if about.most is None or value < about.most else value - 1)
    if declared.type is float:
        value = float(now if now is not None else declared.default or 0.5)
        return flag, str(value * 0.9 if value else 0.5)
    raise AssertionError(f"say how to change {flag} of {command}")


@pytest.mark.parametrize(("command", "key"), CASES)
def test_option_changed_between_two_runs_is_named(here, command, key):
    result = rrtool(*command_of(_call(command, key)), *_changed(command, key))
    if (command, key) in WITHOUT_EFFECT:
        assert_done(result)
        return
    _assert_named(result, declarations(by_name()[command])[key].flags[0])


def _assert_named(result, typed):
    line = assert_fails(result, 4)
    assert re.search(rf"made with another {typed} \(expected .*, found .*\)", line), line


@pytest.mark.parametrize("command", ["extract", "detect-local", "saliency fs"])
def test_upsample_changed_is_named(here, command):
    arguments = (
        *(*command.split(), "images", "-o", f"up-{command.split()[-1]}.h5"),
        *("--network", "resnet18", "--weights", "none", "--max-size", "64", "--scales", "1"),
    )
    assert_done(rrtool(*arguments))
    _assert_named(rrtool(*arguments, "--upsample"), "--upsample")


def test_option_left_out_is_named(here):
    without = [word for word in command_of("saliency fs") if word != "--keep-maps"]
    _assert_named(rrtool(*without), "--keep-maps")
    ranked = [*command_of("diffuse plain")[:-1], "p.h5"]
    _assert_named(rrtool(*ranked), "--prepare")


@pytest.mark.parametrize(
    ("call", "old", "new", "named"),
    [
        ("search", "f.h5", "fw.h5", None),
        ("diffuse plain", "f.h5", "fw.h5", None),
        ("rerank", "r.h5", "re.h5", "ranking"),
        ("saliency os", "c.h5", "cs.h5", "--centrality"),
        ("discover", "c.h5", "cs.h5", "--centrality"),
        ("whiten apply", "w.h5", "wp.h5", None),
        ("al-agree", "a.h5", "st.h5", None),
    ],
)
def test_other_input_is_named(here, call, old, new, named):
    words = [new if word == old else word for word in command_of(call)]
    result = rrtool(*words)
    if named is None:  # another property of the input speaks first
        assert_fails(result, 4 if call != "al-agree" else result.exit_code)
        return
    assert_fails(result, 4, f"made from other {named}, or")


@pytest.mark.parametrize("call", COMMANDS)
def test_same_call_is_up_to_date(here, call):
    result = rrtool(*command_of(call))
    assert_done(result)
    assert "is up to date" in result.stderr
