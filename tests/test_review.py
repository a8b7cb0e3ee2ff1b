"""The review: see, compare, steer, decide."""

import base64
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import RunningApp
from tests.images_server import (
    USAGE,
    Gate,
    Head,
    ImagesServer,
    error,
    event,
    picture,
    plain,
)
from tests.studio import (
    box_of,
    button,
    choose,
    edit_and_generate,
    edit_box,
    expect_focus,
    expect_listening,
    expect_prompt,
    expect_screen,
    expect_selected,
    expect_settled,
    generate,
    open_app,
    picture_of,
    prompt_box,
    regenerate,
    send_by_key,
    thumbnails,
    to_review,
)

# Something happens to a page that is hidden, or is not.
HAPPEN = """([hidden, name]) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event(name, { bubbles: true }));
}"""


def select(page: Page, number: int) -> None:
    page.get_by_role("radio", name=str(number)).click()
    expect_selected(page, number)
    expect_settled(page)


def downloaded(page: Page) -> bytes:
    with page.expect_download() as download:
        button(page, "Download").click()
    return Path(download.value.path()).read_bytes()


def data(words: str) -> bytes:
    return base64.b64decode(picture(words))


def test_every_attempt_is_kept_and_any_can_be_looked_at_downloaded_and_approved(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    answers = [plain(picture(words)) for words in ("one", "two", "three")]
    images_server.script(answers[0], answers[1], error(401, "invalid_api_key"), answers[2])
    to_review(page, api_app)
    regenerate(page, 2)
    button(page, "Regenerate").click()
    expect(page.get_by_text("key was not accepted")).to_be_visible()
    regenerate(page, 3)
    expect(thumbnails(page)).to_have_count(3)
    for number, words in ((1, "one"), (3, "three"), (2, "two")):
        select(page, number)
        assert downloaded(page) == data(words)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    assert downloaded(page) == data("two")
    button(page, "Back to review").click()
    expect(thumbnails(page)).to_have_count(3)
    expect_selected(page, 2)


@pytest.mark.promise
def test_a_reload_keeps_strip_selection_and_prompts(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app, "a fox")
    edit_box(page).fill("an owl")
    button(page, "Generate Image").click()
    expect_selected(page, 2)
    expect_settled(page)
    select(page, 1)
    page.reload()
    expect_selected(page, 1)
    expect(thumbnails(page)).to_have_count(2)
    expect_prompt(page, "a fox")
    select(page, 2)
    expect_prompt(page, "an owl")
    assert [call.wish["prompt"] for call in images_server.calls] == ["a fox", "an owl"]


def test_words_outlive_a_reload_while_they_are_being_typed(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, api_app)
    expect_settled(page)
    prompt_box(page).fill("a fox")
    page.reload()
    expect(prompt_box(page)).to_have_value("a fox")
    expect_settled(page)
    button(page, "Generate Image").click()
    expect_selected(page, 1)
    expect_settled(page)
    edit_box(page).fill("a fox in the snow")
    page.reload()
    expect(edit_box(page)).to_have_value("a fox in the snow")
    expect_settled(page)
    change = page.get_by_role("textbox", name="What should be different here?")
    page.get_by_role("tab", name="Change this picture").click()
    change.fill("make it night")
    page.reload()
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    # The reload has closed its tab, and nobody hurries to open it again.
    page.evaluate("performance.now = () => 3_600_000")
    page.get_by_role("tab", name="Change this picture").click()
    expect(change).to_have_value("make it night")
    assert len(images_server.calls) == 1


def test_what_is_being_typed_is_kept_by_whatever_a_browser_says_as_a_page_goes(
    page: Page, api_app: RunningApp
) -> None:
    open_app(page, api_app)
    expect_settled(page)
    prompt_box(page).fill("a fox")
    for going in ("beforeunload", "pagehide", "visibilitychange"):
        page.evaluate(HAPPEN, [True, going])
        assert "a fox" in page.evaluate("sessionStorage.typed")
        # Who is back types on, and nothing older may come over that.
        page.evaluate(HAPPEN, [False, "visibilitychange"])
        assert page.evaluate("sessionStorage.typed") is None


def test_what_is_ready_can_be_approved_while_others_still_come(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    gates = [Gate() for _ in range(3)]
    images_server.script(*[[gate, *plain(picture(str(n)))] for n, gate in enumerate(gates)])
    open_app(page, api_app)
    choose(page, "Pictures at a time", "3")
    generate(page, "a fox")
    expect(page.locator(".st-key-wait").get_by_role("progressbar")).to_have_count(3)
    gates[1].set()
    expect_screen(page, "2. Review Generated Image")
    expect(thumbnails(page)).to_have_count(1)
    expect(page.locator(".st-key-wait").get_by_role("progressbar")).to_have_count(2)
    gates[0].set()
    expect(thumbnails(page)).to_have_count(2)
    expect_selected(page, 1)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    gates[2].set()
    expect(button(page, "Cancel")).to_be_hidden()
    button(page, "Back to review").click()
    expect(thumbnails(page)).to_have_count(3)
    assert len(images_server.calls) == 3


@pytest.mark.promise
def test_of_four_with_one_failing_three_stay_and_one_more_call_brings_the_fourth(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(error(400, "moderation_blocked"))
    open_app(page, api_app)
    choose(page, "Pictures at a time", "4")
    generate(page, "a fox")
    expect(thumbnails(page)).to_have_count(3)
    expect(page.get_by_text("refused this prompt")).to_be_visible()
    expect_settled(page)
    assert len(images_server.calls) == 4
    button(page, "Make the missing 1").click()
    expect(thumbnails(page)).to_have_count(4)
    expect_settled(page)
    expect(page.get_by_text("refused this prompt")).to_be_hidden()
    assert len(images_server.calls) == 5


def test_of_four_with_one_failing_in_passing_only_that_one_is_tried_again(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(error(500, None, retry_after="0.01"))
    open_app(page, api_app)
    choose(page, "Pictures at a time", "4")
    generate(page, "a fox")
    expect(thumbnails(page)).to_have_count(4)
    expect_settled(page)
    ids = [call.headers["x-client-request-id"] for call in images_server.calls]
    assert (len(ids), len(set(ids))) == (5, 4)


def test_four_pictures_are_made_at_once(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(hold=gate)
    open_app(page, api_app)
    choose(page, "Pictures at a time", "4")
    generate(page, "a fox")
    assert not any(call.ended for call in images_server.wait_for_calls(4))
    gate.set()
    expect(thumbnails(page)).to_have_count(4)


def test_cancel_takes_back_what_is_missing_and_keeps_what_is_there(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one")), [Gate()], [Gate()])
    open_app(page, api_app)
    choose(page, "Pictures at a time", "3")
    generate(page, "a fox")
    expect(thumbnails(page)).to_have_count(1)
    button(page, "Cancel").click()
    expect(button(page, "Cancel")).to_be_hidden()
    expect_settled(page)
    expect(thumbnails(page)).to_have_count(1)
    expect(button(page, "Make the missing")).to_be_hidden()
    ended = [call.ended for call in images_server.wait_for_calls(3, ended=True)]
    assert sorted(ended) == ["answered", "client left", "client left"]


@pytest.mark.promise
def test_a_change_sends_the_selected_pictures_own_bytes_as_the_image_of_an_edit(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    finish = event("completed", picture("night"), "edit", usage=USAGE)
    images_server.script(
        plain(picture("one")),
        plain(picture("two")),
        [Head(content_type="text/event-stream"), finish],
    )
    to_review(page, api_app)
    regenerate(page, 2)
    select(page, 1)
    page.get_by_role("tab", name="Change this picture").click()
    page.get_by_role("textbox", name="What should be different here?").fill("make it night")
    button(page, "Change picture").click()
    expect_selected(page, 3)
    expect(page.locator(".st-key-strip")).to_contain_text("3 ✎")
    expect_settled(page)
    call = images_server.calls[2]
    assert call.path == "/v1/images/edits"
    assert b'name="image"; filename="image-1.png"' in call.body
    assert data("one") in call.body
    assert data("two") not in call.body
    assert b"make it night" in call.body
    assert downloaded(page) == data("night")


def test_own_pictures_are_checked_and_used_and_survive_a_reload(
    page: Page, api_app: RunningApp, images_server: ImagesServer, tmp_path: Path
) -> None:
    mine = base64.b64decode(picture("mine", image_format="JPEG"))
    (tmp_path / "mine.jfif").write_bytes(mine)
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    images_server.script(then=plain(picture("end")))
    open_app(page, api_app)
    expect_settled(page)
    page.get_by_text("Use my pictures").click()
    chooser = page.locator("input[type=file]")
    chooser.set_input_files([tmp_path / "mine.jfif", tmp_path / "broken.png"])
    expect(page.get_by_text("Picture 2 is no PNG, JPEG or WebP")).to_be_visible()
    expect(page.get_by_alt_text("mine.jfif")).to_have_count(1)
    page.reload()
    generate(page, "in the style of these")
    expect_screen(page, "2. Review Generated Image")
    (call,) = images_server.calls
    assert call.path == "/v1/images/edits"
    assert mine in call.body


@pytest.mark.promise
def test_everything_is_decided_from_the_keyboard(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    never = Gate()
    answers = [plain(picture(words)) for words in ("one", "two", "three")]
    images_server.script(*answers, [never])
    open_app(page, api_app)
    prompt_box(page).fill("a fox")
    send_by_key(page, prompt_box(page), "Generate Image")
    expect_selected(page, 1)
    expect_settled(page)
    for number in (2, 3):
        page.keyboard.press("g")
        expect_selected(page, number)
        expect_settled(page)
    for key, number in (("ArrowLeft", 2), ("ArrowLeft", 1), ("ArrowRight", 2), ("3", 3), ("1", 1)):
        page.keyboard.press(key)
        expect_selected(page, number)
        expect_settled(page)
    page.keyboard.press("g")
    expect(button(page, "Cancel")).to_be_visible()
    images_server.wait_for_calls(4)
    expect_listening(page)
    page.keyboard.press("Escape")
    expect(button(page, "Cancel")).to_be_hidden()
    expect_settled(page)
    page.keyboard.press("a")
    expect(button(page, "Back to review")).to_be_visible()
    expect_settled(page)
    page.keyboard.press("b")
    expect_screen(page, "2. Review Generated Image")
    assert len(images_server.calls) == 4


def test_keys_decide_again_after_a_choice_from_a_list(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app)
    # On a busy machine the next key comes before the next frame.
    page.evaluate("window.requestAnimationFrame = (draw) => setTimeout(draw, 500)")
    quality = page.get_by_role("combobox", name="Quality")
    quality.focus()
    for leave in ("Enter", "Escape"):
        expect_focus(quality)
        page.keyboard.press("ArrowDown")
        expect(quality).to_have_attribute("aria-expanded", "true")
        page.keyboard.press(leave)
        expect(quality).not_to_be_focused()
        # The next key is for the page, but Tab goes on from where the list is.
        page.keyboard.press("Tab")
    choose(page, "Quality", "low")
    page.keyboard.press("a")
    expect_screen(page, "3. Final Result")


def test_one_key_keeps_and_one_sets_aside(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app)
    for number in (2, 3):
        regenerate(page, number)
    page.keyboard.press("k")
    expect(page.get_by_role("radio")).to_have_text(["1", "2", "3 ★"])
    expect_settled(page)
    page.keyboard.press("1")
    expect_selected(page, 1)
    expect_settled(page)
    page.keyboard.press("x")
    expect(page.get_by_role("radio")).to_have_text(["2", "3 ★", "1"])
    expect(page.locator("[data-aside]")).to_have_count(1)
    expect_selected(page, 1)
    expect_settled(page)
    page.keyboard.press("ArrowRight")
    expect_selected(page, 2)
    expect_settled(page)
    # The viewer passes over it too.
    page.keyboard.press("v")
    expect(page.get_by_role("dialog").locator("section b")).to_have_text(["2", "3"])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect_selected(page, 3)
    expect_settled(page)
    page.reload()
    expect(page.get_by_role("radio")).to_have_text(["2", "3 ★", "1"])
    expect_settled(page)
    page.keyboard.press("1")
    expect_selected(page, 1)
    button(page, "Take back").click()
    expect(page.get_by_role("radio")).to_have_text(["1", "2", "3 ★"])


def test_no_key_decides_while_typing(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app)
    regenerate(page, 2)
    box = edit_box(page)
    box.click()
    page.keyboard.type(" a big green dragon 1 b")
    box.press("ArrowLeft")
    box.press("Escape")
    box.blur()
    expect_settled(page)
    expect_screen(page, "2. Review Generated Image")
    expect_selected(page, 2)
    expect(box).to_have_value("a fox a big green dragon 1 b")
    assert len(images_server.calls) == 2


def test_start_over_is_undone_from_the_recent_pictures_of_this_browser(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one")), plain(picture("two")))
    to_review(page, api_app, "a fox")
    regenerate(page, 2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    button(page, "Start Over").click()
    expect_screen(page, "1. Generate Image")
    recent = page.locator(".st-key-recent img")
    expect(recent).to_have_count(2)
    page.reload()
    expect(recent).to_have_count(2)
    # In a low window one scrolls down to what leads to another screen, which begins at its top.
    page.set_viewport_size({"width": 1366, "height": 420})
    button(page, "Reopen").nth(1).click()
    expect_screen(page, "2. Review Generated Image")
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    expect_prompt(page, "a fox")
    expect_settled(page)
    assert downloaded(page) == data("one")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    button(page, "Start Over").click()
    button(page, "Clear recent pictures").click()
    expect(page.get_by_text("All 2 will be gone for good.")).to_be_visible()
    button(page, "Clear them").click()
    expect(recent).to_have_count(0)
    page.reload()
    expect_screen(page, "1. Generate Image")
    expect_settled(page)
    expect(recent).to_have_count(0)


def bottom(locator: Locator) -> float:
    box = box_of(locator)
    return box["y"] + box["height"]


@pytest.mark.parametrize(
    ("window", "high"),
    [((1366, 768), 600), ((1920, 1080), 880), ((1093, 614), 380), ((683, 384), 200)],
)
def test_the_picture_is_large_while_strip_and_decision_are_in_sight(
    page: Page,
    api_app: RunningApp,
    images_server: ImagesServer,
    window: tuple[int, int],
    high: int,
) -> None:
    page.set_viewport_size({"width": window[0], "height": window[1]})
    images_server.script(then=plain(picture("any", (1024, 1024))))
    to_review(page, api_app, "a long prompt " * 150)
    regenerate(page, 2)
    places = [picture_of(page), *(button(page, name) for name in ("Approve", "Regenerate"))]
    for place in (*places, page.locator(".st-key-strip")):
        assert box_of(place)["y"] >= 0
        assert bottom(place) <= window[1]
    assert box_of(picture_of(page))["height"] >= high
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0


@pytest.mark.parametrize("size", [(1024, 1024), (1536, 1024), (1024, 1536)])
def test_a_picture_of_any_shape_stays_in_its_room(
    page: Page, api_app: RunningApp, images_server: ImagesServer, size: tuple[int, int]
) -> None:
    images_server.script(then=plain(picture("any", size)))
    to_review(page, api_app)
    box, room = box_of(picture_of(page)), box_of(page.locator("[class*='st-key-canvas']"))
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.01)
    assert box["y"] >= room["y"]
    assert bottom(picture_of(page)) <= room["y"] + room["height"]
    assert box["width"] <= room["width"]
    assert room["y"] + room["height"] <= 768


def test_two_figures_select_one_of_many(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, api_app)
    choose(page, "Pictures at a time", "4")
    generate(page, "a fox")
    expect(thumbnails(page)).to_have_count(4)
    expect_settled(page)
    for there in (8, 12):
        button(page, "Regenerate").click()
        expect(thumbnails(page)).to_have_count(there)
        expect_settled(page)
    for keys, number in (("3", 3), ("12", 12), ("1", 1), ("10", 10), ("94", 4)):
        for key in keys:
            page.keyboard.press(key)
        expect_selected(page, number)
        expect_settled(page)
        # Longer than two figures belong together: the time itself is the subject.
        page.wait_for_timeout(850)


def test_on_a_phone_the_order_is_picture_decision_strip(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    to_review(page, api_app)
    regenerate(page, 2)
    assert bottom(picture_of(page)) <= box_of(button(page, "Approve"))["y"]
    assert bottom(button(page, "Approve")) <= box_of(page.locator(".st-key-strip"))["y"]
    width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert width <= 390


def test_after_a_click_on_a_number_the_arrows_go_on_from_there(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(*(plain(picture(one)) for one in ("one", "two", "three")))
    to_review(page, api_app)
    regenerate(page, 2)
    regenerate(page, 3)
    expect_settled(page)
    page.locator(".st-key-strip").get_by_role("radio", name="1").click()
    expect_selected(page, 1)
    expect_settled(page)
    page.keyboard.press("ArrowRight")
    expect_selected(page, 2)


def test_on_a_phone_what_is_waited_for_is_in_sight_and_then_what_has_come(
    phone: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(phone, api_app)
    gate = Gate()
    images_server.script([gate, *plain(picture("two"))])
    make = button(phone, "Generate Image")
    # As far down as it goes on a phone that shows less.
    phone.set_viewport_size({"width": 390, "height": 400})
    make.scroll_into_view_if_needed()
    expect(button(phone, "Approve")).not_to_be_in_viewport()
    make.tap()
    expect(button(phone, "Cancel")).to_be_in_viewport()
    canvas = phone.locator("[class*=st-key-canvas]")
    bottom = canvas.evaluate("(one) => one.getBoundingClientRect().bottom")
    # So far that a little of it is seen.
    phone.evaluate("(by) => document.querySelector('.stMain').scrollBy(0, by)", bottom - 50)
    gate.set()
    expect_selected(phone, 2)
    expect(picture_of(phone)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("words", ["x" * 4000, "a fox and an owl " * 200])
def test_a_long_difference_pushes_nothing_off_the_page(
    page: Page, api_app: RunningApp, images_server: ImagesServer, words: str
) -> None:
    to_review(page, api_app)
    edit_and_generate(page, words, 2)
    expect_settled(page)
    assert box_of(page.locator(".difference"))["height"] <= 7 * 16 + 1
    main = page.locator("[data-testid=stMain]")
    assert main.evaluate("(one) => one.scrollWidth <= one.clientWidth")
