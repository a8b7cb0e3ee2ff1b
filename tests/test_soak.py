from tests import soak


def test_a_short_busy_day_loses_and_doubles_nothing() -> None:
    assert soak.main(["--minutes", "0.1", "--sessions", "4"]) == []
