"""How much memory is free, as far as Linux tells."""

from pathlib import Path

_MEMINFO, _GROUP = "/proc/meminfo", "/sys/fs/cgroup"


def available_memory() -> int | None:
    """Bytes of this machine that are free; None where nobody tells."""
    for line in _lines(_MEMINFO):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def memory_limit() -> int | None:
    """Bytes that this container may take in all; None where there is no limit."""
    return _number("memory.max")


def free_memory() -> int:
    """Bytes that this process may still take, as far as the system tells; else 2 GB."""
    available, limit, used = available_memory(), memory_limit(), _number("memory.current")
    found = [2_000_000_000 if available is None else available]
    if limit is not None and used is not None:
        found.append(limit - used)
    return max(0, min(found))


def _number(name: str) -> int | None:
    """Of the container's group."""
    found = _lines(f"{_GROUP}/{name}")
    return int(found[0]) if found and found[0].isdigit() else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
