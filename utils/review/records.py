"""What the shared store is made of: frozen, and the same whatever a result is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from utils.jobs.outcomes import Problem


@dataclass(frozen=True)
class Engine:
    """Who makes the results.

    `address` is None for an engine in this process. `own_key` is True where the key is one that
    the person typed into the page; the key itself is never part of a record. `free` is True where
    nothing is ever billed.
    """

    name: str
    model: str
    address: str | None = None
    own_key: bool = False
    free: bool = False


@dataclass(frozen=True)
class Wish:
    """What a click asks for, whole when the click is made: nothing is chosen again later.

    `options` are the settings that were chosen, by the engine's own names; `sources` are names of
    what it is to be made from, in the table of blobs; `parent` is the attempt that it comes from;
    `brief` is a prompt that stands by itself, where `prompt` only says what is to be different, and
    `mark` says where on the first source, as the engine's own page writes it.
    """

    prompt: str
    engine: Engine
    options: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    parent: str = ""
    brief: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Cost:
    """What a call has cost: tokens, and dollars, 0 where none are known.

    `told` is True where the server named the price, so that it is no estimate; `lost` counts the
    tries that brought nothing and may have been billed all the same.
    """

    tokens: int = 0
    dollars: float = 0.0
    told: bool = False
    lost: int = 0


@runtime_checkable
class Result(Protocol):
    """What an engine makes: `name` is that of its bytes in the table of blobs."""

    @property
    def name(self) -> str:
        """The SHA-256 of its bytes."""
        ...

    @property
    def cost(self) -> Cost:
        """What it has cost."""
        ...


@dataclass(frozen=True)
class Attempt:
    """A result under review; `id` is that of the job that brought it, `number` is for people, and
    `at` when it came, in UTC as ISO 8601."""

    id: str
    click: str
    number: int
    wish: Wish
    result: Result
    at: str = ""


@dataclass(frozen=True)
class Approval:
    """A decision as it was made: when (UTC, ISO 8601), by whom where that is known, and out of
    which attempts. Which of them was approved the store says."""

    at: str
    attempts: tuple[Attempt, ...]
    by: str = ""


@dataclass(frozen=True)
class Decision:
    """What somebody has answered who was asked to decide: `kind` is an arrow of the flow, such as
    "approved" or "declined", `words` are theirs, and `by` is who it was, where that is known.
    `approved` is the id of the attempt that was approved, and `approval` how that came about."""

    kind: str
    words: str = ""
    by: str = ""
    approved: str = ""
    approval: Approval | None = None


@dataclass(frozen=True)
class Review:
    """Attempts that wait for somebody's decision, for the `number`th time.

    `shown` is the attempt that is under review first, `at` when it was asked (UTC, ISO 8601), `by`
    by whom where that is known, and `link` is where it is decided.
    """

    id: str
    number: int
    purpose: str
    attempts: tuple[Attempt, ...]
    shown: str
    at: str
    by: str = ""
    link: str = ""
    decision: Decision | None = None

    @property
    def owner(self) -> str:
        """Whose the attempts are while it is looked at: all who look share one memory."""
        return review_owner(self.id)


# What no browser's token and no person begins with.
PREFIX = "review-"


def review_owner(review_id: str) -> str:
    """Return the owner of what belongs to the review of this id."""
    return f"{PREFIX}{review_id}"


def reviewed_by(owner: str) -> str:
    """Return the id of the review that this owner stands for, '' for a browser or a person."""
    return owner.removeprefix(PREFIX) if owner.startswith(PREFIX) else ""


@dataclass(frozen=True)
class Pending:
    """Something that is waited for: `id` names its job, `click` the click that asked for it, and
    `kind` the node which waits for it. `review` is what a person is to decide, if one is asked;
    what is asked for `again` did not come before."""

    id: str
    click: str
    wish: Wish
    kind: str = "generate"
    review: Review | None = None
    again: bool = False


@dataclass(frozen=True)
class Order:
    """All that somebody needs who is to bring what is waited for: `kind` and `id` are those of the
    Pending, `key` is the one that the person typed, `owner` whose it will be, and `payer` whose
    limits it counts for."""

    kind: str
    id: str
    wish: Wish
    key: str
    owner: str
    payer: str = ""


@dataclass(frozen=True)
class Failure:
    """Something that was waited for in vain."""

    pending: Pending
    problem: Problem
