"""A busy day: many browsers do random things while the server misbehaves at random.

`python -m tests.soak` drives the real app over its websocket, by a fixed seed. A browser that has
asked for as much as is kept of it leaves, and another one takes its place. In the end all come
back, and must find every picture that was made for them. The figures go into docs/benchmarks.md.
"""

import argparse
import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Self

import httpx2
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed

from tests.bench.report import percentile
from tests.bench.world import memory_bytes
from tests.conftest import ROOT, RunningApp, run_app
from tests.moods import TIMEOUT, MoodyServer, made_for, versions_for
from tests.sessions import Session
from utils.images.addresses import PATH
from utils.review.choosing import MAX_ATTEMPTS

MAX_TABS = 3
# Every so many-th browser gets pictures that fill the memory: it alone may lose its oldest.
LARGE = 8
PICTURE_MEMORY = 64
# Seconds: all tries with their pauses, in line behind others; and a rerun with nothing to wait for.
SETTLED, ANSWERED = 90.0, 10.0
# Below so many minutes the pictures do not fill the memory, and a growth says nothing.
MINUTES_TO_FILL = 5
TROUBLE = "Something went wrong on our side"
TABLE = re.compile(
    r"(?<=<!-- made by `make soak`, from here -->\n).*?(?=<!-- the soak ends here -->)", re.S
)

KINDS = {
    "click": 58,
    "double click": 8,
    "late click": 5,
    "other steering": 6,
    "another tab": 8,
    "reload": 6,
    "close": 4,
    "drop": 5,
}
# How often each is clicked, where it can be, by how its label begins.
CLICKS = {
    "Generate Image": 6,
    "Regenerate": 5,
    "Change picture": 6,
    "Make the missing": 5,
    "Cancel": 1,
    "Approve": 2,
    "Back to review": 3,
    "Start Over": 2,
    "Reopen": 2,
    "Next": 2,
    "Previous": 2,
    "Picture ": 2,
}
COSTLY = ("Generate Image", "Regenerate", "Change picture", "Make the missing")
STOPS = ("Cancel", "Start Over")
PATIENT = 0.75


@dataclass
class Figures:
    """What is counted, and `wrong`: what went wrong."""

    actions: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(
        default_factory=lambda: {"lost": [], "strange": [], "doubled": [], "stuck": [], "log": []}
    )
    cancelled: int = 0
    deaf: int = 0
    large_bytes: int = 0
    reruns: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)


class Tab(Session):
    """A session that takes in whatever comes, while its browser does other things."""

    def __init__(self, address: str, cookie: str) -> None:
        super().__init__(address, cookie)
        self.news = asyncio.Event()
        self.troubles: set[str] = set()
        # What was clicked here to ask for pictures.
        self.clicked: list[str] = []

    async def open(self) -> Self:
        """Connect, for the first time or again, and keep taking in."""
        await self.__aenter__()
        self._pump = asyncio.create_task(self._take_in())
        return self

    async def close(self) -> None:
        """Go away, in the middle of whatever there is."""
        self._pump.cancel()
        await self.__aexit__()

    def drop(self) -> None:
        """Lose the connection, without a word."""
        self.runs_begun = 0
        self._pump.cancel()
        self._socket.transport.abort()

    async def until(self, there: Callable[[], bool], within: float) -> None:
        """Wait until `there` says so. Raises TimeoutError where it does not."""
        async with asyncio.timeout(within):
            while not there():
                self.news.clear()
                await self.news.wait()

    async def seconds_of_rerun(self) -> float:
        """Have the script run once more, with nothing to wait for."""
        began = time.perf_counter()
        await self.ask_for_a_rerun()
        await self.until(self.is_settled, ANSWERED)
        return time.perf_counter() - began

    async def ask_for_a_rerun(self) -> None:
        """Have the script run once more."""
        self.runs_finished = 0
        await self._send(BackMsg())

    async def choose(self, box_id: str, value: str) -> None:
        """Choose a value in a box that has the script run at once."""
        message = BackMsg()
        message.rerun_script.widget_states.widgets.add(id=box_id, string_value=value)
        self.runs_finished = 0
        await self._send(message)

    def is_settled(self) -> bool:
        """Whether a run has ended and nothing is waited for."""
        return self.runs_finished > 0 and not self.has_button("Cancel")

    def buttons(self) -> list[tuple[str, str]]:
        """The labels and ids of the buttons that can be clicked."""
        buttons = [one.button for one in self.elements.get("button", [])]
        return [(one.label, one.id) for one in buttons if not one.disabled]

    def box_id(self, kind: str, label: str) -> str:
        """The id of a box, '' where the screen has none."""
        boxes = [getattr(one, kind) for one in self.elements.get(kind, [])]
        return next((str(box.id) for box in boxes if box.label == label), "")

    def addresses(self) -> set[str]:
        """The addresses of all pictures on the page that were made for somebody."""
        shown = {one for one in self.pictures() if one.startswith(PATH[1:])}
        return {
            f"{self._address}/{one}" for one in shown | {one[: one.rindex("/")] for one in shown}
        }

    async def _take_in(self) -> None:
        with suppress(ConnectionClosed):
            await self.wait_for(self._note)

    def _note(self, _: Session) -> bool:
        self.news.set()
        shown = [one.alert.body for one in self.elements.get("alert", [])]
        self.troubles |= {body for body in shown if body.startswith(TROUBLE)}
        self.troubles |= {one.exception.type for one in self.elements.get("exception", [])}
        return False


class Browser:
    """A browser with some tabs, which does random things until it has asked for enough."""

    def __init__(self, name: str, seed: int, app: str, figures: Figures) -> None:
        self.name, self.app, self.figures = name, app, figures
        self.dice = random.Random(f"{seed} {name}")
        self.cookie = ""
        self.tabs: list[Tab] = []
        # How often it was clicked to ask for pictures, and how many they may have been.
        self.clicks = 0
        self.asked = 0
        self.stops: list[float] = []
        self.found: dict[str, str] = {}

    @property
    def left(self) -> int:
        """How many pictures it may still ask for: no more than are kept of it."""
        return MAX_ATTEMPTS - self.asked

    async def live(self, until: float) -> None:
        """Do random things, and see in the end that each tab that is open still answers."""
        async with httpx2.AsyncClient(timeout=SETTLED) as client:
            answer = await client.get(self.app)
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        while time.monotonic() < until and self.left:
            await self.act()
            await asyncio.sleep(self.dice.uniform(0.2, 2))
        for tab in self.tabs:
            await self.see_that_it_answers(tab)
            await tab.close()

    async def act(self) -> None:
        """Do one thing in one tab."""
        kind = self.dice.choices(list(KINDS), list(KINDS.values()))[0]
        if not self.tabs or (kind == "another tab" and len(self.tabs) < MAX_TABS):
            self.figures.actions["another tab"] += 1
            self.tabs.append(await Tab(self.app, self.cookie).open())
            return
        tab = self.dice.choice(self.tabs)
        self.figures.actions[kind] += 1
        match kind:
            case "reload" | "close":
                self.tabs.remove(tab)
                await tab.close()
                if kind == "reload":
                    self.tabs.append(await Tab(self.app, self.cookie).open())
            case "drop":
                tab.drop()
                await tab.open()
                await self.see_that_it_hears(tab)
            case "late click":
                await self.click_late(tab)
            case "other steering":
                await self.steer(tab)
            case "click" | "double click":
                await self.click(tab, times=1 if kind == "click" else 2)

    async def click(self, tab: Tab, times: int) -> None:
        """Click something that is there, once or twice in a row."""
        there = [
            (label, button_id, often)
            for label, button_id in tab.buttons()
            for beginning, often in CLICKS.items()
            if label.startswith(beginning)
        ]
        if not there:
            return
        label, button_id, _ = self.dice.choices(there, [often for *_, often in there])[0]
        texts = self.ask(tab, label) if label.startswith(COSTLY) else {}
        if label in STOPS:
            # Often the only buttons there are: most waits are to have an end of another kind.
            if self.dice.random() < PATIENT:
                return
            self.stops.append(time.monotonic())
        for _ in range(times):
            await tab.click(button_id, **texts)
        if label.startswith(COSTLY):
            self.clicks += 1
            tab.clicked.append(button_id)

    def ask(self, tab: Tab, label: str) -> dict[str, str]:
        """Return what is typed and chosen before a click on a button that costs money."""
        count = min(self.dice.choices((1, 2, 3, 4), (6, 2, 1, 1))[0], self.left)
        self.asked += count
        words = f"{self.name} wish {self.dice.randrange(10**6)}"
        texts = {
            tab.box_id("selectbox", "Pictures at a time"): str(count),
            tab.box_id("text_area", "Prompt") or tab.box_id("text_area", "Edit the prompt"): words,
            tab.box_id("text_input", "What should be different here?"): words,
        }
        return {box_id: text for box_id, text in texts.items() if box_id}

    async def click_late(self, tab: Tab) -> None:
        """Click what the page had before, and has no more."""
        shown = [one.button.id for one in tab.elements.get("button", [])]
        gone = [button_id for button_id in tab.clicked if button_id not in shown]
        # Of a page that is not whole it is not known what it has no more.
        if gone and (tab.runs_finished or tab.has_button("Cancel")):
            await tab.click(self.dice.choice(gone))

    async def steer(self, tab: Tab) -> None:
        """Open the other one of the parts where the next picture is steered."""
        named = [block.tab_container.id for block in tab.blocks if block.tab_container.id]
        labels = ("Edit prompt", "Change this picture", "Use my pictures")
        if named:
            await tab.choose(named[-1], self.dice.choices(labels, (2, 4, 1))[0])

    async def see_that_it_hears(self, tab: Tab) -> None:
        """See whether a tab that came back hears of the turn that it has asked for.

        Streamlit sends what all sessions have in one round, and of a tab that comes back in the
        middle of it, to the connection that it had before. The next click helps.
        """
        try:
            await tab.until(lambda: tab.runs_begun > 0, ANSWERED)
        except TimeoutError:
            self.figures.deaf += 1
            await tab.ask_for_a_rerun()

    async def see_that_it_answers(self, tab: Tab) -> None:
        """See that nothing is waited for any more, and that a rerun ends soon."""
        try:
            await tab.until(tab.is_settled, SETTLED)
            self.figures.reruns.append(await tab.seconds_of_rerun())
        except TimeoutError:
            buttons = [label for label, _ in tab.buttons()]
            self.stuck(f"{tab.heading()!r}, {tab.runs_finished} runs, {buttons}")
        self.troubles_of(tab)

    async def come_back(self) -> None:
        """Open the page once more, and look at every picture that it has."""
        tab = await Tab(self.app, self.cookie).open()
        await self.see_that_it_answers(tab)
        async with httpx2.AsyncClient(timeout=SETTLED) as client:
            try:
                await self.look(tab, client)
                await self.put_away(tab, client)
                await self.reopen_one(tab, client)
            except TimeoutError:
                self.stuck(f"came back to {tab.heading()!r}")
        self.troubles_of(tab)
        await tab.close()

    async def put_away(self, tab: Tab, client: httpx2.AsyncClient) -> None:
        """Start over: all that there was is among the recent pictures."""
        async with asyncio.timeout(ANSWERED):
            while not tab.heading().startswith("1."):
                buttons = dict(tab.buttons())
                await tab.click(buttons.get("Start Over") or buttons["Approve"])
                await tab.until(tab.is_settled, ANSWERED)
                await self.look(tab, client)

    async def reopen_one(self, tab: Tab, client: httpx2.AsyncClient) -> None:
        """See one of the recent pictures in its full size."""
        buttons = [button_id for label, button_id in tab.buttons() if label == "Reopen"]
        if buttons:
            await tab.click(self.dice.choice(buttons))
            await tab.until(tab.is_settled, ANSWERED)
            await self.look(tab, client)

    async def look(self, tab: Tab, client: httpx2.AsyncClient) -> None:
        """Fetch the pictures that are on the page and were not looked at yet."""
        for address in tab.addresses() - self.found.keys():
            answer = await client.get(address)
            self.found[address] = sha256(answer.content).hexdigest()
            if answer.status_code != 200:
                self.stuck(f"a picture of the page is a {answer.status_code}")

    def has_stopped(self, since: float) -> bool:
        """Whether a button was clicked since then that stops what is under way."""
        return any(stop > since for stop in self.stops)

    def troubles_of(self, tab: Tab) -> None:
        """Note what a tab has shown that nobody should ever see."""
        for trouble in tab.troubles:
            self.stuck(trouble)
        tab.troubles.clear()

    def stuck(self, what: str) -> None:
        """Note that a page cannot be used as it should be."""
        self.figures.wrong["stuck"].append(f"{self.name}: {what}")


def judge(figures: Figures, server: MoodyServer, browsers: Sequence[Browser], log: str) -> None:
    """Count what is lost, strange or doubled, of all that the server has answered."""
    wrong = figures.wrong
    wrong["doubled"] += server.doubled()
    ended = Counter(re.findall(r"request=(\S+) model=\S+ (?:made|failed)", log))
    wrong["log"] += re.findall(r"^.*unexpected \w+$", log, re.MULTILINE)
    wrong["log"] += re.findall(r"Traceback.*\n(?:[ |+].*\n)*", log)
    for browser in browsers:
        large = browser.name.startswith("large")
        requests = server.requests.get(browser.name, [])
        clicks = {request.rpartition("-")[0] for request in requests}
        if len(clicks) > browser.clicks:
            wrong["doubled"].append(f"{browser.name}: {browser.clicks} clicks, {clicks}")
        looks = {request: _looks(request, large=large) for request in requests}
        found = set(browser.found.values())
        wrong["strange"] += [browser.name for _ in found - set().union(*looks.values())]
        made = server.made(browser.name)
        if large:
            # No more are kept of one browser than its share of the memory holds.
            figures.large_bytes += sum(len(made_for(request, large=True)) for request in made)
            continue
        for request in made:
            if found & looks[request]:
                continue
            tries = server.tries[request]
            if ended[request] < len(tries) and browser.has_stopped(tries[-1][1].began):
                # The app had not read it to its end when the person stopped it.
                figures.cancelled += 1
            else:
                said = [line for line in log.splitlines() if request in line]
                wrong["lost"].append(f"{browser.name}: {request}, {said}")


@cache
def _looks(request: str, *, large: bool) -> set[str]:
    """Return the SHA-256 of a request's picture, and of its smaller versions."""
    made = made_for(request, large=large), *versions_for(request, large=large)
    return {sha256(data).hexdigest() for data in made}


async def soak(app: RunningApp, figures: Figures, options: argparse.Namespace) -> list[Browser]:
    """Keep so many browsers busy for so long, have all come back, and return them."""
    until = time.monotonic() + 60 * options.minutes
    browsers: list[Browser] = []

    async def one_after_the_other(place: int) -> None:
        kind = "browser" if (place + 1) % LARGE else "large browser"
        number = 0
        while time.monotonic() < until:
            name = f"{kind} {place}.{number}"
            browser = Browser(name, options.seed, app.address, figures)
            browsers.append(browser)
            await browser.live(until)
            number += 1

    async def sample() -> None:
        while True:
            figures.memory.append(memory_bytes(app.process.pid) / 1e6)
            status = Path(f"/proc/{app.process.pid}/status").read_text()
            figures.threads.append(int(re.findall(r"Threads:\s+(\d+)", status)[0]))
            await asyncio.sleep(1)

    sampling = asyncio.create_task(sample())
    await asyncio.gather(*[one_after_the_other(place) for place in range(options.sessions)])
    back = iter(browsers)

    async def come_back_one_after_the_other() -> None:
        for browser in back:
            await browser.come_back()

    await asyncio.gather(*[come_back_one_after_the_other() for _ in range(options.sessions)])
    sampling.cancel()
    return browsers


def report(
    figures: Figures, server: MoodyServer, browsers: Sequence[Browser], options: argparse.Namespace
) -> str:
    """Return the figures as a table."""
    moods = Counter(mood for tries in server.tries.values() for mood, _ in tries)
    ends = Counter(call.ended for call in server.calls)
    made = sum(len(server.made(browser.name)) for browser in browsers)
    rerun, slow = median(figures.reruns), percentile(figures.reruns, 0.95)
    quarter, half, most = _growth(figures.memory)
    rows = {
        "browsers at once, in all": f"{options.sessions}, {len(browsers)}",
        "actions": _in_words(figures.actions),
        "requests, calls": f"{len(server.tries)}, {len(server.calls)}",
        "what the server did": _in_words(moods),
        "how the calls ended": _in_words(ends),
        "pictures that were sent to their end": str(made),
        "of these stopped by the person before they were read": str(figures.cancelled),
        "of these large, to fill the memory; of how much, in MB": (
            f"{figures.large_bytes / 2**20:.0f}, {PICTURE_MEMORY}"
        ),
        "lost": str(len(figures.wrong["lost"])),
        "found by another browser": str(len(figures.wrong["strange"])),
        "asked for twice": str(len(figures.wrong["doubled"])),
        "pages that were stuck or in trouble": str(len(figures.wrong["stuck"])),
        "of those that came back, deaf until the next click": str(figures.deaf),
        "a rerun at the end, median and 95th percentile": f"{rerun:.2f} s, {slow:.2f} s",
        "memory at a quarter, at half, most after it": (
            f"{quarter:.0f} MB, {half:.0f} MB, {most:.0f} MB"
        ),
        "threads, the same": ", ".join(f"{number:.0f}" for number in _growth(figures.threads)),
    }
    head = f"Run on {date.today().isoformat()}: {options.minutes:g} minutes, seed {options.seed}."
    lines = [head, "", "| what | figure |", "| --- | --- |"]
    lines += [f"| {what} | {figure} |" for what, figure in rows.items()]
    return "\n" + "\n".join(lines) + "\n\n"


def grows(figures: Figures) -> list[str]:
    """Return what has become more in the second half, when the memory for pictures is full."""
    grown = []
    for what, samples in (("memory", figures.memory), ("threads", figures.threads)):
        _, half, most = _growth(samples)
        if most > 1.25 * half:
            grown.append(f"{what} from {half:.0f} to {most:.0f}")
    return grown


def _growth(samples: Sequence[float]) -> tuple[float, float, float]:
    """Return the most in the first quarter, in the first half, and after it."""
    half = len(samples) // 2
    return max(samples[: half // 2 + 1]), max(samples[: half + 1]), max(samples[half:])


def _in_words(counted: Counter[str]) -> str:
    return ", ".join(f"{what} {number}" for what, number in counted.most_common())


def main(given: list[str] | None = None) -> list[str]:
    """Soak, write the figures, and return what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args(given)
    figures = Figures()
    with TemporaryDirectory() as folder, MoodyServer(options.seed) as server:
        log = Path(folder) / "log"
        settings = {"IMAGE_TIMEOUT": str(TIMEOUT), "PICTURE_MEMORY": str(PICTURE_MEMORY)}
        with run_app(log, **server.environment, **settings) as app:
            browsers = asyncio.run(soak(app, figures, options))
        judge(figures, server, browsers, log.read_text())
    if options.minutes >= MINUTES_TO_FILL:
        figures.wrong["grown"] = grows(figures)
    table = report(figures, server, browsers, options)
    sys.stdout.write(table)
    if options.write:
        document = ROOT / "docs/benchmarks.md"
        document.write_text(TABLE.sub(lambda _: table, document.read_text()))
    return [f"{kind}: {one}" for kind, some in figures.wrong.items() for one in some]


if __name__ == "__main__":
    found = main()
    sys.stdout.write("\n".join(found) + "\n")
    sys.exit(bool(found))
