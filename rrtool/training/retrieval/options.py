"""Options of training for retrieval; the defaults are the cited framework's where it has one."""

from dataclasses import dataclass

from rrtool.options import DeviceOptions, SeedOptions, option

_PANEL = "Training"
LOSSES = ("contrastive", "triplet")


@dataclass(frozen=True, kw_only=True)
class RetrievalTrainingOptions(DeviceOptions, SeedOptions):
    """How a network learns from tuples (thesis §4.5; Radenović et al., TPAMI 2018)."""

    epochs: int = option(
        30, "Epochs: each draws queries and mines hard negatives anew.", least=1, panel=_PANEL
    )
    loss: str = option(
        "contrastive", "What is minimised over each query, its positive and its negatives.",
        choices=LOSSES, panel=_PANEL,
    )  # fmt: skip
    margin: float = option(
        0.7,
        "Distance from which on a negative costs nothing (contrastive), or squared distance that a "
        "negative must be farther than the positive (triplet). The thesis has 0.85 for "
        "ResNet101 with GeM.",
        above=0, most=4, panel=_PANEL,
    )  # fmt: skip
    spatial: bool = option(
        False,
        "Pool each image of a pair over what it shares with the other alone: local features of "
        "both are matched, and maps are masked to the regions of the inliers, a channel without "
        "any is pooled whole (T_SP; by default T_R).",
        panel=_PANEL,
    )  # fmt: skip
    queries: int = option(
        2000, "Queries of an epoch, each with a positive; as many as there are where fewer.",
        least=1, panel="Tuples",
    )  # fmt: skip
    pool_size: int = option(
        22000, "Images that hard negatives are mined from in an epoch, drawn anew.",
        least=1, panel="Tuples",
    )  # fmt: skip
    negatives: int = option(
        5, "Hard negatives of a query, each of another group.", least=1, most=100, panel="Tuples"
    )
    batch_size: int = option(
        5, "Tuples whose gradients are added up for a step.", least=1, most=4096, panel=_PANEL
    )
    learning_rate: float = option(
        1e-6, "Learning rate of the first epoch; the exponent of GeM has ten times as much.",
        above=0, most=1, panel=_PANEL, flags=("--learning-rate", "--lr"),
    )  # fmt: skip
    decay: float = option(
        0.01, "After each epoch the learning rate is multiplied by exp(−this).",
        least=0, most=10, panel=_PANEL,
    )  # fmt: skip
    weight_decay: float = option(
        1e-6, "Weight decay of all parameters but the exponent of GeM.",
        least=0, below=1, panel=_PANEL,
    )  # fmt: skip
    batch_norm: str = option(
        "frozen",
        "Statistics of batch normalisation: frozen as they are, or learnt from the images that go "
        "through the network together.",
        choices=("frozen", "learnt"), panel=_PANEL,
    )  # fmt: skip
