"""The one place that talks to the Images API, through the OpenAI SDK, whatever the engine."""

import json
import logging
import time
from asyncio import AbstractEventLoop, get_running_loop, timeout, to_thread
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from httpx2 import TransportError
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit, OpenAIError, Timeout

from utils.demo_engine import DemoTransport
from utils.errors import CUT_OFF, NO_PICTURE, ImageError, explain, explain_body
from utils.pictures import MAX_BYTES, NotAPictureError, Picture, check_picture
from utils.settings import Engine, get_settings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
PARTIAL_IMAGES = 2
MAX_ANSWER_BYTES = 2 * MAX_BYTES
FAILURES = (OpenAIError, TransportError, TimeoutError, NotAPictureError, ImageError)


@dataclass(frozen=True)
class ImageRequest:
    """One picture to be made; `id` names it to the server and in the log."""

    id: str
    prompt: str
    engine: Engine

    @property
    def kind(self) -> tuple[str, ...]:
        """What decides how long it takes: requests of one kind take about as long."""
        return (self.engine.name, self.engine.model)


async def request_picture(request: ImageRequest, on_partial: Callable[[str], None]) -> Picture:
    """Ask the engine for one picture, once; `on_partial` is given each partial one (base64).

    Raises ImageError, with the Problem that a person can read, whatever goes wrong.
    """
    began = time.monotonic()
    try:
        picture = await _ask(request, on_partial)
    except FAILURES as exc:
        problem = explain(exc)
        logger.warning(
            "request=%s model=%s failed: %s (%s), status %s, after %.1f s, server's request %s",
            request.id,
            request.engine.model,
            problem.kind,
            type(exc).__name__,
            getattr(exc, "status_code", "-"),
            time.monotonic() - began,
            problem.request_id or "-",
        )
        raise ImageError(problem) from None
    seconds = time.monotonic() - began
    logger.info(
        "request=%s model=%s made %dx%d %s in %.1f s, %s tokens",
        request.id,
        request.engine.model,
        picture.width,
        picture.height,
        picture.extension,
        seconds,
        picture.usage.get("total_tokens", "-"),
    )
    return replace(picture, seconds=seconds)


async def _ask(request: ImageRequest, on_partial: Callable[[str], None]) -> Picture:
    patience = get_settings().image_timeout
    async with (
        timeout(patience) as limit,
        _client(request.engine).images.with_streaming_response.generate(
            prompt=request.prompt,
            model=request.engine.model,
            stream=True,
            partial_images=PARTIAL_IMAGES,
            extra_headers=_headers(request),
        ) as response,
    ):
        chunks = _bounded(response.iter_bytes())
        if "text/event-stream" not in response.headers.get("content-type", ""):
            return await _read_plain(b"".join([chunk async for chunk in chunks]))
        async for event in read_events(chunks):
            if event.get("error") or event.get("type") == "error":
                raise ImageError(explain_body(event))
            if str(event.get("type")).endswith(".completed"):
                return await _read_item(event, event.get("usage"))
            if str(event.get("type")).endswith(".partial_image"):
                # Keep-alives do not count as news, so only what can be seen extends the patience.
                limit.reschedule(get_running_loop().time() + patience)
                await _show_partial(event, on_partial)
        raise ImageError(CUT_OFF)


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects of a server-sent event stream; what is none is passed over.

    The SDK's own iterator ends with an exception at a keep-alive without data, and a picture
    that was paid for would be lost with the rest of the stream.
    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    data: list[bytes] = []
    async for line in _lines(chunks):
        if line.startswith(b"data:"):
            data.append(line[5:])
        elif not line:
            event = _json(b"\n".join(data))
            data.clear()
            if isinstance(event, dict):
                yield event
    event = _json(b"\n".join(data))
    if isinstance(event, dict):
        yield event


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    parts: list[bytes] = []
    async for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield b"".join([*parts, end]).rstrip(b"\r")
            parts.clear()
        parts.append(rest)
    yield b"".join(parts)


async def _bounded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > MAX_ANSWER_BYTES:
            raise ImageError(NO_PICTURE)
        yield chunk


async def _read_plain(body: bytes) -> Picture:
    answer = _json(body)
    if not isinstance(answer, Mapping):
        raise ImageError(NO_PICTURE)
    if answer.get("error"):
        raise ImageError(explain_body(answer))
    items = answer.get("data")
    if not isinstance(items, list) or not items or not isinstance(items[0], Mapping):
        raise ImageError(NO_PICTURE)
    return await _read_item(items[0], answer.get("usage"))


async def _read_item(item: Mapping[str, Any], usage: object) -> Picture:
    image = item.get("b64_json")
    if not isinstance(image, str):
        raise ImageError(NO_PICTURE)
    # In a thread: decoding would hold up every other job for some 30 ms.
    return await to_thread(check_picture, image, usage if isinstance(usage, dict) else {})


async def _show_partial(event: Mapping[str, Any], on_partial: Callable[[str], None]) -> None:
    try:
        on_partial((await _read_item(event, None)).image)
    except (ImageError, NotAPictureError):
        logger.info("passed over a partial picture that is none")


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _headers(request: ImageRequest) -> dict[str, str | Omit]:
    headers: dict[str, str | Omit] = {"X-Client-Request-Id": request.id}
    if not request.engine.api_key:
        headers["Authorization"] = Omit()
    return headers


def _client(engine: Engine) -> AsyncOpenAI:
    return AsyncOpenAI(
        api_key=engine.api_key or "none",
        base_url=engine.base_url or "http://demo.invalid/v1",
        http_client=_http_client(get_running_loop(), engine.is_demo),
        max_retries=0,
    )


@cache
def _http_client(loop: AbstractEventLoop, is_demo: bool) -> DefaultAsyncHttpxClient:
    """Share the connections, and the costly TLS set-up, between all calls of a loop."""
    limits = Timeout(get_settings().image_timeout, connect=CONNECT_SECONDS)
    if is_demo:
        return DefaultAsyncHttpxClient(transport=DemoTransport(), timeout=limits)
    return DefaultAsyncHttpxClient(timeout=limits)
