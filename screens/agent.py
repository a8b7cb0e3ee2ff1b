"""The page as a program sees it: the same things in plain elements, with keys that stay.

It may ask for pictures, and ask a person; there is nothing here by which it could approve.
"""

import streamlit as st

from screens import door, parts, requests
from utils.images import page
from utils.review import asking, boxes, choosing, moves
from utils.review.store import STAGES, Store, by_key

PROMPT, ATTEMPT = "prompt", "attempt"


def render(shared: Store) -> parts.WaitView | None:
    """Show the stage that the session is at, and what can be done there."""
    st.text(f"Stage: {STAGES[shared['stage']].heading}")
    if shared["error_message"]:
        st.warning(parts.error_in_words(shared))
    requests.render_answer(shared)
    if shared["stage"] == "final":
        render_result(shared)
    else:
        render_asking(shared)
    parts.render_start_over(shared)
    return None


def render_asking(shared: Store) -> None:
    """Take a prompt, show what there is, and offer to ask a person."""
    resting = bool(shared["pending"])
    by_key(shared)[PROMPT] = shared["task_input"]
    st.text_area(
        "Prompt",
        key=PROMPT,
        on_change=boxes.type_prompt,
        args=(shared, PROMPT),
        disabled=resting,
    )
    parts.click_button(shared, "Generate Image", "generate", key="Generate Image")
    if shared["attempts"]:
        parts.click_button(shared, "Regenerate", "regenerate", key="Regenerate")
        render_attempts(shared)
        st.text_input(
            "What should be different here? The rest should stay.",
            key="change",
            disabled=resting,
            persist_state="session",
        )
        parts.click_button(shared, "Change picture", "change", key="Change picture")
        if door.asks_people() and not resting:
            requests.render_ask_form(shared)
    if resting:
        for review in asking.asked_reviews(shared):
            st.code(review.link, language=None)
        st.button("Cancel", key="Cancel", on_click=moves.stop, args=(shared, "cancel"))
    if asking.may_listen(shared):
        st.button(
            "Wait for the decision",
            key="Wait for the decision",
            on_click=asking.listen,
            args=(shared,),
        )


def render_attempts(shared: Store) -> None:
    """Show all attempts, and let one of them be put under review."""
    for attempt in shared["attempts"]:
        page.show_plain(attempt)
    numbers = {attempt.id: str(attempt.number) for attempt in shared["attempts"]}
    by_key(shared)[ATTEMPT] = shared["under_review"]
    st.selectbox(
        "Picture under review",
        list(numbers),
        format_func=lambda attempt_id: numbers[attempt_id],
        key=ATTEMPT,
        on_change=choosing.pick,
        args=(shared, ATTEMPT, shared["under_review"]),
        disabled=bool(shared["pending"]),
    )


def render_result(shared: Store) -> None:
    """Hand out what was approved, and the record of the decision."""
    attempt = choosing.find_attempt(shared, shared["approved"])
    page.show_plain(attempt)
    page.show_plain_record(shared, attempt)
