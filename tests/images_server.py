"""A real HTTP server that speaks the Images API, and misbehaves on command.

A test scripts the answers of the calls to come; each answer is a list of steps. Without a script
every call gets its picture at once, in a colour that follows from its prompt.
"""

import base64
import io
import json
import select
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from PIL import Image

USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    "output_tokens": 1000,
    "total_tokens": 1010,
}


@dataclass(frozen=True)
class Head:
    """A step: send status and headers; the body follows, in chunks, until the answer ends."""

    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Pause:
    """A step: send nothing for so many seconds, unless the client leaves."""

    seconds: float


class Gate(threading.Event):
    """A step: send nothing until the test sets it, unless the client leaves."""


@dataclass(frozen=True)
class Drop:
    """A step: cut the connection, with no word; without a `reset` all that was sent arrives."""

    reset: bool = True


Step = Head | Pause | Gate | Drop | bytes
Answer = Sequence[Step]


@dataclass
class Call:
    """What the server saw of one call; `ended` is 'answered', 'dropped' or 'client left'.

    `step_at` is when its last step so far began (time.monotonic).
    """

    path: str
    headers: dict[str, str]
    body: bytes
    began: float = field(default_factory=time.monotonic)
    ended: str = ""
    ended_at: float = 0.0
    step_at: float = 0.0

    @property
    def wish(self) -> dict[str, Any]:
        """The JSON body."""
        return dict(json.loads(self.body))

    @property
    def parts(self) -> dict[str, list[bytes]]:
        """The multipart body, by the names of its fields."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parts: dict[str, list[bytes]] = {}
        for part in BytesParser(policy=HTTP).parsebytes(head + self.body).iter_parts():
            name = str(part.get_param("name", "", "content-disposition"))
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            parts.setdefault(name.removesuffix("[]"), []).append(content)
        return parts


class ImagesServer:
    """The server, as a context manager; `url` is what OPENAI_BASE_URL takes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.default: Answer | None = None
        self.hold: Gate | None = None
        self.pages: dict[str, Answer | Iterator[Answer]] = {}
        self.fetches: list[Call] = []
        self._script: deque[Answer] = deque()
        self._news = threading.Condition()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.images = self
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """What makes the app and the SDK ask this server, and the app ask it for drafts."""
        return {
            "OPENAI_BASE_URL": self.url,
            "OPENAI_API_KEY": "sk-test-secret",
            "IMAGE_STREAM": "on",
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def encrypt(self, certificate: Path) -> str:
        """Speak TLS from now on, with a certificate and its key in one file; return the address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        return self.url.replace("http:", "https:")

    def script(
        self, *answers: Answer, then: Answer | None = None, hold: Gate | None = None
    ) -> None:
        """Forget the calls so far; answer the next ones so, and all later ones with `then`.

        Without `then`, a later call gets its own picture, when `hold` opens.
        """
        with self._news:
            self.calls, self.fetches, self.pages = [], [], {}
            self._script = deque(answers)
            self.default, self.hold = then, hold

    def wait_for_calls(self, count: int, *, ended: bool = False, within: float = 10) -> list[Call]:
        """Return the calls once there are `count` of them (and all have ended)."""

        def there() -> bool:
            return len(self.calls) >= count and (not ended or all(c.ended for c in self.calls))

        with self._news:
            assert self._news.wait_for(there, within), f"{len(self.calls)} of {count} calls"
            return list(self.calls)

    def begin(self, call: Call) -> Answer:
        """Record the call and return its answer."""
        with self._news:
            self.calls.append(call)
            self._news.notify_all()
            if self._script:
                return self._script.popleft()
        if self.default:
            return self.default
        held: Answer = [self.hold] if self.hold else []
        return [*held, *plain(picture(str(call.wish.get("prompt"))))]

    def end(self, call: Call, how: str) -> None:
        """Record how the call ended."""
        with self._news:
            call.ended, call.ended_at = how, time.monotonic()
            self._news.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    images: ImagesServer

    def handle_error(self, *_: object) -> None:
        """Clients that leave are no news: `_Handler` records what counts."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        """Serve a page that the test has put there; what is fetched is no call for a picture."""
        images = self.server.images
        call = Call(self.path, self._headers(), b"")
        images.fetches.append(call)
        page = images.pages.get(self.path, error(404, None))
        self._answer(call, next(page) if isinstance(page, Iterator) else page)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        call = Call(self.path, self._headers(), body)
        self._answer(call, self.server.images.begin(call))

    def _headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _answer(self, call: Call, answer: Answer) -> None:
        images = self.server.images
        try:
            for step in answer:
                call.step_at = time.monotonic()
                self._do(step)
            self.wfile.write(b"0\r\n\r\n")
            images.end(call, "answered")
        except _DroppedError:
            images.end(call, "dropped")
        except OSError:
            images.end(call, "client left")
            self.close_connection = True

    def _do(self, step: Step) -> None:
        if isinstance(step, Head):
            self.send_response(step.status)
            self.send_header("content-type", step.content_type)
            self.send_header("transfer-encoding", "chunked")
            for name, value in step.headers:
                self.send_header(name, value)
            self.end_headers()
        elif isinstance(step, bytes):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(step), step))
        elif isinstance(step, Drop):
            # A reset, not a polite end: linger 0 makes close() send RST.
            linger = struct.pack("ii", step.reset, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            raise _DroppedError
        else:
            self._wait(step)

    def _wait(self, step: Pause | Gate) -> None:
        until = time.monotonic() + (step.seconds if isinstance(step, Pause) else 120)
        while (left := until - time.monotonic()) > 0:
            if isinstance(step, Gate) and step.is_set():
                return
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.02))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError


class _DroppedError(Exception):
    pass


def picture(words: str = "", size: tuple[int, int] = (64, 64), image_format: str = "PNG") -> str:
    """Return a picture (base64) in a colour of its own for each `words`."""
    colour = zlib.crc32(words.encode()).to_bytes(4, "big")[:3]
    out = io.BytesIO()
    Image.new("RGB", size, (colour[0], colour[1], colour[2])).save(out, image_format)
    return base64.b64encode(out.getvalue()).decode()


def plain(image: str) -> Answer:
    """A JSON answer with the picture."""
    return json_answer({"created": 1, "data": [{"b64_json": image}], "usage": USAGE})


def json_answer(body: object, status: int = 200, **headers: str) -> Answer:
    """Any JSON answer; header names may have underscores for dashes."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return [Head(status, headers=named), json.dumps(body).encode()]


def error(status: int, code: str | None, message: str = "It failed.", **headers: str) -> Answer:
    """An error in OpenAI's own shape."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return json_answer(body, status, **headers)


def event(kind: str, image: str, verb: str = "generation", **fields: object) -> bytes:
    """One event of a stream, such as `partial_image` or `completed`, of a generation or edit."""
    body = {"type": f"image_{verb}.{kind}", "b64_json": image, **fields}
    return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()


def stream(image: str, partials: Sequence[str] = (), before_each: Step | None = None) -> Answer:
    """An event stream: the partial pictures, then the picture."""
    steps: list[Step] = [Head(content_type="text/event-stream")]
    for index, partial in enumerate(partials):
        steps += [
            *([before_each] if before_each else ()),
            event("partial_image", partial, partial_image_index=index),
        ]
    return [*steps, *([before_each] if before_each else ()), event("completed", image, usage=USAGE)]
