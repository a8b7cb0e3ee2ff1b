"""What the server does for its sessions: many of them at once, without a browser."""

import asyncio
import math
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx2

from tests.bench.world import BenchServer, cpu_seconds, memory_bytes, picture_bytes
from tests.conftest import ROOT, RunningApp
from tests.images_server import Gate
from tests.sessions import Session

PATIENCE = 150.0


async def make_attempts(session: Session, prompt: str, attempts: int) -> None:
    """Generate once, and regenerate until there are so many attempts."""
    await session.generate(prompt)
    await session.wait_until_settled("Regenerate")
    for _ in range(attempts - 1):
        await session.click(session.button_id("Regenerate"))
        await session.wait_until_settled("Regenerate")
    assert len(session.pictures()) == 1 + attempts


@dataclass(frozen=True)
class Rerun:
    """What a rerun takes: median seconds, and how many elements the screen has."""

    seconds: float
    elements: int


async def seconds_of_reruns(
    app: RunningApp, attempts: int, repetitions: int
) -> tuple[Rerun, Rerun]:
    """Return what a rerun takes with so many attempts, and with one."""

    async def rerun(session: Session) -> float:
        # The server tidies up after a run, and would do so in the time of the other session.
        await asyncio.sleep(random.uniform(0.05, 0.1))
        began = time.perf_counter()
        await session.rerun()
        return time.perf_counter() - began

    async with Session(app.address) as few, Session(app.address) as many:
        await make_attempts(few, "few", 1)
        await make_attempts(many, "many", attempts)
        pairs = [(await rerun(many), await rerun(few)) for _ in range(repetitions)]
        elements = [sum(map(len, session.elements.values())) for session in (many, few)]
    return (
        Rerun(median(pair[0] for pair in pairs), elements[0]),
        Rerun(median(pair[1] for pair in pairs), elements[1]),
    )


async def bytes_of_memory(
    app: RunningApp, sessions: int, attempts: int, reruns: int
) -> tuple[float, float]:
    """Return the memory of sessions over the bytes of their pictures, new and after reruns."""
    async with AsyncExitStack() as stack:
        # The first session pays for what all share.
        await make_attempts(await stack.enter_async_context(Session(app.address)), "first", 1)
        before = memory_bytes(app.process.pid)
        opened = []
        for number in range(sessions):
            session = await stack.enter_async_context(Session(app.address))
            await make_attempts(session, f"memory {number}", attempts)
            opened.append(session)
        pictures = sessions * attempts * len(picture_bytes("memory 0"))
        after = memory_bytes(app.process.pid) - before
        for number in range(reruns):
            await opened[number % sessions].rerun()
        return after / pictures, (memory_bytes(app.process.pid) - before) / pictures


async def lags(
    app: RunningApp, server: BenchServer, name: str, sessions: int, cookies: Sequence[str] = ()
) -> list[float]:
    """Have so many sessions click within a second; return how many seconds their pages lag.

    They count from when the server begins to send the finished picture until the session has the
    decision and the picture's own bytes; who does not get them in time is left out. `cookies` are
    those of their browsers, if each has one.
    """
    cookies = cookies or [""] * sessions

    async def see_own_picture(session: Session, client: httpx2.AsyncClient, number: int) -> float:
        prompt = f"{name} {number}"
        await asyncio.sleep(number / sessions)
        await session.generate(prompt)
        await session.wait_for(lambda one: one.has_button("Approve"))
        headers = {"Cookie": cookies[number]} if cookies[number] else {}
        seen = await client.get(session.picture_address(), headers=headers)
        done = time.monotonic()
        return done if seen.content == picture_bytes(prompt) else math.inf

    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=PATIENCE))
        opened = [
            await stack.enter_async_context(Session(app.address, cookie)) for cookie in cookies
        ]
        for session in opened:
            await session.wait_for(lambda one: one.runs_finished > 0)
        waits = [
            asyncio.create_task(see_own_picture(session, client, number))
            for number, session in enumerate(opened)
        ]
        await asyncio.wait(waits, timeout=PATIENCE)
    return [
        wait.result() - server.call_of(f"{name} {number}").step_at
        for number, wait in enumerate(waits)
        if wait.done() and not wait.exception() and wait.result() < math.inf
    ]


async def cores_of_waiting(
    app: RunningApp, server: BenchServer, sessions: int, seconds: float
) -> float:
    """Return how many cores the server keeps busy for sessions that all wait."""
    server.gate = Gate()
    try:
        async with AsyncExitStack() as stack:
            for number in range(sessions):
                session = await stack.enter_async_context(Session(app.address))
                await session.generate(f"waiting {number}")
                await session.wait_for(lambda one: one.has_button("Cancel"))
                await session.wait_for(lambda one: "html" in one.elements)
            before = cpu_seconds(app.process.pid)
            # Not a wait for something to happen, but the length of the measurement.
            await asyncio.sleep(seconds)
            return (cpu_seconds(app.process.pid) - before) / seconds
    finally:
        server.gate.set()
        server.gate = None


def cpu_of_script(server: BenchServer, pictures: int, *options: str) -> float:
    """Return the CPU seconds that a script needs for a picture, the SDK's work included."""
    command = [sys.executable, "-m", "tests.bench.sdk_loop", str(pictures)]
    with TemporaryDirectory() as folder:
        printed = subprocess.run(
            [*command, folder, *options],
            cwd=ROOT,
            env=server.environment,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for number in range(pictures):
            made = (Path(folder) / f"{number}.png").read_bytes()
            assert made == picture_bytes(f"loop {number}")
    return float(printed)
