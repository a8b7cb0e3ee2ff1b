import asyncio
import json
import logging
from typing import Any

import pytest

from tests.images_server import (
    USAGE,
    Answer,
    Drop,
    Gate,
    Head,
    ImagesServer,
    error,
    event,
    json_answer,
    picture,
    plain,
    stream,
)
from utils.images.api import ImageRequest, read_events, request_picture
from utils.images.errors import ImageError, Problem
from utils.images.pictures import Picture
from utils.settings import choose_engine, get_settings

PROMPT = "a very secret prompt"
STREAM = Head(content_type="text/event-stream")


@pytest.fixture(autouse=True)
def engine(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", images_server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret")
    get_settings.cache_clear()


def ask(partials: list[str] | None = None) -> Picture | Problem:
    request = ImageRequest("request-1", PROMPT, choose_engine())
    on_partial = (partials if partials is not None else []).append
    try:
        return asyncio.run(request_picture(request, on_partial))
    except ImageError as exc:
        return exc.problem


def test_the_call_is_the_one_that_the_api_documents(images_server: ImagesServer) -> None:
    ask()
    (call,) = images_server.calls
    assert call.path == "/v1/images/generations"
    assert call.headers["authorization"] == "Bearer sk-test-secret"
    assert call.headers["x-client-request-id"] == "request-1"
    assert call.wish == {
        "prompt": PROMPT,
        "model": "gpt-image-2.5-flare",
        "stream": True,
        "partial_images": 2,
    }


def test_a_server_without_a_key_is_sent_none(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    get_settings.cache_clear()
    assert isinstance(ask(), Picture)
    assert "authorization" not in images_server.calls[0].headers


def test_a_stream_brings_its_partial_pictures_and_the_picture(images_server: ImagesServer) -> None:
    images_server.script(stream(picture("end"), [picture("one"), picture("two")]))
    partials: list[str] = []
    answer = ask(partials)
    assert isinstance(answer, Picture)
    assert answer.image == picture("end")
    assert partials == [picture("one"), picture("two")]
    assert answer.usage == USAGE
    assert answer.seconds > 0


def test_a_plain_answer_to_a_streaming_call_is_read_and_not_asked_for_again(
    images_server: ImagesServer,
) -> None:
    images_server.script(plain(picture("plain")))
    answer = ask()
    assert isinstance(answer, Picture)
    assert answer.image == picture("plain")
    assert len(images_server.calls) == 1


def test_a_picture_is_found_among_all_that_is_none(images_server: ImagesServer) -> None:
    noise = [
        b": keep-alive\n\n",
        b"event: ping\n\n",
        b"data: [DONE\n\n",
        b'data: ["no object"]\r\n\r\n',
        b'data: {"type": "something.new"}\n\n',
        event("partial_image", "no picture"),
    ]
    images_server.script([STREAM, *noise, event("completed", picture("end"))])
    partials: list[str] = []
    answer = ask(partials)
    assert isinstance(answer, Picture)
    assert (answer.image, answer.usage, partials) == (picture("end"), {}, [])


def test_a_last_event_without_a_blank_line_counts(images_server: ImagesServer) -> None:
    images_server.script([STREAM, event("completed", picture("end")).rstrip()])
    assert isinstance(ask(), Picture)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([STREAM], "cut off"),
        ([STREAM, event("partial_image", picture())], "cut off"),
        ([STREAM, b'data: {"type": "image_generation.compl', Drop()], "cut off"),
        ([Drop()], "connection"),
        ([STREAM, b'data: {"type":"error","error":{"code":"moderation_blocked"}}\n\n'], "refused"),
        ([STREAM, b'data: {"type":"error","code":"rate_limit_exceeded"}\n\n'], "rate limit"),
        ([STREAM, event("completed", "no picture")], "no picture"),
        ([STREAM, b'data: {"type":"image_generation.completed"}\n\n'], "no picture"),
        ([Head(content_type="text/html"), b"<html>welcome</html>"], "no picture"),
        (json_answer({"error": {"code": "model_not_found"}}), "model"),
        (json_answer({"data": []}), "no picture"),
        (json_answer({"data": None}), "no picture"),
        (json_answer({"data": [{"b64_json": None}]}), "no picture"),
        (json_answer([1, 2]), "no picture"),
        (error(401, "invalid_api_key"), "key"),
        (error(500, None), "server"),
        ([Head(502, "text/html"), b"<html>Bad gateway</html>"], "server"),
    ],
)
def test_what_brings_no_picture_has_its_problem(
    images_server: ImagesServer, answer: Answer, kind: str
) -> None:
    images_server.script(answer)
    problem = ask()
    assert isinstance(problem, Problem)
    assert problem.kind == kind
    assert len(images_server.calls) == 1


def test_an_answer_without_end_is_not_read_without_end(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.images.fetch.MAX_ANSWER_BYTES", 10_000)
    images_server.script([Head(), *[b"x" * 1000] * 20])
    problem = ask()
    assert isinstance(problem, Problem)
    assert problem.kind == "no picture"


@pytest.mark.parametrize("steps", [[], [STREAM], [STREAM, b": keep-alive\n\n"]])
def test_a_try_that_brings_nothing_ends_in_time(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, steps: list[Any]
) -> None:
    monkeypatch.setenv("IMAGE_TIMEOUT", "0.2")
    get_settings.cache_clear()
    images_server.script([*steps, Gate()])
    problem = ask()
    assert isinstance(problem, Problem)
    assert problem.kind == "too slow"
    assert images_server.wait_for_calls(1, ended=True)[0].ended == "client left"


def test_a_server_that_is_not_there_is_a_connection_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    get_settings.cache_clear()
    problem = ask()
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.retry) == ("connection", True)


def test_the_log_tells_the_facts_and_no_secrets(
    images_server: ImagesServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "utils")
    images_server.script(
        plain(picture("logged")), error(401, "x", "Bad key sk-test-secret", x_request_id="req_7")
    )
    ask()
    ask()
    made, failed = [record.getMessage() for record in caplog.records]
    assert "request-1" in made
    assert "gpt-image-2.5-flare" in made
    assert "1010 tokens" in made
    assert "status 401" in failed
    assert "req_7" in failed
    for secret in (PROMPT, "sk-test", picture("logged")):
        assert secret not in caplog.text


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_events_are_read_however_the_bytes_are_cut(size: int) -> None:
    sent = [{"type": "a", "text": "x" * 50}, {"type": "b"}, {"type": "ü"}]
    lines = [
        f"id: 1\r\ndata: {json.dumps(one, ensure_ascii=False)}\r\n\r\n".encode() for one in sent
    ]
    text = b"".join(lines)

    async def chunks() -> Any:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    async def read() -> list[dict[str, Any]]:
        return [one async for one in read_events(chunks())]

    assert asyncio.run(read()) == sent
