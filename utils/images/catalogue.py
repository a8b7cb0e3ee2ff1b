"""Which image models a server lists, asked for once in a while and never waited for long."""

import threading
from concurrent.futures import Future

from cachetools import TTLCache

from utils.images.api import list_models
from utils.images.models import ListedModel
from utils.jobs.table import jobs
from utils.settings import Engine

KEEP_SECONDS = 600
PATIENCE = 1.0

_lock = threading.Lock()
_asked: TTLCache[object, Future[tuple[ListedModel, ...]]] = TTLCache(64, KEEP_SECONDS)


def listed_models(engine: Engine) -> tuple[ListedModel, ...]:
    """Return the image models that the engine's server lists; () where it does not say.

    Only who asks first waits, for a second at most; a late answer is there for the next run.
    """
    # A typed key is not kept here beyond its session, so only its hash tells servers apart.
    server = (engine.base_url, hash(engine.api_key))
    with _lock:
        answer = _asked.get(server)
        patience = 0.0 if answer else PATIENCE
        if answer is None:
            answer = _asked[server] = jobs.submit(list_models(engine))
    try:
        return answer.result(patience)
    except TimeoutError:
        return ()
