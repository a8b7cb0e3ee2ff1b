"""Fetching a picture that a server names by its address, without being led astray."""

import logging
from asyncio import get_running_loop, timeout
from collections.abc import AsyncIterator
from contextlib import aclosing
from ipaddress import ip_address
from socket import SOCK_STREAM

from httpx2 import URL, AsyncClient, HTTPError, InvalidURL

from utils.images.errors import NO_PICTURE, NOT_FETCHED, ImageError
from utils.images.pictures import MAX_BYTES, encode
from utils.settings import Engine

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 2 * MAX_BYTES
MAX_REDIRECTS = 3
FETCH_SECONDS = 60.0


async def fetch_picture(url: str, engine: Engine, http: AsyncClient) -> str:
    """Return what is behind `url`, absolute or relative to the engine's server, as base64.

    Raises ImageError that is not for another try: the picture has been paid for, and asking for
    it again would cost again.
    """
    try:
        async with timeout(FETCH_SECONDS):
            return await _fetch(URL(engine.base_url or ""), url, engine.api_key, http)
    except (HTTPError, InvalidURL, OSError, KeyError, ValueError, TypeError) as exc:
        logger.warning("a picture could not be fetched: %s", type(exc).__name__)
        raise ImageError(NOT_FETCHED) from None


async def _fetch(api: URL, url: str, api_key: str | None, http: AsyncClient) -> str:
    target = api.join(url)
    for _ in range(1 + MAX_REDIRECTS):
        headers = {"Host": target.netloc.decode()}
        if api_key and _origin(target) == _origin(api):
            headers["Authorization"] = f"Bearer {api_key}"
        request = http.build_request(
            "GET",
            target.copy_with(host=await _allowed_address(target, api)),
            headers=headers,
            extensions={"sni_hostname": target.host},
        )
        response = await http.send(request, stream=True, follow_redirects=False)
        async with aclosing(response):
            if not response.is_redirect:
                response.raise_for_status()
                chunks = [chunk async for chunk in bounded(response.aiter_bytes())]
                return encode(b"".join(chunks))
            target = target.join(response.headers["location"])
    raise ValueError("redirected too often")


async def bounded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield `chunks`; raises ImageError where they are more than any picture needs."""
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > MAX_ANSWER_BYTES:
            raise ImageError(NO_PICTURE)
        yield chunk


async def _allowed_address(target: URL, api: URL) -> str:
    """Return the address to connect to, resolved once, so that it cannot change after the check.

    Raises PermissionError where it leads into the private network, unless to the API itself: a
    server's answer must not have this one fetch what only this one can reach.
    """
    if target.scheme not in ("http", "https"):
        raise PermissionError("not an address of the web")
    addresses = await _resolve(target)
    own = await _resolve(api) if _port(target) == _port(api) else set()
    if not all(address in own or ip_address(address).is_global for address in addresses):
        raise PermissionError("an address inside the private network")
    return min(addresses)


async def _resolve(url: URL) -> set[str]:
    found = await get_running_loop().getaddrinfo(url.host, _port(url), type=SOCK_STREAM)
    return {str(address[0]) for *_, address in found}


def _port(url: URL) -> int:
    return url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


def _origin(url: URL) -> tuple[str, str, int]:
    return url.scheme, url.host, _port(url)
