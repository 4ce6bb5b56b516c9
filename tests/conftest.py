"""Settings for the whole suite."""

import os

# Test processes run side by side (pytest-xdist): threads of their own would only fight for cores,
# and those that wait for others would do so spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
