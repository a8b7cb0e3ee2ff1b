"""How a job can end without a result."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Why there is no result. `sentence` is for a person and says what to do next.

    `retry` is True where another try by itself makes sense, and `billed` where this one may have
    been billed though it brought nothing: then it is counted, and said to the person. `unbilled`
    is the sentence where nothing is ever billed, '' where the other is true there too.
    `retry_after` is the wait in seconds that the server asked for, where it is any: that long the
    job waits, so who takes it from a server does not ask for a `retry` where it is too long. And
    `request_id` is the server's name for the call, where it gave one.
    """

    kind: str
    sentence: str
    retry: bool = False
    billed: bool = False
    retry_after: float | None = None
    request_id: str = ""
    unbilled: str = ""


class FailedError(Exception):
    """A try that brought no result; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.kind)
        self.problem = problem


CANCELLED = Problem(
    "cancelled",
    "Cancelled. What was already begun may still be billed.",
    billed=True,
    unbilled="Cancelled.",
)
NOT_BEGUN = Problem("cancelled", "Cancelled before it began: nothing was billed.")
INTERRUPTED = Problem(
    "interrupted",
    "The server was restarted while this was on its way; it may have been billed. "
    "Ask again if you still want it.",
    billed=True,
    unbilled="The server was restarted while this was on its way. Ask again if you still want it.",
)
FORGOTTEN = Problem(
    "forgotten",
    "The server was restarted, and does not know any more that a person was asked. Ask again.",
)
NOBODY = Problem("nobody came", "Nobody has decided in a day. Ask again if you still need it.")
WITHDRAWN = Problem("cancelled", "Nobody is asked any more.")
UNKNOWN = Problem(
    "unknown",
    "Something went wrong on our side, and it may have been billed. Try again in a moment.",
    billed=True,
    unbilled="Something went wrong on our side. Try again in a moment.",
)
STORE_AWAY = Problem(
    "store away",
    "The server cannot start anything just now, and nothing was billed. Try again in a moment.",
)
