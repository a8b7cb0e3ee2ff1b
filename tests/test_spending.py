import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.calls import set_to
from tests.valkey import Valkey
from utils.shared import connection
from utils.shared.blobs import SharedBlobs
from utils.spending import Spending, SpentError, left_in_words


@pytest.fixture(autouse=True, params=["here", "shared"])
def pass_hour(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], object]]:
    """Counters that nobody has used, here or in a store, and what lets an hour pass for them."""
    now = time.time()
    if request.param == "shared":
        store = request.getfixturevalue("shared_store")
        # A store's own clock cannot be moved: what has had its time is gone.
        yield store.client().flushall
    else:
        yield lambda: monkeypatch.setattr("time.time", lambda: now + 3601)


def limit(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    named = {f"LIMIT_{name.upper()}": str(most) for name, most in limits.items()}
    set_to(monkeypatch, **named)


def test_nothing_is_limited_unless_it_is_set() -> None:
    spending = Spending()
    for _ in range(100):
        spending.begin("anna", 9.0)
    assert spending.left("anna") == []
    assert spending.refusal("anna", [1e3] * 1000) == ""
    assert left_in_words([]) == ""


def test_each_person_has_so_many_pictures_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, pictures_hour=2)
    spending = Spending()
    spending.begin("anna", 0)
    assert left_in_words(spending.left("anna")) == "Left: 1 picture this hour."
    assert spending.refusal("anna", [0, 0]) == (
        "You have 1 picture left of 2 pictures this hour. In 60 minutes there is more."
    )
    spending.begin("anna", 0)
    with pytest.raises(SpentError, match=r"You have nothing left of 2 pictures this hour\."):
        spending.begin("anna", 0)
    # What was refused counts nowhere, and for nobody else.
    assert spending.left("anna")[0].many == 0
    spending.begin("ben", 0)


def test_all_together_have_so_many_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, pictures_hour=5, all_pictures_day=3)
    spending = Spending()
    for person in ("anna", "ben", "carla"):
        spending.begin(person, 0)
    with pytest.raises(SpentError, match=r"All together have nothing left of 3 pictures today"):
        spending.begin("dora", 0)
    assert left_in_words(spending.left("dora")) == "Left: 0 pictures today for all."
    # A limit that allowed it has not been used up by what another one refused.
    assert [left.many for left in spending.left("dora")] == [5, 0]


def test_dollars_are_counted_by_estimate_and_set_right_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit(monkeypatch, dollars_day=1)
    spending = Spending()
    spending.begin("anna", 0.25)
    assert left_in_words(spending.left("anna")) == "Left: $0.75 today."
    spending.correct("anna", 0.25, 0.05, time.time())
    assert left_in_words(spending.left("anna")) == "Left: $0.95 today."
    assert spending.refusal("anna", [0.48] * 2) == (
        "You have $0.95 left of $1.00 today. In 24 hours there is more."
    )
    assert spending.refusal("anna", [0.475] * 2) == ""
    spending.begin("anna", 0.946)
    assert left_in_words(spending.left("anna")) == "Left: $0.004 today."


@pytest.mark.parametrize(
    ("most", "each", "many", "taken"), [(0.75, 0.1872, 4, 3), (0.075, 0.025, 3, 3)]
)
def test_what_is_allowed_at_the_click_is_what_is_taken_then(
    monkeypatch: pytest.MonkeyPatch, most: float, each: float, many: int, taken: int
) -> None:
    limit(monkeypatch, dollars_hour=most)
    spending = Spending()
    assert bool(spending.refusal("anna", [each] * many)) == (taken < many)
    for _ in range(taken):
        spending.begin("anna", each)
    with pytest.raises(SpentError):
        spending.begin("anna", each)


def test_of_two_limits_the_one_that_holds_longest_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit(monkeypatch, pictures_hour=1, pictures_day=1)
    spending = Spending()
    spending.begin("anna", 0)
    assert "today" in spending.refusal("anna", [0])


def test_what_is_spent_is_there_again_after_its_time(
    monkeypatch: pytest.MonkeyPatch, pass_hour: Callable[[], object]
) -> None:
    limit(monkeypatch, pictures_hour=1)
    spending = Spending()
    spending.begin("anna", 0)
    pass_hour()
    assert spending.refusal("anna", [0]) == ""
    spending.begin("anna", 0)


def test_no_limit_is_overrun_by_what_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, dollars_hour=0.002)
    spending = Spending()
    for _ in range(2):
        spending.begin("anna", 0.001)
        spending.correct("anna", 0.001, 0.0009, time.time())
    assert spending.left("anna")[0].many == 0


def test_what_is_given_back_too_late_is_no_gift(
    monkeypatch: pytest.MonkeyPatch, pass_hour: Callable[[], object]
) -> None:
    limit(monkeypatch, dollars_hour=1)
    spending = Spending()
    spending.begin("anna", 0.5)
    counted_at = time.time()
    pass_hour()
    spending.correct("anna", 0.5, 0.1, counted_at)
    assert spending.left("anna")[0].many == 1


def test_what_is_given_back_too_late_is_not_taken_from_what_others_have_spent_since(
    monkeypatch: pytest.MonkeyPatch, pass_hour: Callable[[], object]
) -> None:
    limit(monkeypatch, all_dollars_hour=1)
    spending = Spending()
    spending.begin("anna", 0.5)
    # A store's own clock cannot be moved: so the count is one of the hour before.
    counted_at = time.time() - 3700
    pass_hour()
    spending.begin("ben", 0.5)
    spending.correct("anna", 0.5, 0.1, counted_at)
    assert spending.left("ben")[0].many == 0.5
    spending.correct("anna", 0.5, 0.6, counted_at)
    assert spending.left("ben")[0].many == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("limits", "dollars", "sentence"),
    [
        (
            {"pictures_hour": 2},
            [0.0] * 4,
            "You may ask for 2 pictures an hour. Ask for fewer.",
        ),
        (
            {"all_dollars_day": 0.05},
            [0.12],
            "All together may ask for $0.05 a day. Ask for fewer or cheaper ones.",
        ),
        (
            {"dollars_hour": 0.0001},
            [0.12],
            "You may ask for $0.0001 an hour. Ask for fewer or cheaper ones.",
        ),
    ],
)
def test_what_no_limit_will_ever_allow_is_not_put_off(
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
    dollars: list[float],
    sentence: str,
) -> None:
    limit(monkeypatch, **limits)
    assert Spending().refusal("anna", dollars) == sentence


def test_a_store_that_is_full_of_pictures_forgets_nothing_of_what_is_spent(
    shared_store: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = (Path(__file__).parent.parent / "deploy/compose.yaml").read_text()
    policy, samples = re.findall(r"--maxmemory-(?:policy|samples) (\S+)", compose)
    deployed = {"maxmemory-policy": policy, "maxmemory-samples": samples, "maxmemory": "30mb"}
    store: Any = shared_store.client()
    before = {name: store.config_get(name)[name] for name in deployed}
    limit(monkeypatch, all_pictures_hour=1000, all_pictures_day=1000)
    spending, blobs = Spending(), SharedBlobs()
    try:
        for name, value in deployed.items():
            store.config_set(name, value)
        for number in range(100):
            spending.begin("anna", 0)
            name = f"review:blob:{blobs.put(f'owner {number}', os.urandom(500_000))}"
            # That nobody has looked at it for a while: the store counts in seconds.
            store.restore(name, store.pttl(name), store.dump(name), replace=True, idletime=60)
        assert store.info("stats")["evicted_keys"] > 20
        assert [one.many for one in spending.left("anna")] == [900, 900]
    finally:
        for name, value in before.items():
            store.config_set(name, value)


def test_a_store_that_is_away_is_not_asked_for_each_limit_anew(
    shared_store: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, pictures_hour=5)
    spending = Spending()
    spending.begin("anna", 0)
    connection.note_away(TimeoutError())
    assert spending.left("anna") == []
    with pytest.raises(SpentError, match="cannot read its limits"):
        spending.begin("anna", 0)
    connection.note_back()
    assert [one.many for one in spending.left("anna")] == [4]
    shared_store.kill()
    assert spending.left("anna") == []
    assert connection._away["since"]
    shared_store.start()
    connection.note_back()
    assert [one.many for one in spending.left("anna")] == [4]


def test_a_limit_that_is_changed_knows_what_was_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, dollars_day=20)
    spending = Spending()
    spending.begin("anna", 15.0)
    limit(monkeypatch, dollars_day=10)
    assert [one.many for one in spending.left("anna")] == [0]
    with pytest.raises(SpentError):
        spending.begin("anna", 0.01)
    limit(monkeypatch, dollars_day=16)
    assert [one.many for one in spending.left("anna")] == [1]
    spending.begin("anna", 1.0)


def test_a_limit_holds_for_clicks_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, all_pictures_hour=10)
    begun: list[str] = []
    together = threading.Barrier(8)

    def click(person: str) -> None:
        # Each is a server of its own, which shares no more than the count.
        server = Spending()
        together.wait()
        server.left(person)
        for _ in range(10):
            try:
                server.begin(person, 0)
            except SpentError:
                continue
            begun.append(person)

    threads = [threading.Thread(target=click, args=(f"person {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 10
