"""Names without the folders that all share."""

from __future__ import annotations

import pytest

from rrtool.images.short_names import common_folder, short_names


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["/p/q/a.jpg", "/p/q/b.jpg"], "/p/q/"),
        (["/p/q/a.jpg", "/p/qq/a.jpg"], "/p/"),
        (["/p/a.jpg", "/p/q/a.jpg"], "/p/"),
        (["/a.jpg", "/q/b.jpg"], "/"),
        (["../p/a.jpg", "../p/b.jpg"], "../p/"),
        (["p/a.jpg"], "p/"),
        (["a.jpg", "p/b.jpg"], ""),
        (["/p/a.jpg", "p/a.jpg"], ""),
        ([], ""),
    ],
)
def test_short_names_leave_out_the_common_folder(names: list[str], folder: str) -> None:
    assert common_folder(names) == folder
    assert [folder + name for name in short_names(names)] == names
