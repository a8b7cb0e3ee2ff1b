import base64
import json
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket, expect

from tests.conftest import RunningApp, run_app, run_changed_app
from tests.images_server import ImagesServer, picture, plain
from tests.studio import (
    button,
    edit_box,
    expect_focus,
    expect_original,
    expect_prompt,
    expect_screen,
    expect_settled,
    facts,
    generate,
    open_app,
    picture_of,
    prompt_box,
)
from utils.images.page import EXAMPLES
from utils.images.verify import verify

NASTY = (
    "# heading\n**bold** `code` <b onmouseover=alert(1)>tag</b> <img src=x onerror=alert(1)>\n"
    "![x](http://evil.example/x.png) [link](http://evil.example) http://evil.example/bare\n"
    "$\\frac{1}{2}$ :material/home: :smile: :red[red] | a | b |"
)


@pytest.fixture
def strange_requests(page: Page) -> list[str]:
    """The addresses beyond this machine that the page asks for."""
    strange: list[str] = []

    def note(address: str) -> None:
        if "//127.0.0.1:" not in address and not address.startswith(("data:", "blob:")):
            strange.append(address)

    page.on("request", lambda request: note(request.url))
    page.on("websocket", lambda socket: note(socket.url))
    return strange


@pytest.mark.promise
def test_the_whole_journey_on_the_demo_engine(
    page: Page, demo_app: RunningApp, strange_requests: list[str]
) -> None:
    open_app(page, demo_app)
    expect(page.get_by_text("No AI model is at work")).to_be_visible()
    generate(page, "a lighthouse at sunset")
    expect(button(page, "Cancel")).to_be_visible()
    expect(prompt_box(page)).to_be_disabled()
    expect_screen(page, "2. Review Generated Image")
    expect_prompt(page, "a lighthouse at sunset")
    expect_settled(page)
    expect_original(page)
    first = picture_of(page).get_attribute("src")
    button(page, "Regenerate").click()
    expect(button(page, "Regenerate")).to_be_disabled()
    expect(button(page, "Regenerate")).to_be_enabled(timeout=15_000)
    expect(picture_of(page)).not_to_have_attribute("src", first or "")
    expect_original(page)
    approved = picture_of(page).get_attribute("src")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect(picture_of(page)).to_have_attribute("src", approved or "")
    with page.expect_download() as download:
        button(page, "Download").click()
    assert download.value.suggested_filename == "a-lighthouse-at-sunset.png"
    button(page, "Start Over").click()
    expect_screen(page, "1. Generate Image")
    expect(prompt_box(page)).to_have_value("")
    assert strange_requests == []


def test_three_clicks_lead_to_an_approved_picture(page: Page, demo_app: RunningApp) -> None:
    open_app(page, demo_app)
    page.get_by_role("radio", name=EXAMPLES[0]).click()
    button(page, "Generate Image").click()
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect(picture_of(page)).to_have_attribute("alt", EXAMPLES[0])


@pytest.mark.promise
def test_the_whole_journey_on_an_images_api_server(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    image = picture("the API's own", size=(1600, 900))
    images_server.script(plain(picture("first")), plain(image))
    open_app(page, api_app)
    expect(page.get_by_text("No AI model")).to_be_hidden()
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    button(page, "Regenerate").click()
    expect(facts(page)).to_contain_text("Picture 2 ·")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    with page.expect_download() as download:
        button(page, "Download").click()
    assert Path(download.value.path()).read_bytes() == base64.b64decode(image)
    button(page, "Start Over").click()
    expect_screen(page, "1. Generate Image")
    assert [call.wish["prompt"] for call in images_server.calls] == ["a fox", "a fox"]


@pytest.mark.promise
@pytest.mark.parametrize(
    ("image_format", "extension"), [("JPEG", "jpg"), ("WEBP", "webp"), ("PNG", "png")]
)
def test_the_download_is_the_apis_own_bytes_in_every_format(
    page: Page, api_app: RunningApp, images_server: ImagesServer, image_format: str, extension: str
) -> None:
    image = picture("any", size=(80, 60), image_format=image_format)
    images_server.script(plain(image))
    open_app(page, api_app)
    generate(page, "any")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    with page.expect_download() as download:
        button(page, "Download").click()
    assert Path(download.value.path()).read_bytes() == base64.b64decode(image)
    assert download.value.suggested_filename == f"any.{extension}"


@pytest.mark.promise
def test_a_prompt_is_shown_as_typed_and_fetches_nothing(
    page: Page, api_app: RunningApp, images_server: ImagesServer, strange_requests: list[str]
) -> None:
    dialogs: list[object] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    images_server.script()
    open_app(page, api_app)
    generate(page, NASTY)
    expect_screen(page, "2. Review Generated Image")
    expect(edit_box(page)).to_have_value(NASTY)
    expect_settled(page)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    shown = page.locator(".st-key-copyable-prompt")
    expect(shown).to_contain_text(NASTY[:10])
    assert shown.inner_text().strip() == NASTY
    assert shown.locator("a, img, b").count() == 0
    button(page, "Back to review").click()
    expect_screen(page, "2. Review Generated Image")
    assert images_server.calls[0].wish["prompt"] == NASTY
    assert (strange_requests, dialogs) == ([], [])


@pytest.fixture
def received(page: Page) -> Callable[[], int]:
    """How many bytes have come over the websocket so far."""
    sizes: list[int] = []

    def count(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: sizes.append(len(frame)))

    page.on("websocket", count)
    return lambda: sum(sizes)


def test_approving_sends_little_over_the_websocket(
    page: Page, api_app: RunningApp, images_server: ImagesServer, received: Callable[[], int]
) -> None:
    images_server.script(plain(picture("large", size=(2000, 2000))))
    open_app(page, api_app)
    generate(page, "large")
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)
    before = received()
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    assert 0 < received() - before < 20_000


def test_a_key_that_is_shown_while_it_is_typed_is_forgotten_by_a_reload(
    page: Page, demo_app: RunningApp
) -> None:
    open_app(page, demo_app)
    expect_settled(page)
    box = page.get_by_role("textbox", name="Your OpenAI API key")
    page.locator(".st-key-api_key").get_by_role("button").last.click()
    expect(box).to_have_attribute("type", "text")
    box.fill("sk-typed")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert "sk-typed" not in page.evaluate("JSON.stringify(sessionStorage)")
    page.reload()
    expect_settled(page)
    expect(box).to_have_value("")


@pytest.mark.promise
def test_a_typed_key_is_sent_to_the_api_and_forgotten_by_a_reload(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    with run_app(tmp_path / "log", OPENAI_BASE_URL=images_server.url) as app:
        open_app(page, app)
        key_box = page.get_by_role("textbox", name="Your key for 127.0.0.1")
        key_box.fill("sk-typed-by-a-person")
        generate(page, "a fox")
        expect_screen(page, "2. Review Generated Image")
        authorization = images_server.calls[0].headers["authorization"]
        assert authorization == "Bearer sk-typed-by-a-person"
        page.reload()
        expect_screen(page, "2. Review Generated Image")
        expect(key_box).to_have_value("")
        assert "sk-typed" not in app.log.read_text()


@pytest.mark.promise
def test_an_uncaught_exception_shows_one_sentence_and_no_traceback(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    change = (
        "import utils.review.moves\n"
        "def broken(*args):\n"
        "    raise RuntimeError('sk-' + 'secret in /some/path')\n"
        "utils.review.moves.approve = broken\n"
    )
    settings = {"LOG_FORMAT": "json", "OPENAI_BASE_URL": images_server.url}
    with run_changed_app(tmp_path, change, **settings) as app:
        open_app(page, app)
        generate(page, "a fox")
        button(page, "Approve").click()
        expect(page.get_by_text("Something went wrong on our side")).to_be_visible()
        expect_settled(page)
        words = page.locator("body").inner_text()
        for leak in ("RuntimeError", "Traceback", "sk-secret", "/some/path", "sitecustomize"):
            assert leak not in words
        page.reload()
        expect_screen(page, "2. Review Generated Image")
        with socket.create_connection(("127.0.0.1", app.port)) as stranger:
            stranger.sendall(b"no request\r\n\r\n")
            assert b" 400 " in stranger.recv(1000)
    log = app.log
    told = [line for line in log.read_text().splitlines() if line and not line.startswith("  ")]
    tracebacks = [json.loads(line).get("traceback", "") for line in told]
    assert any("RuntimeError" in one and "in broken" in one for one in tracebacks)
    assert "Invalid HTTP request received." in [json.loads(line).get("message") for line in told]
    assert "sk-secret" not in log.read_text()


def test_the_cursor_stands_in_the_prompt_from_the_start(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, api_app)
    expect_focus(prompt_box(page))
    expect_settled(page)
    page.keyboard.type("a fox")
    page.keyboard.press("Control+Enter")
    expect_screen(page, "2. Review Generated Image")
    assert [call.wish["prompt"] for call in images_server.calls] == ["a fox"]


@pytest.mark.promise
@pytest.mark.parametrize("whole", [False, True])
def test_the_record_of_a_decision_is_taken_away_with_the_apis_own_bytes(
    page: Page, api_app: RunningApp, images_server: ImagesServer, *, whole: bool
) -> None:
    images = [picture("first", size=(80, 60)), picture("second", size=(80, 60))]
    images_server.script(*(plain(image) for image in images))
    open_app(page, api_app)
    generate(page, "a fox")
    expect(facts(page)).to_contain_text("Picture 1 ·")
    button(page, "Regenerate").click()
    expect(facts(page)).to_contain_text("Picture 2 ·")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    # Within the run that brings a box or a button Streamlit forgets what is done there.
    expect_settled(page)
    page.get_by_text("Approved on").click()
    expect(page.get_by_text("Out of 2 pictures")).to_be_visible()
    expect_settled(page)
    words = page.get_by_label("Alternative text")
    words.fill("A fox, asleep")
    with page.expect_download() as download:
        if whole:
            words.press("Enter")
            expect(picture_of(page)).to_have_attribute("alt", "A fox, asleep")
            expect_settled(page)
            button(page, "Download all 2 pictures").press("Space")
        else:
            # A press leaves the box of the words: their turn ends before the button is let go.
            button(page, "Download record").hover()
            page.mouse.down()
            expect(picture_of(page)).to_have_attribute("alt", "A fox, asleep")
            expect_settled(page)
            page.mouse.up()
    assert download.value.suggested_filename == "a-fox.zip"
    path = Path(download.value.path())
    assert verify(path) == []
    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read("record.json"))
        found = [archive.read(name) for name in archive.namelist() if name != "record.json"]
    assert found == [base64.b64decode(image) for image in (images if whole else images[1:])]
    assert record["description"] == "A fox, asleep"
    assert [one["id"] for one in record["attempts"]] == [
        call.headers["x-client-request-id"] for call in images_server.calls
    ]
