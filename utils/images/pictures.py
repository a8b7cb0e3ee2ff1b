"""Pictures as they come from an API: checked once, then handed on untouched."""

import io
import re
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import pybase64
from cachetools import LRUCache, cached
from PIL import Image, ImageOps

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 16_000_000
THUMBNAIL = 72
FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
MIME = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

# By hash: a cache must not keep alive the pictures of sessions that are over.
_thumbnails: LRUCache[int, bytes] = LRUCache(1024)
_lock = Lock()


class NotAPictureError(Exception):
    """What came is no PNG, JPEG or WebP picture, or one beyond the bounds."""


@dataclass(frozen=True)
class Picture:
    """A picture that has passed the check.

    `image` is the API's own base64 text; `extension` is png, jpg or webp, by the bytes;
    `usage` is the API's token count, {} where it sent none; `seconds` is how long it took;
    `refused` names the chosen settings that the server would not take.
    """

    image: str
    extension: str
    width: int
    height: int
    usage: dict[str, Any]
    seconds: float = 0.0
    refused: tuple[str, ...] = ()


def check_picture(image: str, usage: dict[str, Any] | None = None) -> Picture:
    """Return `image` (base64) as a Picture if it really decodes, within bounds.

    Raises NotAPictureError otherwise.
    """
    if len(image) > MAX_BYTES * 4 / 3:
        raise NotAPictureError("too many bytes")
    try:
        with Image.open(io.BytesIO(decode(image)), formats=list(FORMATS)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise NotAPictureError("too many pixels")
            opened.load()
            small = _shrink(opened)
            with _lock:
                _thumbnails[hash(image)] = small
            return Picture(
                image, FORMATS[str(opened.format)], opened.width, opened.height, usage or {}
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise NotAPictureError(type(exc).__name__) from exc


def extension_of(data: bytes) -> str:
    """Return png, jpg or webp, by the first bytes of a picture; png where they say nothing."""
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    return "webp" if data[8:12] == b"WEBP" else "png"


def decode(image: str) -> bytes:
    """Return the bytes of a base64 picture, exactly as the API sent them.

    Raises ValueError where it is no base64.
    """
    return pybase64.b64decode(image, validate=True)


def encode(data: bytes) -> str:
    """Return the bytes of a picture as base64."""
    return pybase64.b64encode(data).decode()


def file_name(prompt: str, extension: str) -> str:
    """Return a file name made from the words of `prompt`, safe on every system."""
    words = re.findall(r"\w+", prompt.lower())
    stem = "-".join(words)[:60].strip("-_")
    return f"{stem or 'picture'}.{extension}"


@cached(_thumbnails, key=hash, lock=_lock)
def thumbnail(image: str) -> bytes:
    """Return the middle of a picture (base64) as a PNG of THUMBNAIL pixels each way.

    The check made it, while the pixels were at hand; many pictures later it is made anew.
    """
    with Image.open(io.BytesIO(decode(image))) as opened:
        return _shrink(opened)


def _shrink(opened: Image.Image) -> bytes:
    plain = opened if opened.mode in ("RGB", "RGBA") else opened.convert("RGBA")
    # To half the way by plain averages: a tenth of the time, and nobody sees it.
    coarse = plain.reduce(max(1, min(plain.size) // (2 * THUMBNAIL)))
    out = io.BytesIO()
    ImageOps.fit(coarse, (THUMBNAIL, THUMBNAIL)).save(out, "PNG")
    return out.getvalue()


@cache
def blank_picture(width: int, height: int) -> bytes:
    """Return a PNG of that size in a faint grey: it holds the place of a picture to come."""
    out = io.BytesIO()
    Image.new("LA", (width, height), (128, 40)).save(out, "PNG")
    return out.getvalue()
