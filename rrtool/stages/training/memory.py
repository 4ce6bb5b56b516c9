"""How much memory is free."""

import os

_MEMINFO, _GROUP = "/proc/meminfo", "/sys/fs/cgroup"


def free_memory() -> int:
    """Bytes that this process may still take, as far as the system tells; else 2 GB."""
    found = [2_000_000_000]
    for line in _lines(_MEMINFO):
        if line.startswith("MemAvailable:"):
            found = [1024 * int(line.split()[1])]
    limit, used = (_lines(f"{_GROUP}/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdigit() and used[0].isdigit():
        found.append(int(limit[0]) - int(used[0]))
    return max(0, min(found))


def _lines(path: str) -> list[str]:
    if not os.path.isfile(path):
        return []
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read().splitlines()
