"""Local features of an artifact, as the matching takes them."""

import numpy as np

from rrtool.artifacts import LocalFeaturesFile
from rrtool.core.matching.local_features import LocalFeatures


def read_local_features(artifact: LocalFeaturesFile) -> LocalFeatures:
    """All features of a ``local-features`` artifact.

    Raises:
        ArtifactError: they are damaged.
    """
    return LocalFeatures(
        artifact.means,
        artifact.covariances,
        artifact.strengths.astype(np.float32),
        artifact.channels.astype(np.int32),
        artifact.offsets,
        artifact.n_scales,
    )
