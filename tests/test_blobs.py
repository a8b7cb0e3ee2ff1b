import hashlib
import time
from typing import cast

import pytest

from utils.review.blobs import Blobs, NoRoomError
from utils.shared.blobs import SharedBlobs

BOUND = 400
SHARE = 100


@pytest.fixture
def local_blobs(monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """A table of 400 bytes, of which each owner may have 100."""
    monkeypatch.setattr(Blobs, "bound", BOUND)
    return Blobs()


@pytest.fixture(params=["here", "shared"])
def blobs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """Both tables: what is promised of one is promised of the other."""
    if request.param == "here":
        return cast("Blobs", request.getfixturevalue("local_blobs"))
    request.getfixturevalue("shared_store")
    monkeypatch.setattr(SharedBlobs, "bound", BOUND)
    return cast("Blobs", SharedBlobs())


def fill(blobs: Blobs, owner: str, *numbers: int, size: int = 40) -> list[str]:
    return [blobs.put(owner, f"{owner}{number}".encode().ljust(size)) for number in numbers]


def there(blobs: Blobs, *names: str) -> list[bool]:
    """Which of these are there, for whoever comes to ask: not only near one server."""
    table = blobs if isinstance(blobs, Blobs) else SharedBlobs()
    gone = table.missing(names)
    assert not gone or not isinstance(blobs, Blobs) or not any(map(blobs.get, gone))
    return [name not in gone for name in names]


def test_a_thing_is_kept_once_under_its_sha_256(blobs: Blobs) -> None:
    name = blobs.put("a", b"fox", thumbnail=b"f")
    assert name == hashlib.sha256(b"fox").hexdigest()
    assert blobs.put("b", b"fox") == name
    assert blobs.put("a", b"fox") == name
    assert blobs.weight == 4
    assert (blobs.get(name), blobs.get(name, "thumbnail")) == (b"fox", b"f")
    assert blobs.get(name, "no such version") == b"fox"
    assert blobs.get("no such name") is None


def test_what_its_last_owner_does_not_use_any_more_goes(blobs: Blobs) -> None:
    name = blobs.put("a", b"fox")
    blobs.put("b", b"fox")
    blobs.hold("a", [name])
    blobs.hold("b", [name])
    blobs.hold("a", [])
    assert there(blobs, name) == [True]
    blobs.hold("b", [])
    assert there(blobs, name) == [False]
    assert not isinstance(blobs, Blobs) or blobs.weight == 0


def test_what_has_just_arrived_stays_until_its_owner_knows_it(blobs: Blobs) -> None:
    name = blobs.put("a", b"fox")
    blobs.hold("a", [])
    assert there(blobs, name) == [True]
    blobs.hold("a", [name])
    blobs.hold("a", [])
    assert there(blobs, name) == [False]


@pytest.mark.parametrize(
    ("seconds", "waits", "stays"), [(59, False, True), (61, True, True), (61, False, False)]
)
def test_what_nobody_ever_names_goes(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, seconds: float, waits: bool, stays: bool
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("utils.review.blobs.monotonic", lambda: now)
    monkeypatch.setattr("utils.shared.blobs.time.time", lambda: now)
    name = blobs.put("a", b"fox")
    monkeypatch.setattr("utils.review.blobs.monotonic", lambda: now + seconds)
    monkeypatch.setattr("utils.shared.blobs.time.time", lambda: now + seconds)
    blobs.hold("a", [], waits=waits)
    assert there(blobs, name) == [stays]


def test_who_names_a_thing_of_another_owner_holds_it_too(blobs: Blobs) -> None:
    name = blobs.put("a", b"fox")
    blobs.hold("b", [name, "gone"])
    blobs.forget("a")
    assert there(blobs, name) == [True]
    blobs.forget("b")
    assert there(blobs, name) == [False]
    blobs.forget("nobody")


def test_who_has_more_than_a_share_loses_its_own_oldest(blobs: Blobs) -> None:
    others = fill(blobs, "b", 1, 2)
    names = fill(blobs, "a", 1, 2)
    blobs.hold("a", names)
    names += fill(blobs, "a", 3)
    assert there(blobs, *names) == [False, True, True]
    assert there(blobs, *others) == [True, True]


def test_a_full_table_takes_from_who_holds_most(local_blobs: Blobs) -> None:
    small = {owner: fill(local_blobs, owner, 1, size=30) for owner in "bcdefghijl"}
    heap = fill(local_blobs, "a", 1, 2, 3)
    for owner, names in {**small, "a": heap}.items():
        local_blobs.hold(owner, names)
    assert local_blobs.weight <= BOUND
    fill(local_blobs, "k", 1)
    assert local_blobs.weight <= BOUND
    assert all(there(local_blobs, *names) == [True] for names in small.values())
    assert there(local_blobs, *heap) == [False, False, True]


def test_what_nobody_has_fetched_goes_last(blobs: Blobs) -> None:
    unfetched, known = fill(blobs, "a", 1, 2)
    blobs.hold("a", [known])
    fill(blobs, "a", 3)
    assert there(blobs, unfetched, known) == [True, False]


def test_what_is_pinned_goes_last_and_the_dearest_of_it_last_of_all(blobs: Blobs) -> None:
    dear, other = fill(blobs, "a", 1, 2)
    blobs.hold("a", [dear, other], pinned=[dear])
    (unfetched,) = fill(blobs, "a", 3)
    assert there(blobs, dear, other, unfetched) == [True, False, True]
    (looked_at,) = fill(blobs, "a", 4)
    assert there(blobs, dear, unfetched) == [True, False]
    blobs.hold("a", [dear, looked_at], pinned=[dear, looked_at])
    fill(blobs, "a", 5)
    assert there(blobs, dear, looked_at) == [True, False]
    # Whoever pins all that there is room for has room for what comes all the same.
    (newest,) = fill(blobs, "a", 6, size=100)
    assert there(blobs, dear, newest) == [False, True]


def test_what_is_pinned_no_more_goes_by_its_age(blobs: Blobs) -> None:
    names = fill(blobs, "a", 1, 2)
    blobs.hold("a", names, pinned=names[:1])
    blobs.hold("a", names)
    fill(blobs, "a", 3)
    assert there(blobs, *names) == [False, True]


def test_many_owners_of_one_thing_each_do_not_push_out_the_newest(local_blobs: Blobs) -> None:
    for number in range(100):
        name = local_blobs.put(str(number), f"{number}".encode().ljust(39))
        assert there(local_blobs, name) == [True]
        assert local_blobs.weight <= BOUND


def test_what_is_larger_than_a_share_has_no_room(blobs: Blobs) -> None:
    with pytest.raises(NoRoomError):
        blobs.put("a", b"x" * (SHARE + 1))
    assert blobs.get(blobs.put("a", b"x" * SHARE))
    assert blobs.weight == SHARE


def test_whether_there_is_room_that_pushes_out_nothing(blobs: Blobs) -> None:
    assert blobs.has_room("a", SHARE)
    assert not blobs.has_room("a", SHARE + 1)
    fill(blobs, "a", 1)
    assert blobs.has_room("a", 60)
    assert not blobs.has_room("a", 61)


def test_smaller_versions_weigh_too(blobs: Blobs) -> None:
    name = blobs.put("a", b"x" * 10, thumbnail=b"y" * 30)
    assert blobs.weight == 40
    assert blobs.get(name, "thumbnail") == b"y" * 30
