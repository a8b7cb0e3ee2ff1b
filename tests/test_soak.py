import pytest

from tests import soak


@pytest.mark.slow
def test_a_short_busy_day_loses_and_doubles_nothing() -> None:
    found = soak.main(["--minutes", "0.1", "--sessions", "4"])
    if found:
        # Whole: what comes once in many runs is understood from its traceback alone.
        pytest.fail("\n".join(found), pytrace=False)
