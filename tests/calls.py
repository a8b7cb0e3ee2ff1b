"""Asking for a picture, as the flow does it, and what the tests of such calls share."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.images_server import Call, ImagesServer
from utils import images
from utils.images import api
from utils.jobs.outcomes import FailedError, Problem
from utils.review.blobs import blobs
from utils.review.records import Engine, Wish
from utils.settings import get_settings

OWNER = "a browser"
PENDING = "request-1"


def shared(**changes: object) -> dict[str, object]:
    """A shared store with what the room of images reads of it."""
    return {"api_key": "", "owner": OWNER, "payer": OWNER, "count": 1, **images.DEFAULTS, **changes}


def wish(
    prompt: str = "a fox",
    options: Mapping[str, str] | None = None,
    *,
    sources: tuple[bytes, ...] = (),
    engine: Engine | None = None,
    **named: str,
) -> Wish:
    """A wish to the engine that the environment names; `sources` are put into the table first."""
    names = tuple(blobs.put(OWNER, source) for source in sources)
    chosen = {**(options or {}), **named}
    return Wish(prompt, engine or images.engine(shared()), chosen, names)


def set_server(server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process ask the test's server, of which nothing is learnt yet."""
    set_to(monkeypatch, **server.environment)
    api._refused.clear()


def set_to(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Let this process have these settings."""
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()


class LoopClock:
    """The running loop's clock, which a test can put forward: a timeout is over without a wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)

    def forward(self, seconds: float) -> None:
        """Let it be so many seconds later."""
        self._ahead += seconds


def ask(
    asked: Wish,
    *,
    key: str = "",
    owner: str = OWNER,
    payer: str = "",
    on_partial: Callable[[images.Draft], None] = lambda draft: None,
) -> images.Picture | Problem:
    """Make the call and return how it ends."""
    call = images.make(PENDING, asked, key, owner, payer)

    async def end() -> images.Picture:
        return await call(on_partial)

    try:
        return asyncio.run(end())
    except FailedError as exc:
        return exc.problem


def made(asked: Wish, *, key: str = "") -> images.Picture:
    """Make the call, which must bring a picture."""
    picture = ask(asked, key=key)
    assert isinstance(picture, images.Picture), picture
    return picture


def failed(asked: Wish, *, key: str = "") -> Problem:
    """Make the call, which must fail."""
    problem = ask(asked, key=key)
    assert isinstance(problem, Problem), problem
    return problem


def kept(picture: images.Picture) -> bytes:
    """The bytes of a picture, from the table."""
    data = blobs.get(picture.name)
    assert data is not None
    return data


def sent(call: Call) -> Mapping[str, object]:
    """The settings of a call, as the server saw them."""
    return {name: value for name, value in call.wish.items() if name not in ("prompt", "model")}
