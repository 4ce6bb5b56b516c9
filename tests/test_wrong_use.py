"""What users get wrong on the command line: one line each, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from rrtool import devices
from rrtool.artifacts.kinds import open_any
from rrtool.cli.app import app
from tests.tiny import (
    CPU,
    NETWORK,
    assert_done,
    assert_fails,
    command_line,
    detect_local,
    digest_of,
    extract,
    leftovers,
    make_pictures,
    picture,
    rrtool,
)

GROUPS = "prefix:(.)_"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every kind of artifact of six images in two groups; tests work in copies of their own."""
    folder = tmp_path_factory.mktemp("made")
    make_pictures(folder / "images", 6)
    for i in range(6):
        (folder / "images" / f"{i:03d}.png").rename(folder / "images" / f"{'ab'[i % 2]}_{i}.png")
    os.chdir(folder)
    assert_done(extract("images", Path("f.h5"), "--save-maps", "m.h5"))
    assert_done(detect_local("images", Path("d.h5")))
    assert_done(detect_local("images", Path("q.h5"), "--role", "query", "--levels-from", "d.h5"))
    for command in COMMANDS.values():
        assert_done(rrtool(*command))
    return folder


COMMANDS = {
    "search": ("search", "f.h5", "f.h5", "-o", "r.h5"),
    "rerank": (
        *("rerank", "r.h5", "--query-local", "q.h5"),
        *("--database-local", "d.h5", "-o", "v.h5"),
    ),
    "build-graph": ("build-graph", "f.h5", "--k", "2", "-o", "g.h5"),
    "centrality": ("centrality", "g.h5", "--measure", "katz", "-o", "c.h5"),
    "diffuse": (
        *("diffuse", "--graph", "g.h5", "--queries", "f.h5"),
        *("--database", "f.h5", "-o", "s.h5"),
    ),
    "prepare": ("diffuse", "--prepare", "--graph", "g.h5", "--database", "f.h5", "-o", "p.h5"),
    "whiten fit": ("whiten", "fit", "f.h5", "--groups", GROUPS, "-o", "w.h5"),
    "whiten apply": ("whiten", "apply", "f.h5", "w.h5", "-o", "fw.h5"),
    "evaluate": ("evaluate", "r.h5", "v.h5", "--ground-truth", GROUPS, "-o", "e.h5"),
    "report": ("report", "r.h5", "--images", "images", "-o", "page.html"),
}


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("extrat", "images"), "no such command 'extrat'"),
        (("search", "f.h5", "-o", "x.h5"), "missing argument"),
        (("search", "f.h5", "f.h5", "f.h5", "-o", "x.h5"), "unexpected extra argument"),
        (("search", "f.h5", "f.h5"), "missing option '--output'"),
        (("search", "f.h5", "f.h5", "-o"), "requires an argument"),
        (("search", "f.h5", "f.h5", "--tpo", "3", "-o", "x.h5"), "no such option: --tpo"),
        (("search", "f.h5", "f.h5", "--top", "many", "-o", "x.h5"), "'--top'"),
        (("search", "f.h5", "f.h5", "--top\n", "-o", "x.h5"), "no such option"),
        (("whiten", "learn"), "no such command 'learn'"),
        (("extract", "images", "-o", "x.h5", "--whitening"), "requires an argument"),
    ],
)
def test_command_line_that_cannot_be_read_is_one_line(here, arguments, text):
    line = assert_fails(rrtool(*arguments), 2, text)
    assert re.search(r"; see .*--help$", line)


def test_no_command_shows_the_help_and_version_is_told():
    assert "Describe photos:" in rrtool().stderr + rrtool().stdout
    result = rrtool("--version")
    assert_done(result)
    assert re.fullmatch(r"\d+\.\d+\S*\n", result.stdout)


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name not in ("report", "evaluate")]
)
def test_output_over_an_input_is_refused_even_with_overwrite(here, tmp_path, command):
    arguments = COMMANDS[command][:-2]
    for path in [path for path in dict.fromkeys(arguments) if path.endswith(".h5")]:
        before, link = Path(path).read_bytes(), tmp_path / path
        os.symlink(here / path, link)
        for output in (path, here / path, link):
            result = rrtool(*arguments, "-o", output, "--overwrite")
            assert_fails(result, 2, "the output is one of the inputs")
        assert Path(path).read_bytes() == before
    assert leftovers(here) == []


@pytest.mark.parametrize("command", ["report", "evaluate"])
def test_ranking_is_never_overwritten_by_what_shows_it(here, command):
    before = Path("r.h5").read_bytes()
    result = rrtool(*COMMANDS[command][:-2], "-o", "r.h5", "--overwrite")
    assert_fails(result, 2, "the output is one of the inputs")
    assert Path("r.h5").read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document_on_stdout(here, command):
    result = rrtool(*COMMANDS[command], "--json")
    assert_done(result)
    document = json.loads(result.stdout)
    assert "rules" in document[0] if command == "evaluate" else "output" in document


def test_extract_and_detect_local_json(here):
    for result in (
        extract("images", Path("f.h5"), "--save-maps", "m.h5", "--json"),
        detect_local("images", Path("d.h5"), "--json"),
    ):
        assert_done(result)
        assert json.loads(result.stdout)["n_skipped"] == 0
    assert json.loads(rrtool("inspect", "f.h5", "--json").stdout)["rows"]["good"] == 6


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("search", "d.h5", "f.h5"), 4, "another kind (expected features"),
        (("rerank", "r.h5", "--query-local", "d.h5", "--database-local", "q.h5"), 2, "swapped"),
        (("rerank", "f.h5", "--query-local", "q.h5", "--database-local", "d.h5"), 4, "kind"),
        (("rerank", "r.h5", "--query-local", "f.h5", "--database-local", "d.h5"), 4, "kind"),
        (("whiten", "apply", "w.h5", "f.h5"), 4, "another kind"),
        (("whiten", "export", "f.h5"), 2, "another kind of file"),
        (("centrality", "f.h5", "--measure", "katz"), 4, "expected graph, found features"),
        (("diffuse", "--graph", "f.h5", "--queries", "f.h5", "--database", "f.h5"), 4, "kind"),
        (("extract", "f.h5", *NETWORK, *CPU), 2, "this is an artifact"),
        (("extract", "images", *NETWORK, *CPU, "--boxes", "b" * 300), 2, "cannot read it"),
        (("extract", "images", "--network", "alexnet", "--weights", "f.h5"), 2, "weights file"),
        (("evaluate", "r.h5", "--ground-truth", "prefix:("), 2, "not a regular expression"),
        (("evaluate", "r.h5", "--ground-truth", "prefix:z"), 2, "6 of 6 image names have no"),
        (("evaluate", "r.h5", "--ground-truth", "folder"), 2, "6 of 6 image names have no"),
        (("evaluate", "r.h5", "--ground-truth", "f.h5"), 2, "not a ground truth"),
        (("evaluate", "f.h5", "--ground-truth", GROUPS), 4, "expected ranking, found features"),
        (("evaluate", "r.h5"), 2, "say what to score by"),
        (("diffuse", "--prepare", "--graph", "g.h5", "--database", "f.h5", "--kq", "5"), 2, "no q"),
    ],
)
def test_inputs_that_are_mixed_up(here, arguments, code, text):
    assert_fails(rrtool(*arguments, "-o", "x.h5"), code, text)
    assert not Path("x.h5").exists()
    assert leftovers(here) == []


HUGE = "99999999999999999999"


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("extract", "--seed", ("-1", HUGE)),
        ("extract", "--workers", ("-1", HUGE)),
        ("extract", "--batch-size", ("-1", HUGE)),
        ("rerank", "--inlier-threshold", ("0", "nan", "1e300")),
        ("rerank", "--max-scale-change", ("0.5", "nan", "1e300")),
        ("centrality", "--max-iter", ("0", "2147483648", HUGE)),
        ("diffuse", "--max-iter", ("0", "2147483648", HUGE)),
        ("prepare", "--max-iter", ("0", HUGE)),
        ("prepare", "--truncate", ("0", "-1")),
        ("prepare", "--tol", ("0", "nan", "2")),
    ],
)
def test_numbers_out_of_range_are_usage_errors_that_name_the_option(here, command, option, values):
    arguments = {"extract": ("extract", "images", *NETWORK, *CPU), **COMMANDS}[command]
    for value in values:
        assert_fails(rrtool(*arguments, "-o", "x.h5", option, value), 2, option)
    assert not Path("x.h5").exists()


def test_build_graph_takes_any_seed(here):
    for number, seed in enumerate((2**31 - 1, 2**31, HUGE)):
        options = ("--k", "2", "--method", "ivf", "--seed", seed)
        assert_done(rrtool("build-graph", "f.h5", "-o", f"seed-{number}.h5", *options))


@pytest.mark.parametrize(
    "arguments",
    [
        ("extract", "images", "--network", "alexnet", "--weights", "none"),
        COMMANDS["rerank"][:-2],
        COMMANDS["build-graph"][:-2],
        COMMANDS["centrality"][:-2],
        COMMANDS["diffuse"][:-2],
    ],
)
def test_cuda_without_a_gpu_is_a_usage_error(here, monkeypatch, arguments):
    monkeypatch.setattr(devices, "_n_cuda_devices", lambda: 0)
    result = rrtool(*arguments, "-o", "x.h5", "--device", "cuda")
    assert_fails(result, 2, "there is no cuda", "use --device cpu")


def test_output_that_cannot_be_written(here):
    search = COMMANDS["search"][:3]
    os.symlink("circle", "circle")
    for output in ("no/such/x.h5", "x" * 300, "y" * 250 + ".h5", "circle/x.h5", "images"):
        assert_fails(rrtool(*search, "-o", output), 2)
    result = rrtool(*search, "-o", "images/a_0.png", "--overwrite")
    assert_fails(result, 4, "no artifact that could be")
    os.mkfifo("fifo")
    report = ("report", "r.h5", "--images", "images")
    for output in ("/dev/null", "/dev/stdout", "fifo"):
        for command in (search, report):
            result = rrtool(*command, "-o", output, "--overwrite")
            assert_fails(result, 2, output, "expected a file name")
    os.unlink("fifo")
    assert_fails(rrtool(*report, "-o", "x" * 300), 2, "the name is too long")
    os.unlink("circle")
    assert leftovers(here) == []


def test_read_only_folder_is_one_line(here, monkeypatch):
    open_ = os.open

    def refuse(path, flags, *arguments, **options):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return open_(path, flags, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        result = rrtool(*COMMANDS["search"][:3], "-o", "x.h5")
    assert_fails(result, 2, "cannot write the output here", "Permission denied")


def test_failure_of_the_system_anywhere_is_one_line(here, monkeypatch):
    def refuse(path, *arguments, **options):
        raise OSError(5, "Input/output error", os.fspath(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", refuse)
        assert_fails(rrtool(*COMMANDS["search"]), 1, "r.h5", "Input/output error")


def test_links_in_circles_are_passed_over(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    for name, target in (("a", "."), ("up", ".."), ("x.png", "x.png"), ("gone.png", "nothing")):
        os.symlink(target, images / name)
    result = extract(images, tmp_path / "f.h5")
    assert_done(result, 3)
    with open_any(tmp_path / "f.h5") as artifact:
        assert artifact.names == ["000.png", "gone.png", "x.png"]


def test_photo_deleted_between_two_stages(tmp_path):
    images = make_pictures(tmp_path / "images", 3)
    features, local = tmp_path / "f.h5", tmp_path / "l.h5"
    assert_done(extract(images, features))
    assert_done(rrtool("search", features, features, "-o", tmp_path / "r.h5"))
    (images / "001.png").unlink()
    assert_done(detect_local(images, local))
    result = rrtool("rerank", tmp_path / "r.h5", "--query-local", local, "--database-local", local,
                    "-o", tmp_path / "v.h5")  # fmt: skip
    assert_fails(result, 4, "about other images", "e.g. 001.png")
    before = digest_of(features)
    assert_fails(extract(images, features), 4, "made from other images", "--overwrite")
    assert digest_of(features) == before
    page = rrtool("report", tmp_path / "r.h5", "--images", images, "-o", tmp_path / "p.html")
    assert_done(page)
    assert "1 images cannot be shown, e.g. 001.png" in page.stderr


def test_relative_paths_from_another_folder(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_fails(rrtool(*COMMANDS["search"]), 2, "f.h5: cannot read the artifact")
    features = os.path.relpath(here / "f.h5")
    result = rrtool("search", features, features, "-o", "r.h5")
    assert_done(result)
    assert digest_of(tmp_path / "r.h5") == digest_of(here / "r.h5")
    assert_done(rrtool("search", here / "f.h5", here / "f.h5", "-o", "r.h5"))  # up to date


def test_dash_reads_a_path_for_options_too(here):
    arguments = ("diffuse", "--queries", "f.h5", "--database", "f.h5", "-o", "s.h5", "--graph", "-")
    result = rrtool(*arguments, stdin=b"g.h5\n")
    assert_done(result)
    assert "up to date" in result.stderr
    for stdin in (b"", b"g.h5\nf.h5\n", b"g\0.h5\n"):
        assert_fails(rrtool(*arguments, stdin=stdin), 2, "'-' reads one path")


def test_reader_that_leaves_early_causes_no_noise(here):
    for options in ((), ("--json",)):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as nobody:
            done = subprocess.run(
                command_line("inspect", "f.h5", *options),
                stdout=nobody, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, "")


def test_untrained_network_is_said_everywhere(here, tmp_path):
    assert "the network is untrained" in extract("images", tmp_path / "f.h5").stderr
    assert "the network is untrained" in detect_local("images", tmp_path / "d.h5").stderr
    for path in sorted(here.glob("*.h5")):
        if path.name == "e.h5":
            continue
        facts = json.loads(rrtool("inspect", path, "--json").stdout)
        assert facts["network"]["weights"] == "none (untrained)", path
        assert "none (untrained)" in rrtool("inspect", path).stdout
    for ranking in ("r.h5", "v.h5", "s.h5"):
        shown = rrtool("evaluate", ranking, "--ground-truth", GROUPS).stdout
        assert "squeezenet1_1 (untrained)" in shown
    scores = json.loads(rrtool(*COMMANDS["evaluate"], "--json").stdout)
    assert not any(score["description"]["network"]["trained"] for score in scores)
    assert "untrained" in Path("page.html").read_text(encoding="utf-8")


def test_scores_carry_all_rules_of_their_protocol(here):
    table = rrtool(*COMMANDS["evaluate"]).stdout
    (first, _) = json.loads(rrtool(*COMMANDS["evaluate"], "--json").stdout)
    for rule in ("positives_rule", "junk_rule", "average_precision_rule", "precision_rule"):
        assert first["rules"][rule] in table
    for label in ("query crop: no", "scales: 1", "whitening: none", "mode: inductive"):
        assert label in table
    assert "queries: 6, of them 0 left out" in table
    assert first["description"]["network"]["weights_digest"][:8] in table


def test_options_named_in_the_documents_exist():
    known = _options_of(get_command(app))
    root = Path(__file__).parents[1]
    scripts = "".join(path.read_text() for path in (root / "benchmarks").glob("*.py"))
    of_scripts = set(re.findall(r'"(--[a-z][a-z-]*)"', scripts))
    for document in (root / "README.md", *(root / "docs").glob("*.md")):
        lines = document.read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if "SBATCH" not in line and "srun" not in line)
        found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - of_scripts
        assert found <= known | {"--help"}, (document.name, sorted(found - known))


def _options_of(command):
    """Those of a command and of all its subcommands."""
    options = {option for parameter in command.params for option in parameter.opts}
    return options.union(*map(_options_of, getattr(command, "commands", {}).values()))


def test_bomb_of_two_hundred_megapixels_is_refused_by_default(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    Image.new("1", (20_000, 10_000)).save(images / "bomb.png")
    picture(1).save(images / "good.png")
    result = extract(images, tmp_path / "f.h5")
    assert_done(result, 3)
    skipped = (tmp_path / "f.skipped.tsv").read_text()
    assert "20000×10000 pixels are over the limit of 150000000" in skipped
    with open_any(tmp_path / "f.h5") as artifact:
        assert artifact.status.tolist() == [0, 1, 0]
