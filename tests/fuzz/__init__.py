"""Seeded mutation of everything that rrtool reads, through its commands: ``python -m tests.fuzz``.

A warm process (``corpus``) makes good inputs of every kind with the commands themselves. Each case
takes one call of a command, changes one of its inputs (``mutators``), or what lies around its
output, and runs it in a forked child within limits (``child``). What must not happen is in
``verdict``. Seed and number of a case tell all of it: ``--replay SEED:CASE`` runs it again.
"""
