"""Fetching a picture that a server names by its address, without being led astray."""

import logging
from asyncio import get_running_loop, sleep, timeout
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import SOCK_STREAM, gaierror
from urllib.request import getproxies

from httpx2 import (
    URL,
    AsyncClient,
    ConnectError,
    ConnectTimeout,
    HTTPError,
    InvalidURL,
    Response,
)

from utils.images.errors import NO_PICTURE, NOT_FETCHED
from utils.images.pictures import MAX_BYTES
from utils.jobs.outcomes import FailedError

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 2 * MAX_BYTES
MAX_REDIRECTS = 3
# Where a network has no IPv4, RFC 6052: the last four bytes are an address of it.
NAT64 = ip_network("64:ff9b::/96")
FETCH_SECONDS = 60.0
# In seconds, before it is fetched again: a picture may be named before its server has it.
PAUSES = (1.0, 4.0)
TROUBLE = (HTTPError, InvalidURL, OSError, KeyError, ValueError, TypeError)


async def fetch_picture(url: str, address: str, key: str, http: AsyncClient) -> bytes:
    """Return what is behind `url`, absolute or relative to the API's `address`.

    What cannot be had is fetched again, which costs nothing. Raises FailedError that is not for
    another try: the picture has been paid for, and asking for it again would cost again. The `key`
    goes to the API's own origin alone.
    """
    try:
        async with timeout(FETCH_SECONDS):
            for pause in PAUSES:
                with suppress(HTTPError, gaierror):
                    return await _fetch(URL(address), url, key, http)
                await sleep(pause)
            return await _fetch(URL(address), url, key, http)
    except TROUBLE as exc:
        logger.warning("a picture could not be fetched: %s", type(exc).__name__)
    raise FailedError(NOT_FETCHED)


async def _fetch(api: URL, url: str, key: str, http: AsyncClient) -> bytes:
    target, is_led_by_api = api.join(url), True
    for _ in range(1 + MAX_REDIRECTS):
        hosts = await _allowed_hosts(target, api if is_led_by_api else None)
        # Where another server leads on to gets no key, and is not in the private network.
        is_led_by_api = is_led_by_api and _origin(target) == _origin(api)
        response = await _open(target, hosts, key if is_led_by_api else "", http)
        async with aclosing(response):
            if not response.is_redirect:
                response.raise_for_status()
                return await read_bounded(response)
            target = target.join(response.headers["location"])
    raise ValueError("redirected too often")


async def _open(target: URL, hosts: list[str], key: str, http: AsyncClient) -> Response:
    """Ask the first of the hosts that can be reached."""
    headers = {"Host": target.netloc.decode()}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    trouble: HTTPError = ConnectError("no address")
    for host in hosts:
        request = http.build_request(
            "GET",
            target.copy_with(host=host),
            headers=headers,
            extensions={"sni_hostname": target.host},
        )
        try:
            return await http.send(request, stream=True, follow_redirects=False)
        except (ConnectError, ConnectTimeout) as exc:
            trouble = exc
    raise trouble


async def read_bounded(response: Response) -> bytes:
    """Return a whole answer; raises FailedError where it is more than any picture needs."""
    async with aclosing(response.aiter_bytes()) as body:
        return b"".join([chunk async for chunk in bounded(body)])


async def bounded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield `chunks`; raises FailedError where they are more than any picture needs."""
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > MAX_ANSWER_BYTES:
            raise FailedError(NO_PICTURE)
        yield chunk


async def _allowed_hosts(target: URL, api: URL | None) -> list[str]:
    """Return what to connect to: the target's addresses, in the resolver's order.

    They are resolved once, so that they cannot change after the check. Where a proxy may be in
    between it is the target's name: the proxy resolves that anew, and may allow it by its name.
    Raises PermissionError where all addresses lead into the private network, unless to the `api`
    itself: a server's answer must not have this one fetch what only this one can reach.
    """
    if target.scheme not in ("http", "https"):
        raise PermissionError("not an address of the web")
    own = await _resolve(api) if api and _port(target) == _port(api) else []
    found = await _resolve(target)
    allowed = [one for one in found if one in own or is_public(one)]
    if found and not allowed:
        raise PermissionError("an address inside the private network")
    return [target.host] if _may_be_proxied(target) else allowed


def _may_be_proxied(url: URL) -> bool:
    """Return whether the HTTP client reads of a proxy for such addresses, by its own rules."""
    proxies = getproxies()
    is_off = "*" in (one.strip() for one in proxies.get("no", "").split(","))
    return not is_off and bool(proxies.get(url.scheme) or proxies.get("all"))


def is_public(text: str) -> bool:
    """Return whether an address is out in the web, and what it leads on to by IPv4 if it does."""
    address = ip_address(text)
    if not isinstance(address, IPv6Address):
        return address.is_global
    led_to = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        led_to.append(IPv4Address(int(address) & 0xFFFFFFFF))
    is_out = address.is_global and not address.is_site_local
    return is_out and all(one.is_global for one in led_to if one)


async def _resolve(url: URL) -> list[str]:
    try:
        found = await get_running_loop().getaddrinfo(url.host, _port(url), type=SOCK_STREAM)
    except gaierror:
        # The proxy may know names that this server does not.
        if _may_be_proxied(url):
            return []
        raise
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _port(url: URL) -> int:
    return url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


def _origin(url: URL) -> tuple[str, str, int]:
    return url.scheme, url.host, _port(url)
