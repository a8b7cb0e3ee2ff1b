"""A long, busy day: many browsers do random things while the server misbehaves at random.

`python -m tests.soak` drives the real app over its websocket, by a fixed seed. A browser that has
asked for enough comes back once more, and must find every picture that was made for it; then
another one takes its place. What is counted goes into docs/benchmarks.md.
"""

import argparse
import asyncio
import hashlib
import itertools
import random
import re
import statistics
import sys
import tempfile
import time
import zlib
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import httpx2
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed

from tests.conftest import ROOT, run_app
from tests.images_server import (
    Answer,
    Call,
    Drop,
    Head,
    ImagesServer,
    Pause,
    error,
    picture,
    plain,
    stream,
)
from tests.sessions import Session

# A browser is done when it has asked for so many: fewer than all that is kept of it.
ENOUGH = 16
TIMEOUT = 4
PATIENCE = 60
TABLE = re.compile(
    r"(?<=<!-- made by `make soak`, from here -->\n).*?(?=<!-- the soak ends here -->)", re.S
)
# By name: how often of a hundred, and whether the app may ask again by itself.
FAULTS = {
    "429": (5, True),
    "500": (5, True),
    "no answer": (5, True),
    "cut off": (4, True),
    "refused": (4, False),
    "garbage": (3, False),
    "504": (2, False),
    "too slow": (2, False),
}
CLICKS = {
    "Generate Image": 6,
    "Regenerate": 5,
    "Cancel": 1,
    "Approve": 2,
    "Back to review": 3,
    "Start Over": 2,
    "Reopen": 2,
    "Next": 3,
    "Previous": 2,
}
COSTLY = ("Generate Image", "Regenerate")
STOPS = ("Cancel", "Start Over")


class MoodyServer(ImagesServer):
    """Makes each request its own picture, or one of the faults, by the seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.moods: dict[str, list[str]] = {}

    def begin(self, call: Call) -> Answer:
        """Record the call and return its answer."""
        request_id = call.headers["x-client-request-id"]
        with self._news:
            self.calls.append(call)
            moods = self.moods.setdefault(request_id, [])
            dice = random.Random(f"{self.seed} {request_id} {len(moods)}")
            names = [*FAULTS, "picture"]
            weights = [often for often, _ in FAULTS.values()]
            moods.append(dice.choices(names, [*weights, 100 - sum(weights)])[0])
        return _answer(moods[-1], request_id, dice)


def picture_for(request_id: str) -> str:
    """Return the picture (base64) of a request: its colour and its size are its own."""
    return picture(request_id, (64 + zlib.crc32(request_id.encode()) % 64, 64))


def _answer(mood: str, request_id: str, dice: random.Random) -> Answer:
    image, pause = picture_for(request_id), Pause(dice.uniform(0.1, 2))
    drafts = [picture(f"draft {number}") for number in range(dice.randrange(3))]
    match mood:
        case "429":
            return error(429, "rate_limit_exceeded", retry_after="1")
        case "500" | "504":
            return [pause, *error(int(mood), None)]
        case "no answer":
            return [pause, Drop()]
        case "cut off":
            return [*stream(image, ["x", *drafts], Pause(0.1))[:-1], Drop()]
        case "refused":
            return error(400, "moderation_blocked")
        case "garbage":
            return [Head(content_type="text/html"), b"<html>no picture</html>"]
        case "too slow":
            return [Pause(3 * TIMEOUT), *plain(image)]
        case _ if drafts:
            return stream(image, drafts, pause)
        case _:
            return [pause, *plain(image)]


@dataclass
class Figures:
    """What is counted."""

    actions: Counter[str] = field(default_factory=Counter)
    browsers: int = 0
    lost: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    reruns: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


class Tab(Session):
    """A session that takes in whatever comes, while its browser does other things."""

    async def open(self) -> Self:
        """Connect, and keep taking in."""
        await self.__aenter__()
        self._pump = asyncio.create_task(self._take_in())
        return self

    async def close(self) -> None:
        """Go away, in the middle of whatever there is."""
        self._pump.cancel()
        await self.__aexit__()

    async def begin_a_rerun(self) -> None:
        """Have the script run once more."""
        self.runs_finished = 0
        await self._send(BackMsg())

    async def until(self, there: Callable[[], bool]) -> None:
        """Wait until `there` says so."""
        while not there():
            await asyncio.sleep(0.05)

    async def _take_in(self) -> None:
        with suppress(ConnectionClosed):
            await self.wait_for(lambda _: False)

    def buttons(self) -> dict[str, str]:
        """The ids of the buttons that can be clicked, by label."""
        buttons = [one.button for one in self.elements.get("button", [])]
        return {one.label: one.id for one in buttons if not one.disabled}

    def names(self) -> set[str]:
        """The names of all pictures on the page, which their signed addresses hold."""
        urls = [image.url for one in self.elements.get("imgs", []) for image in one.imgs.imgs]
        found = [re.search(r"/pictures/([0-9a-f]{64})\.", url) for url in urls]
        return {match[1] for match in found if match}

    def is_settled(self) -> bool:
        """Whether a run has ended and nothing is waited for."""
        return self.runs_finished > 0 and not self.has_button("Cancel")


class Browser:
    """A browser with one to three tabs, which does random things until it has had enough."""

    def __init__(self, name: str, dice: random.Random, app: str, server: MoodyServer) -> None:
        self.name, self.dice, self.app, self.server = name, dice, app, server
        self.cookie = ""
        self.tabs: list[Tab] = []
        self.old_clicks: list[str] = []
        self.stopped: set[str] = set()

    def calls(self) -> list[Call]:
        """The calls that were made for it: its prompts bear its name."""
        return [call for call in self.server.calls if f"{self.name} wish".encode() in call.body]

    async def live(self, figures: Figures, until: float) -> None:
        """Do random things; at the end come back, and look for the pictures."""
        async with httpx2.AsyncClient() as client:
            answer = await client.get(self.app)
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        figures.browsers += 1
        while time.monotonic() < until and len(self.calls()) < ENOUGH:
            await self.act(figures)
            await asyncio.sleep(self.dice.uniform(0, 0.8))
        for tab in self.tabs:
            await tab.close()
        try:
            await asyncio.wait_for(self.come_back(figures), PATIENCE)
        except TimeoutError:
            figures.stuck.append(f"{self.name} never settled")

    async def act(self, figures: Figures) -> None:
        """Do one thing in one tab."""
        kinds = ("click", "double click", "late click", "reload", "close", "another tab")
        kind = self.dice.choices(kinds, (70, 8, 4, 8, 4, 6))[0]
        if not self.tabs or (kind == "another tab" and len(self.tabs) < 3):
            self.tabs.append(await Tab(self.app, self.cookie).open())
            return
        tab = self.dice.choice(self.tabs)
        figures.actions[kind] += 1
        if kind in ("reload", "close"):
            self.tabs.remove(tab)
            await tab.close()
            if kind == "reload":
                self.tabs.append(await Tab(self.app, self.cookie).open())
        elif kind == "late click" and self.old_clicks:
            await tab.click(self.dice.choice(self.old_clicks))
        else:
            await self.click(tab, times=2 if kind == "double click" else 1)

    async def click(self, tab: Tab, times: int) -> None:
        """Click something that is there, once or twice in a row."""
        buttons = tab.buttons()
        labels = [label for label in CLICKS if label in buttons]
        if not labels or not tab.runs_finished:
            return
        label = self.dice.choices(labels, [CLICKS[one] for one in labels])[0]
        if label in STOPS:
            self.stopped |= {call.headers["x-client-request-id"] for call in self.calls()}
        texts = {}
        boxes = tab.elements.get("text_area", [])
        if label == "Generate Image" and boxes:
            wish = f"{self.name} wish {self.dice.randrange(10**6)}"
            texts = {boxes[-1].text_area.id: wish}
        if label in COSTLY:
            self.old_clicks.append(buttons[label])
        for _ in range(times):
            await tab.click(buttons[label], **texts)

    async def come_back(self, figures: Figures) -> None:
        """Open the page once more, put all away, and find every picture among the recent ones."""
        tab = await Tab(self.app, self.cookie).open()
        await tab.until(tab.is_settled)
        began = time.perf_counter()
        await tab.begin_a_rerun()
        await tab.until(tab.is_settled)
        figures.reruns.append(time.perf_counter() - began)
        for label in ("Approve", "Start Over"):
            if label in tab.buttons():
                await tab.click(tab.buttons()[label])
                await tab.until(partial(self.is_over, tab, label))
        if not tab.heading().startswith("1."):
            figures.stuck.append(f"{self.name} is at {tab.heading()!r}")
        found = tab.names()
        for request_id in self.made() - self.stopped:
            if name_of(request_id) not in found:
                figures.lost.append(request_id)
        own = {name_of(call.headers["x-client-request-id"]) for call in self.calls()}
        figures.strange += sorted(found - own)
        await tab.close()

    @staticmethod
    def is_over(tab: Tab, label: str) -> bool:
        """Whether a click on this button has led somewhere else."""
        return tab.is_settled() and not tab.has_button(label)

    def made(self) -> set[str]:
        """The ids of its requests whose picture was handed over to the end."""
        return {
            call.headers["x-client-request-id"]
            for call in self.calls()
            if call.ended == "answered"
            and self.server.moods[call.headers["x-client-request-id"]][-1] == "picture"
        }


def name_of(request_id: str) -> str:
    """Return the name that the picture of a request has."""
    return hashlib.sha256(b64decode(picture_for(request_id))).hexdigest()


def doubled(server: MoodyServer) -> list[str]:
    """Return what was asked for twice: at once, after a picture, or after what asks the person."""
    wrong = []
    calls: dict[str, list[Call]] = {}
    for call in server.calls:
        calls.setdefault(call.headers["x-client-request-id"], []).append(call)
    for request_id, of_one in calls.items():
        moods = server.moods[request_id]
        at_once = any(
            not one.ended or other.began < one.ended_at for one, other in itertools.pairwise(of_one)
        )
        again = [mood for mood in moods[:-1] if mood == "picture" or not FAULTS[mood][1]]
        if at_once or again or len(moods) > 3:
            wrong.append(f"{request_id}: {moods}")
    return wrong


async def soak(
    address: str, process: int, server: MoodyServer, arguments: argparse.Namespace, figures: Figures
) -> None:
    """Keep so many browsers busy for so long."""
    until = time.monotonic() + 60 * arguments.minutes

    async def one_after_the_other(place: int) -> None:
        number = 0
        while time.monotonic() < until:
            name = f"browser {place}.{number}"
            dice = random.Random(f"{arguments.seed} {name}")
            await Browser(name, dice, address, server).live(figures, until)
            number += 1

    async def sample() -> None:
        while True:
            status = Path(f"/proc/{process}/status").read_text()
            figures.memory.append(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024)
            await asyncio.sleep(1)

    sampling = asyncio.create_task(sample())
    await asyncio.gather(*[one_after_the_other(place) for place in range(arguments.sessions)])
    sampling.cancel()


def report(figures: Figures, server: MoodyServer, arguments: argparse.Namespace) -> str:
    """Return the figures as a table."""
    moods = Counter(mood for of_one in server.moods.values() for mood in of_one)
    faults = ", ".join(f"{name} {moods[name]}" for name in FAULTS)
    half = len(figures.memory) // 2
    first, second = max(figures.memory[: half or 1]), max(figures.memory[half:])
    reruns = statistics.quantiles([*figures.reruns, *figures.reruns], n=20)
    rows = {
        "browsers, at once and in all": f"{arguments.sessions}, {figures.browsers}",
        "minutes, seed": f"{arguments.minutes:g}, {arguments.seed}",
        "actions": ", ".join(f"{kind} {n}" for kind, n in figures.actions.most_common()),
        "requests, calls": f"{len(server.moods)}, {len(server.calls)}",
        "pictures": str(moods["picture"]),
        "faults": faults,
        "pictures that their owner did not find": str(len(figures.lost)),
        "pictures of somebody else": str(len(figures.strange)),
        "asked for twice": str(len(doubled(server))),
        "pages that were stuck": str(len(figures.stuck)),
        "a rerun at the end, median and 95th percentile": f"{reruns[9]:.2f} s, {reruns[18]:.2f} s",
        "memory, most in the first half and in the second": f"{first:.0f} MB, {second:.0f} MB",
    }
    lines = ["| what | figure |", "| --- | --- |"]
    return "\n".join([*lines, *[f"| {what} | {figure} |" for what, figure in rows.items()]]) + "\n"


def main(given: list[str] | None = None) -> list[str]:
    """Soak, write the figures, and return what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args(given)
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder, MoodyServer(arguments.seed) as server:
        log = Path(folder) / "log"
        settings = {"IMAGE_TIMEOUT": str(TIMEOUT), "PICTURE_MEMORY": "64"}
        with run_app(log, **server.environment, **settings) as app:
            asyncio.run(soak(app.address, app.process.pid, server, arguments, figures))
        troubles = re.findall(r"^\w*(?:Error|Exception)\b.*", log.read_text(), re.MULTILINE)
    table = report(figures, server, arguments)
    sys.stdout.write(table)
    if arguments.write:
        document = ROOT / "docs/benchmarks.md"
        document.write_text(TABLE.sub(lambda _: table, document.read_text()))
    half = len(figures.memory) // 2
    grows = max(figures.memory[half:]) > 1.25 * max(figures.memory[: half or 1]) + 32
    return [
        *[f"lost: {one}" for one in figures.lost],
        *[f"a stranger's picture: {one}" for one in figures.strange],
        *[f"asked for twice: {one}" for one in doubled(server)],
        *[f"stuck: {one}" for one in figures.stuck],
        *[f"in the log: {one}" for one in troubles],
        *(["memory grows"] if grows else []),
    ]


if __name__ == "__main__":
    wrong = main()
    sys.stdout.write("\n".join(wrong) + "\n")
    sys.exit(bool(wrong))
