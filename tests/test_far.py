"""What the page keeps where a person is quicker than the line to the server.

A click that leaves before the page hears that a run has ended finds a server which takes for shown
what the page has dropped by then.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import RunningApp
from tests.far import far_line
from tests.images_server import ImagesServer
from tests.sessions import Session
from tests.studio import (
    button,
    choose,
    edit_and_generate,
    edit_box,
    expect_screen,
    expect_selected,
    expect_settled,
    thumbnails,
    to_review,
)
from utils.images.verify import verify

SECONDS = 0.1
CHANGE = "What should be different here?"

# Clicks a button as soon as the page has it, by the page's own clock.
CLICK_ONCE_THERE = """(label) => new Promise((clicked) => {
    const click = () => {
        const buttons = [...document.querySelectorAll("button:enabled")];
        const found = buttons.find((one) => one.innerText.startsWith(label));
        if (!found) return requestAnimationFrame(click);
        found.click();
        clicked();
    };
    click();
})"""


@pytest.fixture(scope="module")
def far_app(api_app: RunningApp) -> Iterator[RunningApp]:
    """The app at the end of a line on which each message takes a while."""
    with far_line(api_app.port, SECONDS) as port:
        yield replace(api_app, address=f"http://127.0.0.1:{port}")


@contextmanager
def busy_with_another(app: RunningApp) -> Iterator[None]:
    """Have somebody else's page run over and over meanwhile."""
    enough = Event()

    async def run() -> None:
        async with Session(app.address) as session:
            while not enough.is_set():
                await session.rerun()

    with ThreadPoolExecutor() as pool:
        running = pool.submit(asyncio.run, run())
        try:
            yield
        finally:
            enough.set()
        running.result()


def back_at_once(page: Page) -> None:
    """Approve, and go back before the page can know that the result is all there."""
    button(page, "Approve").click()
    page.evaluate(CLICK_ONCE_THERE, "Back to review")
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)


def test_settings_are_there_again_after_the_result(
    page: Page, far_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, far_app)
    choose(page, "Quality", "low")
    choose(page, "Pictures at a time", "2")
    back_at_once(page)
    expect(page.get_by_role("combobox", name="Quality")).to_have_value("low")
    expect(page.get_by_role("combobox", name="Pictures at a time")).to_have_value("2")
    button(page, "Regenerate").click()
    expect(thumbnails(page)).to_have_count(3)
    assert [call.wish.get("quality") for call in images_server.calls] == [None, "low", "low"]


def test_a_prompt_is_there_again_after_a_look_at_another_picture(
    page: Page, far_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, far_app, "a fox")
    edit_and_generate(page, "an owl", 2)
    page.keyboard.press("ArrowLeft")
    # Not a wait for something: the next one is to leave when the server has shown the other
    # picture, and the page has not heard of it.
    page.wait_for_timeout(1500 * SECONDS)
    page.keyboard.press("ArrowRight")
    expect_settled(page)
    expect_selected(page, 2)
    expect(edit_box(page)).to_have_value("an owl")


def test_words_for_a_change_are_there_again_after_a_look_at_the_prompt(
    page: Page, far_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, far_app)
    page.get_by_role("tab", name="Change this picture").click()
    box = page.get_by_role("textbox", name=CHANGE)
    box.fill("make it night")
    box.press("Enter")
    expect_settled(page)
    page.get_by_role("tab", name="Edit prompt").click()
    page.get_by_role("tab", name="Change this picture").click()
    expect_settled(page)
    expect(box).to_have_value("make it night")


def test_words_about_a_picture_are_there_again_after_a_look_at_the_review(
    page: Page, far_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, far_app)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    box = page.get_by_role("textbox", name="Alternative text")
    box.fill("A fox in the snow.")
    box.press("Enter")
    expect_settled(page)
    button(page, "Back to review").click()
    page.evaluate(CLICK_ONCE_THERE, "Approve")
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    expect(box).to_have_value("A fox in the snow.")


def test_a_page_lives_on_where_a_picture_comes_back_that_it_was_about_to_forget(
    page: Page, far_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, far_app, "prompt 1")
    for number in range(2, 5):
        edit_and_generate(page, f"prompt {number}", number)
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
        expect_selected(page, 3)
        expect_settled(page)
        page.keyboard.press("ArrowLeft")
        # Not a wait for something: the next key is to leave before the page hears that the run
        # has ended.
        page.wait_for_timeout(1500 * SECONDS)
        page.keyboard.press("4")
        expect_selected(page, 4)
        expect_settled(page)


def test_what_was_chosen_a_moment_ago_is_what_the_viewer_opens_at(
    page: Page, far_app: RunningApp
) -> None:
    to_review(page, far_app)
    edit_and_generate(page, "a fox in the snow", 2)
    expect_settled(page)
    page.keyboard.press("1")
    page.keyboard.press("v")
    expect(page.get_by_role("dialog").locator("section.chosen b")).to_have_text("1")
    page.keyboard.press("Escape")
    expect_settled(page)
    expect_selected(page, 1)


def test_an_archive_comes_however_long_it_takes_on_a_busy_server(
    page: Page, api_app: RunningApp, far_app: RunningApp
) -> None:
    to_review(page, far_app, "a fox")
    edit_and_generate(page, "a fox in the snow", 2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    page.get_by_text("Approved on").click()
    expect(page.get_by_text("Out of 2 pictures")).to_be_visible()
    with busy_with_another(api_app):
        for label in ("Download record", "Download all 2 pictures"):
            with page.expect_download() as download:
                button(page, label).click()
            assert download.value.failure() is None
            assert verify(Path(download.value.path())) == []
