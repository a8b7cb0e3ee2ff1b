"""What may be spent an hour and a day, by each person and by all; nothing is limited unless set.

The window of a limit begins with the first result in it. A limit counts what was asked of an
engine: a try that was cancelled or has failed counts as well.
"""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from utils.settings import Settings, get_settings

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

EVERYBODY = "everybody"
# A limit counts whole numbers: of results, and of thousandths of a dollar.
SCALE = {"pictures": 1, "dollars": 1000}


@dataclass(frozen=True)
class Limit:
    """At most so many of a `unit`, pictures or dollars, in a `span`, an hour or a day."""

    unit: str
    span: str
    for_all: bool
    most: float


@dataclass(frozen=True)
class Left:
    """What is left of a limit, and in how many seconds all of it is there again."""

    limit: Limit
    many: float
    seconds: float


class SpentError(ValueError):
    """A limit is reached; the text is a sentence for a person."""


class Spending:
    """What has been spent, by owner, counted in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, owner: str, dollars: float) -> None:
        """Count one result that is about to be asked for, and may cost so many dollars.

        Raises SpentError, and counts nothing, where a limit does not allow it.
        """
        with self._lock:
            if sentence := self.refusal(owner, 1, dollars):
                raise SpentError(sentence)
            self._count(owner, 1, dollars)

    def correct(self, owner: str, dollars: float) -> None:
        """Count so many dollars more than were expected, or less where they are negative."""
        with self._lock:
            self._count(owner, 0, dollars)

    def refusal(self, owner: str, pictures: int, dollars: float) -> str:
        """Return why so much may not be asked for now, as a sentence; '' where it may."""
        wanted = {"pictures": pictures, "dollars": dollars}
        short = [one for one in self.left(owner) if one.many < wanted[one.limit.unit]]
        # The one that takes longest: before it, nothing of this can be had.
        worst = max(short, key=lambda one: one.seconds, default=None)
        return _refusal_in_words(worst) if worst else ""

    def left(self, owner: str) -> list[Left]:
        """Return what is left of each limit."""
        return [_left(limit, owner) for limit in limits(get_settings())]

    def _count(self, owner: str, pictures: int, dollars: float) -> None:
        counts = {"pictures": pictures, "dollars": dollars}
        for limit in limits(get_settings()):
            amount = math.ceil(counts[limit.unit] * SCALE[limit.unit])
            if amount:
                item = _item(limit)
                key, storage = item.key_for(_whose(limit, owner)), _limiter().storage
                total = storage.incr(key, item.get_expiry(), amount)
                if total < 0:
                    # What is given back was counted in a window that is over.
                    storage.incr(key, item.get_expiry(), -total)


def limits(settings: Settings) -> Iterator[Limit]:
    """Yield the limits that are set."""
    for for_all in (False, True):
        for unit in SCALE:
            for span in ("hour", "day"):
                most = getattr(settings, f"limit_{'all_' if for_all else ''}{unit}_{span}")
                if most is not None:
                    yield Limit(unit, span, for_all, most)


def left_in_words(left: Sequence[Left]) -> str:
    """Return what is left, of each unit by the tightest limit, as a sentence; '' for no limit."""
    parts = []
    for unit in SCALE:
        of_unit = [one for one in left if one.limit.unit == unit]
        if of_unit:
            tightest = min(of_unit, key=lambda one: one.many)
            parts.append(f"{_amount(unit, tightest.many)} {_span(tightest.limit)}")
    return f"Left: {', '.join(parts)}." if parts else ""


def _left(limit: Limit, owner: str) -> Left:
    stats = _limiter().get_window_stats(_item(limit), _whose(limit, owner))
    seconds = max(0.0, stats.reset_time - time.time())
    return Left(limit, stats.remaining / SCALE[limit.unit], seconds)


def _refusal_in_words(left: Left) -> str:
    limit = left.limit
    whose = "All together have" if limit.for_all else "You have"
    left_of_it = _amount(limit.unit, left.many) if left.many else "nothing"
    return (
        f"{whose} {left_of_it} left of {_amount(limit.unit, limit.most)} {_span(limit)}. "
        f"In {_duration(left.seconds)} there is more."
    )


def _amount(unit: str, many: float) -> str:
    if unit == "dollars":
        return f"${many:.2f}"
    return "1 picture" if many == 1 else f"{many:.0f} pictures"


def _span(limit: Limit) -> str:
    span = "this hour" if limit.span == "hour" else "today"
    return f"{span} for all" if limit.for_all else span


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return "a minute" if minutes <= 1 else f"{minutes} minutes"
    return f"{math.ceil(minutes / 60)} hours"


def _whose(limit: Limit, owner: str) -> str:
    return EVERYBODY if limit.for_all else owner


def _item(limit: Limit) -> "RateLimitItem":
    from limits import RateLimitItemPerDay, RateLimitItemPerHour

    kind: Any = RateLimitItemPerHour if limit.span == "hour" else RateLimitItemPerDay
    namespace = f"{limit.unit}-{limit.for_all}"
    return kind(int(limit.most * SCALE[limit.unit]), namespace=namespace)  # type: ignore[no-any-return]


@cache
def _limiter() -> "FixedWindowRateLimiter":
    # Imported where a limit is set: it takes 70 ms of the start.
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    return FixedWindowRateLimiter(MemoryStorage())


spending = Spending()
