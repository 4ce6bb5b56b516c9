"""Runs that are killed at the k-th file operation: ``python -m tests.kills``."""

import os
import sys

# Before any library is imported: a process with threads cannot be forked safely. Tests, which take
# parts of this, have threads of their own.
if "pytest" not in sys.modules:
    for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{_name}_NUM_THREADS"] = "1"
