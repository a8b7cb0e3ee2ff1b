"""Pictures that are put together here, from two that were made."""

from utils import marks
from utils.images.api import Picture, keep
from utils.images.pictures import TooLargeError, as_seen, check_picture
from utils.review.blobs import NoRoomError, blobs
from utils.review.records import Cost, Engine

COMPOSER = Engine("This page", "composed here")


def put_back(owner: str, before: str, after: Picture, strokes: str) -> Picture:
    """Return the marked place of `after` in all else of `before`, a name in the table of blobs.

    Raises LookupError where one of them is gone, ValueError where they do not fit together, and
    NoRoomError where the new one has no room.
    """
    old, new = blobs.get(before), blobs.get(after.name)
    if old is None or new is None:
        raise LookupError("a picture is no longer kept")
    mark = marks.read(strokes, (after.width, after.height))
    if mark is None:
        raise ValueError("nothing is marked")
    try:
        made = check_picture(marks.put_back(as_seen(old), as_seen(new), mark))
    except TooLargeError:
        raise NoRoomError from None
    name = keep(owner, made)
    together = (before, after.name)
    return Picture(name, made.extension, made.width, made.height, 0, Cost(), 0.0, made_of=together)
