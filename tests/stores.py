"""Shared stores for tests of the pattern, with results that are no pictures."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from utils.jobs.table import Job, Phase
from utils.review import moves
from utils.review.blobs import blobs
from utils.review.records import Attempt, Cost, Engine, Pending
from utils.review.store import Store

ENGINE = Engine("Typewriter", "typewriter-1")
SETTINGS = {"tone": "auto"}
# In seconds: so long may a table of jobs take to come to rest on a busy machine. A process that
# ends waits for less.
LEISURE = 30.0


@dataclass(frozen=True)
class Text:
    """A result of an engine that writes."""

    name: str
    cost: Cost = field(default_factory=Cost)


class Interrupt(BaseException):
    """What Streamlit raises in a script that is not wanted any more."""


class Interrupted(dict[str, object]):
    """A store whose every access is a place where a click can interrupt; one of them does."""

    left = -1

    def _access(self) -> None:
        if self.left == 0:
            self.left = -1
            raise Interrupt
        self.left -= 1

    def __getitem__(self, key: str) -> object:
        self._access()
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: object) -> None:
        self._access()
        super().__setitem__(key, value)

    def __contains__(self, key: object) -> bool:
        self._access()
        return super().__contains__(key)


def choose(shared: Mapping[str, object]) -> list[tuple[Engine, dict[str, str]]]:
    """Choose the typewriter, and its tone."""
    if shared["tone"] == "impossible":
        raise ValueError("Choose another tone.")
    options = {} if shared["tone"] == "auto" else {"tone": str(shared["tone"])}
    return [(ENGINE, options)] * (2 if shared.get("two") else 1)


def new_store(
    remembered: Mapping[str, object] | None = None, owner: str = "", *, jobs_known: bool = True
) -> Store:
    """Return the store of a session that has just begun."""
    shared = cast("Store", {})
    moves.begin(shared, remembered or {}, lambda job: jobs_known, SETTINGS, owner)
    return shared


def ask(shared: Store, prompt: str = "a fox") -> Pending:
    """Click Generate, and return what is waited for first."""
    shared["task_input"] = prompt
    moves.generate(shared, shared["click_id"], choose)
    return shared["pending"][0]


def result(shared: Store, words: str = "fox", cost: Cost | None = None) -> Text:
    """Return a result that has just arrived."""
    return Text(blobs.put(shared["owner"], words.encode()), cost or Cost())


def receive(shared: Store, pending: Pending, words: str = "fox", cost: Cost | None = None) -> str:
    """Let what is waited for arrive; return its attempt's id."""
    moves.receive(shared, pending, result(shared, words, cost))
    moves.clear_settled(shared)
    return pending.id


def make(shared: Store, prompt: str = "a fox", words: str = "") -> Attempt:
    """Ask for a result and let it arrive."""
    receive(shared, ask(shared, prompt), words or prompt)
    return shared["attempts"][-1]


def wait_until(holds: Callable[[], object], seconds: float = 15) -> None:
    """Wait until something holds that another thread brings about."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def outcome(job: Job) -> object:
    """Wait until a job has ended, and return how."""
    wait_until(lambda: job.news.phase is Phase.ENDED, 30)
    return job.news.outcome
