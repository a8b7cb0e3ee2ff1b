import asyncio
import gzip
from collections import Counter

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils import compression
from utils.compression import Compression

TEXT = "const nothing = 0;\n" * 1000
FILE = "/static/js/index.0a1b2c3d.js"


@pytest.fixture
def asked() -> Counter[str]:
    """How often the app itself was asked for a path."""
    return Counter()


@pytest.fixture
def client(asked: Counter[str]) -> TestClient:
    return serve(asked)


def serve(asked: Counter[str]) -> TestClient:
    def answer(request: Request) -> Response:
        path = request.url.path
        asked[path] += 1
        status = 404 if "missing" in path else 200
        return Response(TEXT, status, {"X-Path": path}, "text/javascript")

    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Compression)]))


def test_a_file_that_never_changes_is_compressed_once(
    client: TestClient, asked: Counter[str]
) -> None:
    answers = [client.get(FILE) for _ in range(3)]
    assert [one.text for one in answers] == [TEXT] * 3
    assert [one.headers for one in answers] == [answers[0].headers] * 3
    assert answers[2].headers["content-encoding"] == "gzip"
    assert answers[2].headers["x-path"] == FILE
    assert int(answers[2].headers["content-length"]) < len(TEXT) / 10
    assert asked == {FILE: 1}


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/", "GET", {}),
        ("/app/static/pictures/one", "GET", {}),
        ("/static/js/missing.js", "GET", {}),
        (FILE.replace("js/", "js//"), "GET", {}),
        (FILE, "POST", {}),
        (FILE, "GET", {"Range": "bytes=0-9"}),
        (FILE, "GET", {"If-None-Match": '"a"'}),
        (FILE, "GET", {"Accept-Encoding": "identity"}),
    ],
)
def test_all_else_is_asked_for_each_time(
    client: TestClient, asked: Counter[str], path: str, method: str, headers: dict[str, str]
) -> None:
    for _ in range(2):
        assert client.request(method, path, headers=headers).text == TEXT
    assert asked == {path: 2}


def test_no_more_is_kept_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, asked: Counter[str]
) -> None:
    monkeypatch.setattr(compression, "KEEP", 10)
    client = serve(asked)
    for _ in range(2):
        assert client.get(FILE).text == TEXT
    assert asked == {FILE: 2}


@pytest.mark.parametrize("kind", ["text/html", "text/javascript"])
def test_no_cookie_is_told_to_another_browser(kind: str) -> None:
    """Streamlit sends its page, with a cookie, also where there is no script of a name."""

    def page(_: Request) -> Response:
        return Response(TEXT, media_type=kind)

    class Cookies:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def with_cookie(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    headers.append("set-cookie", f"who={Headers(scope=scope)['x-who']}")
                await send(message)

            await self.app(scope, receive, with_cookie if scope["type"] == "http" else send)

    middleware = [Middleware(Cookies), Middleware(Compression)]
    client = TestClient(Starlette(routes=[Route(FILE, page)], middleware=middleware))
    for who in ("anna", "ben", "carl"):
        answer = client.get(FILE, headers={"x-who": who})
        assert answer.headers.get_list("set-cookie") == [f"who={who}"]
        assert answer.text == TEXT


@pytest.mark.parametrize("sent", [0, 1, 2, 3])
def test_of_what_a_client_that_left_was_not_sent_whole_nothing_is_kept(sent: int) -> None:
    got: list[Message] = []
    is_there = False

    async def answer(_: Scope, __: Receive, send: Send) -> None:
        """What Streamlit's file routes do where the client has gone at the first time."""
        messages: list[Message] = [{"type": "http.response.start", "status": 200, "headers": []}]
        for more in (True, True, False):
            messages.append({"type": "http.response.body", "body": b"a", "more_body": more})
        for message in messages[: None if is_there else sent]:
            await send(message)

    async def take(message: Message) -> None:
        got.append(message)

    async def ask() -> None:
        headers = [(b"accept-encoding", b"gzip")]
        scope = {"type": "http", "method": "GET", "path": FILE, "headers": headers}
        app = Compression(answer)
        await app(scope, lambda: asyncio.sleep(0), take)  # type: ignore[arg-type, return-value]
        got.clear()
        nonlocal is_there
        is_there = True
        await app(scope, lambda: asyncio.sleep(0), take)  # type: ignore[arg-type, return-value]

    asyncio.run(ask())
    body = b"".join(message.get("body", b"") for message in got)
    assert gzip.decompress(body) == b"aaa"


SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
ATTACHED = {"Content-Disposition": 'attachment; filename="a_fox.png"'}


def download(headers: dict[str, str] = ATTACHED) -> TestClient:
    def answer(_: Request) -> Response:
        return Response(TEXT, headers=headers, media_type="image/png")

    routes = [Route("/media/one.png", answer)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Compression)]))


def test_a_script_that_asks_for_a_download_is_told_only_that_it_is_there() -> None:
    client = download()
    answer = client.get("/media/one.png", headers=SCRIPT)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "0"
    assert answer.headers["cache-control"] == "no-store"
    assert client.get("/media/gone.png", headers=SCRIPT).status_code == 404


@pytest.mark.parametrize(
    "who",
    [
        # A click in Chromium, in Firefox, and in WebKit and where there is no TLS.
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {},
    ],
)
def test_who_clicks_a_download_gets_the_file(who: dict[str, str]) -> None:
    assert download().get("/media/one.png", headers=who).text == TEXT


def test_a_script_gets_what_is_no_download() -> None:
    inline = {"Content-Disposition": "inline"}
    assert download(headers=inline).get("/media/one.png", headers=SCRIPT).text == TEXT
    assert download(headers={}).get("/media/one.png", headers=SCRIPT).text == TEXT


def test_a_font_comes_as_it_is() -> None:
    font = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "font"}
    assert download().get("/media/one.png", headers=font).text == TEXT
