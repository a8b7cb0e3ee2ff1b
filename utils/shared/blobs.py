"""The table of blobs in the store: the same as in one process, for all servers together.

A server keeps what it has had in hand near it, and what the store could not take in yet. How much
there may be in all is the store's own bound (`maxmemory`); a browser's share is the setting's.
"""

import hashlib
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from cachetools import TTLCache

from utils.review.blobs import UNNAMED_SECONDS, NoRoomError
from utils.settings import get_settings
from utils.shared.connection import StoreAwayError, ask, client, key

KEEP_SECONDS = 24 * 3600
# In seconds: as long as a store that is away takes no picture from a page that shows it.
NEAR_SECONDS = 3600

# An owner's things stand in a sorted set, by when they came; those that it has named, in a set,
# and those that it has pinned, in a set by how dear they are; and each blob has the set of its
# owners. A blob is a hash: its data, its versions and its weight.
_LIBRARY = """
local gone = {}
local function weight(name)
  return tonumber(redis.call('HGET', 'review:blob:' .. name, '.weight') or 0)
end
local function drop(owner, name)
  redis.call('ZREM', 'review:owned:' .. owner, name)
  redis.call('SREM', 'review:named:' .. owner, name)
  redis.call('ZREM', 'review:pinned:' .. owner, name)
  redis.call('SREM', 'review:owners:' .. name, owner)
  if redis.call('SCARD', 'review:owners:' .. name) == 0 then
    redis.call('DEL', 'review:blob:' .. name)
    table.insert(gone, name)
  end
end
local function own(owner, name, now, keep)
  redis.call('ZADD', 'review:owned:' .. owner, 'NX', now, name)
  redis.call('SADD', 'review:owners:' .. name, owner)
  redis.call('EXPIRE', 'review:owners:' .. name, keep)
  redis.call('EXPIRE', 'review:blob:' .. name, keep)
end
local function touch(owner, keep)
  redis.call('EXPIRE', 'review:owned:' .. owner, keep)
  redis.call('EXPIRE', 'review:named:' .. owner, keep)
  redis.call('EXPIRE', 'review:pinned:' .. owner, keep)
end
local function weight_of(owner)
  local total = 0
  for _, name in ipairs(redis.call('ZRANGE', 'review:owned:' .. owner, 0, -1)) do
    total = total + weight(name)
  end
  return total
end
"""

# KEYS: the blob. ARGV: owner, name, now, seconds to keep, share, then fields and values.
_PUT = (
    _LIBRARY
    + """
local owner, name, now, keep, share = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('EXISTS', KEYS[1]) == 0 then
  local total = 0
  for i = 6, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    total = total + #ARGV[i + 1]
  end
  redis.call('HSET', KEYS[1], '.weight', total)
end
own(owner, name, now, keep)
touch(owner, keep)
while weight_of(owner) > share do
  local lost, least = name, math.huge
  for _, one in ipairs(redis.call('ZRANGE', 'review:owned:' .. owner, 0, -1)) do
    local rank = 2 * tonumber(redis.call('ZSCORE', 'review:pinned:' .. owner, one) or 0)
      + 1 - redis.call('SISMEMBER', 'review:named:' .. owner, one)
    if one ~= name and rank < least then
      lost, least = one, rank
    end
  end
  drop(owner, lost)
end
return gone
"""
)

# ARGV: owner, now, seconds to keep, the time before which what is unnamed goes, how many are
# pinned, these, the dearest first, then the names.
_HOLD = (
    _LIBRARY
    + """
local owner, now, keep, late = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local first = 6 + tonumber(ARGV[5])
local named = {}
for i = first, #ARGV do named[ARGV[i]] = true end
for _, name in ipairs(redis.call('ZRANGE', 'review:owned:' .. owner, 0, -1)) do
  local since = tonumber(redis.call('ZSCORE', 'review:owned:' .. owner, name))
  if not named[name] and (
    redis.call('SISMEMBER', 'review:named:' .. owner, name) == 1 or since < late
  ) then
    drop(owner, name)
  end
end
for i = first, #ARGV do
  if redis.call('EXISTS', 'review:blob:' .. ARGV[i]) == 1 then
    own(owner, ARGV[i], now, keep)
    redis.call('SADD', 'review:named:' .. owner, ARGV[i])
  end
end
redis.call('DEL', 'review:pinned:' .. owner)
for i = 6, first - 1 do redis.call('ZADD', 'review:pinned:' .. owner, first - i, ARGV[i]) end
touch(owner, keep)
return gone
"""
)

_WEIGH = _LIBRARY + "return weight_of(ARGV[1])"
_FORGET = (
    _LIBRARY
    + """
for _, name in ipairs(redis.call('ZRANGE', 'review:owned:' .. ARGV[1], 0, -1)) do
  drop(ARGV[1], name)
end
return gone
"""
)


class SharedBlobs:
    """Bytes by the SHA-256 of themselves, in the store. The methods are those of `Blobs`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._near: TTLCache[tuple[str, str], bytes]
        self._near = TTLCache(self.bound, NEAR_SECONDS, getsizeof=len)
        self._unsent: dict[tuple[str, str], tuple[bytes, dict[str, bytes]]] = {}
        self._put, self._hold, self._weigh, self._forget = (
            client().register_script(text) for text in (_PUT, _HOLD, _WEIGH, _FORGET)
        )

    def put(self, owner: str, data: bytes, **versions: bytes) -> str:
        """Keep `data` for `owner`, with smaller `versions` of it, and return its name.

        Where the store is away it is kept here, and sent with `send`. Raises NoRoomError where it
        is larger than all that an owner may have.
        """
        if len(data) > self.share:
            raise NoRoomError
        name = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._unsent[owner, name] = (data, versions)
            self._bring_near(name, "", data)
            for version, smaller in versions.items():
                self._bring_near(name, version, smaller)
        with suppress(StoreAwayError):
            self.send()
        return name

    def send(self) -> None:
        """Send what the store has not taken in yet. Raises StoreAwayError."""
        # One after the other: each would send what all others are sending.
        with self._sending:
            for (owner, name), (data, versions) in list(self._unsent.items()):
                fields = [part for pair in ({"": data} | versions).items() for part in pair]
                told = [owner, name, time.time(), KEEP_SECONDS, self.share, *fields]
                keys = [key("blob", name)]
                self.let_go(ask(lambda _, keys=keys, told=told: self._put(keys, told)))  # type: ignore[misc]
                with self._lock:
                    self._unsent.pop((owner, name), None)

    def send_again(self, owner: str, names: Iterable[str]) -> None:
        """Send what is near of these: the store has lost all. Raises StoreAwayError."""
        with self._lock:
            near: dict[str, dict[str, bytes]] = {name: {} for name in names}
            for name, version in list(self._near):
                if name in near and (data := self._near.get((name, version))):
                    near[name][version] = data
            for name, versions in near.items():
                if data := versions.pop("", None):
                    self._unsent.setdefault((owner, name), (data, versions))
        self.send()

    def has_room(self, owner: str, size: int) -> bool:
        """Return whether `size` bytes more would push out nothing of the owner's."""
        try:
            return int(ask(lambda _: self._weigh([], [owner]))) + size <= self.share
        except StoreAwayError:
            # What waits for the store is in memory here.
            waiting = [
                len(data) for (whose, _), (data, _) in list(self._unsent.items()) if whose == owner
            ]
            return sum(waiting) + size <= self.share

    def get(self, name: str, version: str = "") -> bytes | None:
        """Return the bytes of this name, or a smaller version of them; None if they are gone."""
        with self._lock:
            data = self._near.get((name, version))
        if data is None:
            data = self._fetch(name, version)
            if data is None and version:
                return self.get(name)
            if data is not None:
                with self._lock:
                    self._bring_near(name, version, data)
        return data

    def missing(self, names: Iterable[str]) -> set[str]:
        """Return which of these are gone; none of those of which nothing can be said.

        What is near is not gone, though the store may have lost it.
        """
        with self._lock:
            here = {name for name, version in self._near if not version}
        here |= {name for _, name in list(self._unsent)}
        far = [name for name in names if name not in here]
        if not far:
            return set()
        try:
            there = ask(lambda store: _exist(store.pipeline(transaction=False), far))
        except StoreAwayError:
            return set()
        return {name for name, found in zip(far, there, strict=True) if not found}

    def hold(
        self, owner: str, names: Iterable[str], *, pinned: Sequence[str] = (), waits: bool = False
    ) -> None:
        """Say which things `owner` uses: what it named once and does not any more goes.

        So does what was never named, but not while the owner `waits` for something, or has put it
        here just now. What is `pinned`, the dearest first, makes room for others last. Raises
        StoreAwayError.
        """
        self.send()
        hold_by = partial(self.hold_by, pinned=pinned, waits=waits)
        self.let_go(ask(lambda store: hold_by(store, owner, names)))

    def hold_by(
        self, store: Any, owner: str, names: Iterable[str], *, pinned: Sequence[str], waits: bool
    ) -> Any:
        """Do so by a client of the store, or as one step of a transaction; return what goes."""
        now = time.time()
        late = 0.0 if waits else now - UNNAMED_SECONDS
        return self._hold([], [owner, now, KEEP_SECONDS, late, len(pinned), *pinned, *names], store)

    def let_go(self, gone: Iterable[bytes]) -> None:
        """Let go of what nobody has any more, by name; other servers do within NEAR_SECONDS."""
        names = {name.decode() for name in gone}
        if names:
            with self._lock:
                for near in [near for near in self._near if near[0] in names]:
                    del self._near[near]

    def forget(self, owner: str) -> None:
        """Drop all that `owner` has. Raises StoreAwayError."""
        self.let_go(ask(lambda _: self._forget([], [owner])))

    @property
    def weight(self) -> int:
        """How many bytes are near."""
        return int(self._near.currsize)

    @property
    def bound(self) -> int:
        """How many bytes may be near."""
        return get_settings().picture_memory * 1024 * 1024

    @property
    def share(self) -> int:
        """How many bytes one owner may have."""
        return self.bound // 4

    def _fetch(self, name: str, version: str) -> bytes | None:
        for (_, unsent), (data, versions) in list(self._unsent.items()):
            if unsent == name:
                return versions.get(version, data)
        try:
            return ask(lambda store: store.hget(key("blob", name), version))  # type: ignore[return-value]
        except StoreAwayError:
            return None

    def _bring_near(self, name: str, version: str, data: bytes) -> None:
        if len(data) <= self.bound:
            self._near[name, version] = data


def _exist(pipeline: redis.client.Pipeline, names: list[str]) -> list[int]:
    for name in names:
        pipeline.exists(key("blob", name))
    return pipeline.execute()
