"""One browser, several tabs, and what the server remembers of it."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import RunningApp, run_app, run_changed_app
from tests.images_server import Gate, ImagesServer, error, picture, plain
from tests.studio import (
    button,
    edit_box,
    expect_prompt,
    expect_screen,
    expect_settled,
    facts,
    generate,
    open_app,
    prompt_box,
    shown_bytes,
    to_review,
)
from utils.images.pictures import check_picture
from utils.review.browser import cookie_name


def findable(context: BrowserContext, app: RunningApp) -> list[str]:
    """The prompts of all pictures that a new tab of this browser offers; it shows the oldest."""
    page = context.new_page()
    open_app(page, app)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    button(page, "Start Over").click()
    expect(button(page, "Clear recent pictures")).to_be_visible()
    expect_settled(page)
    thumbnails = page.locator(".st-key-recent img").all()
    found = [str(one.get_attribute("alt")) for one in thumbnails]
    for prompt, one in zip(found, thumbnails, strict=True):
        shown = page.request.get(str(one.evaluate("image => image.src"))).body()
        assert shown == check_picture(base64.b64decode(picture(prompt))).thumbnail
    button(page, "Reopen").last.click()
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    prompt = edit_box(page).input_value()
    assert prompt == found[-1]
    assert shown_bytes(page) == base64.b64decode(picture(prompt))
    return found


def test_two_tabs_with_prompts_of_their_own_lose_neither_picture(
    context: BrowserContext, api_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(hold=gate)
    tabs = {prompt: context.new_page() for prompt in ("a fox", "an owl")}
    for tab in tabs.values():
        open_app(tab, api_app)
    for prompt, tab in tabs.items():
        generate(tab, prompt)
    images_server.wait_for_calls(2)
    gate.set()
    for prompt, tab in tabs.items():
        expect_screen(tab, "2. Review Generated Image")
        expect_prompt(tab, prompt)
        expect_settled(tab)
    for tab in tabs.values():
        tab.reload()
        expect_screen(tab, "2. Review Generated Image")
        expect_settled(tab)
    assert sorted(findable(context, api_app)) == ["a fox", "an owl"]


def test_three_tabs_with_two_rounds_each_lose_none_of_six_pictures(
    context: BrowserContext, api_app: RunningApp, images_server: ImagesServer
) -> None:
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        open_app(tab, api_app)
    for number, tab in enumerate(tabs):
        generate(tab, f"first of {number}")
    for number, tab in enumerate(tabs):
        expect_prompt(tab, f"first of {number}")
        expect_settled(tab)
    for number, tab in enumerate(tabs):
        tab.get_by_role("textbox", name="Edit the prompt").fill(f"second of {number}")
        button(tab, "Generate Image").click()
    for number, tab in enumerate(tabs):
        expect_prompt(tab, f"second of {number}")
        expect_settled(tab)
    for tab in tabs:
        tab.close()
    asked = [f"{which} of {number}" for which in ("first", "second") for number in range(3)]
    assert sorted(findable(context, api_app)) == asked
    assert len(images_server.calls) == 6


@pytest.fixture
def document_status(page: Page, context: BrowserContext) -> Callable[[], int]:
    """What the server answered to the last request for a page; 304 comes from the cache."""
    documents: list[str] = []
    statuses: dict[str, int] = {}

    def note_request(event: dict[str, Any]) -> None:
        if event["type"] == "Document":
            documents.append(event["requestId"])

    def note_answer(event: dict[str, Any]) -> None:
        statuses[event["requestId"]] = event["statusCode"]

    network = context.new_cdp_session(page)
    network.on("Network.requestWillBeSent", note_request)
    network.on("Network.responseReceivedExtraInfo", note_answer)
    network.send("Network.enable")
    return lambda: statuses[documents[-1]]


def test_a_page_from_the_browsers_own_cache_gets_a_cookie_that_counts(
    page: Page,
    context: BrowserContext,
    api_app: RunningApp,
    images_server: ImagesServer,
    document_status: Callable[[], int],
) -> None:
    open_app(page, api_app)
    # What a server that was started anew sees: a cookie that is not of its minting.
    name = cookie_name(api_app.address)
    context.add_cookies([{"name": name, "value": "of.another", "url": api_app.address}])
    open_app(page, api_app)
    assert document_status() == 304
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    page.reload()
    expect_screen(page, "2. Review Generated Image")
    expect_prompt(page, "a fox")


def test_two_copies_of_the_app_on_one_host_name_remember_a_browser_each(
    page: Page, images_server: ImagesServer, api_app: RunningApp, tmp_path: Path
) -> None:
    with run_app(tmp_path / "log", **images_server.environment) as other:
        prompts = {api_app: "a fox", other: "an owl"}
        for app, prompt in prompts.items():
            to_review(page, app, prompt)
        for app, prompt in prompts.items():
            open_app(page, app)
            expect_screen(page, "2. Review Generated Image")
            expect_prompt(page, prompt)


def test_a_key_that_was_typed_goes_along_with_every_try_though_its_page_was_reloaded(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    # Without a key this app has but the demo engine: no OPENAI_BASE_URL is set.
    change = (
        "import utils.images.engines\n"
        f"utils.images.engines.OPENAI_ADDRESS = {images_server.url!r}\n"
    )
    gate = Gate()
    images_server.script([gate, *error(500, None, retry_after="1")], plain(picture("second try")))
    with run_changed_app(tmp_path, change) as app:
        open_app(page, app)
        expect(page.get_by_text("No AI model is at work")).to_be_visible()
        page.get_by_role("textbox", name="Your key").fill("sk-typed")
        prompt_box(page).fill("a fox")
        expect(page.get_by_text("No AI model is at work")).to_be_hidden()
        expect_settled(page)
        button(page, "Generate Image").click()
        images_server.wait_for_calls(1)
        page.reload()
        expect(button(page, "Cancel")).to_be_visible()
        gate.set()
        expect_screen(page, "2. Review Generated Image")
        expect(facts(page)).to_contain_text("gpt-image-2.6-flare")
        expect(facts(page)).to_contain_text("1,010 tokens, about $")
        expect_settled(page)
        assert shown_bytes(page) == base64.b64decode(picture("second try"))
    keys = [call.headers["authorization"] for call in images_server.calls]
    assert keys == ["Bearer sk-typed"] * 2
