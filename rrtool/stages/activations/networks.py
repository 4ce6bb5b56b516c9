"""``rrtool networks``: which networks there are, and which of them are here."""

from dataclasses import asdict
from typing import Any

from rrtool.networks.catalogue import CATALOGUE, is_installed
from rrtool.progress import Progress
from rrtool.stages.activations.options import NetworksOptions


def run(options: NetworksOptions, progress: Progress) -> list[dict[str, Any]]:
    """One row a network, JSON-compatible: see ``catalogue.Entry``, and whether it is installed."""
    rows = []
    for entry in CATALOGUE:
        facts = asdict(entry)
        how = facts.pop("how")
        rows.append({**facts, "installed": is_installed(entry.name), "how_to_get_it": how})
    return rows
