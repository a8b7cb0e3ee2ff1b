import asyncio
import base64
import io
from contextlib import AsyncExitStack

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.bench.world import cpu_seconds
from tests.conftest import RunningApp
from tests.images_server import Gate, ImagesServer, picture, plain
from tests.sessions import Session
from utils.review.choosing import MAX_ATTEMPTS

pytestmark = pytest.mark.slow
SESSIONS = 30


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
            await session.wait_until_settled("Regenerate")
            old_button = session.button_id("Regenerate")
            await session.click(old_button)
            await asyncio.to_thread(images_server.wait_for_calls, 2, ended=True)
            await session.wait_for(lambda one: one.has_button("Regenerate"))
            await session.wait_for(
                lambda one: (
                    one.runs_finished > 0
                    and one.has_button("Regenerate")
                    and one.button_id("Regenerate") != old_button
                )
            )
            await session.click(old_button)
            await session.wait_for(lambda one: one.runs_finished == 0)
            await session.wait_for(lambda one: one.runs_finished > 0)

    asyncio.run(asyncio.wait_for(use_the_app(), 30))
    assert len(images_server.calls) == 2


def test_a_picture_is_there_at_any_moment_while_sessions_end_their_runs(
    api_app: RunningApp, images_server: ImagesServer
) -> None:
    async def rerun_often(session: Session) -> None:
        for _ in range(25):
            await session.rerun()

    async def fetch_until(done: asyncio.Future[list[None]], address: str) -> list[int]:
        statuses = []
        async with httpx2.AsyncClient() as client:
            while not done.done():
                statuses.append((await client.get(address)).status_code)
        return statuses

    async def use_the_app() -> list[int]:
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(Session(api_app.address)) for _ in range(8)]
            for number, session in enumerate(sessions):
                await session.generate(f"picture {number}")
                await session.wait_until_settled("Regenerate")
            addresses = [
                f"{api_app.address}/{address}"
                for session in sessions
                for address in session.pictures()
            ]
            assert len(addresses) == 2 * len(sessions)
            reruns = asyncio.gather(*[rerun_often(session) for session in sessions])
            fetches = [fetch_until(reruns, address) for address in addresses]
            return [status for statuses in await asyncio.gather(*fetches) for status in statuses]

    statuses = asyncio.run(asyncio.wait_for(use_the_app(), 60))
    assert len(statuses) > 100
    assert set(statuses) == {200}


def noisy_picture(number: int) -> str:
    """A picture of about two megabytes (base64), another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (820, 820, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return base64.b64encode(out.getvalue()).decode()


def test_a_rerun_with_many_attempts_sends_no_pictures(
    api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(*[plain(noisy_picture(number)) for number in range(MAX_ATTEMPTS)])

    async def use_the_app() -> int:
        async with Session(api_app.address) as session:
            await session.generate("a fox")
            await session.wait_until_settled("Regenerate")
            for _ in range(MAX_ATTEMPTS - 1):
                await session.click(session.button_id("Regenerate"))
                await session.wait_until_settled("Regenerate")
            assert len(session.pictures()) == 1 + MAX_ATTEMPTS
            await session.rerun()
            return session.bytes_of_run

    assert asyncio.run(asyncio.wait_for(use_the_app(), 120)) < 100_000
