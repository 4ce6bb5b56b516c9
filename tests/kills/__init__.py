"""Runs that are killed at the k-th file operation: ``python -m tests.kills``."""

import os

# Before any library is imported: a process with threads cannot be forked safely.
for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
