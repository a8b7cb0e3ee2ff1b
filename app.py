"""The page: three screens by `stage`, and the server that shows them.

Streamlit runs this file for each turn of a session; `streamlit run` also imports it once, outside
any session, to find the server app at its end.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from flow import create_generation_flow
from utils import state
from utils.jobs import Job, Phase, jobs
from utils.memory import BrowserCookie, browser_memory, browser_token
from utils.pictures import blank_picture, decode, file_name
from utils.settings import choose_engine, get_settings

STYLE = Path(__file__).parent / "assets" / "style.css"
MIME = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
TROUBLE = "Something went wrong on our side. Your pictures are safe: reload the page and go on."


class WaitView:
    """Shows one job while it runs: its newest draft on `canvas`, words and time beside it."""

    def __init__(self, canvas: DeltaGenerator, status: DeltaGenerator) -> None:
        self.canvas = canvas
        self.status = status
        self.shown_draft = ""
        self.shown_words = ""

    def __call__(self, job: Job) -> None:
        """Show what is new of `job`; sends nothing where nothing is."""
        draft, words = job.news.partial, describe(job)
        if words != self.shown_words:
            self.status.text(words)
            self.shown_words = words
        if draft and draft != self.shown_draft:
            self.canvas.image(decode(draft), width="stretch", alt="A draft", output_format="PNG")
            self.shown_draft = draft


def describe(job: Job) -> str:
    """Return where `job` stands, in words that change once a second at most."""
    news = job.news
    match news.phase:
        case Phase.QUEUED:
            phase = f"Waiting for a free place, {jobs.ahead(job)} ahead"
        case Phase.PAUSED:
            phase = f"The server is busy, next try soon ({news.tries + 1} of 3)"
        case _:
            phase = ("Sketching", "First draft", "Second draft", "Third draft")[min(news.drafts, 3)]
    return f"{phase} · {job.seconds:.0f} s"


def render_initial_input() -> WaitView:
    """Screen 1: the prompt."""
    st.header("1. Generate Image")
    waiting = bool(st.session_state.pending)
    canvas, side = render_canvas("canvas" if waiting else "canvas-idle")
    canvas.image(blank_picture(1024, 1024), width="stretch", alt="The picture will appear here")
    with side:
        st.text_area(
            "Enter image prompt",
            key="task_input",
            placeholder="A lighthouse by the sea at sunset",
            max_chars=state.MAX_PROMPT,
            height=140,
            disabled=waiting,
            persist_state="session",
        )
        click_button("Generate Image", state.generate, primary=True, disabled=waiting)
        render_error()
        status = render_wait()
    return WaitView(canvas, status)


def render_user_feedback() -> WaitView:
    """Screen 2: the picture, and the decision."""
    st.header("2. Review Generated Image")
    shared = st.session_state
    waiting = bool(shared.pending)
    canvas, side = render_canvas()
    render_picture(canvas, shared.generated_image)
    with side:
        render_prompt(shared.input_used_by_process)
        render_error()
        with st.container(horizontal=True):
            st.button("Approve", type="primary", on_click=state.approve, args=(shared,))
            click_button("Regenerate", state.regenerate, disabled=waiting)
        status = render_wait()
        if waiting:
            st.caption("The present picture")
            render_picture(st.container(width=160), shared.generated_image)
    return WaitView(canvas, status)


def render_final() -> WaitView:
    """Screen 3: the result."""
    st.header("3. Final Result")
    shared = st.session_state
    attempt = state.find_attempt(shared, shared.final_result)
    canvas, side = render_canvas()
    render_picture(canvas, shared.final_result)
    with side:
        render_prompt(attempt["prompt"])
        render_error()
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
        status = render_wait()
    return WaitView(st.empty(), status)


STAGES = {
    "initial_input": render_initial_input,
    "user_feedback": render_user_feedback,
    "final": render_final,
}


def render_side_bar() -> None:
    """Say who makes the pictures; take a key where the server has none."""
    engine = choose_engine(st.session_state.api_key)
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
                disabled=bool(st.session_state.pending),
                help="Used in this session alone, and forgotten when the page closes.",
                autocomplete="off",
            )


def render_canvas(key: str = "canvas") -> tuple[DeltaGenerator, DeltaGenerator]:
    """Return the place of the picture, and the room beside it."""
    picture, side = st.columns([3, 2], gap="large")
    return picture.container(key=key).empty(), side


def render_picture(place: DeltaGenerator, image: str) -> None:
    """Show a picture (base64) as it is."""
    prompt = state.find_attempt(st.session_state, image)["prompt"]
    place.image(decode(image), width="stretch", alt=prompt, output_format="PNG")


def render_prompt(prompt: str) -> None:
    """Show a prompt as it was typed."""
    with st.container(key="prompt"):
        st.text(prompt)


def render_error() -> None:
    """Show the last error's sentence, which is always one of ours."""
    if st.session_state.error_message:
        st.warning(st.session_state.error_message)


def render_wait() -> DeltaGenerator:
    """Offer Cancel while a picture is made; return the place for words about it."""
    status = st.empty()
    if st.session_state.pending:
        st.button("Cancel", on_click=cancel, args=(st.session_state.pending["id"],))
    return status


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


def main() -> None:
    """Run one turn of a session."""
    st.set_page_config("Image generator", page_icon="🖼️", layout="wide")
    st.html(STYLE)
    shared = st.session_state
    token = browser_token(st.context.cookies)
    state.begin(shared, browser_memory.recall(token), jobs.knows)
    render_side_bar()
    view = STAGES[shared.stage]()
    if token:
        browser_memory.remember(token, state.snapshot(shared))
    if shared.pending:
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
