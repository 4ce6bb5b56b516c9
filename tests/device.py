"""Where the tests of torch's forms of the kernels compute: set ``RRTOOL_TEST_DEVICE`` to cuda."""

import os

TORCH_DEVICE = os.environ.get("RRTOOL_TEST_DEVICE", "cpu")
