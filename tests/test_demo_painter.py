"""The demo painter: words decide, seeds vary, and the same request gives the same pixels."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from utils.demo_painter import paint, retouch

Array = NDArray[np.floating[Any]]
SIDE = 192


def pixels(
    prompt: str, size: tuple[int, int] = (SIDE, SIDE), seed: int = 5, transparent: bool = False
) -> Array:
    return np.asarray(paint(prompt, size, seed=seed, transparent=transparent), np.float32) / 255


def share_of(colour: int, picture: Array) -> float:
    return float(picture[..., colour].sum() / picture[..., :3].sum())


def difference(first: Array, second: Array) -> float:
    return float(np.abs(first - second).mean())


def photo(size: tuple[int, int] = (200, 120)) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    channels = [0.4 + 0.5 * across, 0.7 - 0.4 * down, (np.sin(9 * across) > 0) * 0.6 + 0.2]
    return Image.fromarray((np.stack(channels, axis=2) * 255).astype(np.uint8))


@pytest.mark.parametrize(
    "prompt", ["autumn forest by a lake", "city at night, rain", "quantum joy"]
)
def test_the_same_arguments_give_the_same_pixels(prompt: str) -> None:
    assert np.array_equal(pixels(prompt), pixels(prompt))


@pytest.mark.parametrize("prompt", ["mountains", "sail boat on the sea", "quantum joy"])
def test_another_seed_gives_a_visibly_different_picture(prompt: str) -> None:
    assert difference(pixels(prompt, seed=1), pixels(prompt, seed=2)) > 0.03


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_night_is_darker_than_day(seed: int) -> None:
    day, night = pixels("hills at noon", seed=seed), pixels("hills at midnight", seed=seed)
    assert night.mean() < 0.6 * day.mean()


@pytest.mark.parametrize(("word", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_a_colour_name_raises_the_share_of_that_colour(word: str, channel: int) -> None:
    assert share_of(channel, pixels(f"{word} hills")) > share_of(channel, pixels("hills")) + 0.02


def test_sunset_is_warmer_than_day() -> None:
    assert share_of(0, pixels("desert at sunset")) > share_of(0, pixels("desert")) + 0.05


def test_the_sea_is_blue_in_the_lower_half() -> None:
    water = pixels("the open sea")[SIDE * 3 // 4 :]
    assert share_of(2, water) > 0.36 > share_of(0, water)


def test_a_city_at_night_has_warm_lit_windows() -> None:
    city, hills = pixels("city at night", (512, 512)), pixels("hills at night", (512, 512))

    def warm(picture: Array) -> int:
        return int(((picture[..., 0] > 0.6) & (picture[..., 0] > picture[..., 2] + 0.2)).sum())

    assert warm(city) > 500 > warm(hills)


def test_snow_brightens_the_ground() -> None:
    ground = slice(SIDE * 3 // 4, None)
    assert pixels("hills in winter")[ground].mean() > pixels("hills")[ground].mean() + 0.1


@pytest.mark.parametrize(
    "word",
    ["rain", "fog", "clouds", "aurora", "autumn", "blossoms", "boats", "lighthouse", "village"],
)
def test_each_kind_of_word_changes_the_scene(word: str) -> None:
    assert difference(pixels("a lake and trees"), pixels(f"a lake and trees, {word}")) > 0.002


def test_words_match_whole_in_any_case_and_in_the_plural() -> None:
    assert np.array_equal(pixels("MOUNTAIN"), pixels("mountains"))
    assert difference(pixels("seasonal"), pixels("sea")) > 0.05


@pytest.mark.parametrize("prompt", ["mountains", "a lake and pine trees", "city", "quantum joy"])
@pytest.mark.parametrize("edit", ["make it night", "make it sunset"])
def test_appended_light_keeps_the_composition(prompt: str, edit: str) -> None:
    before, after = pixels(prompt, transparent=True), pixels(f"{prompt}, {edit}", transparent=True)
    assert np.array_equal(before[..., 3], after[..., 3])
    assert difference(before[..., :3], after[..., :3]) > 0.03


def test_the_last_time_of_day_wins() -> None:
    assert np.array_equal(pixels("hills, day, night"), pixels("hills, night"))


@pytest.mark.parametrize("prompt", ["snowy mountain lake", "city at night", "pine forest", "joy"])
def test_a_small_picture_is_a_draft_of_the_large_one(prompt: str) -> None:
    large = paint(prompt, (768, 768), seed=4).resize((128, 128), Image.Resampling.BOX)
    assert difference(np.asarray(large, np.float32) / 255, pixels(prompt, (128, 128), 4)) < 0.025


@pytest.mark.parametrize("size", [(16, 16), (16, 48), (48, 16), (300, 100), (101, 303), (640, 360)])
@pytest.mark.parametrize("prompt", ["city by the sea, fog", "snowy village", "joy"])
def test_every_size_is_honoured(prompt: str, size: tuple[int, int]) -> None:
    picture = paint(prompt, size, seed=2)
    assert (picture.size, picture.mode) == (size, "RGB")


@pytest.mark.parametrize("prompt", ["mountains at dawn", "quantum joy"])
def test_a_transparent_picture_leaves_out_the_sky_with_soft_edges(prompt: str) -> None:
    picture = paint(prompt, (SIDE, SIDE), seed=7, transparent=True)
    alpha = np.asarray(picture)[..., 3]
    assert picture.mode == "RGBA"
    assert (alpha == 0).mean() > 0.05
    assert (alpha == 255).mean() > 0.2
    assert ((alpha > 0) & (alpha < 255)).any()


def test_unknown_words_give_an_abstract_of_their_own() -> None:
    assert difference(pixels("a portrait of a cat"), pixels("quantum joy")) > 0.05
    assert pixels("quantum joy").std() > 0.08


@pytest.mark.parametrize(
    "prompt", ["", ",,,", "\x00\ud800 🌋 海", "sea night " * 3200, "é" * 32000]
)
def test_odd_and_huge_prompts_are_painted(prompt: str) -> None:
    assert pixels(prompt).std() > 0.01


@pytest.mark.parametrize("seed", [0, -1, 2**63])
def test_any_integer_is_a_seed(seed: int) -> None:
    assert pixels("hills", seed=seed).std() > 0.01


def test_retouching_for_night_darkens_but_keeps_the_picture_recognisable() -> None:
    night = np.asarray(retouch(photo(), "make it night", (200, 120), seed=1), np.float32)
    source = np.asarray(photo(), np.float32)
    assert night.mean() < 0.6 * source.mean()
    assert np.corrcoef(night.mean(axis=2).ravel(), source.mean(axis=2).ravel())[0, 1] > 0.5


@pytest.mark.parametrize("wish", ["snow", "sunset", "fog", "rain", "teal", "make it jollier"])
def test_retouching_is_repeatable_fits_the_size_and_changes_the_picture(wish: str) -> None:
    first, again = (retouch(photo(), wish, (90, 90), seed=3) for _ in range(2))
    plain = photo().crop((40, 0, 160, 120)).resize((90, 90))
    assert (first.size, first.mode) == ((90, 90), "RGB")
    assert np.array_equal(np.asarray(first), np.asarray(again))
    assert difference(np.asarray(first, np.float32), np.asarray(plain, np.float32)) > 4


def test_black_and_white_leaves_no_colour() -> None:
    grey = np.asarray(retouch(photo(), "black and white", (64, 64), seed=1))
    assert np.ptp(grey, axis=2).max() == 0


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "LA", "1"])
def test_a_source_of_any_mode_can_be_retouched(mode: str) -> None:
    assert retouch(photo().convert(mode), "fog", (64, 64), seed=1).mode == "RGB"
