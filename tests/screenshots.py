"""Make the pictures of the documents, and of every state, from the real app."""

import base64
import io
import math
from collections.abc import Iterator
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.agents import ENABLED, Agent, connect
from tests.browser import ARGS, find_system_browser
from tests.conftest import ROOT, RunningApp, run_app
from tests.images_server import ImagesServer
from tests.states import BACKGROUNDS, PROMPT, STATES, WINDOWS, state_of
from tests.studio import (
    box_of,
    button,
    expect_original,
    expect_screen,
    expect_settled,
    open_app,
    open_link,
    picture_of,
    prompt_box,
)
from utils.demo.painter import paint

SCREENS = ROOT / "test-results" / "screens"
FILM = (1200, 720)
FILM_WIDTH = 900
MARKED_STEPS = 48
BANNER = (1280, 320)
BANNER_PAGE = """
<body style="margin: 0; color: #fff; font-family: 'Liberation Serif', Georgia, serif;
             background: url('data:image/png;base64,{picture}')">
<div style="padding: 72px 72px; text-shadow: 0 1px 12px #2a1030aa">
<div style="font-size: 68px; font-weight: 600">Image review</div>
<div style="font-size: 29px; margin-top: 10px">You describe. A model paints. You decide.</div>
</div></body>
"""

TERMINAL = "margin: 48px; background: #151614; color: #d8e6df; font: 20px/1.9 monospace"

Frame = tuple[bytes, int]


def make() -> None:
    """Write the pictures of the README into assets, and every state into test-results/screens."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find_system_browser(), args=ARGS) as browser,
        TemporaryDirectory() as folder,
    ):
        with run_app(Path(folder) / "demo") as app:
            make_banner(browser)
            make_film(browser, app)
            make_marking(browser, app)
        with run_app(Path(folder) / "agents", **ENABLED) as app, connect(app) as agent:
            make_asking(browser, agent)
        with (
            ImagesServer() as server,
            run_app(Path(folder) / "api", **server.environment) as app,
        ):
            make_screens(browser, app, server)


def make_banner(browser: Browser) -> None:
    """Write assets/banner.webp, a wide picture of the demo engine with the name on it."""
    painted = io.BytesIO()
    paint("A lighthouse and a sailboat by the sea at sunset", BANNER, seed=24).save(painted, "PNG")
    page = browser.new_page(viewport={"width": BANNER[0], "height": BANNER[1]})
    page.set_content(BANNER_PAGE.format(picture=base64.b64encode(painted.getvalue()).decode()))
    Image.open(io.BytesIO(page.screenshot())).save(ROOT / "assets/banner.webp", quality=88)
    page.close()


def make_film(browser: Browser, app: RunningApp) -> None:
    """Write assets/journey.webp, the way from a prompt to the approved picture."""
    page = browser.new_page(viewport={"width": FILM[0], "height": FILM[1]})
    write_film("journey", list(film(page, app)))
    page.close()


def write_film(name: str, frames: list[Frame]) -> None:
    """Write a film into assets."""
    pictures = [Image.open(io.BytesIO(frame)).convert("RGB") for frame, _ in frames]
    small = [
        one.resize((FILM_WIDTH, FILM_WIDTH * FILM[1] // FILM[0]), Image.Resampling.LANCZOS)
        for one in pictures
    ]
    small[0].save(
        ROOT / f"assets/{name}.webp",
        save_all=True,
        append_images=small[1:],
        duration=[milliseconds for _, milliseconds in frames],
        loop=0,
        quality=80,
    )


def film(page: Page, app: RunningApp) -> Iterator[Frame]:
    """Go from a prompt to the approved picture; yield what is seen, and for how long (ms)."""
    open_app(page, app)
    expect_settled(page)
    yield page.screenshot(), 1200
    prompt_box(page).click()
    for word in PROMPT.split(" "):
        page.keyboard.type(f"{word} ")
        yield page.screenshot(), 160
    button(page, "Generate Image").click()
    expect(button(page, "Cancel")).to_be_visible()
    while button(page, "Cancel").is_visible():
        yield page.screenshot(), 250
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    yield page.screenshot(), 1500
    page.get_by_role("tab", name="Change this picture").click()
    page.get_by_role("textbox", name="What should be different here?").fill("Make it night")
    yield page.screenshot(), 900
    button(page, "Change picture").click()
    expect(button(page, "Cancel")).to_be_visible()
    while button(page, "Cancel").is_visible():
        yield page.screenshot(), 250
    expect_settled(page)
    yield page.screenshot(), 1500
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect(picture_of(page)).to_be_visible()
    expect_settled(page)
    yield page.screenshot(), 2500


def make_asking(browser: Browser, agent: Agent) -> None:
    """Write assets/asking.webp: a program asks, a person decides, the program has the answer."""
    with browser.new_context(viewport={"width": FILM[0], "height": FILM[1]}) as context:
        write_film("asking", list(film_of_asking(context, agent)))


def film_of_asking(context: BrowserContext, agent: Agent) -> Iterator[Frame]:
    """Show what a program sends and is told, and between it the page of the person."""
    page, person = context.new_page(), context.new_page()
    lines = ['$ agent: interact  prompt = "A city by the water on a starry night", count = 3']
    agent.open().generate("A city by the water on a starry night", count=3)
    yield terminal(page, lines), 1500
    purpose = "The poster of the harbour festival"
    link = agent.ask(purpose)
    lines += [f'$ agent: Ask a person  purpose = "{purpose}"', f"  {link}"]
    yield terminal(page, lines), 1500
    lines += ["$ agent: Wait for the decision", "  …"]
    yield terminal(page, lines), 1200
    open_link(person, link)
    yield person.screenshot(), 2200
    person.get_by_role("radio", name="2", exact=True).click()
    expect(person.get_by_text("Picture 2 ·")).to_be_visible()
    expect_settled(person)
    expect_original(person)
    yield person.screenshot(), 1500
    button(person, "Approve").click()
    expect_screen(person, "3. Final Result")
    expect_settled(person)
    yield person.screenshot(), 1800
    agent.press("Wait for the decision")
    record = agent.record()
    lines[-1] = f"  approved at {record['at']}, out of {len(record['attempts'])}"
    lines += [f"  {text}" for text in agent.texts("text") if text.startswith("SHA-256")]
    yield terminal(page, lines), 3000


def terminal(page: Page, lines: list[str]) -> bytes:
    """Return a picture of a terminal."""
    written = escape("\n".join(lines))
    page.set_content(f'<body style="{TERMINAL}"><pre style="white-space: pre-wrap">{written}</pre>')
    return page.screenshot()


def make_marking(browser: Browser, app: RunningApp) -> None:
    """Write assets/marking.webp: a place that is marked, and the picture with the rest put back."""
    page = browser.new_page(viewport={"width": FILM[0], "height": FILM[1]})
    open_app(page, app)
    prompt_box(page).fill(PROMPT)
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    page.get_by_role("tab", name="Change this picture").click()
    surface = page.get_by_label("Mark the place")
    expect(surface).to_be_visible()
    expect_settled(page)
    page.get_by_role("textbox", name="What should be different here?").fill("A night with stars")
    box = box_of(surface)
    for step in range(MARKED_STEPS + 1):
        turn = math.tau * step / MARKED_STEPS
        x = box["x"] + box["width"] * (0.5 + 0.42 * math.cos(turn))
        y = box["y"] + box["height"] * (0.22 + 0.17 * math.sin(turn))
        page.mouse.move(x, y)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    expect(page.get_by_text("Marked:")).to_be_visible()
    expect_settled(page)
    marked = page.screenshot()
    button(page, "Change picture").click()
    expect(button(page, "Put the rest back")).to_be_visible(timeout=30_000)
    expect_settled(page)
    button(page, "Put the rest back").click()
    expect(page.get_by_text("composed here")).to_be_visible()
    expect_settled(page)
    expect_original(page)
    page.get_by_role("heading", level=1).scroll_into_view_if_needed()
    both = [Image.open(io.BytesIO(one)).convert("RGB") for one in (marked, page.screenshot())]
    page.close()
    sheet = Image.new("RGB", (2 * FILM[0], FILM[1]))
    for number, one in enumerate(both):
        sheet.paste(one, (number * FILM[0], 0))
    sheet.resize((2 * FILM_WIDTH, FILM_WIDTH * FILM[1] // FILM[0])).save(
        ROOT / "assets/marking.webp", quality=80
    )


def make_screens(browser: Browser, app: RunningApp, server: ImagesServer) -> None:
    """Write every state, in both themes and in windows from a phone's to a large screen's."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    for state in STATES:
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        with state_of(state, page, app, server):
            for scheme, background in BACKGROUNDS.items():
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                expect(page.get_by_test_id("stApp")).to_have_css("background-color", background)
                for width, height in WINDOWS:
                    page.set_viewport_size({"width": width, "height": height})
                    # The side bar folds, and pictures are fitted, without a sign of the end.
                    page.wait_for_timeout(400)
                    page.screenshot(path=SCREENS / f"{state}-{scheme}-{width}.png")
        page.close()


if __name__ == "__main__":
    make()
