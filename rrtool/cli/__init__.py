"""The ``rrtool`` command."""
