from typing import Any

import pytest
from itsdangerous import Signer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from utils.review import memory
from utils.review.memory import COOKIE, BrowserCookie, BrowserMemory, browser_token


def snapshot(size: int, name: str = "") -> dict[str, Any]:
    attempts = ({"image": "x" * size},)
    return {"attempts": attempts, "recent": (), "references": (), "name": name}


def test_the_newest_snapshot_of_a_browser_is_recalled() -> None:
    browsers = BrowserMemory()
    assert browsers.recall("a") == {}
    browsers.remember("a", snapshot(1, "old"))
    browsers.remember("a", snapshot(1, "new"))
    browsers.remember("b", snapshot(1, "other"))
    assert browsers.recall("a")["name"] == "new"
    browsers.forget("a")
    browsers.forget("never seen")
    assert browsers.recall("a") == {}
    assert browsers.recall("b")["name"] == "other"


def test_memory_is_bounded_in_bytes_and_browsers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEEP_BYTES", 4 * memory.BYTES_PER_BROWSER)
    browsers = BrowserMemory()
    for name in "abcde":
        browsers.remember(name, snapshot(0, name))
    assert [name for name in "abcde" if not browsers.recall(name)] == ["a"]
    browsers.remember("large", snapshot(2 * memory.BYTES_PER_BROWSER))
    assert [name for name in "bcde" if browsers.recall(name)] == ["e"]


def test_what_is_too_large_to_remember_leaves_the_rest_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "KEEP_BYTES", 4 * memory.BYTES_PER_BROWSER)
    browsers = BrowserMemory()
    browsers.remember("a", snapshot(0, "small"))
    browsers.remember("a", snapshot(9 * memory.BYTES_PER_BROWSER))
    assert browsers.recall("a")["name"] == "small"


@pytest.fixture
def client() -> TestClient:
    async def page(request: object) -> HTMLResponse:
        return HTMLResponse("<p>page</p>")

    async def data(request: object) -> JSONResponse:
        return JSONResponse({})

    routes = [Route("/", page), Route("/data", data)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(BrowserCookie)]))


def test_a_page_brings_a_cookie_that_scripts_and_other_sites_cannot_use(
    client: TestClient,
) -> None:
    cookie = client.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert browser_token({COOKIE: client.cookies[COOKIE]})


def test_over_https_the_cookie_is_secure(client: TestClient) -> None:
    assert "Secure" in client.get("https://testserver/").headers["set-cookie"]


def test_a_browser_keeps_its_token(client: TestClient) -> None:
    client.get("/")
    assert "set-cookie" not in client.get("/").headers


def test_only_pages_bring_a_cookie(client: TestClient) -> None:
    assert "set-cookie" not in client.get("/data").headers


def test_a_token_that_this_server_did_not_mint_is_nobodys(client: TestClient) -> None:
    forged = Signer(b"another key").sign("somebody").decode()
    for value in (forged, "somebody", "", "a.b"):
        assert browser_token({COOKIE: value}) == ""
    assert browser_token({}) == ""
    client.cookies.set(COOKIE, forged)
    assert "set-cookie" in client.get("/").headers
