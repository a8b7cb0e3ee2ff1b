"""Reading what a server answers: an event stream or plain JSON, whatever it calls itself."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from httpx2 import RequestError

BOM = b"\xef\xbb\xbf"
# How deep in an answer a picture is looked for.
DEPTH = 5
# Objects on lines of their own that are read: all other jobs wait for it.
MOST_LINES = 1000
# Lines of any kind; more come from no server that means a picture, and take gigabytes.
MOST_READ = 100_000


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects of an answer, with the name of its event as `type`.

    An answer that begins as JSON is one object, or one on each line. Anything else is read as
    server-sent events, of which what is no JSON object is passed over. The SDK's own iterator ends
    with an exception at a keep-alive without data, and a picture that was paid for would be lost
    with the rest of the stream. Where the connection breaks, what has come is read first, which may
    lack nothing but the end of the answer; then httpx2.RequestError is raised.
    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    broken: RequestError | None = None

    async def until_broken() -> AsyncIterator[bytes]:
        nonlocal broken
        try:
            async for chunk in chunks:
                yield chunk
        except RequestError as exc:
            broken = exc

    plain: list[bytes] = []
    name, data = "", list[bytes]()
    begun = False
    async for line in _lines(until_broken()):
        if plain or (not begun and line.lstrip().startswith((b"{", b"["))):
            if line.strip():
                plain.append(line)
            continue
        # A comment says nothing of what comes behind it.
        begun = begun or bool(line.strip().partition(b":")[0])
        field, _, value = line.partition(b":")
        # Some servers leave out the empty line that ends an event.
        ends = not line or field == b"event" or (field == b"data" and len(data) == 1)
        event = load(b"\n".join(data)) if data and ends else None
        if isinstance(event, dict):
            yield event if event.get("type") else {**event, "type": name}
        if isinstance(event, dict) or not line:
            name, data = "", []
        if field == b"event":
            name = value.decode(errors="replace").strip()
        elif field == b"data":
            data.append(value)
    for answer in _read_plain(plain):
        yield answer
    if broken:
        raise broken


def picture_in(answer: object, *, addresses: bool) -> tuple[str, str]:
    """Return the name and the text of the field of an answer that holds its picture.

    The field is `b64_json`, or with `addresses` also `url`; both are '' where there is none. What
    is in `data`, as the API has it, comes before what else a server says.
    """
    data = answer.get("data") if isinstance(answer, Mapping) else None
    for place in (data, answer):
        for name in ("b64_json", "url") if addresses else ("b64_json",):
            if text := _first(place, name, DEPTH):
                return name, text
    return "", ""


def _first(answer: object, name: str, depth: int) -> str:
    """Return the first text of this name in an answer, '' where there is none."""
    if depth and isinstance(answer, Mapping):
        text = answer.get(name)
        if isinstance(text, str) and (text := text.strip()):
            return text
        answer = list(answer.values())
    if depth and isinstance(answer, list):
        return next(filter(None, (_first(inner, name, depth - 1) for inner in answer)), "")
    return ""


def load(text: bytes) -> object:
    """Return the JSON value that `text` is, None if it is none."""
    try:
        # Without the one bad byte that a server may have beside the picture.
        return json.loads(text.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def _read_plain(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    whole = load(b"\n".join(lines))
    answers = [load(line) for line in lines[:MOST_LINES]] if whole is None else [whole]
    for answer in answers:
        if isinstance(answer, dict):
            yield answer
        elif isinstance(answer, list):
            yield {"data": answer}


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield lines without their ends or a byte order mark, and an empty one after the last.

    After MOST_READ lines the rest is not read.
    """
    parts: list[bytes] = []
    mark = BOM
    read = 0
    async for chunk in chunks:
        if read > MOST_READ:
            break
        *ends, rest = chunk.split(b"\n")
        read += len(ends)
        for end in ends:
            yield b"".join([*parts, end]).removeprefix(mark).rstrip(b"\r")
            parts.clear()
            mark = b""
        parts.append(rest)
    yield b"".join(parts).removeprefix(mark).rstrip(b"\r")
    yield b""
