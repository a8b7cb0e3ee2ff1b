"""The flow over the shared store, with an engine that is no picture's: the pattern alone."""

import asyncio
import base64
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import pytest

from flow import create_flow
from nodes import GenerateImageNode, next_wait
from tests.stores import (
    ENGINE,
    LEISURE,
    Interrupt,
    Interrupted,
    Text,
    ask,
    choose,
    make,
    new_store,
    outcome,
    receive,
)
from utils.jobs.outcomes import CANCELLED, UNKNOWN, FailedError, Problem
from utils.jobs.table import Call, Job, Jobs, Phase, watch
from utils.review import boxes, choosing, moves
from utils.review.blobs import blobs
from utils.review.records import Cost, Pending, Wish
from utils.review.store import Store, by_key

PASSING = Problem("connection", "No connection.", retry=True, retry_after=0.001)
LASTING = Problem("refused", "No.")
RESULT = b"a finished text"


class Typewriter:
    """The engine's door: each call does what the test says, a finished text by default."""

    def __init__(self) -> None:
        self.script: list[Problem | threading.Event] = []
        self.calls: list[str] = []

    def places(self) -> int:
        return 4

    def kind(self, wish: Wish) -> str:
        return wish.engine.model

    def make(self, job_id: str, wish: Wish, key: str, owner: str, payer: str) -> Call:
        async def call(on_partial: Callable[[object], None]) -> Text:
            self.calls.append(job_id)
            step = self.script.pop(0) if self.script else None
            if isinstance(step, Problem):
                raise FailedError(step)
            while step and not step.is_set():
                await asyncio.sleep(0.002)
            return Text(blobs.put(owner, RESULT), Cost(100, 0.01))

        return call


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    table = Jobs()
    monkeypatch.setattr("nodes.jobs", table)
    yield table
    table.stop(LEISURE)


@pytest.fixture(autouse=True)
def typewriter(monkeypatch: pytest.MonkeyPatch) -> Typewriter:
    engine = Typewriter()
    monkeypatch.setattr("nodes.engine", engine)
    return engine


@pytest.fixture
def shared() -> Store:
    return new_store()


def silent(running: Sequence[Job]) -> None:
    """A view that shows nothing."""


def turn(shared: Store, on_news: Callable[[Sequence[Job]], None] = silent) -> None:
    """One turn of a session, as app.py runs it, without a page."""
    moves.aim(shared)
    moves.mend(shared)
    moves.ask(shared, choose)
    create_flow(shared["stage"]).run(shared)
    boxes.fit_boxes(shared)
    if shared["pending"]:
        create_flow(next_wait(shared), on_news).run(shared)


def settle_all(shared: Store) -> None:
    while shared["pending"] or shared["decision"] or shared["stop"]:
        turn(shared)


def test_a_click_is_taken_to_the_review_by_the_arrows(
    shared: Store, typewriter: Typewriter
) -> None:
    pending = ask(shared)
    turn(shared)
    assert shared["stage"] == "user_feedback"
    assert base64.b64decode(shared["generated_image"]) == RESULT
    assert typewriter.calls == [pending.id]
    assert (shared["pending"], shared["decision"]) == ((), "")


def test_what_a_page_has_taken_in_is_delivered(
    shared: Store, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered: list[str] = []
    monkeypatch.setattr(jobs, "deliver", delivered.append)
    pending = ask(shared)
    create_flow(shared["stage"]).run(shared)
    assert delivered == []
    turn(shared)
    assert delivered == [pending.id]


def test_the_click_itself_starts_the_job_and_waits_for_nothing(
    shared: Store, typewriter: Typewriter, jobs: Jobs
) -> None:
    typewriter.script = [threading.Event()]
    pending = ask(shared)
    create_flow(shared["stage"]).run(shared)
    assert jobs.find(pending.id)
    assert shared["pending"] == (pending,)
    assert shared["stage"] == "initial_input"


def test_the_whole_round_and_back(shared: Store) -> None:
    ask(shared)
    stages = []

    def go() -> None:
        turn(shared)
        stages.append(shared["stage"])

    go()
    moves.approve(shared, shared["under_review"])
    go()
    moves.back_to_review(shared)
    go()
    moves.stop(shared, "start over")
    go()
    choosing.reopen(shared, shared["recent"][0].id)
    go()
    assert stages == [
        "user_feedback",
        "final",
        "user_feedback",
        "initial_input",
        "user_feedback",
    ]


@pytest.mark.parametrize("decision", ["approve", "back", "reopen", "nonsense"])
def test_a_decision_that_the_stage_does_not_know_is_a_late_click(
    shared: Store, decision: str
) -> None:
    shared["decision"] = decision
    if decision == "reopen":
        moves.enter(shared, "final")
        make(shared)
        shared["approved"] = shared["under_review"]
        moves.enter(shared, "final")
    stage = shared["stage"]
    shared["decision"] = decision
    create_flow(stage).run(shared)
    assert (shared["stage"], shared["decision"]) == (stage, "")


def test_max_retries_of_the_node_is_how_often_it_is_tried(
    shared: Store, typewriter: Typewriter, jobs: Jobs
) -> None:
    for max_retries in (1, 2):
        typewriter.script, typewriter.calls = [PASSING] * 9, []
        pending = ask(shared)
        node = GenerateImageNode(silent, max_retries=max_retries, wait=0.0)
        node._run(shared)
        moves.clear_settled(shared)
        assert typewriter.calls == [pending.id] * max_retries
        assert shared["error_message"] == "No connection."


def test_the_flow_tries_three_times_under_the_same_id(
    shared: Store, typewriter: Typewriter
) -> None:
    typewriter.script = [PASSING, PASSING]
    pending = ask(shared)
    turn(shared)
    assert typewriter.calls == [pending.id] * 3
    assert shared["attempts"]


def test_after_the_last_try_the_stage_is_as_before_and_one_sentence_more(
    shared: Store, typewriter: Typewriter
) -> None:
    typewriter.script = [PASSING] * 9
    ask(shared)
    turn(shared)
    assert len(typewriter.calls) == 3
    assert shared["stage"] == "initial_input"
    assert shared["error_message"] == "No connection."
    assert shared["task_input"] == "a fox"


def test_what_an_engine_brings_that_is_no_result_ends_with_a_sentence(
    shared: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def call(on_partial: object) -> str:
        return "a text itself, of a fox"

    monkeypatch.setattr("nodes.make_call", lambda order: call)
    ask(shared)
    turn(shared)
    assert (shared["pending"], shared["attempts"]) == ((), ())
    assert shared["error_message"] == UNKNOWN.sentence
    assert "brought no Result: str" in caplog.text
    assert "fox" not in caplog.text


def test_a_wait_may_be_interrupted_and_entered_again_without_a_second_call(
    shared: Store, typewriter: Typewriter
) -> None:
    gate = threading.Event()
    typewriter.script = [gate]

    def interrupt(running: Sequence[Job]) -> None:
        raise Interrupt

    ask(shared)
    for _ in range(3):
        with pytest.raises(Interrupt):
            turn(shared, interrupt)
    gate.set()
    turn(shared)
    assert len(typewriter.calls) == 1
    assert shared["attempts"]


def test_a_view_that_breaks_drops_nothing(
    shared: Store, typewriter: Typewriter, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    typewriter.script = [gate]

    def broken(running: Sequence[Job]) -> None:
        gate.set()
        raise RuntimeError("with a secret")

    ask(shared)
    turn(shared, broken)
    assert shared["attempts"]
    assert not shared["error_message"]
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text
    assert len(caplog.records) == 1


def test_the_key_goes_to_the_call_and_nowhere_else(
    shared: Store, monkeypatch: pytest.MonkeyPatch, typewriter: Typewriter
) -> None:
    seen = []

    def make_call(job_id: str, wish: Wish, key: str, owner: str, payer: str) -> Call:
        seen.append((key, owner))
        return Typewriter.make(typewriter, job_id, wish, key, owner, payer)

    monkeypatch.setattr(typewriter, "make", make_call)
    shared["api_key"] = "sk-typed"
    ask(shared)
    turn(shared)
    assert set(seen) == {("sk-typed", shared["owner"])}
    assert "sk-typed" not in repr(moves.snapshot(shared))


def test_several_come_one_by_one_and_the_first_goes_under_review(
    shared: Store, typewriter: Typewriter
) -> None:
    gate = threading.Event()
    typewriter.script = [gate, PASSING]
    shared["count"] = 3
    ask(shared)
    create_flow(shared["stage"]).run(shared)
    # On a busy machine some may have come by now.
    while not shared["attempts"]:
        create_flow(next_wait(shared), silent).run(shared)
    assert shared["stage"] == "user_feedback"
    first = shared["under_review"]
    assert 1 <= len(shared["attempts"]) < 3
    gate.set()
    settle_all(shared)
    assert (len(shared["attempts"]), shared["under_review"]) == (3, first)
    assert len(typewriter.calls) == 4


def test_cancel_stops_what_runs(shared: Store, typewriter: Typewriter, jobs: Jobs) -> None:
    typewriter.script = [threading.Event()]
    pending = ask(shared)
    create_flow(shared["stage"]).run(shared)
    job = jobs.find(pending.id)
    assert job
    for _ in watch([job], 0.01):
        if job.news.phase is Phase.WORKING:
            break
    moves.stop(shared, "cancel")
    turn(shared)
    assert shared["pending"] == ()
    assert shared["error_message"] == CANCELLED.sentence
    assert shared["costs"][pending.id] == Cost(lost=1)


def test_of_several_the_last_in_line_is_cancelled_first(
    shared: Store, typewriter: Typewriter, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    typewriter.script = [threading.Event()] * 3
    shared["count"] = 3
    ask(shared)
    ids = [pending.id for pending in shared["pending"]]
    create_flow(shared["stage"]).run(shared)
    cancelled: list[str] = []
    cancel = jobs.cancel

    def note(job_id: str) -> Job:
        cancelled.append(job_id)
        return cancel(job_id)

    monkeypatch.setattr(jobs, "cancel", note)
    moves.stop(shared, "cancel")
    turn(shared)
    assert cancelled == ids[::-1]
    assert [failure.pending.id for failure in shared["failures"]] == ids


@pytest.mark.parametrize("decision", ["cancel", "start over"])
def test_what_is_there_already_is_not_cancelled_away(
    shared: Store, jobs: Jobs, decision: str
) -> None:
    pending = ask(shared)
    create_flow(shared["stage"]).run(shared)
    job = jobs.find(pending.id)
    assert job
    outcome(job)
    moves.stop(shared, decision)
    turn(shared)
    kept = shared["attempts"] if decision == "cancel" else shared["recent"]
    assert [attempt.id for attempt in kept] == [pending.id]
    assert shared["stage"] == ("user_feedback" if decision == "cancel" else "initial_input")
    assert shared["pending"] == ()


def approve_here(shared: Store) -> None:
    moves.approve(shared, shared["under_review"])


def cancel(shared: Store) -> None:
    moves.stop(shared, "cancel")


def start_over(shared: Store) -> None:
    moves.stop(shared, "start over")


@pytest.mark.parametrize("steps", [*itertools.permutations([approve_here, cancel])])
def test_what_is_approved_and_cancelled_in_one_breath_is_both(
    shared: Store, typewriter: Typewriter, steps: Sequence[Callable[[Store], None]]
) -> None:
    typewriter.script = [threading.Event()]
    prepare_a_regenerate(shared)
    for step in steps:
        step(shared)
    turn(shared)
    assert (shared["stage"], shared["approved"]) == ("final", shared["attempts"][0].id)
    assert (shared["pending"], shared["stop"]) == ((), "")
    assert shared["failures"][0].problem.kind == "cancelled"


@pytest.mark.parametrize("steps", [*itertools.permutations([approve_here, cancel, start_over])])
def test_start_over_is_done_whatever_else_is_decided_in_the_same_breath(
    shared: Store, typewriter: Typewriter, steps: Sequence[Callable[[Store], None]]
) -> None:
    prepare_a_regenerate(shared)
    for step in steps:
        step(shared)
    turn(shared)
    assert (shared["stage"], shared["attempts"], shared["pending"]) == ("initial_input", (), ())


def test_a_stop_counts_though_the_flow_has_not_begun_what_it_stops(
    shared: Store, typewriter: Typewriter
) -> None:
    ask(shared)
    assert shared["decision"] == "generate"
    moves.stop(shared, "cancel")
    turn(shared)
    assert shared["failures"][0].problem.kind == "cancelled"
    assert not typewriter.calls


def test_start_over_stops_what_runs(shared: Store, typewriter: Typewriter, jobs: Jobs) -> None:
    make(shared)
    typewriter.script = [threading.Event()]
    moves.regenerate(shared, shared["click_id"], choose)
    (pending,) = shared["pending"]
    turn_without_waiting(shared)
    moves.stop(shared, "start over")
    turn(shared)
    job = jobs.find(pending.id)
    assert job
    assert job.news.phase is Phase.ENDED
    assert (shared["stage"], shared["pending"], len(shared["recent"])) == ("initial_input", (), 1)
    assert shared["error_message"] == ""


def turn_without_waiting(shared: Store) -> None:
    create_flow(shared["stage"]).run(shared)


@pytest.mark.parametrize("steps", [*itertools.permutations([moves.back_to_review, start_over])])
def test_start_over_and_back_in_one_breath_start_over(
    shared: Store, steps: Sequence[Callable[[Store], None]]
) -> None:
    make(shared)
    moves.approve(shared, shared["under_review"])
    turn(shared)
    for step in steps:
        step(shared)
    turn(shared)
    assert shared["stage"] == "initial_input"


def test_a_wait_of_another_kind_keeps_nothing_from_being_begun_or_taken_in(
    shared: Store, typewriter: Typewriter, jobs: Jobs
) -> None:
    """A person who is waited for, and a result: both begin, and what comes first is taken in."""
    signed = threading.Event()

    async def person(on_partial: object) -> str:
        while not signed.is_set():
            await asyncio.sleep(0.002)
        return "signed"

    typewriter.script = [threading.Event()]
    ask(shared)
    wish = shared["pending"][0].wish
    shared["pending"] = (*shared["pending"], Pending("visit", "visit", wish, kind="sign off"))
    turn_without_waiting(shared)
    assert next_wait(shared) == "sign off"
    jobs.join("visit", person)
    assert next_wait(shared) == "generate"
    signed.set()
    create_flow("generate", silent).run(shared)
    assert next_wait(shared) == "sign off"
    assert len(shared["pending"]) == 2


def interrupted_everywhere(
    prepare: Callable[[Store], None], act: Callable[[Store], None]
) -> Iterator[tuple[Store, bool]]:
    """Yield a store after `act` was interrupted at its first access, its second, and so on.

    The turns after it are not interrupted. The last one is not interrupted at all.
    """
    for place in range(1000):
        store = Interrupted()
        shared = cast("Store", store)
        moves.begin(shared, {}, lambda job: True, {"tone": "auto"}, "")
        prepare(shared)
        store.left = place
        try:
            act(shared)
        except Interrupt:
            interrupted = True
        else:
            interrupted = store.left < 0
        store.left = -1
        settle_all(shared)
        turn(shared)
        assert shared["click_id"]
        yield shared, interrupted
        if not interrupted:
            return
    raise AssertionError("never came to an end")


def found(shared: Store) -> list[str]:
    return [one.id for one in (*shared["recent"], *shared["attempts"])]


def click(shared: Store) -> None:
    ask(shared)


def test_an_interruption_of_a_turn_at_any_access_loses_and_doubles_nothing(
    typewriter: Typewriter,
) -> None:
    places = 0
    for shared, _ in interrupted_everywhere(click, turn):
        places += 1
        (attempt,) = shared["attempts"]
        assert typewriter.calls == [attempt.id]
        assert shared["stage"] == "user_feedback"
        assert shared["under_review"] == attempt.id
        assert base64.b64decode(shared["generated_image"]) == RESULT
        assert shared["costs"] == {attempt.id: Cost(100, 0.01)}
        assert (shared["pending"], shared["error_message"]) == ((), "")
        typewriter.calls.clear()
    assert places > 40


def click_and_ask(shared: Store) -> None:
    moves.click(shared, "generate", shared["click_id"])
    moves.ask(shared, choose)


def test_an_interruption_of_a_click_asks_whole_or_not_at_all(typewriter: Typewriter) -> None:
    for shared, interrupted in interrupted_everywhere(
        lambda shared: by_key(shared).__setitem__("task_input", "a fox"),
        click_and_ask,
    ):
        assert len(typewriter.calls) == len(shared["attempts"]) <= 1
        assert interrupted or shared["attempts"]
        assert shared["task_input"] == "a fox"
        typewriter.calls.clear()


PERSONS: Mapping[str, tuple[Callable[[Store], None], str, object]] = {
    "example": (
        lambda shared: boxes.use_example(shared, "example", ["a lighthouse"]),
        "task_input",
        "a lighthouse",
    ),
    "click": (
        lambda shared: moves.click(shared, "regenerate", "id"),
        "clicked",
        ("regenerate", "id"),
    ),
    "step": (lambda shared: choosing.step(shared, 1), "under_review", "first"),
    "approve": (lambda shared: moves.approve(shared, "first"), "approved", "first"),
    "stop": (lambda shared: moves.stop(shared, "cancel"), "stop", "cancel"),
    "files": (
        lambda shared: boxes.use_references(shared, [("sha", "me.png")], "Small."),
        "references",
        (("sha", "me.png"),),
    ),
}


@pytest.mark.parametrize("person", PERSONS)
def test_what_a_person_does_is_done_though_a_click_interrupts_it(person: str) -> None:
    act, key, value = PERSONS[person]
    for place in range(100):
        store = Interrupted()
        shared = cast("Store", store)
        moves.begin(shared, {}, lambda job: True, {"tone": "auto"}, "")
        for name in ("first", "second"):
            receive(shared, Pending(name, name, Wish(name, ENGINE)), f"bytes of {name}")
        choosing.select(shared, "second")
        by_key(shared)[boxes.prompt_key(shared)] = ""
        by_key(shared)["example"] = "a lighthouse"
        store.left = place
        try:
            act(shared)
        except Interrupt:
            # A Generate after it reads the box.
            boxes.edit_prompt(shared)
            assert by_key(shared)[key] == value
        else:
            assert place > 1
            return
    raise AssertionError("never came to an end")


def result_of(jobs: Jobs, job_id: str) -> object:
    job = jobs.find(job_id)
    return job.news.outcome if job else None


def prepare_a_regenerate(shared: Store) -> None:
    make(shared, "first")
    moves.regenerate(shared, shared["click_id"], choose)
    turn_without_waiting(shared)


@pytest.mark.parametrize("decision", ["cancel", "start over"])
def test_an_interruption_of_cancel_or_start_over_loses_nothing_and_neither_of_them(
    decision: str, typewriter: Typewriter, jobs: Jobs
) -> None:
    def act(shared: Store) -> None:
        moves.stop(shared, decision)
        turn(shared)

    for shared, _ in interrupted_everywhere(prepare_a_regenerate, act):
        asked = set(shared["costs"])
        made = {one for one in asked if isinstance(result_of(jobs, one), Text)}
        assert made <= set(found(shared))
        assert len(set(found(shared))) == 1 + len(made)
        assert (shared["pending"], shared["decision"]) == ((), "")
        if decision == "start over":
            assert (shared["stage"], shared["attempts"]) == ("initial_input", ())
        else:
            assert len(made) == 1 or shared["failures"][0].problem.kind == "cancelled"
    assert len(typewriter.calls) == len(set(typewriter.calls))


def test_an_interruption_of_approve_approves_what_was_seen() -> None:
    seen = ""

    def act(shared: Store) -> None:
        moves.approve(shared, seen)
        turn(shared)

    def prepare(shared: Store) -> None:
        nonlocal seen
        seen = make(shared, "first", "first bytes").id
        make(shared, "second", "second bytes")

    for shared, _ in interrupted_everywhere(prepare, act):
        assert shared["stage"] == "final"
        assert shared["approved"] == seen
        assert base64.b64decode(shared["final_result"]) == b"first bytes"
        assert len(shared["attempts"]) == 2
