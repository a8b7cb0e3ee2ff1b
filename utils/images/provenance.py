"""What OpenAI answers when it is asked where a picture comes from; asked by a click, each once."""

from collections.abc import Iterator
from itertools import count

from utils.images.api import check_provenance
from utils.images.credentials import Signal
from utils.jobs.outcomes import Problem
from utils.jobs.table import Job, jobs
from utils.review.records import Engine


def ask(name: str, engine: Engine, key: str) -> None:
    """Ask where the picture of this name in the table of blobs comes from, unless that is known.

    `key` is the one that the person typed, '' for none.
    """
    *_, job_id = _ids(name)
    jobs.join(job_id, check_provenance(name, engine, key))


def check_of(name: str) -> Job | None:
    """Return the last question about a picture; None where nobody has asked."""
    asked = [job for job in (jobs.find(job_id) for job_id in _ids(name)) if job]
    return asked[-1] if asked else None


def signals(name: str) -> list[Signal] | None:
    """Return what was answered about a picture; None where nothing was."""
    job = check_of(name)
    outcome = job.news.outcome if job else None
    return list(outcome) if isinstance(outcome, tuple) else None


def _ids(name: str) -> Iterator[str]:
    """Yield the ids of the questions about a picture up to the next that may be asked."""
    for number in count():
        job_id = f"provenance-{name}-{number}"
        yield job_id
        job = jobs.find(job_id)
        if not job or not isinstance(job.news.outcome, Problem):
            return
