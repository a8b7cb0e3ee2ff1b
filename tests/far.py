"""A line to the app on which every message takes a while, as from another continent."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute, SocketStream, TaskStatus
from anyio.from_thread import start_blocking_portal

ENDS = (anyio.BrokenResourceError, anyio.ClosedResourceError)


@contextmanager
def far_line(port: int, seconds: float) -> Iterator[int]:
    """Yield a port of this machine that passes all on to another one, and back, so much later."""
    with start_blocking_portal() as portal:
        serving, near_port = portal.start_task(_serve, port, seconds)
        yield near_port
        serving.cancel()


async def _serve(port: int, seconds: float, *, task_status: TaskStatus[int]) -> None:
    async def connect(near: SocketStream) -> None:
        far = await anyio.connect_tcp("127.0.0.1", port)
        async with near, far, anyio.create_task_group() as ways:
            ways.start_soon(_pass_on, near, far, seconds)
            ways.start_soon(_pass_on, far, near, seconds)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        task_status.started(listener.extra(SocketAttribute.local_port))
        await listener.serve(connect)


async def _pass_on(source: ByteReceiveStream, target: ByteSendStream, seconds: float) -> None:
    """Send what comes, each part so long after it came, until either side ends."""
    sender, receiver = anyio.create_memory_object_stream[tuple[float, bytes]](math.inf)

    async def send() -> None:
        with receiver, suppress(*ENDS):
            async for moment, data in receiver:
                await anyio.sleep_until(moment)
                await target.send(data)

    async with anyio.create_task_group() as sending:
        sending.start_soon(send)
        with sender, suppress(*ENDS):
            async for data in source:
                sender.send_nowait((anyio.current_time() + seconds, data))
    await target.aclose()
