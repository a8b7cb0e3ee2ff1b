"""The built-in engine: answers the Images API inside this process, with pictures painted here.

It is a transport for the OpenAI SDK's HTTP client, so the app's way to a picture is the same as
to any server: generations and edits, JSON and event stream with partial images.
"""

import asyncio
import io
import json
import re
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesParser
from email.policy import HTTP
from functools import partial
from typing import Any

import httpx2
from PIL import Image, ImageFilter, PngImagePlugin, UnidentifiedImageError

from utils.demo.painter import paint, repaint, retouch
from utils.images.models import DEMO_MODEL
from utils.images.pictures import encode, in_eight_bits

NOTICE = "Painted by the built-in demo engine. No AI model was at work."
DEFAULT_SIZE = (1024, 1024)
SIDES = range(16, 3841)
# One thread: four of the largest size at once took 3.3 GB, which is more than a server may have.
_painter = ThreadPoolExecutor(1, "painter")

Draw = Callable[[tuple[int, int]], Image.Image]


class BadRequestError(Exception):
    """The request cannot be served; `param` names the parameter at fault."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class DemoTransport(httpx2.AsyncBaseTransport):
    """Serves `/images/generations`, `/images/edits` and `/models` of the Images API.

    `pace` is the time in seconds between one draft and the next in an event stream, so that a
    person sees the picture grow.
    """

    def __init__(self, pace: float = 0.4) -> None:
        self._pace = pace

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one HTTP request as an Images API server does."""
        path = request.url.path
        try:
            if path.endswith("/models"):
                model = {"id": DEMO_MODEL, "object": "model", "shutdown_date": None}
                return httpx2.Response(200, json={"object": "list", "data": [model]})
            if path.endswith("/images/generations"):
                return await self._answer(request, json.loads(await request.aread()), "generation")
            if path.endswith("/images/edits"):
                # In a thread, as for all that takes time here: the other jobs share this loop.
                form = await asyncio.to_thread(_read_form, request, await request.aread())
                return await self._answer(request, form, "edit")
        except BadRequestError as exc:
            error = {"message": str(exc), "type": "invalid_request_error", "param": exc.param}
            return httpx2.Response(400, json={"error": error})
        return httpx2.Response(404, json={"error": {"message": "No such address."}})

    async def _answer(
        self, request: httpx2.Request, wish: dict[str, Any], kind: str
    ) -> httpx2.Response:
        size = _size(wish.get("size"))
        wish = {**wish, "output_format": _format(wish.get("output_format"))}
        draw, notes = await asyncio.to_thread(_drawing, wish, _seed(request, wish))
        if str(wish.get("stream")).lower() == "true":
            events = self._events(draw, notes, wish, size, kind)
            return httpx2.Response(
                200, headers={"content-type": "text/event-stream"}, content=events
            )
        picture = await _paint(draw, notes, wish, size)
        return httpx2.Response(
            200, json={"created": 0, "data": [{"b64_json": picture}], **_facts(wish, size)}
        )

    async def _events(
        self,
        draw: Draw,
        notes: dict[str, str],
        wish: dict[str, Any],
        size: tuple[int, int],
        kind: str,
    ) -> AsyncIterator[bytes]:
        for index in range(min(3, int(wish.get("partial_images") or 0))):
            await asyncio.sleep(self._pace)
            draft = await _paint(_draft(draw, index), notes, wish, size)
            event = {"type": f"image_{kind}.partial_image", "partial_image_index": index}
            yield _event(event | {"b64_json": draft})
        await asyncio.sleep(self._pace)
        picture = await _paint(draw, notes, wish, size)
        facts = _facts(wish, size)
        yield _event({"type": f"image_{kind}.completed", "b64_json": picture, **facts})


def _drawing(wish: dict[str, Any], seed: int) -> tuple[Draw, dict[str, str]]:
    """Return the function that draws the wish at a size, and the notes to keep with it."""
    prompt = str(wish.get("prompt") or "")
    transparent = wish.get("background") == "transparent"
    if "image" in wish:
        source = _open(wish, "image")
        mask = _open(wish, "mask") if "mask" in wish else None
        if mask and (mask.size != source.size or not mask.has_transparency_data):
            raise BadRequestError("mask", "The mask needs the image's size, and transparency.")
        # Others write a seed too, each in its own way.
        own_seed = re.fullmatch(r"\d{1,10}", str(source.info.get("Seed")), re.ASCII)
        if own_seed is None:
            return _masked(partial(retouch, source, prompt, seed=seed), source, mask), {}
        # A picture of our own is painted anew: the same scene with the new words added.
        prompt = f"{source.info.get('Prompt', '')}, {prompt}"
        seed = int(own_seed[0])
    notes = {"Prompt": prompt, "Seed": str(seed)}
    draw = partial(paint, prompt, seed=seed, transparent=transparent)
    if "image" in wish and mask:
        # Of two scenes no seed and no prompt tells any more.
        return _masked(draw, source, mask), {}
    return draw, notes


def _masked(draw: Draw, source: Image.Image, mask: Image.Image | None) -> Draw:
    """Return a `draw` that leaves the source as it is where the mask is not transparent."""
    return (lambda size: repaint(source, draw(size), mask)) if mask else draw


def _open(wish: dict[str, Any], name: str) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(wish[name]))
        opened.load()
    except (UnidentifiedImageError, OSError) as exc:
        raise BadRequestError(name, f"The {name} could not be read.") from exc
    return in_eight_bits(opened)


def _draft(draw: Draw, index: int) -> Draw:
    """Return a rougher `draw`: the first draft blurred and small, each next one finer."""

    def rough(size: tuple[int, int]) -> Image.Image:
        share = 8 >> index
        small = draw((max(1, size[0] // share), max(1, size[1] // share)))
        return small.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(share))

    return rough


async def _paint(
    draw: Draw, notes: dict[str, str], wish: dict[str, Any], size: tuple[int, int]
) -> str:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_painter, _finish, draw, notes, wish, size)


def _finish(draw: Draw, notes: dict[str, str], wish: dict[str, Any], size: tuple[int, int]) -> str:
    """Draw, and return the picture in the format wished for, as base64."""
    picture = draw(size)
    image_format = wish["output_format"]
    info = PngImagePlugin.PngInfo()
    for name, text in {"Comment": NOTICE, **notes}.items():
        info.add_itxt(name, text)
    out = io.BytesIO()
    if image_format == "jpeg":
        picture = picture.convert("RGB")
    picture.save(out, format=image_format, pnginfo=info, compress_level=3)
    return encode(out.getvalue())


def _facts(wish: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return the answer's other fields; no usage, because no model has read or made a token."""
    return {
        "created_at": 0,
        "size": f"{size[0]}x{size[1]}",
        "quality": "auto",
        "background": wish.get("background") or "opaque",
        "output_format": wish["output_format"],
    }


def _size(wish: object) -> tuple[int, int]:
    if wish in (None, "", "auto"):
        return DEFAULT_SIZE
    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(wish))
    if sides is None or int(sides[1]) not in SIDES or int(sides[2]) not in SIDES:
        raise BadRequestError("size", f"Sizes are WIDTHxHEIGHT, each {SIDES[0]} to {SIDES[-1]}.")
    return int(sides[1]), int(sides[2])


def _format(wish: object) -> str:
    image_format = str(wish or "png")
    if image_format not in ("png", "jpeg", "webp"):
        raise BadRequestError("output_format", "Supported formats: png, jpeg, webp.")
    return image_format


def _seed(request: httpx2.Request, wish: dict[str, Any]) -> int:
    """Return a number that is the same for the same request and differs between requests."""
    name = request.headers.get("x-client-request-id", "")
    return zlib.crc32(f"{name}\n{wish.get('prompt')}".encode(errors="replace"))


def _read_form(request: httpx2.Request, body: bytes) -> dict[str, Any]:
    """Return the fields of a multipart form: text as str, the first image as bytes."""
    head = b"Content-Type: " + request.headers.get("content-type", "").encode() + b"\r\n\r\n"
    form: dict[str, Any] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name = str(part.get_param("name", "", "content-disposition")).removesuffix("[]")
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            form.setdefault(name, content if part.get_filename() else content.decode())
    if not isinstance(form.get("image"), bytes):
        raise BadRequestError("image", "An edit needs an image.")
    return form


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
