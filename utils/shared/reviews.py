"""What waits for somebody's decision on any server: reviews in the store, as JSON."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from redis import Redis

from utils.review.records import Decision, Review
from utils.review.reviews import KEEP_REVIEWS, KEEP_SECONDS, decide_once, in_line, is_new
from utils.shared import codec
from utils.shared.connection import ask, change, key

# The ids of those that wait, by when they were asked.
LINE = key("reviews", "waiting")


class SharedReviews:
    """Reviews by id, in the store. The methods are those of `Reviews`."""

    def ask(self, review: Review) -> bool:
        """Let a review wait for a decision; return whether it has not been asked before."""
        asked = _change(review.id, lambda known: review if is_new(review, known) else None)
        return asked is not None

    def find(self, review_id: str) -> Review | None:
        """Return the review of this id; None if there is none, or not any more."""
        return _read(ask(lambda store: store.get(key("review", review_id))))

    def decide(self, review_id: str, number: int, decision: Decision) -> Decision | None:
        """Take in a decision; return the one that counts. See `Reviews.decide`."""
        decided = _change(review_id, lambda known: decide_once(known, number, decision))
        return decided.decision if decided else None

    def waiting(self) -> Sequence[Review]:
        """Return what waits for a decision, the newest first."""

        def read(store: Redis) -> list[Any]:
            ids = cast("list[bytes]", store.zrevrange(LINE, 0, KEEP_REVIEWS))
            names = [key("review", one.decode()) for one in ids]
            return cast("list[Any]", store.mget(names)) if names else []

        return in_line(review for review in map(_read, ask(read)) if review)


def _change(review_id: str, make: Callable[[Review | None], Review | None]) -> Review | None:
    """Write what `make` makes of a review, and return it; None where it makes nothing of it."""
    name = key("review", review_id)
    written: Review | None = None

    def write(transaction: Any) -> Review | None:
        nonlocal written
        before = _read(transaction.get(name))
        # Called again where the connection was lost with the answer: what is there may be this.
        after = written if written and written == before else make(before)
        transaction.multi()
        if after is None or after == before:
            return after
        written = after
        transaction.set(name, codec.write(after), ex=KEEP_SECONDS)
        if after.decision:
            transaction.zrem(LINE, review_id)
        else:
            transaction.zremrangebyscore(LINE, 0, _moment(after) - KEEP_SECONDS)
            transaction.zadd(LINE, {review_id: _moment(after)})
            transaction.expire(LINE, KEEP_SECONDS)
        return after

    return change(name, write)


def _moment(review: Review) -> float:
    return datetime.fromisoformat(review.at).timestamp()


def _read(text: object) -> Review | None:
    if not isinstance(text, bytes):
        return None
    try:
        return cast("Review", codec.read(text))
    except ValueError:
        # Of another version of this app.
        return None
