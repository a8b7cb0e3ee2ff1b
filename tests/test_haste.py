"""What a quick hand does: keys and clicks before the page is there, or just when a picture is."""

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import RunningApp, run_changed_app
from tests.images_server import (
    USAGE,
    Gate,
    Head,
    ImagesServer,
    event,
    picture,
    plain,
)
from tests.stores import wait_until
from tests.studio import (
    LONG,
    box_of,
    button,
    edit_and_generate,
    edit_box,
    expect_listening,
    expect_prompt,
    expect_screen,
    expect_selected,
    expect_settled,
    facts,
    generate,
    open_app,
    picture_of,
    prompt_box,
    regenerate,
    send_by_key,
    shown_bytes,
    sockets_of,
    thumbnails,
    to_review,
)
from utils.images.page import EXAMPLES

# Seconds by which a hand is later than the server's answer; where it is earlier they are negative.
# Without asking for the frame in which the browser sees to it, because that may never come.
NOTE_LOST_FOCUS = """() => {
    const note = () => {
        window.lostFocus = document.activeElement === document.body;
        window.lostFocus || setTimeout(note);
    };
    note();
}"""
MOMENTS = [-0.1, -0.03, 0.0, 0.02, 0.05, 0.1]

SLOW_TO_HEAR = """
import time, utils.jobs.table
watch = utils.jobs.table.watch
def slow_watch(*watched):
    yield from watch(*watched)
    time.sleep(1)
utils.jobs.table.watch = slow_watch
"""

SLOW_TO_KEEP = """
import time, utils.review.choosing
toggled = utils.review.choosing._toggled
def slowly_toggled(*ids):
    time.sleep(1)
    return toggled(*ids)
utils.review.choosing._toggled = slowly_toggled
"""


@pytest.fixture(scope="module")
def slow_app(
    running_images_server: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """An app whose pages take a second to hear of a picture, as on a busy server."""
    folder = tmp_path_factory.mktemp("slow")
    with run_changed_app(folder, SLOW_TO_HEAR, **running_images_server.environment) as app:
        yield app


def test_what_a_person_does_is_done_though_they_click_on_in_the_middle_of_it(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    with run_changed_app(tmp_path, SLOW_TO_KEEP, **images_server.environment) as app:
        to_review(page, app, "a fox")
        regenerate(page, 2)
        button(page, "Keep").click()
        button(page, "Approve").click()
        expect_screen(page, "3. Final Result")
        expect_settled(page)
        button(page, "Back to review").click()
        expect(button(page, "Keep no more")).to_be_visible()


def wait_until_made(app: RunningApp, images_server: ImagesServer, calls: int) -> None:
    """Wait until the app has the picture of the last of so many calls."""
    call = images_server.wait_for_calls(calls, ended=True)[-1]
    until = time.monotonic() + 5
    while f"request={call.headers['x-client-request-id']} who" not in app.log.read_text():
        assert time.monotonic() < until
        time.sleep(0.005)


def click_twice(page: Page, first: str, then: str, wait: float) -> bool:
    """Click two buttons by the page's own clock, which no driver of a browser keeps pace with.

    Return whether the second one was there to be clicked.
    """
    there = page.evaluate(
        """async ([first, then, wait]) => {
            const find = (label) => [...document.querySelectorAll("button:enabled")]
                .find((one) => one.innerText.startsWith(label));
            find(first).click();
            await new Promise((go) => setTimeout(go, wait));
            const second = find(then);
            second?.click();
            return Boolean(second);
        }""",
        [first, then, 1000 * wait],
    )
    return bool(there)


@pytest.mark.promise
def test_a_double_click_on_approve_takes_nothing_back(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app, "a fox")
    place = box_of(button(page, "Approve"))
    middle = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.click(*middle)
    expect(button(page, "Back to review")).to_be_visible()
    assert box_of(button(page, "Back to review"))["x"] < middle[0]
    page.mouse.click(*middle)
    expect_settled(page)
    expect_screen(page, "3. Final Result")
    button(page, "Back to review").click()
    expect_screen(page, "2. Review Generated Image")


def test_esc_in_a_box_leads_out_of_it_and_only_then_cancels(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app, "a fox")
    images_server.script(hold=Gate())
    button(page, "Regenerate").click()
    expect(button(page, "Cancel")).to_be_visible()
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    words = page.get_by_label("Alternative text")
    words.click()
    words.press("Escape")
    expect(words).not_to_be_focused()
    expect(button(page, "Cancel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(button(page, "Cancel")).to_be_hidden()
    expect(page.get_by_text("Cancelled.")).to_be_visible()


def test_a_key_that_is_held_down_decides_once(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("one")), plain(picture("two")))
    to_review(page, api_app, "a fox")
    regenerate(page, 2)
    expect_settled(page)
    # Held down: Playwright says of each further one that it is a repeat. An even number, at the
    # pace of a keyboard, would end as it began.
    for _ in range(6):
        page.keyboard.down("k")
        page.wait_for_timeout(40)
    page.keyboard.up("k")
    expect(button(page, "Keep no more")).to_be_visible()
    expect_settled(page)
    expect(button(page, "Keep no more")).to_be_visible()
    for number in (1, 2):
        page.keyboard.down("ArrowLeft")
        expect_selected(page, number)
        expect_settled(page)


def test_what_is_typed_while_the_page_has_no_server_decides_nothing(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(*(plain(picture(words)) for words in ("one", "two", "three")))
    sockets = sockets_of(page)
    to_review(page, api_app, "a fox")
    box = edit_box(page)
    box.click()
    page.keyboard.press("End")
    # Streamlit closes its boxes for a moment, and the browser takes the focus off this one.
    page.evaluate(NOTE_LOST_FOCUS)
    sockets[-1].close()
    page.wait_for_function("window.lostFocus")
    page.keyboard.press("g")
    expect(box).to_be_enabled()
    page.keyboard.type(" by a gate and a garden")
    expect(box).to_have_value("a fox by a gate and a garden")
    expect_settled(page)
    expect_screen(page, "2. Review Generated Image")
    assert len(images_server.calls) == 1
    # Who has left it decides by keys as ever.
    page.keyboard.press("Escape")
    box.blur()
    expect_settled(page)
    page.keyboard.press("a")
    expect_screen(page, "3. Final Result")


@pytest.mark.parametrize("how", ["click", "key"])
def test_words_that_were_being_typed_as_the_page_lost_its_server_are_sent(
    page: Page, api_app: RunningApp, images_server: ImagesServer, how: str
) -> None:
    images_server.script(plain(picture("one")), plain(picture("two")))
    sockets = sockets_of(page)
    to_review(page, api_app, "a fox")
    page.get_by_role("tab", name="Change this picture").click()
    box = page.get_by_role("textbox", name="What should be different here?")
    box.fill("make it night")
    page.evaluate(NOTE_LOST_FOCUS)
    sockets[-1].close()
    page.wait_for_function("window.lostFocus")
    # An impatient one.
    page.get_by_role("heading", name="2. Review").click()
    expect(box).to_be_enabled()
    expect_settled(page)
    if how == "click":
        button(page, "Change picture").click()
    else:
        page.keyboard.press("Control+Enter")
    expect_selected(page, 2)
    assert b"make it night" in images_server.calls[1].parts["prompt"][0]


@pytest.mark.parametrize("moment", MOMENTS)
def test_esc_while_the_picture_arrives_shows_it_or_says_that_it_is_cancelled(
    page: Page, api_app: RunningApp, images_server: ImagesServer, moment: float
) -> None:
    gate = Gate()
    images_server.script([gate, *plain(picture("end"))])
    open_app(page, api_app)
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    expect(button(page, "Cancel")).to_be_visible()
    expect_listening(page)
    # Not waits for something to happen, but the moment that is tried.
    if moment < 0:
        page.keyboard.press("Escape")
        time.sleep(-moment)
    gate.set()
    if moment >= 0:
        time.sleep(moment)
        page.keyboard.press("Escape")
    expect(button(page, "Cancel")).to_be_hidden()
    expect_settled(page)
    cancelled = page.get_by_role("alert").get_by_text("Cancelled.")
    arrived = page.get_by_role("heading", name="2. Review Generated Image")
    expect(cancelled.or_(arrived)).to_be_visible()
    if arrived.is_visible():
        assert shown_bytes(page) == base64.b64decode(picture("end"))
        expect(cancelled).to_be_hidden()
    else:
        expect(prompt_box(page)).to_have_value("a fox")


def test_esc_before_the_page_has_heard_of_the_picture_shows_it(
    page: Page, slow_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script([gate, *plain(picture("end"))])
    open_app(page, slow_app)
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    expect(button(page, "Cancel")).to_be_visible()
    expect_listening(page)
    gate.set()
    wait_until_made(slow_app, images_server, 1)
    page.keyboard.press("Escape")
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    assert shown_bytes(page) == base64.b64decode(picture("end"))
    expect(page.get_by_text("Cancelled")).to_be_hidden()


def test_start_over_before_the_page_has_heard_of_a_picture_keeps_it(
    page: Page, slow_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(plain(picture("first")), [gate, *plain(picture("second"))])
    to_review(page, slow_app)
    button(page, "Regenerate").click()
    images_server.wait_for_calls(2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect(button(page, "Cancel")).to_be_visible()
    gate.set()
    wait_until_made(slow_app, images_server, 2)
    button(page, "Start Over").click()
    expect_screen(page, "1. Generate Image")
    expect(page.locator(".st-key-recent img")).to_have_count(2)


def test_ctrl_enter_sends_the_change_that_was_typed(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    finish = event("completed", picture("night"), "edit", usage=USAGE)
    images_server.script(
        plain(picture("day")),
        [Head(content_type="text/event-stream"), finish],
        plain(picture("owl")),
    )
    to_review(page, api_app)
    page.get_by_role("tab", name="Change this picture").click()
    change = page.get_by_role("textbox", name="What should be different here?")
    change.fill("make it night")
    send_by_key(page, change, "Change picture")
    expect(facts(page)).to_contain_text("Picture 2 ·")
    expect_settled(page)
    call = images_server.calls[1]
    assert call.path == "/v1/images/edits"
    assert b"make it night" in call.body
    page.get_by_role("tab", name="Edit prompt").click()
    edit_box(page).fill("an owl")
    send_by_key(page, edit_box(page), "Generate Image")
    expect(facts(page)).to_contain_text("Picture 3 ·")
    assert images_server.calls[2].wish["prompt"] == "an owl"
    assert len(images_server.calls) == 3


def test_the_a_key_approves_what_is_on_the_canvas_while_a_draft_of_the_next_is_there(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(
        plain(picture("first")),
        [
            Head(content_type="text/event-stream"),
            event("partial_image", picture("draft")),
            gate,
            event("completed", picture("second"), usage=USAGE),
        ],
    )
    to_review(page, api_app)
    page.keyboard.press("g")
    expect(page.locator(".st-key-wait").get_by_alt_text("Draft")).to_be_visible()
    expect(picture_of(page)).to_have_count(1)
    assert shown_bytes(page) == base64.b64decode(picture("first"))
    page.keyboard.press("a")
    expect_screen(page, "3. Final Result")
    assert shown_bytes(page) == base64.b64decode(picture("first"))
    gate.set()
    expect(page.get_by_text("1 more came after your approval.")).to_be_visible(timeout=LONG)
    expect_settled(page)
    assert shown_bytes(page) == base64.b64decode(picture("first"))
    page.keyboard.press("b")
    expect(thumbnails(page)).to_have_count(2)


def shows_its_own_prompt(page: Page) -> bool:
    """Return whether the picture and the box have the prompt of the picture that the facts name."""
    shown = re.search(r"Picture (\d) ·", facts(page).inner_text())
    assert shown
    prompts = {picture_of(page).get_attribute("alt"), edit_box(page).input_value()}
    return prompts == {f"prompt {shown[1]}"}


def test_arrows_in_quick_succession_leave_each_picture_its_own_prompt(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app, "prompt 1")
    for number in range(2, 6):
        edit_and_generate(page, f"prompt {number}", number)
    for key in ("ArrowLeft", "ArrowRight"):
        for _ in range(8):
            page.keyboard.press(key)
            time.sleep(0.12)
        expect_settled(page)
        # How many steps that was depends on the machine: Streamlit makes one of two presses that
        # wait for a busy session, and the last may be sent just as the one before has ended.
        wait_until(lambda: shows_its_own_prompt(page), LONG / 1000)


def test_an_edited_prompt_outlives_a_look_at_another_picture_and_a_regenerate(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app, "a fox")
    edit_and_generate(page, "an owl", 2)
    edit_box(page).fill("an owl with a hat")
    edit_box(page).blur()
    for key, words in (("1", "a fox"), ("2", "an owl with a hat")):
        page.keyboard.press(key)
        expect(facts(page)).to_contain_text(f"Picture {key} ·")
        expect(edit_box(page)).to_have_value(words)
        expect_settled(page)
    button(page, "Regenerate").click()
    expect(facts(page)).to_contain_text("Picture 3 ·")
    expect(edit_box(page)).to_have_value("an owl with a hat")
    expect_settled(page)
    page.reload()
    expect(edit_box(page)).to_have_value("an owl with a hat")
    expect_settled(page)
    button(page, "Generate Image").click()
    expect(facts(page)).to_contain_text("Picture 4 ·")
    prompts = [call.wish["prompt"] for call in images_server.calls]
    assert prompts == ["a fox", "an owl", "an owl", "an owl with a hat"]


def test_words_of_a_change_belong_to_the_picture_that_they_were_typed_for(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app, "a fox")
    change = page.get_by_role("textbox", name="What should be different here?")
    tab = page.get_by_role("tab", name="Change this picture")
    for prompt, words in (("", "make it night"), ("an owl", "")):
        if prompt:
            button(page, "Start Over").click()
            expect_screen(page, "1. Generate Image")
            expect_settled(page)
            generate(page, prompt)
            expect_prompt(page, prompt)
            expect_settled(page)
        tab.click()
        expect(change).to_be_visible()
        expect_settled(page)
        expect(change).to_have_value("")
        change.press_sequentially(words)
        if words:
            page.reload()
            expect_screen(page, "2. Review Generated Image")
            expect_settled(page)


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_an_example_and_generate_right_after_it_send_that_example(
    page: Page, api_app: RunningApp, images_server: ImagesServer, moment: float
) -> None:
    open_app(page, api_app)
    expect_settled(page)
    assert click_twice(page, EXAMPLES[1], "Generate Image", moment)
    expect_screen(page, "2. Review Generated Image")
    expect_prompt(page, EXAMPLES[1])
    assert [call.wish["prompt"] for call in images_server.calls] == [EXAMPLES[1]]


def test_a_double_click_on_reopen_brings_each_picture_once(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app, "a fox")
    edit_and_generate(page, "an owl", 2)
    for moment in (0.0, 0.02, 0.05, 0.1):
        button(page, "Approve").click()
        expect_screen(page, "3. Final Result")
        expect_settled(page)
        button(page, "Start Over").click()
        expect_screen(page, "1. Generate Image")
        expect_settled(page)
        click_twice(page, "Reopen", "Reopen", moment)
        expect_screen(page, "2. Review Generated Image")
        expect_settled(page)
        expect_prompt(page, "an owl")
        expect(thumbnails(page)).to_have_count(2)


def test_a_paste_that_is_too_long_is_kept_and_counted(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, api_app)
    prompt_box(page).click()
    page.keyboard.insert_text("x" * 40_000)
    button(page, "Generate Image").click()
    too_long = page.get_by_text("The prompt is 8,000 characters too long.")
    expect(too_long).to_be_visible()
    expect(prompt_box(page)).to_have_value("x" * 40_000)
    expect_settled(page)
    page.reload()
    expect(prompt_box(page)).to_have_value("x" * 40_000)
    assert images_server.calls == []


def test_start_over_and_back_to_review_in_one_breath_leave_a_page_that_works(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    click_twice(page, "Start Over", "Back to review", 0)
    expect(button(page, "Back to review")).to_be_hidden()
    expect_settled(page)
    expect(page.get_by_text("Something went wrong")).to_be_hidden()
    generate(page, "an owl")
    expect_prompt(page, "an owl")
