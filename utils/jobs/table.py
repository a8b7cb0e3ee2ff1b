"""The table of jobs, and the loop that runs them.

One event loop in one daemon thread runs every call, each as a task of its own, so cancelling one
closes its connection at once. The table lives in this module, which is imported once: reruns,
reloads and cleared caches do not touch it. It knows nothing of what the jobs make.
"""

import asyncio
import logging
import random
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

from cachetools import TTLCache

from utils.backends import stand_in
from utils.jobs import pace
from utils.jobs.outcomes import CANCELLED, NOT_BEGUN, UNKNOWN, FailedError, Problem

logger = logging.getLogger(__name__)

# What ended waits for a page to come back for as long as a browser is remembered.
KEEP_SECONDS = 24 * 3600
KEEP_UNDELIVERED, KEEP_DELIVERED = 10_000, 1_000
# Seconds in which the loop of the jobs must answer, however busy the machine is.
PATIENCE = 5.0
# Of all who watch together: on a crowded server each looks less often.
LOOKS_PER_SECOND = 250
_watchers = set[threading.Event]()


class Phase(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    WORKING = "working"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True)
class Lane:
    """A line of its own, in which `places` jobs run at once."""

    name: str
    places: int


@dataclass(frozen=True)
class News:
    """What is known of a job at one moment.

    `since` is when the phase began, `resume_at` when a PAUSED one will end (time.monotonic);
    `tries` counts the calls begun, of `max_tries`, `lost` those that brought nothing and may have
    been billed, and `setback` is the kind of Problem that ended the last one; `partial` is the
    newest partial result and `drafts` how many there have been in this try; `outcome`, a result or
    a Problem, is set once ENDED.
    """

    phase: Phase = Phase.QUEUED
    since: float = field(default_factory=time.monotonic)
    tries: int = 0
    max_tries: int = 1
    lost: int = 0
    setback: str = ""
    partial: object = None
    drafts: int = 0
    resume_at: float = 0.0
    outcome: object = None


Work = TypeVar("Work")
OnPartial = Callable[[object], None]
Call = Callable[[OnPartial], Awaitable[object]]


class Job:
    """Something on its way, shared by every page that waits for it."""

    def __init__(
        self, job_id: str, kind: Hashable = None, lane: Lane | None = None, tries: int = 1
    ) -> None:
        self.id = job_id
        self.kind = kind
        self.lane = lane
        self.started = time.monotonic()
        self.news = News(max_tries=tries)
        self.future: Future[None] | None = None
        self.listeners: set[threading.Event] = set()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """How long ago the job began."""
        return time.monotonic() - self.started

    @property
    def expected(self) -> float | None:
        """How many seconds a try will probably take; None if nothing is known."""
        return pace.expect(self.kind)

    @property
    def progress(self) -> float | None:
        """How much of the try under way is over, 0 to below 1; None if that cannot be known."""
        if self.expected is None or self.news.phase is not Phase.WORKING:
            return None
        # Another server's clock may be ahead of this one's.
        return pace.share_done(max(0.0, time.monotonic() - self.news.since), self.expected)

    def tell_partial(self, partial: object) -> None:
        """Take in a partial result."""
        self.tell(replace(self.news, partial=partial, drafts=self.news.drafts + 1))

    def tell(self, news: News) -> None:
        """Change what is known, and wake everyone who waits.

        After the end nothing is news: a call that is being cancelled may still have something
        to say.
        """
        with self._lock:
            if self.news.phase is not Phase.ENDED:
                self.news = news
                for listener in self.listeners:
                    listener.set()

    def listen(self, listener: threading.Event) -> None:
        """Have `listener` set at all further news."""
        with self._lock:
            self.listeners.add(listener)

    def leave(self, listener: threading.Event) -> None:
        """Undo `listen`."""
        with self._lock:
            self.listeners.discard(listener)


def watch(watched: Sequence[Job], every: float = 0.1) -> Iterator[None]:
    """Yield now, at each news, and at least each `every` seconds, until one of the jobs ends.

    Where many watch at once each yields less often: together LOOKS_PER_SECOND times without news.
    """
    news = threading.Event()
    _watchers.add(news)
    for job in watched:
        job.listen(news)
    try:
        while not any(job.news.phase is Phase.ENDED for job in watched):
            yield
            news.wait(max(every, len(_watchers) / LOOKS_PER_SECOND))
            news.clear()
    finally:
        _watchers.discard(news)
        for job in watched:
            job.leave(news)


async def outcome_of(job_id: str, call: Call, on_partial: OnPartial) -> object:
    """Make a call; return its result, or the Problem that it has ended with."""
    try:
        return await call(on_partial)
    except FailedError as exc:
        return exc.problem
    except (Exception, asyncio.CancelledError) as exc:
        # A call's own task may be cancelled too: nobody but us may end a job without a word.
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        # Where, but not what it said: an exception's text may hold a prompt or a key.
        where = "".join(traceback.format_tb(exc.__traceback__))
        logger.error("request=%s unexpected %s\n%s", job_id, type(exc).__name__, where)
        return UNKNOWN


def pause_before_next(problem: Problem, wait: float, tries: int) -> float:
    """Return the seconds to wait after so many tries: as the server asked, or doubled with each."""
    return problem.retry_after or wait * 2.0 ** (tries - 1) * random.uniform(0.75, 1.25)


class Jobs:
    """The table of jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}
        self._ended: TTLCache[str, Job] = TTLCache(KEEP_UNDELIVERED, KEEP_SECONDS)
        self._delivered: TTLCache[str, Job] = TTLCache(KEEP_DELIVERED, KEEP_SECONDS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places: dict[Lane, asyncio.Semaphore] = {}

    def join(
        self,
        job_id: str,
        call: Call,
        *,
        order: object = None,
        lane: Lane | None = None,
        kind: Hashable = None,
        tries: int = 1,
        wait: float = 0.0,
    ) -> Job:
        """Return the job of this id; start it with `call` if nobody has.

        `call` is given a function that takes partial results, and returns a result, a small record
        that never is None, or raises FailedError; calls of one `kind` take about as long. It is
        tried up to `tries` times where its Problem says `retry`, after as long as the server asked
        for, or `wait` seconds doubled with each try. Without a `lane` it takes nobody's place. By
        the `order` another server could make the same call; this one has the call itself.
        """
        with self._lock:
            job = self._find(job_id)
            if job is None:
                job = self._running[job_id] = Job(job_id, kind, lane, tries)
                run = self._run(job, call, wait)
                job.future = asyncio.run_coroutine_threadsafe(run, self._running_loop())
            return job

    def find(self, job_id: str) -> Job | None:
        """Return the job of this id, if it runs or ended not too long ago."""
        with self._lock:
            return self._find(job_id)

    def has_failed(self, job_id: str) -> bool:
        """Return whether the job of this id has ended with a Problem."""
        return bool((job := self.find(job_id)) and isinstance(job.news.outcome, Problem))

    def ahead(self, job: Job) -> int:
        """Return how many jobs wait in line before `job`."""
        with self._lock:
            others = [one.news for one in self._running.values() if one.lane == job.lane]
        return sum(one.phase is Phase.QUEUED and one.since < job.news.since for one in others)

    def count(self, phase: Phase) -> int:
        """Return how many jobs are in this phase now, of those that take a place."""
        with self._lock:
            taking = [job for job in self._running.values() if job.lane]
        return sum(job.news.phase is phase for job in taking)

    def cancel(self, job_id: str) -> Job:
        """Close the job's connection, or take it out of the line, and return it, ended.

        A result that is there already is kept. A job that has not begun will not begin any more.
        """
        with self._lock:
            job = self._find(job_id) or Job(job_id)
            future = job.future
            working = job.news.phase is Phase.WORKING
            self._end(job, CANCELLED if working or job.news.lost else NOT_BEGUN)
        if future:
            future.cancel()
        return job

    def deliver(self, job_id: str) -> None:
        """Note that a page has taken in how the job ended: others are kept before it."""
        with self._lock:
            if job := self._ended.pop(job_id, None):
                self._delivered[job_id] = job

    def submit(self, work: Coroutine[object, object, Work]) -> Future[Work]:
        """Run `work` on the loop of the jobs, outside every lane."""
        with self._lock:
            return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def serve(
        self,
        make: Callable[[Any], Call],
        lanes: Sequence[Lane],
        records: Sequence[type],
        *,
        works: bool,
    ) -> None:
        """Be ready to carry out what other servers have asked for: here there are none."""

    async def check(self) -> str:
        """Return why no job would be done now, '' where one would."""
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.wrap_future(self.submit(asyncio.sleep(0)))
        except (TimeoutError, RuntimeError):
            return "the jobs do not run"
        return ""

    def stop(self, within: float = 1.0) -> None:
        """Cancel every job and end the loop, but wait only `within` seconds: the server stops."""
        with self._lock:
            loop, self._loop = self._loop, None
            for job in list(self._running.values()):
                self._end(job, CANCELLED)
        if loop:
            ended = asyncio.run_coroutine_threadsafe(cancel_tasks(), loop)
            ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
            wait([ended], within)

    def _find(self, job_id: str) -> Job | None:
        found = self._running.get(job_id) or self._ended.get(job_id)
        return found or self._delivered.get(job_id)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._places.clear()
            threading.Thread(target=_run_loop, args=(self._loop,), name="jobs", daemon=True).start()
        return self._loop

    async def _run(self, job: Job, call: Call, wait: float) -> None:
        """Try until there is a result, or a Problem that another try will not mend."""
        while True:
            outcome = await self._try(job, call)
            news = job.news
            if not isinstance(outcome, Problem):
                break
            lost = news.lost + outcome.billed
            if not outcome.retry or news.tries >= news.max_tries:
                job.tell(replace(news, lost=lost))
                break
            pause = pause_before_next(outcome, wait, news.tries)
            now = time.monotonic()
            paused = replace(news, phase=Phase.PAUSED, since=now, lost=lost, setback=outcome.kind)
            job.tell(replace(paused, partial=None, drafts=0, resume_at=now + pause))
            await asyncio.sleep(pause)
            job.tell(replace(job.news, phase=Phase.QUEUED, since=time.monotonic()))
        with self._lock:
            self._end(job, outcome)

    async def _try(self, job: Job, call: Call) -> object:
        async with self._place(job.lane):
            began = time.monotonic()
            tries = job.news.tries + 1
            job.tell(replace(job.news, phase=Phase.WORKING, since=began, tries=tries))
            outcome = await outcome_of(job.id, call, job.tell_partial)
            if not isinstance(outcome, Problem):
                pace.note(job.kind, time.monotonic() - began)
            return outcome

    def _place(self, lane: Lane | None) -> asyncio.Semaphore:
        if lane is None:
            return asyncio.Semaphore()
        return self._places.setdefault(lane, asyncio.Semaphore(lane.places))

    def _end(self, job: Job, outcome: object) -> None:
        """End a job, unless it has ended; what ended keeps nothing of its call alive."""
        self._running.pop(job.id, None)
        if job.news.phase is Phase.ENDED:
            return
        news, now = job.news, time.monotonic()
        lost = news.lost + (outcome is CANCELLED and news.phase is Phase.WORKING)
        job.tell(
            replace(news, phase=Phase.ENDED, since=now, lost=lost, partial=None, outcome=outcome)
        )
        job.future = None
        self._ended[job.id] = job


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    with closing(loop):
        loop.run_forever()


async def cancel_tasks() -> None:
    """Cancel all that the loop runs, besides who calls this, and wait until it has ended."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    # Each begins first: a wrapper that is cancelled before leaves what it wraps to nobody.
    await asyncio.sleep(0)
    while tasks:
        for task in tasks:
            task.cancel()
        # More than once: in Python 3.11 `asyncio.wait_for`, by which redis sends, may forget one.
        _, tasks = await asyncio.wait(tasks, timeout=0.5)


jobs = stand_in(Jobs, "utils.shared.jobs:SharedJobs")
