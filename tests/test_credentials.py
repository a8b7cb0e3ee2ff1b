import base64
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.images_server import picture
from tests.signing import SIGNER, sign, sign_from_afar
from utils.images.credentials import (
    BEGINNING,
    Credentials,
    Signal,
    credentials_in_words,
    read_credentials,
    read_signals,
    signal_in_words,
)
from utils.review.blobs import blobs


def data(words: str, image_format: str = "PNG") -> bytes:
    return base64.b64decode(picture(words, (128, 128), image_format))


def put(data: bytes) -> str:
    return blobs.put("somebody", data)


@pytest.fixture
def asked() -> Iterator[HTTPServer]:
    """A server that notes in `paths` what it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.paths.append(self.path)  # type: ignore[attr-defined]
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.paths = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("image_format", "mime"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")],
)
def test_a_picture_says_who_has_signed_it(image_format: str, mime: str) -> None:
    found = read_credentials(put(sign(data("signed", image_format), mime)))
    assert found is not None
    assert (found.state, found.signer, found.software) == ("valid", SIGNER, "a painting machine")
    words = credentials_in_words(found)
    assert SIGNER in words
    assert "cannot be verified here" in words


def test_a_picture_without_credentials_says_nothing() -> None:
    assert read_credentials(put(data("unsigned"))) is None


def test_credentials_of_another_picture_do_not_hold() -> None:
    signed = bytearray(sign(data("changed since")))
    signed[signed.rfind(b"IDAT") + 20] ^= 1
    found = read_credentials(put(bytes(signed)))
    assert found is not None
    assert found.state == "invalid"
    assert "do not hold" in credentials_in_words(found)


@pytest.mark.parametrize("end", [BEGINNING, BEGINNING * 1000])
def test_what_looks_like_credentials_and_is_none_is_unread(end: bytes) -> None:
    found = read_credentials(put(data("odd") + end))
    assert found == Credentials("unread")
    assert "cannot be read here" in credentials_in_words(found)


def test_the_letters_alone_are_no_credentials() -> None:
    assert read_credentials(put(data("a badge for our c2pa talk") + b"jumdc2pa")) is None


def test_without_the_library_a_picture_says_that_it_carries_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert read_credentials(put(sign(data("no library")))) == Credentials("unread")


def test_a_picture_sends_this_server_nowhere(asked: HTTPServer) -> None:
    address = f"http://127.0.0.1:{asked.server_port}/c2pa"
    assert read_credentials(put(sign_from_afar(data("afar"), address))) == Credentials("unread")
    assert asked.paths == []  # type: ignore[attr-defined]


ANSWER = {
    "created_at": 1,
    "object": "content_provenance_check",
    "results": [
        {
            "type": "c2pa",
            "outcome": "detected",
            "validation_state": "trusted",
            "issuer": "OpenAI",
            "model": "gpt-image-2.6-flare",
            "generated_at": "2026-11-25T03:00:00Z",
        },
        {"type": "synthid", "outcome": "not_detected", "model": None},
    ],
}


def test_what_openai_answers_is_said_in_words() -> None:
    c2pa, synthid = read_signals(ANSWER)
    at = "2026-11-25T03:00:00Z"
    assert c2pa == Signal("c2pa", True, "trusted", "OpenAI", "gpt-image-2.6-flare", at)
    assert signal_in_words(c2pa) == (
        f"OpenAI found its content credentials, model gpt-image-2.6-flare, made {at}, trusted."
    )
    assert "does not prove" in signal_in_words(synthid)


@pytest.mark.parametrize("answer", [None, [], {}, {"results": []}, {"results": "none"}, "page"])
def test_an_answer_without_results_is_none(answer: object) -> None:
    with pytest.raises(ValueError, match="no results"):
        read_signals(answer)
