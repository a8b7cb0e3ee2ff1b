"""Screen 2: the attempts, and the decision."""

import time

import streamlit as st

from screens import parts, requests
from utils.images import page
from utils.review import asking, boxes, choosing
from utils.review.records import Attempt
from utils.review.store import Store

# Seconds in which a page shows a new result and its decision, before it gets the rest.
FIRST_LOOK = 0.15


def render(shared: Store) -> parts.WaitView | None:
    """Show what is under review, what can be done with it, and all other attempts."""
    attempt = choosing.find_attempt(shared, shared["under_review"])
    room = parts.render_room(shared)
    parts.show_result(shared, room.canvas, attempt)
    with room.decision:
        render_decision(shared, attempt)
    with room.side, st.container():
        if choosing.look(shared):
            # The page shows what it has got; all at once would take it twice as long.
            time.sleep(FIRST_LOOK)
        requests.render_request(shared)
        # What can be approved stays on the canvas: a draft of another has a place of its own.
        view = parts.render_wait(shared)
        parts.render_error(shared)
        render_strip(shared)
        page.render_facts(attempt)
        page.render_changes(shared, attempt)
        st.text("Regenerate asks for the same, with today's settings.")
    # Below all that comes and goes: a box that finds itself in another place is built anew.
    with room.side:
        render_steering(shared, attempt)
        requests.render_ask(shared)
    with room.foot:
        parts.render_start_over(shared)
    return view


def render_decision(shared: Store, attempt: Attempt) -> None:
    """Offer what can be done with the attempt under review."""
    st.button(
        "Approve",
        # With the attempt in the key, a click on what was on the screen approves nothing else.
        key=f"Approve-{attempt.id}",
        type="primary",
        shortcut="A",
        on_click=asking.approve,
        args=(shared, attempt.id),
        disabled=asking.is_decided(shared) or bool(asking.asked_reviews(shared)),
    )
    parts.click_button(shared, "Regenerate", "regenerate", shortcut="G")
    page.render_download(attempt, primary=False)


def render_steering(shared: Store, attempt: Attempt) -> None:
    """Offer to ask for another attempt; only the open tab has boxes, buttons and their keys."""
    labels = ["Edit prompt", "Change this picture"] + [page.SOURCES] * bool(page.SOURCES)
    prompt, change, *own = st.tabs(labels, key="steering", on_change="rerun")
    # For what is dropped or pasted anywhere; the style hides it. Here, so that it keeps its place.
    with st.container(key="inbox"):
        if not any(tab.open for tab in own):
            page.render_references(shared)
    # The prompt stands once: in the box, or as it was where the box holds something else.
    edited = boxes.edited_prompt(shared)
    if edited != attempt.wish.prompt or not prompt.open:
        parts.render_copyable("prompt", attempt.wish.prompt)
    for tab in (prompt, *own):
        if tab.open:
            with tab:
                if tab is not prompt:
                    page.render_references(shared)
                parts.render_prompt_box(
                    shared,
                    "Edit the prompt",
                    boxes.edit_key(attempt.id),
                    edited,
                    boxes.edit,
                    (shared, attempt.id),
                )
                parts.render_ask(shared, "Generate Image", "generate edited", "Mod+Enter")
    if change.open:
        with change:
            page.render_marking(shared, attempt)
            st.text_input(
                "What should be different here? The rest should stay.",
                shared["change"],
                key="change",
                placeholder="Make it night",
                disabled=bool(shared["pending"]),
                persist_state="session",
            )
            parts.render_ask(shared, "Change picture", "change", "Mod+Enter")


def render_strip(shared: Store) -> None:
    """Show every attempt, to be looked at, approved, downloaded or built upon.

    One element for all thumbnails and one for all numbers: a rerun takes as long with 24 attempts
    as with one.
    """
    attempts = choosing.in_order(shared)
    numbers = {attempt.id: number_in_words(shared, attempt) for attempt in attempts}
    with st.container(key="strip"):
        page.show_small(attempts, shared["aside"])
        st.pills(
            "Picture under review",
            list(numbers),
            format_func=lambda attempt_id: numbers[attempt_id],
            key=choosing.pick_key(shared),
            on_change=choosing.pick,
            args=(shared, choosing.pick_key(shared), shared["under_review"]),
            label_visibility="collapsed",
            required=True,
        )
    if len(numbers) > 1:
        render_sorting(shared)


def number_in_words(shared: Store, attempt: Attempt) -> str:
    """Return an attempt's number, with signs for one that was made from others or is kept."""
    signs = ["✎"] * bool(attempt.wish.sources) + ["★"] * (attempt.id in shared["kept"])
    return " ".join([str(attempt.number), *signs])


def render_sorting(shared: Store) -> None:
    """Offer to keep and to set aside, and the attempts before and after by key.

    The script selects others by number.
    """
    shown = shared["under_review"]
    with st.container(key="keys"):
        st.button("Previous", shortcut="Left", on_click=choosing.step, args=(shared, -1))
        st.button("Next", shortcut="Right", on_click=choosing.step, args=(shared, 1))
    with st.container(horizontal=True, gap="xsmall", key="sorting"):
        st.button(
            "Keep no more" if shown in shared["kept"] else "Keep",
            key="keep",
            shortcut="K",
            on_click=choosing.keep,
            args=(shared, shown),
        )
        st.button(
            "Take back" if shown in shared["aside"] else "Set aside",
            key="set-aside",
            shortcut="X",
            on_click=choosing.set_aside,
            args=(shared, shown),
        )
    if len(shared["attempts"]) >= choosing.MAX_ATTEMPTS:
        st.caption("For the next one the oldest goes: one set aside first, and none that you keep.")
