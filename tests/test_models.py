from datetime import date

import pytest

from utils.images.models import (
    ListedModel,
    ability,
    check_size,
    cost,
    count,
    expected_cost,
    is_image_model,
    retirement,
)

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("model", "size", "checked"),
    [
        ("gpt-image-2.5-flare", "1024x1024", "1024x1024"),
        ("gpt-image-2.5-flare", " 1536 X 864 ", "1536x864"),
        ("gpt-image-2.5-flare", "3840x2160", "3840x2160"),
        ("gpt-image-2", "2160x3840", "2160x3840"),
        ("demo-painter", "100x50", "100x50"),
        ("flux", "512x512", "512x512"),
    ],
)
def test_a_size_within_the_limits_is_taken(model: str, size: str, checked: str) -> None:
    assert check_size(model, size) == checked


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ("", "width x height"),
        ("1024", "width x height"),
        ("1024x1024; drop", "width x height"),
        ("1000x1000", "multiples of 16"),
        ("3072x1008", "three times"),
        ("512x512", "655,360"),
        ("3840x3840", "8,294,400"),
        ("4096x2048", "3840"),
        ("0x0", "3840"),
    ],
)
def test_a_size_beyond_the_limits_gets_a_sentence(size: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_size("gpt-image-2.5-flare", size)


def test_what_a_model_is_documented_not_to_do_is_known() -> None:
    assert ability("gpt-image-2.5-flare-2026-09-08").qualities[-2:] == ("xhigh", "max")
    assert "max" not in ability("gpt-image-2").qualities
    assert not ability("gpt-image-2-2026-04-21").transparent
    assert not ability("gpt-image-1").free_sizes
    assert ability("demo-painter").qualities == ()
    assert ability("some-other-model").transparent


@pytest.mark.parametrize(
    ("name", "makes_pictures"),
    [
        ("gpt-image-2.5-flare", True),
        ("chatgpt-image-latest", True),
        ("stable-diffusion-3", True),
        ("FLUX.1-dev", True),
        ("qwen-image", True),
        ("gpt-5", False),
        ("text-embedding-3-small", False),
        ("", False),
    ],
)
def test_image_models_are_known_by_their_names(name: str, makes_pictures: bool) -> None:
    assert is_image_model(name) is makes_pictures


@pytest.mark.parametrize(
    ("name", "shutdown", "words"),
    [
        ("gpt-image-1.5", date(2026, 12, 1), "will be shut down on 2026-12-01. Switch to gpt-"),
        ("gpt-image-1", date(2026, 10, 23), "was shut down on 2026-10-23. Switch to gpt-image-2.5"),
        ("gpt-image-2", date(2027, 1, 21), "will be shut down"),
    ],
)
def test_a_model_near_its_end_gets_a_warning(name: str, shutdown: date, words: str) -> None:
    assert words in retirement(ListedModel(name, shutdown), TODAY)


def test_a_model_far_from_its_end_gets_none() -> None:
    assert retirement(ListedModel("gpt-image-2", date(2027, 1, 22)), TODAY) == ""
    assert retirement(ListedModel("gpt-image-2"), TODAY) == ""


def test_cost_follows_from_tokens_where_the_price_is_known() -> None:
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"text_tokens": 200, "image_tokens": 800},
        "output_tokens": 4000,
    }
    dollars = (200 * 5 + 800 * 8 + 4000 * 30) / 1e6
    assert cost("gpt-image-2.6-flare", usage) == pytest.approx(dollars)
    assert cost("flux", usage) is None
    assert cost("gpt-image-2", {}) is None


@pytest.mark.parametrize("odd", [None, "7", 1.5, -3, True, [], {}])
def test_a_count_that_is_none_counts_for_nothing(odd: object) -> None:
    assert count(odd) == 0
    usage = {"input_tokens": odd, "input_tokens_details": odd, "output_tokens": 10}
    assert cost("gpt-image-2", usage) == pytest.approx(10 * 30 / 1e6)


def test_a_picture_of_high_quality_is_estimated_before() -> None:
    square = expected_cost("gpt-image-2.5-flare", {"quality": "high"})
    assert square == pytest.approx(4160 * 30 / 1e6)
    wide = expected_cost("gpt-image-2.5-flare", {"quality": "high", "size": "2048x1024"})
    assert wide == pytest.approx(2 * 4160 * 30 / 1e6)
    assert expected_cost("gpt-image-2.5-flare", {}) is None
    assert expected_cost("flux", {"quality": "high"}) is None
