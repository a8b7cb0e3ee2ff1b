"""Every state that a person can see the page in: for the tests and the pictures of all of them."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from playwright.sync_api import Page, expect

from tests.conftest import RunningApp
from tests.images_server import (
    Answer,
    Gate,
    ImagesServer,
    error,
    event,
    plain,
    stream,
)
from tests.studio import (
    button,
    choose,
    expect_screen,
    expect_settled,
    generate,
    open_app,
    prompt_box,
    regenerate,
    thumbnails,
    to_review,
)
from utils.demo.painter import paint

Scheme = Literal["light", "dark"]
WINDOWS = ((320, 640), (390, 844), (768, 1024), (1366, 768), (1920, 1080))
BACKGROUNDS: dict[Scheme, str] = {"light": "rgb(251, 250, 247)", "dark": "rgb(21, 22, 20)"}
PROMPT = "A lighthouse by the sea at sunset"
LONG_PROMPT = ("A lighthouse on a rock in the sea, with a boat and two gulls, at sunset. " * 28)[
    :2000
]
SCENES = (
    PROMPT,
    "A lighthouse by the sea on a starry night",
    "Snowy mountains above a quiet lake at dawn",
    "A city by the water on a starry night",
    "A sailboat on a misty lake in the morning",
    "Autumn trees on a hill",
)

State = Callable[[Page, RunningApp, ImagesServer], None]


@cache
def scene(number: int, size: tuple[int, int] = (1024, 1024)) -> str:
    """Return a painted picture (base64)."""
    out = io.BytesIO()
    paint(SCENES[number % len(SCENES)], size, seed=number).save(out, "PNG", compress_level=1)
    return base64.b64encode(out.getvalue()).decode()


def answer(number: int) -> Answer:
    return plain(scene(number))


def empty(page: Page, app: RunningApp, server: ImagesServer) -> None:
    open_app(page, app)
    expect_settled(page)


def long_prompt(page: Page, app: RunningApp, server: ImagesServer) -> None:
    empty(page, app, server)
    prompt_box(page).fill(LONG_PROMPT)
    prompt_box(page).blur()
    expect(page.get_by_text("Or start from one of these")).to_be_hidden()
    expect_settled(page)


def own_pictures(page: Page, app: RunningApp, server: ImagesServer) -> None:
    empty(page, app, server)
    page.get_by_text("Use my pictures").click()
    with TemporaryDirectory() as folder:
        mine = Path(folder) / "mine.png"
        mine.write_bytes(base64.b64decode(scene(2)))
        page.locator("input[type=file]").set_input_files(mine)
        expect(page.get_by_alt_text("mine.png")).to_be_visible()
    expect_settled(page)


def lasting_error(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(error(401, "invalid_api_key", x_request_id="req_123"))
    empty(page, app, server)
    generate(page, PROMPT)
    expect(page.get_by_text("key was not accepted")).to_be_visible()
    expect_settled(page)


def waiting(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(hold=Gate())
    empty(page, app, server)
    generate(page, PROMPT)
    expect(page.get_by_text("Sketching")).to_be_visible()


def trying_again(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(error(429, "rate_limit_exceeded", retry_after="60"))
    empty(page, app, server)
    generate(page, PROMPT)
    expect(page.get_by_text(re.compile("next try in"))).to_be_visible()


def draft(page: Page, app: RunningApp, server: ImagesServer) -> None:
    begun = [*stream(scene(0), [scene(0, (256, 256))])][:2]
    server.script([*begun, Gate(), event("completed", scene(0))])
    empty(page, app, server)
    generate(page, PROMPT)
    expect(page.get_by_text("First draft")).to_be_visible()


def review(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(*[answer(number) for number in range(8)])
    to_review(page, app, PROMPT)


def review_of_a_long_prompt(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(answer(0))
    to_review(page, app, LONG_PROMPT)


def review_waiting(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(answer(0), [Gate()])
    to_review(page, app, PROMPT)
    button(page, "Regenerate").click()
    expect(page.get_by_text("Sketching")).to_be_visible()


def review_error(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(answer(0), answer(1), answer(2), error(400, "moderation_blocked"))
    empty(page, app, server)
    choose(page, "Pictures at a time", "4")
    generate(page, PROMPT)
    expect(button(page, "Make the missing 1")).to_be_visible(timeout=15_000)
    expect_settled(page)


def change(page: Page, app: RunningApp, server: ImagesServer) -> None:
    review(page, app, server)
    page.get_by_role("tab", name="Change this picture").click()
    expect(button(page, "Change picture")).to_be_visible()
    expect_settled(page)


def comparison(page: Page, app: RunningApp, server: ImagesServer) -> None:
    review(page, app, server)
    button(page, "Regenerate").click()
    expect(thumbnails(page)).to_have_count(2)
    expect_settled(page)
    page.keyboard.press("c")
    expect(page.get_by_role("dialog").locator("img")).to_have_count(2)


def grid(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(*[answer(number) for number in range(4)])
    empty(page, app, server)
    choose(page, "Pictures at a time", "4")
    generate(page, PROMPT)
    expect(thumbnails(page)).to_have_count(4, timeout=15_000)
    expect_settled(page)
    page.keyboard.press("v")
    expect(page.get_by_role("dialog").locator("img")).to_have_count(4)


def many_attempts(page: Page, app: RunningApp, server: ImagesServer) -> None:
    server.script(*[plain(scene(number, (320, 320))) for number in range(24)])
    empty(page, app, server)
    choose(page, "Pictures at a time", "4")
    generate(page, PROMPT)
    for there in range(4, 25, 4):
        expect(thumbnails(page)).to_have_count(there, timeout=15_000)
        expect_settled(page)
        if there < 24:
            button(page, "Regenerate").click()


def final(page: Page, app: RunningApp, server: ImagesServer) -> None:
    review(page, app, server)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)


def record(page: Page, app: RunningApp, server: ImagesServer) -> None:
    review(page, app, server)
    server.script(answer(1))
    regenerate(page, 2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    page.get_by_text("Approved on").click()
    expect(button(page, "Download record")).to_be_visible()
    expect_settled(page)


def recent(page: Page, app: RunningApp, server: ImagesServer) -> None:
    final(page, app, server)
    button(page, "Start Over").click()
    expect(button(page, "Clear recent pictures")).to_be_visible()
    expect_settled(page)


STATES: dict[str, State] = {
    "empty": empty,
    "long-prompt": long_prompt,
    "own-pictures": own_pictures,
    "error": lasting_error,
    "waiting": waiting,
    "trying-again": trying_again,
    "draft": draft,
    "review": review,
    "review-long-prompt": review_of_a_long_prompt,
    "review-waiting": review_waiting,
    "review-error": review_error,
    "change": change,
    "comparison": comparison,
    "grid": grid,
    "many-attempts": many_attempts,
    "final": final,
    "record": record,
    "recent": recent,
}


@contextmanager
def state_of(name: str, page: Page, app: RunningApp, server: ImagesServer) -> Iterator[None]:
    """Bring the page into a state, and leave no call behind that would take another's answer."""
    server.script()
    STATES[name](page, app, server)
    yield
    if button(page, "Cancel").is_visible():
        button(page, "Cancel").click()
        expect(button(page, "Cancel")).to_be_hidden()
