"""How a person is asked to decide, and what becomes of it: the moves of both sides.

One side asks, by a session of its own; others look at the review by its link, and the first who
decides has decided. The wait is a call like any other, but costs nothing and holds no place.
"""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import cast

from utils.jobs.outcomes import (
    CANCELLED,
    FORGOTTEN,
    NOBODY,
    STORE_AWAY,
    WITHDRAWN,
    FailedError,
    Problem,
)
from utils.jobs.table import Call, OnPartial
from utils.review import boxes, choosing, moves
from utils.review.interruptions import uninterrupted
from utils.review.memory import browser_memory
from utils.review.records import Decision, Pending, Review, review_owner, reviewed_by
from utils.review.reviews import is_over, reviews
from utils.review.store import Store, by_key, clear_error
from utils.review.webhook import tell
from utils.settings import get_settings

KIND = "person"
APPROVED, DECLINED, WITHDRAWAL, OVER = "approved", "declined", "withdrawn", "over"
# The keys of the boxes: what it is for, and a word to those who asked.
PURPOSE, WORDS = "purpose", "words"
# In characters.
LONGEST = 300
# In seconds: how often somebody who waits looks whether there is a decision.
LOOK = 1.0
AWAY = "Your decision could not be written down just now. Try again in a moment."
GONE = "This request does not wait any more. Whoever sent you the link can ask again."
ASKED_ANEW = Problem(
    "asked anew", "Somebody else has asked anew under the same link. Open it to see what for."
)
ANEW = "This was asked anew just now. Look at what is asked for, and decide about that."


def home(review_id: str, own: str, shown: str = "") -> str:
    """Return whose things a page shows that was opened for a review: its own where there is none.

    `own` is the owner that the page has otherwise, and `shown` whose things it shows by now, if it
    shows any: while nothing can be said of the review, it goes on with them.
    """
    try:
        known = bool(review_id) and reviews.find(review_id) is not None
    except ConnectionError:
        return shown or review_owner(review_id)
    return review_owner(review_id) if known else own


@uninterrupted
def leave(shared: Store) -> None:
    """Let the session be somebody else's from now on; what was typed last stays with its owner."""
    if "remembered" in shared:
        # Nothing is begun where the person has just gone.
        shared["clicked"], shared["aimed_at"] = ("", ""), ""
        moves.forget_decision(shared)
        browser_memory.remember(shared)
    moves.empty(shared)


def miss(shared: Store) -> None:
    """Say that what the page was opened for is not known."""
    shared["error_message"] = GONE


def visits(shared: Store) -> bool:
    """Return whether this session looks at a review by its link."""
    return bool(reviewed_by(shared["owner"]))


def may_decide(shared: Store) -> bool:
    """Return whether a decision of this session about a review would count."""
    return visits(shared) and not shared["agent"] and shared["answer"] is None


def is_decided(shared: Store) -> bool:
    """Return whether what this session looks at was decided already."""
    return visits(shared) and shared["answer"] is not None


@uninterrupted
def ask(shared: Store, link: str) -> None:
    """Ask a person to decide about the attempts; `link` is where a review is, without its id."""
    purpose = _one_line(by_key(shared).get(PURPOSE) or shared["asked_for"])
    boxes.keep_widgets(shared)
    clear_error(shared)
    shared["asked_for"] = purpose
    if shared["pending"] or shared["stop"] or not shared["under_review"]:
        return
    if not purpose:
        shared["error_message"] = "Say first what it is for: a few words are enough."
        return
    try:
        review_id, number = _next(shared)
        review = Review(
            review_id,
            number,
            purpose,
            shared["attempts"],
            shared["under_review"],
            moves.now(),
            shared["person"],
            f"{link}{review_id}",
        )
        _open(review)
    except ConnectionError:
        shared["error_message"] = STORE_AWAY.sentence
        return
    shared["review"], shared["round"] = review.id, review.number
    shared["answer"], shared["listens"] = None, False
    shared["pending"] = (_pending(review),)
    shared["decision"] = "ask a person"


@uninterrupted
def listen(shared: Store) -> None:
    """Wait from now on, and do not only look: also where another session has asked."""
    if visits(shared) and not shared["pending"]:
        review = _find(shared["review"])
        if review is None:
            shared["error_message"] = GONE
            return
        shared["pending"] = (_pending(review),)
    shared["listens"] = True


def may_listen(shared: Store) -> bool:
    """Return whether there is a decision to wait for that nobody here waits for."""
    waits_there = visits(shared) and shared["answer"] is None and not shared["pending"]
    return rests(shared) or waits_there


def rests(shared: Store) -> bool:
    """Return whether nobody waits for what is pending: an agent gets the link at once, and says
    itself when it has the time to wait for the decision."""
    return shared["agent"] and not shared["listens"] and bool(asked_reviews(shared))


def asked_reviews(shared: Store) -> list[Review]:
    """Return what this session has asked a person for, and waits for."""
    return [one.review for one in shared["pending"] if one.review]


def wait_for_person(review: Review) -> Call:
    """Return the call that ends with the Decision that counts about what was asked."""

    async def call(on_partial: OnPartial) -> Decision:
        while True:
            try:
                found = await asyncio.to_thread(reviews.find, review.id)
            except ConnectionError:
                found = review
            if found is None:
                raise FailedError(FORGOTTEN)
            if found.number != review.number:
                raise FailedError(ASKED_ANEW)
            if found.decision:
                return found.decision
            if is_over(found):
                raise FailedError(NOBODY)
            await asyncio.sleep(LOOK)

    return call


def waits(shared: Store) -> tuple[Pending, ...]:
    """Return what this session waits for and may stop: what others have asked is none of it."""
    return tuple(one for one in shared["pending"] if not (one.review and visits(shared)))


def listen_no_more(shared: Store) -> None:
    """Wait no more for what others have asked; it goes on all the same."""
    if visits(shared):
        moves.clear_settled(shared, [one.id for one in shared["pending"] if one.review])


def withdraw(review: Review) -> None:
    """Ask nobody any more, unless somebody has decided already.

    While the store is away nobody is told: a decision that comes then finds nobody who waits.
    """
    with suppress(ConnectionError):
        _decide(review.id, review.number, Decision(WITHDRAWAL))


def outcome(review: Review, ended_with: object) -> object:
    """Return how the wait for a person has ended whose job `ended_with` this: a decision counts,
    also one that came just before it was withdrawn."""
    found = _find(review.id)
    decision = found.decision if found and found.number == review.number else None
    if decision and decision.kind != WITHDRAWAL:
        return decision
    is_cancelled = getattr(ended_with, "kind", "") == CANCELLED.kind
    return WITHDRAWN if decision or is_cancelled else ended_with


def exists(review: Review) -> bool:
    """Return whether a review that was asked for is still known."""
    try:
        return reviews.find(review.id) is not None
    except ConnectionError:
        return True


def receive(shared: Store, decision: Decision) -> None:
    """Take in what a person has decided about what this session has asked."""
    shared["answer"] = decision
    if shared["agent"]:
        shared["allowance"] = get_settings().agent_pictures
    if _take_approval(shared, decision):
        moves.enter(shared, "final")


def look(shared: Store) -> bool:
    """Take in what has become of the review that this session looks at; return whether it is
    something else than before."""
    review_id = reviewed_by(shared["owner"])
    if not review_id:
        return False
    review = _find(review_id)
    if review is None or review.number < shared["round"]:
        return False
    answer = review.decision or (Decision(OVER) if is_over(review) else None)
    is_news = (review.number, answer) != (shared["round"], shared["answer"])
    if is_news:
        _take_news(shared, review, answer)
    if shared["agent"] and _is_there(shared, shared["approved"]):
        # Others who look may be at another stage, and share the memory.
        moves.enter(shared, "final")
    return is_news


@uninterrupted
def _take_news(shared: Store, review: Review, answer: Decision | None) -> None:
    if review.number > shared["round"]:
        take(shared, review)
    if answer:
        _take_approval(shared, answer)
        # Last, because it is no news from then on.
        shared["answer"] = answer


def _is_there(shared: Store, attempt_id: str) -> bool:
    """Return whether an attempt is among this session's, and its result still kept."""
    found = [one for one in shared["attempts"] if one.id == attempt_id]
    return bool(choosing.still_there(found))


def _take_approval(shared: Store, decision: Decision) -> bool:
    """Take in what was approved, if anything was; return whether."""
    if decision.approval is None:
        return False
    choosing.add(shared, decision.approval.attempts, decision.approved)
    moves.settle_on(shared, decision.approved, decision.approval)
    return True


def take(shared: Store, review: Review) -> None:
    """Take in what is asked for."""
    shared["review"], shared["round"] = review.id, review.number
    shared["asked_for"], shared["answer"] = review.purpose, review.decision
    shared["approved"], shared["approval"] = "", None
    choosing.add(shared, review.attempts, review.shown)
    moves.enter(shared, "user_feedback")


@uninterrupted
def approve(shared: Store, attempt_id: str) -> None:
    """Approve an attempt; where others asked for it, if nobody has decided before."""
    if not visits(shared):
        # Of a click on Ask a person in the same breath: who is asked decides.
        if not asked_reviews(shared):
            # What somebody else has said before is about another approval.
            shared["answer"] = None
            moves.approve(shared, attempt_id)
        return
    if not may_decide(shared):
        return
    approval = moves.approval_now(shared)
    mine = Decision(APPROVED, "", shared["person"], attempt_id, approval)
    if _answer(shared, mine):
        moves.approve(shared, attempt_id, approval)


@uninterrupted
def decline(shared: Store) -> None:
    """Decline what was asked for, with a word to whoever did."""
    words = _one_line(by_key(shared).get(WORDS) or "")
    if may_decide(shared) and not shared["pending"]:
        _answer(shared, Decision(DECLINED, words, shared["person"]))


def _one_line(words: object) -> str:
    """Return what somebody has written for others, cut to what there is room for.

    A program may send line breaks, and what follows one would look like a sentence of the page.
    """
    return " ".join(str(words).split())[:LONGEST]


def _pending(review: Review) -> Pending:
    """Return what a session waits for that waits for this: one job for all of them."""
    wish = next(one.wish for one in review.attempts if one.id == review.shown)
    return Pending(f"{review.id}-{review.number}", review.id, wish, KIND, review)


def _next(shared: Store) -> tuple[str, int]:
    """Return the id of what is asked next, and for which time it is asked.

    Another tab of this browser may have asked anew under the link of this one: what it is told is
    no answer to this. Raises ConnectionError.
    """
    known = reviews.find(shared["review"]) if shared["review"] else None
    if shared["review"] and (known is None or known.number == shared["round"]):
        return shared["review"], shared["round"] + 1
    return secrets.token_urlsafe(16), 1


def _answer(shared: Store, mine: Decision) -> bool:
    """Decide; return whether that counts, and take in what does."""
    clear_error(shared)
    try:
        counts = _decide(shared["review"], shared["round"], mine)
    except ConnectionError:
        shared["error_message"] = AWAY
        return False
    if counts is None:
        review = _find(shared["review"])
        asked_anew = review is not None and review.number > shared["round"]
        shared["error_message"] = ANEW if asked_anew else GONE
        return False
    _take_approval(shared, counts)
    # Last, because it is no news from then on.
    shared["answer"] = counts
    if counts != mine:
        shared["error_message"] = f"Somebody was faster than you: this is {counts.kind} already."
    return counts == mine


def _find(review_id: str) -> Review | None:
    """Return the review of this id; None if there is none, or nobody can say so now."""
    try:
        return reviews.find(review_id)
    except ConnectionError:
        return None


def _decide(review_id: str, number: int, decision: Decision) -> Decision | None:
    counts = reviews.decide(review_id, number, decision)
    # Decided it is, whether or not it can be read again.
    with suppress(ConnectionError):
        review = reviews.find(review_id)
        # This one, and not another that says the same.
        if counts is decision and review:
            tell(review)
    return counts


def _open(review: Review) -> None:
    """Let a review wait. Raises ConnectionError where that cannot be written down now."""
    # First what people find, and then that there is something.
    place = cast("Store", {})
    moves.begin(place, browser_memory.recall(review.owner), lambda _: True, {}, review.owner)
    take(place, replace(review, decision=None))
    if not browser_memory.remember(place):
        raise ConnectionError
    if reviews.ask(review):
        tell(review)
