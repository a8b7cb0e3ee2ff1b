"""Screen 1: the prompt."""

import streamlit as st

from screens import parts, requests
from utils.images import page
from utils.review import asking, boxes, choosing
from utils.review.store import Store


def render(shared: Store) -> parts.WaitView | None:
    """Show the prompt box, and the place of the result to come."""
    if asking.visits(shared):
        requests.render_gone(shared)
        return None
    waiting = bool(shared["pending"])
    room = parts.render_room(shared, "canvas" if waiting else "canvas-idle")
    place = page.show_place(shared, room.canvas)
    with room.side:
        view = parts.render_wait(shared, place)
        parts.render_prompt_box(
            shared,
            "Prompt",
            boxes.prompt_key(shared),
            shared["task_input"],
            boxes.edit_prompt,
            (shared,),
        )
        parts.render_ask(shared, "Generate Image", "generate", "Mod+Enter", primary=True)
        parts.render_error(shared)
        page.render_examples(shared)
        if page.SOURCES:
            with st.expander(page.SOURCES):
                page.render_references(shared)
        if shared["recent"] and not waiting:
            render_recent(shared)
        requests.render_waiting(shared)
    return view


def render_recent(shared: Store) -> None:
    """Offer the last results of this browser, to be reopened or cleared."""
    st.markdown("**Recent pictures**")
    with st.container(horizontal=True, key="recent"):
        for attempt in reversed(shared["recent"]):
            with st.container(width=72, key=f"recent-{attempt.id}"):
                page.show_small([attempt])
                st.button(
                    "Reopen",
                    key=f"reopen-{attempt.id}",
                    on_click=choosing.reopen,
                    args=(shared, attempt.id),
                )
    with st.popover("Clear recent pictures"):
        st.text(f"All {len(shared['recent'])} will be gone for good.")
        st.button("Clear them", on_click=choosing.clear_recent, args=(shared,))
