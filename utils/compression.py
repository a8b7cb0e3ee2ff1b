"""Sends no more than is needed: compressed, Streamlit's own files once, and no file unasked for."""

from collections.abc import Sequence
from posixpath import normpath

from cachetools import LRUCache
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# In bytes. All of Streamlit's scripts and styles, compressed, are some 4 MB.
KEEP = 16 * 1024 * 1024
# Below these paths a file's name has a hash of what is in it.
UNCHANGING = ("/static/js/", "/static/css/")
CONDITIONS = ("range", "if-none-match", "if-modified-since")


class Compression:
    """Starlette's compression, without its 0.1 s of work for each first load of the page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(Downloads(app), compresslevel=6)
        self._kept: LRUCache[str, Sequence[Message]] = LRUCache(KEEP, _size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from what is kept, or keep what is answered."""
        if not _is_file(scope):
            await self._app(scope, receive, send)
            return
        messages = self._kept.get(scope["path"], ())
        for message in messages:
            await send(dict(message))
        if messages:
            return
        sent = list[Message]()

        async def keep_and_send(message: Message) -> None:
            # A copy each time: whoever passes it on may add a header, such as one browser's cookie.
            sent.append(dict(message))
            await send(message)

        await self._app(scope, receive, keep_and_send)
        if _is_whole(sent) and _is_found(sent[0]) and _size(sent) <= KEEP:
            self._kept[scope["path"]] = sent


class Downloads:
    """ASGI middleware that keeps the file of a button that nobody has clicked.

    Streamlit asks for it as it draws the button, only to know whether it is there, and the browser
    loads all of it beside the picture that it shows. Scripts and clicks are told apart by
    https://www.w3.org/TR/fetch-metadata/; who says nothing gets the file.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a script with the head alone where a download is what it asks for."""
        is_download = False

        async def send_head(message: Message) -> None:
            nonlocal is_download
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_download = headers.get("Content-Disposition", "").startswith("attachment")
                if is_download:
                    headers["Content-Length"] = "0"
                    # For the click the browser must ask again.
                    headers["Cache-Control"] = "no-store"
            elif is_download:
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_head if _is_script(scope) else send)


def _is_script(scope: Scope) -> bool:
    """Return whether a script of the page asks, and not a link, a picture, a font or a program."""
    if scope["type"] != "http":
        return False
    headers = Headers(scope=scope)
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("cors", "empty")


def _is_file(scope: Scope) -> bool:
    """Return whether this asks for one of Streamlit's own files, whole and compressed."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    headers, path = Headers(scope=scope), str(scope["path"])
    return (
        any(one in path for one in UNCHANGING)
        # Other spellings lead to the same file, and there is no end of them.
        and normpath(path) == path
        and "gzip" in headers.get("accept-encoding", "")
        and not any(name in headers for name in CONDITIONS)
    )


def _is_whole(messages: Sequence[Message]) -> bool:
    """Return whether an answer was sent to its end: to who has left nothing is, or the first of
    it."""
    last = messages[-1] if messages else {"type": ""}
    return last["type"] == "http.response.body" and not last.get("more_body", False)


def _is_found(start: Message) -> bool:
    """Return whether an answer is the file: in place of one that is not there Streamlit sends its
    page, to each browser with a cookie of its own."""
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and not kind.startswith("text/html")


def _size(messages: Sequence[Message]) -> int:
    return sum(len(message.get("body", b"")) for message in messages)
