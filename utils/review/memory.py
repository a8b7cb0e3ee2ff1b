"""What the server remembers of each browser, so that a reload loses nothing.

A signed, HttpOnly cookie names the browser. Its shared store is kept in this process, bounded in
bytes, in browsers and in age; a page that opens begins with what is remembered.
"""

import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.cookies import SimpleCookie
from typing import Any

from cachetools import TTLCache
from itsdangerous import BadSignature, Signer
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "browser"
KEEP_SECONDS = 24 * 3600
KEEP_BYTES = 1024 * 1024 * 1024
# Counted for each browser on top of its pictures: it bounds their number too.
BYTES_PER_BROWSER = 128 * 1024

# Whoever signs with another key is nobody: only tokens that this server minted are good.
_signer = Signer(secrets.token_bytes(32))


class BrowserMemory:
    """Snapshots of shared stores by browser; the newest of each browser counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshots: TTLCache[str, Mapping[str, Any]] = TTLCache(
            KEEP_BYTES, KEEP_SECONDS, getsizeof=_weight
        )

    def remember(self, token: str, snapshot: Mapping[str, Any]) -> None:
        """Keep `snapshot` for the browser `token`, instead of what was kept before.

        One that is larger than all the room there is leaves what was kept before.
        """
        with self._lock, suppress(ValueError):
            self._snapshots[token] = snapshot

    def recall(self, token: str) -> Mapping[str, Any]:
        """Return what is kept for the browser `token`; {} if nothing is."""
        with self._lock:
            return self._snapshots.get(token, {})

    def forget(self, token: str) -> None:
        """Drop what is kept for the browser `token`."""
        with self._lock:
            self._snapshots.pop(token, None)


class BrowserCookie:
    """ASGI middleware that gives a browser without a good token a new one, with the page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, and set the cookie on an HTML answer where it is missing."""
        if scope["type"] != "http" or browser_token(HTTPConnection(scope).cookies):
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _new_cookie(secure=scope["scheme"] == "https"))
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def browser_token(cookies: Mapping[str, str]) -> str:
    """Return the browser's token if this server minted it, else ''."""
    try:
        return _signer.unsign(cookies.get(COOKIE, "")).decode()
    except BadSignature:
        return ""


def _new_cookie(secure: bool) -> str:
    morsel = SimpleCookie({COOKIE: _signer.sign(secrets.token_urlsafe(24)).decode()})[COOKIE]
    morsel["path"] = "/"
    morsel["max-age"] = KEEP_SECONDS
    morsel["httponly"] = True
    morsel["secure"] = secure
    # With Strict, a click on another site would find a browser without its pictures.
    morsel["samesite"] = "Lax"
    return morsel.OutputString()


def _weight(snapshot: Mapping[str, Any]) -> int:
    pictures = [one["image"] for one in (*snapshot["attempts"], *snapshot["recent"])]
    return BYTES_PER_BROWSER + sum(len(image) for image in (*pictures, *snapshot["references"]))


browser_memory = BrowserMemory()
