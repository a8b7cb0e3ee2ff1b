"""The wait: one click is one paid call, whatever is clicked, reloaded or lost meanwhile."""

import base64
import signal
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    FloatRect,
    Locator,
    Page,
    Route,
    expect,
)

from tests.conftest import RunningApp, run_app
from tests.images_server import (
    USAGE,
    Answer,
    Drop,
    Gate,
    Head,
    ImagesServer,
    error,
    event,
    picture,
    plain,
)
from tests.studio import (
    button,
    choose,
    expect_screen,
    expect_settled,
    facts,
    generate,
    open_app,
    picture_of,
    prompt_box,
    send_by_key,
    shown_bytes,
    sockets_of,
    thumbnails,
)

STREAM = Head(content_type="text/event-stream")
RATE_LIMIT = error(429, "rate_limit_exceeded", retry_after="60")


def finish(image: str) -> bytes:
    return event("completed", image, usage=USAGE)


def held(gate: Gate, image: str) -> Answer:
    """A stream that brings a first draft, and the rest when the gate opens."""
    return [STREAM, event("partial_image", picture("draft")), gate, finish(image)]


def click_often(page: Page, target: Locator, times: int) -> None:
    """Click where the target is, as a hand does: whatever is there by then."""
    box = target.bounding_box()
    assert box
    for _ in range(times):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def expect_one_call_and_its_picture(page: Page, images_server: ImagesServer, image: str) -> None:
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    assert len(images_server.calls) == 1
    assert shown_bytes(page) == base64.b64decode(image)


def wait_view(page: Page) -> Locator:
    return page.locator(".st-key-wait")


@pytest.fixture
def gate(images_server: ImagesServer) -> Gate:
    """What the next call waits for; it brings its first draft before."""
    gate = Gate()
    images_server.script(held(gate, picture("end")))
    return gate


@pytest.mark.promise
def test_five_clicks_in_a_second_are_one_call(
    page: Page, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    open_app(page, api_app)
    prompt_box(page).fill("a fox")
    click_often(page, button(page, "Generate Image"), 5)
    expect(button(page, "Cancel")).to_be_visible()
    gate.set()
    expect_one_call_and_its_picture(page, images_server, picture("end"))
    assert images_server.calls[0].wish["prompt"] == "a fox"


@pytest.mark.promise
def test_three_clicks_on_regenerate_are_one_call(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(plain(picture("first")), held(gate, picture("end")))
    open_app(page, api_app)
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    click_often(page, button(page, "Regenerate"), 3)
    images_server.wait_for_calls(2)
    gate.set()
    expect(button(page, "Regenerate")).to_be_enabled()
    expect_settled(page)
    assert len(images_server.calls) == 2


@pytest.mark.promise
def test_enter_and_a_click_are_one_call(
    page: Page, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    open_app(page, api_app)
    prompt_box(page).fill("a fox")
    send_by_key(page, prompt_box(page), "Generate Image")
    button(page, "Generate Image").focus()
    page.keyboard.press("Enter")
    click_often(page, button(page, "Generate Image"), 1)
    expect(button(page, "Cancel")).to_be_visible()
    gate.set()
    expect_one_call_and_its_picture(page, images_server, picture("end"))


def test_the_r_key_joins_the_run(
    page: Page, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    open_app(page, api_app)
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    page.locator("body").press("r")
    page.locator("body").press("r")
    expect(wait_view(page)).to_contain_text("First draft")
    gate.set()
    expect_one_call_and_its_picture(page, images_server, picture("end"))


@pytest.mark.promise
def test_a_reload_joins_the_run_and_keeps_the_prompt(
    page: Page, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    open_app(page, api_app)
    generate(page, "a fox")
    expect(wait_view(page)).to_contain_text("First draft")
    page.reload()
    expect(wait_view(page)).to_contain_text("First draft")
    expect(prompt_box(page)).to_have_value("a fox")
    gate.set()
    expect_one_call_and_its_picture(page, images_server, picture("end"))


@pytest.mark.promise
def test_a_second_tab_joins_the_run_and_gets_the_same_picture(
    page: Page,
    context: BrowserContext,
    api_app: RunningApp,
    images_server: ImagesServer,
    gate: Gate,
) -> None:
    open_app(page, api_app)
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    second = context.new_page()
    open_app(second, api_app)
    expect(button(second, "Generate Image")).to_be_disabled()
    gate.set()
    for tab in (page, second):
        expect_one_call_and_its_picture(tab, images_server, picture("end"))


def test_two_tabs_that_click_for_the_same_prompt_share_one_call(
    page: Page,
    context: BrowserContext,
    api_app: RunningApp,
    images_server: ImagesServer,
    gate: Gate,
) -> None:
    open_app(page, api_app)
    second = context.new_page()
    open_app(second, api_app)
    generate(page, "a fox")
    generate(second, "a fox")
    gate.set()
    for tab in (page, second):
        expect_one_call_and_its_picture(tab, images_server, picture("end"))


def test_a_tab_that_lies_open_does_not_undo_what_another_one_did(
    page: Page, context: BrowserContext, api_app: RunningApp, images_server: ImagesServer
) -> None:
    idle = context.new_page()
    open_app(idle, api_app)
    open_app(page, api_app)
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    idle.locator("body").press("r")
    expect_settled(idle)
    page.reload()
    expect_one_call_and_its_picture(page, images_server, picture("a fox"))


def test_another_browser_sees_nothing_of_it(
    page: Page, browser: Browser, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    open_app(page, api_app)
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    with browser.new_context() as stranger:
        strange_page = stranger.new_page()
        open_app(strange_page, api_app)
        expect(button(strange_page, "Generate Image")).to_be_enabled()
        expect(prompt_box(strange_page)).to_have_value("")
    gate.set()
    expect_one_call_and_its_picture(page, images_server, picture("end"))


@pytest.mark.promise
def test_a_lost_websocket_is_restored_and_the_run_goes_on(
    page: Page, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    sockets = sockets_of(page)
    open_app(page, api_app)
    # A page that has never shown a picture could show none of those that come while it is lost.
    expect(picture_of(page)).to_be_attached()
    generate(page, "a fox")
    expect(wait_view(page)).to_contain_text("First draft")
    sockets[0].close(code=1001)
    gate.set()
    expect_one_call_and_its_picture(page, images_server, picture("end"))
    assert len(sockets) == 2


def test_a_page_that_comes_back_and_hears_nothing_is_loaded_anew(
    page: Page, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    sockets = sockets_of(page, deaf=[1])

    def hurry(route: Route) -> None:
        script = route.fetch().text()
        assert "DEAF = 10000" in script
        route.fulfill(
            body=script.replace("DEAF = 10000", "DEAF = 500"), content_type="text/javascript"
        )

    page.route("**/*-keys.js", hurry)
    open_app(page, api_app)
    expect(picture_of(page)).to_be_attached()
    generate(page, "a fox")
    expect(wait_view(page)).to_contain_text("First draft")
    sockets[0].close(code=1001)
    gate.set()
    expect_one_call_and_its_picture(page, images_server, picture("end"))
    assert len(sockets) == 3


@pytest.mark.promise
def test_a_tab_that_was_closed_in_mid_run_finds_its_picture_later(
    page: Page,
    context: BrowserContext,
    api_app: RunningApp,
    images_server: ImagesServer,
    gate: Gate,
) -> None:
    open_app(page, api_app)
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    page.close()
    gate.set()
    images_server.wait_for_calls(1, ended=True)
    again = context.new_page()
    open_app(again, api_app)
    expect_one_call_and_its_picture(again, images_server, picture("end"))
    assert images_server.calls[0].ended == "answered"


@pytest.mark.promise
def test_cancel_answers_at_once_and_closes_the_connection(
    page: Page, api_app: RunningApp, images_server: ImagesServer, gate: Gate
) -> None:
    open_app(page, api_app)
    generate(page, "a fox")
    expect(wait_view(page)).to_contain_text("First draft")
    cancel(page)
    expect(page.get_by_text("may still be billed")).to_be_visible()
    (call,) = images_server.wait_for_calls(1, ended=True)
    assert call.ended == "client left"
    expect_screen(page, "1. Generate Image")
    expect(prompt_box(page)).to_have_value("a fox")
    expect(button(page, "Generate Image")).to_be_enabled()


def cancel(page: Page) -> None:
    """Click Cancel, and have it answer though nothing else in this test goes on."""
    button(page, "Cancel").click()
    expect(button(page, "Cancel")).to_be_hidden()


@pytest.mark.promise
def test_cancel_between_two_tries_answers_at_once(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(RATE_LIMIT)
    open_app(page, api_app)
    generate(page, "a fox")
    expect(wait_view(page)).to_contain_text("Rate-limited, trying again (2 of 3)")
    expect(wait_view(page)).to_contain_text("next try in")
    cancel(page)
    expect(button(page, "Generate Image")).to_be_enabled()
    assert len(images_server.calls) == 1


def test_after_a_cancel_the_next_click_makes_a_new_picture(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script([Gate()], plain(picture("second")))
    open_app(page, api_app)
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    button(page, "Cancel").click()
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    expect(page.get_by_text("may still be billed")).to_be_hidden()
    first, second = images_server.calls
    assert first.headers["x-client-request-id"] != second.headers["x-client-request-id"]


@pytest.mark.promise
def test_cancelling_a_regenerate_keeps_the_present_picture(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(
        plain(picture("first")), [STREAM, event("partial_image", picture("draft")), Gate()]
    )
    open_app(page, api_app)
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    button(page, "Regenerate").click()
    expect(wait_view(page)).to_contain_text("First draft")
    expect(thumbnails(page)).to_be_visible()
    button(page, "Cancel").click()
    expect(page.get_by_text("may still be billed")).to_be_visible()
    expect_settled(page)
    assert shown_bytes(page) == base64.b64decode(picture("first"))


def test_the_present_picture_can_be_approved_while_another_is_made(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(plain(picture("first")), held(gate, picture("second")))
    open_app(page, api_app)
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    button(page, "Regenerate").click()
    images_server.wait_for_calls(2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    gate.set()
    expect(button(page, "Cancel")).to_be_hidden()
    assert shown_bytes(page) == base64.b64decode(picture("first"))
    button(page, "Back to review").click()
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    page.keyboard.press("2")
    expect(facts(page)).to_contain_text("Picture 2")
    expect_settled(page)
    assert shown_bytes(page) == base64.b64decode(picture("second"))


def box_once_loaded(page: Page) -> FloatRect | None:
    expect(picture_of(page)).to_have_js_property("complete", True)
    return picture_of(page).bounding_box()


@pytest.mark.parametrize(("shape", "size"), [("square", (1024, 1024)), ("landscape", (1536, 1024))])
def test_nothing_jumps_between_the_empty_place_the_drafts_and_the_picture(
    page: Page,
    api_app: RunningApp,
    images_server: ImagesServer,
    shape: str,
    size: tuple[int, int],
) -> None:
    first, second = Gate(), Gate()
    images_server.script(
        [
            *(STREAM, first, event("partial_image", picture("draft", size))),
            *(second, finish(picture("end", size))),
        ]
    )
    open_app(page, api_app)
    choose(page, "Size", shape)
    generate(page, "a fox")
    expect(wait_view(page)).to_contain_text("Sketching")
    empty = box_once_loaded(page)
    first.set()
    expect(wait_view(page)).to_contain_text("First draft")
    expect(page.get_by_alt_text("Draft")).to_be_visible()
    assert not images_server.calls[0].ended
    draft = box_once_loaded(page)
    second.set()
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    end = box_once_loaded(page)
    assert empty == end
    assert draft == end


@pytest.mark.promise
def test_the_phases_the_clock_and_the_title_tell_how_it_goes(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    gates = [Gate(), Gate(), Gate()]
    images_server.script(
        # Long enough to be seen on a busy machine.
        error(429, "rate_limit_exceeded", retry_after="4"),
        [
            STREAM,
            *(gates[0], event("partial_image", picture("one"))),
            *(gates[1], event("partial_image", picture("two"))),
            *(gates[2], finish(picture("end"))),
        ],
    )
    open_app(page, api_app)
    expect(page).to_have_title("Image review")
    generate(page, "a fox")
    live = wait_view(page).get_by_role("status")
    expect(live).to_have_text("Rate-limited, trying again (2 of 3)")
    expect(page).to_have_title("Working… · Image review")
    for gate, words in zip(gates, ("Sketching", "First draft", "Second draft"), strict=True):
        expect(live).to_have_text(words)
        gate.set()
    expect_screen(page, "2. Review Generated Image")
    expect(page).to_have_title("Ready · Image review")


def test_the_bar_is_honest_before_there_is_experience_and_never_full(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    first, second = Gate(), Gate()
    images_server.script([first, *plain(picture("one"))], [second, *plain(picture("two"))])
    with run_app(tmp_path / "log", **images_server.environment) as app:
        open_app(page, app)
        generate(page, "a fox")
        bar = wait_view(page).get_by_role("progressbar")
        expect(bar).to_be_visible()
        assert bar.get_attribute("aria-valuenow") is None
        expect(wait_view(page)).to_contain_text("1 s")
        first.set()
        expect_screen(page, "2. Review Generated Image")
        button(page, "Regenerate").click()
        expect(wait_view(page)).to_contain_text("usually about")
        expect(wait_view(page)).to_contain_text("4 s, usually about")
        assert 85 <= float(bar.get_attribute("aria-valuenow") or 0) < 100
        second.set()
        expect(button(page, "Cancel")).to_be_hidden()


@pytest.mark.promise
def test_after_a_stream_that_was_cut_the_picture_comes_by_itself(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    cut: Answer = [STREAM, event("partial_image", picture("draft")), Drop()]
    images_server.script(cut, plain(picture("second try")))
    open_app(page, api_app)
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    assert len(images_server.calls) == 2


@pytest.mark.promise
def test_what_may_have_been_billed_is_asked_for_again_by_the_person_alone(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(error(504, None), plain(picture("second try")))
    open_app(page, api_app)
    generate(page, "a fox")
    words = page.get_by_text("did not answer in time")
    expect(words).to_be_visible()
    expect(page.get_by_text("1 try that brought nothing may have been billed too")).to_be_visible()
    expect_settled(page)
    assert len(images_server.calls) == 1
    button(page, "Make the missing 1").click()
    expect_screen(page, "2. Review Generated Image")
    expect(words).to_be_hidden()
    assert [call.wish["prompt"] for call in images_server.calls] == ["a fox", "a fox"]


def test_more_than_the_places_wait_in_line_and_cancel_leaves_it(
    page: Page, browser: Browser, images_server: ImagesServer, tmp_path: Path
) -> None:
    gate = Gate()
    images_server.script(held(gate, picture("first")))
    settings = {**images_server.environment, "IMAGE_CONCURRENCY": "1"}
    with (
        run_app(tmp_path / "log", **settings) as app,
        browser.new_context() as second_browser,
        browser.new_context() as third_browser,
    ):
        second, third = second_browser.new_page(), third_browser.new_page()
        open_app(page, app)
        generate(page, "first")
        images_server.wait_for_calls(1)
        for tab, prompt, words in (
            (second, "second", "Waiting for a free place, 0 ahead"),
            (third, "third", "Waiting for a free place, 1 ahead"),
        ):
            open_app(tab, app)
            generate(tab, prompt)
            expect(wait_view(tab)).to_contain_text(words)
        cancel(second)
        expect(wait_view(third)).to_contain_text("Waiting for a free place, 0 ahead")
        gate.set()
        expect_screen(page, "2. Review Generated Image")
        expect_screen(third, "2. Review Generated Image")
        assert [call.wish["prompt"] for call in images_server.calls] == ["first", "third"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_in_time_with_runs_in_flight(
    page: Page, images_server: ImagesServer, tmp_path: Path, how: signal.Signals
) -> None:
    images_server.script([STREAM, event("partial_image", picture("draft")), Gate()])
    with run_app(tmp_path / "log", **images_server.environment) as app:
        open_app(page, app)
        generate(page, "a fox")
        expect(wait_view(page)).to_contain_text("First draft")
        app.process.send_signal(how)
        app.process.wait(10)
        assert "Traceback" not in app.log.read_text()
    assert images_server.wait_for_calls(1, ended=True)[0].ended == "client left"
