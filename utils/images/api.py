"""The one place that talks to the Images API, through the OpenAI SDK, whatever the engine."""

import logging
import math
import time
from asyncio import CancelledError, Timeout, get_running_loop, timeout, to_thread
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from itertools import count
from threading import Lock
from typing import Any

from cachetools import TTLCache
from httpx2 import HTTPError, InvalidURL, RequestError
from openai import (
    AsyncAPIResponse,
    BadRequestError,
    OpenAIError,
    UnprocessableEntityError,
)

from utils import marks
from utils.images import clients, engines, errors, models, pictures
from utils.images.credentials import Signal, read_signals
from utils.images.events import load, picture_in, read_events
from utils.images.fetch import bounded, fetch_picture, read_bounded
from utils.images.parameters import PARAMETERS
from utils.jobs.outcomes import STORE_AWAY, FailedError, Problem
from utils.review.blobs import NoRoomError, blobs
from utils.review.people import is_person
from utils.review.records import Cost, Engine, Wish
from utils.settings import get_settings, is_key
from utils.spending import SpentError, spending
from utils.telemetry import MADE, EndedCall, note_call, pseudonym

logger = logging.getLogger(__name__)

DRAFTS: Mapping[str, object] = {"stream": True, "partial_images": 2}
FAILURES = (
    OpenAIError,
    HTTPError,
    InvalidURL,
    TimeoutError,
    pictures.NotAPictureError,
    FailedError,
)

# Servers learn too: what one has refused is asked again after an hour.
REMEMBERED_SECONDS = 3600
# A draft that waits longer for its turn behind another one is passed over.
LATE_SECONDS = 0.25
# Drafts have one core, and the pictures that are paid for the others.
_drafts = ThreadPoolExecutor(1, "draft")
_first_draft = Lock()
# In characters: of a model.
LONGEST_NAME = 200
# By who the server is, parameter and value.
_refused: TTLCache[Hashable, bool] = TTLCache(1024, REMEMBERED_SECONDS)


@dataclass(frozen=True)
class Picture:
    """A picture that was made: a Result.

    `name` is that of its bytes in the table of blobs, and `extension` png, jpg or webp by these
    bytes; `tokens` are the API's count, 0 where it sent none; `seconds` is how long it took, and
    `refused` names the chosen settings that the server would not take. `outside` is which share of
    what was not marked differs from the picture that it comes from, None where nothing was marked.
    `made_of` names the two pictures that one is put together from, made here and not by a model;
    `request_id` is the server's own name for the call, '' where it gave none.
    """

    name: str
    extension: str
    width: int
    height: int
    tokens: int
    cost: Cost
    seconds: float
    refused: tuple[str, ...] = ()
    outside: float | None = None
    made_of: tuple[str, ...] = ()
    request_id: str = ""


# What a result is, and what else may travel between servers.
RECORDS = (Picture, pictures.Draft)

OnDraft = Callable[[pictures.Draft], None]
Call = Callable[[OnDraft], Awaitable[Picture]]


def make(pending_id: str, wish: Wish, key: str, owner: str, payer: str = "") -> Call:
    """Return the call that asks for the picture of `wish`, once, and keeps it for `owner`.

    `pending_id` names it to the server and in the log. `key` is the one that the person typed, ''
    for none, and `payer` is whose limits it counts for, where that is not the owner. The call is
    given a function that takes each draft, and returns the Picture or raises FailedError with a
    Problem that a person can read, whatever the server does.
    """
    return partial(_make, _Request(pending_id, wish, key, owner, payer or owner))


def kind(wish: Wish) -> Hashable:
    """Return what decides how long it takes: wishes of one kind take about as long."""
    options = tuple(wish.options.get(one.key) for one in PARAMETERS if one.paces)
    return (wish.engine.address, wish.engine.model, bool(wish.sources), *options)


def places() -> int:
    """Return how many pictures are asked for at once, for the whole server."""
    return get_settings().image_concurrency


async def list_models(engine: Engine, key: str) -> tuple[models.ListedModel, ...] | None:
    """Return the image models that the engine lists, with the typed `key`; None for no list.

    Nothing is raised, whatever goes wrong: a page must not break by a list.
    """
    key = engines.key_for(engine, key)
    if not is_key(key):
        return None
    try:
        async with (
            timeout(clients.CONNECT_SECONDS),
            clients.api_client(engine, key).models.with_streaming_response.list(
                extra_headers=clients.headers(engine, key)
            ) as response,
        ):
            answer = load(await read_bounded(response.http_response))
    except Exception as exc:
        logger.info("no list of models: %s", type(exc).__name__)
        return None
    listed = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(listed, list):
        return None
    entries = [entry for entry in listed if isinstance(entry, Mapping)]
    return tuple(
        _listed(entry)
        for entry in entries
        if _is_name(entry.get("id")) and models.is_image_model(str(entry["id"]), entry.get("mode"))
    )


def check_provenance(name: str, engine: Engine, key: str) -> Callable[[object], Awaitable[object]]:
    """Return the call that asks OpenAI where a picture in the table of blobs comes from.

    `key` is the one that the person typed. It returns a tuple of Signals or raises FailedError.
    """

    async def call(_: object) -> tuple[Signal, ...]:
        own_key, data = engines.key_for(engine, key), await to_thread(blobs.get, name)
        try:
            if data is None or not is_key(own_key):
                raise ValueError("no picture, or no key")
            async with clients.api_client(
                engine, own_key
            ).content_provenance_checks.with_streaming_response.create(
                file=_file(1, data), extra_headers=clients.headers(engine, own_key)
            ) as response:
                answer = load(await read_bounded(response.http_response))
            return read_signals(answer)
        except (*FAILURES, ValueError) as exc:
            logger.warning("no answer about a picture: %s", type(exc).__name__)
        raise FailedError(errors.NOT_CHECKED)

    return call


def _is_name(text: object) -> bool:
    """Return whether a page can show this as a model's name: JSON can hold half a character."""
    return isinstance(text, str) and text.isprintable() and len(text) <= LONGEST_NAME


def _listed(entry: Mapping[str, object]) -> models.ListedModel:
    name = str(entry.get("id"))
    try:
        return models.ListedModel(name, date.fromisoformat(str(entry.get("shutdown_date"))))
    except ValueError:
        return models.ListedModel(name)


@dataclass(frozen=True)
class _Request:
    """A wish on its way."""

    id: str
    wish: Wish
    typed_key: str
    owner: str
    payer: str
    # The next number of a try, which only the log tells apart.
    tries: Iterator[int] = field(default_factory=lambda: count(1), compare=False)
    # The server's own name for the call under way, once it has answered.
    named: list[str] = field(default_factory=list, compare=False)

    @property
    def engine(self) -> Engine:
        return self.wish.engine

    @property
    def key(self) -> str:
        return engines.key_for(self.engine, self.typed_key)


@dataclass(frozen=True)
class _Answer:
    """What came: the picture, what the API says that it used, and what a gateway says it cost."""

    picture: pictures.Checked
    usage: object
    told: float | None


async def _make(request: _Request, on_partial: OnDraft) -> Picture:
    began, number = time.monotonic(), next(request.tries)

    def note(outcome: str, size: str = "", **more: Any) -> None:
        asked, model = request.wish.options.get("size", ""), request.engine.model
        seconds = time.monotonic() - began
        whose = request.payer
        ended = EndedCall(request.id, whose, model, size or asked, number, seconds, outcome, **more)
        note_call(ended)

    try:
        picture = await _ask_and_keep(request, on_partial, began)
    except FAILURES as exc:
        problem = errors.explain(
            exc, prompt=request.wish.prompt, pictures=bool(request.wish.sources)
        )
        problem = replace(problem, request_id=problem.request_id or "".join(request.named))
        note(
            problem.kind,
            status=getattr(exc, "status_code", None),
            error=type(errors.origin(exc)).__name__,
            server_request=problem.request_id,
        )
    except CancelledError:
        note("cancelled")
        raise
    else:
        note(
            MADE,
            f"{picture.width}x{picture.height}",
            tokens=picture.tokens,
            dollars=picture.cost.dollars,
            server_request=picture.request_id,
        )
        return picture
    # Here, and not above: an exception keeps alive the one that it was raised in, and with it the
    # request, its pictures and its key.
    raise FailedError(problem)


async def _ask_and_keep(request: _Request, on_partial: OnDraft, began: float) -> Picture:
    # In threads, all that may ask a store: it may be away, and the other jobs share this loop.
    sources = await to_thread(_read_sources, request)
    expected = models.most_expected(request.engine, request.wish.options)
    try:
        await to_thread(spending.begin, request.payer, expected)
    except SpentError as exc:
        raise FailedError(Problem("spent", str(exc))) from None
    counted_at = time.time()
    mark, files = await to_thread(_files, request, sources) if sources else (None, {})
    answer, refused = await _ask_for_what_is_taken(request, files, on_partial)
    seconds = time.monotonic() - began
    made = answer.picture
    outside = None
    if mark:
        outside = await to_thread(_changed_outside, sources[0], made.data, mark)
    # In a thread: the hash of a large picture would hold up every other job for some 10 ms.
    try:
        name = await to_thread(keep, request.owner, made)
    except NoRoomError:
        raise FailedError(errors.NO_ROOM) from None
    cost = models.cost(request.engine.model, answer.usage, answer.told)
    if cost.dollars:
        await to_thread(spending.correct, request.payer, expected, cost.dollars, counted_at)
    return Picture(
        name,
        made.extension,
        made.width,
        made.height,
        cost.tokens,
        cost,
        seconds,
        refused,
        outside,
        request_id="".join(request.named),
    )


def keep(owner: str, made: pictures.Checked) -> str:
    """Keep a picture with its versions; return its name. Raises NoRoomError: it has no room."""
    return blobs.put(owner, made.data, thumbnail=made.thumbnail, screen=made.screen)


def _changed_outside(before: bytes, after: bytes, mark: marks.Mark) -> float | None:
    return marks.changed_outside(pictures.as_seen(before), pictures.as_seen(after), mark)


def _read_sources(request: _Request) -> tuple[bytes, ...]:
    """Return the pictures to start from, after all that can be checked without asking anyone."""
    if request.engine.own_key and not request.key:
        raise FailedError(errors.KEY_GONE)
    if not is_key(request.key):
        raise FailedError(errors.NOT_A_KEY)
    sources = [blobs.get(name) for name in request.wish.sources]
    found = tuple(source for source in sources if source is not None)
    if len(found) < len(sources):
        # A store that is away has them still, and nobody was asked for anything yet.
        gone = blobs.missing(request.wish.sources)
        raise FailedError(errors.SOURCE_GONE if gone else replace(STORE_AWAY, retry=True))
    return found


def _read_mark(request: _Request, sources: tuple[bytes, ...]) -> marks.Mark | None:
    """Return the mark on the first source, whose size it needs."""
    if not request.wish.mark:
        return None
    mark = marks.read(request.wish.mark, pictures.size_of(sources[0]))
    if mark is None:
        raise FailedError(errors.MARK_REFUSED)
    return mark


def _files(
    request: _Request, sources: tuple[bytes, ...]
) -> tuple[marks.Mark | None, dict[str, Any]]:
    """Return the mark on the first source, and what goes along by the API's names."""
    mark = _read_mark(request, sources)
    images = [_file(number, source) for number, source in enumerate(sources, 1)]
    files: dict[str, Any] = {"image": images[0] if len(images) == 1 else images}
    if mark and models.takes_markup(request.engine.model):
        files["markup"] = ("markup.png", marks.markup(mark), pictures.MIME["png"])
    elif mark:
        files["mask"] = ("mask.png", marks.mask(mark), pictures.MIME["png"])
    return mark, files


async def _ask_for_what_is_taken(
    request: _Request, files: Mapping[str, Any], on_partial: OnDraft
) -> tuple[_Answer, tuple[str, ...]]:
    """Leave out what this server is known to refuse, and learn what else it does.

    What is refused costs nothing. It is remembered once the call has worked without it: until then
    it is but a guess at what the server means.
    """
    engine, options = request.engine, request.wish.options
    # Whose key it is may decide what is taken; only its hash is kept beyond the call.
    server = (engine.address, engine.model, hash(request.key))
    wished: dict[str, object] = {**options, **(DRAFTS if engines.streams(engine) else {})}
    if is_person(request.payer) and engines.is_openai(engine):
        wished["safety_identifier"] = pseudonym(request.payer)
    if request.wish.mark and "complexity" in models.known(engine.model).choices:
        # A narrow edit: more may change what was not asked for.
        wished = {"complexity": "low", **wished}
    sent = {name: wish for name, wish in wished.items() if (server, name, wish) not in _refused}
    learnt: set[str] = set()
    while True:
        try:
            answer = await _ask(request, files, sent, on_partial)
        except (BadRequestError, UnprocessableEntityError) as exc:
            if request.wish.mark and errors.refuses_mark(exc.body, request.wish.prompt):
                # Without it this would buy an edit of the whole picture.
                raise FailedError(errors.MARK_REFUSED) from None
            name = errors.refused_parameter(exc.body, sent, request.wish.prompt)
            if not name:
                raise
        else:
            break
        # Without a stream there are no drafts to ask for.
        learnt |= sent.keys() & (DRAFTS.keys() if name == "stream" else {name})
        sent = {other: wish for other, wish in sent.items() if other not in learnt}
        logger.info("request=%s asked again without %s", request.id, name)
    for name in learnt:
        _refused[(server, name, wished[name])] = True
    return answer, tuple(name for name in options if name not in sent)


async def _ask(
    request: _Request,
    files: Mapping[str, Any],
    sent: Mapping[str, object],
    on_partial: OnDraft,
) -> _Answer:
    patience = get_settings().image_timeout
    request.named.clear()
    async with (
        timeout(patience) as limit,
        _call(request, files, sent) as response,
        # What is left before its end is closed here: the SDK leaves it to the garbage collector.
        aclosing(response.http_response.aiter_bytes()) as body,
    ):
        told = _price(response.headers.get("x-litellm-response-cost", ""))
        request.named.append(errors.request_id(response.headers))
        chunks = bounded(body)
        first = b""
        async for chunk in chunks:
            first += chunk
            # The network may cut anywhere, also within what a picture is known by.
            if len(first) >= pictures.HEAD_BYTES:
                break
        kind = response.headers.get("content-type", "").lower()
        is_json = first.lstrip().startswith((b"{", b"["))
        if pictures.begins_one(first) or (kind.startswith("image/") and not is_json):
            return _Answer(await _check_bare(_after(first, chunks)), None, told)
        told_why: Problem | None = None
        async for event in read_events(_after(first, chunks)):
            name = str(event.get("type") or "")
            if _is_partial(name, event):
                # Keep-alives do not count as news: only what can be seen extends the patience.
                if await _show_partial(event, on_partial):
                    limit.reschedule(get_running_loop().time() + patience)
                continue
            picture = await _read_picture(name, event, request, limit)
            if picture:
                return _Answer(picture, event.get("usage"), told)
            if event.get("error") or name == "error":
                raise FailedError(
                    errors.explain_body(event, prompt=request.wish.prompt, pictures=bool(files))
                )
            told_why = told_why or errors.explain_answer(
                event, prompt=request.wish.prompt, pictures=bool(files)
            )
        raise FailedError(told_why or errors.NO_PICTURE)


def _is_partial(name: str, event: Mapping[str, Any]) -> bool:
    """Return whether an event brings a draft; some servers send all fields that there are."""
    is_numbered = event.get("partial_image_index") is not None
    return "partial" in name or (is_numbered and not name.endswith("completed"))


async def _after(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


async def _check_bare(chunks: AsyncIterator[bytes]) -> pictures.Checked:
    """Return the picture that an answer is, with nothing around it.

    Where the connection breaks, it may lack nothing but the end of the answer.
    """
    parts: list[bytes] = []
    try:
        async for chunk in chunks:
            parts.append(chunk)
    except RequestError:
        with suppress(pictures.NotAPictureError):
            return await to_thread(pictures.check_picture, b"".join(parts))
        raise
    return await to_thread(pictures.check_picture, b"".join(parts))


def _call(
    request: _Request, files: Mapping[str, Any], sent: Mapping[str, object]
) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
    engine, key = request.engine, request.key
    images = clients.api_client(engine, key).images.with_streaming_response
    asked: dict[str, Any] = {
        "prompt": request.wish.prompt,
        "model": engine.model,
        "extra_headers": {**clients.headers(engine, key), "X-Client-Request-Id": request.id},
        # The settings of newer models are none that the SDK must know.
        "extra_body": dict(sent),
    }
    return images.edit(**files, **asked) if files else images.generate(**asked)


def _file(number: int, data: bytes) -> tuple[str, bytes, str]:
    extension = pictures.extension_of(data)
    return f"image-{number}.{extension}", data, pictures.MIME[extension]


async def _read_picture(
    name: str, event: Mapping[str, object], request: _Request, limit: Timeout
) -> pictures.Checked | None:
    """Return the picture that an event holds, None if it holds none.

    Reading it has a time limit of its own, or none. Raises NotAPictureError where the last event
    holds something else, and FailedError where it cannot be fetched.
    """
    is_last = not name or name.endswith("completed")
    # An address counts only where the API has one: others may lead to a server's documents.
    addresses = is_last or isinstance(event.get("data"), list)
    inside = {key: value for key, value in event.items() if key != "error"}
    form, text = picture_in(inside, addresses=addresses)
    if not text:
        return None
    until = limit.when()
    limit.reschedule(None)
    try:
        if form == "url" and not text.startswith("data:"):
            http = clients.http_client(request.engine)
            data = await fetch_picture(text, request.engine.address or "", request.key, http)
            return await to_thread(pictures.check_picture, data)
        # In a thread: decoding would hold up every other job for some 30 ms.
        return await to_thread(_decode, text)
    except pictures.NotAPictureError:
        if is_last:
            raise
        limit.reschedule(until)
        return None


def _decode(text: str) -> pictures.Checked:
    return pictures.check_picture(pictures.decode(text))


async def _show_partial(event: Mapping[str, object], on_partial: OnDraft) -> bool:
    """Hand on a draft; return whether it was one."""
    _, text = picture_in(event, addresses=False)
    first = _first_draft.acquire(blocking=False)
    until = math.inf if first else time.monotonic() + LATE_SECONDS
    try:
        draft = await get_running_loop().run_in_executor(_drafts, _check_draft, text, until)
    except pictures.NotAPictureError:
        logger.info("passed over a partial picture that is none")
        return False
    finally:
        if first:
            _first_draft.release()
    if draft:
        on_partial(draft)
    return True


def _check_draft(text: str, until: float) -> pictures.Draft | None:
    """Return what is shown of a draft, None where its turn comes too late."""
    if time.monotonic() > until:
        return None
    return pictures.check_draft(pictures.decode(text))


def _price(header: str) -> float | None:
    """Return the price in USD that a LiteLLM proxy names; None where it names none or nothing."""
    try:
        price = float(header)
    except ValueError:
        return None
    return price if 0 < price <= models.MOST_DOLLARS else None
