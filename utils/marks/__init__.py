"""Where a picture is to be changed, drawn on it by a person: all that is offered to other rooms.

But for `surface`, which only a page needs: it brings Streamlit, and nodes know nothing of that.
"""

from utils.marks.areas import changed_outside, markup, mask, put_back
from utils.marks.strokes import Mark, describe, read, write

__all__ = [
    "Mark",
    "changed_outside",
    "describe",
    "markup",
    "mask",
    "put_back",
    "read",
    "write",
]
