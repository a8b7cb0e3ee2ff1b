"""Whatever a server sends: a picture or a Problem, and nothing of it on the page or in the log."""

import asyncio
import io
import json
import logging
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.calls import OWNER
from tests.images_server import picture
from utils import images
from utils.images import api, clients
from utils.jobs.outcomes import FailedError
from utils.review.records import Engine, Wish

ENGINE = Engine("fuzz", "some-model", "http://fuzz.example/v1", own_key=True)
KEY = "sk-test-secret"
SECRET = "sk-leak-me"
IMAGE = picture("fuzz", size=(2, 2))

words = st.sampled_from(
    [
        *("data", "error", "message", "code", "type", "param", "detail", "url", "b64_json"),
        *("usage", "size", "stream", "partial_images", "image_generation.completed", "error"),
        *("image_generation.partial_image", IMAGE, SECRET, "moderation_blocked", "../x", "data:,"),
    ]
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
items = st.fixed_dictionaries({}, optional={"b64_json": values, "url": values})
bodies = st.one_of(
    st.binary(max_size=200),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"data": st.lists(items, max_size=2), "usage": values}).map(
        lambda value: json.dumps(value).encode()
    ),
    st.fixed_dictionaries({"error": values}).map(lambda value: json.dumps(value).encode()),
)
events = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.just(b"event: ping\n\n"),
        st.just(b"\r\n\r\n"),
        values.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
        st.dictionaries(words, values, max_size=4).map(
            lambda value: b"data:" + json.dumps(value).encode() + b"\n\n"
        ),
    ),
    max_size=6,
).map(b"".join)
statuses = st.sampled_from([200, 200, 200, 204, 301, 400, 401, 403, 404, 422, 429, 500, 503, 599])
types = st.sampled_from(["application/json", "text/event-stream", "text/html", "", "x;charset=q"])


def answer(status: int, content_type: str, body: bytes) -> tuple[images.Picture | None, list[str]]:
    """Let a server answer so; return the picture, and the sentences that there were."""

    def serve(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": content_type, "x-request-id": SECRET + "<b>"}
        return httpx2.Response(status, headers=headers, content=body)

    async def end() -> images.Picture:
        http = clients.HttpClient(transport=httpx2.MockTransport(serve))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clients, "http_client", lambda engine: http)
            patch.setattr("utils.images.engines.streams", lambda engine: True)
            await api.list_models(ENGINE, KEY)
            wish = Wish("a secret prompt", ENGINE, {"size": "64x64"})
            return await images.make("request-1", wish, KEY, OWNER)(lambda draft: None)

    api._refused.clear()
    try:
        return asyncio.run(end()), []
    except FailedError as exc:
        return None, [exc.problem.sentence]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(statuses, types, bodies | events)
@example(200, "application/json", json.dumps({"data": [{"b64_json": IMAGE}]}).encode())
@example(200, "application/json", b"[" * 100_000)
@example(200, "application/json", b'{"data": ' + b"9" * 5000 + b"}")
@example(200, "text/event-stream", b'data: {"type": "error", "error": "' + SECRET.encode() + b'"}')
@example(400, "application/json", b'{"error": {"param": {"a": 1}, "message": ["size"]}}')
def test_nothing_escapes_and_nothing_leaks(
    caplog: pytest.LogCaptureFixture, status: int, content_type: str, body: bytes
) -> None:
    caplog.set_level(logging.INFO, "utils")
    caplog.clear()
    made, sentences = answer(status, content_type, body)
    if made:
        assert made.name
    for text in (*sentences, *(record.getMessage() for record in caplog.records)):
        for secret in ("sk-test-secret", "a secret prompt", "<b>"):
            assert secret not in text
    for sentence in sentences:
        assert SECRET not in sentence


def saved(image_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.effect_noise((40, 30), 50).convert("RGB").save(out, image_format, exif=turned, **options)
    return out.getvalue()


FILES = [
    saved("PNG"),
    saved("JPEG", progressive=True),
    saved("WEBP"),
    saved("MPO", save_all=True, append_images=[Image.new("RGB", (20, 15))]),
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=3)), max_size=8),
)
def test_a_broken_upload_is_taken_or_refused(data: bytes, edits: list[tuple[int, bytes]]) -> None:
    for at, text in edits:
        data = data[:at] + text + data[at + len(text) :]
    kept, sentence = images.take_uploads(OWNER, [("file", data)])
    assert bool(kept) != bool(sentence) or "scaled down" in sentence
