"""What one call of ours comes to at the model, through gateways by others."""

import asyncio
import base64
import json
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from tests.images_server import (
    Answer,
    Drop,
    Gate,
    Head,
    ImagesServer,
    error,
    json_answer,
    picture,
    plain,
)
from tests.servers.conftest import (
    AIMOCK_PICTURE,
    DEFAULT_MODEL,
    SLOW_MODEL,
    Gateway,
    asks_for_stream,
)
from utils import images
from utils.jobs.outcomes import FailedError, Problem
from utils.review.blobs import blobs
from utils.review.records import Engine, Wish
from utils.settings import get_settings

OWNER = "tests"


@pytest.fixture(autouse=True)
def clear_settings() -> None:
    get_settings.cache_clear()


@pytest.fixture
def to_litellm(litellm: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    return use(litellm, monkeypatch)


@pytest.fixture
def to_litellm_as_it_comes(litellm_as_it_comes: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    return use(litellm_as_it_comes, monkeypatch)


@pytest.fixture
def to_aimock(aimock: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    return use(aimock, monkeypatch)


def use(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the app to ask this gateway; return its address."""
    for name, value in gateway.environment.items():
        monkeypatch.setenv(name, value)
    return gateway.url


def ask(
    url: str,
    model: str = DEFAULT_MODEL,
    sources: tuple[str, ...] = (),
    options: Mapping[str, str] = MappingProxyType({}),
) -> images.Picture | Problem:
    """Make one call, whatever comes of it."""
    wish = Wish("a fox", Engine("a gateway", model, url), options, sources)
    call = images.make("request-1", wish, "", OWNER)

    async def run() -> images.Picture:
        return await call(lambda draft: None)

    try:
        return asyncio.run(run())
    except FailedError as exc:
        return exc.problem


def expect_picture(answer: images.Picture | Problem, image: str) -> images.Picture:
    assert isinstance(answer, images.Picture), answer
    assert blobs.get(answer.name) == base64.b64decode(image)
    return answer


def own_picture(words: str) -> str:
    """Keep a picture to be changed; return its name."""
    return blobs.put(OWNER, base64.b64decode(picture(words)))


def test_a_picture_through_litellm_is_one_call_and_has_its_price(
    to_litellm: str, images_server: ImagesServer
) -> None:
    made = expect_picture(ask(to_litellm), picture("a fox"))
    assert len(images_server.calls) == 1
    assert made.cost.tokens == 1010
    assert made.cost.dollars == pytest.approx(10 * 5e-6 + 1000 * 4e-5)


def test_settings_go_through_litellm_untouched(
    to_litellm: str, images_server: ImagesServer
) -> None:
    chosen = {"size": "1536x1024", "quality": "high", "background": "opaque"}
    made = expect_picture(ask(to_litellm, options=chosen), picture("a fox"))
    assert made.refused == ()
    wish = images_server.calls[0].wish
    assert wish == {"prompt": "a fox", "model": DEFAULT_MODEL, **chosen}


@pytest.mark.parametrize("count", [1, 2])
def test_an_edit_through_litellm_is_one_call(
    to_litellm: str, images_server: ImagesServer, count: int
) -> None:
    images_server.script(then=plain(picture("changed")))
    sources = tuple(own_picture(f"own {number}") for number in range(count))
    made = expect_picture(ask(to_litellm, sources=sources), picture("changed"))
    (call,) = images_server.calls
    assert call.path == "/v1/images/edits"
    assert call.body.count(b'name="image[]"') == count
    assert made.cost.dollars == pytest.approx(0.04005)


def test_litellm_gives_no_stream_and_the_model_is_paid_all_the_same(
    to_litellm: str, images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it is asked for none: should this fail one day, LiteLLM has learnt to stream."""
    monkeypatch.setenv("IMAGE_STREAM", "on")
    problem = ask(to_litellm)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.billed) == ("server", True)
    assert [asks_for_stream(call) for call in images_server.calls] == [True]


def invalid(code: str, message: str, param: str | None = None) -> Answer:
    body = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json_answer({"error": body}, 400)


# LiteLLM puts the status in the place of the API's code, so these are known by their words.
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (invalid("moderation_blocked", "Rejected by the safety system."), "refused"),
        (invalid("billing_hard_limit_reached", "Billing hard limit has been reached"), "quota"),
        (error(401, "invalid_api_key", "Incorrect API key provided: sk-up***am."), "key"),
        (error(404, "model_not_found", "The model does not exist"), "model"),
    ],
)
def test_what_the_api_refuses_through_litellm_is_asked_for_once(
    to_litellm: str, images_server: ImagesServer, answer: Answer, kind: str
) -> None:
    images_server.script(then=answer)
    problem = ask(to_litellm)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry, problem.billed) == (kind, False, False)
    assert len(images_server.calls) == 1


def test_a_setting_that_is_refused_through_litellm_is_left_out(
    to_litellm: str, images_server: ImagesServer
) -> None:
    images_server.script(invalid("invalid_value", "Invalid size '512x512'.", "size"))
    made = expect_picture(ask(to_litellm, options={"size": "512x512"}), picture("a fox"))
    assert made.refused == ("size",)
    assert ["size" in call.wish for call in images_server.calls] == [True, False]


def test_a_rate_limit_through_litellm_tells_how_long_to_wait(
    to_litellm: str, images_server: ImagesServer
) -> None:
    """The header is lost on the way, the words are not; LiteLLM itself asks three times."""
    message = "Rate limit reached. Please try again in 0.1s."
    images_server.script(then=error(429, "rate_limit_exceeded", message, retry_after="0.1"))
    problem = ask(to_litellm)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry, problem.billed) == ("rate limit", True, False)
    assert problem.retry_after == 0.1
    assert len(images_server.calls) == 3


def test_a_spent_account_through_litellm_is_no_rate_limit(
    to_litellm: str, images_server: ImagesServer
) -> None:
    message = "You exceeded your current quota, please check your plan and billing details."
    images_server.script(then=error(429, "insufficient_quota", message, retry_after="0.1"))
    problem = ask(to_litellm)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry) == ("quota", False)


TROUBLE: list[tuple[Answer, str]] = [
    (error(500, "server_error", retry_after="0.1"), "server"),
    ([Head(504, "text/html", (("retry-after", "0.1"),)), b"<html>Too late</html>"], "too slow"),
    ([Head(), b'{"data": [{"b64_json": "iVBO', Drop()], "server"),
]


@pytest.mark.parametrize(("answer", "kind"), TROUBLE)
def test_trouble_at_the_model_may_be_billed_three_times_through_litellm(
    to_litellm: str, images_server: ImagesServer, answer: Answer, kind: str
) -> None:
    """Of one call of ours: the SDK within LiteLLM tries three times, whatever is set there."""
    images_server.script(then=answer)
    problem = ask(to_litellm)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.billed) == (kind, True)
    assert len(images_server.calls) == 3


def test_a_model_too_slow_for_litellm_may_have_been_billed(
    to_litellm: str, images_server: ImagesServer
) -> None:
    """LiteLLM says 408 where other gateways say 504; it is three calls here, too."""
    images_server.script(then=[Gate()])
    problem = ask(to_litellm, SLOW_MODEL)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry, problem.billed) == ("too slow", False, True)
    assert len(images_server.calls) == 3


def test_trouble_at_the_model_may_be_billed_nine_times_through_litellm_as_it_comes(
    to_litellm_as_it_comes: str, images_server: ImagesServer
) -> None:
    """Why the README recommends `num_retries: 0`."""
    images_server.script(then=error(500, "server_error", retry_after="0.1"))
    problem = ask(to_litellm_as_it_comes, "failing-image")
    assert isinstance(problem, Problem)
    assert problem.billed
    assert len(images_server.calls) == 9


def test_a_model_that_cools_down_is_not_asked(
    to_litellm_as_it_comes: str, images_server: ImagesServer
) -> None:
    images_server.script(error(401, "invalid_api_key"))
    ask(to_litellm_as_it_comes, "cooling-image")
    problem = ask(to_litellm_as_it_comes, "cooling-image")
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry, problem.billed) == ("rate limit", True, False)
    assert problem.retry_after == 5
    assert len(images_server.calls) == 1


def test_a_wrong_key_for_litellm_without_its_database_is_a_wrong_key(
    to_litellm: str, images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    problem = ask(to_litellm)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry, problem.billed) == ("key", False, False)
    assert images_server.calls == []


def test_a_model_that_litellm_does_not_have(to_litellm: str, images_server: ImagesServer) -> None:
    problem = ask(to_litellm, "no-such-image")
    assert isinstance(problem, Problem)
    assert problem.kind == "model"
    assert images_server.calls == []


def test_aimock_brings_its_picture_for_one_call(to_aimock: str) -> None:
    before = len(journal(to_aimock))
    expect_picture(ask(to_aimock), AIMOCK_PICTURE)
    expect_picture(ask(to_aimock, sources=(own_picture("own"),)), AIMOCK_PICTURE)
    paths = [entry["path"] for entry in journal(to_aimock)[before:]]
    assert paths == ["/v1/images/generations", "/v1/images/edits"]


def journal(url: str) -> list[dict[str, Any]]:
    """Return what aimock has been asked so far."""
    with urllib.request.urlopen(f"{url}/_requests", timeout=10) as answer:
        asked: list[dict[str, Any]] = json.load(answer)
    return [entry for entry in asked if entry["method"] == "POST"]
