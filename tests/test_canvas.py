"""How a picture comes onto the screen: a version for looking at first, the original after it."""

import base64
import time

from playwright.sync_api import Locator, Page, Route, expect

from tests.conftest import RunningApp
from tests.images_server import Gate, Head, ImagesServer, event, picture, plain
from tests.studio import (
    LONG,
    box_of,
    button,
    expect_original,
    expect_screen,
    expect_settled,
    facts,
    generate,
    open_app,
    picture_of,
    shown_bytes,
    thumbnails,
    to_review,
)

ORIGINAL, SCREEN, BLANK = "**/pictures/*", "**/pictures/*/screen", "data:image/svg"
SIZE = (1600, 1200)


def hold(page: Page, addresses: str) -> list[Route]:
    """Keep the page waiting for what is at these addresses, and return what it has asked for."""
    held: list[Route] = []
    page.route(addresses, lambda route: held.append(route))
    return held


def wait_until_asked_for(page: Page, held: list[Route], number: int = 1) -> None:
    until = time.monotonic() + LONG / 1000
    while len(held) < number:
        assert time.monotonic() < until, f"the page has asked for {len(held)}"
        # Playwright takes in what the page asks for only while it is called.
        page.wait_for_timeout(10)


def full_size(page: Page) -> Locator:
    return page.get_by_role("dialog")


def open_full_size(page: Page) -> None:
    picture_of(page).hover()
    button(page, "Full size").click()


def test_a_picture_is_decided_about_before_its_original_is_there(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("large", SIZE)))
    held = hold(page, ORIGINAL)
    open_app(page, api_app)
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    expect(button(page, "Approve")).to_be_enabled()
    expect(picture_of(page)).to_have_js_property("naturalWidth", 1024)
    open_full_size(page)
    expect(full_size(page)).to_contain_text("Preview:")
    wait_until_asked_for(page, held)
    page.unroute(ORIGINAL)
    expect(full_size(page)).not_to_contain_text("Preview:", use_inner_text=True)
    expect(full_size(page).locator("img")).to_have_js_property("naturalWidth", 1600)
    page.keyboard.press("Escape")
    expect(full_size(page)).to_be_hidden()
    expect_screen(page, "2. Review Generated Image")
    assert shown_bytes(page) == base64.b64decode(picture("large", SIZE))


def test_nothing_blinks_from_the_first_draft_to_the_original(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    first, second, last = Gate(), Gate(), Gate()
    drafts = [event("partial_image", picture(f"draft {number}", SIZE)) for number in (1, 2)]
    images_server.script(
        [
            Head(content_type="text/event-stream"),
            *(first, drafts[0], second, drafts[1], last),
            event("completed", picture("end", SIZE)),
        ]
    )
    open_app(page, api_app)
    generate(page, "a fox")
    expect(page.get_by_text("Sketching")).to_be_visible()
    page.evaluate(
        """() => {
            window.seen = [];
            const look = () => {
                const one = document.querySelector("[class*=st-key-canvas] figure > img");
                const behind = one?.parentElement.style.backgroundImage.slice(5) || "a gap";
                const what = (one?.naturalWidth ? one.src : behind).slice(0, 14);
                if (seen.at(-1) !== what) seen.push(what);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    first.set()
    expect(page.get_by_text("First draft")).to_be_visible()
    second.set()
    expect(page.get_by_text("Second draft")).to_be_visible()
    last.set()
    expect_screen(page, "2. Review Generated Image")
    expect_original(page)
    seen = page.evaluate("seen")
    assert seen[0] == BLANK
    assert BLANK not in seen[1:]
    assert "a gap" not in seen
    assert len(seen) == 3, "the place, the drafts, the picture"


def test_what_is_wanted_no_more_leaves_the_line_to_what_is(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one", SIZE)), plain(picture("two", SIZE)))
    held = hold(page, ORIGINAL)
    left: list[str] = []
    page.on("requestfailed", lambda request: left.append(request.url))
    to_review(page, api_app)
    wait_until_asked_for(page, held)
    button(page, "Regenerate").click()
    expect(facts(page)).to_contain_text("Picture 2 ·")
    wait_until_asked_for(page, held, 2)
    assert held[0].request.url in left


def test_another_picture_is_never_on_the_canvas_while_its_own_is_on_its_way(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one", SIZE)), plain(picture("two", SIZE)))
    to_review(page, api_app)
    button(page, "Regenerate").click()
    expect(facts(page)).to_contain_text("Picture 2 ·")
    expect_settled(page)
    page.reload()
    expect_original(page)
    expect_settled(page)
    held = hold(page, SCREEN)
    page.keyboard.press("ArrowLeft")
    expect(facts(page)).to_contain_text("Picture 1 ·")
    wait_until_asked_for(page, held)
    expect(picture_of(page)).to_have_js_property("naturalWidth", 0)
    # Nor behind it, where a draft is until its picture is there.
    behind = "one => getComputedStyle(one.parentElement).backgroundImage"
    assert picture_of(page).evaluate(behind) == "none"
    held[0].continue_()
    assert shown_bytes(page) == base64.b64decode(picture("one", SIZE))


def test_a_picture_whose_version_for_the_screen_is_lost_is_shown_as_it_is(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one", SIZE)))
    page.route(SCREEN, lambda route: route.abort())
    to_review(page, api_app)
    expect_original(page)


def test_a_picture_that_did_not_come_is_asked_for_again(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one", SIZE)))
    lost: set[str] = set()

    def lose_at_first(route: Route) -> None:
        kind = route.request.url.rpartition("/")[2]
        if kind in lost:
            route.continue_()
        else:
            lost.add(kind)
            route.abort()

    page.route(SCREEN, lose_at_first)
    page.route("**/pictures/*/thumbnail", lose_at_first)
    page.route(ORIGINAL, lambda route: route.abort())
    to_review(page, api_app)
    expect(picture_of(page)).to_have_js_property("naturalWidth", 1024)
    expect(thumbnails(page)).to_have_js_property("naturalWidth", 72)
    assert lost == {"screen", "thumbnail"}


def test_on_a_tablet_that_stands_upright_the_picture_has_the_width_beside_the_side_bar(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page.set_viewport_size({"width": 820, "height": 1180})
    open_app(page, api_app)
    # Its words lie over nothing else.
    canvas, words = (box_of(page.locator(one)) for one in (".st-key-canvas-idle", "figcaption"))
    assert canvas["y"] <= words["y"]
    assert words["y"] + words["height"] <= canvas["y"] + canvas["height"]
    images_server.script(plain(picture("one", SIZE)))
    generate(page, "a fox")
    expect_original(page)
    assert box_of(picture_of(page))["width"] > 480


def test_a_picture_is_downloaded_at_the_click_and_not_before(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one", SIZE)))
    to_review(page, api_app)
    expect_original(page)
    page.reload()
    expect_original(page)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    sizes = """() => performance.getEntriesByType("resource")
        .filter((one) => one.name.includes("/media/") && one.initiatorType === "fetch")
        .map((one) => one.encodedBodySize)"""
    page.wait_for_function(f"({sizes})().length > 0")
    assert set(page.evaluate(sizes)) == {0}
    with page.expect_download() as download:
        button(page, "Download PNG").click()
    assert download.value.path().read_bytes() == base64.b64decode(picture("one", SIZE))
