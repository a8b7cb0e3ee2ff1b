"""The attempts: which there are, which one is looked at, and what a person sorts out among them."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from itertools import count

import pybase64

from utils.jobs.table import jobs
from utils.review.blobs import blobs
from utils.review.interruptions import uninterrupted
from utils.review.records import Attempt
from utils.review.store import Store, by_key, clear_error

MAX_ATTEMPTS = 24


def find_attempt(shared: Store, attempt_id: str) -> Attempt:
    """Return the attempt of this id. Raises LookupError if there is none."""
    for attempt in shared["attempts"]:
        if attempt.id == attempt_id:
            return attempt
    raise LookupError("no attempt has this id")


def in_order(shared: Store) -> list[Attempt]:
    """Return the attempts as they stand in the strip: what is set aside at the end."""
    return sorted(shared["attempts"], key=lambda attempt: attempt.id in shared["aside"])


def asked(shared: Store) -> list[str]:
    """Return the ids of all that was asked for by the clicks that something is waited for of."""
    clicks = {pending.click for pending in shared["pending"]}
    waiting = [*shared["pending"], *(failure.pending for failure in shared["failures"])]
    ids = {pending.id for pending in waiting if pending.click in clicks}
    return sorted(ids | {one.id for one in shared["attempts"] if one.click in clicks})


def id_for(click: str, number: int, of: int) -> str:
    """Return the id of one result of a click: of the `number`th of so many.

    Another tab's click for the same is joined, and its result taken, but how it failed there before
    is no answer to who asks only now: they ask under the next number that is free.
    """
    ids = (f"{click}-{one}" for one in count(number, of))
    return next(one for one in ids if not jobs.has_failed(one))


@uninterrupted
def select(shared: Store, attempt_id: str) -> None:
    """Put an attempt under review, unless it has gone since."""
    if attempt_id not in [attempt.id for attempt in shared["attempts"]]:
        return
    shared["under_review"] = attempt_id
    shared["pick_round"] += 1
    write_base64(shared)


def pick_key(shared: Store) -> str:
    """Return the key of the strip: another one when what it shows as picked was not picked there.

    A page that has not heard of it yet would send the old pick with the next click, as a new one.
    """
    return f"picked-{shared['pick_round']}"


@uninterrupted
def pick(shared: Store, key: str, shown: str) -> None:
    """Put the attempt under review that was picked from the strip of this key.

    `shown` is what the strip shows as picked: a page that sends it once more has picked nothing.
    """
    picked, rounds = str(by_key(shared)[key]), shared["pick_round"]
    if picked == shown:
        return
    current = key == pick_key(shared)
    select(shared, picked)
    if current:
        shared["pick_round"] = rounds


@uninterrupted
def step(shared: Store, by: int) -> None:
    """Put the attempt `by` places further under review, past what is set aside.

    After the last comes the first.
    """
    here = shared["under_review"]
    ids = [one.id for one in shared["attempts"] if one.id == here or one.id not in shared["aside"]]
    if here in ids:
        select(shared, ids[(ids.index(here) + by) % len(ids)])


def look(shared: Store) -> bool:
    """Note that what is under review is on screen; return whether it has just come."""
    unseen = shared["unseen"]
    if shared["under_review"] not in unseen:
        return False
    shared["unseen"] = tuple(one for one in unseen if one != shared["under_review"])
    return True


@uninterrupted
def keep(shared: Store, attempt_id: str) -> None:
    """Keep an attempt whatever comes after it, or no more if it is kept."""
    shared["aside"] = _without(shared["aside"], attempt_id)
    shared["kept"] = _toggled(shared["kept"], attempt_id)


@uninterrupted
def set_aside(shared: Store, attempt_id: str) -> None:
    """Set an attempt aside, or take it back if it is: it is passed over, and the first to go."""
    shared["kept"] = _without(shared["kept"], attempt_id)
    shared["aside"] = _toggled(shared["aside"], attempt_id)


def add(shared: Store, attempts: Sequence[Attempt], shown: str) -> None:
    """Take in attempts that are not here, each with a number of its own, and put the one of this
    id under review."""
    together = {one.id: one for one in shared["attempts"]}
    for attempt in attempts:
        if attempt.id not in together:
            numbers = [one.number for one in together.values()]
            free = attempt.number not in numbers
            number = attempt.number if free else max(numbers) + 1
            together[attempt.id] = replace(attempt, number=number)
    if together:
        shared["attempts"] = bounded(shared, tuple(together.values()), shown)
    select(shared, shown)


@uninterrupted
def reopen(shared: Store, attempt_id: str) -> None:
    """Put one of the recent results under review, with all that was put away together with it."""
    together = shared["put_away"] if attempt_id in shared["put_away"] else (attempt_id,)
    found = {attempt.id: attempt for attempt in shared["recent"] if attempt.id in together}
    if attempt_id not in found:
        return
    clear_error(shared)
    add(shared, list(found.values()), attempt_id)
    shared["decision"] = "reopen"


def forget_gone(shared: Store) -> None:
    """Forget what was typed, marked and sorted out of attempts that are gone for good."""
    there = {one.id for one in (*shared["attempts"], *shared["recent"])}
    shared["edits"] = _only(there, shared["edits"])
    shared["marks"] = _only(there, shared["marks"])
    shared["descriptions"] = _only(there, shared["descriptions"])
    shared["kept"] = tuple(one for one in shared["kept"] if one in there)
    shared["aside"] = tuple(one for one in shared["aside"] if one in there)


@uninterrupted
def clear_recent(shared: Store) -> None:
    """Forget the recent results."""
    shared["recent"] = ()


def bounded(shared: Store, attempts: tuple[Attempt, ...], wanted: str = "") -> tuple[Attempt, ...]:
    """Drop the oldest where there are too many, of those that are set aside before all others.

    What is kept stays, and the result, what is under review, and all that one click has brought
    last; `wanted` is one more that does.
    """
    pinned = {*shared["kept"], shared["approved"], shared["under_review"], wanted}
    pinned |= {one.id for one in attempts if one.click == attempts[-1].click}
    free = [one.id for one in attempts if one.id not in pinned]
    free.sort(key=lambda one: one not in shared["aside"])
    gone = free[: max(0, len(attempts) - MAX_ATTEMPTS)]
    return tuple(one for one in attempts if one.id not in gone)


def write_base64(shared: Store) -> None:
    """Write what is under review, and what is approved, as base64 for a reader of the store."""
    names = {attempt.id: attempt.result.name for attempt in shared["attempts"]}
    shared["generated_image"] = _base64(names.get(shared["under_review"], ""))
    if shared["approved"] == shared["under_review"]:
        shared["final_result"] = shared["generated_image"]
    else:
        shared["final_result"] = _base64(names.get(shared["approved"], ""))


def still_there(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """Return those of the attempts whose results are in the table of blobs."""
    gone = blobs.missing([one.result.name for one in attempts])
    return tuple(one for one in attempts if one.result.name not in gone)


def _base64(name: str) -> str:
    return pybase64.b64encode(blobs.get(name) or b"").decode()


def _only(ids: Set[str], words: Mapping[str, str]) -> dict[str, str]:
    return {one: text for one, text in words.items() if one in ids}


def _toggled(ids: tuple[str, ...], attempt_id: str) -> tuple[str, ...]:
    return _without(ids, attempt_id) if attempt_id in ids else (*ids, attempt_id)


def _without(ids: tuple[str, ...], attempt_id: str) -> tuple[str, ...]:
    return tuple(one for one in ids if one != attempt_id)
