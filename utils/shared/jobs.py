"""The jobs of all servers together: in the store's line, and carried out by whoever has a place.

docket holds the line: it hands out each try of a job, bounds how many run at once, and hands a dead
worker's tries on. That is at least once; the mark that is set just before a call makes it at most
once: where a try is handed out again whose call was begun, nobody calls again.
"""

import asyncio
import logging
import math
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, TypeVar, cast

from cachetools import TTLCache
from docket import ConcurrencyLimit, Docket, ExecutionState, Worker
from redis.exceptions import RedisError

from utils.jobs import pace
from utils.jobs.outcomes import (
    CANCELLED,
    INTERRUPTED,
    NOT_BEGUN,
    STORE_AWAY,
    UNKNOWN,
    Problem,
)
from utils.jobs.table import KEEP_SECONDS as KEEP_ENDED_SECONDS
from utils.jobs.table import (
    KEEP_UNDELIVERED,
    Call,
    Job,
    Jobs,
    Lane,
    News,
    Phase,
    cancel_tasks,
    outcome_of,
    pause_before_next,
)
from utils.review.blobs import blobs
from utils.review.records import Order
from utils.settings import get_settings
from utils.shared import codec, scripts
from utils.shared.blobs import SharedBlobs
from utils.shared.connection import (
    ANSWER_SECONDS,
    PAUSE,
    StoreAwayError,
    ask,
    async_client,
    client,
    docket_address,
    is_settled,
    key,
    note_away,
    note_back,
)
from utils.shared.orders import read_order, write_order

logger = logging.getLogger(__name__)

# In seconds: how often a job is looked at though no bell has rung, by who waits and by who works.
LOOK, SIGN = 1.0, 0.5
# Looks of a page from one time that it brings its job into the line to the next.
HAND_ON_EACH = 20
# A crowd that clicks at one moment must not take more connections than there may be.
HAND_ON_AT_ONCE = 16
MOST_WORKERS = 16
IN_LINE = (ExecutionState.SCHEDULED, ExecutionState.QUEUED, ExecutionState.RUNNING)

Answer = TypeVar("Answer")
Work = TypeVar("Work")
Make = Callable[[Order], Call]
Fields = Mapping[bytes, bytes]


class SharedJobs:
    """The table of jobs, in the store. The methods are those of `Jobs`.

    What is asked for without an order is done here, and by nobody else.
    """

    def __init__(self) -> None:
        self._local = Jobs()
        self._lock = threading.Lock()
        self._mirrors: TTLCache[str, Job] = TTLCache(KEEP_UNDELIVERED, KEEP_ENDED_SECONDS)
        self._places: dict[str, int] = {}
        self._make: Make
        # The types of redis serve texts and bytes, threads and loops at once: too much for mypy.
        self._store: Any = None
        self._docket: Docket
        self._ready = asyncio.Event()
        self._handing_on = asyncio.Semaphore(HAND_ON_AT_ONCE)
        self._bells: dict[str, set[asyncio.Event]] = {}
        self._running: dict[str, asyncio.Task[object]] = {}
        self._hearing: asyncio.Task[None]
        self._workers: list[asyncio.Task[None]] = []
        # By time.monotonic: since when nothing new is taken.
        self._rests_since = 0.0
        self._name = f"{socket.gethostname()}-{os.getpid()}-{random.getrandbits(32):x}"
        self._cancel_now = client().register_script(scripts.CANCEL)

    def serve(
        self, make: Make, lanes: Sequence[Lane], records: Sequence[type], *, works: bool
    ) -> None:
        """Take part in what all servers do; `make` returns the call that an order is for.

        `records` are what a result is, and what else of the engine's travels; `works` says whether
        calls are made here too, and not only asked for.
        """
        codec.learn(*records)
        self._make = make
        self.submit(self._take_part(lanes, works=works))
        self._rest_when_told()

    def join(
        self,
        job_id: str,
        call: Call,
        *,
        order: Order | None = None,
        lane: Lane | None = None,
        kind: Hashable = None,
        tries: int = 1,
        wait: float = 0.0,
    ) -> Job:
        """Return the job of this id; ask for it if nobody has. See `Jobs.join`."""
        if order is None or lane is None:
            return self._local.join(job_id, call, lane=lane, kind=kind, tries=tries, wait=wait)
        with self._lock:
            job = self._mirrors.get(job_id)
            if job is None:
                job = self._mirrors[job_id] = Job(job_id, kind, lane, tries)
                self.submit(self._ask_for(job, order, lane, tries, wait))
            job.kind = kind
            return job

    def find(self, job_id: str) -> Job | None:
        """Return the job of this id, if it runs or ended not too long ago."""
        if job := self._local.find(job_id):
            return job
        with self._lock:
            job = self._mirrors.get(job_id)
        if job and job.news.outcome != INTERRUPTED:
            return job
        try:
            fields, now = ask(lambda store: _fields_and_time(store, job_id))
        except StoreAwayError:
            fields, now = None, 0.0
        if fields == {}:
            return None
        found = Job(job_id)
        if fields:
            # What ended while the store knew nothing of it has its end there, and no beginning.
            asked = float(fields.get(b"asked", now))
            found.started = time.monotonic() - (now - asked)
            found.lane = Lane(fields.get(b"lane", b"").decode(), 0)
            found.tell(_news(fields))
        with self._lock:
            self._mirrors[job_id] = found
        if found.news.phase is not Phase.ENDED:
            self.submit(self._follow(found))
        return found

    def has_failed(self, job_id: str) -> bool:
        """Return whether the job of this id has ended with a Problem.

        Unlike `find` it takes none to be there of which a store that is away says nothing.
        """
        try:
            ended_by = ask(lambda store: store.hget(key("job", job_id), "ended_by"))
        except StoreAwayError:
            return False
        return ended_by not in (None, b"result")

    def ahead(self, job: Job) -> int:
        """Return how many jobs wait in line before `job`."""
        line = _line(_name(job))

        def count(store: Any) -> int:
            since = store.zscore(line, job.id)
            return 0 if since is None else int(store.zcount(line, "-inf", f"({since!r}"))

        try:
            return ask(count)
        except StoreAwayError:
            return 0

    def count(self, phase: Phase) -> int:
        """Return how many jobs are in this phase now: WORKING here, all others everywhere."""
        if phase is Phase.WORKING:
            return len(self._running)
        try:
            lines = [_line(lane) for lane in self._places]
            return sum(ask(lambda store: [store.zcard(line) for line in lines]))
        except StoreAwayError:
            return 0

    def cancel(self, job_id: str) -> Job:
        """Stop a job wherever it runs, and return it, ended. See `Jobs.cancel`."""
        if self._local.find(job_id):
            return self._local.cancel(job_id)
        with self._lock:
            job = self._mirrors.setdefault(job_id, Job(job_id))
        lane = _name(job)
        told = _cancellation(job_id)
        try:
            outcome, lost, tries = ask(lambda _: self._cancel_now(_keys(job_id, lane), told))
        except StoreAwayError:
            # Whether it has begun since the last look nobody can say.
            self._end(job, CANCELLED, job.news.lost + 1, max(1, job.news.tries))
            self.submit(self._withdraw(job_id, lane))
        else:
            self._end(job, _record(outcome, UNKNOWN), int(lost), int(tries))
        return job

    def deliver(self, job_id: str) -> None:
        """Note that a page has taken in how the job ended."""
        self._local.deliver(job_id)

    def submit(self, work: Coroutine[object, object, Work]) -> Future[Work]:
        """Run `work` on the loop of the jobs, outside every lane."""
        return self._local.submit(work)

    async def check(self) -> str:
        """Return why no job would be done now, '' where one would."""
        if sentence := await self._local.check():
            return sentence
        try:
            # It may answer, and take nothing in.
            await asyncio.to_thread(ask, lambda store: store.set(key("check", "health"), 1, ex=60))
            works = asyncio.wrap_future(self.submit(self._has_worker()))
            return "" if await asyncio.wait_for(works, ANSWER_SECONDS) else "no worker makes calls"
        except (StoreAwayError, RedisError, TimeoutError):
            return "the store is away"

    def stop(self, within: float = 1.0) -> None:
        """Wait for the calls in flight as long as the server is set to, and end the loop.

        What was not begun is done by others; what does not end in time was interrupted. On a busy
        machine the connections may still be closing when this returns.
        """
        seconds = get_settings().shutdown_seconds
        if self._store:
            left = self.submit(self._leave(seconds))
            try:
                left.result(seconds + 2 * SIGN + within)
            except TimeoutError:
                left.add_done_callback(lambda _: self._local.stop(0.0))
                return
        self._local.stop(within)

    async def _take_part(self, lanes: Sequence[Lane], *, works: bool) -> None:
        # It would tell each trouble of the store in twenty lines; ours are enough.
        logging.getLogger("docket").setLevel(logging.CRITICAL)
        self._store = async_client()
        self._hearing = asyncio.create_task(self._hear_bells())
        lease = timedelta(seconds=get_settings().lease_seconds)
        docket = Docket(name="review:docket", url=docket_address())
        self._places = {lane.name: lane.places for lane in lanes}
        for lane in lanes:
            docket.register(self._worker_of(lane), [lane.name])
        await self._until_back(docket.__aenter__)
        self._docket = docket
        self._ready.set()
        if not works or self._rests_since:
            return
        # One for each place as far as they cost little: a worker that has lost the store first ends
        # what it is at, and each has connections of its own.
        places = sum(self._places.values())
        workers = min(places, MOST_WORKERS)
        for number in range(workers):
            worker = Worker(
                docket,
                f"{self._name}-{number}",
                concurrency=math.ceil(places / workers),
                redelivery_timeout=lease,
                reconnection_delay=timedelta(seconds=PAUSE),
            )
            self._workers.append(asyncio.create_task(_run(worker)))

    async def _has_worker(self) -> bool:
        """Return whether anybody makes calls: this server, or another by its sign of life."""
        await self._ready.wait()
        return bool(self._workers or await self._docket.workers())

    def _worker_of(self, lane: Lane) -> Callable[..., Awaitable[None]]:
        limit = ConcurrencyLimit(max_concurrent=lane.places)

        async def work(job_id: str, number: int, _: ConcurrencyLimit = limit) -> None:
            await self._work(lane.name, job_id, number)

        return work

    async def _ask_for(self, job: Job, order: Order, lane: Lane, tries: int, wait: float) -> None:
        """Put a job into the line, unless it is there, and follow it."""
        now = time.time()
        fields = {
            "order": write_order(order),
            "lane": lane.name,
            "wait": wait,
            "max_tries": tries,
            "phase": Phase.QUEUED.value,
            "since": now,
        }
        told = [job.id, now, scripts.KEEP_SECONDS, *_flat(fields)]
        looks = 0
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._ready.wait()
            new = await self._script(scripts.CREATE, _keys(job.id, lane.name), told)
            if new:
                # Others may begin it from now on: whether it is in docket's line, who follows sees.
                with suppress(RedisError):
                    await self._hand_on(lane.name, job.id, 1)
                    looks = 1
        except (RedisError, TimeoutError) as exc:
            note_away(exc)
            self._end(job, STORE_AWAY, 0, 0)
            # It may be there all the same: what is said not to begin must not.
            await self._withdraw(job.id, lane.name)
            return
        await self._follow(job, looks)

    async def _hand_on(self, lane: str, job_id: str, number: int, when: float = 0.0) -> None:
        """Let docket hand out a try of a job, once; `when` it is time, in seconds since 1970.

        What has found all places taken is no longer known to `Docket.add` (pydocket 0.27): it would
        stand in the line again, and once it is done, each time more would use up one time that
        docket wakes who is next.
        """
        at = datetime.fromtimestamp(when, UTC) if when else None
        name = f"{job_id}:{number}"
        async with self._handing_on:
            there = await self._docket.get_execution(name)
            if not there or there.state not in IN_LINE:
                await self._docket.add(lane, at, name)(job_id, number)

    async def _follow(self, job: Job, looks: int = 0) -> None:
        """Keep a page's own copy of a job up to date until it ends.

        Whoever asked for it may have died before it was in docket's line: at the first of its
        `looks`, and now and then, a page that waits brings it there.
        """
        bell = asyncio.Event()
        self._bells.setdefault(job.id, set()).add(bell)
        try:
            while job.news.phase is not Phase.ENDED:
                bell.clear()
                try:
                    await self._look(job, hands_on=looks % HAND_ON_EACH == 0)
                    note_back()
                    looks += 1
                    if job.news.phase is Phase.WORKING:
                        await self._begin(_name(job), job.id, job.news.tries, "nobody")
                except RedisError as exc:
                    note_away(exc)
                await _heard(bell, LOOK)
        finally:
            self._silence(job.id, bell)

    async def _look(self, job: Job, *, hands_on: bool) -> None:
        fields: Fields = await self._store.hgetall(key("job", job.id))
        if not fields:
            # The store has lost it, and with it whether it was begun.
            self._end(job, INTERRUPTED, 1, 1)
            return
        # It may have been found while the store was away.
        job.lane = job.lane or Lane(fields.get(b"lane", b"").decode(), 0)
        if hands_on and fields[b"phase"] == b"queued":
            await self._hand_on(fields[b"lane"].decode(), job.id, 1)
        news = _news(fields)
        if news.phase is Phase.ENDED and b"seconds" in fields:
            pace.note(job.kind, float(fields[b"seconds"]))
        job.tell(news)

    async def _work(self, lane: str, job_id: str, number: int) -> None:
        """Do one try of a job, if its call was never begun."""
        who = f"{self._name}-{random.getrandbits(32):x}"
        # As often as it takes, because the answer may be lost though the mark is set.
        state = await self._until_back(lambda: self._begin(lane, job_id, number, who))
        if state == b"go":
            await self._call(lane, job_id, number)
        elif state == b"over":
            await self._until_back(lambda: self._hand_on(lane, job_id, number + 1))
        elif state == b"alive":
            # Its worker has lost sight of docket, but not of the call.
            later = datetime.now(UTC) + timedelta(seconds=get_settings().lease_seconds / 4)
            again = self._docket.add(lane, later, f"{job_id}:{number}:{who}")
            await self._until_back(lambda: again(job_id, number))

    async def _begin(self, lane: str, job_id: str, number: int, who: str) -> bytes:
        """Set the mark of a try's call, if it has none, and return what is to be done.

        Where it has one, and nobody has given a sign for a lease, the job is interrupted by this.
        """
        # While the store is away nobody can give a sign, and just after it nobody has.
        lease = get_settings().lease_seconds if is_settled() else scripts.KEEP_SECONDS
        told = [job_id, time.time(), number, who, lease, codec.write(INTERRUPTED)]
        state: bytes = await self._script(scripts.BEGIN, _keys(job_id, lane), told)
        if state == b"interrupted":
            logger.warning("request=%s was interrupted, and may have been billed", job_id)
        return state

    async def _call(self, lane: str, job_id: str, number: int) -> None:
        keys = _keys(job_id, lane)
        fields: Fields = await self._until_back(lambda: self._store.hgetall(keys[0]))
        sign = _Sign()
        try:
            call = self._make(read_order(fields[b"order"]))
        except (ValueError, KeyError) as exc:
            logger.error("request=%s cannot be read: %s", job_id, exc)
            await self._finish(keys, job_id, replace(UNKNOWN, billed=False), 0)
            return
        began = time.monotonic()
        running = asyncio.ensure_future(outcome_of(job_id, call, sign.tell))
        self._running[job_id] = running
        signs = asyncio.create_task(self._give_signs(keys, job_id, number, running, sign))
        try:
            outcome = await running
        except asyncio.CancelledError:
            if not sign.stopped:
                # This server stops, and will not wait any longer.
                await self._finish(keys, job_id, INTERRUPTED, 1)
            return
        finally:
            self._running.pop(job_id, None)
        try:
            await self._settle(keys, lane, number, fields, outcome, time.monotonic() - began)
        finally:
            signs.cancel()

    async def _settle(
        self,
        keys: Sequence[str],
        lane: str,
        number: int,
        fields: Fields,
        outcome: object,
        seconds: float,
    ) -> None:
        """Write how a try has ended, however long the store is away."""
        job_id = keys[0].removeprefix(key("job", ""))
        lost = int(isinstance(outcome, Problem) and outcome.billed)
        again = isinstance(outcome, Problem) and outcome.retry
        if not again or number >= int(fields[b"max_tries"]):
            await self._finish(keys, job_id, outcome, lost, seconds)
            return
        assert isinstance(outcome, Problem)
        resume_at = time.time() + pause_before_next(outcome, float(fields[b"wait"]), number)
        told = [job_id, time.time(), number, lost, resume_at, "setback", outcome.kind]
        if await self._until_back(lambda: self._script(scripts.PAUSE, keys, told)):
            await self._until_back(lambda: self._hand_on(lane, job_id, number + 1, resume_at))

    async def _finish(
        self, keys: Sequence[str], job_id: str, outcome: object, lost: int, seconds: float = 0.0
    ) -> None:
        if not (text := _as_text(job_id, outcome)):
            outcome, lost, text = UNKNOWN, lost + 1, codec.write(UNKNOWN)
        kind = outcome.kind if isinstance(outcome, Problem) else "result"
        keep = scripts.KEEP_SECONDS
        told = [job_id, time.time(), text, kind, lost, keep, seconds]

        async def end() -> None:
            # The result first: who hears of the end looks for it.
            await asyncio.to_thread(cast("SharedBlobs", blobs).send)
            await self._script(scripts.END, keys, told)

        await self._until_back(end)

    async def _give_signs(
        self,
        keys: Sequence[str],
        job_id: str,
        number: int,
        running: "asyncio.Task[object]",
        sign: "_Sign",
    ) -> None:
        """Tell the store what comes of a call, and that somebody is at it, until it is to stop."""
        self._bells.setdefault(job_id, set()).add(sign.bell)
        try:
            while True:
                await _heard(sign.bell, SIGN)
                sign.bell.clear()
                partial, sign.partial = sign.partial, None
                told: list[object] = [number]
                if partial is not None and (text := _as_text(job_id, partial)):
                    told += ["partial", text, "drafts", sign.drafts]
                with suppress(RedisError):
                    if await self._script(scripts.GO_ON, keys, told) == b"stop":
                        sign.stopped = True
                        running.cancel()
                        return
        finally:
            self._silence(job_id, sign.bell)

    async def _withdraw(self, job_id: str, lane: str) -> None:
        """Cancel what the store could not be told to, as soon as it is back."""
        told = _cancellation(job_id)
        await self._until_back(lambda: self._script(scripts.CANCEL, _keys(job_id, lane), told))

    def _rest_when_told(self) -> None:
        """Take nothing new once this process is told to stop.

        `stop` comes later: a server first ends its connections, and a slow download takes minutes.
        """
        hears = signal.getsignal(signal.SIGTERM)
        if not callable(hears):
            return

        def hear(number: int, frame: FrameType | None) -> None:
            # What this interrupts may hold a lock: nothing may wait for one here.
            threading.Thread(target=lambda: self.submit(self._rest())).start()
            hears(number, frame)

        signal.signal(signal.SIGTERM, hear)

    async def _rest(self) -> None:
        if not self._rests_since:
            logger.info("told to stop: nothing new is begun here")
            self._rests_since = time.monotonic()
            for worker in self._workers:
                worker.cancel()

    async def _leave(self, seconds: float) -> None:
        """Take nothing new, and wait for what is at hand."""
        await self._rest()
        if self._workers:
            left = seconds - (time.monotonic() - self._rests_since)
            await asyncio.wait(self._workers, timeout=max(0.0, left))
        for call in list(self._running.values()):
            call.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=2 * SIGN)
        # Whoever still looked would open another connection, which nobody closes.
        await cancel_tasks()
        if self._ready.is_set():
            await self._docket.__aexit__(None, None, None)
        await self._store.aclose()
        self._store = None

    async def _hear_bells(self) -> None:
        """Wake whoever waits for news of a job; without it they look once a second."""
        while True:
            try:
                async with self._store.pubsub() as heard:
                    await heard.psubscribe(key("news", "*"))
                    note_back()
                    while True:
                        message = await heard.get_message(True, timeout=LOOK)
                        if message:
                            name = message["channel"].decode().removeprefix(key("news", ""))
                            for bell in self._bells.get(name, ()):
                                bell.set()
            except RedisError as exc:
                # A worker that is idle asks the store nothing else.
                note_away(exc)
            await asyncio.sleep(PAUSE)

    async def _until_back(self, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the store's answer, as soon as it gives one."""
        while True:
            try:
                answer = await question()
            except RedisError as exc:
                note_away(exc)
                await asyncio.sleep(SIGN)
            except StoreAwayError:
                # Noted by who has asked: once more would keep anybody from asking again.
                await asyncio.sleep(SIGN)
            else:
                note_back()
                return answer

    async def _script(self, text: str, keys: Sequence[str], told: Sequence[object]) -> Any:
        return await self._store.register_script(text)(keys, told)

    def _silence(self, job_id: str, bell: asyncio.Event) -> None:
        bells = self._bells.get(job_id, set())
        bells.discard(bell)
        if not bells:
            self._bells.pop(job_id, None)

    def _end(self, job: Job, outcome: object, lost: int, tries: int) -> None:
        job.tell(
            replace(
                job.news,
                phase=Phase.ENDED,
                since=time.monotonic(),
                lost=lost,
                tries=tries,
                partial=None,
                outcome=outcome,
            )
        )


@dataclass
class _Sign:
    """What a call has to tell, until it is told."""

    partial: object = None
    drafts: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        self.bell = asyncio.Event()

    def tell(self, partial: object) -> None:
        self.partial, self.drafts = partial, self.drafts + 1
        self.bell.set()


def _as_text(job_id: str, record: object) -> str:
    """Return a record as it travels; '' for one of which the engine has not said how."""
    try:
        return codec.write(record)
    except TypeError as exc:
        logger.error("request=%s has brought what is lost: %s", job_id, exc)
        return ""


async def _heard(bell: asyncio.Event, within: float) -> None:
    """Wait until a bell rings, but only so many seconds.

    Not by `asyncio.wait_for`: in Python 3.11 that forgets a cancel which comes with the ring. redis
    sends by it, so one that it has forgotten counts here.
    """
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await bell.wait()


async def _run(worker: Worker) -> None:
    async with worker:
        await worker.run_forever()


def _fields_and_time(store: Any, job_id: str) -> tuple[Fields, float]:
    """Return what is known of a job, and the time by the store's clock: it began by that one."""
    seconds, microseconds = store.time()
    return store.hgetall(key("job", job_id)), seconds + microseconds / 1e6


def _news(fields: Fields) -> News:
    """Return what is known of a job by its hash."""

    def number(name: str) -> float:
        return float(fields.get(name.encode(), 0))

    shift = time.monotonic() - time.time()
    phase = Phase(fields[b"phase"].decode())
    if phase is Phase.PAUSED and number("resume_at") <= time.time():
        phase = Phase.QUEUED
    return News(
        phase,
        number("since") + shift,
        int(number("tries")),
        int(number("max_tries")),
        int(number("lost")),
        fields.get(b"setback", b"").decode(),
        _record(fields.get(b"partial"), None),
        int(number("drafts")),
        number("resume_at") + shift,
        _record(fields.get(b"outcome"), UNKNOWN),
    )


def _record(text: bytes | None, unread: object) -> object:
    """Return a record, `unread` where only another version of this app can read it: nobody may wait
    for ever for what that has made."""
    try:
        return codec.read(text) if text else None
    except ValueError:
        return unread


def _name(job: Job) -> str:
    return job.lane.name if job.lane else ""


def _cancellation(job_id: str) -> list[Any]:
    outcomes = [codec.write(CANCELLED), codec.write(NOT_BEGUN)]
    return [job_id, time.time(), scripts.KEEP_SECONDS, *outcomes]


def _keys(job_id: str, lane: str) -> list[str]:
    return [key("job", job_id), key("news", job_id), _line(lane)]


def _line(lane: str) -> str:
    return key("line", lane)


def _flat(fields: Mapping[str, object]) -> list[object]:
    return [part for pair in fields.items() for part in pair]
