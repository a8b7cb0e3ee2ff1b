"""Pictures that come as an address: fetched once, from where they may be fetched from."""

import asyncio
import base64
import socket
from typing import Any

import httpx2
import pytest

from tests.calls import OWNER, LoopClock, ask, failed, kept, made, set_to, wish
from tests.images_server import (
    Answer,
    Drop,
    Gate,
    Head,
    ImagesServer,
    error,
    json_answer,
    picture,
)
from utils import images
from utils.images import api
from utils.images.fetch import fetch_picture, is_public
from utils.jobs.outcomes import FailedError, Problem
from utils.settings import get_settings

IMAGE = base64.b64decode(picture("fetched"))
PAGE: Answer = [Head(content_type="image/png"), IMAGE]


@pytest.fixture(autouse=True)
def engine(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in images_server.environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    monkeypatch.setattr("utils.images.fetch.PAUSES", (0.0, 0.0))


def answer_with(images_server: ImagesServer, url: str, page: Answer = PAGE) -> None:
    images_server.script(json_answer({"data": [{"url": url}]}))
    images_server.pages["/v1/images/1/content"] = page


def origin(images_server: ImagesServer) -> str:
    return images_server.url.removesuffix("/v1")


def test_an_address_relative_to_the_server_is_fetched_with_the_key(
    images_server: ImagesServer,
) -> None:
    answer_with(images_server, "/v1/images/1/content")
    assert kept(made(wish())) == IMAGE
    assert len(images_server.calls) == 1
    assert images_server.fetches[0].headers["authorization"] == "Bearer sk-test-secret"


@pytest.mark.parametrize("after", ["", "\n"])
def test_an_absolute_address_at_the_apis_own_origin_is_fetched(
    images_server: ImagesServer, after: str
) -> None:
    answer_with(images_server, f"{origin(images_server)}/v1/images/1/content{after}")
    made(wish())
    host = origin(images_server).removeprefix("http://")
    assert images_server.fetches[0].headers["host"] == host


def test_another_name_of_the_apis_own_address_is_fetched_without_the_key(
    images_server: ImagesServer,
) -> None:
    url = origin(images_server).replace("127.0.0.1", "localhost")
    answer_with(images_server, f"{url}/v1/images/1/content")
    made(wish())
    assert "authorization" not in images_server.fetches[0].headers


def test_another_server_in_the_private_network_is_refused(images_server: ImagesServer) -> None:
    with ImagesServer() as other:
        answer_with(images_server, f"{origin(other)}/v1/images/1/content")
        other.pages["/v1/images/1/content"] = PAGE
        problem = failed(wish())
        assert (problem.kind, problem.retry, problem.billed) == ("not fetched", False, True)
        assert other.fetches == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("::1", False),
        ("fec0::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:808:808::f5ff:fffe", False),
    ],
)
def test_what_leads_into_the_private_network_is_known_by_its_address(
    address: str, *, public: bool
) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("sources", [(), (IMAGE,)])
def test_a_call_that_is_led_elsewhere_goes_nowhere(
    images_server: ImagesServer, status: int, sources: tuple[bytes, ...]
) -> None:
    with ImagesServer() as other:
        led: Answer = [Head(status, headers=(("location", f"{other.url}/images/generations"),))]
        images_server.script(led)
        problem = failed(wish(sources=sources))
        assert (problem.kind, problem.retry, problem.billed) == ("address", False, False)
        images_server.pages["/v1/models"] = led
        assert asyncio.run(api.list_models(wish().engine, "")) is None
        assert other.calls == other.fetches == []


def test_a_redirect_into_the_private_network_is_refused(images_server: ImagesServer) -> None:
    with ImagesServer() as other:
        elsewhere = f"{origin(other)}/v1/images/1/content"
        redirect: Answer = [Head(302, headers=(("location", elsewhere),))]
        answer_with(images_server, "/v1/images/1/content", redirect)
        failed(wish())
        assert len(images_server.fetches) == 1
        assert other.fetches == []


def lead_back(images_server: ImagesServer) -> None:
    """Name a picture by another name of this server, which leads back to the API's own."""
    here = origin(images_server)
    led: Answer = [Head(302, headers=(("location", f"{here}/end"),))]
    named = here.replace("127.0.0.1", "localhost")
    answer_with(images_server, f"{named}/v1/images/1/content", led)
    images_server.pages["/end"] = PAGE


def test_another_server_cannot_lead_back_into_the_private_network(
    images_server: ImagesServer,
) -> None:
    lead_back(images_server)
    assert failed(wish()).kind == "not fetched"
    assert {call.path for call in images_server.fetches} == {"/v1/images/1/content"}


def test_another_server_cannot_have_the_key_sent(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.images.fetch.is_public", lambda address: True)
    lead_back(images_server)
    made(wish())
    assert images_server.fetches[-1].path == "/end"
    assert "authorization" not in images_server.fetches[-1].headers


def test_a_redirect_at_the_same_server_is_followed_but_not_for_ever(
    images_server: ImagesServer,
) -> None:
    redirect: Answer = [Head(302, headers=(("location", "/end"),))]
    answer_with(images_server, "/v1/images/1/content", redirect)
    images_server.pages["/end"] = PAGE
    made(wish())
    answer_with(images_server, "/v1/images/1/content")
    images_server.pages["/v1/images/1/content"] = [Head(302, headers=(("location", "content"),))]
    failed(wish())
    assert len(images_server.fetches) == 4


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/picture.png",
        "gopher://127.0.0.1",
        "http://10.0.0.1/picture.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:1/picture.png",
        "http://0.0.0.0:1/",
        "http://no.such.host.invalid/picture.png",
        "http://[bad",
        "http://127.0.0.1:99999999/",
        "\x00",
    ],
)
def test_an_address_that_leads_astray_is_not_fetched(images_server: ImagesServer, url: str) -> None:
    answer_with(images_server, url)
    problem = failed(wish())
    assert problem.kind in ("not fetched", "no picture")
    assert not problem.retry
    assert images_server.fetches == []


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (error(404, None), "not fetched"),
        (error(500, None), "not fetched"),
        ([Head(302)], "not fetched"),
        ([Head(content_type="text/html"), b"<html>"], "no picture"),
        ([Head(), *[b"x" * 1000] * 20], "no picture"),
    ],
)
def test_what_cannot_be_fetched_is_not_asked_for_again(
    images_server: ImagesServer,
    monkeypatch: pytest.MonkeyPatch,
    left_open: list[str],
    page: Answer,
    kind: str,
) -> None:
    monkeypatch.setattr("utils.images.fetch.MAX_ANSWER_BYTES", 10_000)
    answer_with(images_server, "/v1/images/1/content", page)
    problem = failed(wish())
    assert (problem.kind, problem.retry, problem.billed) == (kind, False, True)
    assert len(images_server.calls) == 1
    assert left_open == []


@pytest.mark.parametrize("passing", [error(404, None), error(503, None), [Drop()]])
def test_what_cannot_be_had_at_first_is_fetched_again_and_not_asked_for_again(
    images_server: ImagesServer, passing: Answer
) -> None:
    answer_with(images_server, "/v1/images/1/content")
    images_server.pages["/v1/images/1/content"] = iter([passing, passing, PAGE])
    assert kept(made(wish())) == IMAGE
    assert (len(images_server.calls), len(images_server.fetches)) == (1, 3)


def test_a_name_that_is_not_found_at_first_is_looked_up_again(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    images_server.script()
    images_server.pages["/v1/images/1/content"] = PAGE
    resolve, misses = socket.getaddrinfo, iter([socket.gaierror(), socket.gaierror()])

    def resolve_later(host: str, *how: Any, **more: Any) -> Any:
        for miss in misses:
            raise miss
        return resolve(host, *how, **more)

    async def end() -> bytes:
        async with httpx2.AsyncClient() as http:
            return await fetch_picture("/v1/images/1/content", images_server.url, "", http)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_later)
    assert asyncio.run(end()) == IMAGE


def test_a_fetch_that_brings_nothing_ends_in_time(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.images.fetch.FETCH_SECONDS", 0.2)
    answer_with(images_server, "/v1/images/1/content", [Head(), Gate()])
    problem = failed(wish())
    assert (problem.kind, problem.retry) == ("not fetched", False)
    assert len(images_server.calls) == 1


def test_a_fetch_has_its_own_time_and_not_what_the_answer_left(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(images_server, "/v1/images/1/content")

    async def end() -> images.Picture:
        clock = LoopClock(monkeypatch)

        async def fetch_later(*args: Any) -> bytes:
            clock.forward(301)
            return await fetch_picture(*args)

        monkeypatch.setattr("utils.images.api.fetch_picture", fetch_later)
        return await images.make("request-1", wish(), "", OWNER)(lambda draft: None)

    assert kept(asyncio.run(end())) == IMAGE


@pytest.mark.parametrize("place", ["url", "b64_json"])
def test_a_data_address_is_read(images_server: ImagesServer, place: str) -> None:
    text = base64.b64encode(IMAGE).decode()
    item: dict[str, Any] = {place: f"data:image/png;base64,{text}"}
    images_server.script(json_answer({"data": [item]}))
    assert kept(made(wish())) == IMAGE


def set_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str, api: str, without: str = "") -> None:
    """Let this process reach `api`, as all hosts but those `without`, by way of the proxy."""
    set_to(monkeypatch, http_proxy=proxy, no_proxy=without, NO_PROXY=without, OPENAI_BASE_URL=api)


@pytest.mark.parametrize("host", ["api.invalid", "pictures.invalid"])
def test_a_proxy_is_asked_for_what_it_alone_may_know_by_name(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    set_proxy(monkeypatch, origin(images_server), "http://api.invalid/v1")
    url = f"http://{host}/1.png"
    images_server.script(json_answer({"data": [{"url": url}]}))
    images_server.pages[url] = PAGE
    assert kept(made(wish())) == IMAGE
    has_key = "authorization" in images_server.fetches[0].headers
    assert has_key is (host == "api.invalid")


@pytest.mark.parametrize("host", ["10.0.0.1", "[::1]", "localhost"])
def test_a_proxy_is_not_asked_for_what_is_known_to_be_private(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    set_proxy(monkeypatch, origin(images_server), "http://api.invalid/v1")
    images_server.script(json_answer({"data": [{"url": f"http://{host}/1.png"}]}))
    assert failed(wish()).kind == "not fetched"
    assert images_server.fetches == []


def test_what_no_proxy_is_for_is_fetched_past_it(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ImagesServer() as proxy:
        named = images_server.url.replace("127.0.0.1", "localhost")
        set_proxy(monkeypatch, origin(proxy), named, "localhost")
        answer_with(images_server, "/v1/images/1/content")
        assert kept(made(wish())) == IMAGE
        assert proxy.fetches == []


def fetch(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], reached: str
) -> tuple[bytes | Problem, list[str], list[str]]:
    """Fetch from a host with these addresses, of which one is `reached`.

    Returns what came, the addresses that were tried, and the names that the server was told.
    """
    tried: list[str] = []
    names: list[str] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        tried.append(request.url.host)
        names.append(f"{request.headers['host']} {request.extensions['sni_hostname']}")
        if request.url.host != reached:
            raise httpx2.ConnectError("no way there")
        return httpx2.Response(200, content=b"picture")

    def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        assert port in (1, 443)
        return [(0, 0, 0, "", (address, 443)) for address in addresses]

    async def end() -> bytes:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(serve))
        api = "https://images.example/v1"
        return await fetch_picture("https://files.example/1.png", api, "sk-no", http)

    # asyncio asks the resolver in a thread, and would not do so for itself.
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        return asyncio.run(end()), tried, names
    except FailedError as exc:
        return exc.problem, tried, names


V6, V4 = "2606:4700:4700::1111", "1.1.1.1"


@pytest.mark.parametrize("addresses", [[V6, V4], [V4, V6], [V6, V6, V4]])
def test_the_addresses_of_a_host_are_tried_in_the_resolvers_order(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    came, tried, names = fetch(monkeypatch, addresses, addresses[-1])
    assert came == b"picture"
    assert tried == list(dict.fromkeys(addresses))
    assert set(names) == {"files.example files.example"}


def test_the_first_address_that_is_reached_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch(monkeypatch, [V6, V4], V6)[:2] == (b"picture", [V6])


def test_of_a_hosts_addresses_only_those_that_are_allowed_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("utils.images.fetch._port", lambda url: 443 if "files" in url.host else 1)
    assert fetch(monkeypatch, ["10.0.0.1", V4, "::1"], V4)[1] == [V4]
    problem, tried, _ = fetch(monkeypatch, ["10.0.0.1", "::1"], "::1")
    assert isinstance(problem, Problem)
    assert tried == []


def test_a_host_that_cannot_be_reached_at_all_is_no_cause_for_a_second_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem, tried, _ = fetch(monkeypatch, [V6, V4], "nowhere")
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry, problem.billed) == ("not fetched", False, True)
    assert tried == [V6, V4] * 3


def test_a_fetch_that_ends_badly_is_read_as_a_problem(images_server: ImagesServer) -> None:
    answer_with(images_server, "/v1/images/1/content", [])
    assert isinstance(ask(wish()), Problem)
