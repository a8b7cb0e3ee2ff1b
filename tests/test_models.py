import math
import random
from datetime import date

import pytest

from utils.images.models import (
    MODELS,
    PRESETS,
    ListedModel,
    check_size,
    cost,
    count,
    expected_cost,
    is_image_model,
    known,
    most_expected,
    retirement,
)
from utils.review.records import Cost, Engine

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("model", "size", "checked"),
    [
        ("gpt-image-2.6-flare", "1024x1024", "1024x1024"),
        ("gpt-image-2.6-flare", " 1536 X 864 ", "1536x864"),
        ("gpt-image-2.6-flare", "1536\u00d7864", "1536x864"),
        ("gpt-image-2.6-flare", "1536*864", "1536x864"),
        ("gpt-image-2.6-flare", "\u0661\u0660\u0662\u0664x1024", "1024x1024"),
        ("gpt-image-2.5-flare", "3840x2160", "3840x2160"),
        ("gpt-image-2", "2160x3840", "2160x3840"),
        ("gpt-image-2", "1024x640", "1024x640"),
        ("gpt-image-2", "1536x512", "1536x512"),
        ("gpt-image-1.5", "1024x1536", "1024x1536"),
        ("demo-painter", "100x50", "100x50"),
        ("demo-painter", "16x3840", "16x3840"),
        ("flux", "512x512", "512x512"),
        ("gpt-image-2.6-flare", "square", "1024x1024"),
        ("gpt-image-1.5", "landscape", "1536x1024"),
        ("flux", "portrait", "1024x1536"),
    ],
)
def test_a_size_within_the_limits_is_taken(model: str, size: str, checked: str) -> None:
    assert check_size(model, size) == checked


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ("", "width x height in pixels, such as 1536x1024"),
        ("1024", "width x height"),
        ("1024x1024; drop", "width x height"),
        ("1000x1000", "multiples of 16. The nearest size that fits is 992x992"),
        ("1000x600", "multiples of 16. The nearest size that fits is 1056x624"),
        ("3072x1008", "3 times the other at most. The nearest size that fits is 3040x1024"),
        ("512x512", "655,360 to 8,294,400 pixels. The nearest size that fits is 816x816"),
        ("3840x3840", "8,294,400 pixels. The nearest size that fits is 2880x2880"),
        ("4096x2048", "16 to 3840 pixels. The nearest size that fits is 3840x2048"),
        ("0x0", "16 to 3840"),
        ("1024x15", "16 to 3840"),
        ("3841x1600", "16 to 3840"),
    ],
)
def test_a_size_beyond_the_limits_gets_a_sentence_with_one_that_fits(size: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_size("gpt-image-2.6-flare", size)


def test_a_model_of_few_sizes_gets_the_one_of_the_nearest_shape() -> None:
    with pytest.raises(ValueError, match=r"a few sizes\. The nearest size that fits is 1536x1024"):
        check_size("gpt-image-1.5", "1920x1080")
    with pytest.raises(ValueError, match="fits is 1024x1024"):
        check_size("gpt-image-1.5", "0x0")
    with pytest.raises(ValueError, match="fits is 3840x100"):
        check_size("flux", "5000x100")


def test_whatever_size_is_proposed_is_taken_and_near() -> None:
    dice = random.Random(7)
    for _ in range(3000):
        size = dice.randint(1, 5000), dice.randint(1, 5000)
        model = dice.choice(["gpt-image-2.6-flare", "gpt-image-1.5", "demo-painter"])
        try:
            check_size(model, f"{size[0]}x{size[1]}")
        except ValueError as exc:
            proposed = str(exc).split()[-1].rstrip(".")
            assert check_size(model, proposed) == proposed
            width, height = map(int, proposed.split("x"))
            shape, pixels = size[0] / size[1], size[0] * size[1]
            if "multiples" in str(exc) and 700_000 < pixels < 8_000_000 and 0.4 < shape < 2.5:
                assert math.dist(size, (width, height)) <= math.hypot(8, 8)


def test_what_a_model_is_documented_to_take_is_known() -> None:
    full = ("low", "medium", "high", "xhigh", "max")
    for name in ("gpt-image-2.6-flare", "gpt-image-2.6-sunburst", "gpt-image-2.5-flare-2026-09-08"):
        assert known(name).choices["quality"] == full
        assert known(name).free_sizes
    for name in ("gpt-image-2", "gpt-image-2-2026-04-21", "gpt-image-2.6-flare", "flux"):
        assert known(name).choices["background"] == ("opaque", "transparent")
    assert known("gpt-image-2").choices["quality"] == ("low", "medium", "high")
    assert not known("gpt-image-1").free_sizes
    assert not known("chatgpt-image-latest").free_sizes
    assert "quality" not in known("demo-painter").choices
    assert known("openai/gpt-image-2.6-flare") == known("gpt-image-2.6-flare")
    assert {tuple(model.choices["size"]) for model in MODELS} == {tuple(PRESETS)}


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


def test_a_gateways_mode_says_what_a_model_makes() -> None:
    assert is_image_model("our-painter", "image_generation")
    assert not is_image_model("our-image-reader", "chat")
    assert is_image_model("gpt-image-2", None)


@pytest.mark.parametrize(
    ("name", "shutdown", "words"),
    [
        ("gpt-image-1.5", None, "will be shut down on 2026-12-01. Choose gpt-image-2.6-sunburst u"),
        ("gpt-image-1-mini", None, "will be shut down on 2026-12-01. Choose gpt-image-2.6-flare "),
        ("chatgpt-image-latest", None, "will be shut down on 2026-12-01. Choose gpt-image-2.6-s"),
        ("gpt-image-1", None, "was shut down on 2026-10-23. Choose gpt-image-2.6-flare under"),
        ("gpt-image-1.5", date(2027, 1, 1), "will be shut down on 2027-01-01."),
        ("gpt-image-2", date(2027, 1, 21), "will be shut down"),
        ("gpt-image-2", TODAY, "was shut down"),
    ],
)
def test_a_model_near_its_end_gets_a_warning(name: str, shutdown: date | None, words: str) -> None:
    offered = [name, "gpt-image-2.6-flare", "gpt-image-2.6-sunburst"]
    assert words in retirement(ListedModel(name, shutdown), TODAY, offered)


def test_only_what_can_be_chosen_is_advised() -> None:
    old = ListedModel("gpt-image-1.5")
    assert "Choose another one under Model." in retirement(old, TODAY, [old.name, "flux"])
    assert "Whoever runs this page can set another" in retirement(old, TODAY, [old.name])


@pytest.mark.parametrize("name", ["gpt-image-2.6-flare", "openai/gpt-image-2.6-flare"])
def test_a_model_that_ends_is_not_advised_itself(name: str) -> None:
    newest = ListedModel(name, TODAY)
    assert "Choose another one under" in retirement(newest, TODAY, [name, "flux"])
    assert "Whoever runs this page can set another one." in retirement(newest, TODAY, [name])


def test_a_model_far_from_its_end_gets_none() -> None:
    assert retirement(ListedModel("gpt-image-2", date(2027, 1, 22)), TODAY, []) == ""
    assert retirement(ListedModel("gpt-image-2"), TODAY, []) == ""


USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"text_tokens": 200, "image_tokens": 800},
    "output_tokens": 4000,
    "total_tokens": 5000,
}


def test_cost_follows_from_tokens_where_the_price_is_known() -> None:
    estimate = cost("gpt-image-2.6-flare", USAGE)
    assert estimate.tokens == 5000
    assert estimate.dollars == pytest.approx((200 * 5 + 800 * 8 + 4000 * 30) / 1e6)
    assert cost("flux", USAGE) == Cost(5000)
    assert cost("gpt-image-2", {}) == Cost()


def test_a_price_that_was_told_counts_before_an_estimate() -> None:
    assert cost("gpt-image-2.6-flare", USAGE, 0.5) == Cost(5000, 0.5, told=True)
    assert cost("flux", None, 0.5) == Cost(0, 0.5, told=True)


@pytest.mark.parametrize("odd", [None, "7", 1.5, -3, True, [], {}, 10**8, 10**400])
def test_a_count_that_is_none_counts_for_nothing(odd: object) -> None:
    assert count(odd) == 0
    usage = {"input_tokens": odd, "input_tokens_details": odd, "output_tokens": 10}
    assert cost("gpt-image-2", usage).dollars == pytest.approx(10 * 30 / 1e6)
    assert cost("gpt-image-2", odd) == Cost()


def test_more_tokens_of_pictures_than_of_all_are_not_counted_below_nothing() -> None:
    usage = {"input_tokens": 1, "input_tokens_details": {"image_tokens": 5}}
    assert cost("gpt-image-2", usage).dollars == pytest.approx(5 * 8 / 1e6)


def test_a_picture_of_known_quality_is_estimated_before() -> None:
    least, medium, most = (tokens * 30 / 1e6 for tokens in (272, 1056, 4160))
    square = expected_cost("gpt-image-2.6-flare", {"quality": "high"})
    assert square == pytest.approx((most, most))
    wide = expected_cost("gpt-image-2.6-flare", {"quality": "low", "size": "2048x1024"})
    assert wide == pytest.approx((2 * least, 2 * least))
    usual = expected_cost("gpt-image-2", {"quality": "medium", "size": "1024x1024"})
    assert usual == pytest.approx((medium, medium))
    assert expected_cost("gpt-image-2.6-flare", {}) == pytest.approx((least, most))
    assert expected_cost("gpt-image-2.6-flare", {"quality": "max"}) is None
    assert expected_cost("flux", {"quality": "high"}) is None


def test_what_no_price_is_known_of_counts_against_a_limit_all_the_same() -> None:
    high = 4160 * 30 / 1e6
    here = Engine("here", "gpt-image-2.6-flare")
    assert most_expected(here, {}) == pytest.approx(high)
    assert most_expected(here, {"quality": "max"}) == pytest.approx(high)
    assert most_expected(here, {"quality": "low"}) == pytest.approx(272 * 30 / 1e6)
    assert most_expected(Engine("here", "flux"), {"quality": "high"}) == 0.001
    assert most_expected(Engine("Demo engine", "demo-painter", free=True), {}) == 0
