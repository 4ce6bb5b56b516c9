"""Learning: states of cycles, pre-trainings, agreement of strategies, training for retrieval."""

import numpy as np

from rrtool.artifacts.kinds.images import OfImages
from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Group, Texts


class AlState(OfImages):
    """What a cycle leaves for the next one, from ``al-cycle``."""

    KIND = "al-state"
    FACTS = {"cycle": int, "history": list, "n_images": int, "n_test_images": int}
    class_names = Texts("c", "classes known so far; labels count in them")
    labels = Column("int32", "n", "what people or the oracle said; −1 = none", ids_of="c")
    labeled_cycle = Column("int16", "n", "the cycle that first used it; −1 = none")
    acquired_ids = Column("int64", "b", "images to label next, in order", ids_of="n")
    acquired_scores = Column("float64", "b", "what each was picked for")
    probabilities = Column(
        "float32",
        "n c",
        "of the model; absent before the first label",
        optional=True,
        positive=True,
    )
    features = Column("float32", "n d", "of the model; zero where failed", optional=True)
    pseudo_labels = Column(
        "int32", "n", "with --semi: by label propagation; −1 where none reaches", optional=True,
        ids_of="c",
    )  # fmt: skip
    pseudo_weights = Column("float32", "n", "with --semi: their certainty, 0 to 1", optional=True)
    parameters = Group("of the network")


class AlPretraining(OfImages):
    """A network that has learnt without labels, from ``al-pretrain``."""

    KIND = "al-pretraining"
    assignments = Column("int32", "n", "last cluster of each image; −1: failed")
    parameters = Group("float32, of the network, all but the classifier's")


class AlAgreement(Artifact):
    """How far acquisition strategies agree, from ``al-agree``."""

    KIND = "al-agreement"
    FACTS = {"agreement": list, "correlations": list, "n_labeled": int, "n_pool": int}
    OPTIONS = {"seed": int, "reference": str, "budget": int, "k": int, "max_iter": int}
    names = Texts("n", "images of the state")
    truth = Column("int32", "n", "true classes, −1 unknown")
    pool_ids = Column("int64", "u", "unlabelled images of known truth", ids_of="n")
    acquired = Group("<strategy>: b int64, rows picked, in order")
    ranks = Group("<strategy>: u float64, of pool_ids, 1 = first; ties share the mean")
    pseudo_labels = Group("<strategy>: n int32, after label propagation; −1 where none arrives")
    pseudo_weights = Group("<strategy>: n float32, their certainty")

    def ranks_of(self, strategy: str) -> np.ndarray:
        """``(u,)`` float64 ranks of ``pool_ids`` by a strategy.

        Raises:
            ArtifactError: there are none, or of other images.
        """
        ranks = self.read_named(f"ranks/{strategy}")
        if ranks.shape != (self.lengths["u"],) or ranks.dtype != np.float64:
            raise self.damaged(f"ranks of {strategy} {ranks.dtype} {ranks.shape}")
        return ranks


class Training(OfImages):
    """How a network was trained for retrieval, from ``train``; its weights lie beside it."""

    KIND = "training"
    FACTS = {"log": list, "best_epoch": int, "weights": str, "weights_digest": str}
    groups = Column("int32", "n", "photos of one group show the same; −1 = held out")
    held_out = Column("int32", "n", "groups of the photos that were validated on; −1 = none")
