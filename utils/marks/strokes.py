"""Strokes on a picture, in its own pixels, and the place that they mark in words."""

import json
from dataclasses import dataclass

from PIL import Image, ImageDraw

# A stroke is as wide as this share of the picture's shorter side.
BRUSH_SHARE = 1 / 24
MAX_STROKES = 200
MAX_TEXT = 200_000
FARTHEST = 10**9
# Pixels of the longer side of what is enough to say where a mark is.
SKETCH_SIDE = 256
# A ninth of the picture is named if it is marked at least so much as the one that is marked most.
MAIN_SHARE = 0.2
MOST_PLACES = 4
NINTHS = (
    "upper left",
    "top",
    "upper right",
    "left",
    "middle",
    "right",
    "lower left",
    "bottom",
    "lower right",
)

Point = tuple[int, int]


@dataclass(frozen=True)
class Mark:
    """Strokes on a picture of `size` (width, height): each a line of points (x, y) in its pixels.

    A stroke marks what it covers; one that ends where it began marks what it encloses, too.
    """

    size: Point
    strokes: tuple[tuple[Point, ...], ...]

    @property
    def brush(self) -> int:
        """How wide a stroke is, in pixels."""
        return brush(self.size)


def brush(size: Point) -> int:
    """Return how wide a stroke is on a picture of this size, in pixels."""
    return max(4, round(min(size) * BRUSH_SHARE))


def is_closed(stroke: tuple[Point, ...]) -> bool:
    """Return whether a stroke encloses a place."""
    return len(stroke) > 3 and stroke[0] == stroke[-1]


def read(text: str, size: Point) -> Mark | None:
    """Return the mark that a page has sent for a picture of this size, None where there is none.

    A page sends JSON: a list of strokes, each a list of x, y, x, y. What is beyond the picture is
    moved to its edge; what is no stroke at all is left out.
    """
    try:
        sent = json.loads(text) if len(text) <= MAX_TEXT else []
    except (ValueError, RecursionError):
        return None
    found = [_stroke(one, size) for one in sent[:MAX_STROKES]] if isinstance(sent, list) else []
    strokes = tuple(stroke for stroke in found if stroke)
    return Mark(size, strokes) if strokes else None


def write(mark: Mark) -> str:
    """Return a mark as a page takes it, which is as it sends it."""
    strokes = [[number for point in stroke for number in point] for stroke in mark.strokes]
    return json.dumps(strokes, separators=(",", ":"))


def describe(mark: Mark) -> str:
    """Return where a mark is and how much of the picture it takes, in words."""
    width, height = mark.size
    share = min(1.0, SKETCH_SIDE / max(mark.size))
    sketch = draw(mark, (max(1, round(width * share)), max(1, round(height * share))))
    percent = round(100 * sketch.histogram()[255] / (sketch.width * sketch.height))
    # Each ninth becomes one value: how much of it is marked.
    ninths = sketch.resize((3, 3), Image.Resampling.BOX)
    covered = dict(zip(NINTHS, ninths.tobytes(), strict=True))
    most = max(covered.values())
    named = [name for name, much in covered.items() if much >= most * MAIN_SHARE]
    *others, last = named
    places = f"{', '.join(others)} and {last}" if others else last
    places = "all over" if len(named) > MOST_PLACES else places
    return f"{places}, {percent or 'less than 1'} % of the picture"


def draw(mark: Mark, size: Point) -> Image.Image:
    """Return what is marked as a picture of this size: 255 where it is, 0 elsewhere."""
    area = Image.new("L", size)
    pen = ImageDraw.Draw(area)
    scale = size[0] / mark.size[0], size[1] / mark.size[1]
    wide = max(1, round(mark.brush * min(scale)))
    for stroke in mark.strokes:
        points = [((x + 0.5) * scale[0] - 0.5, (y + 0.5) * scale[1] - 0.5) for x, y in stroke]
        if is_closed(stroke):
            pen.polygon(points, fill=255)
        trace(pen, points, wide, 255)
    return area


def trace(
    pen: ImageDraw.ImageDraw,
    points: list[tuple[float, float]],
    wide: int,
    ink: int | tuple[int, ...],
) -> None:
    """Draw a line with round ends."""
    pen.line(points, fill=ink, width=wide, joint="curve")
    for x, y in (points[0], points[-1]):
        pen.ellipse((x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2), fill=ink)


def _is_place(sent: object) -> bool:
    # JSON as Python reads it has numbers that are none, and some without an end.
    return type(sent) in (int, float) and abs(sent) < FARTHEST  # type: ignore[arg-type]


def _stroke(sent: object, size: Point) -> tuple[Point, ...]:
    if not isinstance(sent, list) or not all(_is_place(number) for number in sent):
        return ()
    limits = [side - 1 for side in size]
    xs, ys = ([min(max(round(n), 0), limits[i]) for n in sent[i::2]] for i in (0, 1))
    return tuple(zip(xs, ys, strict=False))
