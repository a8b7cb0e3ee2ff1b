"""The shared store: its keys with their defaults, and the table of stages.

In the app the store is `st.session_state`; anywhere else a dict serves. Values are replaced, never
changed in place, because the browser's memory and other tabs hold the same objects.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TypedDict, cast

from utils.review.records import Approval, Attempt, Cost, Decision, Failure, Pending


@dataclass(frozen=True)
class Stage:
    """What belongs to a stage; its screen is the module of its name.

    `shows` is the key of the attempt that it cannot be without, and `yields` says whether a
    result that arrives meanwhile may take a person from here to the review.
    """

    heading: str
    shows: str = ""
    yields: bool = True


STAGES: Mapping[str, Stage] = {
    "initial_input": Stage("Generate Image"),
    "user_feedback": Stage("Review Generated Image", shows="under_review"),
    "final": Stage("Final Result", shows="approved", yields=False),
}


class Store(TypedDict):
    """The keys. docs/design.md says what each holds."""

    stage: str
    decision: str
    stop: str
    task_input: str
    prompt_round: int
    edits: Mapping[str, str]
    change: str
    marks: Mapping[str, str]
    references: tuple[tuple[str, str], ...]
    upload_round: int
    count: int
    click_id: str
    clicked: tuple[str, str]
    aimed_at: str
    pending: tuple[Pending, ...]
    failures: tuple[Failure, ...]
    late: tuple[Pending, ...]
    error_message: str
    error_request_id: str
    attempts: tuple[Attempt, ...]
    under_review: str
    approved: str
    approval: Approval | None
    descriptions: Mapping[str, str]
    unseen: tuple[str, ...]
    kept: tuple[str, ...]
    aside: tuple[str, ...]
    pick_round: int
    generated_image: str
    final_result: str
    recent: tuple[Attempt, ...]
    put_away: tuple[str, ...]
    costs: Mapping[str, Cost]
    api_key: str
    owner: str
    payer: str
    person: str
    review: str
    round: int
    asked_for: str
    answer: Decision | None
    agent: bool
    allowance: int
    listens: bool
    settings: tuple[str, ...]
    remembered: Mapping[str, object]


DEFAULTS: Store = {
    "stage": "initial_input",
    "task_input": "",
    "prompt_round": 0,
    "edits": {},
    "change": "",
    "marks": {},
    "references": (),
    "upload_round": 0,
    "count": 1,
    "click_id": "",
    "clicked": ("", ""),
    "aimed_at": "",
    "pending": (),
    "failures": (),
    "late": (),
    "error_message": "",
    "error_request_id": "",
    "attempts": (),
    "under_review": "",
    "approved": "",
    "approval": None,
    "descriptions": {},
    "unseen": (),
    "kept": (),
    "aside": (),
    "pick_round": 0,
    "generated_image": "",
    "final_result": "",
    "recent": (),
    "put_away": (),
    "costs": {},
    "api_key": "",
    "owner": "",
    "payer": "",
    "person": "",
    "review": "",
    "round": 0,
    "asked_for": "",
    "answer": None,
    "agent": False,
    "allowance": 0,
    "listens": False,
    "settings": (),
    "remembered": {},
    # Last, since Start Over goes by this order: until then it is what is to be done.
    "decision": "",
    "stop": "",
}

# Of this session alone: its key, who it is, and what follows from the rest.
NOT_REMEMBERED = frozenset(
    {
        "api_key",
        "owner",
        "payer",
        "person",
        "agent",
        "allowance",
        "listens",
        "settings",
        "remembered",
        "generated_image",
        "final_result",
    }
)
# Of attempts that have been put away, and come back with them.
PUT_AWAY = frozenset({"recent", "put_away", "edits", "marks", "descriptions", "kept", "aside"})
# What counts on: a page that has not heard of it yet has the last one.
COUNTS_ON = frozenset({"click_id", "prompt_round", "pick_round", "upload_round"})
START_OVER_KEEPS = (
    NOT_REMEMBERED - {"generated_image", "final_result"}
    | PUT_AWAY
    | COUNTS_ON
    | {"late", "count", "costs"}
)


def by_key(shared: Store) -> MutableMapping[str, object]:
    """Return the store for keys that are known at run time only, such as an engine's settings."""
    return cast("MutableMapping[str, object]", shared)


def clear_error(shared: Store) -> None:
    """Take the last sentence away; what has failed stays, to be asked for once more."""
    shared["error_message"] = shared["error_request_id"] = ""
