"""How a test drives the page: by the names that a person sees."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.conftest import RunningApp

LONG = 15_000


def open_app(page: Page, app: RunningApp) -> None:
    page.goto(app.address)
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=LONG)


def prompt_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="prompt")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def picture_of(page: Page) -> Locator:
    """The large picture."""
    return page.locator("[class*='st-key-canvas'] img")


def shown_bytes(page: Page) -> bytes:
    """The bytes behind the large picture."""
    address = str(picture_of(page).evaluate("image => image.src"))
    return page.request.get(address).body()


def shown_prompt(page: Page) -> Locator:
    """The prompt of the picture under review, or of the result."""
    return page.get_by_test_id("stCode")


def facts(page: Page) -> Locator:
    """The line that says which picture this is."""
    return page.get_by_text(re.compile(r"^Picture \d+ · "))


def generate(page: Page, prompt: str) -> None:
    prompt_box(page).fill(prompt)
    button(page, "Generate Image").click()


def expect_screen(page: Page, heading: str, timeout: float = LONG) -> None:
    expect(page.get_by_role("heading", name=heading)).to_be_visible(timeout=timeout)


def expect_settled(page: Page) -> None:
    """Wait until no run is under way."""
    expect(page.get_by_test_id("stApp")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=LONG
    )
    # Code of the page that is still on its way.
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=LONG)


def choose(page: Page, label: str, value: str) -> None:
    """Choose a setting of the side bar."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=value).click()
    expect_settled(page)


def to_review(page: Page, app: RunningApp, prompt: str = "a fox") -> None:
    open_app(page, app)
    generate(page, prompt)
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
