"""Ten things that a person comes for, and what each of them costs in clicks, keys or taps."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, Playwright, expect

from tests.conftest import RunningApp
from tests.images_server import Gate, ImagesServer, error, picture, plain
from tests.states import many_attempts
from tests.studio import (
    button,
    choose,
    edit_box,
    expect_focus,
    expect_listening,
    expect_prompt,
    expect_screen,
    expect_selected,
    expect_settled,
    open_app,
    prompt_box,
    shown_bytes,
    thumbnails,
    to_review,
)
from utils.images.page import INTRODUCTION

Kind = Literal["mouse", "keyboard", "thumb"]


@dataclass
class Hand:
    """A person at the page, and how often they have acted: typing some words counts for nothing."""

    page: Page
    kind: Kind
    acts: int = 0

    def press(self, name: str, key: str = "") -> None:
        """Press a button, by its key where the hand is on the keyboard."""
        expect(button(self.page, name)).to_be_enabled()
        expect_settled(self.page)
        if self.kind == "keyboard" and key:
            self.strike(key)
        else:
            self.touch(button(self.page, name))

    def touch(self, one: Locator) -> None:
        """Click or tap; by keyboard, go there and press Enter."""
        if self.kind == "keyboard":
            self.reach(one)
            self.strike("Enter")
            return
        self.acts += 1
        if self.kind == "thumb":
            one.tap()
        else:
            one.click()

    def reach(self, one: Locator) -> None:
        """Go there by Tab."""
        while not one.evaluate("one => one === document.activeElement"):
            self.strike("Tab")
            assert self.acts < 40

    def strike(self, key: str) -> None:
        """Press a key."""
        self.acts += 1
        self.page.keyboard.press(key)

    def pick(self, number: int) -> None:
        """Put an attempt under review, from the strip or by the figures of its number."""
        if self.kind == "keyboard":
            for figure in str(number):
                self.strike(figure)
        else:
            self.touch(self.page.get_by_role("radio", name=re.compile(rf"^{number}\b")))
        expect_selected(self.page, number)
        expect_settled(self.page)

    def may_have_acted(self, **limits: int) -> None:
        """Hold what was done against the limits, and count anew."""
        assert self.acts <= limits[self.kind]
        self.acts = 0


@pytest.fixture(params=["mouse", "keyboard", "thumb"])
def hand(request: pytest.FixtureRequest, playwright: Playwright) -> Hand:
    """A person; `playwright` is named so that these are known for tests of a browser."""
    page = request.getfixturevalue("phone" if request.param == "thumb" else "page")
    return Hand(page, request.param)


def data(words: str) -> bytes:
    return base64.b64decode(picture(words))


def test_a_first_visit_ends_with_a_picture_that_is_approved_and_downloaded(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    images_server.script(plain(picture("first")))
    open_app(page, api_app)
    expect(page.get_by_text(INTRODUCTION)).to_be_visible()
    if hand.kind == "thumb":
        hand.touch(prompt_box(page))
    expect_focus(prompt_box(page))
    page.keyboard.type("a fox")
    hand.press("Generate Image", "Control+Enter")
    expect_screen(page, "2. Review Generated Image")
    hand.press("Approve", "a")
    expect_screen(page, "3. Final Result")
    with page.expect_download() as download:
        hand.press("Download", "d")
    assert download.value.path().read_bytes() == data("first")
    hand.may_have_acted(mouse=4, keyboard=3, thumb=4)


def test_a_transparent_logo_of_1536x864_is_right_the_first_time(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    images_server.script(plain(picture("logo", (1536, 864))))
    open_app(page, api_app)
    prompt_box(page).fill("a logo")
    if hand.kind == "thumb":
        hand.touch(page.get_by_test_id("stExpandSidebarButton"))
    size = page.get_by_role("combobox", name="Size")
    background = page.get_by_role("combobox", name="Background")
    if hand.kind == "keyboard":
        prompt_box(page).blur()
        hand.reach(size)
        size.press_sequentially("1536x864")
        hand.strike("Enter")
        hand.reach(background)
        page.keyboard.type("tra")
        hand.strike("Enter")
    else:
        hand.touch(size)
        size.fill("1536x864")
        hand.strike("Enter")
        hand.touch(background)
        hand.touch(page.get_by_role("option", name="transparent"))
    expect(background).to_have_value("transparent")
    expect_settled(page)
    if hand.kind == "thumb":
        hand.touch(page.get_by_test_id("stSidebarCollapseButton").get_by_role("button"))
    hand.press("Generate Image", "Control+Enter")
    expect_screen(page, "2. Review Generated Image")
    (call,) = images_server.calls
    assert call.wish["size"] == "1536x864"
    assert call.wish["background"] == "transparent"
    hand.may_have_acted(mouse=5, keyboard=20, thumb=7)


def test_the_best_of_four_is_approved(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    images_server.script(*[plain(picture(f"number {one}")) for one in range(4)])
    open_app(page, api_app)
    if hand.kind == "thumb":
        page.get_by_test_id("stExpandSidebarButton").tap()
    choose(page, "Pictures at a time", "4")
    if hand.kind == "thumb":
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").tap()
    expect(page.get_by_text("Costs about")).to_be_visible()
    prompt_box(page).fill("a fox")
    hand.press("Generate Image", "Control+Enter")
    expect(thumbnails(page)).to_have_count(4)
    hand.pick(3)
    best = shown_bytes(page)
    hand.press("Approve", "a")
    expect_screen(page, "3. Final Result")
    assert shown_bytes(page) == best
    hand.may_have_acted(mouse=3, keyboard=3, thumb=3)


def test_of_two_changes_the_second_is_taken_back(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    images_server.script(*[plain(picture(words)) for words in ("day", "night", "with a moon")])
    to_review(page, api_app, "a fox")
    page.get_by_role("tab", name="Change this picture").click()
    words = page.get_by_role("textbox", name="What should be different here?")
    for number, change in ((2, "make it night"), (3, "add a moon")):
        words.fill(change)
        hand.press("Change picture", "Control+Enter")
        expect_selected(page, number)
        expect_settled(page)
    assert data("night") in images_server.calls[2].body
    hand.may_have_acted(mouse=2, keyboard=2, thumb=2)
    if hand.kind == "keyboard":
        words.blur()
    hand.pick(2)
    assert shown_bytes(page) == data("night")
    hand.may_have_acted(mouse=1, keyboard=1, thumb=1)


def test_own_photos_go_along_where_they_are_seen_and_left_out(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer, tmp_path: Path
) -> None:
    page = hand.page
    for name in ("chair", "table"):
        (tmp_path / f"{name}.png").write_bytes(data(name))
    images_server.script(plain(picture("room")))
    open_app(page, api_app)
    prompt_box(page).fill("a room")
    hand.touch(page.locator("summary", has_text="Use my pictures"))
    page.locator("input[type=file]").set_input_files([*tmp_path.iterdir()])
    for name in ("chair.png", "table.png"):
        expect(page.get_by_alt_text(name)).to_be_visible()
        expect(page.locator(".st-key-along").get_by_text(name)).to_be_visible()
    hand.press("Remove 2")
    expect(page.get_by_role("button", name="Remove")).to_have_count(1)
    kept, left_out = ("chair", "table")
    if page.get_by_alt_text("table.png").count():
        kept, left_out = left_out, kept
    hand.press("Generate Image", "Control+Enter")
    expect_screen(page, "2. Review Generated Image")
    (call,) = images_server.calls
    assert data(kept) in call.body
    assert data(left_out) not in call.body
    expect(page.locator(".st-key-sources img")).to_have_count(1)
    hand.may_have_acted(mouse=3, keyboard=30, thumb=3)


def test_an_edited_prompt_is_sent(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    to_review(page, api_app, "a fox")
    edit_box(page).fill("a fox in the snow")
    hand.press("Generate Image", "Control+Enter")
    expect_selected(page, 2)
    expect_prompt(page, "a fox in the snow")
    hand.may_have_acted(mouse=1, keyboard=1, thumb=1)


def test_mistakes_are_taken_back(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    images_server.script(plain(picture("one")), plain(picture("two")))
    to_review(page, api_app, "a fox")
    button(page, "Regenerate").click()
    expect_selected(page, 2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    hand.press("Back to review", "b")
    expect_screen(page, "2. Review Generated Image")
    hand.may_have_acted(mouse=1, keyboard=1, thumb=1)
    # A new beginning from the middle of a review, and back to all of it.
    hand.press("Start Over")
    expect_screen(page, "1. Generate Image")
    hand.acts = 0
    hand.touch(button(page, "Reopen").first)
    expect_screen(page, "2. Review Generated Image")
    expect(thumbnails(page)).to_have_count(2)
    hand.may_have_acted(mouse=1, keyboard=25, thumb=1)


def test_after_an_error_the_next_try_is_one_act(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    images_server.script(error(400, "moderation_blocked"), plain(picture("better")))
    open_app(page, api_app)
    prompt_box(page).fill("a fox")
    button(page, "Generate Image").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(prompt_box(page)).to_have_value("a fox")
    hand.press("Generate Image", "Control+Enter")
    expect_screen(page, "2. Review Generated Image")
    expect(page.get_by_role("alert")).to_be_hidden()
    hand.may_have_acted(mouse=1, keyboard=1, thumb=1)


def test_a_long_job_is_found_again_and_given_up(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page = hand.page
    images_server.script(hold=Gate())
    open_app(page, api_app)
    prompt_box(page).fill("a fox")
    button(page, "Generate Image").click()
    expect(page.get_by_text("Sketching")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Sketching")).to_be_visible()
    expect(button(page, "Cancel")).to_be_enabled()
    expect_listening(page)
    if hand.kind == "keyboard":
        hand.strike("Escape")
    else:
        hand.touch(button(page, "Cancel"))
    expect(button(page, "Cancel")).to_be_hidden()
    expect(prompt_box(page)).to_have_value("a fox")
    assert len(images_server.calls) == 1
    hand.may_have_acted(mouse=1, keyboard=1, thumb=1)


@pytest.mark.parametrize("hand", ["mouse", "keyboard"], indirect=True)
def test_one_of_twenty_four_is_decided_for(
    hand: Hand, api_app: RunningApp, images_server: ImagesServer
) -> None:
    many_attempts(hand.page, api_app, images_server)
    for number in (17, 4):
        hand.pick(number)
        hand.page.wait_for_timeout(850)
    hand.press("Approve", "a")
    expect_screen(hand.page, "3. Final Result")
    hand.may_have_acted(mouse=3, keyboard=4, thumb=3)
