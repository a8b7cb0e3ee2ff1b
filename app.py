"""The page: three screens by `stage`, and the server that shows them.

Streamlit runs this file for each turn of a session; `streamlit run` also imports it once, outside
any session, to find the server app at its end.
"""

import asyncio
import gc
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route
from streamlit import config
from streamlit.runtime.scriptrunner import get_script_run_ctx

import screens
from flow import create_flow
from nodes import is_known, may_come_late, next_wait, serve, take_late
from screens import door, parts
from utils import descriptors, locks, scripts, telemetry
from utils import images as engine
from utils.backends import check_store
from utils.compression import Compression
from utils.headers import SafeHeaders
from utils.images import page
from utils.jobs.table import jobs
from utils.review import asking, boxes, moves
from utils.review.browser import BrowserCookie, browser_token, greeting
from utils.review.memory import browser_memory
from utils.review.store import Store, by_key
from utils.settings import check_settings, get_settings
from utils.signing import sign_with
from utils.telemetry import OpenPages, set_up_logging

TROUBLE = "Something went wrong on our side. Your pictures are safe: reload the page and go on."


def main() -> None:
    """Run one turn of a session."""
    shared = cast("Store", st.session_state)
    person = door.who() if door.is_guarded() else None
    if door.is_guarded() and person is None:
        asking.leave(shared)
        parts.set_page()
        door.render()
        return
    token = browser_token(st.context.cookies, st.context.headers.get("Host") or "")
    own = person.owner if person else token or str(shared.get("payer") or moves.new_id())
    review = st.query_params.get("review", "") if door.asks_people() else ""
    is_same = shared.get("payer") == own
    owner = asking.home(review, own, str(shared.get("owner", "")) if is_same else "")
    key = str(shared.get("api_key", "")) if is_same else ""
    if shared.get("owner", owner) != owner:
        asking.leave(shared)
    if "remembered" not in shared:
        begin(shared, owner, own, person.name if person else "", key)
        if review and owner == own:
            asking.miss(shared)
    moves.aim(shared)
    # First, because of what is taken in of a review something may be gone already.
    asking.look(shared)
    moves.mend(shared)
    take_late(shared)
    page.take_in(shared)
    moves.ask(shared, engine.choose_engines)
    # Before the call begins: what may have been paid for is never unknown to the next page.
    browser_memory.remember(shared)
    create_flow(shared["stage"]).run(shared)
    boxes.fit_boxes(shared)
    engine.fit(by_key(shared))
    parts.set_page(page_title(shared))
    if shared["agent"]:
        view = screens.agent.render(shared)
    else:
        parts.render_steps(shared)
        view = getattr(screens, shared["stage"]).render(shared)
    # Last, because who comes first to a server waits for its list of models.
    page.render_side_bar(shared)
    parts.keep_settings(shared)
    door.render_person(person)
    parts.render_state(shared)
    if may_come_late(shared):
        parts.rerun_when(partial(take_late, shared))
    if asking.visits(shared):
        parts.rerun_when(partial(asking.look, shared))
    if not browser_memory.remember(shared):
        parts.rerun_when(partial(browser_memory.remember, shared))
    if shared["pending"] and not asking.rests(shared):
        create_flow(next_wait(shared), partial(parts.follow, shared, view)).run(shared)
        st.rerun()


def begin(shared: Store, owner: str, own: str, name: str, key: str) -> None:
    """Give a new session its keys, and the one that the same person typed before elsewhere."""
    remembered = parts.recall(owner)
    agent = door.is_agent()
    moves.begin(shared, remembered, is_known, engine.DEFAULTS, owner, name, payer=own, agent=agent)
    shared["api_key"] = key
    if not remembered:
        shared["error_message"] = greeting(owner)


def is_secret_set() -> bool:
    """Return whether the operator has chosen what is signed with: Streamlit makes up another one
    with each start."""
    secret = str(st.get_option("server.cookieSecret"))
    return config.is_manually_set("server.cookieSecret") and bool(secret.strip())


def page_title(shared: Store) -> str:
    """Return the browser tab's title, for a person who looks elsewhere meanwhile."""
    if shared["pending"]:
        return f"Working… · {parts.TITLE}"
    return f"Ready · {parts.TITLE}" if shared["stage"] == "user_feedback" else parts.TITLE


def show_trouble(exc: Exception) -> bool:
    """Show one sentence in place of an uncaught exception, which Streamlit has logged."""
    st.error(TROUBLE)
    return True


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Get ready when the server starts, and let no job outlive it."""
    set_up_logging()
    # What was imported stays: looking through it for garbage would stop all sessions for 0.15 s.
    gc.freeze()
    serve(works=get_settings().worker == "inside")
    yield
    # It may wait for calls in flight: pages are on their way to another server meanwhile.
    await asyncio.to_thread(jobs.stop)


def work() -> None:
    """Make the calls that pages elsewhere ask for, until this process is told to stop."""
    set_up_logging()
    told_to_stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: told_to_stop.set())
    serve(works=True)
    told_to_stop.wait()
    jobs.stop()


if get_script_run_ctx(suppress_warning=True):
    main()
else:
    # Streamlit itself loads the secrets after this import, and the settings are read once.
    trouble = door.load_secrets() or check_settings() or check_store(is_secret_set())
    if sentence := trouble or door.check():
        sys.stderr.write(f"{sentence}\n")
        sys.exit(2)
    descriptors.raise_limit()
    locks.relieve_config()
    # By Streamlit's own secret: after a restart the same where the operator has set it.
    sign_with(st.get_option("server.cookieSecret"))
    routes = [*engine.ROUTES, *scripts.ROUTES, *telemetry.ROUTES]
    # Below a path the browser asks for ours there too; who looks after the server need not.
    below = st.get_option("server.baseUrlPath").strip("/")
    app = st.App(
        __file__,
        routes=[*routes, *(Route(f"/{below}{one.path}", one.endpoint) for one in routes if below)],
        middleware=[
            Middleware(OpenPages),
            Middleware(SafeHeaders),
            Middleware(BrowserCookie),
            Middleware(Compression),
        ],
        lifespan=lifespan,
        on_script_error=show_trouble,
    )
    if __name__ == "__main__":
        # Not by `streamlit run`: a worker without pages.
        if get_settings().store_url is None:
            sys.exit("To open the page, start it with: streamlit run app.py")
        work()
