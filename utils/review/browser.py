"""The cookie by which a browser is known again: signed, HttpOnly, and minted by this server."""

import secrets
from collections.abc import Mapping
from http.cookies import SimpleCookie

from itsdangerous import BadSignature
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.signing import signer

# Far longer than anything is remembered: a page may lie open, and be used, for days.
COOKIE_SECONDS = 30 * 24 * 3600

# Whoever signs with another key is nobody: only tokens that this server minted are good.
PURPOSE = "browser"


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
    """Return the token of the browser that asked `host`, if this server minted it, else ''."""
    try:
        return signer(PURPOSE).unsign(cookies.get(cookie_name(host), "")).decode()
    except BadSignature:
        return ""


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
    token = browser_token(request.cookies, host) or secrets.token_urlsafe(24)
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
