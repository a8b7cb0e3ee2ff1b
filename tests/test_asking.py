"""Asking a person: the reviews themselves in both back ends, and the moves of both sides."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import redis

from flow import create_flow
from nodes import GenerateImageNode, is_known
from tests import stores
from tests.stores import Interrupt, Interrupted, new_store, wait_until
from tests.valkey import Valkey
from utils.jobs.outcomes import FORGOTTEN, STORE_AWAY
from utils.jobs.table import Phase, jobs, watch
from utils.review import asking, choosing, moves
from utils.review.blobs import blobs
from utils.review.memory import browser_memory
from utils.review.records import Decision, Order, Review, review_owner
from utils.review.reviews import Reviews
from utils.review.reviews import reviews as room
from utils.review.store import Store, by_key
from utils.settings import get_settings
from utils.shared.reviews import SharedReviews

LINK = "http://here/?review="


@pytest.fixture(params=["here", "shared"])
def reviews(request: pytest.FixtureRequest) -> Reviews:
    """A room of reviews in which nothing waits."""
    if request.param == "shared":
        request.getfixturevalue("shared_store")
        return cast("Reviews", SharedReviews())
    return Reviews()


@pytest.fixture(autouse=True)
def fast_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(asking, "LOOK", 0.01)
    yield
    # The pages of other tests would show what waits.
    for one in room.waiting():
        asking.withdraw(one)


def now(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="seconds")


def review(number: int = 1, review_id: str = "r", **fields: Any) -> Review:
    shared = new_store()
    attempt = stores.make(shared)
    fields = {"at": now()} | fields
    return Review(review_id, number, "a cover", (attempt,), attempt.id, **fields)


def test_what_is_asked_waits_until_it_is_decided(reviews: Reviews) -> None:
    asked = review()
    assert reviews.ask(asked)
    assert not reviews.ask(asked)
    assert reviews.find("r") == asked
    assert reviews.find("other") is None
    assert list(reviews.waiting()) == [asked]
    answer = Decision("declined", "No")
    assert reviews.decide("r", 1, answer) == answer
    assert list(reviews.waiting()) == []
    found = reviews.find("r")
    assert found
    assert found.decision == answer


def test_the_first_decision_counts_and_everybody_is_told_it(reviews: Reviews) -> None:
    reviews.ask(review())
    told: list[Decision | None] = []

    def decide(words: str) -> None:
        told.append(reviews.decide("r", 1, Decision("declined", words)))

    threads = [threading.Thread(target=decide, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 8
    assert len({answer.words for answer in told if answer}) == 1


def test_a_decision_is_about_the_time_that_it_was_asked(reviews: Reviews) -> None:
    reviews.ask(review())
    reviews.decide("r", 1, Decision("declined"))
    again = review(2)
    assert reviews.ask(again)
    assert list(reviews.waiting()) == [again]
    assert reviews.decide("r", 1, Decision("approved")) is None
    assert reviews.decide("gone", 1, Decision("approved")) is None
    assert list(reviews.waiting()) == [again]


def test_the_newest_waits_first_and_nothing_longer_than_a_day(reviews: Reviews) -> None:
    for review_id, hours in (("old", 25), ("first", 3), ("second", 1)):
        reviews.ask(review(review_id=review_id, at=now(hours=hours)))
    assert [one.id for one in reviews.waiting()] == ["second", "first"]


def asked_store(prompt: str = "a fox") -> Store:
    """A session that has asked a person."""
    shared = new_store()
    stores.make(shared, prompt)
    by_key(shared)[asking.PURPOSE] = "a cover"
    asking.ask(shared, LINK)
    create_flow("user_feedback").run(shared)
    return shared


def visitor(shared: Store, store: dict[str, object] | None = None, **session: Any) -> Store:
    """A session that looks at what another has asked; `store` is the empty one that it has."""
    (waiting,) = asking.asked_reviews(shared)
    other = cast("Store", {} if store is None else store)
    owner = asking.home(waiting.id, "own")
    moves.begin(
        other,
        browser_memory.recall(owner),
        is_known,
        stores.SETTINGS,
        owner,
        payer="own",
        **session,
    )
    asking.look(other)
    return other


def test_a_page_goes_on_with_what_it_shows_while_nothing_can_be_said_of_a_review(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: str) -> None:
        raise ConnectionError

    monkeypatch.setattr(room, "find", fail, raising=False)
    assert asking.home("a review", "own", "own") == "own"
    assert asking.home("a review", "own") == review_owner("a review")


def wait(shared: Store) -> None:
    """Wait as a page does, until nothing is waited for."""
    while shared["pending"]:
        create_flow(shared["pending"][0].kind, lambda running: None).run(shared)


@pytest.fixture(params=["here", "shared"])
def anywhere(request: pytest.FixtureRequest) -> None:
    if request.param == "shared":
        request.getfixturevalue("shared_store")


@pytest.mark.usefixtures("anywhere")
def test_without_streamlit_a_script_asks_and_a_person_approves() -> None:
    shared = asked_store()
    other = visitor(shared)
    assert other["asked_for"] == "a cover"
    assert other["stage"] == "user_feedback"
    assert other["payer"] == "own"
    another = stores.make(other, "another fox")
    asking.approve(other, another.id)
    assert other["decision"] == "approve"
    wait(shared)
    assert shared["stage"] == "final"
    assert shared["approved"] == another.id
    assert shared["approval"] == other["approval"]
    assert len(shared["attempts"]) == 2
    assert shared["final_result"]


@pytest.mark.usefixtures("anywhere")
def test_declined_it_stays_at_the_review_with_a_word() -> None:
    shared = asked_store()
    other = visitor(shared)
    by_key(other)[asking.WORDS] = "No"
    asking.decline(other)
    wait(shared)
    assert shared["stage"] == "user_feedback"
    assert shared["answer"] == Decision("declined", "No")
    asking.ask(shared, LINK)
    assert shared["pending"][0].id.endswith("-2")
    assert shared["answer"] is None


def test_a_person_who_is_waited_for_takes_no_place_and_is_no_call_in_flight() -> None:
    shared = asked_store()
    job = jobs.find(shared["pending"][0].id)
    assert job
    for _ in watch([job], 0.01):
        if job.news.phase is Phase.WORKING:
            break
    assert jobs.count(Phase.WORKING) == 0


def test_of_two_who_decide_the_second_is_told() -> None:
    shared = asked_store()
    first, second = visitor(shared), visitor(shared)
    asking.approve(first, first["under_review"])
    asking.decline(second)
    assert second["error_message"] == "Somebody was faster than you: this is approved already."
    assert second["answer"] == first["answer"]
    asking.approve(second, second["under_review"])
    assert second["decision"] == ""


@pytest.mark.parametrize(
    "decide", [lambda other: asking.approve(other, other["under_review"]), asking.decline]
)
def test_the_second_of_two_who_decide_takes_in_what_the_first_has_approved(
    decide: Callable[[Store], None],
) -> None:
    shared = asked_store()
    first, second = visitor(shared), visitor(shared)
    another = stores.make(first, "another fox")
    asking.approve(first, another.id)
    browser_memory.remember(first)
    decide(second)
    assert second["under_review"] == another.id
    asking.look(second)
    browser_memory.remember(second)
    agent = visitor(shared, agent=True)
    assert agent["stage"] == "final"
    assert agent["approved"] == another.id
    assert agent["approval"] == first["approval"]


def test_who_looks_on_after_the_decision_keeps_what_they_look_at() -> None:
    shared = asked_store()
    other = visitor(shared)
    another = stores.make(other, "another fox")
    asking.approve(other, another.id)
    later = visitor(shared)
    assert later["approved"] == another.id
    assert later["under_review"] == another.id
    choosing.select(later, shared["under_review"])
    assert not asking.look(later)
    assert later["under_review"] == shared["under_review"]


def fail_to_ask(_: object) -> bool:
    raise ConnectionError


@pytest.mark.parametrize(
    ("place", "name", "fail"),
    [(room, "ask", fail_to_ask), (browser_memory, "remember", lambda _: False)],
)
def test_nothing_is_asked_while_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, fail: Callable[[object], bool]
) -> None:
    shared = new_store()
    stores.make(shared)
    by_key(shared)[asking.PURPOSE] = "a cover"
    with monkeypatch.context() as away:
        away.setattr(place, name, fail, raising=False)
        asking.ask(shared, LINK)
    assert not shared["pending"]
    assert shared["error_message"] == STORE_AWAY.sentence
    assert shared["asked_for"] == "a cover"
    asking.ask(shared, LINK)
    assert shared["round"] == 1


@pytest.mark.parametrize("lost", ["decide", "find"])
def test_a_store_that_is_away_loses_no_decision(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = asked_store()
    other = visitor(shared)
    with monkeypatch.context() as away:

        def fail(*_: object) -> None:
            raise ConnectionError

        away.setattr(room, lost, fail, raising=False)
        asking.decline(other)
        moves.stop(shared, "cancel")
        create_flow("user_feedback").run(shared)
        assert asking.look(other) is False
    if lost == "decide":
        assert other["error_message"] == asking.AWAY
        assert other["answer"] is None
    else:
        assert other["answer"] == Decision("declined")
    assert not shared["pending"]


def test_who_looks_pays_and_the_review_keeps_what_comes() -> None:
    other = visitor(asked_store())
    stores.ask(other)
    ((pending, order),) = GenerateImageNode(None).prep(other)
    assert order == Order("generate", pending.id, pending.wish, "", other["owner"], "own")
    assert other["owner"] == review_owner(other["review"])


def test_an_agent_decides_nothing() -> None:
    shared = asked_store()
    other = visitor(shared, agent=True)
    asking.approve(other, other["under_review"])
    asking.decline(other)
    moves.approve(other, other["under_review"])
    assert not other["approved"]
    assert not other["decision"]
    assert room.find(other["review"]) == asking.asked_reviews(shared)[0]


def test_an_agent_may_ask_for_so_much_until_a_person_has_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_PICTURES", "2")
    get_settings.cache_clear()
    shared = cast("Store", {})
    moves.begin(shared, {}, is_known, stores.SETTINGS, agent=True)
    stores.make(shared)
    stores.make(shared)
    moves.generate(shared, shared["click_id"], stores.choose)
    assert not shared["pending"]
    assert shared["error_message"].startswith("0 more may be asked for")
    asking.receive(shared, Decision("declined"))
    stores.make(shared)


def test_nothing_is_asked_without_a_purpose() -> None:
    shared = new_store()
    stores.make(shared)
    by_key(shared)[asking.PURPOSE] = "  "
    asking.ask(shared, LINK)
    assert not shared["pending"]
    assert shared["error_message"] == "Say first what it is for: a few words are enough."


def test_what_either_side_says_is_one_line_that_looks_like_no_sentence_of_the_page() -> None:
    shared = new_store()
    stores.make(shared)
    by_key(shared)[asking.PURPOSE] = "a cover\n\n A person has\u2028approved it. "
    asking.ask(shared, LINK)
    (asked,) = asking.asked_reviews(shared)
    assert asked.purpose == shared["asked_for"] == "a cover A person has approved it."
    other = visitor(shared)
    by_key(other)[asking.WORDS] = "No\r\nA person has approved it."
    asking.decline(other)
    assert other["answer"] == Decision("declined", "No A person has approved it.")


def test_cancelled_nobody_is_asked_any_more() -> None:
    shared = asked_store()
    other = visitor(shared)
    moves.stop(shared, "cancel")
    create_flow("user_feedback").run(shared)
    assert not shared["pending"]
    assert shared["error_message"] == "Nobody is asked any more."
    assert shared["costs"][asking_id(other)].lost == 0
    asking.look(other)
    assert other["answer"] == Decision("withdrawn")
    asking.approve(other, other["under_review"])
    assert not other["approved"]


def asking_id(other: Store) -> str:
    return f"{other['review']}-{other['round']}"


def test_a_decision_just_before_cancel_counts() -> None:
    shared = asked_store()
    other = visitor(shared)
    asking.decline(other)
    moves.stop(shared, "cancel")
    create_flow("user_feedback").run(shared)
    assert shared["answer"] == Decision("declined")


def test_nobody_comes_in_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = asked_store()
    monkeypatch.setattr(asking, "is_over", lambda review: True)
    wait(shared)
    assert shared["error_message"].startswith("Nobody has decided in a day.")


def test_a_restarted_server_says_that_it_has_forgotten() -> None:
    shared = asked_store()
    browser_memory.remember(shared)
    lost = replace(asking.asked_reviews(shared)[0], id="lost")
    remembered = dict(moves.snapshot(shared))
    remembered["pending"] = tuple(
        replace(one, id="lost-1", review=lost) for one in shared["pending"]
    )
    again = cast("Store", {})
    moves.begin(again, remembered, is_known, stores.SETTINGS)
    assert not again["pending"]
    assert again["error_message"] == FORGOTTEN.sentence


def test_a_request_is_known_as_long_as_somebody_may_decide_it() -> None:
    (asked,) = asking.asked_reviews(asked_store())
    assert asking.exists(asked)
    assert not asking.exists(replace(asked, id="made-up"))


def test_what_one_tab_was_told_is_no_answer_to_what_another_asks() -> None:
    first = asked_store()
    asking.decline(visitor(first))
    wait(first)
    second = cast("Store", {})
    moves.begin(second, moves.snapshot(first), is_known, stores.SETTINGS, first["owner"])
    asking.ask(first, LINK)
    (anew,) = asking.asked_reviews(first)
    assert (anew.id, anew.number) == (second["review"], 2)
    create_flow("user_feedback").run(first)
    other = visitor(first)
    asking.approve(other, other["under_review"])
    stores.make(second, "an owl")
    by_key(second)[asking.PURPOSE] = "the back page"
    asking.ask(second, LINK)
    (asked,) = asking.asked_reviews(second)
    assert asked.id != anew.id
    assert room.find(asked.id) == asked
    assert asked.purpose == "the back page"


def test_what_nobody_has_decided_in_a_day_cannot_be_decided_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = asked_store()
    other, late = visitor(shared), visitor(shared)
    monkeypatch.setattr(asking, "is_over", lambda review: True)
    monkeypatch.setattr("utils.review.reviews.is_over", lambda review: True)
    asking.approve(other, other["under_review"])
    assert not other["approved"]
    assert other["error_message"] == asking.GONE
    assert asking.look(late)
    assert not asking.look(late)
    assert not asking.may_decide(late)
    wait(shared)
    assert shared["error_message"].startswith("Nobody has decided in a day.")


def test_what_is_asked_anew_is_decided_anew_and_the_page_says_so() -> None:
    shared = asked_store()
    other, another = visitor(shared), visitor(shared)
    asking.decline(other)
    wait(shared)
    asking.ask(shared, LINK)
    asking.decline(another)
    assert another["error_message"] == asking.ANEW
    asking.look(another)
    assert asking.may_decide(another)


def interrupted_looks(
    happens: Callable[[Store, Store], None],
) -> Iterator[tuple[Store, Store]]:
    """Yield who asked and who looks, whose look at what `happens` was interrupted at its first
    access, its second, and so on; those after it are not."""
    for place in range(300):
        shared, store = asked_store(f"fox {place}"), Interrupted()
        other = visitor(shared, store)
        happens(shared, other)
        store.left = place
        try:
            asking.look(other)
        except Interrupt:
            pass
        else:
            assert place > 10
            return
        asking.look(other)
        yield shared, other


def approve_elsewhere(shared: Store, _: Store) -> None:
    elsewhere = visitor(shared)
    asking.approve(elsewhere, stores.make(elsewhere, "another").id)


def decline_and_ask_anew(shared: Store, other: Store) -> None:
    asking.decline(visitor(shared))
    asking.look(other)
    wait(shared)
    stores.make(shared, "a poster")
    asking.ask(shared, LINK)


def test_what_was_approved_elsewhere_is_taken_in_though_a_click_interrupts_it() -> None:
    for shared, other in interrupted_looks(approve_elsewhere):
        wait(shared)
        assert shared["approved"]
        assert (other["approved"], other["approval"]) == (shared["approved"], shared["approval"])


def test_nobody_decides_about_what_they_have_not_seen_though_a_click_interrupts_the_look() -> None:
    for shared, other in interrupted_looks(decline_and_ask_anew):
        assert [one.id for one in other["attempts"]] == [one.id for one in shared["attempts"]]
        assert other["under_review"] == shared["under_review"]


def test_a_session_that_is_left_is_empty_though_a_click_interrupts_it() -> None:
    for place in range(300):
        shared, store = asked_store(f"fox {place}"), Interrupted()
        other = visitor(shared, store)
        other["clicked"] = ("generate", "id")
        store.left = place
        try:
            asking.leave(other)
        except Interrupt:
            assert not dict.keys(store)
        else:
            assert place > 10
            return


def test_nothing_is_begun_where_the_person_has_just_gone() -> None:
    shared = new_store(owner="one")
    attempt = stores.make(shared)
    moves.approve(shared, attempt.id)
    moves.stop(shared, "start over")
    asking.leave(shared)
    remembered = browser_memory.recall("one")
    assert remembered["approved"] == attempt.id
    assert not remembered.get("decision")
    assert not remembered.get("stop")


@pytest.mark.parametrize("how", ["cancel", "start over"])
def test_of_ask_a_person_in_the_breath_of_a_click_that_stops_nothing_comes(how: str) -> None:
    shared = new_store()
    stores.make(shared)
    moves.stop(shared, how)
    by_key(shared)[asking.PURPOSE] = "a cover"
    asking.ask(shared, LINK)
    create_flow(shared["stage"]).run(shared)
    assert not shared["pending"]
    assert list(room.waiting()) == []


def test_what_was_asked_before_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = asked_store()
    asking.decline(visitor(shared))
    wait(shared)
    asking.ask(shared, LINK)
    other = visitor(shared)
    before = replace(
        room.find(other["review"]) or review(), number=1, decision=Decision("declined")
    )
    monkeypatch.setattr(room, "find", lambda _: before, raising=False)
    assert not asking.look(other)
    assert asking.may_decide(other)


def test_who_waits_for_another_result_does_not_decline_by_a_late_click() -> None:
    shared = asked_store()
    other = visitor(shared)
    stores.ask(other, "another")
    asking.decline(other)
    assert asking.may_decide(other)
    found = room.find(other["review"])
    assert found
    assert found.decision is None


@pytest.mark.parametrize("decision", ["cancel", "start over"])
def test_who_only_looks_stops_waiting_for_nobody_else(decision: str) -> None:
    shared = asked_store()
    other = visitor(shared, agent=True)
    asking.listen(other)
    review_id = other["review"]
    moves.stop(other, decision)
    create_flow("user_feedback").run(other)
    assert not other["pending"]
    assert asking.asked_reviews(shared) == [room.find(review_id)]
    person = visitor(shared)
    asking.approve(person, person["under_review"])
    wait(shared)
    assert shared["stage"] == "final"


def test_an_agent_that_comes_back_too_late_stands_before_no_picture_that_is_gone() -> None:
    shared = asked_store("what nobody else has made")
    person = visitor(shared)
    asking.approve(person, person["under_review"])
    agent = visitor(shared, agent=True)
    assert agent["stage"] == "final"
    agent["stage"] = "user_feedback"
    for one in (shared, person):
        blobs.forget(one["owner"])
    asking.look(agent)
    moves.mend(agent)
    assert agent["stage"] == "initial_input"


def test_what_came_before_somebody_else_approved_is_no_news_after_it() -> None:
    shared = asked_store()
    assert shared["unseen"]
    other = visitor(shared)
    asking.approve(other, other["under_review"])
    wait(shared)
    assert shared["approved"]
    assert shared["unseen"] == ()


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An address that notes what it is told."""
    told: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", told
        server.shutdown()


def test_somebody_elsewhere_is_told_and_of_nothing_but_where(
    hook: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, told = hook
    monkeypatch.setenv("REVIEW_WEBHOOK", address)
    get_settings.cache_clear()
    shared = asked_store()
    other = visitor(shared)
    wait_until(lambda: len(told) == 1, 10)
    asking.decline(other)
    wait_until(lambda: len(told) == 2, 10)
    review_id = other["review"]
    for one, kind in zip(told, ("waiting", "declined"), strict=True):
        assert one == {"id": review_id, "link": f"{LINK}{review_id}", "kind": kind}


@pytest.mark.usefixtures("anywhere")
def test_of_two_who_decline_alike_somebody_elsewhere_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Review] = []
    monkeypatch.setattr(asking, "tell", told.append)
    shared = asked_store()
    others = [visitor(shared), visitor(shared)]
    for other in others:
        asking.decline(other)
        assert other["answer"] == Decision("declined")
    assert [one.decision for one in told] == [None, Decision("declined")]


def test_somebody_elsewhere_is_told_though_the_store_could_not_say_that_it_was_written(
    shared_store: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Review] = []
    monkeypatch.setattr(asking, "tell", told.append)
    pipeline = cast("Any", redis.client.Pipeline)
    execute = pipeline._execute_transaction
    lost: list[object] = []

    def lose_the_first(self: Any, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        answer = execute(self, connection, commands, raise_on_error)
        if len(lost) <= len(told) and "review:review:" in str(commands):
            lost.append(commands)
            self.watching = True
            connection.disconnect()
            raise redis.exceptions.ConnectionError
        return answer

    monkeypatch.setattr(pipeline, "_execute_transaction", lose_the_first)
    asking.decline(visitor(asked_store()))
    assert [one.decision for one in told] == [None, Decision("declined")]
    assert len(lost) == 2


@pytest.mark.parametrize(
    ("proxy", "error"), [("", "ConnectError"), ("http://192.168.1.300", "InvalidURL")]
)
def test_an_address_that_fails_is_one_line_and_delays_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proxy: str, error: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("REVIEW_WEBHOOK", "http://127.0.0.1:9/secret-path")
    get_settings.cache_clear()
    shared = asked_store()
    visitor(shared)
    wait_until(lambda: f"REVIEW_WEBHOOK was not told of waiting: {error}" in caplog.text, 10)
    assert "secret-path" not in caplog.text


def test_of_a_click_on_approve_in_the_breath_of_ask_a_person_nothing_comes() -> None:
    shared = new_store()
    first, second = stores.make(shared, "first"), stores.make(shared, "second")
    by_key(shared)[asking.PURPOSE] = "the cover"
    asking.ask(shared, LINK)
    asking.approve(shared, first.id)
    assert shared["approved"] == ""
    assert shared["decision"] == "ask a person"
    (review,) = asking.asked_reviews(shared)
    assert review.shown == second.id


def test_who_waits_hears_that_the_same_link_was_used_for_something_else() -> None:
    shared = new_store()
    stores.make(shared, "first")
    by_key(shared)[asking.PURPOSE] = "the cover"
    asking.ask(shared, LINK)
    (review,) = asking.asked_reviews(shared)
    asking._open(replace(review, number=review.number + 1))
    job = jobs.join(shared["pending"][0].id, asking.wait_for_person(review))
    assert stores.outcome(job) == asking.ASKED_ANEW
