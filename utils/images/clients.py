"""The connections to the engines, shared by all calls of a loop, and the SDK's client upon them."""

from asyncio import AbstractEventLoop, get_running_loop, timeout
from contextlib import aclosing, suppress
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Any

from httpx2 import HTTPError, Request, Response, create_ssl_context
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit, Timeout

from utils.images.engines import TRANSPORTS
from utils.images.errors import NO_CLIENT
from utils.jobs.outcomes import FailedError
from utils.review.records import Engine
from utils.settings import get_settings

CONNECT_SECONDS = 10.0
# The telling words of an error stand at its beginning.
MAX_ERROR_BYTES = 64 * 1024
IN_PROCESS = "http://in-process.invalid/v1"


class HttpClient(DefaultAsyncHttpxClient):
    """An HTTP client that reads only the beginning of an error's body, and keeps no cookies.

    It follows no redirect, as the SDK's would: a server could have a prompt sent to an address that
    only this server can reach, and what is there shown as a picture.
    """

    def __init__(self, **options: Any) -> None:
        # All keys share the connections, so nothing may stay that tells one caller from another.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        super().__init__(cookies=no_cookies, follow_redirects=False, **options)

    async def send(self, request: Request, **options: Any) -> Response:
        """Send the request; the SDK would read what is no success to its end, however far it is."""
        response = await super().send(request, **options)
        return response if response.is_success else await _cut_short(response)


def api_client(engine: Engine, key: str) -> AsyncOpenAI:
    """Return the SDK's client for an engine; it is light, and its connections are shared."""
    settings = get_settings()
    return AsyncOpenAI(
        api_key=key or "none",
        organization=settings.openai_org_id,
        project=settings.openai_project_id,
        base_url=engine.address or IN_PROCESS,
        http_client=http_client(engine),
        max_retries=0,
    )


def headers(engine: Engine, key: str) -> dict[str, str | Omit]:
    """Return what a call to the engine says of who asks, where the SDK would say otherwise."""
    # A server without a key is sent none; the SDK would insist on one.
    named: dict[str, str | Omit] = {} if key else {"Authorization": Omit()}
    settings = get_settings()
    for name, value in (
        ("OpenAI-Organization", settings.openai_org_id),
        ("OpenAI-Project", settings.openai_project_id),
    ):
        # A person's own key belongs to neither, and for one that is blank the SDK sends a blank.
        if engine.own_key or not value:
            named[name] = Omit()
    return named


def http_client(engine: Engine) -> HttpClient:
    """Return the connections to an engine that the running loop's calls share."""
    return _shared(get_running_loop(), None if engine.address else engine.model)


@cache
def _shared(loop: AbstractEventLoop, model: str | None) -> HttpClient:
    limits = Timeout(get_settings().image_timeout, connect=CONNECT_SECONDS)
    if model:
        return HttpClient(transport=TRANSPORTS[model](), timeout=limits)
    try:
        return HttpClient(verify=_trusted(), timeout=limits)
    except Exception:
        # A proxy or a certificate fails in ways of many kinds.
        raise FailedError(NO_CLIENT) from None


@cache
def _trusted() -> SSLContext:
    """Read the certificates of this machine once: that takes 30 ms."""
    return create_ssl_context()


async def _cut_short(response: Response) -> Response:
    body = b""
    # The status says more than what breaks off behind it, or does not end.
    with suppress(HTTPError, TimeoutError):
        async with (
            timeout(CONNECT_SECONDS),
            aclosing(response),
            aclosing(response.aiter_bytes()) as chunks,
        ):
            async for chunk in chunks:
                body += chunk
                if len(body) > MAX_ERROR_BYTES:
                    break
    unpacked = [
        (name, value)
        for name, value in response.headers.raw
        if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
    ]
    return Response(
        response.status_code,
        headers=unpacked,
        content=body[:MAX_ERROR_BYTES],
        request=response.request,
    )
