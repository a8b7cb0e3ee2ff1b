"""What the page shows of a decision: its record, and words for those who cannot see the picture."""

from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx

from utils import images
from utils.jobs.outcomes import Problem
from utils.review import boxes
from utils.review.records import Approval, Attempt
from utils.review.store import Store

# In characters: a screen reader takes some twenty seconds for them.
LONGEST_DESCRIPTION = 300


def described(shared: Store, attempt: Attempt) -> str:
    """Return words for those who cannot see a picture: a person's own, or its prompt's first."""
    return shared["descriptions"].get(attempt.id) or images.shorten(attempt.wish.prompt)


def render_record(shared: Store, attempt: Attempt) -> None:
    """Take words for those who cannot see the approved picture, and hand out the record of how it
    came to be approved."""
    approval = shared["approval"]
    st.text_input(
        "Alternative text",
        described(shared, attempt),
        key=boxes.description_key(attempt.id),
        max_chars=LONGEST_DESCRIPTION,
        on_change=boxes.describe,
        args=(shared, attempt.id),
    )
    if approval is None:
        return
    record = st.expander(
        f"Approved on {in_local_time(approval.at)}", key="record", on_change="rerun"
    )
    if record.open:
        with record:
            render_open_record(shared, attempt, approval)


def show_plain_record(shared: Store, attempt: Attempt) -> None:
    """Hand out the record of a decision to a program, and what the picture's bytes hash to."""
    approval = shared["approval"]
    if approval:
        st.text(f"SHA-256 {attempt.result.name}")
        st.json(images.record_of(approval, attempt, described(shared, attempt)))


def render_open_record(shared: Store, attempt: Attempt, approval: Approval) -> None:
    """Show what a decision is known by, and hand it out with its pictures."""
    picture, many = cast("images.Picture", attempt.result), len(approval.attempts)
    lines = [f"By {approval.by}"] * bool(approval.by)
    lines.append(f"Out of {many} pictures" if many > 1 else "The only picture")
    lines += [] if picture.made_of else [f"Request {attempt.id}"]
    lines += [f"The server's request {picture.request_id}"] * bool(picture.request_id)
    st.text("\n".join([*lines, f"SHA-256 {picture.name}"]))
    render_credentials(shared, attempt)
    # Two buttons, and no box beside one: a click that comes before the server has heard of a tick
    # would hand out something else than the page says.
    words = described(shared, attempt)
    # Without the words: with another address the button would be another one, and a press on the
    # old one, by which the box of the words is left, would be lost. The session's own all the same:
    # whoever else looks at this decision may have other words.
    session_id = cast("ScriptRunContext", get_script_run_ctx()).session_id
    record = images.record_of(approval, attempt, "")
    name = sha256(f"{session_id} {record}".encode()).hexdigest()
    file_name = images.file_name(attempt.wish.brief, "zip")
    labels = {False: "Download record"}
    if many > 1:
        labels[True] = f"Download all {many} pictures"
    buttons = ""
    for whole, label in labels.items():
        # Made at the click: it may have hundreds of megabytes.
        make = partial(images.write_archive, approval, attempt, words, whole=whole)
        address = images.offer(f"{name}-{whole}", make)
        buttons += f'<a role="button" href="{address}" download="{file_name}">{label}</a>'
    st.html(f'<p class="archives">{buttons}</p>')


def render_credentials(shared: Store, attempt: Attempt) -> None:
    """Say what a picture's bytes, and OpenAI if it made it, tell of where it comes from."""
    name, engine = attempt.result.name, attempt.wish.engine
    if found := images.read_credentials(name):
        st.text(images.credentials_in_words(found))
    if not images.is_openai(engine):
        return
    check = images.check_of(name)
    if check and not check.news.outcome:
        await_check(name)
    elif answers := images.signals(name):
        st.text("\n".join(images.signal_in_words(one) for one in answers))
    else:
        if check:
            st.warning(cast("Problem", check.news.outcome).sentence)
        st.button(
            "Ask OpenAI where it comes from",
            on_click=images.ask_provenance,
            args=(name, engine, shared["api_key"]),
        )


@st.fragment(run_every=1.0)
def await_check(name: str) -> None:
    """Show that OpenAI is being asked, until it has answered."""
    check = images.check_of(name)
    if check is None or check.news.outcome:
        st.rerun()
    st.text(f"Asking OpenAI, {check.seconds:.0f} s")


def in_local_time(at: str) -> str:
    """Return a moment (ISO 8601) as the person's clock shows it; in UTC where that is unknown."""
    try:
        zone = ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return datetime.fromisoformat(at).astimezone(zone).strftime("%d %b %Y, %H:%M %Z")
