"""Screen 3: the result."""

import streamlit as st

from screens import parts
from utils.images import page
from utils.review import moves
from utils.review.store import Store


def render(shared: Store) -> parts.WaitView | None:
    """Show the approved attempt, to be taken away."""
    attempt = moves.find_attempt(shared, shared["approved"])
    canvas, side = parts.render_canvas("canvas-final")
    page.show(canvas, attempt)
    with side:
        with st.container(horizontal=True, gap="xsmall", key="decision"):
            st.button("Back to review", shortcut="B", on_click=moves.back_to_review, args=(shared,))
            st.button("Start Over", on_click=moves.decide, args=(shared, "start over"))
            # Where it is on the review, too: what is replaced one by one is never there twice.
            page.render_download(attempt, primary=True)
        view = parts.render_wait(shared)
        parts.render_error(shared)
        parts.render_prompt(attempt.wish.prompt)
        page.render_facts(attempt)
        if arrived := len(shared["unseen"]):
            st.info(f"{arrived} more came after your approval. Back to review shows all.")
    return view
