"""Tables, lists and rules as people and their programs get them wrong."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fuzz.mutators import Mutator

_CELLS = (
    "", " ", "nan", "inf", "-inf", "1e999", "-1", "0", "1_0",
    "０", "0x10", "1,5", "1.5.2", '"', "'",
    '""', '"a', 'a"b', "=1+1", "+1", "-1+1", "@x", "\t=1", "\0", "\x1b[2J", "\u202e", "\ufeff", "é",
    "e\u0301", "../x", "/etc/passwd", "./a_0.png", "a_0", "A_0.PNG", "x" * 200_000, "\ud800",
    "\n", "\r", "NULL", "None", "name", "label", "99999999999999999999", "٣", "²", "a" * 300,
)  # fmt: skip
_Edit = Callable[[str, Random], str]


def _cell(text: str, rng: Random) -> str:
    rows = [line.split(",") for line in text.split("\n")]
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(_CELLS)
    return "\n".join(",".join(row) for row in rows)


def _columns(text: str, rng: Random) -> str:
    """A field more or less, in one row or in all."""
    rows = [line.split(",") for line in text.splitlines()]
    chosen = rows if rng.random() < 0.5 else [rng.choice(rows)]
    more = rng.random() < 0.5
    for row in chosen:
        row.append(rng.choice(_CELLS)) if more else row.pop(rng.randrange(len(row)))
    return "\n".join(",".join(row) for row in rows)


def _separator(text: str, rng: Random) -> str:
    return text.replace(",", rng.choice((";", "\t", "|", " ", ", ", ",,", "\0", ":")))


def _line_ends(text: str, rng: Random) -> str:
    return text.replace("\n", rng.choice(("\r", "\r\n", "\n\n", "\n\r", "\u2028", "\x0b", "\x85")))


def _rows(text: str, rng: Random) -> str:
    lines = text.split("\n")
    action = rng.choice(("double", "drop", "shuffle", "blank", "none", "one"))
    if action == "double":
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    elif action == "drop":
        del lines[rng.randrange(len(lines))]
    elif action == "shuffle":
        rng.shuffle(lines)
    elif action == "blank":
        lines.insert(rng.randrange(len(lines)), rng.choice(("", "  ", "\t", ",", "#", "\0")))
    else:
        lines = lines[: {"none": 0, "one": 1}[action]]
    return "\n".join(lines)


def _quotes(text: str, rng: Random) -> str:
    if rng.random() < 0.3:
        place = rng.randrange(len(text) + 1)
        return text[:place] + '"' + text[place:]
    quote = rng.choice(('"', "'", '""', "“"))
    return "\n".join(",".join(f"{quote}{c}{quote}" for c in line.split(",")) if line else ""
                     for line in text.split("\n"))  # fmt: skip


def _header(text: str, rng: Random) -> str:
    head = rng.choice(("name,label", "label,name", "NAME;LABEL", "path,label", "image,class", "id",
                       "name,name", "file", "label", "name,label,", "\ufeffname,label", "id,name",
                       "sep=;", "#name,label", "x0,y0,x1,y1,name",
                       "name,x0,y0,x1,y1,z"))  # fmt: skip
    _, _, rest = text.partition("\n")
    return f"{head}\n{rest if rng.random() < 0.5 else text}"


def _forms(text: str, rng: Random) -> str:
    return unicodedata.normalize(rng.choice(("NFD", "NFKD")), text.replace("a", "é"))


def _paths(text: str, rng: Random) -> str:
    put = rng.choice(("./", "/somewhere/images/", "images/", "images\\", "C:\\x\\", "../", "//"))
    return "\n".join(put + line if line else line for line in text.split("\n"))


def _long(text: str, rng: Random) -> str:
    return text + rng.choice((
        "x" * 5_000_000, "a," * 500_000, "\n" * 1_000_000, '"' * 100_001, text * 3000,
        "".join(f"n{i},b\n" for i in range(3000)),
    ))  # fmt: skip


_EDITS: dict[str, _Edit] = {
    "cell": _cell, "cell again": _cell, "columns": _columns, "separator": _separator,
    "line ends": _line_ends, "rows": _rows, "quotes": _quotes, "header": _header,
    "unicode forms": _forms, "paths": _paths, "long": _long,
}  # fmt: skip


def _edited(edit: _Edit) -> Mutator:
    def mutate(path: Path, rng: Random) -> None:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        path.write_bytes(edit(text, rng).encode("utf-8", "surrogatepass"))

    return mutate


def _encoding(path: Path, rng: Random) -> None:
    text = path.read_text(encoding="utf-8").replace("b", "é")
    name = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-8-sig",
                       "cp1252", "utf-7", "mac-roman", "shift-jis"))  # fmt: skip
    path.write_bytes(text.encode(name, "replace"))


MUTATORS: dict[str, Mutator] = {
    **{title: _edited(edit) for title, edit in _EDITS.items()},
    "encoding": _encoding,
}

# Rules in place of a table.
RULES = (
    "prefix:", "prefix:(", "prefix:)", "prefix:[", "prefix:(a+)+$", "prefix:(a*)*b",
    "prefix:(a|aa)+$",
    "prefix:(a|a)*$", "prefix:(.*)(.*)(.*)(.*)(.*)(.*)x", "prefix:([ab]+)*!", "prefix:(?=(a+)+b)",
    "prefix:^([^_]*)_", "prefix:()", "prefix:a{99999}", "prefix:a{9999999999}",
    "prefix:(?P<x>a)(?P<x>b)",
    "prefix:" + "(" * 500 + ")" * 500, "prefix:" + "(" * 5000 + ")" * 5000, "prefix:(?i)(?s)A",
    "prefix:\\", "prefix:(.)|(..)", "prefix:x(.)", "prefix:\udcff", "prefix:(?<=a)",
    "prefix:(?<=a*)",
    "prefix:[[:alpha:]]", "prefix:\\1", "prefix:(?:(?:(?:(?:a{0,99}){0,99}){0,99}){0,99})",
    "prefix:(a?){48}a{48}", "folder", "folder:", "Prefix:(.)_", "prefix", "prefix:(.)_\n", "",
    "prefix:(?#", "prefix:(?", "prefix:*", "prefix:(?(1)a|b)", "prefix:" + "a|" * 50_000,
)  # fmt: skip


def toml(rng: Random) -> bytes:
    """A ``rrtool.toml``: wrong types, foreign keys, outputs, depth and size."""
    keys = ("output", "o", "overwrite", "top", "k", "max_size", "scales", "features", "save_maps",
            "to_label", "sheet", "json", "quiet", "verbose", "seed", "device", "queries",
            "nonsense",
            "ground_truth", "labels", "weights", "network", "images", "expand", "workers", "gamma",
            "min_images", "measure", "folder", "rankings", "strategies", "\\u0000", "")  # fmt: skip
    values = ("true", "false", "1", "-1", "1.5", "nan", "-inf", '"x"', '""', "[]", "[1, [2]]",
              '"../elsewhere/victim"', '"x.h5"', "{}", "1979-05-27", "9" * 400, "'''a\nb'''",
              '["a", 1]', "0x7fffffffffffffff", '"' + "x" * 10_000 + '"', '"\\u001b[2J"',
              "[" * 2000 + "]" * 2000)  # fmt: skip
    tables = (
        "common",
        "extract",
        "search",
        "evaluate",
        "whiten.fit",
        "whiten",
        "saliency",
        "build-graph",
        "al-cycle",
        "report",
        "nonsense",
        "common.x",
        "a." * 2000 + "a",
        '"a\\nb"',
    )
    odd = (
        b"", b"\0", b"[", b"[[common]]\n[[common]]\n", b"\xff\xfe[\0c\0", b"\xef\xbb\xbf[common]\n",
        b"a=1\na=2\n", b"[common]\nseed = 1\n" * 2, b"x = " + b"[" * 100_000, b"#" * 5_000_000,
        b"[common]\n" + b"".join(b"k%d = 1\n" % i for i in range(20_000)), b"common = 1\n",
        b"whiten = 3\n", b"[common]\nseed = '\x7f'\n", b"[whiten]\nfit = 1\n",
        b"a" + b".a" * 50_000 + b"=1",
    )  # fmt: skip
    if rng.random() < 0.25:
        return rng.choice(odd)
    lines = []
    for table in rng.sample(tables, rng.choice((1, 1, 2))):
        lines.append(f"[{table}]")
        lines += [
            f"{key or '_'} = {rng.choice(values)}"
            for key in rng.sample(keys, rng.choice((1, 1, 2)))
        ]
    return "\n".join(lines).encode()


VARIABLES = (
    ("SEARCH_TOP", "x"), ("SEARCH_TOP", "9" * 5000), ("SEARCH_OUTPUT", "y.h5"), ("SEARCH_", ""),
    ("WHITEN", "1"), ("WHITEN_FIT_DIM", "0"), ("NONSENSE_K", "1"), ("EVALUATE_JSON", "maybe"),
    ("BUILD_GRAPH_K", "\udcff"), ("SEARCH_TOP", "\n"), ("SEARCH_TOP\n", "1"), ("\x1b[2J", "1"),
    ("CONFIG", "nowhere.toml"), ("CONFIG", "."), ("CONFIG", "/dev/zero"), ("CONFIG", "f.h5"),
    ("CONFIG", "/dev/stdin"), ("CONFIG", ""), ("SEARCH_QUIET", "1"), ("INSPECT_ARTIFACT", "x"),
)  # fmt: skip
