"""What axe finds, and what only a keyboard, a quiet screen or a narrow one shows."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.conftest import RunningApp
from tests.images_server import ImagesServer, picture, plain
from tests.states import BACKGROUNDS, STATES, WINDOWS, state_of
from tests.studio import box_of, button, expect_settled, picture_of, regenerate, to_review


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_for_everyone_in_either_theme_and_any_window(
    page: Page, api_app: RunningApp, images_server: ImagesServer, state: str
) -> None:
    with state_of(state, page, api_app, images_server):
        for scheme, background in BACKGROUNDS.items():
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            expect(page.get_by_test_id("stApp")).to_have_css("background-color", background)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
        for width, height in WINDOWS:
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator("html")).to_have_js_property("clientWidth", width)
            # The side bar takes a moment to fold.
            page.wait_for_function(FITS)


def test_words_stay_readable_while_a_busy_server_takes_its_time(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    held: list[bytes | str] = []
    holding = False
    route: WebSocketRoute

    def hold_what_is_shown(message: bytes | str) -> None:
        kind = ForwardMsg.FromString(message).WhichOneof("type") if holding else ""
        if held or kind in ("delta", "ref_hash"):
            held.append(message)
        else:
            route.send(message)

    def watch(socket: WebSocketRoute) -> None:
        nonlocal route
        route = socket
        socket.connect_to_server().on_message(hold_what_is_shown)

    page.route_web_socket("**/_stcore/stream", watch)
    page.emulate_media(reduced_motion="reduce")
    with state_of("review", page, api_app, images_server):
        holding = True
        page.get_by_role("tab", name="Change this picture").click()
        expect(page.locator("[data-stale=true]").filter(visible=True).first).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        holding = False
        while held:
            route.send(held.pop(0))
        expect(button(page, "Change picture")).to_be_visible()


@pytest.mark.parametrize("state", ["empty", "review", "final"])
def test_whatever_the_tab_key_reaches_shows_that_it_has_the_focus(
    page: Page, api_app: RunningApp, images_server: ImagesServer, state: str
) -> None:
    with state_of(state, page, api_app, images_server):
        page.emulate_media(reduced_motion="reduce")
        reached = set()
        page.get_by_role("link", name="Skip to main content").focus()
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate(FOCUSED)
            if not focused or focused["name"] in reached:
                break
            reached.add(focused["name"])
            clip = focused["clip"]
            seen = page.screenshot(clip=clip)
            page.evaluate("document.activeElement.blur()")
            assert page.screenshot(clip=clip) != seen, focused["name"]
        assert reached >= MUST_REACH[state]


FITS = """() => {
    const main = document.querySelector("[data-testid=stMain]");
    return main.scrollWidth <= main.clientWidth;
}"""
# What has the focus, and the place of it with some room around it.
FOCUSED = """() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    one.scrollIntoView({block: "nearest"});
    const box = one.getBoundingClientRect(), room = 6;
    const x = Math.max(0, box.x - room), y = Math.max(0, box.y - room);
    return {
        name: (one.getAttribute("aria-label") || one.innerText || one.type).split("\\n")[0],
        clip: {x, y, width: box.width + 2 * room, height: box.height + 2 * room},
    };
}"""
MUST_REACH = {
    "empty": {"Prompt", "Generate Image"},
    "review": {"Approve", "Regenerate", "Download PNG", "Edit the prompt", "Generate Image"},
    "final": {"Download PNG", "Back to review", "Start Over"},
}


def test_what_comes_is_said_to_who_cannot_see_it(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one")), plain(picture("two")))
    to_review(page, api_app, "a fox")
    spoken = page.locator("body > [role=status]")
    expect(spoken).to_have_text(re.compile(r"Picture 1: a fox$"))
    regenerate(page, 2)
    expect(spoken).to_have_text("Picture 2: a fox")
    page.keyboard.press("ArrowLeft")
    expect(spoken).to_have_text("Picture 1: a fox")
    button(page, "Approve").click()
    expect(spoken).to_have_text("3. Final Result")
    assert box_of(spoken)["width"] == box_of(spoken)["height"] == 1


def test_nothing_moves_where_a_person_wants_it_quiet(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    running = "document.getAnimations().filter(one => one.playState == 'running').length"
    with state_of("trying-again", page, api_app, images_server):
        assert page.evaluate(running) > 0
        page.emulate_media(reduced_motion="reduce")
        page.wait_for_function(f"{running} === 0")


def test_pictures_are_named_by_their_prompts(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    with state_of("review", page, api_app, images_server):
        expect_settled(page)
        expect(picture_of(page)).to_have_attribute("alt", "A lighthouse by the sea at sunset")
        assert page.locator("img:not([alt]), img[alt='']").count() == 0
