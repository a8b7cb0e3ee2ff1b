"""Jobs that outlive the page that asked for them.

One event loop in one daemon thread runs every call, each as a task of its own, so cancelling one
closes its connection at once and a hundred waiting sessions cost one thread. The table lives in
this module, which Streamlit imports once: reruns, reloads and cleared caches do not touch it.
"""

import asyncio
import logging
import random
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

from cachetools import TTLCache

from utils.images.errors import CANCELLED, UNKNOWN, ImageError, Problem
from utils.images.pictures import Picture
from utils.jobs import pace
from utils.settings import get_settings

logger = logging.getLogger(__name__)

# A finished job waits for a page to come back for as long as the browser is remembered.
KEEP_SECONDS = 24 * 3600
KEEP_BYTES = 512 * 1024 * 1024
LONGEST_WAIT = 60.0


class Phase(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    WORKING = "working"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True)
class News:
    """What is known of a job at one moment.

    `since` is when the phase began, `resume_at` when a PAUSED one will end (time.monotonic);
    `tries` counts the calls begun, of `max_tries`, and `setback` is the kind of Problem that ended
    the last one; `partial` is the newest partial picture (base64) and `drafts` how many there have
    been in this try; `outcome` is set once ENDED.
    """

    phase: Phase = Phase.QUEUED
    since: float = field(default_factory=time.monotonic)
    tries: int = 0
    max_tries: int = 1
    setback: str = ""
    partial: str = ""
    drafts: int = 0
    resume_at: float = 0.0
    outcome: Picture | Problem | None = None


Result = TypeVar("Result")
Call = Callable[[Callable[[str], None]], Awaitable[Picture]]


class Job:
    """One picture on its way, shared by every page that waits for it."""

    def __init__(self, job_id: str, kind: Hashable = None) -> None:
        self.id = job_id
        self.kind = kind
        self.started = time.monotonic()
        self.news = News()
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
        return pace.share_done(time.monotonic() - self.news.since, self.expected)

    def tell(self, **changes: Any) -> None:
        """Change what is known (fields of News) and wake everyone who waits.

        After the end only a new try or another outcome is news: a call that is being cancelled
        may still have something to say.
        """
        with self._lock:
            if self.news.phase is not Phase.ENDED or "outcome" in changes:
                self.news = replace(self.news, **changes)
                for listener in self.listeners:
                    listener.set()

    def advance(self, phase: Phase, **changes: Any) -> None:
        """Enter `phase` now."""
        self.tell(phase=phase, since=time.monotonic(), **changes)

    def tell_partial(self, image: str) -> None:
        """Take in a partial picture (base64)."""
        self.tell(partial=image, drafts=self.news.drafts + 1)

    def listen(self, listener: threading.Event) -> None:
        """Have `listener` set at all further news."""
        with self._lock:
            self.listeners.add(listener)

    def leave(self, listener: threading.Event) -> None:
        """Undo `listen`."""
        with self._lock:
            self.listeners.discard(listener)


def watch(watched: Sequence[Job], every: float = 0.25) -> Iterator[None]:
    """Yield now, at each news, and at least each `every` seconds, until one of the jobs ends."""
    news = threading.Event()
    for job in watched:
        job.listen(news)
    try:
        while not any(job.news.phase is Phase.ENDED for job in watched):
            yield
            news.wait(every)
            news.clear()
    finally:
        for job in watched:
            job.leave(news)


class Jobs:
    """The table of jobs, and the loop that runs them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}
        self._ended: TTLCache[str, Job] = TTLCache(KEEP_BYTES, KEEP_SECONDS, getsizeof=_weight)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore()

    def join(
        self, job_id: str, call: Call, *, kind: Hashable = None, tries: int, first_wait: float
    ) -> Job:
        """Return the job of this id; start it with `call` if nobody has.

        `call` is given a function that takes partial pictures, and returns the picture or raises
        ImageError; calls of one `kind` take about as long. A job whose last try failed in passing
        starts its next one, up to `tries`, after the wait that the server asked for, or
        `first_wait` seconds doubled with each try.
        """
        with self._lock:
            job = self._find(job_id)
            if job is None:
                job = Job(job_id, kind)
                job.tell(max_tries=tries)
                self._start(job, call, 0.0)
            elif may_try_again(job.news):
                self._ended.pop(job_id)
                self._start(job, call, _pause(job.news, first_wait))
            return job

    def knows(self, job_id: str) -> bool:
        """Return whether this job runs, or ended not too long ago."""
        with self._lock:
            return self._find(job_id) is not None

    def ahead(self, job: Job) -> int:
        """Return how many jobs wait in line before `job`."""
        with self._lock:
            waiting = [other.news for other in self._running.values()]
        since = job.news.since
        return sum(news.phase is Phase.QUEUED and news.since < since for news in waiting)

    def cancel(self, job_id: str) -> bool:
        """Close the job's connection, or take it out of the line.

        Returns False if its picture is there already: then it is kept. A job that has not begun
        will not begin any more.
        """
        with self._lock:
            job = self._find(job_id) or Job(job_id)
            if isinstance(job.news.outcome, Picture):
                return False
            self._end(job, CANCELLED)
            if job.future:
                job.future.cancel()
            return True

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run `work` on the loop of the jobs, outside the line."""
        with self._lock:
            return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def stop(self, within: float = 1.0) -> None:
        """Cancel every job and end the loop, in `within` seconds at most: the server stops."""
        with self._lock:
            loop, self._loop = self._loop, None
            for job in list(self._running.values()):
                self._end(job, CANCELLED)
        if loop:
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(_cancel_tasks(), loop).result(within)
            loop.call_soon_threadsafe(loop.stop)

    def _find(self, job_id: str) -> Job | None:
        return self._running.get(job_id) or self._ended.get(job_id)

    def _start(self, job: Job, call: Call, pause: float) -> None:
        self._running[job.id] = job
        setback = job.news.outcome.kind if isinstance(job.news.outcome, Problem) else ""
        job.advance(
            Phase.PAUSED if pause else Phase.QUEUED,
            resume_at=time.monotonic() + pause,
            setback=setback,
            drafts=0,
            outcome=None,
        )
        job.future = asyncio.run_coroutine_threadsafe(
            self._try(job, call, pause), self._running_loop()
        )

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._places = asyncio.Semaphore(get_settings().image_concurrency)
            threading.Thread(target=_run, args=(self._loop,), name="jobs", daemon=True).start()
        return self._loop

    async def _try(self, job: Job, call: Call, pause: float) -> None:
        outcome: Picture | Problem
        try:
            await asyncio.sleep(pause)
            job.advance(Phase.QUEUED)
            async with self._places:
                job.advance(Phase.WORKING, tries=job.news.tries + 1)
                outcome = await call(job.tell_partial)
                pace.note(job.kind, time.monotonic() - job.news.since)
        except ImageError as exc:
            outcome = exc.problem
        except Exception as exc:
            # Where, but not what it said: an exception's text may hold a prompt or a key.
            where = "".join(traceback.format_tb(exc.__traceback__))
            logger.error("request=%s unexpected %s\n%s", job.id, type(exc).__name__, where)
            outcome = UNKNOWN
        with self._lock:
            if job.id in self._running:
                self._end(job, outcome)

    def _end(self, job: Job, outcome: Picture | Problem) -> None:
        self._running.pop(job.id, None)
        job.advance(Phase.ENDED, partial="", outcome=outcome)
        self._ended[job.id] = job


def may_try_again(news: News) -> bool:
    """Return whether the last try failed in passing, and was not the last one allowed."""
    return isinstance(news.outcome, Problem) and news.outcome.retry and news.tries < news.max_tries


def _pause(news: News, first_wait: float) -> float:
    asked = news.outcome.retry_after if isinstance(news.outcome, Problem) else None
    if asked is None:
        asked = first_wait * 2 ** (news.tries - 1) * random.uniform(0.75, 1.25)
    return min(asked, LONGEST_WAIT)


def _weight(job: Job) -> int:
    outcome = job.news.outcome
    return 1024 + (len(outcome.image) if isinstance(outcome, Picture) else 0)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with closing(loop):
        loop.run_forever()


async def _cancel_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


jobs = Jobs()
