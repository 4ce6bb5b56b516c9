"""``rrtool inspect``: what an artifact is, where it comes from, how many rows are good."""

from typing import Any

import numpy as np

from rrtool.artifacts import open_any
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.reports.options import InspectOptions


def run(options: InspectOptions, progress: Progress) -> dict[str, Any]:
    """Facts about an artifact, JSON-compatible.

    Raises:
        RrtoolError: no artifact, damaged, or (with ``--verify``) changed since it was written.
    """
    with open_any(options.artifact) as artifact:
        layouts = {name: artifact.layout(name) for name in artifact.dataset_names()}
        facts = {
            "path": options.artifact,
            **artifact.provenance(),
            "datasets": {name: f"{dtype} {shape}" for name, (dtype, shape) in layouts.items()},
        }
        status = getattr(artifact, "status", None)
        if status is not None:
            failed = int(np.count_nonzero(status))
            facts["rows"] = {"good": len(status) - failed, "failed": failed}
        if options.verify:
            found = artifact.computed_digest()
            if found != artifact.digest:
                raise ArtifactError(
                    "the content is not what was written",
                    where=options.artifact,
                    expected=artifact.digest,
                    found=found,
                    todo="make it again",
                )
            facts["verified"] = True
    return facts
