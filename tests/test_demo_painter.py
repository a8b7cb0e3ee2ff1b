"""The demo painter: words decide, seeds vary, and the same request gives the same pixels."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from utils.demo.painter import paint, retouch

Array = NDArray[Any]
SIDE = 192


def pixels(
    prompt: str, size: tuple[int, int] = (SIDE, SIDE), seed: int = 5, transparent: bool = False
) -> Array:
    return np.asarray(paint(prompt, size, seed=seed, transparent=transparent), np.float32) / 255


def difference(first: Array, second: Array) -> float:
    return float(np.abs(first - second).mean())


def share_of(channel: int, picture: Array) -> float:
    return float(picture[..., channel].sum() / picture.sum())


def photo() -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 1, 200), np.linspace(0, 1, 120))
    channels = [0.4 + 0.5 * across, 0.7 - 0.4 * down, (np.sin(9 * across) > 0) * 0.6 + 0.2]
    return Image.fromarray((np.stack(channels, axis=2) * 255).astype(np.uint8))


@pytest.mark.parametrize("prompt", ["mountains", "sail boat on the sea", "quantum joy"])
def test_the_same_arguments_give_the_same_pixels_and_another_seed_others(prompt: str) -> None:
    assert np.array_equal(pixels(prompt), pixels(prompt))
    assert difference(pixels(prompt), pixels(prompt, seed=6)) > 0.03


def test_night_is_darker_and_sunset_warmer_than_day() -> None:
    day, night, sunset = (pixels(f"hills at {time}") for time in ("noon", "midnight", "sunset"))
    assert night.mean() < 0.6 * day.mean()
    assert share_of(0, sunset) > share_of(0, day) + 0.05


@pytest.mark.parametrize(("word", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_a_colour_name_raises_the_share_of_that_colour(word: str, channel: int) -> None:
    assert share_of(channel, pixels(f"{word} hills")) > share_of(channel, pixels("hills")) + 0.02


def test_a_city_at_night_has_warm_lit_windows() -> None:
    def warm(picture: Array) -> int:
        return int(((picture[..., 0] > 0.6) & (picture[..., 0] > picture[..., 2] + 0.2)).sum())

    city, hills = pixels("city at night", (512, 512)), pixels("hills at night", (512, 512))
    assert warm(city) > 500 > warm(hills)


@pytest.mark.parametrize(
    "word", ["rain", "fog", "clouds", "snow", "autumn", "boats", "lighthouse", "town", "desert"]
)
def test_each_kind_of_word_changes_the_scene(word: str) -> None:
    assert difference(pixels("a lake and trees"), pixels(f"a lake and trees, {word}")) > 0.002


def test_words_match_whole_in_any_case_and_in_the_plural() -> None:
    assert np.array_equal(pixels("MOUNTAIN"), pixels("mountains"))
    assert difference(pixels("seasonal"), pixels("sea")) > 0.05


@pytest.mark.parametrize("prompt", ["mountains", "a lake and pine trees", "city", "quantum joy"])
def test_appended_light_keeps_the_composition_and_the_last_one_wins(prompt: str) -> None:
    day, night, last = (
        pixels(f"{prompt}{edit}", transparent=True)
        for edit in ("", ", make it night", ", at dawn, make it night")
    )
    assert np.array_equal(day[..., 3], night[..., 3])
    assert difference(day[..., :3], night[..., :3]) > 0.03
    assert np.array_equal(night, last)


@pytest.mark.parametrize("prompt", ["snowy mountain lake", "city at night", "pine forest", "joy"])
def test_a_small_picture_is_a_draft_of_the_large_one(prompt: str) -> None:
    large = paint(prompt, (768, 768), seed=4).resize((128, 128), Image.Resampling.BOX)
    assert difference(np.asarray(large, np.float32) / 255, pixels(prompt, (128, 128), 4)) < 0.025


@pytest.mark.parametrize("size", [(2, 2), (16, 48), (48, 16), (101, 303), (640, 360)])
@pytest.mark.parametrize("prompt", ["city by the sea, fog", "snowy mountains", "joy"])
def test_every_size_is_honoured(prompt: str, size: tuple[int, int]) -> None:
    picture = paint(prompt, size, seed=2)
    assert (picture.size, picture.mode) == (size, "RGB")


@pytest.mark.parametrize("prompt", ["mountains at dawn", "quantum joy"])
def test_a_transparent_picture_leaves_out_the_sky_with_soft_edges(prompt: str) -> None:
    alpha = pixels(prompt, seed=7, transparent=True)[..., 3]
    assert (alpha == 0).mean() > 0.05
    assert (alpha > 0.9).mean() > 0.2
    assert ((alpha > 0) & (alpha < 1)).any()


@pytest.mark.parametrize("prompt", ["", "\x00\ud800 🌋 海", "sea night " * 3200, "é" * 32000])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_odd_and_huge_prompts_and_seeds_are_painted(prompt: str, seed: int) -> None:
    assert pixels(prompt, seed=seed).std() > 0.01


@pytest.mark.parametrize("wish", ["night", "snow", "fog", "teal", "make it jollier"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_retouching_changes_a_picture_that_stays_recognisable(wish: str, mode: str) -> None:
    first, again = (retouch(photo().convert(mode), wish, (90, 90), seed=3) for _ in range(2))
    before = photo().convert(mode).convert("RGB").crop((40, 0, 160, 120)).resize((90, 90))
    after, plain = np.asarray(first, np.float32), np.asarray(before, np.float32)
    assert (first.mode, first.size, first.tobytes()) == ("RGB", (90, 90), again.tobytes())
    assert difference(after, plain) > 4
    assert np.corrcoef(after.mean(axis=2).ravel(), plain.mean(axis=2).ravel())[0, 1] > 0.5
