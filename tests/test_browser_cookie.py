import pytest
from itsdangerous import Signer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from utils.review import browser
from utils.review.browser import BrowserCookie, browser_token, cookie_name

PAGE = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def client() -> TestClient:
    async def page(request: Request) -> Response:
        if "if-none-match" in request.headers:
            return Response(status_code=304)
        return HTMLResponse("<p>page</p>")

    async def data(request: Request) -> Response:
        if "if-none-match" in request.headers:
            return Response(status_code=304)
        return JSONResponse({})

    routes = [Route("/", page), Route("/data", data)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(BrowserCookie)]))


def token(client: TestClient, host: str = "testserver") -> str:
    return browser_token(dict(client.cookies), host)


def test_a_page_brings_a_cookie_that_scripts_and_other_sites_cannot_use(
    client: TestClient,
) -> None:
    cookie = client.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert token(client)


def test_over_https_the_cookie_is_secure(client: TestClient) -> None:
    assert "Secure" in client.get("https://testserver/").headers["set-cookie"]


def test_a_browser_keeps_its_token_and_every_page_renews_it(client: TestClient) -> None:
    client.get("/")
    first = token(client)
    cookie = client.get("/").headers["set-cookie"]
    assert f"Max-Age={browser.COOKIE_SECONDS}" in cookie
    assert token(client) == first
    assert browser.COOKIE_SECONDS > 7 * 24 * 3600


def test_a_page_from_the_browsers_own_cache_brings_the_cookie_too(client: TestClient) -> None:
    cached = {"if-none-match": '"1"'}
    answer = client.get("/", headers={**PAGE, **cached})
    assert answer.status_code == 304
    assert token(client)
    assert "set-cookie" not in client.get("/data", headers={"accept": "*/*", **cached}).headers


def test_only_pages_bring_a_cookie(client: TestClient) -> None:
    assert "set-cookie" not in client.get("/data").headers


def test_two_copies_on_one_host_have_cookies_of_their_own(client: TestClient) -> None:
    for port in (8501, 8502):
        client.get("/", headers={"host": f"testserver:{port}"})
    assert cookie_name("testserver:8501") != cookie_name("testserver:8502")
    assert token(client, "testserver:8501")
    assert token(client, "testserver:8501") != token(client, "testserver:8502")
    assert token(client, "testserver") == ""


@pytest.mark.parametrize("host", ["app.example.org", "", "[::1]", "host:port"])
def test_without_a_port_the_name_has_none(host: str) -> None:
    assert cookie_name(host) == "browser"


def test_a_token_that_this_server_did_not_mint_is_not_what_it_says(client: TestClient) -> None:
    assert browser_token({}, "testserver") == browser_token({"browser": ""}, "testserver") == ""
    known = Signer(b"another key").sign("somebody").decode()
    tokens = [browser_token({"browser": one}, "testserver") for one in (known, "somebody", "a.b")]
    assert len({"", "somebody", *tokens}) == 5
    assert all(browser.greeting(one) for one in tokens)
    # The page that was open at a restart, and the next one of the same browser, are one.
    client.get("/", headers={"cookie": f"browser={known}"})
    assert token(client) == tokens[0]


def test_who_is_new_is_told_of_no_restart(client: TestClient) -> None:
    client.get("/")
    assert browser.greeting(token(client)) == browser.greeting("") == ""


def test_who_was_known_before_a_start_with_the_same_secret_is_told_of_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/")
    monkeypatch.setattr(browser, "BEGAN", browser.BEGAN + 3600)
    assert browser.greeting(token(client)) == browser.FORGOTTEN
    assert browser.greeting("0123.") == browser.greeting("person@example.org") == ""
    # Where a store remembers, who is not known there is known nowhere.
    monkeypatch.setattr(browser, "store_address", lambda: "redis://store")
    assert browser.greeting(token(client)) == ""
