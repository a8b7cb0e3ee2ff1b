"""Every move from one state of the shared store to the next.

Each writes first what must not be lost and last what makes room for the next request, and each
may be repeated: an interruption anywhere, and whatever follows it, loses and doubles nothing.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from utils.jobs.outcomes import FORGOTTEN, INTERRUPTED, Problem
from utils.review import boxes, choosing
from utils.review.interruptions import uninterrupted
from utils.review.records import Approval, Attempt, Cost, Engine, Failure, Pending, Result, Wish
from utils.review.store import (
    DEFAULTS,
    NOT_REMEMBERED,
    STAGES,
    START_OVER_KEEPS,
    Store,
    by_key,
    clear_error,
)
from utils.settings import get_settings

# Reads the settings that stand in the store: who is asked, and for what, once for each of them;
# raises ValueError with a sentence for a person.
Choose = Callable[[Mapping[str, object]], Sequence[tuple[Engine, dict[str, str]]]]

MAX_PROMPT = 32_000
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
    shared["allowance"] = get_settings().agent_pictures if agent else 0
    shared["click_id"] = shared["click_id"] or new_id()
    shared["settings"] = tuple(settings)
    choosing.write_base64(shared)
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
    return boxes.in_bounds({k: by_key(shared)[k] for k in keys if k not in NOT_REMEMBERED})


def mend(shared: Store) -> None:
    """Leave out what is named but gone, and stay at no stage that lacks what it shows."""
    there = choosing.still_there(shared["attempts"])
    ids = [attempt.id for attempt in there]
    are_gone = len(there) < len(shared["attempts"])
    if are_gone:
        shared["error_message"] = "Some results are no longer kept here, and are gone."
        shared["attempts"] = there
    if is_astray := shared["under_review"] not in (ids or [""]):
        shared["under_review"] = ids[-1] if ids else ""
    if are_gone or is_astray:
        choosing.write_base64(shared)
    shared["recent"] = choosing.still_there(shared["recent"])
    enter(shared, shared["stage"])


@uninterrupted
def click(shared: Store, move: str, click_id: str) -> None:
    """Note a click that costs money: the name of its move, and the click's id.

    Clicks that wait for the session come in one turn, and not in their order: what is sent must
    not depend on which of them is heard first.
    """
    boxes.keep_widgets(shared)
    shared["clicked"] = (move, click_id)


def aim(shared: Store) -> None:
    """Note which attempt a click that costs money was made at, before anything comes or goes."""
    if shared["clicked"][0] and not shared["aimed_at"]:
        shared["aimed_at"] = shared["under_review"]


def ask(shared: Store, choose: Choose) -> None:
    """Follow the click that costs money, if there was one, after all others of the turn.

    It goes to what the person saw; where that is gone, nothing is asked for. A decision in the same
    turn leaves it out: of two clicks in one breath none costs money unseen.
    """
    move, click_id = shared["clicked"]
    if move and not shared["decision"] and not shared["stop"]:
        seen = shared["aimed_at"] or shared["under_review"]
        if shared["under_review"] != seen:
            choosing.select(shared, seen)
        if shared["under_review"] == seen and (seen or move not in OF_ATTEMPT):
            ASKS[move](shared, click_id, choose)
    shared["clicked"], shared["aimed_at"] = ("", ""), ""


def generate(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for results of the prompt in the box, unless some are on their way."""
    boxes.edit_prompt(shared)
    _ask(shared, click_id, choose, shared["task_input"], boxes.source_names(shared))


def generate_edited(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for results of the prompt in the review's box."""
    parent = shared["under_review"]
    boxes.edit(shared, parent)
    _ask(shared, click_id, choose, boxes.edited_prompt(shared), boxes.source_names(shared), parent)


def regenerate(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for the same as the attempt under review once more, with the settings of today."""
    wish = choosing.find_attempt(shared, shared["under_review"]).wish
    _ask(shared, click_id, choose, wish.prompt, wish.sources, wish.parent, wish.brief, wish.mark)


def change(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask for the attempt under review to be changed as the words in the box say."""
    attempt = choosing.find_attempt(shared, shared["under_review"])
    brief = f"{attempt.wish.brief.rstrip(' .')}. {shared['change']}"
    sources = (attempt.result.name, *boxes.source_names(shared))
    mark = shared["marks"].get(attempt.id, "")
    _ask(shared, click_id, choose, shared["change"], sources, attempt.id, brief, mark)


def ask_again(shared: Store, click_id: str, choose: Choose) -> None:
    """Ask once more for what did not come, as it was asked for."""
    wishes = [failure.pending.wish for failure in missing(shared)]
    if not _may_ask(shared, click_id) or not wishes:
        return
    if any(wish.engine.own_key for wish in wishes) and not shared["api_key"]:
        shared["error_message"] = "The key that was used is forgotten. Enter it once more."
        return
    _begin(shared, wishes, again=True)


def missing(shared: Store) -> list[Failure]:
    """Return what may be asked for once more: some of several, and what may have been billed.

    What another node waited for was no result, and is not to be had by asking for one.
    """
    asked = [*shared["pending"], *(failure.pending for failure in shared["failures"])]
    clicks = [one.click for one in asked] + [attempt.click for attempt in shared["attempts"]]
    return [
        one
        for one in shared["failures"]
        if one.problem.kind != "cancelled"
        and one.pending.kind == Pending.kind
        and (one.problem.billed or one.pending.again or clicks.count(one.pending.click) > 1)
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
        shared["attempts"] = choosing.bounded(shared, (*attempts, attempt))
    boxes.forget_sent(shared, pending.wish.brief)
    choosing.forget_gone(shared)
    _note_cost(shared, pending, replace(result.cost, lost=lost))
    if pending.id not in shared["unseen"]:
        shared["unseen"] = (*shared["unseen"], pending.id)
    others = [one.id for one in shared["attempts"] if one.click == pending.click]
    if others == [pending.id] and STAGES[shared["stage"]].yields:
        boxes.carry_edit(shared, pending)
        choosing.select(shared, pending.id)
        shared["stage"] = "user_feedback"


def fail(shared: Store, pending: Pending, problem: Problem, lost: int = 0) -> None:
    """Give up what was waited for: all stays as it was, and a sentence says why."""
    if pending.wish.engine.free:
        problem = replace(problem, sentence=problem.unbilled or problem.sentence)
    if pending not in [failure.pending for failure in shared["failures"]]:
        shared["failures"] = (*shared["failures"], Failure(pending, problem))
    if problem.kind == INTERRUPTED.kind and pending not in shared["late"]:
        shared["late"] = (*shared["late"], pending)
    _note_cost(shared, pending, Cost(lost=lost))
    shared["error_message"] = problem.sentence
    shared["error_request_id"] = problem.request_id


def receive_late(shared: Store, pending: Pending, result: Result, lost: int = 0) -> None:
    """Take in what came after all: it replaces the message that it would not, if that is there."""
    receive(shared, pending, result, lost)
    left = tuple(one for one in shared["failures"] if one.pending != pending)
    if shared["failures"] and not left:
        clear_error(shared)
    shared["failures"] = left
    await_no_more(shared, pending)


def await_no_more(shared: Store, pending: Pending) -> None:
    """Look no more for what was given up as interrupted."""
    shared["late"] = tuple(one for one in shared["late"] if one != pending)


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


def came_to_review(shared: Store) -> bool:
    """Return whether what is under review has come just now: it is still waited for."""
    waited_for = [pending.id for pending in shared["pending"]]
    return shared["stage"] == "user_feedback" and shared["under_review"] in waited_for


@uninterrupted
def approve(shared: Store, attempt_id: str, approval: Approval | None = None) -> None:
    """Make an attempt, the one that the person sees, the result. An agent never approves.

    `approval` is how that came about, where it has been told to others already.
    """
    if shared["agent"]:
        return
    clear_error(shared)
    choosing.select(shared, attempt_id)
    settle_on(shared, attempt_id, approval or approval_now(shared))
    shared["decision"] = "approve"


def approval_now(shared: Store) -> Approval:
    """Return how something is approved that is approved now."""
    return Approval(now(), shared["attempts"], shared["person"])


@uninterrupted
def back_to_review(shared: Store) -> None:
    """Return from the result to the attempts."""
    clear_error(shared)
    shared["decision"] = "back"


@uninterrupted
def stop(shared: Store, how: str) -> None:
    """Note that the person cancels or starts over: beside where they go in the same breath, and in
    place of all that would begin something."""
    boxes.keep_widgets(shared)
    if shared["decision"] not in ("approve", "back", "reopen"):
        shared["decision"] = ""
    # It cancels too.
    if shared["stop"] != "start over":
        shared["stop"] = how


def forget_decision(shared: Store) -> None:
    """Note that what the person decided has been done."""
    shared["decision"] = shared["stop"] = ""


def settle_on(shared: Store, attempt_id: str, approval: Approval) -> None:
    """Make what somebody has approved the result."""
    shared["approved"], shared["approval"] = attempt_id, approval
    # What comes from now on is news there.
    shared["unseen"] = ()
    choosing.write_base64(shared)


def enter(shared: Store, stage: str) -> None:
    """Go to a stage, or where it lacks what it shows to the nearest that does not."""
    shows, ids = STAGES[stage].shows, [attempt.id for attempt in shared["attempts"]]
    if shows and by_key(shared)[shows] not in ids:
        stage = "user_feedback" if ids else "initial_input"
    shared["stage"] = stage


def start_over(shared: Store) -> None:
    """Return to the first screen; settings, costs and recent results stay, with all theirs.

    It is empty, unless what was written there has never been asked for.
    """
    here = {attempt.id for attempt in shared["attempts"]}
    # What is put away now goes last of all, also where it was put away before.
    before = tuple(attempt for attempt in shared["recent"] if attempt.id not in here)
    put_away = choosing.bounded(shared, (*before, *shared["attempts"]))
    shared["recent"] = put_away[-choosing.MAX_ATTEMPTS :]
    choosing.forget_gone(shared)
    if shared["attempts"]:
        shared["put_away"] = tuple(attempt.id for attempt in shared["attempts"])
    shared["stage"] = "initial_input"
    shared["prompt_round"] += 1
    keeps = START_OVER_KEEPS | {"task_input", "references"}
    if shared["task_input"] in [attempt.wish.brief for attempt in shared["recent"]]:
        boxes.drop_references(shared)
        keeps = START_OVER_KEEPS
    shared["click_id"] = new_id()
    for key, default in DEFAULTS.items():
        if key not in keeps:
            by_key(shared)[key] = default


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
    if not any(one.isprintable() for one in prompt if one != " "):
        shared["error_message"] = "Say first what you want: a few words are enough."
        return
    if len(sources) > MAX_SOURCES:
        shared["error_message"] = (
            f"With what is to be changed these are more than {MAX_SOURCES}. Remove one of yours."
        )
        return
    if (over := len(prompt) - MAX_PROMPT) > 0:
        many = f"{over:,} character{'s' * (over > 1)}"
        shared["error_message"] = f"The prompt is {many} too long. Shorten it."
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
    if kept + len(wishes) > choosing.MAX_ATTEMPTS:
        shared["error_message"] = (
            f"You keep {kept}, and there is room for {choosing.MAX_ATTEMPTS} in all. "
            "Keep one less first."
        )
        return
    _begin(shared, wishes)


def _begin(shared: Store, wishes: Sequence[Wish], again: bool = False) -> None:
    clear_error(shared)
    shared["failures"] = ()
    if shared["agent"] and len(wishes) > shared["allowance"]:
        shared["error_message"] = (
            f"{shared['allowance']} more may be asked for before a person has looked. Ask a person."
        )
        return
    # Two tabs that open with the same memory share a click, unless they ask for other things.
    asked = json.dumps([asdict(wish) for wish in wishes], sort_keys=True)
    click = str(uuid.uuid5(uuid.UUID(shared["click_id"]), asked))
    shared["pending"] = tuple(
        Pending(choosing.id_for(click, number, len(wishes)), click, wish, again=again)
        for number, wish in enumerate(wishes, 1)
    )
    if shared["agent"]:
        shared["allowance"] -= len(wishes)
    shared["decision"] = "generate"


ASKS: Mapping[str, Callable[[Store, str, Choose], None]] = {
    "generate": generate,
    "generate edited": generate_edited,
    "regenerate": regenerate,
    "change": change,
    "ask again": ask_again,
}
# What goes out from the attempt under review.
OF_ATTEMPT = frozenset({"generate edited", "regenerate", "change"})


def _note_cost(shared: Store, pending: Pending, cost: Cost) -> None:
    lost = 0 if pending.wish.engine.free else cost.lost
    shared["costs"] = {**shared["costs"], pending.id: replace(cost, lost=lost)}
