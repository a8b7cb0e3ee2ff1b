"""What the screens share: the canvas, the buttons that cost money, the wait, the last error."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitAPIException

from utils.images import page
from utils.jobs.table import Job, News, Phase, jobs
from utils.review import asking, choosing, moves
from utils.review.browser import FORGOTTEN
from utils.review.memory import browser_memory
from utils.review.panel import in_short
from utils.review.records import Attempt
from utils.review.store import STAGES, Store, by_key
from utils.scripts import script_tag
from utils.settings import get_settings

TITLE = "Image review"
STYLE = Path(__file__).parent.parent / "assets" / "style.css"
# In pixels: the rest is the picture's.
SIDE_BAR = 248
UNREAD = "What you have cannot be read just now. It is safe: this page shows it as soon as it can."
logger = logging.getLogger(__name__)

SETBACKS = {"rate limit": "Rate-limited", "connection": "No connection", "too slow": "No answer"}
LOOK_SECONDS, VIEW_SECONDS = 2.0, 0.25
UNSHOWN = "This one cannot be shown. It can still be downloaded; ask for another one."
DRAFTS = ("Sketching", "First draft", "Second draft", "Third draft")

Value = TypeVar("Value")


class WaitView:
    """Shows the jobs that are waited for while they run, and sends only what has changed.

    `canvas` takes the newest draft, or else `room` has a place for it. There comes for each job its
    phase, which screen readers are told, and a bar; and a clock, which would flood them.
    """

    def __init__(
        self, room: DeltaGenerator, canvas: DeltaGenerator | None, job_ids: Sequence[str]
    ) -> None:
        found = [job for one in job_ids if (job := jobs.find(one))]
        running = [job for job in found if job.news.phase is not Phase.ENDED]
        known, draft = {job.id: job for job in running}, newest_draft(running)
        # Each with what is known: what is below would jump while places wait to be filled.
        self.canvas = canvas or show_draft(room, draft)
        self.rows = {one: show_row(room, known.get(one)) for one in job_ids}
        self.clock = room.text(clock_in_words(running)) if running else room.empty()
        # The draft is the one that is large: it is not sent twice.
        self.shown: dict[object, object] = {} if canvas else {self.canvas: draft}
        self.news, self.due = list[News](), 0.0

    def __call__(self, running: Sequence[Job]) -> None:
        """Show what is new of the jobs."""
        news = [job.news for job in running]
        # A wait looks more often for a click than a clock and a bar need.
        if news == self.news and time.monotonic() < self.due:
            return
        self.news, self.due = news, time.monotonic() + VIEW_SECONDS
        for job in running:
            phase, bar = self.rows[job.id]
            self._show(phase, phase_in_words(job), partial(show_phase, phase))
            self._show(bar, rounded_progress(job), partial(show_bar, bar))
        self._show(self.clock, clock_in_words(running), self.clock.text)
        draft = newest_draft(running)
        if draft is not None:
            self._show(self.canvas, draft, partial(page.show_draft, self.canvas))

    def _show(self, place: object, value: Value, show: Callable[[Value], object]) -> None:
        if place not in self.shown or self.shown[place] != value:
            self.shown[place] = value
            show(value)


def follow(shared: Store, view: WaitView | None, running: Sequence[Job]) -> None:
    """Show the jobs, on a screen that has a view; a click ends the wait where the store is looked
    at, on any screen."""
    if shared["pending"] and view:
        view(running)


def newest_draft(running: Sequence[Job]) -> object:
    """Return the newest partial result of the first job that has one; None if none has."""
    return next((job.news.partial for job in running if job.news.partial is not None), None)


def show_draft(room: DeltaGenerator, draft: object) -> DeltaGenerator:
    """Show the draft that is known, if any; return its place. All else goes on without it."""
    try:
        return room.empty() if draft is None else page.show_draft(room, draft)
    except Exception as exc:
        logger.error("a draft cannot be shown: %s", type(exc).__name__)
        return room.empty()


def show_row(room: DeltaGenerator, job: Job | None) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Show where a job stands; return the places of its phase and of its bar."""
    if job is None:
        return room.empty(), room.empty()
    return show_phase(room, phase_in_words(job)), show_bar(room, rounded_progress(job))


def rounded_progress(job: Job) -> float | None:
    """Return how much of a job is over, as far as a bar shows it."""
    return None if job.progress is None else round(job.progress, 2)


def show_phase(place: DeltaGenerator, words: str) -> DeltaGenerator:
    """Show words of ours where screen readers listen."""
    return place.html(f'<p class="phase" role="status">{words}</p>')


def show_bar(place: DeltaGenerator, progress: float | None) -> DeltaGenerator:
    """Show how much is over; None is a bar that moves and claims nothing."""
    if progress is None:
        return place.html('<div class="moving" role="progressbar" aria-label="Working"></div>')
    return place.progress(progress)


def phase_in_words(job: Job) -> str:
    """Return where `job` stands, in words of ours that change with the phase alone."""
    news = job.news
    match news.phase:
        case Phase.QUEUED:
            return f"Waiting for a free place, {jobs.ahead(job)} ahead"
        case Phase.PAUSED:
            setback = SETBACKS.get(news.setback, "The server had trouble")
            return f"{setback}, trying again ({news.tries + 1} of {news.max_tries})"
        case _ if job.lane is None:
            return "Waiting for an answer"
        case _:
            return DRAFTS[min(news.drafts, len(DRAFTS) - 1)]


def clock_in_words(running: Sequence[Job]) -> str:
    """Return how long the jobs have been going on, and what is known of how long they will."""
    clock = f"{max(job.seconds for job in running):.0f} s"
    paused = [job.news.resume_at for job in running if job.news.phase is Phase.PAUSED]
    if paused:
        left = max(0.0, min(paused) - time.monotonic())
        return f"{clock}, next try in {math.ceil(left)} s"
    expected = [job.expected or 0 for job in running if job.progress is not None]
    usual = round(max(expected, default=0))
    return f"{clock}, usually about {usual} s" if usual else clock


def set_page(title: str = TITLE) -> None:
    """Give the page its title and its looks."""
    st.set_page_config(title, page_icon="🖼️", layout="wide", initial_sidebar_state=SIDE_BAR)
    st.html(STYLE)


def recall(owner: str) -> Mapping[str, object]:
    """Return what is remembered of an owner; where that cannot be read now, let the page wait.

    What began without it would be remembered in its place.
    """
    try:
        return browser_memory.recall(owner)
    except ConnectionError:
        set_page()
        st.warning(UNREAD)
        show_bar(st.empty(), None)
        rerun_when(partial(can_recall, owner))
        st.stop()


def can_recall(owner: str) -> bool:
    """Return whether what is remembered of an owner can be read now."""
    try:
        browser_memory.recall(owner)
    except ConnectionError:
        return False
    return True


def render_steps(shared: Store) -> None:
    """Say which the steps are, and which one this is."""
    here = list(STAGES).index(shared["stage"])
    steps = []
    for index, stage in enumerate(STAGES.values()):
        if index == here:
            steps.append(f'<li aria-current="step"><h1>{index + 1}. {stage.heading}</h1></li>')
        else:
            mark = "✓" if index < here else index + 1
            steps.append(f"<li>{mark} <span>{stage.heading}</span></li>")
    st.html(
        f'<ol class="steps">{"".join(steps)}</ol>{script_tag("keys.js")}',
        unsafe_allow_javascript=True,
    )


class Room(NamedTuple):
    """The places of a screen, the same on each, so that nothing moves from one to the next.

    What is decided stands beside the result, at the top; `foot` ends what is below it.
    """

    canvas: DeltaGenerator
    decision: DeltaGenerator
    side: DeltaGenerator
    foot: DeltaGenerator


def render_room(shared: Store, key: str = "canvas") -> Room:
    """Return the places of a screen; `key` is that of the result's."""
    place, beside = st.columns([11, 9], gap="medium")
    with beside:
        decision = st.container(horizontal=True, gap="xsmall", key="decision")
        # One for each stage: what the last one has left goes at once, and not when the run ends.
        sides = {one: st.container() if one == shared["stage"] else st.empty() for one in STAGES}
        return Room(place.container(key=key), decision, sides[shared["stage"]], beside)


def render_prompt_box(
    shared: Store,
    label: str,
    key: str,
    text: str,
    on_change: Callable[..., None],
    args: tuple[object, ...],
) -> None:
    """Offer a prompt to be written; `text` is what stands there.

    Its length is checked at the click: the box would cut it.
    """
    st.text_area(
        label,
        # Also where a page has dropped the box and builds it anew, and the server cannot know: a
        # click may leave before the page hears that the run without the box has ended.
        text,
        key=key,
        placeholder=page.PLACEHOLDER,
        height=132,
        disabled=bool(shared["pending"]),
        on_change=on_change,
        args=args,
        persist_state="session",
    )


def render_ask(
    shared: Store, label: str, move: str, shortcut: str, *, primary: bool = False
) -> None:
    """Offer to ask for what stands in the box above; say what goes along and what it costs."""
    # Always two places: the button below is not built anew. No empty ones, which take away what
    # they are filled with again.
    along, estimate = st.container(), st.container()
    if shared["references"]:
        with along:
            page.render_along(shared)
    page.show_estimate(shared, estimate)
    click_button(shared, label, move, primary=primary, shortcut=shortcut)


def click_button(
    shared: Store,
    label: str,
    move: str,
    *,
    primary: bool = False,
    shortcut: str | None = None,
    key: str = "",
) -> None:
    """Render a button that costs money: all clicks on one rendering of it share one id.

    `move` is the name of what it asks for, one of `moves.ASKS`, and `key` one that stays the same,
    for who looks at one rendering after the other.
    """
    st.button(
        label,
        # With the id in the key, a late click on an old rendering reaches no newer one.
        key=key or f"{label}-{shared['click_id']}",
        type="primary" if primary else "secondary",
        shortcut=shortcut,
        on_click=moves.click,
        args=(shared, move, shared["click_id"]),
        disabled=bool(shared["pending"]),
    )


def render_start_over(shared: Store) -> None:
    """Offer a new beginning; all that is there stays among the recent.

    Who looks at what others have asked begins anew at home: here it would be gone for all.
    """
    if asking.visits(shared):
        st.button("Start Over", key="Start Over", on_click=leave)
    else:
        st.button("Start Over", key="Start Over", on_click=moves.stop, args=(shared, "start over"))


def leave() -> None:
    """Go back to what is one's own from what others have asked."""
    st.query_params.clear()


def render_wait(shared: Store, canvas: DeltaGenerator | None = None) -> WaitView | None:
    """Offer Cancel while something is waited for, and return the view of what is known about it."""
    if not shared["pending"]:
        # A place all the same: what moves to another one is built anew.
        st.empty()
        return None
    room = st.container(key="wait")
    # A row also for what is there: what a run does not replace stays until the run ends.
    view = WaitView(room, canvas, choosing.asked(shared))
    room.button("Cancel", shortcut="Esc", on_click=moves.stop, args=(shared, "cancel"))
    return view


def error_in_words(shared: Store) -> str:
    """Return the last error's sentence; where of one click several failed for other reasons, each
    of them."""
    failures = shared["failures"]
    reasons = Counter(
        one.problem.sentence for one in failures if one.pending.click == failures[-1].pending.click
    )
    # What is missing is told after another action too.
    last = shared["error_message"] or moves.missing(shared)[-1].problem.sentence
    if len(reasons) < 2 or last not in reasons:
        return last
    return " ".join(f"{count} of them: {sentence}" for sentence, count in reasons.items())


def render_error(shared: Store) -> None:
    """Show what went wrong, in sentences that are always ours."""
    may_ask = shared["stage"] != "final" and not shared["pending"]
    missing = len(moves.missing(shared)) if may_ask else 0
    if not (shared["error_message"] or missing):
        # It takes an old error away at once; a container would keep it until the run ends.
        st.empty()
        return
    with st.container(key="forgotten" if shared["error_message"] == FORGOTTEN else None):
        st.warning(error_in_words(shared))
        if shared["error_request_id"]:
            st.text(f"For support: request {shared['error_request_id']}")
        if missing:
            click_button(shared, f"Make the missing {missing}", "ask again")


def keep_settings(shared: Store) -> None:
    """Keep the settings that no box of this turn shows: Streamlit would forget them."""
    for key in ("count", *shared["settings"]):
        # What a box shows is kept by it, and cannot be written.
        with suppress(StreamlitAPIException):
            by_key(shared)[key] = by_key(shared)[key]


def show_result(shared: Store, place: DeltaGenerator, attempt: Attempt) -> None:
    """Show an attempt's result; beside one that cannot be shown all else goes on."""
    try:
        page.show(shared, place, attempt)
    except Exception as exc:
        logger.error("a result cannot be shown: %s", type(exc).__name__)
        place.warning(UNSHOWN)


def render_state(shared: Store) -> None:
    """Show the shared store as this turn leaves it, where the server is set to."""
    if get_settings().show_state:
        with st.sidebar, st.expander("Session State"):
            st.json(in_short(shared))


def render_copyable(name: str, words: str) -> None:
    """Show a prompt or a link, one of each `name` on a page, as it is; a click selects all of it.

    `st.code` would bring half a megabyte, and a quarter of a second's work, to colour nothing.
    """
    with st.container(key=f"copyable-{name}"):
        st.text(words)


def rerun_when(holds: Callable[[], bool], every: float = LOOK_SECONDS) -> None:
    """Look each so many seconds whether something has changed that the page is to show."""
    st.fragment(_rerun_if, run_every=every)(holds)


def _rerun_if(holds: Callable[[], bool]) -> None:
    if holds():
        st.rerun()
