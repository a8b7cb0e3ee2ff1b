"""The shared store: its keys, their defaults, and every move from one state to the next.

`shared` is any mapping; in the app it is `st.session_state`. Values are replaced, never changed
in place, because the browser's memory and other tabs hold the same objects.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from utils.errors import CANCELLED, FORGOTTEN, Problem
from utils.pictures import Picture


class Shared(Protocol):
    """What the moves need of a shared store; a dict has it, and so has `st.session_state`."""

    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...
    def __contains__(self, key: str, /) -> bool: ...


ClickMove = Callable[[Shared, str], None]

MAX_PROMPT = 32_000
MAX_ATTEMPTS = 24

DEFAULTS: Mapping[str, Any] = {
    "stage": "initial_input",
    "task_input": "",
    "input_used_by_process": "",
    "generated_image": "",
    "final_result": "",
    "error_message": "",
    "pending": None,
    "attempts": (),
    "click_id": "",
    "api_key": "",
}
# Streamlit wipes what arrives in the run that disables its widget, unless it is set again.
WIDGET_KEYS = ("task_input", "api_key")
# A key typed into the page lives in its session alone.
SECRET_KEYS = frozenset({"api_key"})


def begin(shared: Shared, remembered: Mapping[str, Any], is_known: Callable[[str], bool]) -> None:
    """Give a new session its keys: what its browser is remembered for, else the defaults.

    A remembered request that `is_known` no longer knows is given up: asking again would cost again.
    """
    if "stage" in shared:
        return
    for key, default in DEFAULTS.items():
        shared[key] = remembered.get(key, default)
    shared["click_id"] = shared["click_id"] or new_id()
    if shared["pending"] and not is_known(shared["pending"]["id"]):
        fail(shared, shared["pending"]["id"], FORGOTTEN)


def snapshot(shared: Shared) -> dict[str, Any]:
    """Return what may be remembered of `shared`."""
    return {key: shared[key] for key in DEFAULTS if key not in SECRET_KEYS}


def generate(shared: Shared, click_id: str) -> None:
    """Ask for a picture of the prompt in the box, unless one is on its way."""
    _ask(shared, click_id, shared["task_input"])


def regenerate(shared: Shared, click_id: str) -> None:
    """Ask for another picture of the prompt under review, unless one is on its way."""
    _ask(shared, click_id, shared["input_used_by_process"])


def receive_picture(shared: Shared, request_id: str, picture: Picture, model: str) -> None:
    """Put the picture that was asked for under review; on the final screen, only keep it."""
    pending = _settle(shared, request_id)
    if pending is None:
        return
    prompt = pending["prompt"]
    attempt = {
        "id": request_id,
        "prompt": prompt,
        "image": picture.image,
        "extension": picture.extension,
        "model": model,
        "seconds": picture.seconds,
        "usage": picture.usage,
    }
    shared["attempts"] = _bounded((*shared["attempts"], attempt), shared["final_result"])
    shared["input_used_by_process"] = prompt
    shared["generated_image"] = picture.image
    if shared["stage"] == "initial_input":
        shared["stage"] = "user_feedback"


def fail(shared: Shared, request_id: str, problem: Problem) -> None:
    """Give up the pending request: all stays as it was, and one sentence says why."""
    if _settle(shared, request_id):
        shared["error_message"] = problem.sentence


def cancel(shared: Shared, request_id: str) -> None:
    """Take back the pending request."""
    fail(shared, request_id, CANCELLED)


def approve(shared: Shared) -> None:
    """Make the picture under review the result."""
    shared["error_message"] = ""
    shared["final_result"] = shared["generated_image"]
    shared["stage"] = "final"


def back_to_review(shared: Shared) -> None:
    """Return from the result to the pictures."""
    shared["error_message"] = ""
    shared["stage"] = "user_feedback"


def start_over(shared: Shared) -> None:
    """Return to an empty first screen; a key that was typed stays."""
    for key, default in DEFAULTS.items():
        if key not in SECRET_KEYS:
            shared[key] = default
    shared["click_id"] = new_id()


def find_attempt(shared: Shared, image: str) -> Mapping[str, Any]:
    """Return the attempt that brought `image` (base64). Raises LookupError if none did."""
    for attempt in shared["attempts"]:
        if attempt["image"] == image:
            return attempt  # type: ignore[no-any-return]
    raise LookupError("no attempt brought this picture")


def new_id() -> str:
    """Return an id for the next click on a button that costs money."""
    return str(uuid.uuid4())


def _ask(shared: Shared, click_id: str, prompt: str) -> None:
    for key in WIDGET_KEYS:
        shared[key] = shared[key]
    # Clicks on one rendering of a button are one click, and so are those that came too late.
    if shared["pending"] or click_id != shared["click_id"]:
        return
    if not prompt.strip():
        shared["error_message"] = "Describe the picture first: a few words are enough."
        return
    # Two tabs that open with the same memory share a click, unless they ask for other things.
    request_id = str(uuid.uuid5(uuid.UUID(click_id), prompt))
    shared["error_message"] = ""
    shared["pending"] = {"id": request_id, "prompt": prompt}


def _settle(shared: Shared, request_id: str) -> Any:
    """Take the pending request off the store and return it, if it is this one."""
    pending = shared["pending"]
    if not pending or pending["id"] != request_id:
        return None
    shared["pending"] = None
    shared["click_id"] = new_id()
    return pending


def _bounded(attempts: tuple[Any, ...], approved: str) -> tuple[Any, ...]:
    """Drop the oldest attempt where there are too many, but never the approved one."""
    if len(attempts) <= MAX_ATTEMPTS:
        return attempts
    oldest = next(i for i, attempt in enumerate(attempts) if attempt["image"] != approved)
    return attempts[:oldest] + attempts[oldest + 1 :]
