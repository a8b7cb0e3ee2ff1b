"""What the screens show of reviews: who waits for a person, what for, and what was decided."""

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from screens import door, parts
from utils.images import page
from utils.review import asking
from utils.review.records import Attempt, Decision, Review
from utils.review.reviews import reviews
from utils.review.store import Store

# In seconds.
LOOK_SECONDS = 10.0
# The newest: each takes its part of every run of everybody's first page.
MOST_SHOWN = 20


def link() -> str:
    """Return where a review is, without its id."""
    return f"{door.address()}?review="


def render_waiting(shared: Store) -> None:
    """Offer what waits for a person, the newest first."""
    if not door.asks_people() or shared["pending"]:
        return
    waiting = what_waits()
    shown = [one.id for one in waiting]
    parts.rerun_when(lambda: [one.id for one in what_waits()] != shown, LOOK_SECONDS)
    if not waiting:
        return
    st.markdown("**Waiting for a person**")
    with st.container(key="waiting-reviews"):
        for review in waiting:
            with st.container(horizontal=True, vertical_alignment="center", key=review.id):
                with st.container(width=72):
                    page.show_small([one for one in review.attempts if one.id == review.shown])
                with st.container():
                    st.text(review.purpose)
                    st.text(age_in_words(review))
                st.button("Look", key=f"look-{review.id}", on_click=visit, args=(review.id,))


def what_waits() -> Sequence[Review]:
    """Return what waits for a person, as far as that is known now."""
    try:
        return reviews.waiting()[:MOST_SHOWN]
    except ConnectionError:
        return []


def visit(review_id: str) -> None:
    """Look at a review."""
    st.query_params["review"] = review_id


def age_in_words(review: Review) -> str:
    """Return since when a review waits, and who asked where that is known."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(review.at)).total_seconds()
    minutes = int(seconds // 60)
    if minutes < 1:
        since = "asked just now"
    elif minutes < 120:
        since = f"asked {minutes} minute{'s' * (minutes > 1)} ago"
    else:
        since = f"asked {minutes // 60} hours ago"
    return f"{since} by {review.by}" if review.by else since


def render_request(shared: Store) -> None:
    """Say what a decision is asked for, and what has been decided; offer to decline."""
    if not asking.visits(shared):
        render_asked(shared)
        render_answer(shared)
        return
    with st.container(key="request"):
        st.text(f"Somebody asks for a decision. It is for: {shared['asked_for']}")
        render_answer(shared)
        if asking.may_decide(shared) and not shared["pending"]:
            with st.popover("Decline"), st.form("decline", border=False):
                st.text_input("A word to whoever asked", key=asking.WORDS, max_chars=asking.LONGEST)
                st.form_submit_button("Decline it", on_click=asking.decline, args=(shared,))
        st.button("Back to my own pictures", on_click=parts.leave)


def render_gone(shared: Store) -> None:
    """Show a request of which no result is left; what would be made here, everybody would see."""
    with parts.render_room(shared, "canvas-idle").side:
        render_request(shared)
        parts.render_error(shared)


def render_answer(shared: Store) -> None:
    """Say what was decided, in the words of who did."""
    if answer := shared["answer"]:
        st.text(answer_in_words(answer, shared["attempts"]))


def answer_in_words(answer: Decision, attempts: Sequence[Attempt]) -> str:
    """Return a decision as a sentence, with the words of the person; `attempts` have the number of
    what was approved."""
    who = answer.by or "A person"
    # By its number: what is on screen may be another one.
    numbers = {one.id: f"picture {one.number}" for one in attempts}
    what = numbers.get(answer.approved, "a picture that is gone") if answer.approved else "it"
    kinds = {
        asking.WITHDRAWAL: "This is not asked any more.",
        asking.OVER: "Nobody has decided in a day: nobody waits for it any more.",
    }
    sentence = kinds.get(answer.kind, f"{who} has {answer.kind} {what}.")
    return f"{sentence} They say: {answer.words}" if answer.words else sentence


def render_ask(shared: Store) -> None:
    """Offer to ask somebody else, before one decides."""
    if not door.asks_people() or asking.visits(shared) or shared["pending"]:
        return
    render_ask_form(shared)


def render_ask_form(shared: Store) -> None:
    """Take what it is for, and ask."""
    # One message: what is typed, and the click.
    with st.form("ask", border=False):
        st.text_input(
            "What is the picture for?",
            key=asking.PURPOSE,
            max_chars=asking.LONGEST,
            placeholder="Not sure? Somebody else may decide",
            persist_state="session",
        )
        st.form_submit_button(
            "Ask a person", key="Ask a person", on_click=asking.ask, args=(shared, link())
        )


def render_asked(shared: Store) -> None:
    """Show the link by which a person decides."""
    for review in asking.asked_reviews(shared):
        st.text("A person is asked. Send this link to whoever may decide:")
        parts.render_copyable("link", review.link)
