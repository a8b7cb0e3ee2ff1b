"""How a test drives the page: by the names that a person sees."""

import re
import time
from weakref import WeakKeyDictionary

from playwright.sync_api import FloatRect, Locator, Page, WebSocket, WebSocketRoute, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.conftest import RunningApp

LONG = 15_000
# With a bound in milliseconds: Chromium loses one callback of twenty where tabs are clicked twice.
AT_REST = "new Promise((resolve) => requestIdleCallback(() => resolve(), { timeout: 1000 }))"
OPENED = "[...document.querySelectorAll('details')].every((one) => !one.getAnimations().length)"


class Runs:
    """Whether each run that a page has asked for has begun and ended.

    The page itself says so only once the server has told it that a run began: right after a click
    it still calls itself settled.
    """

    def __init__(self, page: Page) -> None:
        self.owed = self.begun = False
        page.on("websocket", self._watch)

    def _watch(self, socket: WebSocket) -> None:
        socket.on("framesent", self._note_sent)
        socket.on("framereceived", self._note_received)

    def _note_sent(self, frame: bytes | str) -> None:
        if isinstance(frame, bytes) and BackMsg.FromString(frame).HasField("rerun_script"):
            self.owed, self.begun = True, False

    def _note_received(self, frame: bytes | str) -> None:
        message = ForwardMsg.FromString(frame) if isinstance(frame, bytes) else ForwardMsg()
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.begun = True
        elif kind == "script_finished" and self.begun:
            # One that was broken off for the next leaves that one owed.
            self.owed = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN


_runs: WeakKeyDictionary[Page, Runs] = WeakKeyDictionary()


def open_app(page: Page, app: RunningApp) -> None:
    _open(page, app.address)


def open_link(page: Page, link: str) -> None:
    """Open the page at a review."""
    _open(page, link)
    expect_settled(page)


def _open(page: Page, address: str) -> None:
    if page not in _runs:
        _runs[page] = Runs(page)
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=LONG)


def prompt_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="prompt")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def picture_of(page: Page) -> Locator:
    """The large picture."""
    return page.locator("[class*='st-key-canvas'] figure > img")


def thumbnails(page: Page) -> Locator:
    """The pictures of the strip."""
    return page.locator(".st-key-strip img")


def expect_original(page: Page) -> None:
    """Wait until the large picture is the original, and no other version of it."""
    expect(picture_of(page)).to_have_attribute("src", re.compile(r"/pictures/[^/]+$"))
    expect(picture_of(page)).to_have_js_property("complete", True)


def shown_bytes(page: Page) -> bytes:
    """The bytes behind the large picture."""
    expect_original(page)
    address = str(picture_of(page).evaluate("image => image.src"))
    return page.request.get(address).body()


def expect_prompt(page: Page, prompt: str) -> None:
    """Wait until the large picture is one that was asked for by this prompt."""
    expect(picture_of(page)).to_have_attribute("alt", prompt)


def edit_box(page: Page) -> Locator:
    """Where the prompt of the picture under review stands, to be changed."""
    return page.get_by_role("textbox", name="Edit the prompt")


def expect_focus(one: Locator) -> None:
    """Wait until this has the focus, whether or not its window is the one in front."""
    one.page.wait_for_function(
        "one => one === document.activeElement", arg=one.element_handle(), timeout=LONG
    )


def facts(page: Page) -> Locator:
    """The line that says which picture this is."""
    return page.get_by_text(re.compile(r"^Picture \d+ · "))


def generate(page: Page, prompt: str) -> None:
    prompt_box(page).fill(prompt)
    button(page, "Generate Image").click()


def sockets_of(page: Page, deaf: list[int] | None = None) -> list[WebSocketRoute]:
    """Return the connections that a page makes from now on, as it makes them.

    By those in `deaf`, counted from 0, it hears nothing, as long as they are there.
    """
    sockets: list[WebSocketRoute] = []

    def note(socket: WebSocketRoute) -> None:
        server, number = socket.connect_to_server(), len(sockets)
        if deaf is not None:
            server.on_message(lambda message: None if number in deaf else socket.send(message))
        sockets.append(socket)

    page.route_web_socket("**/_stcore/stream", note)
    return sockets


def send_by_key(page: Page, box: Locator, name: str) -> None:
    """Press the keys that send what stands in a box, once its button is there to hear them."""
    expect(button(page, name)).to_be_enabled()
    expect_settled(page)
    box.press("Control+Enter")


def expect_screen(page: Page, heading: str, timeout: float = LONG) -> None:
    expect(page.get_by_role("heading", name=heading)).to_be_visible(timeout=timeout)


def expect_listening(page: Page) -> None:
    """Wait until the page has done what it does after it has drawn something.

    Only then it listens for the key of a button that it shows, and knows what it owes the server.
    """
    page.evaluate(AT_REST)


def expect_settled(page: Page) -> None:
    """Wait until no run is asked for or under way, and all that the last one brought is drawn.

    Of a page that `open_app` has not opened, such as the benchmark's, only the latter is known.
    """
    # What was clicked has been sent by then, and is known here.
    expect_listening(page)
    runs = _runs.get(page)
    until = time.monotonic() + LONG / 1000
    while runs and runs.owed:
        assert time.monotonic() < until, "A run that the page has asked for has not ended."
        # Playwright takes in what comes over the websocket only while it is called.
        page.wait_for_timeout(10)
    expect(page.get_by_test_id("stApp")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=LONG
    )
    # Code of the page that is still on its way.
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=LONG)
    # What a run has brought may still be drawn, and takes a click that comes in the middle of it.
    expect_listening(page)
    # To click in one that still opens, Playwright scrolls within it; it springs back as it grows,
    # and the mouse goes up beside what it went down on.
    page.wait_for_function(OPENED)


def choose(page: Page, label: str, value: str) -> None:
    """Choose a setting of the side bar."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=value).click()
    expect_settled(page)


def to_review(page: Page, app: RunningApp, prompt: str = "a fox") -> None:
    open_app(page, app)
    generate(page, prompt)
    expect_screen(page, "2. Review Generated Image")
    expect_settled(page)


def expect_selected(page: Page, number: int) -> None:
    expect(facts(page)).to_contain_text(f"Picture {number} ·")


def edit_and_generate(page: Page, prompt: str, number: int) -> None:
    edit_box(page).fill(prompt)
    button(page, "Generate Image").click()
    expect_selected(page, number)
    expect_settled(page)


def regenerate(page: Page, number: int) -> None:
    """Ask for another attempt, and wait until it is there and is this number."""
    button(page, "Regenerate").click()
    expect_selected(page, number)
    expect_settled(page)


def box_of(locator: Locator) -> FloatRect:
    box = locator.bounding_box()
    assert box
    return box
