"""Which image models a server lists, asked for once in a while and never waited for long."""

import threading
from collections.abc import Hashable
from concurrent.futures import CancelledError, Future

from cachetools import TTLCache

from utils.images import engines
from utils.images.api import list_models
from utils.images.models import ListedModel
from utils.jobs.table import jobs
from utils.review.records import Engine

KEEP_SECONDS = 600
# A server that gave no list may do so soon: it starts, or its key is being set right.
FAILED_SECONDS = 30
PATIENCE = 1.0

_lock = threading.Lock()
_asked: TTLCache[Hashable, Future[tuple[ListedModel, ...] | None]] = TTLCache(64, KEEP_SECONDS)
_failed: TTLCache[Hashable, bool] = TTLCache(64, FAILED_SECONDS)


def listed_models(engine: Engine, key: str) -> tuple[ListedModel, ...] | None:
    """Return the image models that the engine's server lists; () where it does not say.

    None where the answer is still to come: only who asks first waits for it, for a second at most.
    `key` is the one that the person typed, '' for none.
    """
    server = _server(engine, key)
    with _lock:
        if server in _failed:
            return ()
        answer = _asked.get(server)
        patience = 0.0 if answer else PATIENCE
        if answer is None:
            answer = _asked[server] = jobs.submit(list_models(engine, key))
    try:
        listed = answer.result(patience)
    except TimeoutError:
        return None
    except CancelledError:
        listed = None
    if listed is None:
        with _lock:
            _failed[server] = True
            _asked.pop(server, None)
    return listed or ()


def has_listed(engine: Engine, key: str) -> bool:
    """Return whether the engine's server has listed a model; it is not asked for this."""
    with _lock:
        answer = _asked.get(_server(engine, key))
    return bool(answer and answer.done() and not answer.cancelled() and answer.result())


def _server(engine: Engine, key: str) -> Hashable:
    # A typed key is not kept here beyond its session, so only its hash tells servers apart.
    return (engine.address, engine.model, hash(engines.key_for(engine, key)))
