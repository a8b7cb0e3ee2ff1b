"""The one place that talks to the Images API, through the OpenAI SDK, whatever the engine."""

import json
import logging
import time
from asyncio import AbstractEventLoop, get_running_loop, timeout, to_thread
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from typing import Any

from cachetools import LRUCache
from httpx2 import AsyncBaseTransport, TransportError
from openai import (
    AsyncAPIResponse,
    AsyncOpenAI,
    BadRequestError,
    DefaultAsyncHttpxClient,
    Omit,
    OpenAIError,
    Timeout,
    UnprocessableEntityError,
)

from utils.images.errors import (
    CUT_OFF,
    NO_PICTURE,
    ImageError,
    explain,
    explain_body,
    named_parameter,
)
from utils.images.fetch import bounded, fetch_picture
from utils.images.models import ListedModel, count, is_image_model
from utils.images.pictures import MIME, NotAPictureError, Picture, check_picture, extension_of
from utils.settings import DEMO_MODEL, Engine, get_settings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
DRAFTS = {"stream": True, "partial_images": 2}
FAILURES = (OpenAIError, TransportError, TimeoutError, NotAPictureError, ImageError)


def _demo_engine() -> AsyncBaseTransport:
    # Imported when it is needed: numpy would delay the start of an app that asks a real server.
    from utils.demo.engine import DemoTransport

    return DemoTransport()


# The engines that answer in this process, by model; all others are reached by their address.
TRANSPORTS: dict[str, Callable[[], AsyncBaseTransport]] = {DEMO_MODEL: _demo_engine}

# What each server and model has refused, by parameter and value.
_refused: LRUCache[object, frozenset[tuple[str, Any]]] = LRUCache(256)


@dataclass(frozen=True)
class ImageRequest:
    """One picture to be made; `id` names it to the server and in the log.

    `options` are the settings that were chosen, by the API's own parameter names; what is left to
    the server is not in it. With `images` (bytes) the call is an edit of them.
    """

    id: str
    prompt: str
    engine: Engine
    options: Mapping[str, str] = field(default_factory=dict)
    images: tuple[bytes, ...] = ()

    @property
    def kind(self) -> tuple[object, ...]:
        """What decides how long it takes: requests of one kind take about as long."""
        options = (self.options.get("size"), self.options.get("quality"))
        return (self.engine.base_url, self.engine.model, bool(self.images), *options)


async def request_picture(request: ImageRequest, on_partial: Callable[[str], None]) -> Picture:
    """Ask the engine for one picture, once; `on_partial` is given each partial one (base64).

    Raises ImageError, with the Problem that a person can read, whatever goes wrong.
    """
    began = time.monotonic()
    try:
        picture = await _ask_for_what_is_taken(request, on_partial)
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
        "request=%s model=%s made %dx%d %s in %.1f s, %d tokens",
        request.id,
        request.engine.model,
        picture.width,
        picture.height,
        picture.extension,
        seconds,
        count(picture.usage.get("total_tokens")),
    )
    return replace(picture, seconds=seconds)


async def list_models(engine: Engine) -> tuple[ListedModel, ...]:
    """Return the image models that the engine lists; () where it does not, for any reason."""
    try:
        async with (
            timeout(CONNECT_SECONDS),
            _client(engine).models.with_streaming_response.list(
                extra_headers=_authorization(engine)
            ) as response,
        ):
            answer = _json(b"".join([chunk async for chunk in bounded(response.iter_bytes())]))
    except FAILURES as exc:
        logger.info("no list of models: %s", type(exc).__name__)
        return ()
    listed = answer.get("data") if isinstance(answer, Mapping) else None
    models = [_listed(model) for model in listed] if isinstance(listed, list) else []
    return tuple(model for model in models if is_image_model(model.name))


def _listed(model: object) -> ListedModel:
    entry = model if isinstance(model, Mapping) else {}
    name = str(entry.get("id") or "")
    try:
        return ListedModel(name, date.fromisoformat(str(entry.get("shutdown_date"))))
    except ValueError:
        return ListedModel(name)


async def _ask_for_what_is_taken(
    request: ImageRequest, on_partial: Callable[[str], None]
) -> Picture:
    """Leave out what this server is known to refuse, and learn what else it does."""
    server = (request.engine.base_url, request.engine.model)
    wishes: dict[str, Any] = {**request.options, **DRAFTS}
    while True:
        refused = _refused.get(server, frozenset())
        wishes = {name: wish for name, wish in wishes.items() if (name, wish) not in refused}
        try:
            picture = await _ask(request, wishes, on_partial)
        except (BadRequestError, UnprocessableEntityError) as exc:
            name = named_parameter(exc.body, wishes)
            if name is None or explain(exc).kind != "parameter":
                raise
            # Without a stream there are no partial pictures to ask for.
            names = wishes.keys() & (DRAFTS.keys() if name == "stream" else {name})
            _refused[server] = refused | {(one, wishes[one]) for one in names}
            logger.info("request=%s asked again without %s", request.id, name)
        else:
            return replace(picture, refused=tuple(request.options.keys() - wishes.keys()))


async def _ask(
    request: ImageRequest, wishes: Mapping[str, Any], on_partial: Callable[[str], None]
) -> Picture:
    patience = get_settings().image_timeout
    async with timeout(patience) as limit, _call(request, wishes) as response:
        chunks = bounded(response.iter_bytes())
        if "text/event-stream" not in response.headers.get("content-type", ""):
            body = b"".join([chunk async for chunk in chunks])
            limit.reschedule(None)
            return await _read_plain(body, request.engine)
        async for event in read_events(chunks):
            kind = str(event.get("type"))
            if event.get("error") or kind == "error":
                raise ImageError(explain_body(event))
            if kind.endswith(".completed"):
                limit.reschedule(None)
                return await _read_item(event, event.get("usage"), request.engine)
            if kind.endswith(".partial_image"):
                # Keep-alives do not count as news: only what can be seen extends the patience.
                limit.reschedule(get_running_loop().time() + patience)
                await _show_partial(event, on_partial)
        raise ImageError(CUT_OFF)


def _call(
    request: ImageRequest, wishes: Mapping[str, Any]
) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
    images = _client(request.engine).images.with_streaming_response
    asked: dict[str, Any] = {
        "prompt": request.prompt,
        "model": request.engine.model,
        "extra_headers": {**_authorization(request.engine), "X-Client-Request-Id": request.id},
        **wishes,
    }
    if not request.images:
        return images.generate(**asked)
    files = [_file(number, image) for number, image in enumerate(request.images, 1)]
    return images.edit(image=files[0] if len(files) == 1 else files, **asked)


def _file(number: int, image: bytes) -> tuple[str, bytes, str]:
    extension = extension_of(image)
    return f"image-{number}.{extension}", image, MIME[extension]


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


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield lines without their ends, and an empty one after the last."""
    parts: list[bytes] = []
    async for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield b"".join([*parts, end]).rstrip(b"\r")
            parts.clear()
        parts.append(rest)
    yield b"".join(parts)
    yield b""


async def _read_plain(body: bytes, engine: Engine) -> Picture:
    answer = _json(body)
    if not isinstance(answer, Mapping):
        raise ImageError(NO_PICTURE)
    if answer.get("error"):
        raise ImageError(explain_body(answer))
    items = answer.get("data")
    if not isinstance(items, list) or not items or not isinstance(items[0], Mapping):
        raise ImageError(NO_PICTURE)
    return await _read_item(items[0], answer.get("usage"), engine)


async def _read_item(item: Mapping[str, Any], usage: object, engine: Engine) -> Picture:
    image, url = item.get("b64_json"), item.get("url")
    if not image and isinstance(url, str):
        http = _http_client(get_running_loop(), engine)
        image = url if url.startswith("data:") else await fetch_picture(url, engine, http)
    if not isinstance(image, str):
        raise ImageError(NO_PICTURE)
    if image.startswith("data:"):
        image = image.partition(",")[2]
    # In a thread: decoding would hold up every other job for some 30 ms.
    return await to_thread(check_picture, image, usage if isinstance(usage, dict) else {})


async def _show_partial(event: Mapping[str, Any], on_partial: Callable[[str], None]) -> None:
    try:
        on_partial((await to_thread(check_picture, str(event.get("b64_json")))).image)
    except NotAPictureError:
        logger.info("passed over a partial picture that is none")


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _authorization(engine: Engine) -> dict[str, str | Omit]:
    # A server without a key is sent none; the SDK would insist on one.
    return {} if engine.api_key else {"Authorization": Omit()}


def _client(engine: Engine) -> AsyncOpenAI:
    return AsyncOpenAI(
        api_key=engine.api_key or "none",
        base_url=engine.base_url or "http://in-process.invalid/v1",
        http_client=_http_client(get_running_loop(), engine),
        max_retries=0,
    )


def _http_client(loop: AbstractEventLoop, engine: Engine) -> DefaultAsyncHttpxClient:
    return _shared_http_client(loop, None if engine.base_url else engine.model)


@cache
def _shared_http_client(loop: AbstractEventLoop, model: str | None) -> DefaultAsyncHttpxClient:
    """Share the connections, and the costly TLS set-up, between all calls of a loop."""
    limits = Timeout(get_settings().image_timeout, connect=CONNECT_SECONDS)
    transport = TRANSPORTS[model]() if model else None
    return DefaultAsyncHttpxClient(transport=transport, timeout=limits)
