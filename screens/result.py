"""How a result is shown: a picture, its thumbnail, its facts and its download."""

from collections.abc import Sequence
from typing import Literal, cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from utils import images
from utils.review.blobs import blobs
from utils.review.records import Attempt, Cost
from utils.review.store import Store, by_key


def show(place: DeltaGenerator, attempt: Attempt) -> None:
    """Show an attempt's picture."""
    place.image(images.address(attempt.result.name), width="stretch", alt=attempt.wish.prompt)


def show_draft(place: DeltaGenerator, draft: object) -> None:
    """Show a partial picture; with its own format named, Streamlit does not encode it anew."""
    data = cast("bytes", draft)
    output: Literal["JPEG", "PNG"] = "JPEG" if images.extension_of(data) == "jpg" else "PNG"
    place.image(data, width="stretch", alt="Draft", output_format=output)


def show_place(shared: Store, place: DeltaGenerator) -> None:
    """Hold the place of the picture to come."""
    blank = images.blank_picture(*images.size_to_come(by_key(shared), shared["pending"]))
    place.image(blank, width="stretch", alt="Your picture will appear here")


def show_small(attempts: Sequence[Attempt]) -> None:
    """Show the attempts' thumbnails, as one element."""
    st.image(
        [images.address(attempt.result.name, "thumbnail") for attempt in attempts],
        width=images.THUMBNAIL,
        alt=[attempt.wish.prompt for attempt in attempts],
    )


def render_download(attempt: Attempt, *, primary: bool) -> None:
    """Hand out the API's own bytes."""
    extension = cast("images.Picture", attempt.result).extension
    st.download_button(
        f"Download {extension.upper()}",
        # Not a function called at the click: that would fail where the next screen comes first.
        blobs.get(attempt.result.name) or b"",
        file_name=images.file_name(attempt.wish.brief, extension),
        mime=images.MIME[extension],
        type="primary" if primary else "secondary",
        shortcut="D",
        on_click="ignore",
    )


def render_facts(attempt: Attempt) -> None:
    """Show how a picture came to be, and what was asked for in vain."""
    picture = cast("images.Picture", attempt.result)
    facts = [
        f"Picture {attempt.number}",
        attempt.wish.engine.model,
        f"{picture.width} x {picture.height}",
        f"{picture.seconds:.0f} s",
    ]
    if picture.cost.tokens or picture.cost.dollars:
        facts.append(cost_in_words(picture.cost))
    st.text(" · ".join(facts))
    if picture.refused:
        words = {one.key: one.words for one in images.PARAMETERS}
        names = " and ".join(words[name] for name in picture.refused)
        st.info(f"The server would not take {names} that you chose, and made its own choice.")


def cost_in_words(cost: Cost) -> str:
    """Return a count of tokens, with dollars where they are known or can be estimated."""
    words = [f"{cost.tokens:,} tokens"] if cost.tokens else []
    words += [f"about ${cost.dollars:.3f} (estimate)"] if cost.dollars else []
    return ", ".join(words)
