"""What waits for somebody's decision: reviews, which two sides look at by one id."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic

from cachetools import TTLCache

from utils.backends import stand_in
from utils.review.records import Decision, Review

WAIT = timedelta(days=1)
# In seconds: a decision that nobody has taken in yet is kept for another day.
KEEP_SECONDS = 48 * 3600
KEEP_REVIEWS = 1_000


class Reviews:
    """Reviews by id. With a store its methods raise ConnectionError while that is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reviews: TTLCache[str, Review] = TTLCache(KEEP_REVIEWS, KEEP_SECONDS, monotonic)

    def ask(self, review: Review) -> bool:
        """Let a review wait for a decision; return whether it has not been asked before."""
        with self._lock:
            new = is_new(review, self._reviews.get(review.id))
            if new:
                self._reviews[review.id] = review
            return new

    def find(self, review_id: str) -> Review | None:
        """Return the review of this id; None if there is none, or not any more."""
        with self._lock:
            return self._reviews.get(review_id)

    def decide(self, review_id: str, number: int, decision: Decision) -> Decision | None:
        """Take in a decision; return the one that counts, which is the first.

        None where there is nothing to decide: the review is gone, or asks for something else by
        now.
        """
        with self._lock:
            decided = decide_once(self._reviews.get(review_id), number, decision)
            if decided is None:
                return None
            self._reviews[review_id] = decided
            return decided.decision

    def waiting(self) -> Sequence[Review]:
        """Return what waits for a decision, the newest first."""
        with self._lock:
            self._reviews.expire()
            return in_line(self._reviews.values())


def is_new(review: Review, known: Review | None) -> bool:
    """Return whether a review has not been asked yet, for this number of times."""
    return known is None or known.number < review.number


def decide_once(review: Review | None, number: int, decision: Decision) -> Review | None:
    """Return a review with the decision that counts: the first.

    None if it is about another, or came when nobody waited any more.
    """
    if review is None or review.number != number or (not review.decision and is_over(review)):
        return None
    return replace(review, decision=review.decision or decision)


def is_over(review: Review) -> bool:
    """Return whether a review has waited as long as it may."""
    return datetime.now(UTC) - datetime.fromisoformat(review.at) > WAIT


def in_line(reviews: Iterable[Review]) -> list[Review]:
    """Return those of the reviews that wait, the newest first."""
    open_ones = [one for one in reviews if not one.decision and not is_over(one)]
    return sorted(open_ones, key=lambda one: one.at, reverse=True)


reviews = stand_in(Reviews, "utils.shared.reviews:SharedReviews")
