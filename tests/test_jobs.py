import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import cast

import anyio
import pytest
from cachetools import TTLCache

from tests.stores import ENGINE, LEISURE, Text, outcome, wait_until
from utils.jobs import pace, table
from utils.jobs.outcomes import CANCELLED, NOT_BEGUN, UNKNOWN, FailedError, Problem
from utils.jobs.table import Job, Jobs, Lane, News, Phase, pause_before_next, watch
from utils.review.records import Order, Wish
from utils.settings import get_settings
from utils.shared.jobs import SharedJobs

RESULT, PARTIAL = Text("a result"), Text("a partial result")
Watch = Generator[None, None, None]
PASSING = Problem("connection", "No connection.", retry=True)
LASTING = Problem("refused", "No.")
LANE, ONE, OTHER, MANY = Lane("test", 2), Lane("one", 1), Lane("other", 1), Lane("many", 9)


class Engine:
    """A call that counts itself and does what its test says."""

    def __init__(self, *outcomes: object, gate: threading.Event | None = None) -> None:
        self.outcomes = list(outcomes)
        self.gate = gate
        self.calls = 0
        self.began: list[float] = []
        self.cancelled = threading.Event()

    async def __call__(self, on_partial: Callable[[object], None]) -> object:
        self.calls += 1
        self.began.append(time.monotonic())
        on_partial(PARTIAL)
        try:
            while self.gate and not self.gate.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Problem):
            raise FailedError(outcome)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


ENGINES: dict[str, Engine] = {}


@pytest.fixture(params=["here", "shared"])
def jobs(request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """Both tables of jobs: what is promised of one is promised of the other."""
    if request.param == "here":
        table = Jobs()
    else:
        request.getfixturevalue("shared_store")
        request.getfixturevalue("monkeypatch").setenv("SHUTDOWN_SECONDS", "0.2")
        get_settings.cache_clear()
        table = cast("Jobs", SharedJobs())
        lanes = (LANE, ONE, OTHER, MANY)
        table.serve(lambda order: ENGINES[order.id], lanes, (Text,), works=True)
    yield table
    table.stop(LEISURE)


def join(jobs: Jobs, job_id: str, engine: Engine, **how: object) -> Job:
    ENGINES[job_id] = engine
    order = Order("test", job_id, Wish("a fox", ENGINE), "sk-typed", "owner")
    default: dict[str, object] = {"tries": 3, "wait": 0.01, "lane": MANY, "order": order}
    return jobs.join(job_id, engine, **(default | how))  # type: ignore[arg-type]


def wait_for(job: Job, phase: Phase) -> None:
    wait_until(lambda: job.news.phase in (phase, Phase.ENDED))
    assert job.news.phase is phase


@pytest.mark.filterwarnings("error")
def test_a_server_that_stops_leaves_nothing_that_was_just_about_to_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[object] = []

    async def child() -> None:
        await asyncio.sleep(10)

    async def stop(told: asyncio.Future[None]) -> None:
        await told
        await table.cancel_tasks()

    async def main() -> None:
        told = asyncio.get_running_loop().create_future()
        stopping = asyncio.create_task(stop(told))
        await asyncio.sleep(0)
        async with anyio.create_task_group() as group:
            # The stop is next in line, and the child after it.
            told.set_result(None)
            group.start_soon(child)
        await stopping

    monkeypatch.setattr("sys.unraisablehook", lambda args: left.append(args.exc_value))
    with suppress(asyncio.CancelledError):
        asyncio.run(main())
    gc.collect()
    assert left == []


def test_a_server_that_stops_ends_also_what_forgets_that_it_was_told() -> None:
    async def forgets() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    jobs = Jobs()
    told = jobs.submit(forgets())
    jobs.stop(LEISURE)
    assert told.cancelled()


def test_what_takes_longer_to_close_than_anybody_waits_is_closed_all_the_same() -> None:
    closed, closing = threading.Event(), threading.Event()

    async def holds() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closing.wait()
            closed.set()

    jobs = Jobs()
    jobs.submit(holds())
    jobs.stop(0.0)
    assert not closed.is_set()
    closing.set()
    assert closed.wait(LEISURE)


def test_a_server_whose_clock_is_ahead_shows_no_progress_below_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "expect", lambda kind: 20.0)
    job = Job("a")
    job.tell(News(Phase.WORKING, time.monotonic() + 1))
    assert job.progress == 0


def test_all_who_join_wait_for_the_same_call(jobs: Jobs) -> None:
    gate = threading.Event()
    engine = Engine(RESULT, gate=gate)
    with ThreadPoolExecutor(8) as pool:
        joined = list(pool.map(lambda _: join(jobs, "a", engine), range(8)))
    gate.set()
    assert all(outcome(job) == RESULT for job in joined)
    assert engine.calls == 1


def test_who_joins_after_the_end_gets_the_same_result(jobs: Jobs) -> None:
    engine = Engine(RESULT)
    assert outcome(join(jobs, "a", engine)) == RESULT
    assert outcome(join(jobs, "a", engine)) == RESULT
    jobs.deliver("a")
    assert outcome(join(jobs, "a", engine)) == RESULT
    assert engine.calls == 1


def test_news_comes_in_order_and_with_the_partial_result(jobs: Jobs) -> None:
    gate = threading.Event()
    job = join(jobs, "a", Engine(RESULT, gate=gate))
    seen = []
    for _ in watch([job], 0.01):
        news = job.news
        seen.append(news.phase)
        if news.partial:
            assert (news.partial, news.drafts, news.tries) == (PARTIAL, 1, 1)
            gate.set()
    assert gate.is_set()
    assert seen[-1] is Phase.WORKING
    assert job.news.phase is Phase.ENDED
    assert job.news.partial is None


def test_the_first_of_several_jobs_to_end_ends_the_watch(jobs: Jobs) -> None:
    never = join(jobs, "never", Engine(RESULT, gate=threading.Event()))
    soon = join(jobs, "soon", Engine(RESULT))
    for _ in watch([never, soon], 60):
        pass
    assert soon.news.outcome == RESULT
    assert never.news.phase is not Phase.ENDED
    assert not never.listeners


def test_many_who_watch_look_less_often_each(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()

    class Note(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return True

    job = join(jobs, "a", Engine(RESULT, gate=threading.Event()))
    monkeypatch.setattr(threading, "Event", Note)
    watches = [cast("Watch", watch([job])) for _ in range(table.LOOKS_PER_SECOND)]
    for one in watches:
        next(one)
    next(watches[0])
    assert pauses.pop() == 1
    for one in watches[1:]:
        one.close()
    next(watches[0])
    assert pauses.pop() == 0.1
    watches[0].close()
    assert not table._watchers


def test_a_passing_failure_is_tried_again_whoever_waits(jobs: Jobs) -> None:
    engine = Engine(PASSING, PASSING, RESULT)
    job = join(jobs, "a", engine)
    assert outcome(job) == RESULT
    assert (engine.calls, job.news.tries, job.news.max_tries) == (3, 3, 3)
    assert job.news.setback == "connection"


def test_tries_are_counted_and_end(jobs: Jobs) -> None:
    engine = Engine(*[PASSING] * 9)
    for _ in range(9):
        assert outcome(join(jobs, "a", engine)) == PASSING
    assert engine.calls == 3


def test_with_one_try_there_is_one_try(jobs: Jobs) -> None:
    engine = Engine(PASSING, RESULT)
    assert outcome(join(jobs, "a", engine, tries=1)) == PASSING
    assert engine.calls == 1


def test_a_lasting_failure_is_not_tried_again(jobs: Jobs) -> None:
    engine = Engine(LASTING, RESULT)
    assert outcome(join(jobs, "a", engine)) == LASTING
    assert outcome(join(jobs, "a", engine)) == LASTING
    assert engine.calls == 1


def test_what_may_have_been_billed_is_counted_and_left_to_the_person(jobs: Jobs) -> None:
    slow = Problem("too slow", "It may have been billed.", billed=True)
    cut = Problem("cut off", "Cut off.", retry=True, billed=True)
    engine = Engine(cut, slow, RESULT)
    job = join(jobs, "a", engine)
    assert outcome(job) == slow
    assert (engine.calls, job.news.lost) == (2, 2)
    free = join(jobs, "b", Engine(PASSING, RESULT))
    assert outcome(free) == RESULT
    assert free.news.lost == 0


@pytest.mark.parametrize("told", [None, 0.0])
def test_the_pause_doubles_with_each_try(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, told: float | None
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    pauses = []

    def pause(problem: Problem, wait: float, tries: int) -> float:
        pauses.append(pause_before_next(problem, wait, tries))
        return pauses[-1]

    for module in ("utils.jobs.table", "utils.shared.jobs"):
        monkeypatch.setattr(f"{module}.pause_before_next", pause)
    passing = replace(PASSING, retry_after=told)
    engine = Engine(passing, passing, RESULT)
    assert outcome(join(jobs, "a", engine, wait=0.1)) == RESULT
    assert pauses == [0.1, 0.2]
    gaps = [later - earlier for earlier, later in pairwise(engine.began)]
    # Two clocks may differ by a little.
    assert all(gap > 0.95 * waited for gap, waited in zip(gaps, pauses, strict=True))


def test_the_server_is_waited_for_as_long_as_it_asked(jobs: Jobs) -> None:
    engine = Engine(Problem("rate limit", "Wait.", True, retry_after=400), RESULT)
    job = join(jobs, "a", engine)
    wait_for(job, Phase.PAUSED)
    assert job.news.resume_at - job.news.since == pytest.approx(400, abs=0.1)
    assert (job.news.partial, job.news.drafts) == (None, 0)


def test_a_pause_takes_nobodys_place(jobs: Jobs) -> None:
    paused = join(
        jobs, "a", Engine(Problem("busy", "Wait.", True, retry_after=60), RESULT), lane=ONE
    )
    wait_for(paused, Phase.PAUSED)
    assert outcome(join(jobs, "b", Engine(RESULT), lane=ONE)) == RESULT


def test_a_bug_in_the_call_ends_the_job_and_its_text_is_not_logged(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(RuntimeError("sk-secret and a prompt"), RESULT)
    assert outcome(join(jobs, "a", engine)) == UNKNOWN
    assert engine.calls == 1
    assert "RuntimeError" in caplog.text
    assert "test_jobs.py" in caplog.text
    assert "sk-secret" not in caplog.text


def test_each_try_has_its_own_clock_for_the_pace(jobs: Jobs) -> None:
    outcome(join(jobs, "a", Engine(PASSING, RESULT), kind="paced", wait=0.5))
    expected = pace.expect("paced")
    assert expected is not None
    assert expected < 0.3


def test_cancel_reaches_a_job_that_works(jobs: Jobs) -> None:
    engine = Engine(RESULT, gate=threading.Event())
    job = join(jobs, "a", engine)
    wait_for(job, Phase.WORKING)
    assert jobs.cancel("a") is job
    assert outcome(job) == CANCELLED
    assert job.news.lost == 1
    assert engine.cancelled.wait(1)


def test_what_a_cancelled_call_still_says_is_no_news(jobs: Jobs) -> None:
    job = join(jobs, "a", Engine(RESULT, gate=threading.Event()))
    wait_for(job, Phase.WORKING)
    jobs.cancel("a")
    ended = job.news
    job.tell_partial("late")
    job.tell(News(Phase.WORKING, tries=7))
    assert job.news == ended


def test_cancel_reaches_a_job_that_waits_for_its_next_try(jobs: Jobs) -> None:
    engine = Engine(Problem("rate limit", "Wait.", True, retry_after=60), RESULT)
    job = join(jobs, "a", engine)
    wait_for(job, Phase.PAUSED)
    jobs.cancel("a")
    # What has failed so far cost nothing, and nothing is under way.
    assert outcome(join(jobs, "a", engine)) == NOT_BEGUN
    assert engine.calls == 1
    assert job.news.lost == 0


def test_what_may_have_been_billed_is_said_of_a_job_that_is_cancelled_after_it(jobs: Jobs) -> None:
    engine = Engine(Problem("broken", "Wait.", retry=True, billed=True, retry_after=60), RESULT)
    job = join(jobs, "a", engine)
    wait_for(job, Phase.PAUSED)
    jobs.cancel("a")
    assert outcome(join(jobs, "a", engine)) == CANCELLED
    assert job.news.lost == 1


def test_a_call_whose_own_task_is_cancelled_ends_its_job(jobs: Jobs) -> None:
    assert outcome(join(jobs, "a", Engine(asyncio.CancelledError()))) == UNKNOWN


def test_a_job_that_is_cancelled_before_it_begins_never_begins(jobs: Jobs) -> None:
    engine = Engine(RESULT)
    assert jobs.cancel("a").news.outcome == NOT_BEGUN
    assert outcome(join(jobs, "a", engine)) == NOT_BEGUN
    assert engine.calls == 0


def test_what_was_cancelled_in_line_was_not_billed(jobs: Jobs) -> None:
    first = join(jobs, "a", Engine(RESULT, gate=threading.Event()), lane=ONE)
    wait_for(first, Phase.WORKING)
    second = join(jobs, "b", Engine(RESULT), lane=ONE)
    assert jobs.cancel("b") is second
    assert (second.news.outcome, second.news.lost) == (NOT_BEGUN, 0)


def test_cancel_never_loses_a_result_that_is_there(jobs: Jobs) -> None:
    job = join(jobs, "a", Engine(RESULT))
    outcome(job)
    assert jobs.cancel("a") is job
    assert outcome(job) == RESULT


def test_more_jobs_than_places_wait_in_line_and_know_their_place(jobs: Jobs) -> None:
    gates = [threading.Event() for _ in range(5)]
    engines = [Engine(RESULT, gate=gate) for gate in gates]
    line = []
    for number, engine in enumerate(engines):
        line.append(join(jobs, str(number), engine, lane=LANE))
        if number < 2:
            wait_for(line[number], Phase.WORKING)
    wait_until(lambda: [jobs.ahead(job) for job in line[2:]] == [0, 1, 2], 5)
    jobs.cancel("3")
    wait_until(lambda: [jobs.ahead(line[2]), jobs.ahead(line[4])] == [0, 1], 5)
    gates[0].set()
    wait_until(lambda: sum(engine.calls for engine in engines) == 3, 5)
    # Several servers may take what came within the same moment in another order.
    begun = [engine.calls for engine in engines]
    assert begun in (
        [[1, 1, 1, 0, 0]] if isinstance(jobs, Jobs) else [[1, 1, 1, 0, 0], [1, 1, 0, 0, 1]]
    )
    for gate in gates:
        gate.set()
    assert outcome(line[4]) == RESULT


def test_who_needs_no_place_takes_none(jobs: Jobs) -> None:
    """A wait for a person must not stop everybody else's work."""
    waits = [join(jobs, f"person {n}", Engine(RESULT, gate=threading.Event())) for n in range(9)]
    for job in waits:
        wait_for(job, Phase.WORKING)
    other = join(jobs, "other lane", Engine(RESULT), lane=OTHER)
    assert outcome(other) == RESULT
    assert jobs.ahead(other) == 0


def test_the_table_knows_what_runs_and_what_has_ended(jobs: Jobs) -> None:
    assert jobs.find("a") is None
    gate = threading.Event()
    job = join(jobs, "a", Engine(RESULT, gate=gate))
    assert jobs.find("a") is job
    gate.set()
    outcome(job)
    assert jobs.find("a") is job


def test_the_table_knows_what_has_failed(jobs: Jobs) -> None:
    assert not jobs.has_failed("a")
    gate = threading.Event()
    job = join(jobs, "a", Engine(LASTING, gate=gate))
    assert not jobs.has_failed("a")
    gate.set()
    outcome(job)
    assert jobs.has_failed("a")
    outcome(join(jobs, "b", Engine(RESULT)))
    assert not jobs.has_failed("b")


def test_what_no_page_has_fetched_is_kept_before_what_was_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "KEEP_DELIVERED", 3)
    jobs = Jobs()
    outcome(join(jobs, "nobody came", Engine(RESULT)))
    for number in range(9):
        outcome(join(jobs, str(number), Engine(RESULT)))
        jobs.deliver(str(number))
    assert jobs.find("nobody came")
    assert [n for n in range(9) if jobs.find(str(n))] == [6, 7, 8]
    jobs.stop()


@pytest.mark.parametrize("delivered", [False, True])
def test_what_has_ended_is_known_for_a_day(
    monkeypatch: pytest.MonkeyPatch, *, delivered: bool
) -> None:
    now = [0.0]
    monkeypatch.setattr(table, "TTLCache", partial(TTLCache, timer=lambda: now[0]))
    jobs = Jobs()
    outcome(join(jobs, "a", Engine(RESULT)))
    if delivered:
        jobs.deliver("a")
    now[0] = 86_399
    assert jobs.find("a")
    now[0] = 86_400
    assert not jobs.find("a")
    jobs.stop()


@pytest.mark.parametrize("how", ["ended", "cancelled"])
def test_after_its_end_a_job_keeps_nothing_of_its_call(jobs: Jobs, how: str) -> None:
    gate = threading.Event()
    engine = Engine(RESULT, gate=gate)
    kept = weakref.ref(engine)
    job = join(jobs, "a", engine)
    wait_for(job, Phase.WORKING)
    if how == "ended":
        gate.set()
        outcome(job)
    else:
        jobs.cancel("a")
        assert engine.cancelled.wait(1)
    del engine
    ENGINES.clear()
    until = time.monotonic() + 5
    while kept() and time.monotonic() < until:
        jobs.submit(asyncio.sleep(0)).result()
        gc.collect()
    assert kept() is None


def test_after_a_stop_no_place_is_taken() -> None:
    table = Jobs()
    first = join(table, "a", Engine(RESULT, gate=threading.Event()), lane=ONE)
    wait_for(first, Phase.WORKING)
    # It waits in line, which ties the place to the loop that ends.
    join(table, "b", Engine(RESULT), lane=ONE)
    table.stop()
    gate = threading.Event()
    held = join(table, "c", Engine(RESULT, gate=gate), lane=ONE)
    wait_for(held, Phase.WORKING)
    waits = join(table, "d", Engine(RESULT), lane=ONE)
    gate.set()
    assert [outcome(job) for job in (held, waits)] == [RESULT, RESULT]
    table.stop()


def test_stop_ends_what_runs() -> None:
    jobs = Jobs()
    engine = Engine(RESULT, gate=threading.Event())
    job = join(jobs, "a", engine)
    wait_for(job, Phase.WORKING)
    jobs.stop()
    assert outcome(job) == CANCELLED
    assert engine.cancelled.is_set()
    jobs.stop()
