"""How long jobs take on this server, learnt from its own recent ones."""

import threading
from collections import deque
from collections.abc import Hashable
from statistics import median

from cachetools import LRUCache

RECENT = 9

_lock = threading.Lock()
_seconds: LRUCache[Hashable, deque[float]] = LRUCache(256)


def note(kind: Hashable, seconds: float) -> None:
    """Take in that a job of this kind took so long; what is of no kind teaches nothing."""
    if kind is None:
        return
    with _lock:
        _seconds.setdefault(kind, deque(maxlen=RECENT)).append(seconds)


def expect(kind: Hashable) -> float | None:
    """Return how many seconds a job of this kind will probably take; None if none is known."""
    with _lock:
        recent = _seconds.get(kind)
        return median(recent) if recent else None


def share_done(elapsed: float, expected: float) -> float:
    """Return how much of a wait is over, 0 to below 1, after `elapsed` of `expected` seconds.

    Nine tenths when the expected time is up; the rest is never used up.
    """
    share = elapsed / expected
    return 0.9 * share if share <= 1 else 1 - 0.1 / share
