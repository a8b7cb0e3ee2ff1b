"""What may be spent an hour and a day, by each person and by all; nothing is limited unless set.

The window of a limit begins with the first result in it. A limit counts what was asked of an
engine: a try that was cancelled or has failed counts as well.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cachetools import cached

from utils.settings import Settings, get_settings, store_address

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

logger = logging.getLogger(__name__)

EVERYBODY = "everybody"
TAKEN = "Somebody else has just taken what was left. In a moment there may be more."
UNREADABLE = "The server cannot read its limits now, and nothing was billed. Try again in a moment."
# A limit counts whole numbers: of results, and of thousandths of a dollar.
SCALE = {"pictures": 1, "dollars": 1000}
# In seconds: as exactly as a store says when a window ends.
ROUNDING = 1.0
# What stands in a count's name in place of its limit: one that is changed goes on counting.
UNCHANGED = 10**15


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
    """What has been spent, by owner: counted in this process, or by all servers together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, owner: str, dollars: float) -> None:
        """Count one result that is about to be asked for, and may cost so many dollars.

        Raises SpentError, and counts nothing, where a limit does not allow it.
        """
        with self._lock, _counter_there():
            # First counted and then looked at: servers that share the count know of each other.
            if self._count(owner, 1, dollars):
                self._count(owner, -1, -dollars)
                raise SpentError(self.refusal(owner, [dollars]) or TAKEN)

    def correct(self, owner: str, expected: float, dollars: float, began: float) -> None:
        """Count `dollars` in place of those that were `expected`.

        What was counted at `began` (time.time) is not given back to a window that began later.
        """
        # Of what was counted: the difference itself would be rounded once more.
        more = _counted("dollars", dollars) - _counted("dollars", expected)
        with self._lock, suppress(SpentError), _counter_there():
            self._count(owner, 0, more / SCALE["dollars"], began)

    def refusal(self, owner: str, dollars: Sequence[float]) -> str:
        """Return why results that may cost so much each may not be asked for now, as a sentence; ''
        where they may."""
        thousandths = sum(_counted("dollars", one) for one in dollars)
        wanted = {"pictures": len(dollars), "dollars": thousandths / SCALE["dollars"]}
        short = [one for one in self.left(owner) if one.many < wanted[one.limit.unit]]
        never = [one.limit for one in short if one.limit.most < wanted[one.limit.unit]]
        if never:
            return _too_much_in_words(min(never, key=lambda limit: limit.most))
        # The one that takes longest: before it, nothing of this can be had.
        worst = max(short, key=lambda one: one.seconds, default=None)
        return _refusal_in_words(worst) if worst else ""

    def left(self, owner: str) -> list[Left]:
        """Return what is left of each limit; nothing where the count cannot be read now."""
        try:
            with _counter_there():
                return [_left(limit, owner) for limit in limits(get_settings())]
        except SpentError:
            return []

    def _count(self, owner: str, pictures: int, dollars: float, began: float = math.inf) -> bool:
        """Count so much, and return whether it is more than a limit allows."""
        beyond = False
        counts = {"pictures": pictures, "dollars": dollars}
        for limit in limits(get_settings()):
            amount = _counted(limit.unit, counts[limit.unit])
            if amount < 0 and _window_began(limit, owner) > began + ROUNDING:
                continue
            if amount:
                item = _item(limit)
                key, storage = item.key_for(_whose(limit, owner)), _limiter().storage
                total = storage.incr(key, item.get_expiry(), amount)
                beyond |= total > _most(limit)
                if total < 0:
                    # What is given back was counted in a window that is over by now.
                    storage.incr(key, item.get_expiry(), -total)
        return beyond


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


def _counted(unit: str, many: float) -> int:
    """Return what a limit counts for so many of a unit."""
    # What a float adds to whole ones is none of them.
    exact = round(abs(many) * SCALE[unit], 6)
    # Away from zero, so that what is given back is what was counted.
    return int(math.copysign(math.ceil(exact), many))


def _left(limit: Limit, owner: str) -> Left:
    stats = _limiter().get_window_stats(_item(limit), _whose(limit, owner))
    seconds = max(0.0, stats.reset_time - time.time())
    left = max(0, _most(limit) - (UNCHANGED - stats.remaining))
    return Left(limit, left / SCALE[limit.unit], seconds)


def _window_began(limit: Limit, owner: str) -> float:
    """Return when the window of a limit began (time.time); infinity where none has."""
    item = _item(limit)
    ends = _limiter().get_window_stats(item, _whose(limit, owner)).reset_time
    return ends - item.get_expiry() if ends > time.time() else math.inf


def _too_much_in_words(limit: Limit) -> str:
    whose = "All together may" if limit.for_all else "You may"
    less = "fewer" if limit.unit == "pictures" else "fewer or cheaper ones"
    span = "an hour" if limit.span == "hour" else "a day"
    return f"{whose} ask for {_amount(limit.unit, limit.most)} {span}. Ask for {less}."


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
        # In cents a small sum could be nothing.
        places = f"{Decimal(str(many)):f}" if many < 1 else ""
        return f"${max(f'{many:.2f}', places, key=len)}"
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


def _most(limit: Limit) -> int:
    return max(1, round(limit.most * SCALE[limit.unit]))


def _item(limit: Limit) -> "RateLimitItem":
    from limits import RateLimitItemPerDay, RateLimitItemPerHour

    kind: Any = RateLimitItemPerHour if limit.span == "hour" else RateLimitItemPerDay
    namespace = f"{limit.unit}-{limit.for_all}"
    return kind(UNCHANGED, namespace=namespace)  # type: ignore[no-any-return]


# One, whoever is first: what another one had counted would be forgotten.
@cached({}, condition=threading.Condition())
def _limiter() -> "FixedWindowRateLimiter":
    # Imported where a limit is set: it takes 70 ms of the start.
    from limits.storage import MemoryStorage, RedisStorage
    from limits.strategies import FixedWindowRateLimiter

    address = store_address()
    if not address:
        return FixedWindowRateLimiter(MemoryStorage())
    from utils.shared import connection

    pool = connection.client().connection_pool
    return FixedWindowRateLimiter(RedisStorage(address, connection_pool=pool))


@contextmanager
def _counter_there() -> Iterator[None]:
    """Raise SpentError with a sentence where the count cannot be read or written now."""
    try:
        with _asking():
            yield
    except SpentError:
        raise
    except Exception as exc:
        logger.debug("the limits cannot be read: %s", type(exc).__name__)
        raise SpentError(UNREADABLE) from None


def _asking() -> AbstractContextManager[None]:
    if not store_address():
        return nullcontext()
    from utils.shared import connection

    # A store that is away holds nobody up twice: all who ask it know of each other.
    return connection.asking()


spending = Spending()
