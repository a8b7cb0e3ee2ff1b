"""The connection to the store that all servers share, and what happens while it is away."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from utils.settings import store_address

logger = logging.getLogger(__name__)

PREFIX = "review:"
# In seconds. A page must not stand still for a store that does not answer.
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 3.0
# Who finds none of these free waits for one: a crowd at one moment is no store that is away.
CONNECTIONS = 32
# docket has one for each place, and fails without waiting where there is none.
DOCKET_CONNECTIONS = 1_000
# In seconds: as long as nothing has come by a connection before it is asked whether it is there.
HEALTH_SECONDS = 10
# In seconds, for which a store that is away is not asked again.
PAUSE = 1.0
# In seconds, for which an answer tells little of a store that has refused something: one that is
# full, or only read from, answers all that reads.
REFUSES = 10.0

Answer = TypeVar("Answer")
_away = {"since": 0.0, "until": 0.0, "back": 0.0, "refuses": 0.0}


class StoreAwayError(ConnectionError):
    """The store does not answer, or cannot take anything in now."""


@contextmanager
def asking() -> Iterator[None]:
    """Raise StoreAwayError where the store does not answer, at once where it was away just now."""
    if time.monotonic() < _away["until"]:
        raise StoreAwayError
    try:
        yield
    except RedisError as exc:
        note_away(exc)
        raise StoreAwayError from None
    note_back()


def ask(question: Callable[["redis.Redis"], Answer]) -> Answer:
    """Return the store's answer. Raises StoreAwayError as `asking` does."""
    with asking():
        return question(client())


def change(name: str, write: Callable[[Any], Answer]) -> Answer:
    """Return what `write` returns, which reads this key, calls `multi`, and then writes to it.

    However many servers do so at once: it is called again where another has written meanwhile.
    Raises StoreAwayError.
    """
    return ask(lambda store: cast("Any", store).transaction(write, name, value_from_callable=True))  # type: ignore[no-any-return]


def note_away(exc: Exception) -> None:
    """Take in that the store does not answer: the log says it once."""
    if not _away["since"]:
        _away["since"] = time.monotonic()
        logger.error("the store is away: %s", type(exc).__name__)
    if isinstance(exc, ResponseError):
        _away["refuses"] = time.monotonic() + REFUSES
    _away["until"] = time.monotonic() + PAUSE


def note_back() -> None:
    """Take in that the store answers: the log says it once, where it was away."""
    if time.monotonic() < _away["refuses"]:
        return
    if _away["since"]:
        seconds = time.monotonic() - _away["since"]
        logger.warning("the store is back after %.0f seconds", seconds)
        _away["back"] = time.monotonic()
    _away["since"] = _away["until"] = 0.0


def is_settled() -> bool:
    """Return whether the store has been there for so long that all who use it have found it."""
    return not _away["since"] and time.monotonic() - _away["back"] > ANSWER_SECONDS


@cache
def client() -> "redis.Redis":
    """Return the client of the threads."""
    options = _options(Retry(NoBackoff(), 1))
    pool = redis.BlockingConnectionPool.from_url(store_address(), **options)
    return redis.Redis.from_pool(pool)


def async_client() -> "redis.asyncio.Redis":
    """Return a client for one event loop."""
    from redis.asyncio.retry import Retry as AsyncRetry

    # Nobody stands still for what waits on a loop.
    options = _options(AsyncRetry(NoBackoff(), 1)) | {"timeout": 3 * ANSWER_SECONDS}
    pool = redis.asyncio.BlockingConnectionPool.from_url(store_address(), **options)
    return redis.asyncio.Redis.from_pool(pool)


def docket_address() -> str:
    """Return the store's address for docket, which makes its connections by that alone.

    redis takes connections that the store has closed for usable ones, and docket tells it nothing
    of trying again: what is handed out by such a one is lost for a lease. And one that a network
    has lost without a word is only found by asking: docket would read it for ever, and stop the
    loop.
    """
    address = store_address()
    options = (
        f"retry_on_timeout=true&max_connections={DOCKET_CONNECTIONS}"
        f"&health_check_interval={HEALTH_SECONDS}"
    )
    return f"{address}{'&' if '?' in address else '?'}{options}"


def can_connect() -> bool:
    """Return whether a connection can be made of the store's address; nothing is connected."""
    try:
        pool: Any = redis.asyncio.ConnectionPool.from_url(docket_address())
        pool.make_connection()
    except Exception:
        # redis raises whatever comes of an option that it hands on unseen.
        return False
    return True


def key(kind: str, name: str) -> str:
    """Return the store's key for something of a kind."""
    return f"{PREFIX}{kind}:{name}"


def _options(retry: object) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "retry": retry,
        "retry_on_error": [redis.exceptions.ConnectionError],
        "health_check_interval": HEALTH_SECONDS,
        "max_connections": CONNECTIONS,
        "timeout": ANSWER_SECONDS,
    }
