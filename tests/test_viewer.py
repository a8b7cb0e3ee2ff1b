"""Looking closer: one picture in the whole window, or two or four beside each other."""

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.conftest import RunningApp
from tests.images_server import ImagesServer, picture, plain
from tests.studio import (
    box_of,
    button,
    edit_box,
    expect_original,
    expect_screen,
    expect_selected,
    expect_settled,
    facts,
    open_app,
    picture_of,
    regenerate,
    shown_bytes,
    thumbnails,
    to_review,
)

SIZE = (1600, 1200)

# Swipes of a finger over a picture, each so many pixels to the right.
SWIPE = """async (image, swipes) => {
    const send = (type, clientX) => {
        const touch = new Touch({identifier: 1, target: image, clientX, clientY: 200});
        const touches = type === "touchstart" ? [touch] : [];
        image.dispatchEvent(new TouchEvent(type, {
            bubbles: true, touches, changedTouches: [touch],
        }));
    };
    for (const across of swipes) {
        send("touchstart", 300);
        send("touchend", 300 + across);
        await new Promise(requestAnimationFrame);
    }
}"""

HOLD_ORIGINALS = """() => {
    const { decode } = HTMLImageElement.prototype;
    const held = new Promise((come) => { window.letOriginalsCome = come; });
    HTMLImageElement.prototype.decode = function () {
        return held.then(() => decode.call(this));
    };
}"""


def viewer(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Look closer")


def panes(page: Page) -> Locator:
    return viewer(page).locator("section:visible")


def chosen(page: Page) -> Locator:
    """The number of the picture that a key would approve."""
    return viewer(page).locator("section.chosen b")


def to_attempts(page: Page, app: RunningApp, server: ImagesServer, count: int) -> None:
    server.script(*[plain(picture(f"attempt {number}", SIZE)) for number in range(1, count + 1)])
    to_review(page, app)
    for number in range(2, count + 1):
        regenerate(page, number)


def width_of(page: Page, pane: int = 0) -> float:
    """How wide a picture is on the screen, in pixels, also where it is cut."""
    return float(
        panes(page).nth(pane).locator("img").evaluate("i => i.getBoundingClientRect().width")
    )


@pytest.mark.parametrize("way", ["click", "key", "button"])
def test_a_picture_fills_the_window_and_then_is_as_large_as_it_is(
    page: Page, api_app: RunningApp, images_server: ImagesServer, way: str
) -> None:
    to_attempts(page, api_app, images_server, 1)
    expect_original(page)
    if way == "click":
        picture_of(page).click()
    elif way == "key":
        page.keyboard.press("z")
    else:
        picture_of(page).hover()
        button(page, "Full size").click()
    expect(panes(page)).to_have_count(1)
    expect(viewer(page)).to_contain_text("Original")
    expect(viewer(page).get_by_text("Numbers and arrows choose")).to_be_hidden()
    expect(panes(page).locator("img")).to_have_js_property("naturalWidth", 1600)
    fits = width_of(page)
    assert 0.75 * 768 < fits * 3 / 4 <= 768
    page.keyboard.press("z")
    assert width_of(page) == pytest.approx(1600)
    page.keyboard.press("z")
    assert width_of(page) == pytest.approx(fits)
    for other in ("g", "d"):
        page.keyboard.press(other)
    page.keyboard.press("Escape")
    expect(viewer(page)).to_be_hidden()
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    assert len(images_server.calls) == 1


def test_what_is_under_the_mouse_stays_there_while_it_grows(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 1)
    page.keyboard.press("z")
    image = panes(page).locator("img")
    before = box_of(image)
    # A quarter from the left and from the top of the picture.
    x, y = before["x"] + before["width"] / 4, before["y"] + before["height"] / 4
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    after = box_of(image)
    assert after["width"] == pytest.approx(2.718 * before["width"], rel=0.01)
    assert (x - after["x"]) / after["width"] == pytest.approx(0.25, abs=0.002)
    assert (y - after["y"]) / after["height"] == pytest.approx(0.25, abs=0.002)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40)
    page.mouse.up()
    moved = box_of(image)
    assert moved["x"] - after["x"] == pytest.approx(60, abs=1)
    assert moved["y"] - after["y"] == pytest.approx(40, abs=1)


def test_the_keyboard_moves_what_is_larger_than_its_room(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    for key in ("z", "+", "+", "+", "+"):
        page.keyboard.press(key)
    expect(viewer(page)).to_have_class("zoomed")
    image = panes(page).locator("img")
    room = box_of(panes(page).locator("> div"))
    before = box_of(image)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    after = box_of(image)
    assert after["x"] == pytest.approx(before["x"] - room["width"] / 8, abs=1)
    assert after["y"] == pytest.approx(before["y"] + room["height"] / 8, abs=1)
    expect(chosen(page)).to_have_text("2")
    page.keyboard.press("ArrowLeft")
    expect(chosen(page)).to_have_text("1")


def test_only_the_left_button_of_a_mouse_moves_and_chooses(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press("c")
    expect(chosen(page)).to_have_text("2")
    other = panes(page).nth(0).locator("img")
    before = other.get_attribute("style")
    place = box_of(other)
    for kind in ("right", "middle"):
        other.click(button=kind)
        page.mouse.move(place["x"] + 150, place["y"] + 90)
    expect(chosen(page)).to_have_text("2")
    assert other.get_attribute("style") == before


def test_two_are_compared_in_the_whole_window_and_move_as_one(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page.set_viewport_size({"width": 1366, "height": 768})
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press("c")
    expect(panes(page)).to_have_count(2)
    left, right = (box_of(panes(page).nth(index)) for index in (0, 1))
    assert left["width"] >= 560
    assert left["width"] == pytest.approx(right["width"], abs=1)
    assert left["x"] + left["width"] <= right["x"]
    expect(chosen(page)).to_have_text("2")
    page.mouse.move(left["x"] + 100, left["y"] + 100)
    page.mouse.wheel(0, -200)
    assert width_of(page, 0) == pytest.approx(width_of(page, 1), abs=1)
    styles = [panes(page).nth(index).locator("img").get_attribute("style") for index in (0, 1)]
    assert styles[0] == styles[1]
    page.keyboard.press("f")
    expect(panes(page)).to_have_count(1)
    place = box_of(panes(page))
    expect(chosen(page)).to_have_text("2")
    page.keyboard.press("f")
    expect(chosen(page)).to_have_text("1")
    expect(panes(page)).to_have_count(1)
    assert box_of(panes(page)) == place


def test_on_a_phone_two_are_one_above_the_other(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    to_attempts(page, api_app, images_server, 2)
    picture_of(page).hover()
    button(page, "Compare").click()
    expect(panes(page)).to_have_count(2)
    upper, lower = (box_of(panes(page).nth(index)) for index in (0, 1))
    assert upper["x"] == lower["x"]
    assert upper["y"] + upper["height"] <= lower["y"]
    assert lower["y"] + lower["height"] <= 844
    for pane in (0, 1):
        assert width_of(page, pane) >= 360


def test_four_are_whole_on_the_smallest_phone(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    to_attempts(page, api_app, images_server, 4)
    page.keyboard.press("v")
    expect(panes(page)).to_have_count(4)
    inside = page.locator("dialog section").locator("canvas, img, button").filter(visible=True)
    edges = [box["x"] + box["width"] for box in map(box_of, inside.all())]
    assert len(edges) == 8
    assert max(edges) <= 320


def test_either_of_two_is_approved_where_they_are_compared(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press("c")
    button(page, "Approve picture 1").click()
    expect_screen(page, "3. Final Result")
    assert shown_bytes(page) == base64.b64decode(picture("attempt 1", SIZE))


def test_of_four_one_is_picked_by_its_number_and_approved_by_a_key(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 5)
    page.keyboard.press("v")
    # The newest beside those before it.
    expect(panes(page)).to_have_count(4)
    expect(chosen(page)).to_have_text("5")
    page.keyboard.press("3")
    expect(panes(page)).to_have_count(4)
    expect(chosen(page)).to_have_text("3")
    page.keyboard.press("a")
    expect_screen(page, "3. Final Result")
    assert shown_bytes(page) == base64.b64decode(picture("attempt 3", SIZE))


def test_the_keys_that_open_it_change_how_many_it_shows(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(*[plain(picture(f"attempt {number}", SIZE)) for number in range(1, 4)])
    to_review(page, api_app)
    expect_settled(page)
    for key in "zcv":
        page.keyboard.press(key)
        expect(panes(page)).to_have_count(1)
    page.keyboard.press("Escape")
    expect(viewer(page)).to_be_hidden()
    regenerate(page, 2)
    regenerate(page, 3)
    page.keyboard.press("z")
    expect(panes(page)).to_have_count(1)
    for key, count in (("c", 2), ("v", 3), ("c", 2)):
        page.keyboard.press(key)
        expect(panes(page)).to_have_count(count)


def test_a_key_tints_what_differs_between_two(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    halves = []
    for colour in ((40, 80, 120), (200, 40, 40)):
        image = Image.new("RGB", SIZE, (40, 80, 120))
        image.paste(colour, (0, 0, SIZE[0] // 4, SIZE[1]))
        out = io.BytesIO()
        image.save(out, "PNG")
        halves.append(plain(base64.b64encode(out.getvalue()).decode()))
    images_server.script(*halves)
    to_review(page, api_app)
    regenerate(page, 2)
    page.keyboard.press("c")
    expect(panes(page)).to_have_count(2)
    canvas = viewer(page).locator("canvas")
    expect(canvas).to_have_count(0)
    page.keyboard.press("t")
    expect(canvas).to_have_count(1)
    tinted = canvas.evaluate(
        """canvas => {
            const { data, width } = canvas.getContext("2d").getImageData(
                0, 0, canvas.width, canvas.height);
            const alpha = [...data].filter((_, at) => at % 4 === 3);
            const first = alpha.filter((one, at) => one && at % width < width / 4).length;
            return [alpha.filter((one) => one).length / alpha.length, first / alpha.length];
        }"""
    )
    assert tinted == [pytest.approx(0.25, abs=0.01), pytest.approx(0.25, abs=0.01)]
    page.keyboard.press("z")
    assert box_of(canvas) == pytest.approx(box_of(viewer(page).locator(".chosen img")), abs=1)
    page.keyboard.press("f")
    expect(canvas).to_have_count(1)
    page.keyboard.press("t")
    expect(canvas).to_have_count(0)


def test_the_keyboard_alone_goes_through_comparison_and_grid_to_an_approval(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 3)
    page.keyboard.press("c")
    expect(panes(page)).to_have_count(2)
    # What has the focus is in the dialog, and Tab goes around in it.
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        focused = page.locator("dialog button:focus")
        if focused.count():
            reached.append(focused.get_attribute("aria-label") or focused.inner_text())
    assert {"One", "Two", "Four", "Flip", "Zoom", "Close"} <= set(reached)
    assert {"Approve picture 2", "Approve picture 3"} <= set(reached)
    page.keyboard.press("4")
    expect(panes(page)).to_have_count(2)
    button(page, "Four").focus()
    page.keyboard.press("Enter")
    expect(panes(page)).to_have_count(3)
    page.keyboard.press("1")
    expect(chosen(page)).to_have_text("1")
    page.keyboard.press("Escape")
    expect_selected(page, 1)
    page.keyboard.press("v")
    button(page, "Approve picture 2").focus()
    page.keyboard.press("Enter")
    expect_screen(page, "3. Final Result")
    assert shown_bytes(page) == base64.b64decode(picture("attempt 2", SIZE))


def test_what_was_looked_at_last_is_under_review_after_it(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 3)
    page.keyboard.press("z")
    page.keyboard.press("ArrowLeft")
    expect(chosen(page)).to_have_text("2")
    page.keyboard.press("Escape")
    expect_selected(page, 2)


def test_an_original_that_is_wanted_no_more_leaves_the_line(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.reload()
    expect_original(page)
    expect_settled(page)
    # The script that looks closer comes last, and puts its dialog on the page.
    expect(page.locator("body > dialog")).to_be_attached()
    # The other one: what is on the canvas may be had from the browser's memory.
    other = thumbnails(page).first
    address = str(other.evaluate("image => image.src")).removesuffix("/thumbnail")
    page.route("**/pictures/*", lambda route: None)
    page.keyboard.press("z")
    expect(panes(page)).to_have_count(1)
    with page.expect_request(address):
        page.keyboard.press("ArrowLeft")
    expect(chosen(page)).to_have_text("1")
    with page.expect_event("requestfailed", lambda request: request.url == address):
        page.keyboard.press("ArrowRight")
    expect(chosen(page)).to_have_text("2")


@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("key", ["z", "c", "v"])
def test_an_original_that_comes_moves_nothing_from_under_the_pointer(
    page: Page, api_app: RunningApp, images_server: ImagesServer, key: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 768})
    to_attempts(page, api_app, images_server, 4)
    page.evaluate(HOLD_ORIGINALS)
    page.keyboard.press(key)
    expect(chosen(page)).to_have_text("4")
    pane = viewer(page).locator("section.chosen")
    expect(pane.get_by_text("Preview: the original is on its way")).to_be_visible()
    before = box_of(pane.locator("button")), box_of(pane.locator("img"))
    page.evaluate("() => letOriginalsCome()")
    expect(pane.get_by_text("Original", exact=True)).to_be_visible()
    assert (box_of(pane.locator("button")), box_of(pane.locator("img"))) == before


def test_the_result_is_looked_at_without_a_way_to_approve_it_again(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    picture_of(page).click()
    expect(panes(page)).to_have_count(1)
    expect(viewer(page).get_by_role("button")).to_have_text(["Zoom", "Close"])
    page.keyboard.press("a")
    button(page, "Close").click()
    expect(viewer(page)).to_be_hidden()
    expect_screen(page, "3. Final Result")


def test_an_approval_that_the_page_does_not_offer_is_none_later_either(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)

    def let_rest(rests: bool) -> None:
        approve = page.locator("[class*=st-key-Approve-] button")
        approve.evaluate("(one, rests) => { one.disabled = rests; }", rests)

    let_rest(True)
    page.keyboard.press("z")
    expect(panes(page)).to_have_count(1)
    expect(viewer(page).get_by_role("button", name="Approve")).to_have_count(0)
    page.keyboard.press("a")
    expect(viewer(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(viewer(page)).to_be_hidden()
    expect_settled(page)
    let_rest(False)
    # It rests by the time that the viewer has closed.
    page.keyboard.press("z")
    let_rest(True)
    page.keyboard.press("a")
    expect(viewer(page)).to_be_hidden()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    let_rest(False)
    expect_settled(page)
    expect_screen(page, "2. Review Generated Image")


@pytest.mark.promise
@pytest.mark.parametrize("delay", [0, 60])
@pytest.mark.parametrize("is_under_review", [True, False])
def test_a_double_click_on_approve_is_one_click_and_presses_nothing_behind_it(
    page: Page,
    api_app: RunningApp,
    images_server: ImagesServer,
    delay: int,
    *,
    is_under_review: bool,
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press("c")
    expect(panes(page)).to_have_count(2)
    if not is_under_review:
        page.keyboard.press("ArrowLeft")
        expect(chosen(page)).to_have_text("1")
    approve = box_of(viewer(page).locator("section.chosen button", has_text="Approve"))
    middle = (approve["x"] + approve["width"] / 2, approve["y"] + approve["height"] / 2)
    button(page, "Generate Image").evaluate(
        """(one, [x, y]) => Object.assign(one.style, {
            position: "fixed", left: `${x - 60}px`, top: `${y - 20}px`, zIndex: 1000000,
        })""",
        list(middle),
    )
    page.mouse.dblclick(*middle, delay=delay)
    expect_screen(page, "3. Final Result")
    expect(facts(page)).to_contain_text("Picture 2" if is_under_review else "Picture 1")
    expect_settled(page)
    assert len(images_server.calls) == 2


@pytest.mark.parametrize("delay", [30, 60])
def test_a_key_that_is_pressed_twice_approves_what_was_chosen(
    page: Page, api_app: RunningApp, images_server: ImagesServer, delay: int
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press("c")
    expect(panes(page)).to_have_count(2)
    page.keyboard.press("ArrowLeft")
    expect(chosen(page)).to_have_text("1")
    # The page shows the other one still when the key comes again.
    for _ in range(2):
        page.keyboard.press("a", delay=delay)
    expect_screen(page, "3. Final Result")
    expect(facts(page)).to_contain_text("Picture 1")


def test_who_does_something_else_before_an_approval_is_taken_has_changed_their_mind(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press("z")
    expect(panes(page)).to_have_count(1)
    expect(viewer(page).get_by_text("Numbers and arrows choose")).to_be_visible()
    # As if the page had not shown this attempt yet.
    approve = page.locator("[class*=st-key-Approve-]").element_handle()
    name = approve.evaluate(
        "(one) => { const name = one.className; one.className = ''; return name; }"
    )
    page.keyboard.press("a")
    expect(viewer(page)).to_be_hidden()
    page.keyboard.press("x")
    approve.evaluate("(one, name) => { one.className = name; }", name)
    page.evaluate("() => new Promise(requestAnimationFrame)")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    expect_settled(page)
    expect_screen(page, "2. Review Generated Image")


@pytest.mark.parametrize("key", ["c", "v", "z"])
def test_a_key_of_the_browsers_own_opens_nothing(
    page: Page, api_app: RunningApp, images_server: ImagesServer, key: str
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press(f"Control+{key}")
    expect(viewer(page)).to_be_hidden()
    page.keyboard.press(key)
    expect(viewer(page)).to_be_visible()


def test_a_quick_hand_that_closes_and_opens_again_sees_the_picture(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    page.keyboard.press("z")
    expect(panes(page)).to_have_count(1)
    page.evaluate(
        """() => {
            const press = (one, key, code) => one.dispatchEvent(
                new KeyboardEvent("keydown", { key, code, bubbles: true }));
            press(document.querySelector("dialog[open]"), "Escape", "Escape");
            press(document.body, "z", "KeyZ");
            return new Promise((go) => setTimeout(go, 50));
        }"""
    )
    expect(viewer(page)).to_be_visible()
    expect(panes(page)).to_have_count(1)


def test_the_keys_are_where_they_are_on_a_layout_without_latin_letters(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    press = """([key, code]) => (document.querySelector("dialog[open]") ?? document.body)
        .dispatchEvent(new KeyboardEvent("keydown", { key, code, bubbles: true }))"""
    page.evaluate(press, ["\u0441", "KeyC"])
    expect(panes(page)).to_have_count(2)
    page.evaluate(press, ["\u0444", "KeyA"])
    expect_screen(page, "3. Final Result")


def test_two_fingers_make_it_larger_and_choose_nothing(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 2)
    picture_of(page).evaluate(
        """(target) => {
            const touches = [0, 1].map((identifier) => new Touch({
                identifier, target, clientX: 100 + 200 * identifier, clientY: 200,
            }));
            const send = (type, touches, changedTouches) => target.dispatchEvent(
                new TouchEvent(type, { bubbles: true, touches, changedTouches }));
            const moved = new Touch({ identifier: 0, target, clientX: 300, clientY: 200 });
            send("touchstart", touches, touches);
            send("touchend", [], [moved]);
        }"""
    )
    expect_settled(page)
    expect_selected(page, 2)
    picture_of(page).evaluate(SWIPE, [120])
    expect_selected(page, 1)


def test_a_finger_swipes_through_the_attempts(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_attempts(page, api_app, images_server, 3)
    for across, number in ((120, 2), (120, 1), (-120, 2), (120, 1)):
        picture_of(page).evaluate(SWIPE, [across])
        expect_selected(page, number)
        expect_settled(page)
    # The second comes before the picture of the first.
    picture_of(page).evaluate(SWIPE, [-120, -120])
    expect_selected(page, 3)


def test_a_letter_in_a_box_opens_nothing(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, api_app)
    page.keyboard.press("z")
    expect(viewer(page)).to_be_hidden()
    to_attempts(page, api_app, images_server, 2)
    edit_box(page).press_sequentially("czv1")
    expect(viewer(page)).to_be_hidden()
    expect_selected(page, 2)
