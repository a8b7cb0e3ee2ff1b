"""Several servers with one store: here each is a table of jobs of its own, with its own loop."""

import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, cast

import pytest
import redis

from tests.stores import ENGINE, LEISURE, Text, outcome, wait_until
from tests.valkey import Valkey
from utils import signing
from utils.backends import check_store
from utils.jobs.outcomes import (
    CANCELLED,
    INTERRUPTED,
    NOT_BEGUN,
    STORE_AWAY,
    UNKNOWN,
    FailedError,
    Problem,
)
from utils.jobs.table import Job, Lane, Phase
from utils.review.blobs import blobs
from utils.review.records import Order, Wish
from utils.settings import check_settings, get_settings, store_address
from utils.shared import codec, connection, scripts
from utils.shared.blobs import SharedBlobs
from utils.shared.jobs import LOOK, MOST_WORKERS, SIGN, SharedJobs, _heard, _keys
from utils.shared.orders import read_order, write_order

# Of a server that stood still some connections are closed by the garbage collector alone.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RESULT = Text("a result")
LANE = Lane("test", 2)
ORDER = Order("test", "a", Wish("a fox", ENGINE), "sk-typed", "owner")


class Calls:
    """What all servers call: it counts, and answers when its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.made: list[str] = []
        self.running = self.most = 0
        self.keys: set[str] = set()
        self.stopped = threading.Event()
        self.draft: object = Text("a draft")
        self.outcome: Callable[[], object] = lambda: RESULT

    def make(self, order: Order) -> Any:
        self.keys.add(order.key)

        async def call(on_partial: Callable[[object], None]) -> object:
            self.made.append(order.id)
            self.running += 1
            self.most = max(self.most, self.running)
            on_partial(self.draft)
            try:
                while not self.gate.is_set():
                    await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                self.stopped.set()
                raise
            finally:
                self.running -= 1
            return self.outcome()

        return call


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def servers(
    shared_store: Valkey, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], SharedJobs]]:
    """Starts one more server."""
    monkeypatch.setenv("SHUTDOWN_SECONDS", "0.2")
    get_settings.cache_clear()
    started = []

    def start(*, works: bool = True, lane: Lane = LANE) -> SharedJobs:
        server = SharedJobs()
        server.serve(calls.make, [lane], (Text,), works=works)
        started.append(server)
        return server

    yield start
    calls.gate.set()
    for server in started:
        server.stop(LEISURE)
    started.clear()
    gc.collect()


def join(server: SharedJobs, job_id: str = "a", tries: int = 1, lane: Lane = LANE) -> Job:
    order = Order("test", job_id, ORDER.wish, ORDER.key, ORDER.owner)
    return server.join(job_id, no_call, order=order, lane=lane, tries=tries, wait=0.01)


async def no_call(_: object) -> object:
    raise AssertionError("the call of the server that was asked")


def freeze(server: SharedJobs) -> Callable[[], None]:
    """Let a server stand still, as by kill -9 or SIGSTOP; return what wakes it."""
    loop = server._local._running_loop()
    awake, asleep = threading.Event(), threading.Event()

    def sleep() -> None:
        asleep.set()
        awake.wait()

    loop.call_soon_threadsafe(sleep)
    assert asleep.wait(5)
    return awake.set


def test_an_end_without_a_beginning_is_found_by_all_servers(
    servers: Callable[..., SharedJobs],
) -> None:
    # As a click while the store went away leaves it: all that is known is that it was withdrawn.
    one, two = servers(), servers()
    assert outcome(one.cancel("b")) == NOT_BEGUN
    for _ in range(2):
        job = two.find("b")
        assert job
        assert outcome(job) == NOT_BEGUN


def test_a_cancel_that_redis_has_forgotten_counts_at_the_next_bell() -> None:
    async def forgets() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await _heard(asyncio.Event(), 60)

    async def tell() -> None:
        task = asyncio.create_task(forgets())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    asyncio.run(tell())


def test_docket_asks_whether_a_connection_is_still_one(shared_store: Valkey) -> None:
    # What a network loses without a word cannot be made here; what helps against it can be seen.
    pool = redis.asyncio.ConnectionPool.from_url(connection.docket_address())
    assert pool.connection_kwargs["health_check_interval"] == 10


def test_a_click_on_any_server_is_one_call_and_everybody_sees_it(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    one, two = servers(), servers()
    joined = [join(server) for server in (one, two, one, two)]
    wait_until(lambda: all(job.news.partial == Text("a draft") for job in joined))
    assert [job.news.drafts for job in joined] == [1] * 4
    calls.gate.set()
    assert [outcome(job) for job in joined] == [RESULT] * 4
    assert calls.made == ["a"]
    late = servers().find("a")
    assert late
    assert late.news.outcome == RESULT


@pytest.mark.parametrize("ahead", [95, -95])
def test_how_long_a_job_goes_on_is_the_same_where_clocks_differ(
    servers: Callable[..., SharedJobs], calls: Calls, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    one, two = servers(), servers()
    clock = time.time
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(time, "time", lambda: clock() + ahead)
        join(one)
        wait_until(lambda: calls.made)
    assert 0 <= found(two).seconds < 60


def test_a_draft_that_cannot_travel_takes_nothing_from_its_call(
    servers: Callable[..., SharedJobs], calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = servers(works=False), servers()
    calls.draft = {"words": "a secret fox"}
    join(one)
    wait_until(lambda: calls.made)
    wait_until(lambda: "no dict travels" in caplog.text)
    # Its worker still hears that a call is cancelled.
    one.cancel("a")
    assert calls.stopped.wait(10)
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "result", [{"words": "a secret fox"}, Text(cast("Any", {1, 2}), cast("Any", object())), None]
)
def test_a_result_that_cannot_travel_is_no_restart(
    servers: Callable[..., SharedJobs],
    calls: Calls,
    caplog: pytest.LogCaptureFixture,
    result: object,
) -> None:
    calls.outcome = lambda: result
    calls.gate.set()
    job = join(servers())
    assert outcome(job) == UNKNOWN
    assert job.news.lost == 1
    assert f"no {type(result).__name__} travels" in caplog.text
    assert "secret" not in caplog.text


def test_a_job_is_found_and_cancelled_from_another_server(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    one, two = servers(), servers()
    job = join(one)
    wait_until(lambda: calls.made)
    found = two.find("a")
    assert found
    assert found.news.phase is Phase.WORKING
    assert two.cancel("a").news.outcome == CANCELLED
    assert calls.stopped.wait(1)
    assert outcome(job) == CANCELLED
    assert job.news.lost == 1


def test_a_cancel_that_nobody_hears_of_stops_the_call_all_the_same(
    servers: Callable[..., SharedJobs], calls: Calls, shared_store: Valkey
) -> None:
    job = join(servers())
    wait_until(lambda: calls.made)
    record = codec.write(CANCELLED)
    shared_store.client().hset(
        "review:job:a", mapping={"outcome": record, "ended_by": "cancelled", "phase": "ended"}
    )
    assert calls.stopped.wait(2)
    assert outcome(job) == CANCELLED


def test_one_bound_holds_for_all_servers(servers: Callable[..., SharedJobs], calls: Calls) -> None:
    tables = [servers() for _ in range(3)]
    jobs = [join(tables[number % 3], str(number)) for number in range(7)]
    wait_until(lambda: calls.running == LANE.places)
    wait_until(lambda: tables[0].count(Phase.QUEUED) == 5)
    assert sum(table.count(Phase.WORKING) for table in tables) == LANE.places
    with pytest.raises(AssertionError):
        wait_until(lambda: calls.running > LANE.places, 1)
    calls.gate.set()
    assert [outcome(job) for job in jobs] == [RESULT] * 7
    assert calls.most == LANE.places
    assert sorted(calls.made) == [str(number) for number in range(7)]


def test_many_places_are_all_taken_by_few_workers(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    lane = Lane("wide", 2 * MOST_WORKERS + 1)
    server = servers(lane=lane)
    jobs = [join(server, str(number), lane=lane) for number in range(lane.places + 1)]
    wait_until(lambda: calls.running == lane.places)
    assert len(server._workers) == MOST_WORKERS
    calls.gate.set()
    assert [outcome(job) for job in jobs] == [RESULT] * len(jobs)
    assert calls.most == lane.places


def test_a_server_without_workers_leaves_the_calls_to_others(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    calls.gate.set()
    page = servers(works=False)
    job = join(page)
    wait_until(lambda: page.ahead(job) == 0 and page.count(Phase.QUEUED) == 1)
    assert not calls.made
    assert asyncio.run(page.check()) == "no worker makes calls"
    servers()
    assert outcome(job) == RESULT
    wait_until(lambda: not asyncio.run(page.check()))


@pytest.mark.slow
def test_who_dies_after_the_mark_leaves_it_interrupted_and_nobody_calls_again(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    dies, page = servers(), servers(works=False)
    job = join(page)
    wait_until(lambda: calls.made)
    wake = freeze(dies)
    lives = servers()
    assert outcome(job) == INTERRUPTED
    assert job.news.lost == 1
    again = lives.find("a")
    assert again
    # It was only asleep, and goes on: what comes late after all takes the message's place.
    wake()
    assert not calls.stopped.wait(3 * SIGN)
    calls.gate.set()
    wait_until(lambda: found(page).news.outcome == RESULT)
    assert found(page).news.lost == 0
    assert calls.made == ["a"]


def found(server: SharedJobs) -> Job:
    job = server.find("a")
    assert job
    return job


@pytest.mark.slow
def test_that_somebody_died_is_told_though_others_have_taken_the_place(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    dies, page = servers(), servers(works=False)
    lost = [join(page, "a"), join(page, "b")]
    wait_until(lambda: calls.running == LANE.places)
    wake = freeze(dies)
    servers()
    line = [join(page, "c"), join(page, "d")]
    assert [outcome(job) for job in lost] == [INTERRUPTED] * 2
    wait_until(lambda: calls.made[2:])
    assert not [job for job in line if job.news.phase is Phase.ENDED]
    wake()


def test_an_answer_that_waits_for_the_store_asks_it_again(
    servers: Callable[..., SharedJobs],
) -> None:
    server = servers()
    wait_until(server._ready.is_set)
    asked = []

    async def ask_in_a_thread() -> object:
        asked.append(True)
        if len(asked) == 1:
            # As `connection.ask` does while the store is away.
            raise connection.StoreAwayError
        return await asyncio.to_thread(connection.ask, lambda store: store.ping())

    assert server.submit(server._until_back(ask_in_a_thread)).result(10)
    assert len(asked) == 2


@pytest.mark.slow
def test_who_dies_before_the_mark_leaves_it_to_others(
    servers: Callable[..., SharedJobs], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = threading.Event()
    real = SharedJobs._work

    async def die(self: SharedJobs, *about: Any) -> None:
        if not at_work.is_set():
            at_work.set()
            await asyncio.sleep(3600)
        await real(self, *about)

    monkeypatch.setattr(SharedJobs, "_work", die)
    calls.gate.set()
    dies, page = servers(), servers(works=False)
    job = join(page)
    assert at_work.wait(5)
    wake = freeze(dies)
    servers()
    assert outcome(job) == RESULT
    assert calls.made == ["a"]
    wake()


def test_who_stops_hands_on_what_waits_and_waits_for_what_runs(
    servers: Callable[..., SharedJobs], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUTDOWN_SECONDS", "10")
    get_settings.cache_clear()
    stops, page = servers(), servers(works=False)
    jobs = [join(page, str(number)) for number in range(3)]
    wait_until(lambda: calls.running == LANE.places)
    stopping = threading.Thread(target=stops.stop)
    stopping.start()
    wait_until(lambda: stops._workers[0].cancelling())
    # The page hears of what has begun a little later.
    wait_until(lambda: sum(job.news.tries for job in jobs) == LANE.places)
    calls.gate.set()
    ended = [job for job in jobs if job.news.tries]
    assert [outcome(job) for job in ended] == [RESULT] * 2
    stopping.join(10)
    assert not stopping.is_alive()
    assert len(calls.made) == LANE.places
    servers()
    assert [outcome(job) for job in jobs] == [RESULT] * 3
    assert sorted(calls.made) == ["0", "1", "2"]


def test_what_does_not_end_before_its_server_does_was_interrupted(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    stops, page = servers(), servers(works=False)
    job = join(page)
    wait_until(lambda: calls.made)
    stops.stop()
    assert outcome(job) == INTERRUPTED
    assert job.news.lost == 1
    calls.gate.set()
    servers()
    # Whoever takes what comes after it has left it alone.
    assert outcome(join(page, "b")) == RESULT
    assert calls.made == ["a", "b"]


@pytest.mark.filterwarnings("error")
def test_a_server_that_has_no_time_left_closes_its_connections_all_the_same(
    shared_store: Valkey, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: left.append(args.exc_value))
    monkeypatch.setattr("utils.shared.jobs.SIGN", 0.0)
    monkeypatch.setenv("SHUTDOWN_SECONDS", "0")
    get_settings.cache_clear()
    stops = SharedJobs()
    stops.serve(calls.make, [LANE], (Text,), works=True)
    join(stops)
    wait_until(lambda: calls.made)
    loop = stops._local._running_loop()
    stops.stop(0.0)
    wait_until(loop.is_closed)
    del stops, loop
    gc.collect()
    assert left == []


def test_while_the_store_is_away_nothing_begins_and_nothing_is_billed(
    servers: Callable[..., SharedJobs], calls: Calls, shared_store: Valkey
) -> None:
    server = servers()
    calls.gate.set()
    assert outcome(join(server, "before")) == RESULT
    shared_store.kill()
    try:
        assert not server.has_failed("meanwhile")
        assert outcome(join(server, "meanwhile")) == STORE_AWAY
        assert not STORE_AWAY.billed
        # A page that looks only now must not wait for it.
        found = server.find("meanwhile")
        assert found
        assert found.news.outcome == STORE_AWAY
        assert server.count(Phase.QUEUED) == 0
        assert asyncio.run(server.check()) == "the store is away"
    finally:
        shared_store.start()
    wait_until(lambda: not asyncio.run(server.check()))
    # The page has said that it was not begun: it never is.
    wait_until(lambda: shared_store.client().hget("review:job:meanwhile", "phase") == b"ended")
    assert outcome(join(server, "after")) == RESULT
    assert calls.made == ["before", "after"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refuse", "take_again"),
    [
        (
            "CONFIG SET maxmemory-policy noeviction maxmemory 1",
            "CONFIG SET maxmemory-policy volatile-lru maxmemory 512mb",
        ),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ],
)
def test_a_store_that_only_answers_what_reads_is_away(
    servers: Callable[..., SharedJobs],
    shared_store: Valkey,
    caplog: pytest.LogCaptureFixture,
    refuse: str,
    take_again: str,
) -> None:
    server = servers()
    wait_until(lambda: not asyncio.run(server.check()))
    with shared_store.client() as store:
        store.execute_command(*refuse.split())
        until = time.monotonic() + 3 * LOOK
        while time.monotonic() < until:
            assert asyncio.run(server.check()) == "the store is away"
            server.has_failed("a")
            time.sleep(0.1)
        assert [one.message[:17] for one in caplog.records].count("the store is away") == 1
        assert "is back" not in caplog.text
        store.execute_command(*take_again.split())
    # As after so many seconds.
    connection._away["refuses"] = 0.0
    wait_until(lambda: not asyncio.run(server.check()))
    assert "is back" in caplog.text


def test_connections_that_the_store_has_closed_are_no_reason_to_refuse_a_click(
    servers: Callable[..., SharedJobs], calls: Calls, shared_store: Valkey
) -> None:
    server = servers()
    calls.gate.set()
    for number in range(5):
        assert outcome(join(server, str(number))) == RESULT
        shared_store.client().client_kill_filter(_type="normal")
    assert outcome(join(server, "after")) == RESULT


def test_a_crowd_that_clicks_at_one_moment_is_no_store_that_is_away(
    servers: Callable[..., SharedJobs], calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    server = servers()
    crowd = [join(server, str(number)) for number in range(200)]
    with ThreadPoolExecutor(200) as threads:
        list(threads.map(server.ahead, crowd))
    wait_until(lambda: server.count(Phase.QUEUED) + len(calls.made) == len(crowd))
    assert all(job.news.phase is not Phase.ENDED for job in crowd)
    assert "the store is away" not in caplog.text
    for job in crowd:
        server.cancel(job.id)
    wait_until(lambda: not server._bells)


@pytest.mark.parametrize("when", ["during the call", "at the answer"])
def test_a_call_in_flight_brings_its_result_when_the_store_is_back(
    servers: Callable[..., SharedJobs], calls: Calls, shared_store: Valkey, when: str
) -> None:
    job = join(servers())
    wait_until(lambda: calls.made)
    calls.outcome = lambda: Text(blobs.put("owner", b"made meanwhile"))
    shared_store.kill()
    try:
        if when == "at the answer":
            calls.gate.set()
            wait_until(lambda: not calls.running)
    finally:
        shared_store.start()
    calls.gate.set()
    made = outcome(job)
    assert isinstance(made, Text)
    assert SharedBlobs().get(made.name) == b"made meanwhile"
    assert calls.made == ["a"]


def test_nobody_is_dead_who_could_give_no_sign_while_the_store_was_away(
    servers: Callable[..., SharedJobs],
    calls: Calls,
    shared_store: Valkey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works, other = servers(), servers()
    job = join(works)
    wait_until(lambda: calls.made)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 60)
    # It finds the store last.
    wake = freeze(works)
    shared_store.kill()
    try:
        wait_until(lambda: connection._away["since"])
    finally:
        shared_store.start()
    shared_store.client().hincrbyfloat("review:job:a", "alive", -60)
    # As docket has it begun that was handed out for longer than a lease.
    again = other._until_back(lambda: other._begin(LANE.name, "a", 1, "other"))
    assert other.submit(again).result(10) == b"alive"
    wake()
    calls.gate.set()
    assert outcome(job) == RESULT
    assert calls.made == ["a"]


def test_a_store_that_does_not_answer_holds_nobody_up(
    servers: Callable[..., SharedJobs],
    calls: Calls,
    shared_store: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
    connection.client.cache_clear()
    server, table = servers(), SharedBlobs()
    name = table.put("owner", b"a fox", thumbnail=b"f")
    join(server)
    wait_until(lambda: calls.made)
    shared_store.pause()
    try:
        assert server.cancel("a").news.outcome == CANCELLED
        began = time.monotonic()
        for _ in range(100):
            assert table.missing([name]) == set()
            assert (table.get(name), table.get(name, "thumbnail")) == (b"a fox", b"f")
            assert table.get("never seen") is None
            assert table.has_room("owner", 10)
        assert not table.has_room("owner", table.share + 1)
        late = table.put("owner", b"put meanwhile")
        # Some may wait for the store to answer, and not each of them.
        assert time.monotonic() - began < 100 * connection.ANSWER_SECONDS / 3
        assert not calls.stopped.is_set()
    finally:
        shared_store.resume()
    assert calls.stopped.wait(5)
    wait_until(lambda: not asyncio.run(server.check()))
    table.hold("owner", [name, late])
    assert SharedBlobs().get(late) == b"put meanwhile"
    # The log says it once, and once that it is over.
    assert caplog.text.count("the store is away") == 1
    assert caplog.text.count("the store is back") == 1


def test_a_job_that_the_store_has_lost_is_not_waited_for(
    servers: Callable[..., SharedJobs], calls: Calls, shared_store: Valkey
) -> None:
    job = join(servers())
    wait_until(lambda: calls.made)
    shared_store.client().flushall()
    assert outcome(job) == INTERRUPTED


def test_an_order_that_its_asker_did_not_bring_into_the_line_is_brought_by_who_waits(
    servers: Callable[..., SharedJobs], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.gate.set()
    dies = servers(works=False)

    async def die(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(dies, "_hand_on", die)
    join(dies)
    wait_until(lambda: dies.count(Phase.QUEUED))
    assert outcome(join(servers())) == RESULT


def test_what_was_brought_into_the_line_without_an_answer_is_waited_for(
    servers: Callable[..., SharedJobs], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.gate.set()
    server = servers()
    bring = server._hand_on

    async def bring_and_hear_nothing(*about: Any) -> None:
        await bring(*about)
        raise redis.exceptions.ConnectionError

    monkeypatch.setattr(server, "_hand_on", bring_and_hear_nothing)
    assert outcome(join(server)) == RESULT
    assert calls.made == ["a"]


def test_what_another_version_has_written_keeps_nobody_waiting(
    servers: Callable[..., SharedJobs], shared_store: Valkey
) -> None:
    server = servers(works=False)
    job = join(server)
    wait_until(lambda: server.count(Phase.QUEUED))
    strange = '["Picture of tomorrow", {"name": "x"}]'
    written: Any = {"phase": "ended", "partial": strange, "outcome": strange, "ended_by": "result"}
    shared_store.client().hset("review:job:a", mapping=written)
    assert outcome(job) == UNKNOWN
    other = servers(works=False)
    assert found(other).news.outcome == UNKNOWN
    assert servers(works=False).cancel("a").news.outcome == UNKNOWN


def test_a_long_wait_in_line_keeps_nobody_behind_it_from_beginning(
    servers: Callable[..., SharedJobs], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What wakes a line that nothing else wakes comes too late to be of help here.
    monkeypatch.setenv("LEASE_SECONDS", "60")
    monkeypatch.setattr("utils.shared.jobs.LOOK", 0.02)
    monkeypatch.setattr("utils.shared.jobs.HAND_ON_EACH", 1)
    looks = Counter[str]()
    real = SharedJobs._hand_on

    async def hand_on(self: SharedJobs, lane: str, job_id: str, *about: Any) -> None:
        if looks["c"] < 20:
            await real(self, lane, job_id, *about)
        looks[job_id] += 1

    monkeypatch.setattr(SharedJobs, "_hand_on", hand_on)
    # The other one's workers are free, and bring what finds no place to docket's own line.
    server, _ = servers(), servers()
    for job_id in "ab":
        join(server, job_id)
    wait_until(lambda: calls.running == LANE.places)
    join(server, "c")
    wait_until(lambda: looks["c"] == 10)
    join(server, "d")
    wait_until(lambda: looks["c"] > 20 and looks["d"])
    server.cancel("a")
    wait_until(lambda: "c" in calls.made)
    server.cancel("b")
    wait_until(lambda: "d" in calls.made, 5)


def test_who_shares_no_secret_makes_no_call(
    servers: Callable[..., SharedJobs],
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    shared_store: Valkey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = servers(works=False)
    monkeypatch.setattr(signing, "_keys", [b"one secret"])
    job = join(page)
    wait_until(lambda: page.count(Phase.QUEUED))
    stored = [
        str(shared_store.client().hgetall(name))
        for name in shared_store.client().keys("review:job:*")
    ]
    assert stored
    assert not any("sk-typed" in value for value in stored)
    monkeypatch.setattr(signing, "_keys", [b"another secret"])
    servers()
    made = outcome(job)
    assert isinstance(made, Problem)
    assert not made.billed
    assert not calls.made
    assert "sealed by another secret" in caplog.text


def test_an_order_travels_whole_and_its_key_sealed() -> None:
    codec.learn(Text)
    text = write_order(ORDER)
    assert ORDER.key not in text
    assert read_order(text) == ORDER
    keyless = Order("test", "a", ORDER.wish, "", "owner")
    assert read_order(write_order(keyless)) == keyless
    for nonsense in ("", "[]", '["Order", {}]', '["os.system", "ls"]', codec.write(CANCELLED)):
        with pytest.raises(ValueError, match="no "):
            read_order(nonsense)


def test_only_what_is_known_travels() -> None:
    with pytest.raises(TypeError, match="no object travels"):
        codec.write(object())
    assert codec.read(codec.write("a sentence")) == "a sentence"
    with pytest.raises(ValueError, match="no snapshot"):
        codec.read_snapshot(b'{"attempts": 7}')


def test_a_setback_that_is_told_twice_is_one(shared_store: Valkey) -> None:
    # As it is where the answer to the first was lost.
    client = shared_store.client()
    keys = _keys("a", LANE.name)
    client.register_script(scripts.CREATE)(keys, ["a", 0, 60, "phase", "queued"])
    client.register_script(scripts.BEGIN)(keys, ["a", 0, 1, "somebody", 20, ""])
    pause = client.register_script(scripts.PAUSE)
    for _ in range(2):
        assert pause(keys, ["a", 0, 1, 1, 2]) == 1
    assert client.hget(keys[0], "lost") == b"1"


def test_a_job_that_was_found_while_the_store_was_away_has_its_lane(
    servers: Callable[..., SharedJobs], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = servers(), servers()
    join(one)
    wait_until(lambda: calls.made)

    def fail(_: object) -> None:
        raise connection.StoreAwayError

    with monkeypatch.context() as away:
        away.setattr("utils.shared.jobs.ask", fail)
        found = two.find("a")
    assert found
    wait_until(lambda: found.lane == Lane(LANE.name, 0))


def test_a_setback_is_passed_on_and_tries_are_counted_by_whoever_makes_them(
    servers: Callable[..., SharedJobs], calls: Calls
) -> None:
    outcomes: list[object] = [Problem("busy", "Busy.", retry=True, billed=True), RESULT]

    def answer() -> object:
        one = outcomes.pop(0)
        if isinstance(one, Problem):
            raise FailedError(one)
        return one

    calls.outcome = answer
    calls.gate.set()
    one, two = servers(), servers()
    job, other = join(one, tries=3), join(two, tries=3)
    assert outcome(job) == outcome(other) == RESULT
    assert (job.news.tries, job.news.lost, job.news.setback) == (2, 1, "busy")
    assert calls.made == ["a", "a"]


def test_who_follows_a_job_is_stopped_in_the_very_moment_that_brings_news(
    servers: Callable[..., SharedJobs],
) -> None:
    server = servers(works=False)
    join(server)
    wait_until(lambda: server._bells.get("a"))

    async def stop_with_news() -> None:
        (bell,) = server._bells["a"]
        (follower,) = [task for task in asyncio.all_tasks() if "_ask_for" in repr(task)]
        while not cast("Any", bell)._waiters:
            await asyncio.sleep(0)
        bell.set()
        follower.cancel()
        await asyncio.wait([follower], timeout=LOOK / 2)
        assert follower.cancelled()

    server.submit(stop_with_news()).result(10)


def test_cancelled_in_line_is_never_begun(servers: Callable[..., SharedJobs], calls: Calls) -> None:
    one, two = servers(), servers()
    running = [join(one, str(number)) for number in range(LANE.places)]
    wait_until(lambda: calls.running == LANE.places)
    job = join(one, "waits")
    wait_until(lambda: two.find("waits"))
    assert two.cancel("waits").news.outcome == NOT_BEGUN
    assert outcome(job) == NOT_BEGUN
    calls.gate.set()
    assert [outcome(one) for one in running] == [RESULT] * LANE.places
    assert "waits" not in calls.made


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("valkey://:secret@host:7/1", "redis://:secret@host:7/1"),
        ("valkeys://host", "rediss://host"),
        ("redis://host", "redis://host"),
        ("rediss://host", "rediss://host"),
    ],
)
def test_a_store_may_be_called_by_either_name(
    monkeypatch: pytest.MonkeyPatch, url: str, address: str
) -> None:
    monkeypatch.setenv("STORE_URL", url)
    get_settings.cache_clear()
    assert store_address() == address
    assert "secret" not in repr(get_settings())


def test_an_impossible_store_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORE_URL", "http://:secret@host")
    get_settings.cache_clear()
    assert check_settings() == (
        "STORE_URL should begin with one of redis, rediss, valkey, valkeys. "
        "Change it and start again."
    )


def test_what_sharing_a_store_lacks_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert check_store(is_secret_set=False) == ""
    monkeypatch.setenv("STORE_URL", "redis://host?socket_timeout=3")
    get_settings.cache_clear()
    assert check_store(is_secret_set=True) == ""
    assert "server.cookieSecret" in check_store(is_secret_set=False)
    monkeypatch.setattr("utils.backends.find_spec", lambda _: None)
    assert "requirements-shared.txt" in check_store(is_secret_set=True)


@pytest.mark.parametrize(
    "option", ["foo=1", "socket_timeout=long", "ssl_cert_reqs=none", "retry=1", "timeout=3"]
)
def test_an_option_that_no_connection_takes_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("STORE_URL", f"valkey://:secret@host/0?{option}")
    get_settings.cache_clear()
    assert check_store(is_secret_set=True) == (
        "STORE_URL has an option after its ? that cannot be used. Change it and start again."
    )
