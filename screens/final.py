"""Screen 3: the result."""

import streamlit as st

from screens import parts, requests
from utils.images import page
from utils.review import choosing, moves
from utils.review.store import Store


def render(shared: Store) -> parts.WaitView | None:
    """Show the approved attempt, to be taken away."""
    attempt = choosing.find_attempt(shared, shared["approved"])
    room = parts.render_room(shared)
    parts.show_result(shared, room.canvas, attempt)
    with room.decision:
        st.button(
            "Back to review",
            key="back",
            shortcut="B",
            on_click=moves.back_to_review,
            args=(shared,),
        )
        # Download is where it is on the review: what is replaced one by one is never there twice.
        st.empty()
        page.render_download(attempt, primary=True)
    with room.side:
        view = parts.render_wait(shared)
        parts.render_error(shared)
        requests.render_request(shared)
        parts.render_copyable("prompt", attempt.wish.prompt)
        page.render_facts(attempt)
        page.render_record(shared, attempt)
        if arrived := len(shared["unseen"]):
            st.info(f"{arrived} more came after your approval. Back to review shows all.")
    with room.foot:
        parts.render_start_over(shared)
    return view
