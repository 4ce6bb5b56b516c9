"""The reference pages are what the declarations say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from rrtool.commands import by_name

ROOT = Path(__file__).parents[1]
PAGES = runpy.run_path(str(ROOT / "docs" / "reference.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_is_up_to_date(name):
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), f"docs/{name} is old: run make docs"


def test_pages_that_commands_name_exist():
    for options in by_name().values():
        page, _, anchor = options.COMMAND.page.partition("#")
        text = (ROOT / page).read_text(encoding="utf-8")
        assert not anchor or re.search(rf"^#+ .*{anchor}", text, re.MULTILINE | re.IGNORECASE)


def test_every_command_is_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in by_name():
        first, _, second = name.partition(" ")
        assert f"`{first}" in readme, name
        assert not second or re.search(rf"`{first} [a-z]+`(, `[a-z ]+`)*", readme), name
