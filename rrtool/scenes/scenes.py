"""A seeded photo collection with planted objects, and the truth about them."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from rrtool.files import write_durably
from rrtool.scenes.pictures import draw_background, draw_patch, draw_poster
from rrtool.tables import table_lines

_OBJECT, _VIEW, _DISTRACTOR = 0, 1, 2  # first words of the seeds, so that nothing shares one
_SHAPES = ((1.0, 0.75), (0.75, 1.0), (1.0, 1.0))
_BARE_VIEW = 0  # of each object, one view has nothing in front of the object

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Look:
    """How hard the scenes are.

    Attributes:
        object_side: of the largest posters, as a share of the picture's shorter side; the smallest
            have half of it.
        n_patches: of clutter in a picture.
    """

    object_side: float = 0.55
    n_patches: int = 30


_MEASURED = Look()


@dataclass(frozen=True)
class Scenes:
    """Where ``make_scenes`` put what.

    Attributes:
        images: folder of the JPEG files ``object_03_view_2.jpg`` and ``distractor_07.jpg``.
        boxes: CSV ``name,x0,y0,x1,y1`` of the query views, in pixels (see ``ground_truth.boxes``).
        all_boxes: the same for every view of every object.
        groups: CSV ``name,label`` of every image; distractors have an empty label.
    """

    images: Path
    boxes: Path
    all_boxes: Path
    groups: Path


def make_scenes(
    folder: str | Path,
    *,
    seed: int = 0,
    n_objects: int = 12,
    n_views: int = 5,
    n_queries: int = 2,
    n_distractors: int = 20,
    size: int = 512,
    look: Look = _MEASURED,
) -> Scenes:
    """Draw posters into cluttered pictures, and write down where they are.

    Each view shows its poster once, upright up to a few degrees, at a random place, stretched,
    sheared, a little in perspective, mostly with something in front of it, under another light.
    What a picture shows depends on the seed and on its own name and size alone: asking for more
    objects or views adds pictures and leaves the others as they are. With one version of Pillow
    the files are the same byte for byte; files that are there already are not touched.

    Args:
        folder: gets the folder ``images`` and the CSV files; made if it isn't there.
        seed: of everything, not negative.
        n_objects: posters.
        n_views: pictures of each poster.
        n_queries: of these, how many have their box in ``boxes.csv``.
        n_distractors: pictures without any of the posters.
        size: longer side of the pictures, in pixels.
        look: of the pictures.
    """
    folder = Path(folder)
    tables = [folder / f"{name}.csv" for name in ("boxes", "all_boxes", "groups")]
    scenes = Scenes(folder / "images", *tables)
    scenes.images.mkdir(parents=True, exist_ok=True)
    labels, boxes = [], []
    for number in range(n_objects):
        poster, label = _poster(seed, number, size), f"object_{number:02d}"
        for view in range(n_views):
            name = f"{label}_view_{view}.jpg"
            picture, box = _draw_view(poster, (seed, number, view), size, look)
            _write_if_new(scenes.images / name, picture)
            labels.append((name, label))
            boxes.append((name, *box))
    for number in range(n_distractors):
        name = f"distractor_{number:02d}.jpg"
        _write_if_new(scenes.images / name, _draw_distractor(seed, number, size, look))
        labels.append((name, ""))
    queries = [row for i, row in enumerate(boxes) if i % n_views < n_queries]
    for path, rows in ((scenes.boxes, queries), (scenes.all_boxes, boxes)):
        _write_table(path, ("name", "x0", "y0", "x1", "y1"), rows)
    _write_table(scenes.groups, ("name", "label"), labels)
    return scenes


def _poster(seed: int, number: int, size: int) -> Image.Image:
    rng = np.random.default_rng([seed, _OBJECT, number])
    width, height = rng.uniform(0.75, 1.0, size=2) * size * 0.75
    return draw_poster(rng, (round(width), round(height)))


def _draw_view(
    poster: Image.Image, place: tuple[int, int, int], size: int, look: Look
) -> tuple[bytes, Box]:
    """The JPEG of a view, and the box of the poster in it; ``place`` is seed, object, view."""
    seed, number, view = place
    rng = np.random.default_rng([seed, _VIEW, number, view])
    background = draw_background(rng, _picture_size(rng, size), look.n_patches)
    image, box = plant(background, poster, random_corners(rng, background.size, look.object_side))
    if view != _BARE_VIEW:
        image = _occluded(image, box, rng)
    quality = int(rng.integers(60, 91))
    return _jpeg(photographed(image, rng), quality), box


def _draw_distractor(seed: int, number: int, size: int, look: Look) -> bytes:
    rng = np.random.default_rng([seed, _DISTRACTOR, number])
    image = draw_background(rng, _picture_size(rng, size), look.n_patches)
    poster = draw_poster(rng, (size // 3, size // 3))  # of its own: a poster alone says nothing
    corners = random_corners(rng, image.size, look.object_side)
    image = photographed(plant(image, poster, corners)[0], rng)
    return _jpeg(image, int(rng.integers(60, 91)))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def _picture_size(rng: np.random.Generator, size: int) -> tuple[int, int]:
    across, down = _SHAPES[int(rng.integers(len(_SHAPES)))]
    return round(across * size), round(down * size)


def random_corners(
    rng: np.random.Generator, picture: tuple[int, int], object_side: float
) -> np.ndarray:
    """Where the corners of an object come to lie: scale, anisotropy, shear, ±4°, perspective.

    Returns:
        ``(4, 2)`` float64, ``(x, y)`` in pixels from the corner of the picture, in the order top
        left, top right, bottom right, bottom left; all inside the picture.
    """
    square = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    side = object_side * min(picture) * rng.uniform(0.5, 1.0)
    stretch, angle = np.sqrt(rng.uniform(0.75, 1.33)), np.deg2rad(rng.uniform(-4, 4))
    shape = np.array([[stretch, 0.0], [rng.uniform(-0.2, 0.2), 1 / stretch]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = side * (square @ (turn @ shape).T + rng.uniform(-0.03, 0.03, size=(4, 2)))
    corners *= np.minimum(1, (np.array(picture) - 2) / np.ptp(corners, axis=0)).min()
    low, high = 1 - corners.min(axis=0), np.array(picture) - 1 - corners.max(axis=0)
    return corners + rng.uniform(low, np.maximum(low, high))


def plant(
    background: Image.Image, poster: Image.Image, corners: np.ndarray
) -> tuple[Image.Image, Box]:
    """Lay ``poster`` over ``background`` with its corners at ``corners``.

    Args:
        corners: as of ``random_corners``.

    Returns:
        The picture, and the box ``(x0, y0, x1, y1)`` that holds every pixel of the poster; x1, y1
        are past the last one.
    """
    extent = np.ptp(corners, axis=0)
    # Reduced to about its final size first: sampling a large one sparsely would alias.
    near = poster.resize((max(8, round(extent[0])), max(8, round(extent[1]))), Image.Resampling.BOX)
    coefficients = _perspective(corners, near.size)
    transform = (background.size, Image.Transform.PERSPECTIVE, coefficients)
    warped = near.transform(*transform, resample=Image.Resampling.BICUBIC)
    opaque = Image.new("L", near.size, 255)
    mask = opaque.transform(*transform, resample=Image.Resampling.NEAREST)
    box = mask.getbbox()
    if box is None:
        raise ValueError("the corners lie outside the picture")
    image = background.copy()
    image.paste(warped, mask=mask)
    return image, box


def _perspective(corners: np.ndarray, size: tuple[int, int]) -> tuple[float, ...]:
    """Coefficients that lead from the picture's pixels to those of an object of ``size``."""
    width, height = size
    rows, values = [], []
    for (x, y), (u, v) in zip(
        corners, ((0, 0), (width, 0), (width, height), (0, height)), strict=True
    ):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(np.linalg.solve(np.array(rows), np.array(values, dtype=np.float64)).tolist())


def _occluded(image: Image.Image, box: Box, rng: np.random.Generator) -> Image.Image:
    """Something in front of one edge of ``box``."""
    x0, y0, x1, y1 = box
    reach = rng.uniform(0.3, 0.55) * min(x1 - x0, y1 - y0)
    patch = draw_patch(rng, (max(4, round(reach)), max(4, round(reach))))
    along, edge = rng.random(), int(rng.integers(4))
    x = (x0, x1, x0 + along * (x1 - x0), x0 + along * (x1 - x0))[edge]
    y = (y0 + along * (y1 - y0), y0 + along * (y1 - y0), y0, y1)[edge]
    covered = image.copy()
    covered.paste(patch, (round(x - patch.width / 2), round(y - patch.height / 2)), patch)
    return covered


def photographed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same picture under another light and with another camera: cast, blur, noise."""
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2) * max(image.size) / 512))
    pixels = np.asarray(blurred, dtype=np.float64) / 255
    gain = rng.uniform(0.8, 1.1) * rng.uniform(0.94, 1.06, size=3)
    pixels = 255 * gain * pixels ** rng.uniform(0.85, 1.2)
    pixels += rng.normal(0, rng.uniform(2, 7), size=pixels.shape)
    return Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8))


def _write_table(
    path: Path, header: tuple[str, ...], rows: Iterable[tuple[str | int, ...]]
) -> None:
    _write_if_new(path, "".join(table_lines([header, *rows])).encode())


def _write_if_new(path: Path, content: bytes) -> None:
    """A file that is right already keeps its time of change, by which later stages know it."""
    if path.is_file() and path.read_bytes() == content:
        return
    write_durably(path, [content])
