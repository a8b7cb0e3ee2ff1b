"""Pictures as they come from an API or a person: checked once, then kept by name, untouched."""

import io
import re
import unicodedata
import warnings
from dataclasses import dataclass
from functools import lru_cache

import pybase64
from PIL import Image, ImageOps

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 16_000_000
# No camera makes more; above it a few bytes of a file could take all memory.
MAX_UPLOAD_PIXELS = 100_000_000
THUMBNAIL = 72
READ = ("PNG", "JPEG", "WEBP")
# MPO: what many phones make of a JPEG, with a preview or a depth map as a second picture.
FORMATS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}
MIME = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
NAME_LENGTH = 60
NAME_BYTES = 120
# Names of devices on Windows, with any extension.
RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]")

Image.MAX_IMAGE_PIXELS = MAX_UPLOAD_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class NotAPictureError(Exception):
    """What came is no PNG, JPEG or WebP picture, or one beyond the bounds."""


@dataclass(frozen=True)
class Checked:
    """A picture that has passed the check; `extension` is png, jpg or webp, by the bytes.

    `thumbnail` is its middle as a PNG of THUMBNAIL pixels each way.
    """

    data: bytes
    extension: str
    width: int
    height: int
    thumbnail: bytes


def check_picture(data: bytes) -> Checked:
    """Return `data` as a picture if it really decodes, within bounds.

    Raises NotAPictureError otherwise.
    """
    if len(data) > MAX_BYTES:
        raise NotAPictureError("too many bytes")
    try:
        with Image.open(io.BytesIO(data), formats=READ) as opened:
            if opened.width * opened.height <= MAX_PIXELS:
                opened.load()
                return Checked(
                    data, FORMATS[str(opened.format)], opened.width, opened.height, shrink(opened)
                )
    except Exception as exc:
        # Pillow's readers fail in ways of many kinds.
        raise NotAPictureError(type(exc).__name__) from None
    raise NotAPictureError("too many pixels")


def extension_of(data: bytes) -> str:
    """Return png, jpg or webp, by the first bytes of a picture; png where they say nothing."""
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    return "webp" if data[8:12] == b"WEBP" else "png"


def decode(text: str) -> bytes:
    """Return the bytes of a picture in base64, plain or as a data address.

    Line ends, the alphabet for addresses and missing padding are taken too: a picture that was
    paid for must not be lost to its wrapping. Raises NotAPictureError where it is no base64.
    """
    if len(text) > MAX_BYTES * 3 // 2:
        raise NotAPictureError("too many bytes")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        bare = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return pybase64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError as exc:
        raise NotAPictureError("no base64") from exc


def encode(data: bytes) -> str:
    """Return the bytes of a picture as base64."""
    return pybase64.b64encode(data).decode()


def file_name(prompt: str, extension: str) -> str:
    """Return a file name made from the words of `prompt`.

    It has letters, figures, dashes and underscores alone, few enough bytes for any file system,
    and is none of the names that Windows keeps for devices.
    """
    words = re.findall(r"\w+", unicodedata.normalize("NFC", prompt).lower())
    stem = "-".join(words)[:NAME_LENGTH].encode()[:NAME_BYTES].decode(errors="ignore").strip("-_")
    if not stem or RESERVED.fullmatch(stem):
        stem = f"picture-{stem}".strip("-")
    return f"{stem}.{extension}"


def shrink(opened: Image.Image) -> bytes:
    """Return the middle of a picture as a PNG of THUMBNAIL pixels each way."""
    plain = opened if opened.mode in ("RGB", "RGBA") else opened.convert("RGBA")
    # To half the way by plain averages: a tenth of the time, and nobody sees it.
    coarse = plain.reduce(max(1, min(plain.size) // (2 * THUMBNAIL)))
    out = io.BytesIO()
    ImageOps.fit(coarse, (THUMBNAIL, THUMBNAIL)).save(out, "PNG")
    return out.getvalue()


@lru_cache(32)
def blank_picture(width: int, height: int) -> bytes:
    """Return a PNG of that size in a faint grey: it holds the place of a picture to come."""
    out = io.BytesIO()
    Image.new("LA", (width, height), (128, 40)).save(out, "PNG")
    return out.getvalue()
