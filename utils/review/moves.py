"""The shared store: its keys, their defaults, and every move from one state to the next.

`shared` is any mapping; in the app it is `st.session_state`. Values are replaced, never changed
in place, because the browser's memory and other tabs hold the same objects.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from utils.images.errors import CANCELLED, FORGOTTEN, Problem
from utils.images.models import PRESETS, ability, check_size, cost, count
from utils.images.pictures import NotAPictureError, Picture, check_picture, encode
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
MAX_COUNT = 4
MAX_REFERENCES = 16
EXAMPLES = (
    "A lighthouse by the sea at sunset",
    "Snowy mountains above a quiet lake at dawn",
    "A city by the water on a starry night",
)

DEFAULTS: Mapping[str, Any] = {
    "stage": "initial_input",
    "task_input": "",
    "input_used_by_process": "",
    "generated_image": "",
    "final_result": "",
    "error_message": "",
    "error_request_id": "",
    "pending": None,
    "missing": None,
    "attempts": (),
    "selected": "",
    "approved": "",
    "picked": None,
    "compared": "",
    "recent": (),
    "edited_prompt": "",
    "seen": "",
    "change": "",
    "references": (),
    "upload_round": 0,
    "click_id": "",
    "count": 1,
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
SETTINGS = ("count", "model", "size", "custom_size", "quality", "background", "output_format")
# Streamlit wipes what arrives in the run that disables its widget, unless it is set again.
WIDGET_KEYS = ("task_input", "edited_prompt", "change", "picked", "compared", *SETTINGS, "api_key")
START_OVER_KEEPS = frozenset(
    {*SETTINGS, "recent", "upload_round", "spending", "api_key", "remembered"}
)
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
    for request_id in shared["pending"]["waiting"] if shared["pending"] else ():
        if not is_known(request_id):
            fail(shared, request_id, FORGOTTEN)


def take_changes(shared: Shared) -> dict[str, Any] | None:
    """Return what is to be remembered of `shared`, or None if it is what was returned last.

    A tab that only lies open must not overwrite what another one has done since.
    """
    snapshot = {key: shared[key] for key in DEFAULTS if key not in NOT_REMEMBERED}
    if snapshot == shared["remembered"]:
        return None
    shared["remembered"] = snapshot
    return snapshot


def offers_examples(shared: Shared) -> bool:
    """Return whether an example may fill the prompt box: not over a person's own words."""
    return shared["task_input"].strip() in ("", *EXAMPLES)


def use_example(shared: Shared, prompt: str) -> None:
    """Put an example into the prompt box, unless a person's own words came there meanwhile."""
    if offers_examples(shared):
        shared["task_input"] = prompt


def generate(shared: Shared, click_id: str) -> None:
    """Ask for pictures of the prompt in the box, unless some are on their way."""
    _ask(shared, click_id, shared["task_input"], shared["references"])


def generate_edited(shared: Shared, click_id: str) -> None:
    """Ask for pictures of the prompt in the review screen's box."""
    _ask(shared, click_id, shared["edited_prompt"], shared["references"])


def regenerate(shared: Shared, click_id: str) -> None:
    """Ask for more pictures made in the way of the one under review."""
    attempt = find_attempt(shared, shared["selected"])
    _ask(shared, click_id, attempt["prompt"], attempt["sources"], attempt["parent"])


def change(shared: Shared, click_id: str) -> None:
    """Ask for the picture under review to be changed as the words in the box say."""
    sources = (shared["generated_image"], *shared["references"])
    _ask(shared, click_id, shared["change"], sources, shared["selected"])


def make_missing(shared: Shared, click_id: str) -> None:
    """Ask once more for those pictures of the last request that did not come."""
    missing = shared["missing"]
    if _may_ask(shared, click_id) and missing:
        _clear_error(shared)
        _begin_request(shared, missing["wish"], missing["count"])


def receive_picture(shared: Shared, request_id: str, picture: Picture, model: str) -> None:
    """Take in a picture that was asked for.

    The first of a request goes under review, unless a result is on the screen; the others only
    join the attempts, so that they do not take away what a person is looking at.
    """
    pending = _settle(shared, request_id)
    if pending is None:
        return
    attempt = {
        "id": request_id,
        "number": max((one["number"] for one in shared["attempts"]), default=0) + 1,
        "prompt": pending["prompt"],
        "parent": pending["parent"],
        "sources": pending["images"],
        "options": pending["options"],
        "image": picture.image,
        "extension": picture.extension,
        "model": model,
        "seconds": picture.seconds,
        "usage": picture.usage,
        "refused": picture.refused,
    }
    shared["spending"] = _add(shared["spending"], model, picture.usage)
    shared["attempts"] = _bounded((*shared["attempts"], attempt), shared)
    if shared["stage"] != "final" and not pending["received"]:
        select(shared, request_id)
        shared["stage"] = "user_feedback"
    if shared["pending"]:
        shared["pending"] = {**shared["pending"], "received": True}


def fail(shared: Shared, request_id: str, problem: Problem) -> None:
    """Give up one picture: all stays as it was, and a sentence says why."""
    pending = _settle(shared, request_id)
    if pending is None:
        return
    shared["error_message"] = problem.sentence
    shared["error_request_id"] = problem.request_id
    if len(pending["asked"]) > 1 and problem is not CANCELLED:
        missing = shared["missing"]["count"] if shared["missing"] else 0
        shared["missing"] = {"wish": _wish(pending), "count": missing + 1}


def select(shared: Shared, attempt_id: str) -> None:
    """Put an attempt under review. Raises LookupError if there is none of this id."""
    attempt = find_attempt(shared, attempt_id)
    shared["selected"] = attempt_id
    shared["generated_image"] = attempt["image"]
    shared["input_used_by_process"] = attempt["prompt"]


def pick(shared: Shared) -> None:
    """Put the attempt under review that was picked from the strip."""
    if shared["picked"]:
        select(shared, shared["picked"])


def look(shared: Shared) -> bool:
    """Note that the picture under review is on screen; return whether it just came there."""
    is_new = shared["seen"] != shared["selected"]
    shared["seen"] = shared["selected"]
    return bool(is_new)


def step(shared: Shared, by: int) -> None:
    """Put the attempt `by` places further in the strip under review; after the last the first."""
    ids = [attempt["id"] for attempt in shared["attempts"]]
    select(shared, ids[(ids.index(shared["selected"]) + by) % len(ids)])


def take_references(shared: Shared, files: Sequence[bytes]) -> None:
    """Use these pictures (png, jpg or webp) in the next requests, or say which cannot be used."""
    _clear_error(shared)
    references = []
    for number, data in enumerate(files, 1):
        try:
            references.append(check_picture(encode(data)).image)
        except NotAPictureError:
            shared["error_message"] = (
                f"Picture {number} is no PNG, JPEG or WebP picture that can be used. "
                "Choose another one."
            )
    if len(references) > MAX_REFERENCES:
        shared["error_message"] = f"Only the first {MAX_REFERENCES} pictures are used."
    shared["references"] = tuple(references[:MAX_REFERENCES])


def drop_references(shared: Shared) -> None:
    """Use a person's own pictures no more."""
    shared["references"] = ()
    shared["upload_round"] += 1


def approve(shared: Shared) -> None:
    """Make the picture under review the result."""
    _clear_error(shared)
    shared["final_result"] = shared["generated_image"]
    shared["approved"] = shared["selected"]
    shared["stage"] = "final"


def back_to_review(shared: Shared) -> None:
    """Return from the result to the pictures."""
    _clear_error(shared)
    shared["stage"] = "user_feedback"


def start_over(shared: Shared) -> None:
    """Return to an empty first screen; settings, costs and recent pictures stay."""
    kept = {attempt["id"]: attempt for attempt in (*shared["recent"], *shared["attempts"])}
    shared["recent"] = tuple(kept.values())[-MAX_ATTEMPTS:]
    for key, default in DEFAULTS.items():
        if key not in START_OVER_KEEPS:
            shared[key] = default
    shared["click_id"] = new_id()
    drop_references(shared)


def reopen(shared: Shared, attempt_id: str) -> None:
    """Put one of the recent pictures under review. Raises LookupError if there is none."""
    found = [attempt for attempt in shared["recent"] if attempt["id"] == attempt_id]
    if not found:
        raise LookupError("no recent picture has this id")
    _clear_error(shared)
    shared["attempts"] = (*shared["attempts"], *found)
    select(shared, attempt_id)
    shared["stage"] = "user_feedback"


def forget_recent(shared: Shared) -> None:
    """Clear the recent pictures."""
    shared["recent"] = ()


def fit_widgets(shared: Shared) -> None:
    """Make the widgets' values fit before they are shown.

    The prompt box of the review follows the picture under review. What the chosen model is
    documented not to do goes back to auto, and so does JPEG with a transparent background.
    """
    if shared["seen"] != shared["selected"]:
        shared["edited_prompt"] = shared["input_used_by_process"]
    if shared["picked"] != (shared["selected"] or None):
        shared["picked"] = shared["selected"] or None
    if shared["compared"] not in {"", *(attempt["id"] for attempt in shared["attempts"])}:
        shared["compared"] = ""
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


def find_attempt(shared: Shared, attempt_id: str) -> Mapping[str, Any]:
    """Return the attempt of this id. Raises LookupError if there is none."""
    for attempt in shared["attempts"]:
        if attempt["id"] == attempt_id:
            return attempt  # type: ignore[no-any-return]
    raise LookupError("no attempt has this id")


def new_id() -> str:
    """Return an id for the next click on a button that costs money."""
    return str(uuid.uuid4())


def _may_ask(shared: Shared, click_id: str) -> bool:
    """Keep what was typed; clicks on one rendering of a button are one, and late ones are none."""
    for key in WIDGET_KEYS:
        shared[key] = shared[key]
    return not shared["pending"] and click_id == shared["click_id"]


def _ask(
    shared: Shared, click_id: str, prompt: str, images: tuple[str, ...] = (), parent: str = ""
) -> None:
    if not _may_ask(shared, click_id):
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
    wish = {
        "prompt": prompt,
        "model": shared["model"],
        "options": options,
        "images": images,
        "parent": parent,
    }
    _begin_request(shared, wish, shared["count"])


def _begin_request(shared: Shared, wish: dict[str, Any], pictures: int) -> None:
    # Two tabs that open with the same memory share a click, unless they ask for other things.
    asked = json.dumps([wish, pictures], sort_keys=True)
    click = uuid.uuid5(uuid.UUID(shared["click_id"]), asked)
    request_ids = tuple(f"{click}-{number}" for number in range(1, pictures + 1))
    shared["pending"] = {
        "asked": request_ids,
        "waiting": request_ids,
        "received": False,
        **wish,
    }


def _wish(pending: Mapping[str, Any]) -> dict[str, Any]:
    return {key: pending[key] for key in ("prompt", "model", "options", "images", "parent")}


def _clear_error(shared: Shared) -> None:
    shared["error_message"] = shared["error_request_id"] = ""
    shared["missing"] = None


def _add(spending: Mapping[str, Any], model: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pictures": spending["pictures"] + 1,
        "tokens": spending["tokens"] + count(usage.get("total_tokens")),
        "dollars": spending["dollars"] + (cost(model, usage) or 0.0),
    }


def _settle(shared: Shared, request_id: str) -> Any:
    """Take one picture off what is waited for; return the request it belonged to, if any."""
    pending = shared["pending"]
    if not pending or request_id not in pending["waiting"]:
        return None
    left = tuple(one for one in pending["waiting"] if one != request_id)
    shared["pending"] = {**pending, "waiting": left} if left else None
    if not left:
        shared["click_id"] = new_id()
    return pending


def _bounded(attempts: tuple[Any, ...], shared: Shared) -> tuple[Any, ...]:
    """Drop the oldest where there are too many, but neither the approved nor the selected one."""
    pinned = {shared["approved"], shared["selected"]}
    while len(attempts) > MAX_ATTEMPTS:
        oldest = next(i for i, attempt in enumerate(attempts) if attempt["id"] not in pinned)
        attempts = attempts[:oldest] + attempts[oldest + 1 :]
    return attempts
