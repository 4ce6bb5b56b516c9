"""Evaluations: scores of every query."""

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Group


class Evaluation(Artifact):
    """Scores, from ``evaluate``; their means and rules are in ``extra``."""

    KIND = "evaluation"
    scores = Group(
        "<ranking>/<setup>/average_precisions and …/precisions_at_<k>, with --scores all also "
        "…/average_precisions_at_<k> and …/recalls_at_<k>, float64, one a query, NaN "
        "where left out, and of where hits match regions/<region>_overlaps and …_centres; of "
        "saliency <artifact>/saliency_precisions, one an image; of saliency and objects "
        "<artifact>/overlaps, one a true box, and <artifact>/localized, one an image that has "
        "some; of objects <artifact>/purities, one an object",
        prefix="",
    )

    @property
    def rankings(self) -> list[dict]:
        """JSON-compatible scores of each ranking, with everything that they depend on."""
        return self.extra.get("rankings", [])
