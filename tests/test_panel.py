import json

from tests.stores import make, new_store
from utils.review.panel import in_short


def test_a_long_prompt_is_short_in_the_session_state() -> None:
    shared = new_store()
    make(shared, "a fox " * 5000, "fox")
    short = json.dumps(in_short(shared))
    assert len(short) < 8000
    assert "(30,000 characters)" in short
