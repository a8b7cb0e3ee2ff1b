"""Marking the place of a change, as a hand does it in a browser."""

import io
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import CDPSession, Locator, Page, WebSocket, expect
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.conftest import RunningApp
from tests.images_server import Gate, ImagesServer, error, json_answer, picture, plain
from tests.studio import (
    LONG,
    box_of,
    button,
    expect_original,
    expect_screen,
    expect_selected,
    expect_settled,
    picture_of,
    shown_bytes,
    sockets_of,
    thumbnails,
    to_review,
)
from utils.images.pictures import decode
from utils.marks.strokes import brush

SIZE = (1600, 1200)
PLACES = [(0.2, 0.2), (0.3, 0.5), (0.6, 0.5)]
WINDOWS = {"laptop": (1366, 768), "zoomed": (683, 384), "phone": (390, 844)}
WORDS = "What should be different here?"
CONNECTED = ("data-test-connection-state", "CONNECTED")


def surface(page: Page) -> Locator:
    return page.get_by_label("Mark the place")


def to_marking(page: Page, app: RunningApp, server: ImagesServer, *answers: str) -> None:
    server.script(*[plain(picture(words, SIZE)) for words in ("first", *answers)])
    to_review(page, app, "a fox")
    open_tab(page)


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Change this picture").click()
    expect(surface(page)).to_be_visible()
    expect_settled(page)


def on_screen(page: Page, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of the window, of places as shares of the picture's width and height."""
    surface(page).scroll_into_view_if_needed()
    box = box_of(surface(page))
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]


def draw(page: Page, places: Sequence[tuple[float, float]]) -> None:
    """Draw by mouse."""
    first, *others = on_screen(page, places)
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
    expect_settled(page)


def draw_by_finger(page: Page, places: Sequence[tuple[float, float]]) -> None:
    """Draw as a touch screen reports it."""
    touch: CDPSession = page.context.new_cdp_session(page)
    points = on_screen(page, places)
    for kind, (x, y) in zip(["touchStart", *["touchMove"] * len(points)], points, strict=False):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect_settled(page)


def send(page: Page, words: str = "a bird") -> None:
    page.get_by_role("textbox", name=WORDS).fill(words)
    button(page, "Change picture").click()


def marked_at(sheet: bytes) -> Callable[[float, float], bool]:
    """Whether a markup, which must have the picture's size, is drawn on near a place."""
    opened = Image.open(io.BytesIO(sheet))
    assert (opened.format, opened.size) == ("PNG", SIZE)
    alpha = np.asarray(opened)[..., 3]
    return lambda x, y: bool(alpha[round(y * (SIZE[1] - 1)), round(x * (SIZE[0] - 1))])


def strokes_are_where_they_were_drawn(sheet: bytes, places: Sequence[tuple[float, float]]) -> None:
    """Hold the edges of a horizontal stroke against where they must be, by two pixels."""
    is_marked = marked_at(sheet)
    half = brush(SIZE) / 2
    for x, y in places:
        assert is_marked(x, y)
    (x0, y), (x1, _) = places[1], places[2]
    middle = (x0 + x1) / 2
    for side in (-1, 1):
        assert is_marked(middle, y + side * (half - 3) / SIZE[1])
        assert not is_marked(middle, y + side * (half + 3) / SIZE[1])


@pytest.mark.parametrize("window", WINDOWS)
def test_what_is_drawn_by_mouse_arrives_where_it_was_drawn(
    page: Page, api_app: RunningApp, images_server: ImagesServer, window: str
) -> None:
    width, height = WINDOWS[window]
    page.set_viewport_size({"width": width, "height": height})
    to_marking(page, api_app, images_server, "second")
    assert box_of(surface(page)) == pytest.approx(box_of(picture_of(page)), abs=1)
    # The corner is the picture's, too.
    surface(page).hover()
    expect(page.locator("figure nav")).to_be_hidden()
    draw(page, PLACES)
    expect(page.get_by_text(re.compile(r"^Marked: .*left.*% of the picture"))).to_be_visible()
    send(page)
    expect_selected(page, 2)
    parts = images_server.calls[1].parts
    assert parts["image"] == [decode(picture("first", SIZE))]
    assert parts["prompt"] == [b"a bird"]
    strokes_are_where_they_were_drawn(parts["markup"][0], PLACES)


def test_what_a_finger_draws_is_no_swipe_and_arrives_where_it_was_drawn(
    phone: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(phone, api_app, images_server, "second", "third")
    button(phone, "Regenerate").tap()
    expect_selected(phone, 2)
    expect_settled(phone)
    phone.evaluate("scrollTo(0, 0)")
    # So far to one side, and no further down, as who swipes.
    places = [(0.15, 0.5), (0.3, 0.5), (0.85, 0.5)]
    draw_by_finger(phone, places)
    expect(phone.get_by_text(re.compile("^Marked: "))).to_be_visible()
    expect_selected(phone, 2)
    send(phone)
    expect_selected(phone, 3)
    strokes_are_where_they_were_drawn(images_server.calls[2].parts["markup"][0], places)


def test_a_stroke_is_one_fingers_and_none_that_is_broken_off(
    phone: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(phone, api_app, images_server)
    touch: CDPSession = phone.context.new_cdp_session(phone)
    first, second, third = on_screen(phone, PLACES)

    def tell(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    lines = surface(phone).locator("polyline")
    tell("touchStart", first)
    tell("touchMove", second)
    expect(lines).to_have_count(1)
    tell("touchCancel")
    expect(lines).to_have_count(0)
    tell("touchStart", first)
    tell("touchMove", second)
    drawn = lines.get_attribute("points")
    tell("touchStart", second, third)
    tell("touchMove", second, first)
    expect(lines).to_have_attribute("points", drawn or "")
    tell("touchEnd")
    expect(phone.get_by_text(re.compile("^Marked: "))).to_be_visible()
    expect(lines).to_have_count(1)


def test_drawing_sends_nothing_until_a_stroke_ends_and_then_one_message(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    sent: list[str] = []

    def note(frame: bytes | str) -> None:
        if isinstance(frame, bytes):
            sent.append(str(BackMsg.FromString(frame).WhichOneof("type")))

    def watch(socket: WebSocket) -> None:
        socket.on("framesent", note)

    page.on("websocket", watch)
    to_marking(page, api_app, images_server)
    sent.clear()
    points = on_screen(page, PLACES)
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=30)
    expect(surface(page).locator("polyline")).to_have_count(1)
    assert not sent
    page.mouse.up()
    expect(page.get_by_text(re.compile("^Marked: "))).to_be_visible()
    expect_settled(page)
    assert sent.count("rerun_script") == 1


def test_the_keyboard_marks_fields(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server, "second", "third")
    button(page, "Regenerate").click()
    expect_selected(page, 2)
    expect_settled(page)
    surface(page).focus()
    page.keyboard.press("9")
    expect(page.get_by_text("Marked: lower right,")).to_be_visible()
    # It marks a field, and chooses no picture of that number.
    page.keyboard.press("1")
    expect(page.get_by_text("Marked: upper left and lower right,")).to_be_visible()
    expect_selected(page, 2)
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Marked: lower right,")).to_be_visible()
    # By name, for voice control; and the same again takes it back.
    button(page, "Mark the upper left").click()
    expect(page.get_by_text("Marked: upper left and lower right,")).to_be_visible()
    button(page, "Mark the lower right").click()
    expect(page.get_by_text("Marked: upper left,")).to_be_visible()
    expect(button(page, "Mark the upper left")).to_have_attribute("aria-pressed", "true")
    expect(button(page, "Mark the lower right")).to_have_attribute("aria-pressed", "false")
    expect_settled(page)
    send(page)
    expect_selected(page, 3)
    is_marked = marked_at(images_server.calls[2].parts["markup"][0])
    assert is_marked(0.2, 1 / 3)
    assert not is_marked(0.9, 0.9)


def test_who_draws_by_mouse_chooses_by_figures_as_elsewhere(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server, "second")
    button(page, "Regenerate").click()
    expect_selected(page, 2)
    expect_settled(page)
    draw(page, PLACES)
    expect(page.get_by_text(re.compile("^Marked: "))).to_be_visible()
    page.keyboard.press("1")
    expect_selected(page, 1)
    expect_settled(page)
    page.keyboard.press("2")
    expect_selected(page, 2)
    expect(surface(page).locator("polyline")).to_have_count(1)


def test_strokes_outlive_a_reload_a_failed_try_and_another_tab(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server)
    draw(page, PLACES)
    draw(page, [(0.7, 0.1), (0.8, 0.1)])
    lines = surface(page).locator("polyline")
    expect(lines).to_have_count(2)
    page.reload()
    expect_screen(page, "2. Review Generated Image")
    open_tab(page)
    expect(lines).to_have_count(2)
    refusal = {"message": "Unknown parameter: 'markup'.", "param": "markup"}
    images_server.script(
        json_answer({"error": refusal}, 400), plain(picture("whole", SIZE)), hold=Gate()
    )
    send(page)
    expect(page.get_by_text("would not take the mark")).to_be_visible()
    expect_settled(page)
    expect(lines).to_have_count(2)
    assert len(images_server.calls) == 1
    other = page.context.new_page()
    other.goto(api_app.address)
    expect_screen(other, "2. Review Generated Image")
    expect_settled(other)
    open_tab(other)
    expect(surface(other).locator("polyline")).to_have_count(2)
    button(page, "Undo").click()
    expect(lines).to_have_count(1)
    button(page, "Clear").click()
    expect(lines).to_have_count(0)
    expect(page.get_by_text("Nothing is marked.")).to_be_visible()
    expect(button(page, "Clear")).to_be_disabled()
    # Each step is taken back, the last first, by the keys of everywhere too.
    button(page, "Undo").click()
    expect(lines).to_have_count(1)
    surface(page).press("ControlOrMeta+z")
    expect(lines).to_have_count(0)
    expect(page.get_by_role("textbox", name="What should be different")).to_have_value("a bird")


def test_what_is_drawn_while_the_line_is_away_is_heard_once_it_is_back(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    sockets = sockets_of(page)
    to_marking(page, api_app, images_server)
    page.context.set_offline(True)
    sockets[-1].close()
    expect(page.get_by_test_id("stApp")).not_to_have_attribute(*CONNECTED)
    first, *others = on_screen(page, PLACES)
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point)
    page.mouse.up()
    page.context.set_offline(False)
    expect(page.get_by_text("Marked: ")).to_be_visible(timeout=LONG)
    page.reload()
    expect_screen(page, "2. Review Generated Image")
    open_tab(page)
    expect(surface(page).locator("polyline")).to_have_count(1)


def test_a_stroke_is_kept_as_far_as_it_was_drawn_when_another_picture_comes(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server)
    gate = Gate()
    images_server.script([gate, *plain(picture("second", SIZE))])
    button(page, "Regenerate").click()
    images_server.wait_for_calls(1)
    first, *others = on_screen(page, PLACES)
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point, steps=8)
    gate.set()
    expect_selected(page, 2)
    page.mouse.up()
    expect_settled(page)
    expect(surface(page).locator("polyline")).to_have_count(0)
    page.keyboard.press("1")
    expect_selected(page, 1)
    expect(surface(page).locator("polyline")).to_have_count(1)
    expect(page.get_by_text("Marked: ")).to_be_visible()


def test_cancel_in_between_loses_and_doubles_nothing(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server)
    draw(page, PLACES)
    images_server.script([Gate()], plain(picture("second", SIZE)))
    send(page)
    images_server.wait_for_calls(1)
    button(page, "Cancel").click()
    expect(button(page, "Cancel")).to_be_hidden()
    expect_settled(page)
    expect(surface(page).locator("polyline")).to_have_count(1)
    button(page, "Change picture").dblclick()
    expect_selected(page, 2)
    first, second = (call.parts["markup"] for call in images_server.calls)
    assert first == second


def test_what_is_tried_again_by_itself_has_the_same_mark(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server)
    draw(page, PLACES)
    images_server.script(error(500, None), plain(picture("second", SIZE)))
    send(page)
    expect_screen(page, "2. Review Generated Image")
    expect(page.get_by_text("outside your mark changed")).to_be_visible(timeout=LONG)
    first, second = (call.parts["markup"] for call in images_server.calls)
    assert first == second
    expect(thumbnails(page)).to_have_count(2)


def test_each_attempt_has_its_own_mark_and_other_tabs_of_the_page_have_no_surface(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server, "second")
    draw(page, PLACES)
    button(page, "Regenerate").click()
    expect_selected(page, 2)
    expect_settled(page)
    lines = surface(page).locator("polyline")
    expect(surface(page)).to_be_visible()
    expect(lines).to_have_count(0)
    surface(page).blur()
    page.keyboard.press("ArrowLeft")
    expect_selected(page, 1)
    expect(lines).to_have_count(1)
    expect_settled(page)
    page.get_by_role("tab", name="Edit prompt").click()
    expect(surface(page)).to_be_hidden()
    expect_settled(page)
    expect_original(page)
    picture_of(page).click()
    expect(page.get_by_role("dialog", name="Look closer")).to_be_visible()


def test_the_rest_is_put_back_at_once_for_nothing_and_once(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server, "second")
    draw(page, [(0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.4), (0.1, 0.11)])
    send(page)
    expect_selected(page, 2)
    expect(page.get_by_text("100 % outside your mark changed")).to_be_visible()
    expect_settled(page)
    button(page, "Put the rest back").dblclick()
    expect_selected(page, 3)
    expect(page.get_by_text("composed here")).to_be_visible()
    expect_settled(page)
    expect(thumbnails(page)).to_have_count(3)
    back, old, new = (
        np.asarray(Image.open(io.BytesIO(data)))
        for data in (shown_bytes(page), *(decode(picture(w, SIZE)) for w in ("first", "second")))
    )
    assert (back[700:, :] == old[700:, :]).all()
    assert (back[250:400, 300:500] == new[250:400, 300:500]).all()
    assert len(images_server.calls) == 2
    # What the model has made stands beside it, untouched.
    page.keyboard.press("2")
    expect_selected(page, 2)
    assert shown_bytes(page) == decode(picture("second", SIZE))


def test_what_an_attempt_comes_from_is_said_word_by_word(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_marking(page, api_app, images_server, "second")
    send(page, "make it <b>night</b>")
    expect_selected(page, 2)
    difference = page.locator(".difference")
    expect(difference).to_have_text("From picture 1: a fox. make it <b>night</b>")
    expect(difference.locator("ins")).to_have_text("make it <b>night</b>")
