"""Tables as people's programs write them, and what rrtool writes, read back."""

from __future__ import annotations

import codecs
import csv
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrtool.errors import UsageError
from rrtool.images.listing import list_images
from rrtool.tables import in_words, read_lines, read_table, table_lines

ROWS = [["a,1.jpg", "cat"], ["é.jpg", "dog; wild"], ["c.jpg", ""]]
SEMICOLONS = 'name;label\r\na,1.jpg;cat\r\né.jpg;"dog; wild"\r\nc.jpg;\r\n'
COMMAS = 'name,label\n"a,1.jpg",cat\né.jpg,dog; wild\nc.jpg,\n'


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path, *layouts):
    return [cells for _, cells in read_table(path, *(layouts or (("name", "label"),))).rows]


@pytest.mark.parametrize(
    "content",
    [
        COMMAS,
        SEMICOLONS,
        "\ufeff" + SEMICOLONS,
        SEMICOLONS.partition("\n")[2],  # no header
        SEMICOLONS.replace("\r\n", "\r"),
        SEMICOLONS.replace("\r\n", "\r\n\r\n"),
        "sep=;\r\n" + SEMICOLONS,
        SEMICOLONS.replace("name;label", "File Name; CATEGORY"),
        SEMICOLONS.replace("name;label", "image_path;Class"),
        COMMAS.replace("cat", ' "cat"'),
        codecs.BOM_UTF16_LE + SEMICOLONS.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + COMMAS.encode("utf-16-be"),
        SEMICOLONS.encode("utf-16-le"),
        COMMAS.encode("utf-16-be"),
        "label;other;filename\ncat;1;a,1.jpg\ndog\\; wild;2;é.jpg\n;3;c.jpg\n".replace(
            "dog\\; wild", '"dog; wild"'
        ),
        "\ufeffname\tlabel\r\na,1.jpg\tcat\r\né.jpg\tdog; wild\r\nc.jpg\t\r\n",
    ],
)
@pytest.mark.parametrize("ending", ["csv", "txt"])
def test_read_table_is_the_same_whatever_wrote_it(tmp_path, content, ending):
    assert rows_of(write(tmp_path / f"t.{ending}", content)) == ROWS


@pytest.mark.parametrize(
    "content", ['sep=,\r\n\r\n"a\nb",1\r\nc,2\r\n', '\rname,label\r"a\rb",1\rc,2\r']
)
def test_read_table_tells_the_line_that_a_row_ends_on(tmp_path, content):
    table = read_table(write(tmp_path / "t.csv", content), ("name", "label"))
    assert [line for line, _ in table.rows] == [4, 5]


def test_read_table_takes_the_first_layout_that_the_header_has(tmp_path):
    path = write(tmp_path / "t.csv", "score,class,id\n1,cat,7\n")
    table = read_table(path, ("id", "name", "label"), ("id", "label"), ("name", "label"))
    assert (table.columns, table.rows) == (("id", "label"), [(2, ["7", "cat"])])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name;label;label\na;b;c\n", "two columns have one title.*'label'"),
        ('name;label\na;"b\n', r"t.csv, line \d: malformed table"),
        ("name;label\na\n", r"line 2: wrong number of fields \(expected 2 \(name,label\), found 1"),
        (b"PK\3\4\0\0\0\0name,label\n", "not a table of text.*save it as CSV"),
        (b"\xff\xfea\0,", "not a text in UTF-16"),
    ],
)
def test_read_table_that_is_none_is_a_usage_error(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        rows_of(write(tmp_path / "t.csv", content))


def test_tables_that_are_pipes_or_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo.csv")
    for path in (tmp_path / "fifo.csv", Path("/dev/zero")):
        with pytest.raises(UsageError, match="not a file"):
            rows_of(path)
        with pytest.raises(UsageError, match="not a file"):
            read_lines(path)


def test_bytes_that_are_no_utf8_stay_as_the_system_names_files_and_read_as_western_letters(
    tmp_path,
):
    rows = rows_of(write(tmp_path / "t.csv", "é.jpg;Größe\n€;\x81\n".encode("latin-1", "replace")))
    assert os.fsencode(rows[0][0]) == b"\xe9.jpg"
    assert [in_words(cell) for cell in rows[0]] == ["é.jpg", "Größe"]
    assert in_words(os.fsdecode(b"\x80 \xff")) == "€ ÿ"
    assert in_words(os.fsdecode(b"\x81\xe9")) == "\x81é"  # no letter of Windows-1252
    assert in_words("e\u0301") == "é"


def test_formulas_are_written_as_texts_and_numbers_as_numbers(tmp_path):
    row = ["=1+1", "+a", "-a", "@a", "\ta", "'=a", "'a", "-1", -1, -2.5, None, 'say "a"']
    (line,) = table_lines([row])
    assert line == (
        "'=1+1,'+a,'-a,'@a,\"'\ta\",''=a,'a,'-1,-1,-2.5,,\"say \"\"a\"\"\"\n"
    )  # fmt: skip
    columns = [f"c{i}" for i in range(len(row))]
    path = write(tmp_path / "t.csv", "".join(table_lines([columns, row])))
    read = ["" if cell is None else str(cell) for cell in row]
    assert rows_of(path, columns) == [read]


# Every name and every text that can be in an artifact: bytes that are UTF-8 or not.
TEXTS = st.binary(max_size=12).map(lambda content: os.fsdecode(content.replace(b"\0", b"")))
HARD = st.text("=+-@'\"\t\r\n,; a\u2028\x0b\x85é", max_size=8)


@given(cells=st.lists(st.lists(TEXTS | HARD, min_size=2, max_size=2), max_size=6))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize(("separator", "ending"), [(",", "csv"), ("\t", "tsv")])
def test_what_is_written_is_read_back_equal(tmp_path, cells, separator, ending):
    rows = [["x", *row] for row in cells]
    lines = table_lines([["name", "label", "note"], *rows], separator)
    path = tmp_path / f"t.{ending}"
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    assert rows_of(path, ("name", "label", "note")) == rows
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.reader(file, delimiter=separator):  # as a spreadsheet reads it
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


@given(content=st.binary(max_size=60) | st.text("\ufeffa.jpg'\";,\t\r\n\0=1").map(str.encode))
@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
def test_any_bytes_are_a_table_or_a_usage_error(tmp_path, content):
    path = write(tmp_path / "t.csv", content)
    for read in (read_lines, rows_of, lambda path: list_images(str(path))):
        with suppress(UsageError):
            read(path)
