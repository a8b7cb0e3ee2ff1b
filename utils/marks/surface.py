"""The surface on which a person marks a place: the picture on the page, with a script over it."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from utils.marks.strokes import MAX_STROKES, MAX_TEXT, NINTHS, Point, brush

SCRIPT = Path(__file__).parents[2] / "assets" / "mark.js"
FIELDS = "".join(
    f'<button type="button" data-field="{number}" aria-label="Mark the {words}"></button>'
    for number, words in enumerate(NINTHS, 1)
)
CONTROLS = f"""
<div class="marking">
<div role="group" aria-label="Fields of the picture">{FIELDS}</div>
<p>Draw on the picture where it should be different: over the place, or around it. Or choose fields
here.</p>
<button type="button" data-do="undo">Undo</button>
<button type="button" data-do="clear">Clear</button>
</div>
"""


@st.cache_resource
def _component() -> ComponentRenderer:
    # Streamlit wants each component registered once.
    return st.components.v2.component(
        "mark", html=CONTROLS, js=SCRIPT.read_text(), isolate_styles=False
    )


def render(
    key: str, picture_id: str, size: Point, strokes: str, on_change: Callable[[str], None]
) -> None:
    """Let a person draw on the picture of this id and size; `strokes` is what is drawn already.

    `on_change` is called with the strokes as text after each.
    """

    def take() -> None:
        on_change(str(st.session_state[key]["strokes"]))

    data = {
        "id": picture_id,
        "width": size[0],
        "height": size[1],
        "brush": brush(size),
        "most": MAX_STROKES,
        "longest": MAX_TEXT,
        "strokes": strokes,
    }
    _component()(key=key, data=data, on_strokes_change=take)
