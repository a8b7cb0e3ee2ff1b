import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.images_server import picture
from utils.images.errors import CANCELLED, CONNECTION, UNKNOWN, ImageError, Problem
from utils.images.pictures import Picture, check_picture
from utils.jobs.table import Job, Jobs, Phase, watch
from utils.settings import get_settings

PICTURE = check_picture(picture("job"))


class Engine:
    """A call that counts itself and does what its test says."""

    def __init__(self, *outcomes: Picture | Exception, gate: threading.Event | None = None) -> None:
        self.outcomes = list(outcomes)
        self.gate = gate
        self.calls = 0
        self.cancelled = threading.Event()

    async def __call__(self, on_partial: Callable[[str], None]) -> Picture:
        self.calls += 1
        on_partial("a partial picture")
        try:
            while self.gate and not self.gate.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    table = Jobs()
    yield table
    table.stop()


def join(jobs: Jobs, job_id: str, engine: Engine) -> Job:
    return jobs.join(job_id, engine, tries=3, first_wait=0.01)


def wait_for(job: Job, phase: Phase) -> None:
    for _ in watch([job], 0.01):
        if job.news.phase is phase:
            return
    if job.news.phase is phase:
        return
    raise AssertionError(f"{phase} never came")


def outcome(job: Job) -> Picture | Problem | None:
    for _ in watch([job]):
        pass
    return job.news.outcome


def test_all_who_join_wait_for_the_same_call(jobs: Jobs) -> None:
    gate = threading.Event()
    engine = Engine(PICTURE, gate=gate)
    with ThreadPoolExecutor(8) as pool:
        joined = list(pool.map(lambda _: join(jobs, "a", engine), range(8)))
    gate.set()
    assert all(outcome(job) is PICTURE for job in joined)
    assert engine.calls == 1


def test_who_joins_after_the_end_gets_the_same_picture(jobs: Jobs) -> None:
    engine = Engine(PICTURE)
    assert outcome(join(jobs, "a", engine)) is PICTURE
    assert outcome(join(jobs, "a", engine)) is PICTURE
    assert engine.calls == 1


def test_news_comes_in_order_and_with_the_partial_picture(jobs: Jobs) -> None:
    gate = threading.Event()
    job = join(jobs, "a", Engine(PICTURE, gate=gate))
    seen = []
    for _ in watch([job], 0.01):
        news = job.news
        seen.append(news.phase)
        if news.partial:
            assert (news.partial, news.drafts, news.tries) == ("a partial picture", 1, 1)
            gate.set()
    assert gate.is_set()
    assert seen[-1] is Phase.WORKING
    assert job.news.phase is Phase.ENDED


def test_the_first_of_several_jobs_to_end_ends_the_watch(jobs: Jobs) -> None:
    never = join(jobs, "never", Engine(PICTURE, gate=threading.Event()))
    soon = join(jobs, "soon", Engine(PICTURE))
    for _ in watch([never, soon], 60):
        pass
    assert soon.news.outcome is PICTURE
    assert never.news.phase is not Phase.ENDED
    assert not never.listeners


def test_a_passing_failure_is_tried_again_only_when_somebody_joins(jobs: Jobs) -> None:
    engine = Engine(ImageError(CONNECTION), ImageError(CONNECTION), PICTURE)
    assert outcome(join(jobs, "a", engine)) == CONNECTION
    assert engine.calls == 1
    assert outcome(join(jobs, "a", engine)) == CONNECTION
    assert outcome(join(jobs, "a", engine)) is PICTURE
    assert engine.calls == 3


def test_tries_are_counted_and_end(jobs: Jobs) -> None:
    engine = Engine(*[ImageError(CONNECTION)] * 9)
    for _ in range(9):
        assert outcome(join(jobs, "a", engine)) == CONNECTION
    assert engine.calls == 3


def test_a_lasting_failure_is_not_tried_again(jobs: Jobs) -> None:
    refused = Problem("refused", "No.")
    engine = Engine(ImageError(refused), PICTURE)
    assert outcome(join(jobs, "a", engine)) == refused
    assert outcome(join(jobs, "a", engine)) == refused
    assert engine.calls == 1


def test_a_bug_in_the_call_ends_the_job_and_its_text_is_not_logged(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    assert outcome(join(jobs, "a", Engine(RuntimeError("sk-secret and a prompt")))) == UNKNOWN
    assert "RuntimeError" in caplog.text
    assert "test_jobs.py" in caplog.text
    assert "sk-secret" not in caplog.text


def test_the_server_is_waited_for_as_long_as_it_asked_within_bounds(jobs: Jobs) -> None:
    engine = Engine(ImageError(Problem("rate limit", "Wait.", True, retry_after=3600)), PICTURE)
    job = join(jobs, "a", engine)
    outcome(job)
    join(jobs, "a", engine)
    wait_for(job, Phase.PAUSED)
    assert job.news.resume_at - job.news.since == pytest.approx(60, abs=0.1)


def test_cancel_reaches_a_job_that_works(jobs: Jobs) -> None:
    engine = Engine(PICTURE, gate=threading.Event())
    job = join(jobs, "a", engine)
    wait_for(job, Phase.WORKING)
    assert jobs.cancel("a")
    assert outcome(job) == CANCELLED
    assert engine.cancelled.wait(1)


def test_what_a_cancelled_call_still_says_is_no_news(jobs: Jobs) -> None:
    job = join(jobs, "a", Engine(PICTURE, gate=threading.Event()))
    wait_for(job, Phase.WORKING)
    jobs.cancel("a")
    ended = job.news
    job.tell_partial("late")
    job.advance(Phase.WORKING, tries=7)
    assert job.news == ended


def test_cancel_reaches_a_job_that_waits_for_its_next_try(jobs: Jobs) -> None:
    engine = Engine(ImageError(Problem("rate limit", "Wait.", True, retry_after=60)), PICTURE)
    outcome(join(jobs, "a", engine))
    job = join(jobs, "a", engine)
    wait_for(job, Phase.PAUSED)
    assert jobs.cancel("a")
    assert outcome(join(jobs, "a", engine)) == CANCELLED
    assert engine.calls == 1


def test_cancel_between_two_tries_stays(jobs: Jobs) -> None:
    engine = Engine(ImageError(CONNECTION), PICTURE)
    outcome(join(jobs, "a", engine))
    assert jobs.cancel("a")
    assert outcome(join(jobs, "a", engine)) == CANCELLED
    assert engine.calls == 1


def test_a_job_that_is_cancelled_before_it_begins_never_begins(jobs: Jobs) -> None:
    engine = Engine(PICTURE)
    assert jobs.cancel("a")
    assert outcome(join(jobs, "a", engine)) == CANCELLED
    assert engine.calls == 0


def test_cancel_never_loses_a_picture_that_is_there(jobs: Jobs) -> None:
    job = join(jobs, "a", Engine(PICTURE))
    outcome(job)
    assert not jobs.cancel("a")
    assert outcome(job) is PICTURE


def test_more_jobs_than_places_wait_in_line_and_know_their_place(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_CONCURRENCY", "2")
    get_settings.cache_clear()
    gates = [threading.Event() for _ in range(5)]
    engines = [Engine(PICTURE, gate=gate) for gate in gates]
    line = []
    for number, engine in enumerate(engines):
        line.append(join(jobs, str(number), engine))
        if number < 2:
            wait_for(line[number], Phase.WORKING)
    assert [jobs.ahead(job) for job in line[2:]] == [0, 1, 2]
    jobs.cancel("3")
    assert [jobs.ahead(line[2]), jobs.ahead(line[4])] == [0, 1]
    gates[0].set()
    wait_for(line[2], Phase.WORKING)
    assert [engine.calls for engine in engines] == [1, 1, 1, 0, 0]
    for gate in gates:
        gate.set()
    assert outcome(line[4]) is PICTURE


def test_the_table_knows_what_runs_and_what_has_ended(jobs: Jobs) -> None:
    assert not jobs.knows("a")
    gate = threading.Event()
    job = join(jobs, "a", Engine(PICTURE, gate=gate))
    assert jobs.knows("a")
    gate.set()
    outcome(job)
    assert jobs.knows("a")


def test_stop_ends_what_runs() -> None:
    jobs = Jobs()
    engine = Engine(PICTURE, gate=threading.Event())
    job = join(jobs, "a", engine)
    wait_for(job, Phase.WORKING)
    jobs.stop()
    assert outcome(job) == CANCELLED
    assert engine.cancelled.is_set()
    jobs.stop()
