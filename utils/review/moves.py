"""Every move from one state of the shared store to the next.

Each writes first what must not be lost and last what makes room for the next request, and each
may be repeated: an interruption anywhere, and whatever follows it, loses and doubles nothing.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pybase64

from utils.jobs.outcomes import FORGOTTEN, INTERRUPTED, Problem
from utils.review.blobs import blobs
from utils.review.interruptions import uninterrupted
from utils.review.records import (
    Approval,
    Attempt,
    Cost,
    Engine,
    Failure,
    Pending,
    Result,
    Wish,
    reviewed_by,
)
from utils.review.store import (
    DEFAULTS,
    NOT_REMEMBERED,
    OF_REVIEW,
    STAGES,
    START_OVER_KEEPS,
    Store,
    by_key,
)
from utils.settings import get_settings

ClickMove = Callable[[Store, str, "Choose"], None]
# Reads the settings that stand in the store: who is asked, and for what, once for each of them;
# raises ValueError with a sentence for a person.
Choose = Callable[[Mapping[str, object]], Sequence[tuple[Engine, dict[str, str]]]]

# The key of the box for words about the approved attempt.
DESCRIPTION = "description"
MAX_PROMPT = 32_000
MAX_ATTEMPTS = 24
MAX_COUNT = 4
MAX_SOURCES = 16


def begin(
    shared: Store,
    remembered: Mapping[str, object],
    is_known: Callable[[Pending], bool],
    settings: Mapping[str, str],
    owner: str = "",
    person: str = "",
    *,
    payer: str = "",
    agent: bool = False,
) -> None:
    """Give a new session its keys: what its browser is remembered for, else the defaults.

    `settings` are those of the engine with their defaults. A remembered request that `is_known`
    does not know any more is given up: asking again could cost again. `owner` is whose session it
    is, and `person` their name where that is known; `payer` is whose limits its calls count for,
    where it is another, and `agent` says that no person looks at it.
    """
    if "remembered" in shared:
        return
    values = by_key(shared)
    for key, default in {**DEFAULTS, **settings}.items():
        if key != "remembered":
            values[key] = default if key in NOT_REMEMBERED else remembered.get(key, default)
    shared["owner"] = owner or new_id()
    shared["payer"] = payer or shared["owner"]
    shared["person"] = person
    shared["agent"] = agent
    shared["allowance"] = allowance() if agent else 0
    shared["click_id"] = shared["click_id"] or new_id()
    shared["settings"] = tuple(settings)
    _write_base64(shared)
    for pending in shared["pending"]:
        if pending.review and pending.review.owner == shared["owner"]:
            # Who looks at a review does not wait for themselves.
            clear_settled(shared, [pending.id])
        elif not is_known(pending):
            given_up = FORGOTTEN if pending.review else INTERRUPTED
            fail(shared, pending, given_up, lost=int(given_up.billed))
    clear_settled(shared)
    # Last, because it says that the session has begun.
    shared["remembered"] = remembered


def empty(shared: Store) -> None:
    """Take everything out of the store: from now on its session is somebody else's."""
    values = by_key(shared)
    for key in list(values):
        del values[key]


def snapshot(shared: Store) -> dict[str, object]:
    """Return what is to be remembered of `shared`."""
    keys = [*DEFAULTS, *shared["settings"]]
    return {key: by_key(shared)[key] for key in keys if key not in NOT_REMEMBERED}


def mend(shared: Store) -> None:
    """Leave out what is named but gone, and stay at no stage that lacks what it shows."""
    there = _still_there(shared["attempts"])
    ids = [attempt.id for attempt in there]
    if len(there) < len(shared["attempts"]):
        shared["error_message"] = "The oldest results were too many to keep, and are gone."
        shared["attempts"] = there
    if shared["under_review"] not in (ids or [""]):
        shared["under_review"] = ids[-1] if ids else ""
        _write_base64(shared)
    if len(recent := _still_there(shared["recent"])) < len(shared["recent"]):
        shared["recent"] = recent
    shows = STAGES[shared["stage"]].shows
    if shows and by_key(shared)[shows] not in ids:
        shared["stage"] = "user_feedback" if ids else "initial_input"


def keep_widgets(shared: Store) -> None:
    """Keep what was typed: Streamlit wipes what arrives in the run that disables its widget."""
    values = by_key(shared)
    boxes = (prompt_key(shared), edit_key(shared["under_review"]))
    for key in (*boxes, "change", "count", "api_key", *shared["settings"]):
        if key in values:
            values[key] = values[key]


def prompt_key(shared: Store) -> str:
    """Return the key of the prompt box: another one when its text is not what was typed there.

    A page that has not heard of the new text yet would send the old one with the next click.
    """
    return f"prompt-{shared['prompt_round']}"


@uninterrupted
def edit_prompt(shared: Store) -> None:
    """Keep the text of the prompt box."""
    text = by_key(shared).get(prompt_key(shared))
    if isinstance(text, str):
        shared["task_input"] = text


def edit_key(attempt_id: str) -> str:
    """Return the key of the prompt box that belongs to an attempt."""
    return f"edit-{attempt_id}"


@uninterrupted
def edit(shared: Store, attempt_id: str) -> None:
    """Keep the text of an attempt's prompt box with the attempt."""
    text = by_key(shared).get(edit_key(attempt_id))
    if isinstance(text, str):
        shared["edits"] = {**shared["edits"], attempt_id: text}


def edited_prompt(shared: Store) -> str:
    """Return what was typed into the box of the attempt under review, else its own prompt."""
    attempt = find_attempt(shared, shared["under_review"])
    return shared["edits"].get(attempt.id, attempt.wish.brief)


def fit_boxes(shared: Store) -> None:
    """Make the boxes show what belongs to them."""
    values = by_key(shared)
    attempt_id = shared["under_review"]
    fitting = {prompt_key(shared): shared["task_input"], pick_key(shared): attempt_id or None}
    if attempt_id:
        fitting[edit_key(attempt_id)] = edited_prompt(shared)
    for key, value in fitting.items():
        # A box that is set anew would lose what is just being typed.
        if values.get(key) != value:
            values[key] = value


def pick_key(shared: Store) -> str:
    """Return the key of the strip: another one when what it shows as picked was not picked there.

    A page that has not heard of it yet would send the old pick with the next click, as a new one.
    """
    return f"picked-{shared['pick_round']}"


@uninterrupted
def pick(shared: Store, key: str, shown: str) -> None:
    """Put the attempt under review that was picked from the strip of this key.

    `shown` is what the strip shows as picked: a page that sends it once more has picked nothing.
    """
    picked, rounds = str(by_key(shared)[key]), shared["pick_round"]
    if picked == shown:
        return
    current = key == pick_key(shared)
    select(shared, picked)
    if current:
        shared["pick_round"] = rounds


@uninterrupted
def use_example(shared: Store, key: str, examples: Sequence[str]) -> None:
    """Put the example that was chosen in the box of this key into the prompt box.

    But never over a person's own words.
    """
    example = by_key(shared)[key]
    edit_prompt(shared)
    if example and shared["task_input"].strip() in ("", *examples):
        shared["task_input"] = str(example)
        shared["prompt_round"] += 1


@uninterrupted
def click(shared: Store, move: str, click_id: str) -> None:
    """Note a click that costs money: the name of its move, and the click's id.

    Clicks that wait for the session come in one turn, and not in their order: what is sent must
    not depend on which of them is heard first.
    """
    keep_widgets(shared)
    shared["clicked"] = (move, click_id)


def ask(shared: Store, choose: Choose) -> None:
    """Follow the click that costs money, if there was one, after all others of the turn.

    A decision in the same turn leaves it out: of two clicks in one breath none costs money unseen.
    """
    move, click_id = shared["clicked"]
    if move and not shared["decision"]:
        ASKS[move](shared, click_id, choose)
    shared["clicked"] = ("", "")


def generate(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for results of the prompt in the box, unless some are on their way."""
    edit_prompt(shared)
    _ask(shared, click_id, choose, shared["task_input"], source_names(shared))


def generate_edited(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for results of the prompt in the review's box."""
    parent = shared["under_review"]
    edit(shared, parent)
    _ask(shared, click_id, choose, edited_prompt(shared), source_names(shared), parent)


def regenerate(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for the same as the attempt under review once more, with the settings of today."""
    wish = find_attempt(shared, shared["under_review"]).wish
    _ask(shared, click_id, choose, wish.prompt, wish.sources, wish.parent, wish.brief, wish.mark)


def change(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for the attempt under review to be changed as the words in the box say."""
    attempt = find_attempt(shared, shared["under_review"])
    brief = f"{attempt.wish.brief.rstrip(' .')}. {shared['change']}"
    sources = (attempt.result.name, *source_names(shared))
    mark = shared["marks"].get(attempt.id, "")
    _ask(shared, click_id, choose, shared["change"], sources, attempt.id, brief, mark)


@uninterrupted
def mark(shared: Store, attempt_id: str, mark: str) -> None:
    """Note where on an attempt something is to be different, as the engine's page writes it."""
    shared["marks"] = {**shared["marks"], attempt_id: mark}


def ask_again(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask once more for what did not come, as it was asked for."""
    wishes = [failure.pending.wish for failure in missing(shared)]
    if not _may_ask(shared, click_id) or not wishes:
        return
    if any(wish.engine.own_key for wish in wishes) and not shared["api_key"]:
        shared["error_message"] = "The key that was used is forgotten. Enter it once more."
        return
    _begin(shared, wishes)


def missing(shared: Store) -> list[Failure]:
    """Return what may be asked for once more: some of several, and what may have been billed."""
    asked = [*shared["pending"], *(failure.pending for failure in shared["failures"])]
    clicks = [one.click for one in asked] + [attempt.click for attempt in shared["attempts"]]
    return [
        failure
        for failure in shared["failures"]
        if failure.problem.kind != "cancelled"
        and (failure.problem.billed or clicks.count(failure.pending.click) > 1)
    ]


def receive(shared: Store, pending: Pending, result: Result, lost: int = 0) -> None:
    """Take in what was waited for; `lost` tries before it may have been billed too.

    The first of a click goes under review, where the stage yields; the others only join the
    attempts, so that they do not take away what a person is looking at.
    """
    attempts = shared["attempts"]
    if pending.id not in [attempt.id for attempt in attempts]:
        number = max((attempt.number for attempt in attempts), default=0) + 1
        attempt = Attempt(pending.id, pending.click, number, pending.wish, result, now())
        shared["attempts"] = _bounded(shared, (*attempts, attempt))
    # What was typed and sent is the prompt of what came: no other box needs to keep it.
    edits = shared["edits"]
    shared["edits"] = {one: text for one, text in edits.items() if text != pending.wish.brief}
    there = {attempt.id for attempt in shared["attempts"]}
    shared["marks"] = {one: mark for one, mark in shared["marks"].items() if one in there}
    _note_cost(shared, pending, replace(result.cost, lost=lost))
    if pending.id not in shared["unseen"]:
        shared["unseen"] = (*shared["unseen"], pending.id)
    others = [one.id for one in shared["attempts"] if one.click == pending.click]
    if others == [pending.id] and STAGES[shared["stage"]].yields:
        _keep_edit(shared, pending)
        select(shared, pending.id)
        shared["stage"] = "user_feedback"


def fail(shared: Store, pending: Pending, problem: Problem, lost: int = 0) -> None:
    """Give up what was waited for: all stays as it was, and a sentence says why."""
    if pending not in [failure.pending for failure in shared["failures"]]:
        shared["failures"] = (*shared["failures"], Failure(pending, problem))
    _note_cost(shared, pending, Cost(lost=lost))
    shared["error_message"] = problem.sentence
    shared["error_request_id"] = problem.request_id


def interrupted(shared: Store) -> list[Failure]:
    """Return what was given up because nobody knew any more whether it would come."""
    return [one for one in shared["failures"] if one.problem.kind == INTERRUPTED.kind]


def receive_late(shared: Store, failure: Failure, result: Result, lost: int = 0) -> None:
    """Take in what came after all: it replaces the message that it would not."""
    receive(shared, failure.pending, result, lost)
    left = tuple(one for one in shared["failures"] if one != failure)
    if not left:
        clear_error(shared)
    shared["failures"] = left


def clear_settled(shared: Store, also: Sequence[str] = ()) -> None:
    """Wait no more for what has come, or never will, nor `also` for those of these ids.

    When nothing is waited for any more, the next click is a new one.
    """
    settled = {attempt.id for attempt in shared["attempts"]} | set(also)
    settled |= {failure.pending.id for failure in shared["failures"]}
    left = tuple(one for one in shared["pending"] if one.id not in settled)
    if len(left) < len(shared["pending"]):
        if not left:
            shared["click_id"] = new_id()
        shared["pending"] = left


def asked(shared: Store) -> list[str]:
    """Return the ids of all that was asked for by the clicks that something is waited for of."""
    clicks = {pending.click for pending in shared["pending"]}
    waiting = [*shared["pending"], *(failure.pending for failure in shared["failures"])]
    ids = {pending.id for pending in waiting if pending.click in clicks}
    return sorted(ids | {one.id for one in shared["attempts"] if one.click in clicks})


def came_to_review(shared: Store) -> bool:
    """Return whether what is under review has come just now: it is still waited for."""
    waited_for = [pending.id for pending in shared["pending"]]
    return shared["stage"] == "user_feedback" and shared["under_review"] in waited_for


@uninterrupted
def select(shared: Store, attempt_id: str) -> None:
    """Put an attempt under review, unless it has gone since."""
    if attempt_id not in [attempt.id for attempt in shared["attempts"]]:
        return
    shared["under_review"] = attempt_id
    shared["pick_round"] += 1
    _write_base64(shared)


@uninterrupted
def step(shared: Store, by: int) -> None:
    """Put the attempt `by` places further under review, past what is set aside.

    After the last comes the first.
    """
    here = shared["under_review"]
    ids = [one.id for one in shared["attempts"] if one.id == here or one.id not in shared["aside"]]
    if here in ids:
        select(shared, ids[(ids.index(here) + by) % len(ids)])


@uninterrupted
def keep(shared: Store, attempt_id: str) -> None:
    """Keep an attempt whatever comes after it, or no more if it is kept."""
    shared["aside"] = _without(shared["aside"], attempt_id)
    shared["kept"] = _toggled(shared["kept"], attempt_id)


@uninterrupted
def set_aside(shared: Store, attempt_id: str) -> None:
    """Set an attempt aside, or take it back if it is: it is passed over, and the first to go."""
    shared["kept"] = _without(shared["kept"], attempt_id)
    shared["aside"] = _toggled(shared["aside"], attempt_id)


def in_order(shared: Store) -> list[Attempt]:
    """Return the attempts as they stand in the strip: what is set aside at the end."""
    return sorted(shared["attempts"], key=lambda attempt: attempt.id in shared["aside"])


def look(shared: Store) -> bool:
    """Note that what is under review is on screen; return whether it has just come."""
    unseen = shared["unseen"]
    if shared["under_review"] not in unseen:
        return False
    shared["unseen"] = tuple(one for one in unseen if one != shared["under_review"])
    return True


@uninterrupted
def approve(shared: Store, attempt_id: str, approval: Approval | None = None) -> None:
    """Make an attempt, the one that the person sees, the result. An agent never approves.

    `approval` is how that came about, where it has been told to others already.
    """
    if shared["agent"]:
        return
    clear_error(shared)
    select(shared, attempt_id)
    settle_on(shared, attempt_id, approval or approval_now(shared))
    shared["unseen"] = ()
    shared["decision"] = "approve"


def approval_now(shared: Store) -> Approval:
    """Return how something is approved that is approved now."""
    return Approval(now(), shared["attempts"], shared["person"])


@uninterrupted
def describe(shared: Store, attempt_id: str) -> None:
    """Keep the words that a person has written for those who cannot perceive an attempt."""
    text = by_key(shared).get(DESCRIPTION)
    if isinstance(text, str):
        shared["descriptions"] = {**shared["descriptions"], attempt_id: text}


@uninterrupted
def back_to_review(shared: Store) -> None:
    """Return from the result to the attempts."""
    clear_error(shared)
    shared["decision"] = "back"


@uninterrupted
def decide(shared: Store, decision: str) -> None:
    """Note what the person has decided: the flow takes the arrow of that name."""
    keep_widgets(shared)
    shared["decision"] = decision


def take_decision(shared: Store) -> str:
    """Return what the person has decided since the flow last asked, '' for nothing."""
    decision = shared["decision"]
    shared["decision"] = ""
    return decision


def add(shared: Store, attempts: Sequence[Attempt], shown: str) -> None:
    """Take in attempts that others have, and put the one of this id under review."""
    together = {one.id: one for one in shared["attempts"]}
    for attempt in attempts:
        if attempt.id not in together:
            numbers = [one.number for one in together.values()]
            free = attempt.number not in numbers
            number = attempt.number if free else max(numbers) + 1
            together[attempt.id] = replace(attempt, number=number)
    if together:
        shared["attempts"] = _bounded(shared, tuple(together.values()), shown)
    select(shared, shown)


def settle_on(shared: Store, attempt_id: str, approval: Approval) -> None:
    """Make what somebody has approved the result."""
    shared["approved"], shared["approval"] = attempt_id, approval
    _write_base64(shared)


def allowance() -> int:
    """Return how much an agent may ask for before a person has looked."""
    return get_settings().agent_pictures


def enter(shared: Store, stage: str) -> None:
    """Go to a stage."""
    shared["stage"] = stage


def start_over(shared: Store) -> None:
    """Return to an empty first screen; settings, costs and recent results stay."""
    kept = {attempt.id: attempt for attempt in (*shared["recent"], *shared["attempts"])}
    shared["recent"] = tuple(kept.values())[-MAX_ATTEMPTS:]
    if shared["attempts"]:
        shared["put_away"] = tuple(attempt.id for attempt in shared["attempts"])
    shared["stage"] = "initial_input"
    shared["prompt_round"] += 1
    drop_references(shared)
    shared["click_id"] = new_id()
    # Who looks at a review still does.
    kept_too = OF_REVIEW if reviewed_by(shared["owner"]) else ()
    for key, default in DEFAULTS.items():
        if key not in START_OVER_KEEPS and key not in kept_too:
            by_key(shared)[key] = default


@uninterrupted
def reopen(shared: Store, attempt_id: str) -> None:
    """Put one of the recent results under review, with all that was put away together with it."""
    together = shared["put_away"] if attempt_id in shared["put_away"] else (attempt_id,)
    found = {attempt.id: attempt for attempt in shared["recent"] if attempt.id in together}
    if attempt_id not in found:
        return
    clear_error(shared)
    attempts = {attempt.id: attempt for attempt in shared["attempts"]} | found
    shared["attempts"] = _bounded(shared, tuple(attempts.values()), attempt_id)
    select(shared, attempt_id)
    shared["decision"] = "reopen"


@uninterrupted
def clear_recent(shared: Store) -> None:
    """Forget the recent results."""
    shared["recent"] = ()


@uninterrupted
def use_references(shared: Store, references: Sequence[tuple[str, str]], sentence: str) -> None:
    """Make the next results from these too: names in the table of blobs, and names for people."""
    clear_error(shared)
    shared["references"] = tuple(dict((*shared["references"], *references)).items())
    shared["upload_round"] += 1
    shared["error_message"] = sentence


@uninterrupted
def drop_reference(shared: Store, name: str) -> None:
    """Use one of a person's own files no more, by its name in the table of blobs."""
    shared["references"] = tuple(one for one in shared["references"] if one[0] != name)


@uninterrupted
def drop_references(shared: Store) -> None:
    """Use a person's own files no more."""
    shared["references"] = ()
    shared["upload_round"] += 1


def source_names(shared: Store) -> tuple[str, ...]:
    """Return the names of a person's own files in the table of blobs."""
    return tuple(name for name, _ in shared["references"])


def find_attempt(shared: Store, attempt_id: str) -> Attempt:
    """Return the attempt of this id. Raises LookupError if there is none."""
    for attempt in shared["attempts"]:
        if attempt.id == attempt_id:
            return attempt
    raise LookupError("no attempt has this id")


def clear_error(shared: Store) -> None:
    """Take the last error away."""
    shared["error_message"] = shared["error_request_id"] = ""
    shared["failures"] = ()


def now() -> str:
    """Return this moment, in UTC as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id() -> str:
    """Return an id for the next click on a button that costs money."""
    return str(uuid.uuid4())


def _may_ask(shared: Store, click_id: str) -> bool:
    """Return whether a click counts: all on one rendering of a button are one, late ones none."""
    return not shared["pending"] and click_id == shared["click_id"]


def _ask(
    shared: Store,
    click_id: str,
    choose: Choose,
    prompt: str,
    sources: tuple[str, ...],
    parent: str = "",
    brief: str = "",
    mark: str = "",
) -> None:
    if not _may_ask(shared, click_id):
        return
    clear_error(shared)
    if not prompt.strip():
        shared["error_message"] = "Write the prompt first: a few words are enough."
        return
    if len(sources) > MAX_SOURCES:
        shared["error_message"] = (
            f"With the picture to change these are more than {MAX_SOURCES}. Remove one of yours."
        )
        return
    if len(prompt) > MAX_PROMPT:
        many = f"{len(prompt) - MAX_PROMPT:,}"
        shared["error_message"] = f"The prompt is {many} characters too long. Shorten it."
        return
    try:
        chosen = choose(by_key(shared))
    except ValueError as exc:
        shared["error_message"] = str(exc)
        return
    wishes = [
        Wish(prompt, engine, options, sources, parent, brief or prompt, mark)
        for engine, options in chosen
    ] * shared["count"]
    kept = sum(attempt.id in shared["kept"] for attempt in shared["attempts"])
    if kept + len(wishes) > MAX_ATTEMPTS:
        shared["error_message"] = (
            f"You keep {kept}, and there is room for {MAX_ATTEMPTS} in all. Keep one less first."
        )
        return
    _begin(shared, wishes)


def _begin(shared: Store, wishes: Sequence[Wish]) -> None:
    clear_error(shared)
    if shared["agent"] and len(wishes) > shared["allowance"]:
        shared["error_message"] = (
            f"{shared['allowance']} more may be asked for before a person has looked. Ask a person."
        )
        return
    # Two tabs that open with the same memory share a click, unless they ask for other things.
    asked = json.dumps([asdict(wish) for wish in wishes], sort_keys=True)
    click = str(uuid.uuid5(uuid.UUID(shared["click_id"]), asked))
    shared["pending"] = tuple(
        Pending(f"{click}-{number}", click, wish) for number, wish in enumerate(wishes, 1)
    )
    if shared["agent"]:
        shared["allowance"] -= len(wishes)
    shared["decision"] = "generate"


def _keep_edit(shared: Store, pending: Pending) -> None:
    """Let what was typed for one attempt of a prompt stand in the box of the next one too."""
    typed = shared["edits"].get(shared["under_review"])
    if typed is None or pending.id in shared["edits"]:
        return
    if find_attempt(shared, shared["under_review"]).wish.brief == pending.wish.brief:
        shared["edits"] = {**shared["edits"], pending.id: typed}


ASKS: Mapping[str, ClickMove] = {
    "generate": generate,
    "generate edited": generate_edited,
    "regenerate": regenerate,
    "change": change,
    "ask again": ask_again,
}


def _note_cost(shared: Store, pending: Pending, cost: Cost) -> None:
    shared["costs"] = {**shared["costs"], pending.id: cost}


def _write_base64(shared: Store) -> None:
    """Write what is under review, and what is approved, as base64 for a reader of the store."""
    names = {attempt.id: attempt.result.name for attempt in shared["attempts"]}
    shared["generated_image"] = _base64(names.get(shared["under_review"], ""))
    if shared["approved"] == shared["under_review"]:
        shared["final_result"] = shared["generated_image"]
    else:
        shared["final_result"] = _base64(names.get(shared["approved"], ""))


def _base64(name: str) -> str:
    return pybase64.b64encode(blobs.get(name) or b"").decode()


def _still_there(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    gone = blobs.missing([one.result.name for one in attempts])
    return tuple(one for one in attempts if one.result.name not in gone)


def _bounded(shared: Store, attempts: tuple[Attempt, ...], wanted: str = "") -> tuple[Attempt, ...]:
    """Drop the oldest where there are too many, of those that are set aside before all others.

    What is kept stays, and the result, and what is under review; `wanted` is one more that does.
    """
    pinned = {*shared["kept"], shared["approved"], shared["under_review"], wanted, attempts[-1].id}
    free = [one.id for one in attempts if one.id not in pinned]
    free.sort(key=lambda one: one not in shared["aside"])
    gone = free[: max(0, len(attempts) - MAX_ATTEMPTS)]
    return tuple(one for one in attempts if one.id not in gone)


def _toggled(ids: tuple[str, ...], attempt_id: str) -> tuple[str, ...]:
    return _without(ids, attempt_id) if attempt_id in ids else (*ids, attempt_id)


def _without(ids: tuple[str, ...], attempt_id: str) -> tuple[str, ...]:
    return tuple(one for one in ids if one != attempt_id)
