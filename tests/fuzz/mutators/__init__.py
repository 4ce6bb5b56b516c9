"""What is done to inputs: a module a format, each with a table of mutators by name.

A mutator changes a file in place, by a generator that the seed and the number of the case set.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

Mutator = Callable[[Path, Random], None]
