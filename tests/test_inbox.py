"""What a browser can do beyond the page: paste and drop pictures, tell whose turn it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Locator, Page, Route, WebSocketRoute, expect

from tests.conftest import RunningApp, run_changed_app
from tests.images_server import Gate, Head, ImagesServer, error, event, picture, plain
from tests.studio import (
    LONG,
    button,
    choose,
    edit_box,
    expect_focus,
    expect_screen,
    expect_selected,
    expect_settled,
    generate,
    open_app,
    prompt_box,
    sockets_of,
    thumbnails,
    to_review,
)
from utils.images.page import PLACE
from utils.images.pictures import decode

# Gives a picture to the page, as a paste or a drop does.
GIVE = """async ([kind, name, data, where]) => {
    const types = { png: "image/png", jpg: "image/jpeg", webp: "image/webp" };
    const type = types[name.split(".").at(-1)] ?? "";
    const bytes = await (await fetch(`data:image/png;base64,${data}`)).arrayBuffer();
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    const all = { bubbles: true, cancelable: true };
    const target = document.querySelector(where);
    if (kind === "paste") {
        return !target.dispatchEvent(
            new ClipboardEvent("paste", { ...all, clipboardData: transfer }));
    }
    target.dispatchEvent(new DragEvent("dragover", { ...all, dataTransfer: transfer }));
    const ready = document.body.matches(".receiving");
    target.dispatchEvent(new DragEvent("drop", { ...all, dataTransfer: transfer }));
    return ready && !document.body.matches(".receiving");
}"""
SLOW_TO_LOOK = """
import pathlib, time, utils.images.uploads
fit = utils.images.uploads._fit
held = pathlib.Path(__file__).with_name("held")
def slow_fit(data):
    print("looking", flush=True)
    time.sleep(1)
    while held.exists():
        time.sleep(0.01)
    return fit(data)
utils.images.uploads._fit = slow_fit

import screens.parts
render_copyable = screens.parts.render_copyable
def render_and_wait(*args):
    render_copyable(*args)
    time.sleep(1)
screens.parts.render_copyable = render_and_wait

import utils.images.page
source = utils.images.page._source
def wait_for_source(*args):
    time.sleep(0.3)
    return source(*args)
utils.images.page._source = wait_for_source

import streamlit
from streamlit.delta_generator import DeltaGenerator
def slow(place):
    def wait_after(*args, **more):
        made = place(*args, **more)
        time.sleep(0.05)
        return made
    return wait_after
for kind in (streamlit, DeltaGenerator):
    kind.empty, kind.container = slow(kind.empty), slow(kind.container)
"""
MISS = """(words) => {
    const missed = (window.missed = []);
    const look = () => {
        if (window.missed !== missed) {
            return;
        }
        const main = document.querySelector(".stMain");
        const pictures = [...main.querySelectorAll("img")].filter((one) => one.checkVisibility());
        const shown = main.innerText + pictures.map(({ alt }) => alt);
        missed.push(...words.filter((one) => !shown.includes(one)));
        requestAnimationFrame(look);
    };
    look();
}"""
NOTE_NOTIFICATIONS = """
    window.told = [];
    window.Notification = class {
        static permission = "default";
        static async requestPermission() { return (this.permission = "granted"); }
        constructor(title, options) {
            if (Notification.permission === "granted") {
                window.told.push([title, JSON.stringify(options)]);
            }
        }
    };
    Object.defineProperty(document, "hidden", { get: () => window.away ?? false });
"""


@pytest.mark.parametrize(("kind", "second"), [("paste", "table.jpg"), ("drop", "table.webp")])
def test_a_picture_comes_along_from_anywhere_on_the_first_two_screens(
    page: Page, api_app: RunningApp, images_server: ImagesServer, kind: str, second: str
) -> None:
    images_server.script(plain(picture("one")), plain(picture("two")))
    open_app(page, api_app)
    expect_settled(page)
    assert page.evaluate(GIVE, [kind, "chair.png", picture("chair"), ".stMain figure"])
    along = page.locator(".st-key-along")
    expect(along.get_by_alt_text("chair.png")).to_be_visible()
    expect_settled(page)
    generate(page, "a room")
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    assert page.evaluate(GIVE, [kind, second, picture("table"), "body"])
    expect(along.get_by_alt_text(second)).to_be_visible()
    expect_settled(page)
    button(page, "Generate Image").click()
    expect(thumbnails(page)).to_have_count(2)
    assert images_server.calls[1].parts["image"] == [
        decode(picture("chair")),
        decode(picture("table")),
    ]


@pytest.fixture(scope="module")
def slow_app(
    running_images_server: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """An app that takes a second to look at a picture of a person's own, as large ones do, and
    longer while there is a file `held` beside its log; one after a picture's prompt, a third of
    one before each of them is shown, and a twentieth after each place that is made."""
    folder = tmp_path_factory.mktemp("slow")
    with run_changed_app(folder, SLOW_TO_LOOK, **running_images_server.environment) as app:
        yield app


def test_a_picture_that_comes_while_another_is_looked_at_comes_along_too(
    page: Page, slow_app: RunningApp
) -> None:
    open_app(page, slow_app)
    expect_settled(page)
    for name in ("chair", "table"):
        with page.expect_response("**/upload_file/**"):
            assert page.evaluate(GIVE, ["paste", f"{name}.png", picture(name), ".stMain figure"])
    along = page.locator(".st-key-along")
    for name in ("chair", "table"):
        expect(along.get_by_alt_text(f"{name}.png")).to_be_visible()


@pytest.fixture
def line(page: Page) -> list[Route]:
    """What a page sends to its box for pictures, each held until it is let go on."""
    sent: list[Route] = []
    page.route("**/upload_file/**", lambda route: sent.append(route))
    return sent


def send(page: Page, line: list[Route], name: str) -> None:
    before = len(line)
    assert page.evaluate(GIVE, ["paste", f"{name}.png", picture(name), ".stMain figure"])
    await_sent(page, line, before + 1)


def await_sent(page: Page, line: list[Route], count: int) -> None:
    while len(line) < count:
        # The routes go through this process.
        page.wait_for_timeout(10)


def ask_and_be_told(page: Page) -> Locator:
    """Click while a picture is on its way; returns the words that say so."""
    button(page, "Generate Image").click()
    told = page.get_by_text("Your pictures are still on their way.")
    expect(told).to_be_visible()
    return told


def go_to(page: Page, stage: str) -> None:
    expect_settled(page)
    prompt_box(page).fill("a room")
    if stage == "user_feedback":
        button(page, "Generate Image").click()
        expect_screen(page, "2. Review Generated Image")
        expect_settled(page)
        prompt_box(page).fill("another room")


@pytest.mark.parametrize("how", ["click", "key"])
@pytest.mark.parametrize("stage", ["initial_input", "user_feedback"])
def test_a_picture_that_is_still_on_its_way_is_waited_for(
    page: Page,
    api_app: RunningApp,
    images_server: ImagesServer,
    line: list[Route],
    stage: str,
    how: str,
) -> None:
    images_server.script(plain(picture("room")), plain(picture("other room")))
    open_app(page, api_app)
    go_to(page, stage)
    calls, prompt = len(images_server.calls), prompt_box(page).input_value()
    send(page, line, "chair")
    for _ in "twice":
        if how == "click":
            button(page, "Generate Image").click()
        else:
            page.keyboard.press("Control+Enter")
    told = page.get_by_text("Your pictures are still on their way.")
    expect(told).to_be_visible()
    expect_settled(page)
    assert len(images_server.calls) == calls
    line[0].continue_()
    expect(told).to_be_hidden()
    expect_screen(page, "2. Review Generated Image")
    expect(thumbnails(page)).to_have_count(calls + 1)
    (call,) = images_server.calls[calls:]
    assert call.parts["image"] == [decode(picture("chair"))]
    assert call.parts["prompt"] == [prompt.encode()]


def test_a_picture_on_its_way_stays_in_its_box_while_the_page_goes_on(
    page: Page, slow_app: RunningApp, images_server: ImagesServer, line: list[Route]
) -> None:
    images_server.script(plain(picture("room")))
    open_app(page, slow_app)
    go_to(page, "user_feedback")
    send(page, line, "chair")
    # With it the prompt of the picture comes, above all that is below.
    prompt_box(page).blur()
    expect(page.locator(".st-key-copyable-prompt")).to_be_visible()
    expect_settled(page)
    line[0].continue_()
    expect(page.locator(".st-key-along").get_by_alt_text("chair.png")).to_be_visible()
    assert len(line) == 1


def test_pictures_keep_their_order_in_whichever_they_arrive(
    page: Page, api_app: RunningApp, images_server: ImagesServer, line: list[Route]
) -> None:
    images_server.script(plain(picture("room")))
    open_app(page, api_app)
    expect_settled(page)
    page.get_by_text("Use my pictures").click()
    order = ["chair", "table", "lamp"]
    files = [
        FilePayload(name=f"{one}.png", mimeType="image/png", buffer=decode(picture(one)))
        for one in order
    ]
    page.locator("input[type=file]").set_input_files(files)
    await_sent(page, line, 3)
    on_their_way = page.get_by_test_id("stFileChipIconSpinner")
    for number in (2, 1):
        line[number].continue_()
        expect(on_their_way).to_have_count(number)
        # A turn meanwhile begins none of them anew.
        prompt_box(page).fill(f"a room with {number}")
        prompt_box(page).blur()
        expect_settled(page)
    line[0].continue_()
    names = page.locator(".st-key-along img")
    expect(names).to_have_count(3)
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    assert images_server.calls[0].parts["image"] == [decode(picture(one)) for one in order]
    assert len(line) == 3


@pytest.mark.parametrize("turns", [True, False])
def test_a_picture_comes_though_the_answer_to_its_box_was_lost(
    page: Page, api_app: RunningApp, images_server: ImagesServer, turns: bool
) -> None:
    lost: list[bytes] = []

    def lose_one(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def hand_on(message: str | bytes) -> None:
            # The server drops it where a turn begins before it is on its way.
            if not lost and b"upload_file" in (
                words := message if isinstance(message, bytes) else message.encode()
            ):
                lost.append(words)
            else:
                socket.send(message)

        server.on_message(hand_on)

    page.route_web_socket("**/_stcore/stream", lose_one)
    images_server.script(plain(picture("room")))
    open_app(page, api_app)
    expect_settled(page)
    prompt_box(page).fill("a room")
    prompt_box(page).blur()
    expect_settled(page)
    assert page.evaluate(GIVE, ["paste", "chair.png", picture("chair"), ".stMain figure"])
    while not lost:
        page.wait_for_timeout(10)
    if turns:
        prompt_box(page).fill("a room with a view")
    # Right after a turn it may be there as soon as it is said that it is not.
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    (call,) = images_server.calls
    assert call.parts["image"] == [decode(picture("chair"))]


def test_who_takes_a_picture_back_on_its_way_has_asked_for_nothing(
    page: Page, api_app: RunningApp, images_server: ImagesServer, line: list[Route]
) -> None:
    images_server.script(plain(picture("room")))
    open_app(page, api_app)
    go_to(page, "initial_input")
    page.get_by_text("Use my pictures").click()
    send(page, line, "chair")
    told = ask_and_be_told(page)
    button(page, "Cancel upload of chair.png").click()
    expect(told).to_be_hidden()
    expect_settled(page)
    assert images_server.calls == []
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    assert "image" not in images_server.calls[0].parts


@pytest.mark.parametrize("is_asked", [True, False])
def test_nothing_is_made_without_a_picture_that_did_not_arrive(
    page: Page,
    api_app: RunningApp,
    images_server: ImagesServer,
    line: list[Route],
    is_asked: bool,
) -> None:
    images_server.script(plain(picture("room")))
    open_app(page, api_app)
    go_to(page, "initial_input")
    page.get_by_text("Use my pictures").click()
    send(page, line, "chair")
    if is_asked:
        button(page, "Generate Image").click()
    line[0].fulfill(status=500)
    expect(page.get_by_text("One of your pictures is not here.")).to_be_visible()
    expect(page.get_by_text("status code")).to_be_hidden()
    expect_settled(page)
    assert images_server.calls == []
    # The next one is none the worse for it.
    send(page, line, "table")
    button(page, "Generate Image").click()
    line[1].continue_()
    expect_screen(page, "2. Review Generated Image")
    assert images_server.calls[0].parts["image"] == [decode(picture("table"))]


def test_a_click_that_waits_is_made_at_nothing_else(
    page: Page, api_app: RunningApp, images_server: ImagesServer, line: list[Route]
) -> None:
    images_server.script(plain(picture("room")), plain(picture("hut")))
    open_app(page, api_app)
    go_to(page, "user_feedback")
    button(page, "Generate Image").click()
    expect_selected(page, 2)
    expect_settled(page)
    prompt_box(page).fill("a room with a view")
    send(page, line, "chair")
    ask_and_be_told(page)
    prompt_box(page).blur()
    expect_settled(page)
    page.keyboard.press("1")
    expect_selected(page, 1)
    expect_settled(page)
    line[0].continue_()
    expect(page.get_by_text("the page has gone on. Ask once more.")).to_be_visible()
    expect(page.locator(".st-key-along").get_by_alt_text("chair.png")).to_be_visible()
    expect_settled(page)
    assert len(images_server.calls) == 2


def test_what_is_on_its_way_does_not_go_into_the_next_brief(
    page: Page, api_app: RunningApp, images_server: ImagesServer, line: list[Route]
) -> None:
    images_server.script(plain(picture("room")))
    open_app(page, api_app)
    go_to(page, "user_feedback")
    send(page, line, "chair")
    told = ask_and_be_told(page)
    button(page, "Start Over").click()
    expect_screen(page, "1. Generate Image")
    expect_settled(page)
    expect(told).to_be_hidden()
    assert len(line) == 1


def test_of_two_of_one_name_the_one_that_is_taken_back_stays_away(
    page: Page, api_app: RunningApp, images_server: ImagesServer, line: list[Route]
) -> None:
    images_server.script(plain(picture("room")), plain(picture("other room")))
    open_app(page, api_app)
    go_to(page, "user_feedback")
    page.get_by_role("tab", name="Use my pictures").click()
    expect_settled(page)
    for number, words in enumerate(("chair", "table", "lamp")):
        where = [("paste", "image.png", picture(words), ".stMain figure")]
        assert page.evaluate(GIVE, *where)
        await_sent(page, line, number + 1)
    line[0].continue_()
    box = page.get_by_test_id("stFileUploader")
    expect(box.get_by_test_id("stFileChipIconSpinner")).to_have_count(2)
    button(page, "Cancel upload of image.png").first.click()
    page.get_by_role("tab", name="Edit prompt").click()
    # What has come too, for their order.
    await_sent(page, line, 5)
    line[4].continue_()
    line[3].continue_()
    expect(page.locator(".st-key-along").get_by_alt_text("image.png")).to_have_count(2)
    expect_settled(page)
    button(page, "Generate Image").click()
    expect(thumbnails(page)).to_have_count(2)
    brought = [decode(picture(words)) for words in ("chair", "lamp")]
    assert images_server.calls[1].parts["image"] == brought
    assert len(line) == 5


def test_a_picture_goes_into_the_next_box_where_its_own_is_emptied_meanwhile(
    page: Page, slow_app: RunningApp, line: list[Route]
) -> None:
    open_app(page, slow_app)
    expect_settled(page)
    held = slow_app.log.with_name("held")
    held.touch()
    looks = count_looks(slow_app)
    send(page, line, "chair")
    line[0].continue_()
    await_a_look(page, slow_app, looks)
    send(page, line, "table")
    held.unlink()
    along = page.locator(".st-key-along")
    expect(along.get_by_alt_text("chair.png")).to_be_visible()
    await_sent(page, line, 3)
    line[2].continue_()
    expect(along.get_by_alt_text("table.png")).to_be_visible()


def test_a_picture_goes_into_the_next_box_where_another_tab_is_opened_meanwhile(
    page: Page, api_app: RunningApp, images_server: ImagesServer, line: list[Route]
) -> None:
    images_server.script(plain(picture("room")))
    open_app(page, api_app)
    go_to(page, "user_feedback")
    page.get_by_role("tab", name="Use my pictures").click()
    expect_settled(page)
    send(page, line, "chair")
    page.get_by_role("tab", name="Edit prompt").click()
    await_sent(page, line, 2)
    line[1].continue_()
    expect(page.locator(".st-key-along").get_by_alt_text("chair.png")).to_be_visible()


def give_and_await_the_look(page: Page, app: RunningApp) -> None:
    looks = count_looks(app)
    assert page.evaluate(GIVE, ["paste", "chair.png", picture("chair"), ".stMain figure"])
    await_a_look(page, app, looks)


def count_looks(app: RunningApp) -> int:
    return app.log.read_text().count("looking")


def await_a_look(page: Page, app: RunningApp, after: int) -> None:
    while count_looks(app) == after:
        # The socket may go through this process.
        page.wait_for_timeout(10)


@pytest.mark.parametrize("stage", ["initial_input", "user_feedback"])
def test_a_picture_that_is_looked_at_is_seen_and_comes_along_with_a_click_meanwhile(
    page: Page, slow_app: RunningApp, images_server: ImagesServer, stage: str
) -> None:
    images_server.script(plain(picture("room")), plain(picture("other room")))
    open_app(page, slow_app)
    expect_settled(page)
    prompt_box(page).fill("a room")
    if stage == "user_feedback":
        button(page, "Generate Image").click()
        expect_screen(page, "2. Review Generated Image")
        expect_settled(page)
    else:
        page.get_by_text("Use my pictures").click()
    held = slow_app.log.with_name("held")
    held.touch()
    give_and_await_the_look(page, slow_app)
    expect(page.get_by_text("Looking at what you brought")).to_be_in_viewport()
    button(page, "Generate Image").click()
    held.unlink()
    expect(page.get_by_text("Looking at what you brought")).to_be_hidden()
    expect_settled(page)
    expect_screen(page, "2. Review Generated Image")
    assert images_server.calls[-1].parts["image"] == [decode(picture("chair"))]


def test_a_picture_comes_along_with_the_first_click_of_a_page_that_was_lost(
    page: Page, slow_app: RunningApp, images_server: ImagesServer
) -> None:
    deaf: list[int] = []
    sockets = sockets_of(page, deaf)
    images_server.script(plain(picture("room")))
    open_app(page, slow_app)
    expect_settled(page)
    prompt_box(page).fill("a room")
    # As on a slow line: it has not heard of the turn that looks at the picture.
    page.on("request", lambda one: deaf.extend([0] if "/upload_file/" in one.url else []))
    give_and_await_the_look(page, slow_app)
    sockets[0].close(code=1001)
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    assert images_server.calls[-1].parts["image"] == [decode(picture("chair"))]


def test_a_picture_comes_along_though_its_page_is_lost_while_it_is_looked_at(
    page: Page, slow_app: RunningApp
) -> None:
    sockets = sockets_of(page)
    open_app(page, slow_app)
    expect_settled(page)
    give_and_await_the_look(page, slow_app)
    # A page that comes back asks for a turn where it knows of one that was under way.
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "running")
    sockets[-1].close(code=1001)
    expect(page.locator(".st-key-along").get_by_alt_text("chair.png")).to_be_visible(timeout=LONG)
    assert len(sockets) == 2


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_what_cannot_be_used_is_said_and_leaves_the_page_as_it_is(
    page: Page, api_app: RunningApp, images_server: ImagesServer, kind: str
) -> None:
    open_app(page, api_app)
    expect_settled(page)
    assert page.evaluate(GIVE, [kind, "words.txt", picture("chair"), "body"])
    expect(page.get_by_role("alert")).to_have_text(
        "Only PNG, JPEG and WebP pictures can be used here."
    )
    expect(page.locator(".st-key-along")).to_have_count(0)


def test_a_folder_is_told_to_be_none_wherever_it_is_dropped(
    page: Page, api_app: RunningApp, images_server: ImagesServer, tmp_path: Path
) -> None:
    images_server.script(plain(picture("room")))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "chair.png").write_bytes(decode(picture("chair")))
    open_app(page, api_app)
    go_to(page, "initial_input")
    page.get_by_text("Use my pictures").click()
    words = page.get_by_test_id("stFileUploaderDropzoneInstructions")
    words.scroll_into_view_if_needed()
    expect_settled(page)
    place = words.bounding_box()
    assert place
    at = {"x": place["x"] + 5, "y": place["y"] + 5}
    mouse = page.context.new_cdp_session(page)
    files = {"items": [], "files": [str(tmp_path / "folder")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        mouse.send("Input.dispatchDragEvent", {"type": kind, **at, "data": files})
    expect(page.get_by_role("alert")).to_have_text(
        "Only PNG, JPEG and WebP pictures can be used here."
    )
    expect(page.get_by_test_id("stFileChip")).to_have_count(0)
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    assert "image" not in images_server.calls[0].parts


def test_pictures_are_removed_one_after_the_other_by_one_key(
    page: Page, slow_app: RunningApp
) -> None:
    open_app(page, slow_app)
    expect_settled(page)
    along = page.locator(".st-key-along")
    for name in ("chair", "table"):
        assert page.evaluate(GIVE, ["paste", f"{name}.png", picture(name), ".stMain figure"])
        expect(along.get_by_alt_text(f"{name}.png")).to_be_visible()
        expect_settled(page)
    button(page, "Remove 1").focus()
    page.keyboard.press("Enter")
    expect(along.get_by_alt_text("chair.png")).to_have_count(0)
    expect_settled(page)
    expect_focus(button(page, "Remove 1"))
    page.keyboard.press("Enter")
    expect(along).to_have_count(0)
    expect_focus(prompt_box(page))


def test_nothing_goes_while_a_slow_server_draws_it_again(
    page: Page, slow_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, slow_app)
    expect_settled(page)
    assert page.evaluate(GIVE, ["paste", "chair.png", picture("chair"), ".stMain figure"])
    expect(page.locator(".st-key-along").get_by_alt_text("chair.png")).to_be_visible()
    choose(page, "Quality", "xhigh")
    images_server.script(error(400, "moderation_blocked"), plain(picture("room")))
    generate(page, "a room")
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    expect_settled(page)
    stays = ["chair.png", "Remove 1", "Asks for a picture", str(alert.text_content()), PLACE]
    page.evaluate(MISS, stays)
    prompt_box(page).fill("a wide room")
    prompt_box(page).blur()
    expect_settled(page)
    assert page.evaluate("missed") == []
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    page.evaluate(MISS, ["chair.png", "Remove 1", "Costs about", "a wide room", "Full size"])
    edit_box(page).fill("a high room")
    edit_box(page).blur()
    expect_settled(page)
    assert page.evaluate("missed") == []
    gate, draft = Gate(), event("partial_image", picture("draft"))
    head = Head(content_type="text/event-stream")
    images_server.script([head, draft, gate, event("completed", picture("end"))])
    button(page, "Regenerate").click()
    expect(page.get_by_text("First draft")).to_be_visible()
    page.evaluate(MISS, ["First draft", "Draft", "Cancel", "Approve"])
    page.get_by_role("tab", name="Change this picture").click()
    expect(button(page, "Change picture")).to_be_visible()
    assert page.evaluate("missed") == []
    gate.set()
    expect(thumbnails(page)).to_have_count(2)


def test_words_that_carry_a_picture_of_themselves_are_pasted_as_words(
    page: Page, api_app: RunningApp
) -> None:
    open_app(page, api_app)
    expect_settled(page)
    taken = page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["x"], "image.png", { type: "image/png" }));
            transfer.setData("text/plain", "a fox");
            const paste = { bubbles: true, cancelable: true, clipboardData: transfer };
            const at = (one) => !one.dispatchEvent(new ClipboardEvent("paste", paste));
            const box = document.querySelector("[class*=st-key-prompt-] textarea");
            return [at(box), at(document.body)];
        }"""
    )
    assert taken == [False, True]


def test_a_file_that_is_dropped_where_none_is_taken_leaves_the_page_there(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, api_app)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    stays = page.evaluate(
        """() => ["dragover", "drop"].map((kind) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["x"], "chair.png", { type: "image/png" }));
            const all = { bubbles: true, cancelable: true, dataTransfer: transfer };
            return !document.body.dispatchEvent(new DragEvent(kind, all));
        })"""
    )
    assert stays == [True, True]


def test_while_a_picture_is_made_none_is_taken(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(hold=Gate())
    open_app(page, api_app)
    generate(page, "a fox")
    expect(page.get_by_text("Sketching")).to_be_visible()
    assert page.evaluate(GIVE, ["paste", "chair.png", picture("chair"), "body"])
    expect(page.get_by_text("No picture is taken while one is being made.")).to_be_visible()
    button(page, "Cancel").click()
    expect(button(page, "Cancel")).to_be_hidden()


def test_who_asks_for_it_is_told_that_it_is_their_turn_without_the_prompt(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    first, second, third = Gate(), Gate(), Gate()
    names = {"one": first, "two": second, "three": third}
    images_server.script(*([gate, *plain(picture(name))] for name, gate in names.items()))
    page.add_init_script(NOTE_NOTIFICATIONS)
    open_app(page, api_app)
    generate(page, "a secret fox")
    expect(page).to_have_title("Working… · Image review")
    page.evaluate("window.away = true")
    first.set()
    expect(page).to_have_title("Ready · Image review")
    # Off by default.
    assert page.evaluate("window.told") == []
    bell = button(page, "Tell me when it is my turn")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    expect_settled(page)
    button(page, "Regenerate").click()
    expect(page).to_have_title("Working… · Image review")
    second.set()
    page.wait_for_function("window.told.length === 1")
    ((title, options),) = page.evaluate("window.told")
    assert title == "It is your turn"
    assert "secret" not in options
    # Who looks at the page needs no telling.
    page.evaluate("window.away = false")
    expect_settled(page)
    button(page, "Regenerate").click()
    expect(page).to_have_title("Working… · Image review")
    third.set()
    expect(page).to_have_title("Ready · Image review")
    assert page.evaluate("window.told.length") == 1
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(
    ("here", "there"),
    [('"default"', '"denied"'), ("constructor(title, options) {", "constructor() { throw 0;")],
    ids=["forbidden", "on Android"],
)
def test_where_the_browser_cannot_tell_there_is_no_bell(
    page: Page, api_app: RunningApp, here: str, there: str
) -> None:
    page.add_init_script(NOTE_NOTIFICATIONS.replace(here, there))
    open_app(page, api_app)
    expect_settled(page)
    expect(page.locator("[data-bell]")).to_be_hidden()
