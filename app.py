"""The page: three screens by `stage`, and the server that shows them.

Streamlit runs this file for each turn of a session; `streamlit run` also imports it once, outside
any session, to find the server app at its end.
"""

import gc
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from starlette.middleware import Middleware
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from flow import create_generation_flow
from utils.images.catalogue import listed_models
from utils.images.errors import CANCELLED, PARAMETERS
from utils.images.models import (
    COSTLY,
    PRESETS,
    ability,
    cost,
    count,
    expected_cost,
    formats_for,
    retirement,
)
from utils.images.pictures import (
    MIME,
    THUMBNAIL,
    blank_picture,
    decode,
    extension_of,
    file_name,
    thumbnail,
)
from utils.jobs.table import Job, Phase, jobs
from utils.review import moves as state
from utils.review.memory import BrowserCookie, browser_memory, browser_token
from utils.settings import Engine, choose_engine, get_settings

STYLE = Path(__file__).parent / "assets" / "style.css"
# Seconds in which a page shows a new picture and its decision, before it gets the rest.
FIRST_LOOK = 0.15
TROUBLE = "Something went wrong on our side. Your pictures are safe: reload the page and go on."


class WaitView:
    """Shows the jobs of a request while they run, and sends only what has changed.

    `canvas` takes the newest draft, in the place of the picture to come. Below comes for each job
    its phase, which screen readers are told, and a bar; and a clock, which would flood them.
    """

    def __init__(self, canvas: DeltaGenerator, pending: Mapping[str, Any]) -> None:
        self.canvas = canvas
        self.prompt = pending["prompt"]
        # A row for each picture, also for those that are there: what a run does not replace
        # stays on the page until the run ends.
        rows = {request_id: (st.empty(), st.empty()) for request_id in pending["asked"]}
        self.rows = [rows[request_id] for request_id in pending["waiting"]]
        self.clock = st.empty()
        self.shown: dict[object, object] = {}

    def __call__(self, running: Sequence[Job]) -> None:
        """Show what is new of the jobs."""
        for job, (phase, bar) in zip(running, self.rows, strict=True):
            progress = None if job.progress is None else round(job.progress, 2)
            self._show(phase, phase_in_words(job), partial(show_phase, phase))
            self._show(bar, progress, partial(show_bar, bar))
        self._show(self.clock, clock_in_words(running), self.clock.text)
        drafts = [job.news.partial for job in running if job.news.partial]
        if drafts:
            self._show(self.canvas, drafts[0], self._show_draft)

    def _show_draft(self, image: str) -> None:
        show_image(self.canvas, image, alt=f"Draft: {self.prompt}")

    def _show(self, place: object, value: Any, show: Callable[[Any], object]) -> None:
        if place not in self.shown or self.shown[place] != value:
            self.shown[place] = value
            show(value)


def show_phase(place: DeltaGenerator, words: str) -> None:
    """Show words of ours where screen readers listen."""
    place.html(f'<p class="phase" role="status">{words}</p>')


def show_bar(place: DeltaGenerator, progress: float | None) -> None:
    """Show how much is over; None is a bar that moves and claims nothing."""
    if progress is None:
        place.html('<div class="moving" role="progressbar" aria-label="Working"></div>')
    else:
        place.progress(progress)


SETBACKS = {"rate limit": "Rate-limited", "connection": "No connection", "too slow": "No answer"}
DRAFTS = ("Sketching", "First draft", "Second draft", "Third draft")


def phase_in_words(job: Job) -> str:
    """Return where `job` stands, in words of ours that change with the phase alone."""
    news = job.news
    match news.phase:
        case Phase.QUEUED:
            return f"Waiting for a free place, {jobs.ahead(job)} ahead"
        case Phase.PAUSED:
            setback = SETBACKS.get(news.setback, "The server had trouble")
            return f"{setback}, trying again ({news.tries + 1} of {news.max_tries})"
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


def render_initial_input() -> WaitView | None:
    """Screen 1: the prompt."""
    shared = st.session_state
    waiting = bool(shared.pending)
    canvas, side = render_canvas("canvas" if waiting else "canvas-idle")
    if waiting:
        blank = blank_picture(*state.size_to_come(shared))
        canvas.image(blank, width="stretch", alt="Your picture will appear here")
    with side:
        # Empty, so that what follows has the same place here and on the review screen.
        st.container(horizontal=True, gap="xsmall", key="decision")
        view = render_wait(canvas)
        render_prompt_box("Prompt", "task_input", state.generate, primary=True)
        render_error()
        render_examples()
        with st.expander("Use my pictures"):
            render_references()
        if shared.recent and not waiting:
            render_recent()
    return view


def render_user_feedback() -> WaitView | None:
    """Screen 2: the pictures, and the decision."""
    shared = st.session_state
    attempt = state.find_attempt(shared, shared.selected)
    canvas, side = render_canvas()
    if shared.compared:
        render_comparison(canvas, attempt, state.find_attempt(shared, shared.compared))
    else:
        show_image(canvas, attempt["image"], alt=attempt["prompt"])
    with side:
        with st.container(horizontal=True, gap="xsmall", key="decision"):
            render_decision(attempt)
        if state.look(shared):
            # The page shows what it has got; all at once would take it twice as long.
            time.sleep(FIRST_LOOK)
        view = render_wait(canvas)
        render_error()
        render_prompt(attempt["prompt"])
        render_facts(attempt)
        prompt, edit, own = st.tabs(["Edit prompt", "Change this picture", "Use my pictures"])
        with prompt:
            render_prompt_box("Edit the prompt", "edited_prompt", state.generate_edited)
        with edit:
            render_change()
        with own:
            render_references()
    render_strip()
    return view


def render_final() -> WaitView | None:
    """Screen 3: the result."""
    shared = st.session_state
    attempt = state.find_attempt(shared, shared.approved)
    canvas, side = render_canvas("canvas-final")
    show_image(canvas, attempt["image"], alt=attempt["prompt"])
    with side:
        with st.container(horizontal=True, gap="xsmall", key="decision"):
            render_download(attempt, primary=True)
            st.button("Back to review", shortcut="B", on_click=state.back_to_review, args=(shared,))
            st.button("Start Over", on_click=start_over)
        # Rarely is anything on its way here, so no room is kept for it.
        view = render_wait(st.empty()) if shared.pending else None
        render_error()
        render_prompt(attempt["prompt"])
        render_facts(attempt)
    return view


STAGES = {
    "initial_input": ("Generate Image", render_initial_input),
    "user_feedback": ("Review Generated Image", render_user_feedback),
    "final": ("Final Result", render_final),
}


def render_steps() -> None:
    """Say which the three steps are, and which one this is."""
    here = list(STAGES).index(st.session_state.stage)
    steps = []
    for index, (name, _) in enumerate(STAGES.values()):
        if index == here:
            steps.append(f'<li aria-current="step"><h1>{index + 1}. {name}</h1></li>')
        else:
            steps.append(f"<li>{'✓' if index < here else index + 1} <span>{name}</span></li>")
    st.html(f'<ol class="steps">{"".join(steps)}</ol>')


def render_side_bar() -> None:
    """Take the settings, and a key if need be; say who makes the pictures and what they cost."""
    shared = st.session_state
    engine = choose_engine(shared.api_key, shared.model)
    with st.sidebar:
        st.subheader("Settings", anchor=False)
        render_settings(engine)
        st.subheader("Engine", anchor=False)
        st.text("\n".join([engine.name, engine.model, *spending_in_words()]))
        if engine.is_demo:
            st.info(
                "No AI model is at work: a small program on this server paints the pictures. "
                "For an AI model, enter a key below, or set OPENAI_API_KEY on the server."
            )
        if not get_settings().openai_api_key:
            st.text_input(
                "Your OpenAI API key",
                type="password",
                key="api_key",
                disabled=bool(shared.pending),
                help="Used in this session alone, and forgotten when the page closes.",
                autocomplete="off",
            )


def render_settings(engine: Engine) -> None:
    """Offer what the chosen model is not documented to lack."""
    shared = st.session_state
    resting = bool(shared.pending)
    known = ability(engine.model)
    listed = [model.name for model in listed_models(engine)]
    configured = choose_engine(shared.api_key).model
    models = ["", *sorted({*listed, shared.model} - {configured, ""})]
    if len(models) > 1:
        st.selectbox(
            "Model",
            models,
            key="model",
            disabled=resting,
            format_func=lambda name: name or configured,
        )
    sizes = [state.AUTO, *PRESETS] + [state.CUSTOM] * known.free_sizes
    st.selectbox("Pictures at a time", range(1, state.MAX_COUNT + 1), key="count", disabled=resting)
    st.selectbox(
        "Size",
        sizes,
        key="size",
        disabled=resting,
        format_func=lambda size: f"{size}, {PRESETS[size]}" if size in PRESETS else size,
    )
    if shared.size == state.CUSTOM:
        st.text_input(
            "Width x height in pixels",
            key="custom_size",
            placeholder="1536x864",
            disabled=resting,
            persist_state="session",
        )
    choices = {
        "quality": ("Quality", known.qualities),
        "background": ("Background", ("opaque", "transparent")[: 1 + known.transparent]),
        "output_format": ("Format", formats_for(shared.background)),
    }
    for key, (label, values) in choices.items():
        if values:
            st.selectbox(label, [state.AUTO, *values], key=key, disabled=resting)


def spending_in_words() -> list[str]:
    """Return what this session's pictures have cost, as lines of text; none before the first."""
    spending = st.session_state.spending
    if not spending["tokens"]:
        return []
    pictures = "1 picture" if spending["pictures"] == 1 else f"{spending['pictures']} pictures"
    cost_so_far = in_tokens_and_dollars(spending["tokens"], spending["dollars"])
    return ["", f"This session: {pictures}, {cost_so_far}"]


def in_tokens_and_dollars(tokens: int, dollars: float | None) -> str:
    """Return a count of tokens, with an estimate in dollars where there is one."""
    return f"{tokens:,} tokens" + (f", about ${dollars:.3f} (estimate)" if dollars else "")


def render_estimate() -> None:
    """Say what several pictures, or one of a costly quality, will probably cost."""
    shared = st.session_state
    model = state.chosen_model(shared)
    if shared.quality not in COSTLY and shared["count"] == 1:
        return
    try:
        dollars = expected_cost(model, state.chosen_options(shared))
    except ValueError:
        return
    if dollars is None and shared.attempts:
        dollars = cost(model, shared.attempts[-1]["usage"])
    if dollars:
        st.text(f"Costs about ${dollars * shared['count']:.2f} (estimate).")


def render_retirement(engine: Engine) -> None:
    """Warn of the end of the chosen model."""
    for model in listed_models(engine):
        if model.name == engine.model and (warning := retirement(model, date.today())):
            st.warning(warning)


def render_canvas(key: str = "canvas") -> tuple[DeltaGenerator, DeltaGenerator]:
    """Return the place of the picture, and the room beside it."""
    picture, side = st.columns([11, 9], gap="medium")
    return picture.container(key=key).empty(), side


def render_prompt_box(
    label: str, key: str, move: state.ClickMove, *, primary: bool = False
) -> None:
    """Offer a prompt to be written, and the button that asks for its pictures."""
    st.text_area(
        label,
        key=key,
        placeholder="What should the picture show?",
        max_chars=state.MAX_PROMPT,
        height=132,
        disabled=bool(st.session_state.pending),
        persist_state="session",
    )
    render_estimate()
    click_button("Generate Image", move, shortcut="Mod+Enter", primary=primary)


def render_examples() -> None:
    """Offer prompts to start from."""
    shared = st.session_state
    # An empty place, as for errors: what follows stays where it is when the examples go.
    place = st.empty()
    if shared.pending or not state.offers_examples(shared):
        return
    with place.container(key="examples"):
        st.text("Or start from one of these:")
        for example in state.EXAMPLES:
            st.button(example, on_click=state.use_example, args=(shared, example))


def render_change() -> None:
    """Offer to change the picture under review by words."""
    st.text_input(
        "What should be different?",
        key="change",
        placeholder="Make it night",
        max_chars=state.MAX_PROMPT,
        disabled=bool(st.session_state.pending),
        persist_state="session",
    )
    click_button("Change Picture", state.change)


def render_references() -> None:
    """Take up to 16 pictures that the next ones are made from."""
    shared = st.session_state
    st.file_uploader(
        "PNG, JPEG or WebP, up to 16 pictures",
        type=["png", "jpg", "jpeg", "webp"],
        accept_multiple_files=True,
        # Another key empties the box, when its pictures are removed.
        key=f"uploads-{shared.upload_round}",
        disabled=bool(shared.pending),
        on_change=take_uploads,
    )
    if shared.references:
        with st.container(horizontal=True, key="references", vertical_alignment="center"):
            for number, image in enumerate(shared.references, 1):
                st.image(thumbnail(image), width=48, alt=f"Your picture {number}")
            st.button(
                "Remove my pictures",
                on_click=state.drop_references,
                args=(shared,),
                disabled=bool(shared.pending),
            )


def render_strip() -> None:
    """Show every attempt, to be looked at, approved, downloaded or built upon.

    One element for all thumbnails and one for all numbers: a rerun takes as long with 24 attempts
    as with one.
    """
    shared = st.session_state
    numbers = {
        attempt["id"]: f"{attempt['number']} ✎" if attempt["sources"] else str(attempt["number"])
        for attempt in shared.attempts
    }
    with st.container(key="strip"):
        st.image(
            [thumbnail(attempt["image"]) for attempt in shared.attempts],
            width=THUMBNAIL,
            alt=[attempt["prompt"] for attempt in shared.attempts],
            output_format="PNG",
        )
        st.pills(
            "Picture under review",
            list(numbers),
            format_func=lambda attempt_id: numbers[attempt_id],
            key="picked",
            on_change=state.pick,
            args=(shared,),
            label_visibility="collapsed",
            required=True,
        )
    if len(numbers) > 1:
        render_stepping(numbers)


def render_stepping(numbers: Mapping[str, str]) -> None:
    """Offer the next picture, any other one by its key, and one to compare with."""
    shared = st.session_state
    for key, attempt_id in enumerate(list(numbers)[:9], 1):
        st.button(
            f"Picture {numbers[attempt_id]}",
            key=f"select-{attempt_id}",
            shortcut=str(key),
            on_click=state.select,
            args=(shared, attempt_id),
        )
    with st.container(horizontal=True, key="stepping", vertical_alignment="center"):
        st.button("Previous", shortcut="Left", on_click=state.step, args=(shared, -1))
        st.button("Next", shortcut="Right", on_click=state.step, args=(shared, 1))
        others = {
            attempt_id: f"Compare with picture {number}"
            for attempt_id, number in numbers.items()
            if attempt_id != shared.selected
        }
        st.selectbox(
            "Compare",
            ["", *others],
            key="compared",
            format_func=lambda other: others.get(other, "Compare with …"),
            label_visibility="collapsed",
            width=240,
        )
        hint = "✎ marks a changed picture. Keys 1 to 9 select one."
        full = f" Only the newest {state.MAX_ATTEMPTS} are kept."
        st.caption(hint + full * (len(numbers) == state.MAX_ATTEMPTS))


def render_comparison(
    place: DeltaGenerator, left: Mapping[str, Any], right: Mapping[str, Any]
) -> None:
    """Show two attempts side by side, at the same scale."""
    for column, attempt in zip(place.container().columns(2), (left, right), strict=True):
        show_image(column, attempt["image"], alt=attempt["prompt"])
        column.text(f"Picture {attempt['number']}")


def render_recent() -> None:
    """Offer the last pictures of this browser, to be reopened or cleared."""
    shared = st.session_state
    st.markdown("**Recent pictures**")
    with st.container(horizontal=True, key="recent"):
        for attempt in reversed(shared.recent):
            with st.container(width=72, key=f"recent-{attempt['id']}"):
                st.image(thumbnail(attempt["image"]), width="stretch", alt=attempt["prompt"])
                st.button(
                    "Reopen",
                    key=f"reopen-{attempt['id']}",
                    on_click=state.reopen,
                    args=(shared, attempt["id"]),
                )
    st.button("Clear recent pictures", on_click=state.forget_recent, args=(shared,))


def render_decision(attempt: Mapping[str, Any]) -> None:
    """Offer what can be done with the picture under review."""
    shared = st.session_state
    st.button("Approve", type="primary", shortcut="A", on_click=state.approve, args=(shared,))
    click_button("Regenerate", state.regenerate, shortcut="G")
    render_download(attempt, primary=False)


def render_download(attempt: Mapping[str, Any], *, primary: bool) -> None:
    """Hand out the API's own bytes."""
    st.download_button(
        f"Download {attempt['extension'].upper()}",
        # Not a function called at the click: that would fail where the next screen comes first.
        decode(attempt["image"]),
        file_name=file_name(attempt["prompt"], attempt["extension"]),
        mime=MIME[attempt["extension"]],
        type="primary" if primary else "secondary",
        shortcut="D",
        on_click="ignore",
    )


def show_image(place: DeltaGenerator, image: str, alt: str) -> None:
    """Show a picture (base64); with its own format named, Streamlit does not encode it anew."""
    data = decode(image)
    output_format: Literal["JPEG", "PNG"] = "JPEG" if extension_of(data) == "jpg" else "PNG"
    place.image(data, width="stretch", alt=alt, output_format=output_format)


def render_prompt(prompt: str) -> None:
    """Show a prompt as it was typed, to be copied too."""
    st.code(prompt, language=None, wrap_lines=True)


def render_error() -> None:
    """Show the last error's sentence, which is always one of ours."""
    shared = st.session_state
    # An empty place takes an old error away at once; a container would keep it until the run ends.
    place = st.empty()
    if not shared.error_message:
        return
    with place.container():
        st.warning(shared.error_message)
        if shared.error_request_id:
            st.text(f"For support: request {shared.error_request_id}")
        if shared.missing and not shared.pending:
            click_button(f"Make the missing {shared.missing['count']}", state.make_missing)


def render_facts(attempt: Mapping[str, Any]) -> None:
    """Show how a picture came to be, and what was asked for in vain."""
    tokens = count(attempt["usage"].get("total_tokens"))
    facts = [f"Picture {attempt['number']}", attempt["model"], f"{attempt['seconds']:.0f} s"]
    if tokens:
        facts.append(in_tokens_and_dollars(tokens, cost(attempt["model"], attempt["usage"])))
    st.text(" · ".join(facts))
    if attempt["refused"]:
        names = " and ".join(PARAMETERS[name] for name in attempt["refused"])
        st.info(f"The server would not take {names} that you chose, and made its own choice.")


def render_wait(canvas: DeltaGenerator) -> WaitView | None:
    """Offer Cancel while a picture is made, and return the view of what is known about it."""
    # The place is there even when it is empty: what moves to another place is built anew.
    place = st.container(key="wait")
    pending = st.session_state.pending
    if not pending:
        return None
    with place:
        # Once a picture of the request is there, the canvas is for looking at it.
        view = WaitView(st.empty() if pending["received"] else canvas, pending)
        st.button("Cancel", shortcut="Esc", on_click=cancel, args=(pending["waiting"],))
    return view


def click_button(
    label: str, move: state.ClickMove, *, primary: bool = False, shortcut: str | None = None
) -> None:
    """Render a button that costs money: all clicks on one rendering of it share one id."""
    shared = st.session_state
    st.button(
        label,
        # With the id in the key, a late click on an old rendering reaches no newer one.
        key=f"{label}-{shared.click_id}",
        type="primary" if primary else "secondary",
        shortcut=shortcut,
        on_click=move,
        args=(shared, shared.click_id),
        disabled=bool(shared.pending),
    )


def cancel(request_ids: Sequence[str]) -> None:
    """Stop the jobs, except those whose pictures are there already."""
    for request_id in request_ids:
        if jobs.cancel(request_id):
            state.fail(st.session_state, request_id, CANCELLED)


def take_uploads() -> None:
    """Take the uploaded pictures into the shared store, where a reload finds them."""
    shared = st.session_state
    files = shared[f"uploads-{shared.upload_round}"] or []
    state.take_references(shared, [file.getvalue() for file in files])


def start_over() -> None:
    """Return to an empty first screen, and stop what is on its way."""
    if st.session_state.pending:
        cancel(st.session_state.pending["waiting"])
    state.start_over(st.session_state)


def page_title() -> str:
    """Return the browser tab's title, for a person who looks elsewhere meanwhile."""
    if st.session_state.pending:
        return "Working… · Image review"
    ready = st.session_state.stage == "user_feedback"
    return "Ready · Image review" if ready else "Image review"


def main() -> None:
    """Run one turn of a session."""
    shared = st.session_state
    token = browser_token(st.context.cookies)
    state.begin(shared, browser_memory.recall(token), jobs.knows)
    state.fit_widgets(shared)
    st.set_page_config(page_title(), page_icon="🖼️", layout="wide")
    st.html(STYLE)
    render_steps()
    notice = st.container()
    _, render_screen = STAGES[shared.stage]
    view = render_screen()
    # Last, because who comes first to a server waits for its list of models.
    with notice:
        render_retirement(choose_engine(shared.api_key, shared.model))
    render_side_bar()
    changes = state.take_changes(shared)
    if token and changes:
        browser_memory.remember(token, changes)
    if view:
        create_generation_flow(view).run(shared)
        st.rerun()


def show_trouble(exc: Exception) -> bool:
    """Show one sentence in place of an uncaught exception, which Streamlit has logged."""
    st.error(TROUBLE)
    return True


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Check the settings when the server starts, and let no job outlive it."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("utils").setLevel(logging.INFO)
    get_settings()
    # What was imported stays: looking through it for garbage would stop all sessions for 0.15 s.
    gc.freeze()
    yield
    jobs.stop()


if get_script_run_ctx(suppress_warning=True):
    main()
else:
    app = st.App(
        __file__,
        middleware=[Middleware(BrowserCookie)],
        lifespan=lifespan,
        on_script_error=show_trouble,
    )
