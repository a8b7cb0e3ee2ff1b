"""Pictures that come as an address: fetched once, from where they may be fetched from."""

import asyncio
import base64
from typing import Any

import pytest

from tests.images_server import (
    Answer,
    Gate,
    Head,
    ImagesServer,
    error,
    json_answer,
    picture,
)
from utils.images.api import ImageRequest, request_picture
from utils.images.errors import ImageError, Problem
from utils.images.pictures import Picture
from utils.settings import choose_engine, get_settings

IMAGE = picture("fetched")
PAGE: Answer = [Head(content_type="image/png"), base64.b64decode(IMAGE)]


@pytest.fixture(autouse=True)
def engine(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", images_server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret")
    get_settings.cache_clear()


def ask() -> Picture | Problem:
    request = ImageRequest("request-1", "a fox", choose_engine())
    try:
        return asyncio.run(request_picture(request, lambda image: None))
    except ImageError as exc:
        return exc.problem


def answer_with(images_server: ImagesServer, url: str, page: Answer = PAGE) -> None:
    images_server.script(json_answer({"data": [{"url": url}]}))
    images_server.pages["/v1/images/1/content"] = page


def origin(images_server: ImagesServer) -> str:
    return images_server.url.removesuffix("/v1")


def test_an_address_relative_to_the_server_is_fetched_with_the_key(
    images_server: ImagesServer,
) -> None:
    answer_with(images_server, "/v1/images/1/content")
    answer = ask()
    assert isinstance(answer, Picture)
    assert answer.image == IMAGE
    assert len(images_server.calls) == 1
    assert images_server.fetches[0].headers["authorization"] == "Bearer sk-test-secret"


def test_an_absolute_address_at_the_apis_own_origin_is_fetched(images_server: ImagesServer) -> None:
    answer_with(images_server, f"{origin(images_server)}/v1/images/1/content")
    assert isinstance(ask(), Picture)
    host = origin(images_server).removeprefix("http://")
    assert images_server.fetches[0].headers["host"] == host


def test_another_name_of_the_apis_own_address_is_fetched_without_the_key(
    images_server: ImagesServer,
) -> None:
    url = origin(images_server).replace("127.0.0.1", "localhost")
    answer_with(images_server, f"{url}/v1/images/1/content")
    assert isinstance(ask(), Picture)
    assert "authorization" not in images_server.fetches[0].headers


def test_another_server_in_the_private_network_is_refused(images_server: ImagesServer) -> None:
    with ImagesServer() as other:
        answer_with(images_server, f"{origin(other)}/v1/images/1/content")
        other.pages["/v1/images/1/content"] = PAGE
        problem = ask()
        assert isinstance(problem, Problem)
        assert (problem.kind, problem.retry) == ("not fetched", False)
        assert other.fetches == []


def test_a_redirect_into_the_private_network_is_refused(images_server: ImagesServer) -> None:
    with ImagesServer() as other:
        elsewhere = f"{origin(other)}/v1/images/1/content"
        redirect: Answer = [Head(302, headers=(("location", elsewhere),))]
        answer_with(images_server, "/v1/images/1/content", redirect)
        assert isinstance(ask(), Problem)
        assert len(images_server.fetches) == 1
        assert other.fetches == []


def test_a_redirect_at_the_same_server_is_followed_but_not_for_ever(
    images_server: ImagesServer,
) -> None:
    redirect: Answer = [Head(302, headers=(("location", "/end"),))]
    answer_with(images_server, "/v1/images/1/content", redirect)
    images_server.pages["/end"] = PAGE
    assert isinstance(ask(), Picture)
    answer_with(images_server, "/v1/images/1/content")
    images_server.pages["/v1/images/1/content"] = [Head(302, headers=(("location", "content"),))]
    assert isinstance(ask(), Problem)
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
    problem = ask()
    assert isinstance(problem, Problem)
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
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, page: Answer, kind: str
) -> None:
    monkeypatch.setattr("utils.images.fetch.MAX_ANSWER_BYTES", 10_000)
    answer_with(images_server, "/v1/images/1/content", page)
    problem = ask()
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry) == (kind, False)
    assert len(images_server.calls) == 1


def test_a_fetch_that_brings_nothing_ends_in_time(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.images.fetch.FETCH_SECONDS", 0.2)
    answer_with(images_server, "/v1/images/1/content", [Head(), Gate()])
    problem = ask()
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry) == ("not fetched", False)
    assert len(images_server.calls) == 1


@pytest.mark.parametrize("place", ["url", "b64_json"])
def test_a_data_address_is_read(images_server: ImagesServer, place: str) -> None:
    item: dict[str, Any] = {place: f"data:image/png;base64,{IMAGE}"}
    images_server.script(json_answer({"data": [item]}))
    answer = ask()
    assert isinstance(answer, Picture)
    assert answer.image == IMAGE
