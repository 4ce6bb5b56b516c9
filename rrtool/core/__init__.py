"""Pure algorithms: arrays in, arrays out. Nothing here reads files, prints or parses options."""

import os

from rrtool.core.compiled import make_place

make_place(os.path.dirname(__file__), os.environ)  # before numba is imported, which looks for it
