"""What a person sees, by the page's own clock: whatever a frame shows anew is noted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.bench.world import DRAFT_SIZE, SIZE, BenchServer, cpu_seconds, picture_bytes, sent_at
from tests.conftest import RunningApp
from tests.studio import LONG, button, choose, expect_settled, generate
from utils.images.pictures import DRAFT_SIDE, THUMBNAIL

# A locator's own waiting looks up to half a second apart, and would hide all that is measured.
NOTE_EACH_FRAME = """
    window.noted = [];
    addEventListener("click", () => noted.push({at: Date.now(), click: true}), true);
    let last = "";
    const shown = (element) => element.getClientRects().length > 0;
    const look = () => {
        const buttons = [...document.querySelectorAll("button:enabled")].filter(shown);
        const pictures = [...document.images].filter((one) => one.complete && shown(one));
        const frame = {
            buttons: buttons.map((one) => one.textContent),
            boxes: [...document.querySelectorAll("textarea:enabled")].filter(shown).length,
            pictures: pictures.map((one) => [one.src, one.naturalWidth]),
        };
        if (JSON.stringify(frame) !== last) {
            last = JSON.stringify(frame);
            noted.push({at: Date.now(), ...frame});
        }
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
"""

SLOW_LINE = {
    "offline": False,
    "latency": 40,
    "downloadThroughput": 10e6 / 8,
    "uploadThroughput": 10e6 / 8,
}
# What holds a picture's place is as wide as the picture.
BLANK = "data:image/svg"
THERE = f"frame.pictures.some((one) => one[1] == {SIZE} && !one[0].startsWith('{BLANK}'))"


@dataclass(frozen=True)
class Frame:
    """What the page showed from `at` (seconds) on: buttons and boxes in use, complete pictures."""

    at: float
    buttons: tuple[str, ...]
    boxes: int
    pictures: tuple[tuple[str, int], ...]

    def has_button(self, label: str) -> bool:
        return any(label in button for button in self.buttons)

    def count_wide(self, *widths: int) -> int:
        return sum(
            width in widths for address, width in self.pictures if not address.startswith(BLANK)
        )

    @property
    def is_usable(self) -> bool:
        """Whether a person can type a prompt and click."""
        return self.boxes > 0 and self.has_button("Generate Image")


@dataclass(frozen=True)
class Wait:
    """One wait for a picture; all but `cpu` in seconds on screen, after the click or the API.

    `picture_bytes` are those of all pictures that the page asked for up to the decision.
    """

    lag: float
    first_draft: float | None
    whole: float
    cpu: float
    picture_bytes: int


@contextmanager
def new_page(browser: Browser, *, slow: bool = False) -> Iterator[Page]:
    """A page of a browser that has seen nothing yet; a `slow` line has 10 Mbit/s and 40 ms."""
    with browser.new_context(viewport={"width": 1366, "height": 768}) as context:
        context.add_init_script(NOTE_EACH_FRAME)
        page = context.new_page()
        if slow:
            network = context.new_cdp_session(page)
            network.send("Network.enable")
            network.send("Network.emulateNetworkConditions", SLOW_LINE)
        yield page


def sockets_of(page: Page) -> list[WebSocket]:
    """Return a list that fills with the page's websockets."""
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    return sockets


def frames(page: Page) -> tuple[float, list[Frame]]:
    """Return when the last click was, and all frames since."""
    noted: list[dict[str, Any]] = page.evaluate("noted")
    clicks = [index for index, note in enumerate(noted) if "click" in note]
    clicked, since = (noted[clicks[-1]]["at"], noted[clicks[-1] + 1 :]) if clicks else (0, noted)
    return clicked / 1000, [
        Frame(
            note["at"] / 1000,
            tuple(note["buttons"]),
            note["boxes"],
            tuple((address, width) for address, width in note["pictures"]),
        )
        for note in since
        if "click" not in note
    ]


def first_time(seen: list[Frame], there: Callable[[Frame], bool]) -> float:
    """Return when something was on screen for the first time."""
    times = [frame.at for frame in seen if there(frame)]
    assert times, f"never seen; in the end: {seen[-1] if seen else 'nothing'}"
    return times[0]


def expect_noted(page: Page, label: str, condition: str) -> None:
    """Wait until a frame has been noted that has this button and meets a condition on `frame`."""
    page.wait_for_function(
        "(label) => { const frame = noted.at(-1); return frame?.buttons"
        f" && frame.buttons.some((one) => one.includes(label)) && {condition}; }}",
        arg=label,
        timeout=LONG,
    )


def load(page: Page, app: RunningApp) -> tuple[float, float]:
    """Open the page; return when it began to load, and when it could be used."""
    page.goto(app.address)
    expect_noted(page, "Generate Image", "frame.boxes > 0")
    expect_settled(page)
    _, seen = frames(page)
    return page.evaluate("performance.timeOrigin") / 1000, first_time(seen, lambda f: f.is_usable)


def wait_for_picture(
    page: Page, app: RunningApp, server: BenchServer, prompt: str, original: str
) -> Wait:
    """Generate on a page that is open, and check that it ends with the server's own picture.

    `original` is a pattern of the address of the server's own bytes, '' where a page shows another
    version alone: then its size is all that is checked.
    """
    cpu = cpu_seconds(app.process.pid)
    generate(page, prompt)
    expect_noted(page, "Approve", THERE)
    # The app shows these first, and the rest of the screen by another run.
    expect(button(page, "Cancel")).to_have_count(0, timeout=LONG)
    expect_settled(page)
    cpu = cpu_seconds(app.process.pid) - cpu
    if original:
        expect_original(page, original, prompt)
    clicked, seen = frames(page)
    done = first_time(seen, lambda f: f.count_wide(SIZE) > 0 and f.has_button("Approve"))
    drafts = [frame.at for frame in seen if frame.count_wide(DRAFT_SIZE, DRAFT_SIDE)]
    return Wait(
        lag=done - sent_at(server.call_of(prompt)),
        first_draft=drafts[0] - clicked if drafts else None,
        whole=done - clicked,
        cpu=cpu,
        picture_bytes=_bytes_of_pictures(page, [one for one in seen if one.at <= done]),
    )


def expect_original(page: Page, original: str, prompt: str) -> None:
    """Wait until the server's own picture is there, and check that it is this prompt's."""
    page.wait_for_function(
        "(part) => [...document.images].some((one) => one.complete && one.src.match(part))",
        arg=original,
    )
    assert page.request.get(largest_picture(page)).body() == picture_bytes(prompt)


def _bytes_of_pictures(page: Page, seen: list[Frame]) -> int:
    """Return what came over HTTP, and what came over the websocket, of the pictures in frames."""
    inside = {address for one in seen for address, _ in one.pictures if address.startswith("data:")}
    fetched = page.evaluate(
        """(until) => performance.getEntriesByType("resource")
            .filter((one) => one.initiatorType === "img")
            .filter((one) => performance.timeOrigin + one.startTime <= until)
            .reduce((sum, one) => sum + one.encodedBodySize, 0)""",
        1000 * seen[-1].at,
    )
    return int(fetched) + sum(map(len, inside))


def largest_picture(page: Page) -> str:
    """Return the address of the picture that takes most room on the page."""
    return str(
        page.evaluate("[...document.images].sort((a, b) => b.clientWidth - a.clientWidth)[0].src")
    )


def bytes_of_approval(page: Page, sockets: list[WebSocket]) -> int:
    """Approve the picture under review; return the bytes over the websocket, both ways."""
    counted: list[int] = []

    def count(payload: str | bytes) -> None:
        counted.append(len(payload))

    for socket in sockets:
        socket.on("framereceived", count)
        socket.on("framesent", count)
    button(page, "Approve").click()
    expect(button(page, "Back to review")).to_be_enabled(timeout=LONG)
    expect_settled(page)
    assert counted
    return sum(counted)


def wait_for_several(
    page: Page, server: BenchServer, prompt: str, pictures: int, original: str
) -> float:
    """Ask for pictures; return the seconds from the click until all are in the strip."""
    if pictures > 1:
        choose(page, "Pictures at a time", str(pictures))
    generate(page, prompt)
    page.wait_for_function(
        "([width, n]) => noted.at(-1).pictures?.filter((one) => one[1] == width).length == n",
        arg=[THUMBNAIL, pictures],
    )
    expect_settled(page)
    assert len([call for call in server.calls if call.wish["prompt"] == prompt]) == pictures
    expect_original(page, original, prompt)
    clicked, seen = frames(page)
    return (
        first_time(seen, lambda f: f.count_wide(THUMBNAIL) == pictures and f.has_button("Approve"))
        - clicked
    )
