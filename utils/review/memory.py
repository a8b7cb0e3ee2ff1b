"""What the server remembers of each browser, so that a reload loses nothing.

Snapshots of a few kB by owner, which name what is in the table of blobs. Remembering is merging:
attempts and requests are only added by a tab, or removed by the tab that removed them, and with an
attempt that a tab has never seen comes all that was typed, marked and sorted out of it. Of all else
what was written last counts, whole.
"""

import threading
from collections.abc import Mapping, Sequence, Set
from time import monotonic
from typing import TypeVar, cast

from cachetools import TTLCache

from utils.backends import stand_in
from utils.review.blobs import blobs
from utils.review.choosing import MAX_ATTEMPTS
from utils.review.moves import snapshot
from utils.review.records import Attempt, Failure, Pending
from utils.review.store import Store

KEEP_SECONDS = 24 * 3600
KEEP_BROWSERS = 10_000

# What belongs to attempts, by their ids: what was typed and marked, and which were sorted out.
WORDS, SORTED_OUT = ("edits", "marks", "descriptions"), ("kept", "aside")

Snapshot = Mapping[str, object]
Record = TypeVar("Record", Attempt, Pending)


class BrowserMemory:
    """Snapshots of shared stores by owner."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshots = _Snapshots(KEEP_BROWSERS, KEEP_SECONDS)

    def remember(self, shared: Store) -> bool:
        """Merge `shared`, if it has changed since the last time, into what is remembered; return
        whether that could be done.

        A tab that only lies open changes nothing, but keeps its browser from being forgotten.
        """
        owner, base, mine = shared["owner"], shared["remembered"], snapshot(shared)
        with self._lock:
            theirs = self._snapshots.get(owner)
            if theirs and mine == base:
                # Twice in each turn: what is unchanged is held already.
                self._snapshots[owner] = theirs
            else:
                self._snapshots[owner] = merged = merge(theirs or base, base, mine)
                hold(owner, merged)
        shared["remembered"] = mine
        return True

    def recall(self, owner: str) -> Snapshot:
        """Return what is remembered of `owner`; {} if nothing is.

        Raises ConnectionError where that is in a store that is away.
        """
        with self._lock:
            return self._snapshots.get(owner, {})


class _Snapshots(TTLCache[str, Snapshot]):
    """Lets the blobs of an owner go with its snapshot.

    Visitors who have nothing here, however many, push out nobody who has: they are known by
    themselves, because to look for one among all would hold up every session.
    """

    def __init__(self, most: int, seconds: float) -> None:
        super().__init__(most, seconds, timer=monotonic)
        self._empty: dict[str, None] = {}

    def __setitem__(self, owner: str, snapshot: Snapshot) -> None:
        super().__setitem__(owner, snapshot)
        self._empty.pop(owner, None)
        if not names_in(snapshot) and not waits(snapshot):
            self._empty[owner] = None

    def popitem(self) -> tuple[str, Snapshot]:
        if self._empty:
            owner = next(iter(self._empty))
            del self._empty[owner]
            return owner, self.pop(owner)
        owner, snapshot = super().popitem()
        blobs.forget(owner)
        return owner, snapshot

    def expire(self, time: float | None = None) -> list[tuple[str, Snapshot]]:
        expired = super().expire(time)
        for owner, _ in expired:
            self._empty.pop(owner, None)
            blobs.forget(owner)
        return expired


def merge(theirs: Snapshot, base: Snapshot, mine: Snapshot) -> Snapshot:
    """Return `mine`, and what is in `theirs` that this tab has never seen.

    `base` is what this tab remembered last: what was in it and is no longer, the tab has removed.
    """
    attempts = [one for key in ("recent", "attempts") for one in _attempts(theirs, key)]
    unseen = _unseen(attempts, _kept(base), _kept(mine))
    waiting = _unseen(_pending(theirs), _pending(base), _pending(mine))
    late = _unseen(*[_pending(one, "late") for one in (theirs, base, mine)])
    costs = {key: cost for one in (theirs, mine) for key, cost in _costs(one).items()}
    new = {one.id for one in unseen}
    return {
        **theirs,
        **mine,
        **{key: {**_words(mine, key), **_words(theirs, key, new)} for key in WORDS},
        **{key: (*_ids(mine, key), *_ids(theirs, key, new)) for key in SORTED_OUT},
        # A reload would stop what other tabs wait for too.
        "stop": "" if waiting else mine.get("stop", ""),
        # What has just come in another tab goes last of all.
        "recent": (*_attempts(mine, "recent"), *unseen)[-MAX_ATTEMPTS:],
        "pending": (*waiting, *_pending(mine)),
        "late": (*late, *_pending(mine, "late")),
        "costs": costs,
    }


def hold(owner: str, snapshot: Snapshot) -> None:
    """Hold the blobs that a snapshot names, and let go of the others of its owner."""
    names, pinned = names_in(snapshot), pinned_in(snapshot)
    blobs.hold(owner, names, pinned=pinned, waits=waits(snapshot))


def waits(snapshot: Snapshot) -> bool:
    """Return whether something is still to come that a snapshot does not name yet."""
    return bool(_pending(snapshot))


def names_in(one: Snapshot) -> set[str]:
    """Return the names of all blobs that a snapshot needs."""
    names = {attempt.result.name for attempt in _kept(one)}
    wishes = [attempt.wish for attempt in _kept(one)]
    wishes += [pending.wish for pending in (*_pending(one), *_pending(one, "late"))]
    failures = cast("tuple[Failure, ...]", one.get("failures", ()))
    wishes += [failure.pending.wish for failure in failures]
    names |= {name for wish in wishes for name in wish.sources}
    references = cast("tuple[tuple[str, str], ...]", one.get("references", ()))
    return names | {name for name, _ in references}


def pinned_in(one: Snapshot) -> list[str]:
    """Return the names of the results that make room for others last, the dearest first: what a
    person has approved, keeps, or is looking at."""
    names = {attempt.id: attempt.result.name for attempt in _kept(one)}
    ids = [one.get("approved"), *_ids(one, "kept"), one.get("under_review")]
    return list(dict.fromkeys(names[str(name)] for name in ids if name in names))


def _unseen(
    theirs: Sequence[Record], base: Sequence[Record], mine: Sequence[Record]
) -> list[Record]:
    seen = {record.id for record in (*base, *mine)}
    return list({record.id: record for record in theirs if record.id not in seen}.values())


def _kept(one: Snapshot) -> tuple[Attempt, ...]:
    return (*_attempts(one, "recent"), *_attempts(one, "attempts"))


def _attempts(one: Snapshot, key: str) -> tuple[Attempt, ...]:
    return cast("tuple[Attempt, ...]", one.get(key, ()))


def _pending(one: Snapshot, key: str = "pending") -> tuple[Pending, ...]:
    return cast("tuple[Pending, ...]", one.get(key, ()))


def _words(one: Snapshot, key: str, of: Set[str] | None = None) -> dict[str, object]:
    words = cast("Mapping[str, object]", one.get(key, {}))
    return {name: text for name, text in words.items() if of is None or name in of}


def _ids(one: Snapshot, key: str, of: Set[str] | None = None) -> list[str]:
    ids = cast("tuple[str, ...]", one.get(key, ()))
    return [name for name in ids if of is None or name in of]


def _costs(one: Snapshot) -> Mapping[str, object]:
    return cast("Mapping[str, object]", one.get("costs", {}))


browser_memory = stand_in(BrowserMemory, "utils.shared.memory:SharedMemory")
