"""Objects: what repeats in a collection."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts


class Objects(Artifact):
    """Groups of regions that show the same thing, from ``discover``; those of most images first."""

    KIND = "objects"
    FACTS = {"n_objects": int, "largest": int, "n_images_with_objects": int, "n_images": int,
             "description": dict}  # fmt: skip
    OPTIONS = {"min_images": int}
    names = Texts("n", "of the images")
    image_sizes = Column("int32", "n 2", "width, height of the upright image, pixels")
    regions = Column(
        "int64", "m", "row in the regions; first the most central, then by falling weight of the "
        "edge to it; one an image",
    )  # fmt: skip
    weights = Column("float32", "m", "of the edge to the object's first region; 1 for that itself")
    images = Column("int32", "m", "row in names", ids_of="n")
    boxes = Column("float32", "m 4", "x0, y0, x1, y1 in pixels of the whole image")
    offsets = Column("int64", "o+1", "members of each object", offsets_of="regions")
    class_names = Texts("c", "of --labels: the classes", optional=True)
    classes = Column(
        "int32",
        "o",
        "of --labels: the class of each object; −1 for none",
        ids_of="c",
        optional=True,
    )
    class_shares = Column(
        "float32", "o", "of --labels: of what reaches the object, how much is of its class",
        optional=True,
    )  # fmt: skip
    region_classes = Column(
        "int32", "r", "of --labels: the class of each row of the regions; −1 for none",
        ids_of="c", optional=True,
    )  # fmt: skip
    region_class_shares = Column("float32", "r", "of --labels: as class_shares", optional=True)

    def rows(self) -> Iterator[Sequence[object]]:
        """One line a sight of an object, objects counted from 1; see ``Artifact.rows``."""
        labels = self.labels()
        classes = () if labels is None else ("class",)
        yield "object", "name", "x0", "y0", "x1", "y1", "weight", *classes
        names, images, boxes, weights = self.names, self.images, self.boxes, self.weights
        for number, (start, stop) in enumerate(pairwise(self.offsets.tolist()), start=1):
            for place in range(start, stop):
                box = boxes[place].tolist()
                more = () if labels is None else (labels[number - 1],)
                yield number, names[images[place]], *box, float(weights[place]), *more

    def labels(self) -> list[str] | None:
        """The class of each object in words, empty where it has none; None without ``--labels``."""
        if Objects.classes not in self:
            return None
        names = [*self.class_names, ""]  # −1: the last
        return [names[one] for one in self.classes.tolist()]
