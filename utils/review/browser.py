"""The cookie by which a browser is known again: signed, HttpOnly, and minted by this server."""

import re
import secrets
import time
from collections.abc import Mapping
from hashlib import sha256
from http.cookies import SimpleCookie

from itsdangerous import BadSignature
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.settings import store_address
from utils.signing import signer

# Far longer than anything is remembered: a page may lie open, and be used, for days.
COOKIE_SECONDS = 30 * 24 * 3600

PURPOSE = "browser"
# How the token of a browser begins that another start of the server has known.
RETURNED = "returned-"
# And one of this server: the second in which it was minted, in hexadecimal figures.
MINTED = re.compile(r"([0-9a-f]+)\..+")
BEGAN = int(time.time())
FORGOTTEN = (
    "What was kept for you is not here any more: the server was restarted, or you were away for "
    "long. Begin anew."
)


class BrowserCookie:
    """ASGI middleware that sets the cookie, or renews it, on every answer for a page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(request, message):
                MutableHeaders(scope=message).append("set-cookie", _cookie_for(request))
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def browser_token(cookies: Mapping[str, str], host: str) -> str:
    """Return the token of the browser that asked `host`, '' for one that has none yet.

    A cookie that this server has not signed stands for a token too, which nobody can choose: a page
    that lies open while its server is restarted gets no new cookie, and must not lose what is made
    for it to the next reload, which does.
    """
    cookie = cookies.get(cookie_name(host), "")
    try:
        return signer(PURPOSE).unsign(cookie).decode()
    except BadSignature:
        # In a session without a browser, as a test has one, what stands for it is no text.
        known = isinstance(cookie, str) and cookie
        return f"{RETURNED}{sha256(known.encode()).hexdigest()}" if known else ""


def greeting(owner: str) -> str:
    """Return what an owner is told of whom nothing is remembered, '' for one who is new here."""
    minted = MINTED.fullmatch(owner)
    is_older = minted and int(minted[1], 16) < BEGAN and not store_address()
    return FORGOTTEN if is_older or owner.startswith(RETURNED) else ""


def cookie_name(host: str) -> str:
    """Return the cookie's name at `host`, with its port: a browser sends cookies to all ports."""
    port = host.rpartition(":")[2]
    return f"browser-{port}" if port.isdecimal() else "browser"


def _is_page(request: HTTPConnection, answer: Message) -> bool:
    """Return whether this answers a request for a page, also from the browser's own cache."""
    if answer["status"] == 304:
        return "text/html" in request.headers.get("accept", "")
    return Headers(raw=answer["headers"]).get("content-type", "").startswith("text/html")


def _cookie_for(request: HTTPConnection) -> str:
    host = request.headers.get("host", "")
    new = f"{int(time.time()):x}.{secrets.token_urlsafe(24)}"
    token = browser_token(request.cookies, host) or new
    morsel = SimpleCookie({cookie_name(host): signer(PURPOSE).sign(token).decode()})[
        cookie_name(host)
    ]
    morsel["path"] = "/"
    morsel["max-age"] = COOKIE_SECONDS
    morsel["httponly"] = True
    morsel["secure"] = request.url.scheme == "https"
    # With Strict, a click on another site would find a browser without its pictures.
    morsel["samesite"] = "Lax"
    return morsel.OutputString()
