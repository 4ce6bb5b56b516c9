"""Where the real photos lie; tests that need them are skipped with a message where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("RRTOOL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))

needs_shared_data = pytest.mark.skipif(
    not (ROOT / "retrieval").is_dir(),
    reason="the shared photo sets are not here (set RRTOOL_SHARED_DATA to their folder)",
)
