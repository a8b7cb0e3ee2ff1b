"""The one home of large things: each under its SHA-256, held by the browsers that use it.

A browser that stores more than its share loses its own oldest things, and where the whole table is
full, the browser that holds most does. What no page has fetched yet goes after all that one has,
and last of all what is pinned, such as what a person keeps.
"""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from utils.backends import stand_in
from utils.settings import get_settings

# Seconds in which whoever puts a thing here comes to name it.
UNNAMED_SECONDS = 60.0


class NoRoomError(Exception):
    """One thing alone is larger than a browser's share."""


@dataclass
class _Blob:
    data: bytes
    versions: dict[str, bytes] = field(default_factory=dict)
    owners: int = 0

    @property
    def weight(self) -> int:
        return len(self.data) + sum(map(len, self.versions.values()))


class Blobs:
    """Bytes by the SHA-256 of themselves. `owner` is any name for whoever uses them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._blobs: dict[str, _Blob] = {}
        # By owner, oldest first: since when a thing waits to be named, 0 once it has been.
        self._owned: dict[str, dict[str, float]] = {}
        self._pinned: dict[str, list[str]] = {}
        self._weight = 0

    def put(self, owner: str, data: bytes, **versions: bytes) -> str:
        """Keep `data` for `owner`, with smaller `versions` of it, and return its name.

        Raises NoRoomError where it is larger than all that an owner may have.
        """
        if len(data) > self.share:
            raise NoRoomError
        name = hashlib.sha256(data).hexdigest()
        with self._lock:
            blob = self._blobs.setdefault(name, _Blob(data, versions))
            things = self._owned.setdefault(owner, {})
            if name not in things:
                things[name] = monotonic()
                self._own(blob)
            self._make_room(owner, name)
        return name

    def has_room(self, owner: str, size: int) -> bool:
        """Return whether `size` bytes more would push out nothing of the owner's."""
        with self._lock:
            return self._weight_of(owner) + size <= self.share

    def get(self, name: str, version: str = "") -> bytes | None:
        """Return the bytes of this name, or a smaller version of them; None if they are gone."""
        with self._lock:
            blob = self._blobs.get(name)
            if blob is None:
                return None
            return blob.versions.get(version, blob.data)

    def missing(self, names: Iterable[str]) -> set[str]:
        """Return which of these are gone."""
        with self._lock:
            return {name for name in names if name not in self._blobs}

    def hold(
        self, owner: str, names: Iterable[str], *, pinned: Sequence[str] = (), waits: bool = False
    ) -> None:
        """Say which things `owner` uses: what it named once and does not any more goes.

        So does what was never named, as when a request is cancelled while its result is being
        put here; but not while the owner `waits` for something, or has put it here just now.
        What is `pinned`, the dearest first, makes room for others last.
        """
        named = set(names)
        late = 0.0 if waits else monotonic() - UNNAMED_SECONDS
        with self._lock:
            things = self._owned.get(owner, {})
            for name, unnamed_since in list(things.items()):
                if name in named:
                    things[name] = 0.0
                elif not unnamed_since or unnamed_since < late:
                    self._drop(owner, name)
            for name in named & self._blobs.keys() - things.keys():
                self._owned.setdefault(owner, things)[name] = 0.0
                self._own(self._blobs[name])
            if owner in self._owned:
                # The least dear first, as they are to go.
                self._pinned[owner] = list(reversed(pinned))

    def forget(self, owner: str) -> None:
        """Drop all that `owner` has."""
        with self._lock:
            for name in list(self._owned.get(owner, {})):
                self._drop(owner, name)

    @property
    def weight(self) -> int:
        """How many bytes there are in all."""
        return self._weight

    @property
    def bound(self) -> int:
        """How many bytes there may be in all."""
        return get_settings().picture_memory * 1024 * 1024

    @property
    def share(self) -> int:
        """How many bytes one owner may have."""
        return self.bound // 4

    def _own(self, blob: _Blob) -> None:
        self._weight += blob.weight * (not blob.owners)
        blob.owners += 1

    def _drop(self, owner: str, name: str) -> None:
        things = self._owned[owner]
        del things[name]
        if not things:
            del self._owned[owner]
            self._pinned.pop(owner, None)
        blob = self._blobs[name]
        blob.owners -= 1
        if not blob.owners:
            self._weight -= blob.weight
            del self._blobs[name]

    def _make_room(self, owner: str, new: str) -> None:
        while self._weight_of(owner) > self.share:
            self._drop(owner, self._oldest(owner, new))
        while self._weight > self.bound:
            heaviest = max(self._owned, key=self._weight_of)
            self._drop(heaviest, self._oldest(heaviest, new))

    def _weight_of(self, owner: str) -> int:
        return sum(self._blobs[name].weight for name in self._owned.get(owner, ()))

    def _oldest(self, owner: str, new: str) -> str:
        """Return what `owner` is to lose: its oldest thing, what it has not named yet after all
        others, and what it has pinned last."""
        things, pinned = self._owned[owner], self._pinned.get(owner, [])
        others = [name for name in things if name != new] or [new]
        free = [name for name in others if name not in pinned]
        free.sort(key=lambda name: bool(things[name]))
        return next(name for name in [*free, *pinned] if name in others)


blobs = stand_in(Blobs, "utils.shared.blobs:SharedBlobs")
