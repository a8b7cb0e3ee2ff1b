"""Pictures as they come from an API or a person: checked once, then kept by name, untouched."""

import io
import re
import unicodedata
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import unquote

import pybase64
from PIL import Image, ImageOps, PngImagePlugin

MAX_BYTES = 64 * 1024 * 1024
# "4K", as some models have it, is 4096x4096, and a little more in other shapes.
MAX_PIXELS = 20_000_000
# No camera makes more; above it a few bytes of a file could take all memory.
MAX_UPLOAD_PIXELS = 100_000_000
# Pixels times scans: some seconds.
MOST_SCANNED = 2_000_000_000
# By so many of its first bytes a picture is known.
HEAD_BYTES = 12
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112
THUMBNAIL = 72
# Pixels of the longer side of what is for the screen: as large as the canvas is on a dense screen,
# and of what is seen for a second or two; and JPEG's quality, which nobody sees at these sizes.
SCREEN_SIDE, DRAFT_SIDE = 1024, 512
SCREEN_QUALITY = 60
READ = ("PNG", "JPEG", "WEBP")
# MPO: what many phones make of a JPEG, with a preview or a depth map as a second picture.
FORMATS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}
MIME = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
ALT_LENGTH = 150
NAME_LENGTH = 60
NAME_BYTES = 120
# Names of devices on Windows, with any extension.
RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]")

Image.MAX_IMAGE_PIXELS = MAX_UPLOAD_PIXELS
# What programs write beside a picture, of how it was made, is longer than the megabyte that Pillow
# takes; of all together it takes 64.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 1024 * 1024
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class NotAPictureError(Exception):
    """What came is no PNG, JPEG or WebP picture, or one beyond the bounds."""


class TooLargeError(NotAPictureError):
    """What came is beyond the bounds of what is taken."""


@dataclass(frozen=True)
class Checked:
    """A picture that has passed the check; `extension` is png, jpg or webp, by the bytes.

    `thumbnail` is its middle as a PNG of THUMBNAIL pixels each way, and `screen` the whole of it as
    a JPEG for looking at, or a WebP where it is transparent.
    """

    data: bytes
    extension: str
    width: int
    height: int
    thumbnail: bytes
    screen: bytes


@dataclass(frozen=True)
class Draft:
    """A partial picture: its size, and the whole of it for the screen."""

    width: int
    height: int
    screen: bytes


def check_picture(data: bytes) -> Checked:
    """Return `data` as a picture if it really decodes, within bounds.

    Raises NotAPictureError otherwise.
    """
    with _opened(data) as opened:
        extension = FORMATS[str(opened.format)]
        return Checked(
            data, extension, *opened.size, shrink(opened), fit_screen(opened, SCREEN_SIDE)
        )


def as_seen(data: bytes) -> Image.Image:
    """Return a picture turned as it is seen, of eight bits each, in RGB or RGBA.

    Raises NotAPictureError if it is none.
    """
    with _opened(data) as opened:
        return in_eight_bits(opened).copy()


def size_of(data: bytes) -> tuple[int, int]:
    """Return width and height of a picture as it is seen; raises NotAPictureError if it is none."""
    with _opened(data) as opened:
        return opened.size


def check_draft(data: bytes) -> Draft:
    """Return what the page shows of a partial picture; raises NotAPictureError if it is none."""
    with _opened(data) as opened:
        return Draft(*opened.size, fit_screen(opened, DRAFT_SIDE))


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    if len(data) > MAX_BYTES:
        raise TooLargeError("too many bytes")
    try:
        with Image.open(io.BytesIO(_readable(data)), formats=READ) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise TooLargeError("too many pixels")
            if has_too_many_scans(opened, data):
                raise TooLargeError("too many scans")
            opened.load()
            turn(opened)
            yield opened
    except NotAPictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLargeError("too many pixels") from None
    except Exception as exc:
        # Pillow's readers fail in ways of many kinds.
        raise NotAPictureError(type(exc).__name__) from None


def _readable(data: bytes) -> bytes:
    """Return a PNG with right checksums of what is written beside it, which browsers pass over."""
    if not data.startswith(PNG_HEAD):
        return data
    mended = None
    start = len(PNG_HEAD)
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4])
        # A small letter first: not needed for the picture itself.
        if data[start + 4] & 0x20 and end + 4 <= len(data):
            checksum = zlib.crc32(memoryview(data)[start + 4 : end]).to_bytes(4)
            if data[end : end + 4] != checksum:
                mended = mended or bytearray(data)
                mended[end : end + 4] = checksum
        start = end + 4
    return bytes(mended or data)


def is_turned(opened: Image.Image) -> bool:
    """Return whether a picture notes that it is seen turned; a note that is unreadable says no."""
    try:
        return bool(opened.getexif().get(ORIENTATION, 1) != 1)
    except Exception:
        # Pillow's readers fail in ways of many kinds, and the picture itself is there.
        return False


def turn(opened: Image.Image) -> None:
    """Turn a picture in place as it is seen: the page turns what a camera has only noted."""
    # It fails at notes that cannot be read, or at writing them anew: the picture is turned by then.
    with suppress(Exception):
        ImageOps.exif_transpose(opened, in_place=True)


def has_too_many_scans(opened: Image.Image, data: bytes) -> bool:
    """Return whether a progressive JPEG was made to take time: each of its scans may take a few
    bytes, and goes over all pixels. Programs write ten or so."""
    if not opened.info.get("progressive"):
        return False
    return data.count(b"\xff\xda") * opened.width * opened.height > MOST_SCANNED


def begins_one(data: bytes) -> bool:
    """Return whether bytes are those with which a PNG, JPEG or WebP picture begins."""
    return data.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF"))


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
        raise TooLargeError("too many bytes")
    if text[:NAME_LENGTH].lstrip()[:5].lower() == "data:":
        text = unquote(text.partition(",")[2])
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


def shorten(prompt: str) -> str:
    """Return the beginning of a prompt, as one line that can be listened to."""
    words = " ".join(prompt.split())
    if len(words) <= ALT_LENGTH:
        return words
    cut = words[:ALT_LENGTH]
    return f"{cut.rpartition(' ')[0] or cut}…"


def shrink(opened: Image.Image) -> bytes:
    """Return the middle of a picture as a PNG of THUMBNAIL pixels each way."""
    plain = in_eight_bits(opened)
    # To half the way by plain averages: a tenth of the time, and nobody sees it.
    coarse = plain.reduce(max(1, min(plain.size) // (2 * THUMBNAIL)))
    out = io.BytesIO()
    ImageOps.fit(coarse, (THUMBNAIL, THUMBNAIL)).save(out, "PNG")
    return out.getvalue()


def fit_screen(opened: Image.Image, side: int) -> bytes:
    """Return the whole of a picture, `side` pixels at most: a JPEG, or a WebP if transparent."""
    plain = in_eight_bits(opened)
    if max(plain.size) > side:
        plain = plain.copy() if plain is opened else plain
        plain.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=1.0)
    profile = opened.info.get("icc_profile") if opened.mode == plain.mode else None
    out = io.BytesIO()
    saved_as = "WEBP" if plain.mode == "RGBA" else "JPEG"
    plain.save(out, saved_as, quality=SCREEN_QUALITY, method=1, icc_profile=profile)
    return out.getvalue()


def in_eight_bits(opened: Image.Image) -> Image.Image:
    """Return a picture in RGB, or RGBA where it is transparent, of eight bits each."""
    if opened.mode.startswith("I"):
        # Of sixteen bits the upper eight; a conversion would cut all off above the lower ones.
        opened = opened.point(lambda value: value / 256).convert("L")
    mode = "RGBA" if opened.has_transparency_data else "RGB"
    return opened if opened.mode == mode else opened.convert(mode)
