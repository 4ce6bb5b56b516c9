"""Options of acquisition: which images to ask for, how many, and a schedule of both."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from rrtool.errors import OptionError, UsageError
from rrtool.options import Options, option

# The names of the table in ``strategies``; those that al-agree compares (CEAL picks as entropy
# does) are numbered by their place, for their seeds.
STRATEGIES = (
    "random", "entropy", "coreset", "ceal", "jlp", "typiclust", "probcover", "badge", "dropquery",
    "margin",
)  # fmt: skip
COMPARED = ("random", "entropy", "coreset", "jlp")
# Those that need no label, for the first images.
FIRST = ("typiclust", "random", "probcover", "coreset")
_STEP = re.compile(r"([a-z]+):(\d{1,9})(?:x(\d{1,4}))?")


class Step(NamedTuple):
    """What one cycle acquires."""

    strategy: str
    budget: int


def steps_in(text: str) -> list[Step]:
    """The cycles of a schedule such as ``random:20,typiclust:20,jlp:20x3``, in order.

    Raises:
        OptionError: it is none.
    """
    steps = []
    for part in text.split(","):
        found = _STEP.fullmatch(part.strip())
        if not found or found[1] not in STRATEGIES or not int(found[2]) or found[3] == "0":
            raise OptionError(
                "bad --schedule", option="schedule", found=part.strip() or "nothing",
                expected=f"parts such as typiclust:20 or jlp:20x3, of {', '.join(STRATEGIES)}",
            )  # fmt: skip
        steps += [Step(found[1], int(found[2]))] * int(found[3] or 1)
    return steps


@dataclass(frozen=True, kw_only=True)
class AcquisitionOptions(Options):
    """Which images to ask for, and how many."""

    strategy: str = option(
        "random", "How to pick the images to label.", choices=STRATEGIES, panel="Acquisition"
    )
    budget: int = option(
        None, "Images to acquire a cycle; by default as --preset has it.",
        least=1, panel="Acquisition",
    )  # fmt: skip
    epsilon: float = option(
        0.1,
        "Entropy up to which CEAL trusts its own labels in cycle 0, as a share of the entropy of "
        "a guess: 1 trusts all.",
        least=0, most=1, panel="Acquisition",
    )  # fmt: skip
    epsilon_decay: float = option(
        0.00033, "By how much --epsilon falls each cycle.",
        least=0, most=1, panel="Acquisition",
    )  # fmt: skip
    first: str = option(
        "typiclust", "How to pick the first images, on frozen features and before any label.",
        choices=FIRST, panel="Acquisition",
    )  # fmt: skip
    schedule: str | None = option(
        None,
        "Strategy and budget from cycle to cycle, in place of --strategy and --budget: "
        "random:20,typiclust:20,jlp:20x3 is five cycles, and further ones are as the last. The "
        "first part is of the first images.",
        panel="Acquisition",
    )

    def __post_init__(self) -> None:
        if self.budget is None and isinstance(self.schedule, str):
            object.__setattr__(self, "budget", steps_in(self.schedule)[0].budget)
        super().__post_init__()

    def check(self) -> None:
        super().check()
        if self.schedule is not None:
            steps_in(self.schedule)
        if self.budget is None:
            expected = "--budget, --schedule or --preset"
            raise UsageError("how many images to acquire?", expected=expected)

    def step(self, cycle: int, *, has_model: bool) -> Step:
        """What a cycle acquires; cycle −1 is that of the first images.

        Args:
            has_model: whether there are labels; without, a strategy that needs none takes over.
        """
        planned = Step(self.strategy if has_model else self.first, self.budget)
        if self.schedule is not None:
            steps = steps_in(self.schedule)
            planned = steps[min(cycle + 1, len(steps) - 1)]
        if not has_model and planned.strategy not in FIRST:
            planned = planned._replace(strategy=self.first)
        return planned
