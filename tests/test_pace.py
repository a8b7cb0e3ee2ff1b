import pytest

from utils.jobs import pace


def test_the_median_of_recent_pictures_of_the_same_kind_is_expected() -> None:
    assert pace.expect("never made") is None
    for seconds in (100.0, *[10.0] * 5, 500.0, *[12.0] * 4):
        pace.note("kind", seconds)
    pace.note("other", 1.0)
    assert pace.expect("kind") == 12.0


def test_progress_grows_and_is_never_full() -> None:
    steps = [pace.share_done(elapsed, 10) for elapsed in (0, 5, 10, 20, 1000)]
    assert steps == sorted(set(steps))
    assert steps[:3] == pytest.approx([0, 0.45, 0.9])
    assert steps[-1] < 1
