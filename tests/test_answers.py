"""Any answer of any server: what a person reads, how often it was asked, and that nothing is lost.

Each answer goes over a real socket and through the real SDK, for generations and for edits.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flow import create_generation_flow
from tests.images_server import (
    USAGE,
    Answer,
    Drop,
    Head,
    ImagesServer,
    error,
    event,
    json_answer,
    picture,
    plain,
    stream,
)
from utils.images import api as image_api
from utils.images.api import ImageRequest, request_picture
from utils.images.errors import ImageError, Problem
from utils.images.pictures import Picture, check_picture
from utils.jobs.table import Jobs
from utils.review import moves as state
from utils.settings import choose_engine, get_settings

STREAM = Head(content_type="text/event-stream")
HTML = Head(content_type="text/html")
END = picture("end")
OPTIONS = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}

Build = Callable[[str], list[Answer]]


def always(answer: Answer) -> Build:
    return lambda verb: [answer]


def streamed(*parts: bytes | Drop) -> Build:
    return always([STREAM, *parts])


def data(body: object) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def completed(verb: str, image: str = END, **fields: object) -> bytes:
    return event("completed", image, verb, **fields)


def refusal(status: int, name: str) -> Answer:
    message = f"Unknown parameter: '{name}'."
    return json_answer({"error": {"message": message, "param": name, "code": None}}, status)


# What is sent, and how it must end: 'picture' or the kind of problem, and after how many calls.
ANSWERS: dict[str, tuple[Build, str, int]] = {
    "stream": (lambda verb: [[STREAM, completed(verb, usage=USAGE)]], "picture", 1),
    "stream with drafts": (
        lambda verb: [[STREAM, event("partial_image", picture(), verb), completed(verb)]],
        "picture",
        1,
    ),
    "stream with charset": (
        lambda verb: [[Head(content_type="text/event-stream; charset=utf-8"), completed(verb)]],
        "picture",
        1,
    ),
    "stream with keep-alives": (
        lambda verb: [[STREAM, b"event: keepalive\n\n", b": ping\n\n", completed(verb)]],
        "picture",
        1,
    ),
    "stream with unknown events": (
        lambda verb: [[STREAM, data({"type": "new"}), data([1]), data(None), completed(verb)]],
        "picture",
        1,
    ),
    "stream with truncated JSON": (
        lambda verb: [[STREAM, b'data: {"type": "im\n\n', completed(verb)]],
        "picture",
        1,
    ),
    "stream with a broken draft": (
        lambda verb: [[STREAM, event("partial_image", "broken", verb), completed(verb)]],
        "picture",
        1,
    ),
    "stream without blank line at its end": (
        lambda verb: [[STREAM, completed(verb).rstrip()]],
        "picture",
        1,
    ),
    "stream with an odd usage": (
        lambda verb: [[STREAM, completed(verb, usage=["odd"])]],
        "picture",
        1,
    ),
    "plain JSON": (always(plain(END)), "picture", 1),
    "plain JSON without usage": (
        always(json_answer({"data": [{"b64_json": END}]})),
        "picture",
        1,
    ),
    "plain JSON of the wrong type": (always([HTML, plain(END)[1]]), "picture", 1),
    "a JPEG that is called PNG": (
        always(
            json_answer({"data": [{"b64_json": picture(image_format="JPEG")}], "format": "png"})
        ),
        "picture",
        1,
    ),
    "WebP": (always(plain(picture(image_format="WEBP"))), "picture", 1),
    "data address": (
        always(json_answer({"data": [{"url": f"data:image/png;base64,{END}"}]})),
        "picture",
        1,
    ),
    "relative address": (always(json_answer({"data": [{"url": "/content"}]})), "picture", 1),
    "stream is refused": (lambda verb: [refusal(400, "stream"), plain(END)], "picture", 2),
    "drafts are refused": (
        lambda verb: [refusal(422, "partial_images"), [STREAM, completed(verb)]],
        "picture",
        2,
    ),
    "size is refused": (lambda verb: [refusal(400, "size"), plain(END)], "picture", 2),
    "quality is refused in another shape": (
        lambda verb: [
            json_answer({"detail": [{"loc": ["body", "quality"], "msg": "extra"}]}, 422),
            plain(END),
        ],
        "picture",
        2,
    ),
    "background is refused in words": (
        lambda verb: [json_answer({"error": "background is unknown"}, 400), plain(END)],
        "picture",
        2,
    ),
    "format is refused, then size": (
        lambda verb: [refusal(400, "output_format"), refusal(400, "size"), plain(END)],
        "picture",
        3,
    ),
    "stream that ends with no picture": (streamed(), "cut off", 1),
    "stream that is cut": (streamed(b'data: {"type": "image_', Drop()), "cut off", 1),
    "stream with an error": (
        streamed(data({"type": "error", "error": {"code": "server_error"}})),
        "server",
        1,
    ),
    "stream with a flat error": (
        streamed(data({"type": "error", "code": "moderation_blocked", "message": "sk-no"})),
        "refused",
        1,
    ),
    "stream with an error of no kind": (
        streamed(data({"error": "sk-no"})),
        "unknown",
        1,
    ),
    "stream with a broken picture": (
        lambda verb: [[STREAM, completed(verb, "broken")]],
        "no picture",
        1,
    ),
    "stream with an empty end": (
        lambda verb: [[STREAM, data({"type": f"image_{verb}.completed"})]],
        "no picture",
        1,
    ),
    "a web page": (always([HTML, b"<html>Welcome sk-no</html>"]), "no picture", 1),
    "nothing": (always([Head(), b" "]), "no picture", 1),
    "null": (always(json_answer(None)), "no picture", 1),
    "no data": (always(json_answer({"created": 1})), "no picture", 1),
    "data that is null": (always(json_answer({"data": None})), "no picture", 1),
    "data that is empty": (always(json_answer({"data": []})), "no picture", 1),
    "data that is text": (always(json_answer({"data": "text"})), "no picture", 1),
    "picture that is null": (always(json_answer({"data": [{"b64_json": None}]})), "no picture", 1),
    "picture that is a number": (always(json_answer({"data": [{"b64_json": 7}]})), "no picture", 1),
    "picture that is text": (always(plain("not base64 at all")), "no picture", 1),
    "picture that is a page": (
        always(plain(base64.b64encode(b"<html>").decode())),
        "no picture",
        1,
    ),
    "address that leads astray": (
        always(json_answer({"data": [{"url": "http://10.0.0.1/x.png"}]})),
        "not fetched",
        1,
    ),
    "200 with an error": (
        always(json_answer({"error": {"message": "no", "code": "model_not_found"}})),
        "model",
        1,
    ),
    "refused by the safety system": (
        always(error(400, "moderation_blocked", "safety_violations=[violence] sk-no")),
        "refused",
        1,
    ),
    "spending limit": (always(error(400, "billing_hard_limit_reached")), "quota", 1),
    "no quota": (always(error(429, "insufficient_quota")), "quota", 1),
    "bad prompt": (
        always(json_answer({"error": {"message": "Too long", "param": "prompt"}}, 400)),
        "parameter",
        1,
    ),
    "xAI's shape": (
        always(json_answer({"code": "400", "error": "Bad thing"}, 400)),
        "parameter",
        1,
    ),
    "wrong key": (always(error(401, "invalid_api_key", "Incorrect key sk-no***no")), "key", 1),
    "unverified organization": (
        always(error(403, None, "Your organization must be verified to use this model")),
        "unverified",
        1,
    ),
    "no access": (always(error(403, None, "Project has no access")), "forbidden", 1),
    "unknown model": (always(error(404, "model_not_found")), "model", 1),
    "no such address": (always([Head(404, "text/html"), b"<html>404</html>"]), "address", 1),
    "method not allowed": (always(json_answer({"detail": "Not Allowed"}, 405)), "address", 1),
    "too large": (always([Head(413, "text/html"), b"<html>nginx</html>"]), "too large", 1),
    "timeout": (always(error(408, None)), "busy", 1),
    "conflict": (always(json_answer({"detail": "busy"}, 409)), "busy", 1),
    "rate limit": (always(error(429, "rate_limit_exceeded", retry_after="0")), "rate limit", 1),
    "rate limit without a word": (always([Head(429)]), "rate limit", 1),
    "server error": (always(error(500, "server_error")), "server", 1),
    "gateway error": (always([Head(502, "text/html"), b"<html>Bad gateway</html>"]), "server", 1),
    "overloaded": (always(json_answer({"error": "text"}, 503)), "server", 1),
    "dropped connection": (always([Drop()]), "connection", 1),
    "teapot": (always(json_answer({"error": {"message": "sk-no"}}, 418)), "unknown", 1),
}

assert len(ANSWERS) >= 40


@pytest.fixture(autouse=True)
def engine(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", images_server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret")
    get_settings.cache_clear()
    image_api._refused.clear()


@pytest.mark.parametrize("verb", ["generation", "edit"])
@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_ends_as_it_should(images_server: ImagesServer, name: str, verb: str) -> None:
    build, expected, calls = ANSWERS[name]
    answers = build(verb)
    images_server.script(*answers, then=answers[-1])
    images_server.pages["/content"] = [Head(), base64.b64decode(END)]
    images = (base64.b64decode(picture("to be changed")),) if verb == "edit" else ()
    request = ImageRequest("request-1", "a fox", choose_engine(), OPTIONS, images)
    try:
        outcome: Picture | Problem = asyncio.run(request_picture(request, lambda image: None))
    except ImageError as exc:
        outcome = exc.problem
    assert len(images_server.calls) == calls
    path = "/v1/images/edits" if images else "/v1/images/generations"
    assert {call.path for call in images_server.calls} == {path}
    if isinstance(outcome, Picture):
        assert expected == "picture"
        return
    assert outcome.kind == expected
    assert_can_be_read(outcome.sentence)


def assert_can_be_read(sentence: str) -> None:
    """One or two sentences of ours: none of a server's words, no code, no key."""
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    for leak in ("sk-", "<", "{", "Error code", "Traceback", "html"):
        assert leak not in sentence


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    table = Jobs()
    monkeypatch.setattr("nodes.jobs", table)
    monkeypatch.setattr("utils.jobs.table._pause", lambda news, first_wait: 0.0)
    yield table
    table.stop()


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("name", [name for name, case in ANSWERS.items() if case[1] != "picture"])
def test_a_failure_keeps_prompt_settings_and_pictures(
    images_server: ImagesServer, name: str
) -> None:
    build, kind, _ = ANSWERS[name]
    images_server.script(then=build("generation")[-1])
    shared: dict[str, Any] = {}
    state.begin(shared, {}, lambda job: True)
    shared.update(task_input="a fox", quality="low")
    state.generate(shared, shared["click_id"])
    state.receive_picture(
        shared, shared["pending"]["waiting"][0], check_picture(picture()), "model"
    )
    before = dict(shared)
    state.regenerate(shared, shared["click_id"])
    create_generation_flow().run(shared)
    changed = {key for key in shared if shared[key] != before[key]}
    assert changed <= {"error_message", "error_request_id", "click_id"}
    assert_can_be_read(shared["error_message"])
    lasting = ("cut off", "server", "rate limit", "busy", "connection")
    assert len(images_server.calls) == (3 if kind in lasting else 1)


def ask(**options: str) -> Picture:
    request = ImageRequest("request-1", "a fox", choose_engine(), options)
    return asyncio.run(request_picture(request, lambda image: None))


def test_what_a_server_has_refused_is_not_sent_again_and_the_person_is_told(
    images_server: ImagesServer,
) -> None:
    images_server.script(refusal(400, "quality"), refusal(400, "stream"), then=plain(END))
    assert ask(quality="high", size="1024x1024").refused == ("quality",)
    assert ask(quality="high").refused == ("quality",)
    sent = [sorted(call.wish.keys() - {"prompt", "model"}) for call in images_server.calls]
    assert sent == [
        ["partial_images", "quality", "size", "stream"],
        ["partial_images", "size", "stream"],
        ["size"],
        [],
    ]
    assert ask(quality="low").refused == ()
    assert images_server.calls[-1].wish["quality"] == "low"


def test_another_model_of_the_server_is_asked_afresh(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    images_server.script(refusal(400, "quality"), then=plain(END))
    ask(quality="high")
    monkeypatch.setenv("OPENAI_IMAGE_MODEL", "another")
    get_settings.cache_clear()
    assert ask(quality="high").refused == ()
    assert images_server.calls[-1].wish["quality"] == "high"


def test_a_parameter_that_was_not_sent_is_not_asked_without(images_server: ImagesServer) -> None:
    images_server.script(then=refusal(400, "size"))
    with pytest.raises(ImageError):
        ask()
    assert len(images_server.calls) == 1


def test_an_edit_sends_the_pictures_own_bytes(images_server: ImagesServer) -> None:
    one, two = (base64.b64decode(picture(words, image_format="WEBP")) for words in ("one", "two"))
    images_server.script(then=stream(END))
    for images, fields in (((one,), [b'name="image"']), ((one, two), [b'name="image[]"'] * 2)):
        request = ImageRequest("request-1", "night", choose_engine(), {"size": "auto"}, images)
        asyncio.run(request_picture(request, lambda image: None))
        body = images_server.calls[-1].body
        assert all(image in body for image in images)
        assert all(field in body for field in fields)
        assert b"image/webp" in body
