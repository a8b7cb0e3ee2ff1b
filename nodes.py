"""The nodes of the flow: what happens to the shared store at each stop."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from pocketflow import Node

from utils import images as engine
from utils.jobs.outcomes import UNKNOWN, Problem
from utils.jobs.table import Call, Job, Lane, Phase, jobs, watch
from utils.review import asking, moves
from utils.review.records import Decision, Order, Pending, Result
from utils.review.store import Store

logger = logging.getLogger(__name__)

OnNews = Callable[[Sequence[Job]], None]
Waits = Sequence[tuple[Pending, Order]]
Ended = Sequence[tuple[Pending, Job]]


class StageNode(Node):  # type: ignore[misc]  # pocketflow ships no usable types
    """A stop where a person decides: the flow leaves by their decision, or ends and asks them."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage

    def post(self, shared: Store, _: None, __: None) -> str:
        """Be at this stage; return what was decided that can be done here: first where it leads."""
        moves.enter(shared, self.stage)
        decided = (shared["decision"], shared["stop"])
        return next((one for one in decided if one in self.successors), "ask")


class AskNode(Node):  # type: ignore[misc]
    """The end of all ways, where the person is asked again: not before is a decision forgotten."""

    def post(self, shared: Store, _: None, __: None) -> None:
        """Note that what they decided has been done."""
        moves.forget_decision(shared)


class WaitNode(Node, ABC):  # type: ignore[misc]
    """Waits for what is pending of its `kind`; a job does the work, outside every session.

    With `on_news` it waits until something that is pending ends, and calls it with all the jobs at
    news and some times a second; without, it starts what is not started and waits for nothing.
    Whoever enters `exec` again, after any interruption, joins the same jobs.
    """

    kind = ""

    def __init__(self, on_news: OnNews | None, max_retries: int = 1, wait: float = 0.0) -> None:
        super().__init__(max_retries, wait)
        self.on_news = on_news

    def prep(self, shared: Store) -> Waits:
        """Read what is waited for, with all that its call needs."""
        whose = (shared["api_key"], shared["owner"], shared["payer"])
        return [(one, Order(one.kind, one.id, one.wish, *whose)) for one in shared["pending"]]

    def exec(self, waits: Waits) -> Ended:
        """Join the jobs, wait for the first to end, and return those of this kind that have."""
        joined = [(one, self.join(one, order)) for one, order in waits if one.kind == self.kind]
        others = [jobs.find(one.id) for one, _ in waits if one.kind != self.kind]
        if self.on_news:
            _watch([job for _, job in joined] + [job for job in others if job], self.on_news)
        return [(pending, job) for pending, job in joined if job.news.phase is Phase.ENDED]

    def post(self, shared: Store, _: Waits, ended: Ended) -> str:
        """Write the results, or the sentence that says why there is none."""
        return settle(shared, ended)

    @abstractmethod
    def join(self, pending: Pending, order: Order) -> Job:
        """Return the job of a pending request, which the first to ask starts."""


class GenerateImageNode(WaitNode):
    """Turns the pending requests of the shared store into pictures under review.

    Each is tried up to `max_retries` times; `wait` is the pause in seconds before the second try,
    doubled with each. The job counts its tries, so that interruptions and reloads add none.
    """

    kind = "generate"

    def join(self, pending: Pending, order: Order) -> Job:
        """Return the job that makes a picture."""
        return jobs.join(
            pending.id,
            make_call(order),
            order=order,
            lane=Lane(self.kind, engine.places()),
            kind=engine.kind(pending.wish),
            tries=self.max_retries,
            wait=self.wait,
        )


class AskPersonNode(WaitNode):
    """Waits for a person to decide about what is under review: somebody else, in their own browser.

    It leaves by what they have answered, where the flow has an arrow for that. Nobody waits for a
    place meanwhile, and it costs nothing, however often it is interrupted and joined again.
    """

    kind = asking.KIND

    def post(self, shared: Store, waits: Waits, ended: Ended) -> str:
        """Write the answer, and take its arrow."""
        super().post(shared, waits, ended)
        answer = shared["answer"]
        return answer.kind if ended and answer and answer.kind in self.successors else "stay"

    def join(self, pending: Pending, order: Order) -> Job:
        """Return the job that ends with the person's decision."""
        assert pending.review
        return jobs.join(pending.id, asking.wait_for_person(pending.review))


class CancelNode(Node):  # type: ignore[misc]
    """Stops what is waited for, except what is there already: that is taken in."""

    def prep(self, shared: Store) -> Sequence[Pending]:
        """Read what is waited for, as far as it is this session's to stop."""
        return asking.waits(shared)

    def exec(self, waits: Sequence[Pending]) -> Ended:
        """Stop the jobs; each has ended then, one way or the other."""
        for pending in waits:
            if pending.review:
                asking.withdraw(pending.review)
        # The last in line first: one before it would leave its place, and the next one begin.
        stopped = [(pending, jobs.cancel(pending.id)) for pending in reversed(waits)]
        return stopped[::-1]

    def post(self, shared: Store, _: Sequence[Pending], ended: Ended) -> str:
        """Write what is there, or that it was cancelled."""
        asking.listen_no_more(shared)
        return settle(shared, ended)


class StartOverNode(CancelNode):
    """Stops what is waited for, and puts everything away."""

    def post(self, shared: Store, _: Sequence[Pending], ended: Ended) -> str:
        """Empty the store; what was there is among the recent pictures."""
        settle(shared, ended)
        moves.start_over(shared)
        return "empty"


def settle(shared: Store, ended: Ended) -> str:
    """Write how jobs have ended, wait for them no more, and return the arrow to take.

    The moves have written the stage before the flow gets there: an interruption loses nothing.
    """
    for pending, job in ended:
        outcome, lost = job.news.outcome, job.news.lost
        if pending.review:
            outcome, lost = asking.outcome(pending.review, outcome), 0
        if isinstance(outcome, Decision):
            asking.receive(shared, outcome)
        elif isinstance(outcome, Result):
            moves.receive(shared, pending, outcome, lost)
        else:
            if not isinstance(outcome, Problem):
                logger.error("request=%s brought no Result: %s", pending.id, type(outcome).__name__)
                outcome = UNKNOWN
            moves.fail(shared, pending, outcome, lost)
        jobs.deliver(pending.id)
    came = moves.came_to_review(shared)
    moves.clear_settled(shared, [pending.id for pending, _ in ended])
    return "review" if came else "stay"


def take_late(shared: Store) -> bool:
    """Take in what came after all, though it had been given up as interrupted; return whether."""
    before = shared["attempts"]
    for pending in shared["late"]:
        job = jobs.find(pending.id)
        if job is None:
            moves.await_no_more(shared, pending)
        elif isinstance(job.news.outcome, Result):
            moves.receive_late(shared, pending, job.news.outcome, job.news.lost)
    return shared["attempts"] != before


def may_come_late(shared: Store) -> bool:
    """Return whether somebody may still be at work on what was given up as interrupted."""
    return any(jobs.find(pending.id) for pending in shared["late"])


def make_call(order: Order) -> Call:
    """Return the call that brings what was ordered, whoever makes it."""
    return engine.make(order.id, order.wish, order.key, order.owner, order.payer)


def serve(*, works: bool) -> None:
    """Take part in what all servers do, if there are several; `works` says whether calls are made
    here, and not only asked for."""
    lanes = [Lane(GenerateImageNode.kind, engine.places())]
    jobs.serve(make_call, lanes, engine.RECORDS, works=works)


def is_known(pending: Pending) -> bool:
    """Return whether what was asked for may still come."""
    return bool(jobs.find(pending.id)) or bool(pending.review and asking.exists(pending.review))


def next_wait(shared: Store) -> str:
    """Return the kind of what is waited for: of what has ended or not begun, if anything has."""
    found = [(pending.kind, jobs.find(pending.id)) for pending in shared["pending"]]
    due = [kind for kind, job in found if job is None or job.news.phase is Phase.ENDED]
    return (due or [kind for kind, _ in found])[0]


def _watch(running: Sequence[Job], on_news: OnNews) -> None:
    broken = False
    for _ in watch(running):
        try:
            on_news(running)
        except Exception as exc:
            # What is being paid for goes on, even where it cannot be shown.
            if not broken:
                logger.error("the progress cannot be shown: %s", type(exc).__name__)
            broken = True
