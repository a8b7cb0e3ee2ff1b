"""The page: three screens by `stage`, and the server that shows them.

Streamlit runs this file for each turn of a session; `streamlit run` also imports it once, outside
any session, to find the server app at its end.
"""

import gc
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from starlette.middleware import Middleware
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from flow import create_generation_flow
from utils import state
from utils.catalogue import listed_models
from utils.errors import PARAMETERS
from utils.jobs import Job, Phase, jobs
from utils.memory import BrowserCookie, browser_memory, browser_token
from utils.models import (
    COSTLY,
    PRESETS,
    ability,
    cost,
    count,
    expected_cost,
    formats_for,
    retirement,
)
from utils.pictures import MIME, blank_picture, decode, extension_of, file_name
from utils.settings import Engine, choose_engine, get_settings

STYLE = Path(__file__).parent / "assets" / "style.css"
TROUBLE = "Something went wrong on our side. Your pictures are safe: reload the page and go on."


class WaitView:
    """Shows one job while it runs, and sends only what has changed.

    `canvas` takes the newest draft, in the place of the picture to come. Below come the phase,
    which screen readers are told, and a bar and a clock, which would flood them.
    """

    def __init__(self, canvas: DeltaGenerator) -> None:
        self.canvas = canvas
        self.phase, self.bar, self.clock = st.empty(), st.empty(), st.empty()
        self.shown: dict[str, object] = {}

    def __call__(self, job: Job) -> None:
        """Show what is new of `job`."""
        progress = None if job.progress is None else round(job.progress, 2)
        self._show("phase", phase_in_words(job), self._show_phase)
        self._show("bar", progress, self._show_bar)
        self._show("clock", clock_in_words(job), self.clock.text)
        if job.news.partial:
            self._show("draft", job.news.partial, self._show_draft)

    def _show(self, part: str, value: Any, show: Callable[[Any], object]) -> None:
        if part not in self.shown or self.shown[part] != value:
            self.shown[part] = value
            show(value)

    def _show_phase(self, words: str) -> None:
        self.phase.html(f'<p class="phase" role="status">{words}</p>')

    def _show_bar(self, progress: float | None) -> None:
        if progress is None:
            self.bar.html('<div class="moving" role="progressbar" aria-label="Working"></div>')
        else:
            self.bar.progress(progress)

    def _show_draft(self, image: str) -> None:
        show_image(self.canvas, image, alt="Draft of the picture")


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


def clock_in_words(job: Job) -> str:
    """Return how long `job` has been going on, and what is known of how long it will."""
    if job.news.phase is Phase.PAUSED:
        left = max(0.0, job.news.resume_at - time.monotonic())
        return f"{job.seconds:.0f} s, next try in {math.ceil(left)} s"
    if job.progress is not None:
        return f"{job.seconds:.0f} s, usually about {job.expected:.0f} s"
    return f"{job.seconds:.0f} s"


def render_initial_input() -> WaitView | None:
    """Screen 1: the prompt."""
    st.header("1. Generate Image", anchor=False)
    waiting = bool(st.session_state.pending)
    canvas, side = render_canvas("canvas" if waiting else "canvas-idle")
    blank = blank_picture(*state.size_to_come(st.session_state))
    canvas.image(blank, width="stretch", alt="The picture will appear here")
    with side:
        view = render_wait(canvas)
        st.text_area(
            "Enter image prompt",
            key="task_input",
            placeholder="A lighthouse by the sea at sunset",
            max_chars=state.MAX_PROMPT,
            height=140,
            disabled=waiting,
            persist_state="session",
        )
        render_estimate()
        click_button("Generate Image", state.generate, primary=True, disabled=waiting)
        render_error()
    return view


def render_user_feedback() -> WaitView | None:
    """Screen 2: the picture, and the decision."""
    st.header("2. Review Generated Image", anchor=False)
    shared = st.session_state
    waiting = bool(shared.pending)
    canvas, side = render_canvas()
    render_picture(canvas, shared.generated_image)
    with side:
        with st.container(horizontal=True):
            st.button("Approve", type="primary", on_click=state.approve, args=(shared,))
            click_button("Regenerate", state.regenerate, disabled=waiting)
        view = render_wait(canvas)
        render_error()
        render_prompt(shared.input_used_by_process)
        render_facts(state.find_attempt(shared, shared.generated_image))
        render_estimate()
        if view:
            st.caption("The present picture")
            render_picture(st.container(width=160), shared.generated_image)
        return view


def render_final() -> WaitView | None:
    """Screen 3: the result."""
    st.header("3. Final Result", anchor=False)
    shared = st.session_state
    attempt = state.find_attempt(shared, shared.final_result)
    canvas, side = render_canvas()
    render_picture(canvas, shared.final_result)
    with side:
        with st.container(horizontal=True):
            st.download_button(
                f"Download {attempt['extension'].upper()}",
                decode(shared.final_result),
                file_name=file_name(attempt["prompt"], attempt["extension"]),
                mime=MIME[attempt["extension"]],
                type="primary",
                on_click="ignore",
            )
            st.button("Back to review", on_click=state.back_to_review, args=(shared,))
            st.button("Start Over", on_click=start_over)
        view = render_wait(st.empty())
        render_error()
        render_prompt(attempt["prompt"])
        render_facts(attempt)
    return view


STAGES = {
    "initial_input": render_initial_input,
    "user_feedback": render_user_feedback,
    "final": render_final,
}


def render_side_bar() -> None:
    """Say who makes the pictures, what they have cost; take the settings, and a key if need be."""
    shared = st.session_state
    engine = choose_engine(shared.api_key, shared.model)
    with st.sidebar:
        st.subheader("Engine")
        st.text(f"{engine.name}\n{engine.model}")
        if engine.is_demo:
            st.info(
                "No AI model is at work: pictures are painted by a small program on this server. "
                "For an AI model, set `OPENAI_API_KEY` on the server, or enter your key here."
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
        st.subheader("Settings")
        render_settings(engine)
        render_spending()


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


def render_spending() -> None:
    """Say what this session's pictures have cost."""
    spending = st.session_state.spending
    if spending["tokens"]:
        st.subheader("This session")
        pictures = "1 picture" if spending["pictures"] == 1 else f"{spending['pictures']} pictures"
        st.text(f"{pictures}, {in_tokens_and_dollars(spending['tokens'], spending['dollars'])}")


def in_tokens_and_dollars(tokens: int, dollars: float | None) -> str:
    """Return a count of tokens, with an estimate in dollars where there is one."""
    return f"{tokens:,} tokens" + (f", about ${dollars:.3f} (estimate)" if dollars else "")


def render_estimate() -> None:
    """Say before a costly picture what it will probably cost."""
    shared = st.session_state
    if shared.quality not in COSTLY:
        return
    try:
        dollars = expected_cost(state.chosen_model(shared), state.chosen_options(shared))
    except ValueError:
        return
    if dollars:
        st.text(f"A picture of this quality costs about ${dollars:.2f} (estimate).")


def render_retirement(engine: Engine) -> None:
    """Warn of the end of the chosen model."""
    for model in listed_models(engine):
        if model.name == engine.model and (warning := retirement(model, date.today())):
            st.warning(warning)


def render_canvas(key: str = "canvas") -> tuple[DeltaGenerator, DeltaGenerator]:
    """Return the place of the picture, and the room beside it."""
    picture, side = st.columns([3, 2], gap="large")
    return picture.container(key=key).empty(), side


def render_picture(place: DeltaGenerator, image: str) -> None:
    """Show one of the session's pictures (base64)."""
    show_image(place, image, alt=state.find_attempt(st.session_state, image)["prompt"])


def show_image(place: DeltaGenerator, image: str, alt: str) -> None:
    """Show a picture (base64); with its own format named, Streamlit does not encode it anew."""
    data = decode(image)
    output_format: Literal["JPEG", "PNG"] = "JPEG" if extension_of(data) == "jpg" else "PNG"
    place.image(data, width="stretch", alt=alt, output_format=output_format)


def render_prompt(prompt: str) -> None:
    """Show a prompt as it was typed."""
    with st.container(key="prompt"):
        st.text(prompt)


def render_error() -> None:
    """Show the last error's sentence, which is always one of ours."""
    shared = st.session_state
    if shared.error_message:
        st.warning(shared.error_message)
        if shared.error_request_id:
            with st.container(key="support"):
                st.text(f"For support: request {shared.error_request_id}")


def render_facts(attempt: Mapping[str, Any]) -> None:
    """Show how a picture came to be, and what was asked for in vain."""
    tokens = count(attempt["usage"].get("total_tokens"))
    facts = [attempt["model"], f"{attempt['seconds']:.0f} s"]
    if tokens:
        facts.append(in_tokens_and_dollars(tokens, cost(attempt["model"], attempt["usage"])))
    with st.container(key="facts"):
        st.text(" · ".join(facts))
    if attempt["refused"]:
        names = " and ".join(PARAMETERS[name] for name in attempt["refused"])
        st.info(f"The server would not take {names} that you chose, and made its own choice.")


def render_wait(canvas: DeltaGenerator) -> WaitView | None:
    """Offer Cancel while a picture is made, and return the view of what is known about it."""
    # The place is there even when it is empty: what moves to another place is built anew.
    place = st.container(key="wait")
    if not st.session_state.pending:
        return None
    with place:
        view = WaitView(canvas)
        st.button("Cancel", on_click=cancel, args=(st.session_state.pending["id"],))
    return view


def click_button(
    label: str, move: state.ClickMove, *, primary: bool = False, disabled: bool = False
) -> None:
    """Render a button that costs money: all clicks on one rendering of it share one id."""
    click_id = st.session_state.click_id
    st.button(
        label,
        # With the id in the key, a late click on an old rendering reaches no newer one.
        key=f"{label}-{click_id}",
        type="primary" if primary else "secondary",
        on_click=move,
        args=(st.session_state, click_id),
        disabled=disabled,
    )


def cancel(request_id: str) -> None:
    """Stop the job, unless its picture is there already."""
    if jobs.cancel(request_id):
        state.cancel(st.session_state, request_id)


def start_over() -> None:
    """Return to an empty first screen, and stop what is on its way."""
    if st.session_state.pending:
        cancel(st.session_state.pending["id"])
    state.start_over(st.session_state)


def page_title() -> str:
    """Return the browser tab's title, for a person who looks elsewhere meanwhile."""
    if st.session_state.pending:
        return "Working… · Image generator"
    ready = st.session_state.stage == "user_feedback"
    return "Ready · Image generator" if ready else "Image generator"


def main() -> None:
    """Run one turn of a session."""
    shared = st.session_state
    token = browser_token(st.context.cookies)
    state.begin(shared, browser_memory.recall(token), jobs.knows)
    state.fit_settings(shared)
    st.set_page_config(page_title(), page_icon="🖼️", layout="wide")
    st.html(STYLE)
    notice = st.container()
    view = STAGES[shared.stage]()
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
    # Streamlit collects garbage after every run: without all that was imported, it takes no time.
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
