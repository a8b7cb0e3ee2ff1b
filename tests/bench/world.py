"""What all measurements share: the pictures, the server that sends them, and its clock."""

import base64
import io
import os
import struct
import time
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from tests.images_server import (
    USAGE,
    Answer,
    Call,
    Gate,
    Head,
    ImagesServer,
    Pause,
    event,
    plain,
)

SIZE = 1024
# A draft is told from its picture by its width alone: the page knows nothing else of it.
DRAFT_SIZE = 1000
DRAFTS = 2
END_OF_PNG = 12


class BenchServer(ImagesServer):
    """Sends each call the picture of its prompt after `latency` seconds, or when `gate` opens.

    With a `spread` each call takes up to so many seconds more or less, as its prompt decides.
    Drafts come at equal distances before it, to those who ask for a stream.
    """

    def __init__(self) -> None:
        super().__init__()
        self.latency = 2.0
        self.spread = 0.0
        self.gate: Gate | None = None

    def begin(self, call: Call) -> Answer:
        """Record the call, and answer it as it asks."""
        super().begin(call)
        words = str(call.wish["prompt"]).encode()
        latency = self.latency + self.spread * (zlib.crc32(words) / 2**31 - 1)
        if not call.wish.get("stream"):
            return [Head(), self.gate or Pause(latency), _plain_body(words)]
        wait = self.gate or Pause(latency / (DRAFTS + 1))
        parts = [_draft(words, index) for index in range(DRAFTS)]
        head = Head(content_type="text/event-stream")
        return [head, *[step for part in (*parts, _completed(words)) for step in (wait, part)]]

    def call_of(self, prompt: str) -> Call:
        """Return the one call for this prompt."""
        calls = [call for call in self.calls if call.wish["prompt"] == prompt]
        assert len(calls) == 1, f"{len(calls)} calls for {prompt!r}"
        return calls[0]


def picture_bytes(words: str, size: int = SIZE) -> bytes:
    """Return the picture of 2 MB that belongs to `words`: its bytes are like no other's."""
    return _canvas(size) + _end(words.encode())


def _completed(words: bytes) -> bytes:
    before, after = _template("completed", SIZE)
    return before + _end_in_base64(words, SIZE) + after


def _draft(words: bytes, index: int) -> bytes:
    before, after = _template("partial_image", DRAFT_SIZE)
    return before + _end_in_base64(b"%b %d" % (words, index), DRAFT_SIZE) + after


def _plain_body(words: bytes) -> bytes:
    before, after = _template("", SIZE)
    return before + _end_in_base64(words, SIZE) + after


@cache
def _template(kind: str, size: int) -> tuple[bytes, bytes]:
    """Return what comes before and after a picture's end: made anew, it would cost us 10 ms."""
    canvas = _canvas(size)
    image = base64.b64encode(canvas[: len(canvas) // 3 * 3]).decode()
    body = event(kind, f"{image}|", usage=USAGE) if kind else plain(f"{image}|")[-1]
    assert isinstance(body, bytes)
    before, _, after = body.partition(b"|")
    return before, after


def _end_in_base64(words: bytes, size: int) -> bytes:
    canvas = _canvas(size)
    return base64.b64encode(canvas[len(canvas) // 3 * 3 :] + _end(words))


def _end(words: bytes) -> bytes:
    """Return a PNG's last chunks: a text, and the end."""
    chunks = [(b"tEXt", b"words\0" + words), (b"IEND", b"")]
    return b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@cache
def _canvas(size: int) -> bytes:
    """Return a PNG without its end: soft colours and some grain, as large as the API's own."""
    x, y = np.meshgrid(np.linspace(0, 3, size), np.linspace(0, 3, size))
    soft = np.stack([np.sin(x + y), np.sin(x * y), np.cos(x - y)], axis=-1) * 90 + 128
    grain = np.random.default_rng(size).normal(0, 5.5, soft.shape)
    out = io.BytesIO()
    Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()[:-END_OF_PNG]


def sent_at(call: Call) -> float:
    """Return when the server began to send the finished picture, by the clock of the wall."""
    return call.step_at + time.time() - time.monotonic()


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(process: int) -> int:
    """Return the memory of a process that is in the machine's own."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
