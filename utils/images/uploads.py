"""A person's own pictures: made fit for the API, checked, and kept by name."""

import io
import math
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from PIL import Image

from utils.images.pictures import READ, has_too_many_scans, in_eight_bits, is_turned, shrink, turn
from utils.review.blobs import NoRoomError, blobs
from utils.review.moves import MAX_SOURCES

# What the Images API takes of one picture.
API_BYTES = 50 * 1024 * 1024
API_SIDE = 3840
API_PIXELS = 8_294_400
# A file that unpacks to more bytes than this, and to more than so many times its own length, was
# made to take memory: photographs unpack to ten times their length, drawings to a hundred.
FREE_BYTES = 128 * 1024 * 1024
EXPANSION = 200
# More than find a place: some may be there already, or be of no use.
MOST_LOOKED_AT = 2 * MAX_SOURCES
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
QUALITY = 92

# One at a time: a large photograph takes a few hundred megabytes while it is scaled down.
_lock = threading.Lock()


@dataclass(frozen=True)
class Upload:
    """A picture of a person's own: its name in the table of blobs, and that of its file."""

    name: str
    file_name: str


class _RefusedError(Exception):
    """A file cannot be used; the message says why, as the end of a sentence."""


def take_uploads(
    owner: str, files: Sequence[tuple[str, bytes]], along: Collection[str] = ()
) -> tuple[list[Upload], str]:
    """Keep those of `files` (name and bytes each) that the API can be made to take.

    Returns them, and a sentence for a person about what was scaled down or left out, '' if
    nothing was. What needs no change keeps its bytes. With those that are `along` already, by
    their names in the table of blobs, they find MAX_SOURCES places; the same one takes one.
    """
    uploads, told, scaled = [], [], []
    # Half of a browser's room is for what is made of them: that was paid for.
    kept_free = blobs.share // 2
    names = set(along)
    for number, (file_name, data) in enumerate(files, 1):
        if len(names) >= MAX_SOURCES or number > MOST_LOOKED_AT:
            told.append(f"Only the first {MAX_SOURCES} pictures are used.")
            break
        try:
            with _lock:
                fitting = _fit(data)
            if not blobs.has_room(owner, len(fitting.data) + kept_free):
                raise NoRoomError
            name = blobs.put(owner, fitting.data, thumbnail=fitting.thumbnail)
        except _RefusedError as exc:
            told.append(f"Picture {number} {exc}")
        except NoRoomError:
            told.append(
                f"Picture {number} takes more room than is left. Use smaller or fewer ones."
            )
        else:
            names.add(name)
            uploads.append(Upload(name, file_name))
            if fitting.scaled:
                scaled.append(f"Picture {number} was scaled down to {fitting.scaled} pixels")
    if scaled:
        told.append(f"{', '.join(scaled)}, as the API takes no larger ones.")
    return uploads, " ".join(told)


@dataclass(frozen=True)
class _Fitting:
    data: bytes
    thumbnail: bytes
    scaled: str = ""


def _fit(data: bytes) -> _Fitting:
    """Return a picture as the API takes it; raises _RefusedError where it cannot be used."""
    if data[4:8] == b"ftyp" and data[8:12] in HEIC:
        raise _RefusedError("is a HEIC picture, which few servers take. Send it as JPEG.")
    try:
        with Image.open(io.BytesIO(data), formats=READ) as opened:
            return _scale(opened, data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _RefusedError("has more than 100 megapixels. Use a smaller one.") from None
    except _RefusedError:
        raise
    except Exception:
        # Pillow's readers fail in ways of many kinds.
        raise _RefusedError(
            "is no PNG, JPEG or WebP picture that can be used. Choose another one."
        ) from None


def _scale(opened: Image.Image, data: bytes) -> _Fitting:
    size, image_format = opened.size, str(opened.format)
    target = _target(size)
    too_many_scans = has_too_many_scans(opened, data)
    # All that a progressive JPEG says is kept until its end, of two bytes each.
    whole = 2 * math.prod(size) * bool(opened.info.get("progressive"))
    # A JPEG is read at a half or less of its size where that is enough: a fraction of the cost.
    opened.draft(None, target)
    unpacked = max(whole, opened.width * opened.height) * len(opened.getbands())
    if unpacked > max(FREE_BYTES, EXPANSION * len(data)):
        raise _RefusedError("would take too much memory here. Use a smaller one.")
    if too_many_scans:
        raise _RefusedError("would take too long to read here. Save it anew, and send that.")
    opened.load()
    turned = is_turned(opened)
    if target == size and not turned and image_format != "MPO" and len(data) < API_BYTES:
        return _Fitting(data, shrink(opened))
    plain = opened
    if opened.mode not in ("L", "LA", "RGB", "RGBA"):
        plain = in_eight_bits(opened)
    picture = plain.resize(target, Image.Resampling.LANCZOS)
    turn(picture)
    scaled = "" if target == size else f"{picture.width}x{picture.height}"
    saved_as = "JPEG" if image_format == "MPO" else image_format
    if saved_as == "PNG" and len(data) >= API_BYTES:
        saved_as = "WEBP"
    profile = opened.info.get("icc_profile") if plain is opened else None
    out = io.BytesIO()
    picture.save(out, saved_as, quality=QUALITY, icc_profile=profile)
    return _Fitting(out.getvalue(), shrink(picture), scaled)


def _target(size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of the same shape that the API takes."""
    width, height = size
    share = min(1.0, API_SIDE / max(size), math.sqrt(API_PIXELS / (width * height)))
    return max(1, int(width * share)), max(1, int(height * share))
