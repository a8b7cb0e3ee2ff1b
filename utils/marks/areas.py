"""What is made of a mark: a mask or a markup for the API, what has changed, the rest put back."""

import io

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from utils.marks.strokes import Mark, draw, is_closed, trace

# What is drawn for a model to see: no picture is likely to have much of it.
INK = (255, 0, 160, 255)
# How much a value of 0 to 255 may differ without being seen: what a coder or a model does to a
# picture that it repaints as it was.
UNSEEN = 12
# How far the old picture goes into the marked place, in widths of the brush.
SOFT_SHARE = 0.5


def mask(mark: Mark) -> bytes:
    """Return a PNG of the picture's size that is transparent where it is to be changed."""
    solid = Image.new("RGBA", mark.size, (0, 0, 0, 255))
    solid.putalpha(ImageOps.invert(draw(mark, mark.size)))
    return _png(solid)


def markup(mark: Mark) -> bytes:
    """Return a PNG of the picture's size that is transparent but for the strokes.

    What a stroke encloses has a line around it; what strokes cover is covered.
    """
    sheet = Image.new("RGBA", mark.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(sheet)
    for stroke in mark.strokes:
        wide = max(2, mark.brush // 3) if is_closed(stroke) else mark.brush
        trace(pen, [(float(x), float(y)) for x, y in stroke], wide, INK)
    return _png(sheet)


def changed_outside(old: Image.Image, new: Image.Image, mark: Mark) -> float | None:
    """Return which share of what is not marked differs to the eye; None where sizes differ."""
    if not old.size == new.size == mark.size:
        return None
    outside = ImageOps.invert(draw(mark, mark.size))
    bands = ImageChops.difference(_seen(old), _seen(new)).split()
    most = bands[0]
    for band in bands[1:]:
        most = ImageChops.lighter(most, band)
    differs = most.point(lambda value: 255 if value > UNSEEN else 0)
    total = outside.histogram()[255]
    return ImageChops.darker(differs, outside).histogram()[255] / total if total else 0.0


def put_back(old: Image.Image, new: Image.Image, mark: Mark) -> bytes:
    """Return a PNG: the marked place of `new`, and everything else of `old`, in RGB or RGBA both.

    Outside the mark each pixel is the old one; the edge between them is soft, and lies inside.
    Raises ValueError where the sizes differ.
    """
    if not old.size == new.size == mark.size:
        raise ValueError("the pictures have different sizes")
    mode = "RGBA" if "RGBA" in (old.mode, new.mode) else "RGB"
    area = draw(mark, mark.size)
    # Half of a blurred edge lies outside of it: that half is cut off, the other one stretched.
    blurred = area.filter(ImageFilter.GaussianBlur(mark.brush * SOFT_SHARE / 2))
    soft = ImageChops.darker(blurred.point(lambda value: max(0, 2 * value - 255)), area)
    if mode == "RGB":
        return _png(Image.composite(new.convert(mode), old.convert(mode), soft))
    whole = Image.composite(_seen(new), _seen(old), soft).convert(mode)
    # Beside the edge as it was: what is hardly there keeps no colour on the way to what is seen.
    for picture, weight in ((old, 0), (new, 255)):
        whole.paste(
            picture.convert(mode), mask=soft.point([255 * (one == weight) for one in range(256)])
        )
    return _png(whole)


def _seen(picture: Image.Image) -> Image.Image:
    """Return a picture with the colours as they are seen: what is transparent has none."""
    return picture.convert("RGBA").convert("RGBa")


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=3)
    return out.getvalue()
