"""``rrtool inspect``: what an artifact is, where it comes from, how many rows are good."""

from __future__ import annotations

from typing import Any

import numpy as np

from rrtool.artifacts import open_artifact
from rrtool.errors import ArtifactError

_STATUS_DATASET = "status"


def run(path: str, *, verify: bool = False) -> dict[str, Any]:
    """Facts about an artifact, JSON-compatible.

    Args:
        verify: recompute the digest of the content and compare it with the recorded one.

    Raises:
        RrtoolError: no artifact, damaged, or (with ``verify``) changed since it was written.
    """
    with open_artifact(path) as artifact:
        facts: dict[str, Any] = {
            "path": path,
            "kind": artifact.kind,
            "uuid": artifact.uuid,
            "created": artifact.created,
            "rrtool": artifact.rrtool_version,
            "command": " ".join(artifact.command),
            "device": artifact.device,
            "options": artifact.options,
            "network": artifact.network,
            "inputs": [
                {"role": record.role, "kind": record.kind, "path": record.path}
                for record in artifact.inputs
            ],
            "facts": artifact.extra,
            "versions": artifact.versions,
            "datasets": {
                name: f"{artifact.dtype(name)} {artifact.shape(name)}"
                for name in artifact.dataset_names()
            },
        }
        if _STATUS_DATASET in artifact:
            status = artifact.read(_STATUS_DATASET)
            facts["rows"] = {
                "good": int(np.count_nonzero(status == 0)),
                "failed": int(np.count_nonzero(status)),
            }
        if verify:
            found = artifact.computed_digest()
            if found != artifact.digest:
                raise ArtifactError(
                    "the content is not what was written",
                    where=path,
                    expected=artifact.digest,
                    found=found,
                    todo="make it again",
                )
            facts["verified"] = True
    return facts
