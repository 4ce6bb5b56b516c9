"""Settings for the whole suite."""

import os

# Test processes run side by side (pytest-xdist): threads of their own would only fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
