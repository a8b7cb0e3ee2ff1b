"""The shared store: its keys, their defaults, and every move from one state to the next.

`shared` is any mapping; in the app it is `st.session_state`. Values are replaced, never changed
in place, because the browser's memory and other tabs hold the same objects.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from utils.errors import CANCELLED, FORGOTTEN, Problem
from utils.models import PRESETS, ability, check_size, cost, count
from utils.pictures import Picture
from utils.settings import choose_engine


class Shared(Protocol):
    """What the moves need of a shared store; a dict has it, and so has `st.session_state`."""

    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...
    def __contains__(self, key: str, /) -> bool: ...


ClickMove = Callable[[Shared, str], None]

AUTO = "auto"
CUSTOM = "custom"
MAX_PROMPT = 32_000
MAX_ATTEMPTS = 24

DEFAULTS: Mapping[str, Any] = {
    "stage": "initial_input",
    "task_input": "",
    "input_used_by_process": "",
    "generated_image": "",
    "final_result": "",
    "error_message": "",
    "error_request_id": "",
    "pending": None,
    "attempts": (),
    "click_id": "",
    "model": "",
    "size": AUTO,
    "custom_size": "",
    "quality": AUTO,
    "background": AUTO,
    "output_format": AUTO,
    "spending": {"pictures": 0, "tokens": 0, "dollars": 0.0},
    "api_key": "",
    "remembered": {},
}
SETTINGS = ("model", "size", "custom_size", "quality", "background", "output_format")
# Streamlit wipes what arrives in the run that disables its widget, unless it is set again.
WIDGET_KEYS = ("task_input", *SETTINGS, "api_key")
START_OVER_KEEPS = frozenset({*SETTINGS, "spending", "api_key", "remembered"})
# A key typed into the page lives in its session alone.
NOT_REMEMBERED = frozenset({"api_key", "remembered"})


def begin(shared: Shared, remembered: Mapping[str, Any], is_known: Callable[[str], bool]) -> None:
    """Give a new session its keys: what its browser is remembered for, else the defaults.

    A remembered request that `is_known` no longer knows is given up: asking again would cost again.
    """
    if "stage" in shared:
        return
    for key, default in DEFAULTS.items():
        shared[key] = remembered.get(key, default)
    shared["click_id"] = shared["click_id"] or new_id()
    shared["remembered"] = remembered
    if shared["pending"] and not is_known(shared["pending"]["id"]):
        fail(shared, shared["pending"]["id"], FORGOTTEN)


def take_changes(shared: Shared) -> dict[str, Any] | None:
    """Return what is to be remembered of `shared`, or None if it is what was returned last.

    A tab that only lies open must not overwrite what another one has done since.
    """
    snapshot = {key: shared[key] for key in DEFAULTS if key not in NOT_REMEMBERED}
    if snapshot == shared["remembered"]:
        return None
    shared["remembered"] = snapshot
    return snapshot


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
        "refused": picture.refused,
    }
    shared["spending"] = _add(shared["spending"], model, picture.usage)
    shared["attempts"] = _bounded((*shared["attempts"], attempt), shared["final_result"])
    shared["input_used_by_process"] = prompt
    shared["generated_image"] = picture.image
    if shared["stage"] == "initial_input":
        shared["stage"] = "user_feedback"


def fail(shared: Shared, request_id: str, problem: Problem) -> None:
    """Give up the pending request: all stays as it was, and one sentence says why."""
    if _settle(shared, request_id):
        shared["error_message"] = problem.sentence
        shared["error_request_id"] = problem.request_id


def cancel(shared: Shared, request_id: str) -> None:
    """Take back the pending request."""
    fail(shared, request_id, CANCELLED)


def approve(shared: Shared) -> None:
    """Make the picture under review the result."""
    _clear_error(shared)
    shared["final_result"] = shared["generated_image"]
    shared["stage"] = "final"


def back_to_review(shared: Shared) -> None:
    """Return from the result to the pictures."""
    _clear_error(shared)
    shared["stage"] = "user_feedback"


def start_over(shared: Shared) -> None:
    """Return to an empty first screen; the settings and what they have cost stay."""
    for key, default in DEFAULTS.items():
        if key not in START_OVER_KEEPS:
            shared[key] = default
    shared["click_id"] = new_id()


def fit_settings(shared: Shared) -> None:
    """Put back to auto what the chosen model is documented not to do, or what does not go together.

    A picture with a transparent background cannot be a JPEG.
    """
    known = ability(chosen_model(shared))
    if shared["quality"] not in (AUTO, *known.qualities):
        shared["quality"] = AUTO
    if shared["size"] == CUSTOM and not known.free_sizes:
        shared["size"] = AUTO
    if shared["background"] == "transparent" and not known.transparent:
        shared["background"] = AUTO
    if shared["background"] == "transparent" and shared["output_format"] == "jpeg":
        shared["output_format"] = AUTO


def chosen_model(shared: Shared) -> str:
    """Return the model that will be asked."""
    return choose_engine(shared["api_key"], shared["model"]).model


def chosen_options(shared: Shared) -> dict[str, str]:
    """Return the settings that were chosen, by the API's parameter names; auto is none.

    Raises ValueError, with a sentence for a person, where the size is none that the model takes.
    """
    options = {key: shared[key] for key in ("quality", "background", "output_format")}
    size = shared["size"]
    options["size"] = PRESETS.get(size, size)
    if size == CUSTOM:
        options["size"] = check_size(chosen_model(shared), shared["custom_size"])
    return {key: value for key, value in options.items() if value != AUTO}


def size_to_come(shared: Shared) -> tuple[int, int]:
    """Return width and height in pixels that the next picture will have, square if left open."""
    try:
        options = shared["pending"]["options"] if shared["pending"] else chosen_options(shared)
    except ValueError:
        options = {}
    width, height = options.get("size", PRESETS["square"]).split("x")
    return int(width), int(height)


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
    _clear_error(shared)
    if not prompt.strip():
        shared["error_message"] = "Describe the picture first: a few words are enough."
        return
    try:
        options = chosen_options(shared)
    except ValueError as exc:
        shared["error_message"] = str(exc)
        return
    wish = {"prompt": prompt, "model": shared["model"], "options": options}
    # Two tabs that open with the same memory share a click, unless they ask for other things.
    request_id = uuid.uuid5(uuid.UUID(click_id), json.dumps(wish, sort_keys=True))
    shared["pending"] = {"id": str(request_id), **wish}


def _clear_error(shared: Shared) -> None:
    shared["error_message"] = shared["error_request_id"] = ""


def _add(spending: Mapping[str, Any], model: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pictures": spending["pictures"] + 1,
        "tokens": spending["tokens"] + count(usage.get("total_tokens")),
        "dollars": spending["dollars"] + (cost(model, usage) or 0.0),
    }


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
