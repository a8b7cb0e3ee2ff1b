"""Measure a hundred agents that wait, and the people who decide for them: `make bench-agents`."""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from tests.agents import ENABLED, texts
from tests.bench.__main__ import DOCUMENT, QUIET, SHORT
from tests.bench.report import in_seconds, machine, percentile, write
from tests.bench.world import BenchServer, cpu_seconds
from tests.conftest import RunningApp, run_app
from tests.sessions import Session

BEGIN = "<!-- made by `make bench-agents`, from here -->"
END = "<!-- the agents end here -->"
AGENTS, PEOPLE = 100, 20
# In seconds: how long it is watched that all of them wait.
WAITING = 20.0
KINDS = ("approved", "declined")


@dataclass
class Waiter:
    """One agent; `kind` is the decision that it was told, at `told_at`."""

    session_id: str = ""
    review: str = ""
    kind: str = ""
    told_at: float = 0.0


async def interact(client: httpx2.AsyncClient, waiter: Waiter, **wish: object) -> dict[str, Any]:
    """Make one interaction; one that takes longer than the server waits is waited for."""
    while True:
        body = {"session_id": waiter.session_id, **wish} if waiter.session_id else wish
        answer = (await client.post("/_stcore/agent/interact", json=body)).json()
        code = answer.get("error", {}).get("code")
        if code != "wait_timed_out":
            assert code is None, answer
            waiter.session_id = answer["session_id"]
            return dict(answer)
        wish = {}


async def ask(client: httpx2.AsyncClient, number: int) -> Waiter:
    """Have an agent make a picture, and ask a person."""
    waiter = Waiter()
    await interact(client, waiter)
    widgets = {"prompt": f"agent {number}"}
    await interact(client, waiter, widget_state=widgets, trigger={"key": "Generate Image"})
    widgets = {"purpose": f"of agent {number}"}
    page = await interact(client, waiter, widget_state=widgets, trigger={"key": "Ask a person"})
    (link,) = texts(page, "code")
    waiter.review = link.partition("?review=")[2]
    return waiter


async def wait(client: httpx2.AsyncClient, waiter: Waiter) -> None:
    """Have an agent wait for the decision."""
    page = await interact(client, waiter, trigger={"key": "Wait for the decision"})
    waiter.told_at = time.monotonic()
    waiter.kind = answer_in("\n".join(texts(page)))


def answer_in(text: str) -> str:
    """Return the decision that a page tells."""
    return next((kind for kind in KINDS if f"has {kind} it" in text), "")


async def decide(app: RunningApp, review: str) -> tuple[float, list[str]]:
    """Have two people decide differently at one moment; return when, and what each is told."""
    query = f"review={review}"
    async with Session(app.address, query=query) as one, Session(app.address, query=query) as two:
        pages = (one, two)
        for page in pages:
            await page.wait_for(lambda it: it.runs_finished > 0 and it.has_button("Decline it"))
        clicked = time.monotonic()
        labels = ("Approve", "Decline it")
        clicks = [
            page.click(page.button_id(label)) for page, label in zip(pages, labels, strict=True)
        ]
        await asyncio.gather(*clicks)
        for page in pages:
            await page.wait_for(lambda it: it.runs_finished > 0)
            if not told(page):
                await page.rerun()
        return clicked, [told(page) for page in pages]


def told(page: Session) -> str:
    """Return the decision that a person's page tells."""
    return answer_in("\n".join(one.text.body for one in page.elements.get("text", [])))


async def measure(app: RunningApp) -> list[tuple[str, str]]:
    """Return what was measured, and its figures."""
    limits = httpx2.Limits(max_connections=2 * AGENTS)
    async with httpx2.AsyncClient(base_url=app.address, timeout=90, limits=limits) as client:
        waiters = await asyncio.gather(*(ask(client, number) for number in range(AGENTS)))
        waits = [asyncio.create_task(wait(client, waiter)) for waiter in waiters]
        # What goes on right after the clicks is not waiting.
        await asyncio.sleep(3)
        before = cpu_seconds(app.process.pid)
        # Not a wait for something to happen, but the length of the measurement.
        await asyncio.sleep(WAITING)
        cores = (cpu_seconds(app.process.pid) - before) / WAITING
        people = asyncio.Semaphore(PEOPLE // 2)

        async def visit(waiter: Waiter) -> tuple[float, list[str]]:
            async with people:
                return await decide(app, waiter.review)

        decided = await asyncio.gather(*(visit(waiter) for waiter in waiters))
        await asyncio.wait_for(asyncio.gather(*waits), 120)
    lags = [waiter.told_at - at for waiter, (at, _) in zip(waiters, decided, strict=True)]
    lost = sum(not waiter.kind for waiter in waiters)
    double = sum(
        {waiter.kind} != set(pages) for waiter, (_, pages) in zip(waiters, decided, strict=True)
    )
    kinds = [waiter.kind for waiter in waiters]
    split = ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS)
    return [
        (f"cores busy while {AGENTS} agents wait", f"{cores:.2f}"),
        ("decisions lost", str(lost)),
        ("decisions that the agent and both people were not told alike", str(double)),
        (f"of {AGENTS} pairs who decide differently at one moment", split),
        ("from the click to the agent's answer, median", in_seconds(median(lags))),
        ("the same, 95th percentile", in_seconds(percentile(lags, 0.95))),
    ]


def main() -> None:
    """Measure, and write the table."""
    with TemporaryDirectory() as folder, BenchServer() as api:
        api.latency = SHORT
        environment = {**api.environment, **QUIET, **ENABLED, "IMAGE_CONCURRENCY": "16"}
        environment["STREAMLIT_SERVER_AGENT_MAX_SESSIONS"] = str(2 * AGENTS)
        with run_app(Path(folder) / "log", **environment) as app:
            rows = asyncio.run(measure(app))
    table = ["| what | figure |", "| --- | --- |", *(f"| {what} | {it} |" for what, it in rows)]
    made = "\n".join([machine(), "", *table])
    write(DOCUMENT, made, BEGIN, END)
    sys.stdout.write(f"{made}\n")
    if any(figure != "0" for what, figure in rows if what.startswith("decisions")):
        sys.exit("Decisions were lost, or told differently.")


if __name__ == "__main__":
    main()
