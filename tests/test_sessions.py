import asyncio
import base64
import os
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2

from tests.conftest import RunningApp
from tests.images_server import Gate, ImagesServer, picture
from tests.sessions import Session

SESSIONS = 30


def cpu_seconds(process: int) -> float:
    """The processor time that a process has used so far; Linux only, as are all our machines."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_many_sessions_wait_cheaply_and_every_one_gets_its_own_picture(
    api_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(hold=gate)

    async def wait_for_own_picture(session: Session) -> None:
        await session.wait_for(lambda one: one.heading().startswith("2."))
        await session.wait_for(lambda one: one.has_button("Approve"))

    async def use_the_app() -> tuple[float, list[bytes]]:
        async with AsyncExitStack() as stack:
            sessions = [
                await stack.enter_async_context(Session(api_app.address)) for _ in range(SESSIONS)
            ]
            for number, session in enumerate(sessions):
                await session.generate(f"picture {number}")
                await session.wait_for(lambda one: one.has_button("Cancel"))
            waiting = [asyncio.create_task(wait_for_own_picture(session)) for session in sessions]
            await asyncio.to_thread(images_server.wait_for_calls, 8)
            before = cpu_seconds(api_app.process.pid)
            # Not a wait for something to happen, but the length of the measurement.
            await asyncio.sleep(4)
            used = cpu_seconds(api_app.process.pid) - before
            gate.set()
            await asyncio.gather(*waiting)
            async with httpx2.AsyncClient() as client:
                addresses = [session.picture_address() for session in sessions]
                return used / 4, [(await client.get(address)).content for address in addresses]

    cores, pictures = asyncio.run(asyncio.wait_for(use_the_app(), 60))
    assert cores < 0.25
    assert pictures == [
        base64.b64decode(picture(f"picture {number}")) for number in range(SESSIONS)
    ]
    assert len(images_server.calls) == SESSIONS


def test_a_late_click_on_an_old_rendering_reaches_no_newer_button(
    api_app: RunningApp, images_server: ImagesServer
) -> None:
    async def use_the_app() -> None:
        async with Session(api_app.address) as session:
            await session.generate("a fox")
            await session.wait_for(lambda one: one.has_button("Regenerate"))
            await session.wait_for(lambda one: one.runs_finished > 0)
            old_button = session.button_id("Regenerate")
            await session.click(old_button)
            await asyncio.to_thread(images_server.wait_for_calls, 2, ended=True)
            await session.wait_for(lambda one: one.has_button("Regenerate"))
            await session.wait_for(
                lambda one: one.runs_finished > 0 and one.button_id("Regenerate") != old_button
            )
            await session.click(old_button)
            await session.wait_for(lambda one: one.runs_finished == 0)
            await session.wait_for(lambda one: one.runs_finished > 0)

    asyncio.run(asyncio.wait_for(use_the_app(), 30))
    assert len(images_server.calls) == 2
