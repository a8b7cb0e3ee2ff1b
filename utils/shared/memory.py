"""What all servers together remember of each browser: snapshots in the store, as JSON."""

import logging
import threading
import time
from typing import Any, cast

from cachetools import TTLCache

from utils.review.blobs import blobs
from utils.review.memory import (
    KEEP_BROWSERS,
    KEEP_SECONDS,
    Snapshot,
    merge,
    names_in,
    pinned_in,
    waits,
)
from utils.review.moves import snapshot
from utils.review.store import Store
from utils.shared import codec
from utils.shared.blobs import SharedBlobs
from utils.shared.connection import StoreAwayError, ask, key

logger = logging.getLogger(__name__)

# In seconds: how often what only lies open is kept from being forgotten.
TOUCH_SECONDS = 600


class SharedMemory:
    """Snapshots of shared stores by owner. The methods are those of `BrowserMemory`."""

    def __init__(self) -> None:
        # Script threads share it.
        self._lock = threading.Lock()
        self._touched: TTLCache[str, bool] = TTLCache(KEEP_BROWSERS, TOUCH_SECONDS, time.monotonic)

    def remember(self, shared: Store) -> bool:
        """Merge what has changed in `shared` since the last time into what is remembered; return
        whether that could be done: the store may be away.
        """
        owner, base, mine = shared["owner"], shared["remembered"], snapshot(shared)
        with self._lock:
            if mine == base and owner in self._touched:
                return True
        try:
            room().send()
            gone = _merge_into(owner, base, mine)
        except StoreAwayError:
            return False
        room().let_go(gone)
        with self._lock:
            self._touched[owner] = True
        shared["remembered"] = mine
        return True

    def recall(self, owner: str) -> Snapshot:
        """Return what is remembered of `owner`; {} if nothing is. Raises StoreAwayError."""
        return _read(ask(lambda store: store.get(key("browser", owner))))


def room() -> SharedBlobs:
    """Return the table of blobs that servers share."""
    return cast("SharedBlobs", blobs)


def _merge_into(owner: str, base: Snapshot, mine: Snapshot) -> list[bytes]:
    """Write what `mine` adds, however many servers do so at once; return the names of the blobs
    that go with what it lets go."""
    name = key("browser", owner)

    def write(transaction: Any) -> None:
        theirs = _read(transaction.get(name))
        merged = mine if theirs == base else merge(theirs or base, base, mine)
        names, pinned = names_in(merged), pinned_in(merged)
        if base and not theirs:
            # The store has come back empty.
            room().send_again(owner, names)
        transaction.multi()
        transaction.set(name, codec.write_snapshot(merged), ex=KEEP_SECONDS)
        # In the same step: what another tab has got meanwhile would look like let go.
        room().hold_by(transaction, owner, names, pinned=pinned, waits=waits(merged))

    *_, gone = ask(lambda store: cast("Any", store).transaction(write, name))
    return cast("list[bytes]", gone)


def _read(text: object) -> Snapshot:
    if not isinstance(text, bytes):
        return {}
    try:
        return codec.read_snapshot(text)
    except ValueError as exc:
        # Of another version of this app: who has it begins anew.
        logger.warning("what was remembered cannot be read: %s", exc)
        return {}
