"""An Images API server with moods: by a seed it sends a picture, or one of its faults."""

import io
import itertools
import random
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from PIL import Image

from tests.bench.world import picture_bytes
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
from utils.images.pictures import check_picture

# Seconds: what the app is told to wait for news, less than the server takes when it is too slow.
TIMEOUT = 6.0
TOO_SLOW = 60.0
MAX_TRIES = 3
LARGE = 900
OWNER = re.compile(rb"((?:large )?browser [\d.]+) wish \d+")


@dataclass(frozen=True)
class Mood:
    """`often` of a hundred calls are answered so; the app asks `again` by itself, or it must not.

    docs/design.md has the table of what is tried again.
    """

    often: int
    again: bool = False


MOODS = {
    "picture": Mood(66),
    "429": Mood(5, again=True),
    "500": Mood(5, again=True),
    "503": Mood(3, again=True),
    "no answer": Mood(5, again=True),
    "cut off": Mood(4, again=True),
    "refused": Mood(4),
    "garbage": Mood(3),
    "504": Mood(2),
    "too slow": Mood(3),
}


class MoodyServer(ImagesServer):
    """Answers by the seed; each prompt bears its browser's name, and each request has a picture."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        # By request: its calls with the mood of each, and by browser: its requests.
        self.tries: dict[str, list[tuple[str, Call]]] = {}
        self.requests: dict[str, list[str]] = {}

    def begin(self, call: Call) -> Answer:
        """Record the call and return its answer."""
        request = call.headers["x-client-request-id"]
        named = OWNER.search(call.body)
        assert named, "no prompt of ours"
        owner = named[1].decode()
        # A day's uploads would be a matter of gigabytes.
        call.body = b""
        with self._news:
            self.calls.append(call)
            tries = self.tries.setdefault(request, [])
            if not tries:
                self.requests.setdefault(owner, []).append(request)
            dice = random.Random(f"{self.seed} {request} {len(tries)}")
            mood = dice.choices(list(MOODS), [mood.often for mood in MOODS.values()])[0]
            tries.append((mood, call))
        return _answer(mood, made_for(request, large=owner.startswith("large")), dice)

    def made(self, owner: str) -> list[str]:
        """Return the requests of a browser whose picture was sent to its end."""
        return [
            request
            for request in self.requests.get(owner, [])
            if any(
                mood == "picture" and call.ended == "answered" for mood, call in self.tries[request]
            )
        ]

    def doubled(self) -> list[str]:
        """Return what was asked for twice: at once, too often, or after what asks the person."""
        return [request for request, tries in self.tries.items() if _is_doubled(tries)]


def _is_doubled(tries: Sequence[tuple[str, Call]]) -> bool:
    calls = [call for _, call in tries]
    at_once = any(
        not one.ended or other.began < one.ended_at for one, other in itertools.pairwise(calls)
    )
    return at_once or len(tries) > MAX_TRIES or not all(MOODS[mood].again for mood, _ in tries[:-1])


def _answer(mood: str, made: bytes, dice: random.Random) -> Answer:
    image, pause = b64encode(made).decode(), Pause(dice.uniform(0.1, 3))
    drafts = [picture(f"draft {number}") for number in range(dice.randrange(3))]
    match mood:
        case "429":
            return error(429, "rate_limit_exceeded", retry_after=str(dice.randint(1, 3)))
        case "500" | "503" | "504":
            return [pause, *error(int(mood), None)]
        case "no answer":
            return [pause, Drop()]
        case "cut off":
            return [*stream(image, [picture("draft"), *drafts], Pause(0.3))[:-1], Drop()]
        case "refused":
            return error(400, "moderation_blocked")
        case "garbage":
            return [Head(content_type="text/html"), b"<html>no picture</html>"]
        case "too slow":
            return [Pause(TOO_SLOW), *plain(image)]
        case _ if drafts:
            return stream(image, drafts, pause)
        case _:
            return [pause, *plain(image)]


def made_for(request: str, *, large: bool) -> bytes:
    """Return the picture of a request, unlike any other's; a large one has a megabyte and more."""
    return picture_bytes(request, LARGE) if large else _two_colours(request)


def versions_for(request: str, *, large: bool) -> tuple[bytes, bytes]:
    """Return a request's picture as the strip and as the canvas show it, before the original.

    All large pictures look the same.
    """
    return _large_versions() if large else _versions(_two_colours(request))


@cache
def _large_versions() -> tuple[bytes, bytes]:
    return _versions(made_for("any", large=True))


def _versions(data: bytes) -> tuple[bytes, bytes]:
    picture = check_picture(data)
    return picture.thumbnail, picture.screen


def _two_colours(request: str) -> bytes:
    left, right = (tuple(sha256(request.encode()).digest()[at : at + 3]) for at in (0, 3))
    out = io.BytesIO()
    image = Image.new("RGB", (96, 64), left)
    image.paste(right, (48, 0, 96, 64))
    image.save(out, "PNG")
    return out.getvalue()
