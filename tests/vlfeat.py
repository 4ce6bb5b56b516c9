"""Whether VLFeat is here, for tests that compare with it."""

from __future__ import annotations

import pytest

from rrtool.core.matching.vlfeat import library
from rrtool.errors import WorkFailed


def is_here() -> bool:
    try:
        library()
    except WorkFailed:
        return False
    return True


needs_vlfeat = pytest.mark.skipif(
    not is_here(), reason="VLFeat is not here (Debian and Ubuntu: apt install libvlfeat1)"
)
