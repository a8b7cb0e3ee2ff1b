from dataclasses import replace
from typing import Any, cast

import pytest
from cachetools import TTLCache

from tests.stores import ask, make, new_store, receive
from tests.valkey import Valkey
from utils.jobs.outcomes import CANCELLED, INTERRUPTED
from utils.review import boxes, choosing, memory, moves
from utils.review.blobs import blobs
from utils.review.memory import BrowserMemory
from utils.review.store import Store
from utils.settings import get_settings
from utils.shared.blobs import SharedBlobs
from utils.shared.memory import SharedMemory


@pytest.fixture(params=["here", "shared"])
def browsers(request: pytest.FixtureRequest) -> BrowserMemory:
    """Both memories: what is promised of one is promised of the other."""
    if request.param == "here":
        return BrowserMemory()
    request.getfixturevalue("shared_store")
    return cast("BrowserMemory", SharedMemory())


def open_tab(browsers: BrowserMemory, owner: str = "browser") -> Store:
    """The store of a tab that opens, or is reloaded, now."""
    return new_store(browsers.recall(owner), owner)


def prompts(shared: Store) -> set[str]:
    """Of all that a person can find."""
    return {one.wish.prompt for one in (*shared["recent"], *shared["attempts"])}


def make_in(browsers: BrowserMemory, tab: Store, prompt: str) -> None:
    make(tab, prompt, f"bytes of {prompt}")
    browsers.remember(tab)


def test_a_reload_finds_what_was_there(browsers: BrowserMemory) -> None:
    tab = open_tab(browsers)
    make_in(browsers, tab, "a fox")
    other = open_tab(browsers)
    assert {**other, "remembered": {}} == {**tab, "remembered": {}}
    assert browsers.recall("another browser") == {}


def test_two_tabs_take_nothing_from_each_other(browsers: BrowserMemory) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    make_in(browsers, one, "one")
    make_in(browsers, two, "two")
    assert prompts(open_tab(browsers)) == {"one", "two"}


@pytest.mark.usefixtures("shared_store")
def test_what_a_tab_gets_while_another_is_remembered_elsewhere_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browsers, elsewhere = SharedMemory(), SharedMemory()
    one = open_tab(cast("BrowserMemory", browsers))
    two = open_tab(cast("BrowserMemory", elsewhere))
    hold_by, attempts = SharedBlobs.hold_by, []

    def hold_late(room: SharedBlobs, *args: Any, **named: Any) -> Any:
        monkeypatch.setattr(SharedBlobs, "hold_by", hold_by)
        attempts.append(make(two, "two", "bytes of two"))
        elsewhere.remember(two)
        return hold_by(room, *args, **named)

    monkeypatch.setattr(SharedBlobs, "hold_by", hold_late)
    one["task_input"] = "typed"
    browsers.remember(one)
    assert blobs.missing([attempts[0].result.name]) == set()
    assert prompts(open_tab(cast("BrowserMemory", browsers))) == {"two"}


def test_a_page_that_is_open_brings_its_pictures_back_to_a_store_that_has_lost_all(
    shared_store: Valkey,
) -> None:
    browsers, shared = SharedMemory(), new_store(owner="anna")
    attempt = make(shared)
    browsers.remember(shared)
    shared_store.client().flushall()
    moves.mend(shared)
    assert shared["attempts"] == (attempt,)
    moves.approve(shared, attempt.id)
    browsers.remember(shared)
    # Another server, which has nothing near.
    assert SharedBlobs().missing([attempt.result.name]) == set()
    assert browsers.recall("anna")["approved"] == attempt.id


@pytest.mark.usefixtures("shared_store")
def test_pages_that_are_remembered_at_once_wait_for_each_other() -> None:
    browsers, shared = SharedMemory(), new_store(owner="anna")

    class Touched(TTLCache[str, bool]):
        """One thread at a time: what two of them do to it at once breaks it for good."""

        def __contains__(self, owner: object) -> bool:
            assert browsers._lock.locked()
            return super().__contains__(owner)

        def __setitem__(self, owner: str, touched: bool) -> None:
            assert browsers._lock.locked()
            super().__setitem__(owner, touched)

    browsers._touched = Touched(10, 10)
    for _ in range(2):
        assert browsers.remember(shared)
    assert "anna" in dict.fromkeys(browsers._touched)


def test_what_may_still_come_keeps_what_it_is_made_from(browsers: BrowserMemory) -> None:
    tab = open_tab(browsers)
    source = blobs.put(tab["owner"], b"bytes of a source")
    pending = ask(tab)
    pending = replace(pending, wish=replace(pending.wish, sources=(source,)))
    moves.fail(tab, pending, INTERRUPTED)
    moves.clear_settled(tab, [*choosing.asked(tab)])
    browsers.remember(tab)
    tab["failures"] = ()
    browsers.remember(tab)
    assert blobs.missing([source]) == set()
    tab["late"] = ()
    browsers.remember(tab)
    assert blobs.missing([source]) == {source}


def test_visitors_who_have_nothing_here_push_out_nobody_who_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "KEEP_BROWSERS", 4)
    browsers = BrowserMemory()
    make_in(browsers, open_tab(browsers, "anna"), "a fox")
    waits = open_tab(browsers, "ben")
    ask(waits, "an owl")
    browsers.remember(waits)
    for number in range(20):
        browsers.remember(open_tab(browsers, f"nobody {number}"))
    assert prompts(open_tab(browsers, "anna")) == {"a fox"}
    assert open_tab(browsers, "ben")["pending"] == waits["pending"]


def test_text_without_end_is_not_remembered(browsers: BrowserMemory) -> None:
    tab = open_tab(browsers)
    long = "x" * (boxes.LONGEST + 1)
    tab["task_input"], tab["change"] = long, "make it night"
    tab["edits"] = {"a": long, "b": "an owl"}
    browsers.remember(tab)
    reloaded = open_tab(browsers)
    assert (reloaded["task_input"], reloaded["change"]) == ("", "make it night")
    assert reloaded["edits"] == {"b": "an owl"}


def test_three_tabs_with_two_rounds_each_leave_six(browsers: BrowserMemory) -> None:
    tabs = [open_tab(browsers) for _ in range(3)]
    for round_ in ("first", "second"):
        for number, tab in enumerate(tabs):
            make_in(browsers, tab, f"{round_} of {number}")
    reloaded = open_tab(browsers)
    assert len(prompts(reloaded)) == 6
    moves.mend(reloaded)
    assert len(prompts(reloaded)) == 6
    assert all(blobs.get(one.result.name) for one in reloaded["recent"])


@pytest.mark.parametrize("decision", ["cancel", "start over"])
def test_a_reload_in_the_middle_of_a_stop_stops_nothing_of_another_tab(
    browsers: BrowserMemory, decision: str
) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    theirs = ask(two, "two")
    browsers.remember(two)
    ask(one, "one")
    moves.forget_decision(one)
    browsers.remember(one)
    moves.stop(one, decision)
    browsers.remember(one)
    reloaded = open_tab(browsers)
    assert theirs in reloaded["pending"]
    assert reloaded["stop"] == ""
    # Alone it is done, though the reload came first.
    alone = open_tab(browsers, "another browser")
    ask(alone, "one")
    browsers.remember(alone)
    moves.stop(alone, decision)
    browsers.remember(alone)
    assert open_tab(browsers, "another browser")["stop"] == decision


def test_what_another_tab_waits_for_is_still_waited_for(browsers: BrowserMemory) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    pending = ask(one, "one")
    browsers.remember(one)
    make_in(browsers, two, "two")
    reloaded = open_tab(browsers)
    assert reloaded["pending"] == (pending,)
    receive(one, pending)
    browsers.remember(one)
    assert open_tab(browsers)["pending"] == ()
    receive(reloaded, pending)
    browsers.remember(reloaded)
    assert prompts(open_tab(browsers)) == {"one", "two"}
    assert len(open_tab(browsers)["attempts"]) + len(open_tab(browsers)["recent"]) == 2


def test_what_comes_after_its_cancelling_does_not_stay(
    browsers: BrowserMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = open_tab(browsers)
    pending = ask(tab, "a fox")
    browsers.remember(tab)
    name = blobs.put(tab["owner"], b"a fox that nobody takes in")
    for room in ("review", "shared"):
        monkeypatch.setattr(f"utils.{room}.blobs.UNNAMED_SECONDS", -1.0)
    tab["change"] = "something else"
    browsers.remember(tab)
    assert blobs.get(name), "it may still be taken in"
    moves.fail(tab, pending, CANCELLED)
    moves.clear_settled(tab)
    browsers.remember(tab)
    assert blobs.get(name) is None


def test_what_a_tab_gave_up_does_not_come_back(browsers: BrowserMemory) -> None:
    tab = open_tab(browsers)
    pending = ask(tab)
    browsers.remember(tab)
    moves.fail(tab, pending, CANCELLED, lost=1)
    moves.clear_settled(tab)
    browsers.remember(tab)
    assert open_tab(browsers)["pending"] == ()
    assert open_tab(browsers)["costs"][pending.id].lost == 1


def test_what_has_just_come_in_another_tab_is_not_the_first_to_go(browsers: BrowserMemory) -> None:
    tab = open_tab(browsers)
    for number in range(choosing.MAX_ATTEMPTS):
        make_in(browsers, tab, f"old {number}")
    moves.start_over(tab)
    browsers.remember(tab)
    one, two = open_tab(browsers), open_tab(browsers)
    make_in(browsers, one, "new")
    two["task_input"] = "typed"
    browsers.remember(two)
    moves.mend(one)
    assert [attempt.wish.prompt for attempt in one["attempts"]] == ["new"]
    assert "new" in prompts(open_tab(browsers))
    assert "old 0" not in prompts(open_tab(browsers))


def test_what_may_still_come_late_is_looked_for_whatever_another_tab_writes(
    browsers: BrowserMemory,
) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    pending = ask(one)
    moves.fail(one, pending, INTERRUPTED)
    browsers.remember(one)
    two["task_input"] = "typed"
    browsers.remember(two)
    reloaded = open_tab(browsers)
    assert reloaded["late"] == (pending,)
    moves.await_no_more(reloaded, pending)
    browsers.remember(reloaded)
    assert open_tab(browsers)["late"] == ()


def test_what_a_person_clears_stays_cleared(browsers: BrowserMemory) -> None:
    tab, other = open_tab(browsers), open_tab(browsers)
    make_in(browsers, tab, "one")
    moves.start_over(tab)
    browsers.remember(tab)
    make_in(browsers, other, "two")
    name = tab["recent"][0].result.name
    choosing.clear_recent(tab)
    browsers.remember(tab)
    assert prompts(open_tab(browsers)) == {"two"}
    assert blobs.get(name) is None


def test_start_over_in_one_tab_leaves_the_others_attempts(browsers: BrowserMemory) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    make_in(browsers, one, "one")
    make_in(browsers, two, "two")
    moves.start_over(two)
    browsers.remember(two)
    assert prompts(open_tab(browsers)) == {"one", "two"}


def test_what_belongs_to_an_attempt_comes_with_it_from_a_tab_to_another(
    browsers: BrowserMemory,
) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    make_in(browsers, one, "one")
    ours = one["attempts"][0].id
    one["edits"], one["marks"] = {ours: "an owl"}, {ours: "strokes"}
    one["descriptions"], one["kept"] = {ours: "A fox by a pond."}, (ours,)
    browsers.remember(one)
    make_in(browsers, two, "two")
    theirs = two["attempts"][0].id
    two["edits"], two["aside"] = {theirs: "a cat"}, (theirs,)
    browsers.remember(two)
    reloaded = open_tab(browsers)
    assert reloaded["edits"] == {ours: "an owl", theirs: "a cat"}
    assert reloaded["marks"] == {ours: "strokes"}
    assert reloaded["descriptions"] == {ours: "A fox by a pond."}
    assert (reloaded["kept"], reloaded["aside"]) == ((ours,), (theirs,))
    # What both have seen is as it was written last.
    moves.start_over(reloaded)
    reloaded["edits"], reloaded["kept"] = {}, ()
    browsers.remember(reloaded)
    assert (open_tab(browsers)["edits"], open_tab(browsers)["kept"]) == ({}, ())


def test_of_all_else_the_newest_counts(browsers: BrowserMemory) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    one["task_input"] = "first"
    browsers.remember(one)
    two["task_input"] = "second"
    browsers.remember(two)
    browsers.remember(one)
    assert open_tab(browsers)["task_input"] == "second"


def test_what_calls_have_cost_adds_up_over_tabs(browsers: BrowserMemory) -> None:
    one, two = open_tab(browsers), open_tab(browsers)
    make_in(browsers, one, "one")
    make_in(browsers, two, "two")
    assert len(open_tab(browsers)["costs"]) == 2


def test_sources_of_wishes_are_held(browsers: BrowserMemory) -> None:
    tab = open_tab(browsers)
    mine = blobs.put(tab["owner"], b"my own picture")
    boxes.use_references(tab, [(mine, "me.png")], "")
    browsers.remember(tab)
    moves.fail(tab, ask(tab), CANCELLED)
    boxes.drop_references(tab)
    browsers.remember(tab)
    assert blobs.get(mine)
    moves.clear_settled(tab)
    tab["failures"] = ()
    browsers.remember(tab)
    assert blobs.get(mine) is None


def test_a_tab_that_lies_open_keeps_its_browser_from_being_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(memory, "monotonic", lambda: now[0])
    browsers = BrowserMemory()
    tab, idle = open_tab(browsers, "open"), open_tab(browsers, "idle")
    make_in(browsers, tab, "one")
    make_in(browsers, idle, "nobody else has this one")
    lost = idle["attempts"][0].result.name
    for _ in range(3):
        now[0] += memory.KEEP_SECONDS * 0.7
        browsers.remember(tab)
    assert prompts(open_tab(browsers, "open")) == {"one"}
    assert browsers.recall("idle") == {}
    assert blobs.get(lost) is None
    assert blobs.get(tab["attempts"][0].result.name)


def test_the_number_of_browsers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEEP_BROWSERS", 3)
    browsers = BrowserMemory()
    tabs = {name: open_tab(browsers, name) for name in "abcd"}
    for name, tab in tabs.items():
        make_in(browsers, tab, name)
    assert [name for name in tabs if browsers.recall(name)] == ["b", "c", "d"]
    assert blobs.get(tabs["a"]["attempts"][0].result.name) is None


def test_a_wish_is_remembered_with_its_engine(browsers: BrowserMemory) -> None:
    tab = open_tab(browsers)
    pending = ask(tab)
    browsers.remember(tab)
    assert open_tab(browsers)["pending"] == (pending,)


@pytest.mark.parametrize("how", ["kept", "approved", "under review"])
def test_what_a_person_holds_on_to_is_the_last_to_make_room(
    browsers: BrowserMemory, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("PICTURE_MEMORY", "64")
    get_settings.cache_clear()
    tab = open_tab(browsers, how)
    try:
        for number in range(3):
            make(tab, f"{number}", f"{number}".ljust(5_000_000))
        first, second, third = tab["attempts"]
        choosing.select(tab, third.id)
        if how == "kept":
            choosing.keep(tab, first.id)
        elif how == "approved":
            tab["approved"] = first.id
        else:
            choosing.select(tab, first.id)
        browsers.remember(tab)
        make(tab, "the newest", "the newest".ljust(5_000_000))
        names = [one.result.name for one in (first, second, third)]
        assert blobs.missing(names) == {second.result.name}
    finally:
        blobs.forget(how)


@pytest.mark.slow
def test_500_visitors_stay_within_the_bound_and_each_keeps_the_newest(
    browsers: BrowserMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICTURE_MEMORY", "64")
    get_settings.cache_clear()
    blobs.forget("browser")
    visitors = [f"visitor {number}" for number in range(500)]
    try:
        hoarder = open_tab(browsers, "hoarder")
        for number in range(160):
            make(hoarder, "a heap", f"heap {number} " * 10_000)
            browsers.remember(hoarder)
        for turn in ("old", "older", "newest"):
            for visitor in visitors:
                tab = open_tab(browsers, visitor)
                make(tab, turn, f"{turn} of {visitor} ".ljust(100_000, "."))
                browsers.remember(tab)
                assert blobs.weight <= blobs.bound
        for visitor in [*visitors, "hoarder"]:
            tab = open_tab(browsers, visitor)
            moves.mend(tab)
            newest = tab["attempts"][-1]
            assert newest.wish.prompt in ("newest", "a heap")
            assert blobs.get(newest.result.name)
    finally:
        for owner in [*visitors, "hoarder"]:
            blobs.forget(owner)
