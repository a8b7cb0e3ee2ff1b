import asyncio
import base64
import gc
import json
import logging
import re
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.calls import (
    OWNER,
    LoopClock,
    ask,
    failed,
    kept,
    made,
    sent,
    set_server,
    set_to,
    shared,
    wish,
)
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
from utils import images
from utils.demo.engine import DemoTransport
from utils.images import api, clients, errors
from utils.images.credentials import Signal
from utils.images.events import read_events
from utils.images.pictures import check_draft
from utils.jobs.outcomes import STORE_AWAY, FailedError
from utils.review.blobs import Blobs, blobs
from utils.review.people import find_person
from utils.review.records import Cost, Engine, Wish
from utils.settings import get_settings
from utils.spending import SpentError, spending

PROMPT = "a very secret prompt"
STREAM = Head(content_type="text/event-stream")


def data(image: str) -> bytes:
    return base64.b64decode(image)


@pytest.fixture(autouse=True)
def engine(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_server(images_server, monkeypatch)


def test_the_call_is_the_one_that_the_api_documents(images_server: ImagesServer) -> None:
    ask(wish(PROMPT))
    (call,) = images_server.calls
    assert call.path == "/v1/images/generations"
    assert call.headers["authorization"] == "Bearer sk-test-secret"
    assert call.headers["x-client-request-id"] == "request-1"
    assert call.wish == {
        "prompt": PROMPT,
        "model": "gpt-image-2.6-flare",
        "stream": True,
        "partial_images": 2,
    }


def test_the_settings_are_sent_by_the_apis_own_names(images_server: ImagesServer) -> None:
    ask(wish(size="1024x1024", quality="high", something_new="yes"))
    assert sent(images_server.calls[0]) == {
        "size": "1024x1024",
        "quality": "high",
        "something_new": "yes",
        "stream": True,
        "partial_images": 2,
    }


def test_a_server_without_a_key_is_sent_none(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    get_settings.cache_clear()
    made(wish())
    assert "authorization" not in images_server.calls[0].headers


def test_a_typed_key_goes_with_the_wish_that_names_it(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="", OPENAI_ORG_ID="org-server", OPENAI_PROJECT_ID="proj")
    engine = images.engine(shared(api_key="sk-typed"))
    assert engine.own_key
    made(wish(engine=engine), key=" sk-typed ")
    headers = images_server.calls[0].headers
    assert headers["authorization"] == "Bearer sk-typed"
    assert "openai-organization" not in headers
    assert "openai-project" not in headers


def test_a_typed_key_that_is_gone_is_asked_for_again_and_costs_nothing(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="")
    asked = wish(engine=images.engine(shared(api_key="sk-typed")))
    problem = failed(asked)
    assert (problem.kind, problem.retry, problem.billed) == ("key gone", False, False)
    assert images_server.calls == []


def test_a_typed_key_is_not_used_where_the_server_has_its_own(images_server: ImagesServer) -> None:
    made(wish(), key="sk-typed")
    assert images_server.calls[0].headers["authorization"] == "Bearer sk-test-secret"


def test_the_servers_key_goes_to_the_servers_own_address_alone(images_server: ImagesServer) -> None:
    with ImagesServer() as other:
        made(wish(engine=Engine("other", "any", other.url)))
        assert "authorization" not in other.calls[0].headers


@pytest.mark.parametrize("key", ["sk-••••1234", "sk one", "sk\none"])
def test_what_can_be_no_key_is_not_sent(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="")
    problem = failed(wish(engine=images.engine(shared(api_key=key))), key=key)
    assert (problem.kind, problem.billed) == ("key", False)
    assert images_server.calls == []
    assert images.listed_models(images.engine(shared(api_key=key)), key) == ()
    assert images_server.fetches == []


def test_a_picture_is_kept_by_its_name_for_its_owner(images_server: ImagesServer) -> None:
    images_server.script(plain(picture("kept", size=(64, 48))))
    answer = made(wish())
    assert kept(answer) == data(picture("kept", size=(64, 48)))
    assert (answer.extension, answer.width, answer.height) == ("png", 64, 48)
    assert blobs.get(answer.name, "thumbnail") not in (None, kept(answer))
    blobs.forget(OWNER)
    assert blobs.get(answer.name) is None


def test_a_picture_larger_than_all_that_may_be_kept_has_its_sentence(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Blobs, "share", 10)
    problem = failed(wish())
    assert (problem.kind, problem.retry, problem.billed) == ("no room", False, True)


def test_a_source_that_is_gone_ends_the_call_before_it_costs_anything(
    images_server: ImagesServer,
) -> None:
    asked = wish(sources=(data(picture("source")),))
    blobs.forget(OWNER)
    problem = failed(asked)
    assert (problem.kind, problem.retry, problem.billed) == ("source gone", False, False)
    assert images_server.calls == []


def test_a_stream_brings_its_partial_pictures_and_the_picture(images_server: ImagesServer) -> None:
    images_server.script(stream(picture("end"), [picture("one"), picture("two")]))
    partials: list[images.Draft] = []
    answer = ask(wish(), on_partial=partials.append)
    assert isinstance(answer, images.Picture)
    assert kept(answer) == data(picture("end"))
    assert partials == [check_draft(data(picture(words))) for words in ("one", "two")]
    assert answer.tokens == USAGE["total_tokens"]
    assert answer.cost.tokens == USAGE["total_tokens"]
    assert answer.cost.dollars == pytest.approx((10 * 5 + 1000 * 30) / 1e6)
    assert answer.seconds > 0


def test_the_price_that_a_gateway_tells_counts_before_an_estimate(
    images_server: ImagesServer,
) -> None:
    body = {"data": [{"b64_json": picture()}], "usage": USAGE}
    images_server.script(json_answer(body, x_litellm_response_cost="0.0421"))
    assert made(wish()).cost == Cost(1010, 0.0421, told=True)


@pytest.mark.parametrize("told", ["", "0.0", "nan", "inf", "1000.1", "-1", "much"])
def test_a_price_that_is_none_is_not_believed(images_server: ImagesServer, told: str) -> None:
    body = {"data": [{"b64_json": picture()}], "usage": USAGE}
    images_server.script(json_answer(body, x_litellm_response_cost=told))
    assert made(wish()).cost.dollars == pytest.approx((10 * 5 + 1000 * 30) / 1e6)


def test_a_plain_answer_to_a_streaming_call_is_read_and_not_asked_for_again(
    images_server: ImagesServer,
) -> None:
    images_server.script(plain(picture("plain")))
    assert kept(made(wish())) == data(picture("plain"))
    assert len(images_server.calls) == 1


def test_an_answer_is_read_as_what_it_is_and_not_as_what_it_is_called(
    images_server: ImagesServer,
) -> None:
    images_server.script([Head(content_type="image/png"), plain(picture("end"))[1]])
    assert kept(made(wish())) == data(picture("end"))


def test_a_picture_is_found_among_all_that_is_none(images_server: ImagesServer) -> None:
    noise = [
        b": keep-alive\n\n",
        b"event: ping\n\n",
        b"data: [DONE\n\n",
        b'data: ["no object"]\r\n\r\n',
        b'data: {"type": "something.new"}\n\n',
        b'data: {"type": "docs", "url": "http://10.0.0.1/"}\n\n',
        event("partial_image", "no picture"),
    ]
    images_server.script([STREAM, *noise, event("completed", picture("end"))])
    partials: list[images.Draft] = []
    answer = ask(wish(), on_partial=partials.append)
    assert isinstance(answer, images.Picture)
    assert (kept(answer), answer.tokens, partials) == (data(picture("end")), 0, [])


DOCUMENTS, SEEN = {"url": "http://10.0.0.1/"}, {"b64_json": picture("seen")}
MADE = {"b64_json": picture("made")}


@pytest.mark.parametrize(
    "answer",
    [
        {**DOCUMENTS, "data": [MADE]},
        {"request": SEEN, "data": [MADE]},
        {"data": [DOCUMENTS, MADE]},
        {"data": None, "about": DOCUMENTS, "output": MADE},
    ],
)
def test_a_picture_is_looked_for_where_the_api_has_it_first(
    images_server: ImagesServer, answer: dict[str, object]
) -> None:
    images_server.script(json_answer(answer))
    assert kept(made(wish())) == data(MADE["b64_json"])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([STREAM], "no picture"),
        ([STREAM, event("partial_image", picture())], "no picture"),
        ([STREAM, b'data: {"type": "image_generation.compl', Drop()], "cut off"),
        ([Drop()], "cut off"),
        ([STREAM, b'data: {"type":"error","error":{"code":"moderation_blocked"}}\n\n'], "refused"),
        ([STREAM, b'data: {"type":"error","code":"rate_limit_exceeded"}\n\n'], "rate limit"),
        ([STREAM, b'event: error\ndata: {"code":"rate_limit_exceeded"}\n\n'], "rate limit"),
        ([STREAM, event("completed", "no picture"), Gate()], "no picture"),
        ([STREAM, b'data: {"type":"image_generation.completed"}\n\n'], "no picture"),
        ([Head(content_type="text/html"), b"<html>welcome</html>"], "no picture"),
        ([Head(content_type="image/png"), b"no picture"], "no picture"),
        ([Head(headers=(("content-encoding", "gzip"),)), b"no gzip"], "no picture"),
        (json_answer({"error": {"code": "model_not_found"}}), "model"),
        (json_answer({"data": []}), "no picture"),
        (json_answer({"data": None}), "no picture"),
        (json_answer({"data": [{"b64_json": None}]}), "no picture"),
        (json_answer([1, 2]), "no picture"),
        (error(401, "invalid_api_key"), "key"),
        (error(500, None), "server"),
        ([Head(502, "text/html"), b"<html>Bad gateway</html>"], "server"),
        ([Head(500, headers=(("content-encoding", "gzip"),)), b"no gzip"], "server"),
        (error(401, None, x_note="ü"), "key"),
    ],
)
def test_what_brings_no_picture_has_its_problem(
    images_server: ImagesServer, answer: Answer, kind: str
) -> None:
    images_server.script(answer)
    assert failed(wish()).kind == kind
    assert len(images_server.calls) == 1


def test_an_answer_without_end_is_not_read_without_end(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.images.fetch.MAX_ANSWER_BYTES", 10_000)
    images_server.script([Head(), *[b"x" * 1000] * 20])
    assert failed(wish()).kind == "no picture"


def test_an_error_without_end_is_read_as_far_as_it_tells(
    images_server: ImagesServer, left_open: list[str]
) -> None:
    told = json.dumps({"error": {"code": "insufficient_quota"}}).encode()
    images_server.script([Head(429), told, b" " * (clients.MAX_ERROR_BYTES + 1), Gate()])
    assert failed(wish()).kind == "quota"
    assert images_server.wait_for_calls(1, ended=True)[0].ended == "client left"
    assert left_open == []


def test_an_error_that_does_not_end_is_known_by_its_status(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, left_open: list[str]
) -> None:
    set_to(monkeypatch, IMAGE_TIMEOUT="2")
    monkeypatch.setattr("utils.images.clients.CONNECT_SECONDS", 0.5)
    images_server.script([*error(401, "invalid_api_key"), Gate()])
    problem = failed(wish())
    assert (problem.kind, problem.billed) == ("key", False)
    assert left_open == []


def test_a_redirect_without_end_is_not_read_to_its_end(
    images_server: ImagesServer, left_open: list[str]
) -> None:
    led = Head(302, headers=(("location", "/elsewhere"),))
    images_server.script([led, b" " * (clients.MAX_ERROR_BYTES + 1), Gate()])
    assert failed(wish()).kind == "address"
    assert images_server.wait_for_calls(1, ended=True)[0].ended == "client left"
    assert left_open == []


@pytest.mark.parametrize("steps", [[], [STREAM], [STREAM, b": keep-alive\n\n"]])
def test_a_try_that_brings_nothing_ends_in_time_and_is_not_repeated_by_itself(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, steps: list[Any]
) -> None:
    images_server.script([*steps, Gate()])

    async def end() -> None:
        clock = LoopClock(monkeypatch)
        call = images.make("request-1", wish(), "", OWNER)(lambda draft: None)
        waiting = asyncio.ensure_future(call)
        await asyncio.to_thread(images_server.wait_for_calls, 1)
        clock.forward(301)
        await waiting

    with pytest.raises(FailedError) as failure:
        asyncio.run(end())
    problem = failure.value.problem
    assert (problem.kind, problem.retry, problem.billed) == ("too slow", False, True)
    assert images_server.wait_for_calls(1, ended=True)[0].ended == "client left"


def test_a_draft_that_comes_late_behind_others_is_passed_over_and_one_alone_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "LATE_SECONDS", -1.0)
    shown: list[object] = []

    async def show(*drafts: str) -> list[bool]:
        events = [{"b64_json": draft} for draft in drafts]
        return await asyncio.gather(*[api._show_partial(one, shown.append) for one in events])

    one, two, three = (picture(words) for words in ("one", "two", "three"))
    assert asyncio.run(show(one, two, three)) == [True, True, True], "each is news"
    assert shown == [check_draft(data(one))]
    assert asyncio.run(show("broken")) == [False]
    assert asyncio.run(show(two)) == [True]
    assert shown[1:] == [check_draft(data(two))]


@pytest.mark.parametrize(("draft", "lasts"), [(picture(), True), ("broken", False)])
def test_only_what_can_be_seen_extends_the_patience(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, draft: str, lasts: bool
) -> None:
    images_server.script(stream(picture("end"), [draft, picture("second")]))
    show = api._show_partial

    async def end() -> images.Picture:
        clock = LoopClock(monkeypatch)

        async def shown(*args: Any) -> bool:
            # Each draft comes within the patience, but both together do not.
            clock.forward(200)
            return await show(*args)

        monkeypatch.setattr(api, "_show_partial", shown)
        return await images.make("request-1", wish(), "", OWNER)(lambda draft: None)

    if lasts:
        assert isinstance(asyncio.run(end()), images.Picture)
    else:
        with pytest.raises(FailedError, match="too slow"):
            asyncio.run(end())


def test_a_server_that_is_not_there_is_a_connection_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_to(monkeypatch, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    problem = failed(wish())
    assert (problem.kind, problem.retry, problem.billed) == ("connection", True, False)


def own_certificate(file: Path) -> Path:
    """Write a certificate for this machine, which no other one has signed, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "This machine")])
    address = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return file


def test_a_server_whose_certificate_has_an_issuer_of_its_own_works_once_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "utils")
    certificate = own_certificate(tmp_path / "issuer.pem")
    with ImagesServer() as server:
        set_to(monkeypatch, OPENAI_BASE_URL=server.encrypt(certificate))
        assert failed(wish()) == errors.NOT_TRUSTED
        assert "error=SSLCertVerificationError" in caplog.text
        assert not server.calls
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        clients._trusted.cache_clear()
        made(wish())
    clients._trusted.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "gopher://127.0.0.1:7890"), ("SSL_CERT_FILE", "/nope/ca.pem")],
)
def test_where_no_connection_can_be_set_up_nothing_is_sent_or_billed(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    clients._trusted.cache_clear()
    monkeypatch.setenv(name, value)
    problem = failed(wish())
    assert problem == errors.NO_CLIENT
    assert not images_server.calls


def test_the_servers_organization_and_project_go_without_the_ends_of_their_lines(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to(monkeypatch, OPENAI_ORG_ID="org-server\n", OPENAI_PROJECT_ID=" proj ")
    made(wish())
    headers = images_server.calls[0].headers
    assert headers["openai-organization"] == "org-server"
    assert headers["openai-project"] == "proj"


def test_a_blank_organization_or_project_is_not_sent(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to(monkeypatch, OPENAI_ORG_ID="", OPENAI_PROJECT_ID=" ")
    made(wish())
    assert not {"openai-organization", "openai-project"} & {*images_server.calls[0].headers}


def test_a_header_that_cannot_be_written_is_no_call_and_the_log_names_the_cause(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "utils")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X Team: a")
    assert failed(wish()) == errors.NOT_WRITTEN
    assert not images_server.calls
    assert "error=LocalProtocolError" in caplog.text


def test_the_log_tells_the_facts_and_no_secrets(
    images_server: ImagesServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "utils")
    images_server.script(
        plain(picture("logged")), error(401, "x", "Bad key sk-test-secret", x_request_id="req_7")
    )
    ask(wish(PROMPT))
    ask(wish(PROMPT))
    made, failed = [record.getMessage() for record in caplog.records]
    assert "request-1" in made
    assert "gpt-image-2.6-flare" in made
    assert "size=64x64" in made
    assert "tokens=1010" in made
    assert "outcome=made" in made
    assert "outcome=key" in failed
    assert "status=401" in failed
    assert "server_request=req_7" in failed
    for secret in (PROMPT, "sk-test", picture("logged")):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "steps",
    [
        [event("error", "", error={"code": "server_error"})],
        [b"<html>"],
        [b'{"data": ['],
        [b'{"data": [', Drop(reset=False)],
        [Gate()],
    ],
    ids=["error in a stream", "page", "half", "cut off", "too slow"],
)
def test_however_a_call_fails_its_servers_name_for_it_is_told(
    images_server: ImagesServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    steps: list[Any],
) -> None:
    set_to(monkeypatch, IMAGE_TIMEOUT="0.5")
    head = Head(content_type="text/event-stream", headers=(("x-request-id", "req_8"),))
    images_server.script([head, *steps], [Drop()])
    assert failed(wish()).request_id == "req_8"
    assert "server_request=req_8" in caplog.text
    # It is that of one call, and of no later one.
    assert failed(wish()).request_id == ""


def test_no_cookie_of_one_call_goes_with_another(images_server: ImagesServer) -> None:
    body = {"data": [{"b64_json": picture()}]}
    images_server.script(then=json_answer(body, set_cookie="who=me; Path=/"))

    async def twice() -> None:
        for _ in range(2):
            await images.make("request-1", wish(), "", OWNER)(lambda draft: None)

    asyncio.run(twice())
    assert len(images_server.calls) == 2
    assert all("cookie" not in call.headers for call in images_server.calls)


@pytest.mark.parametrize(
    "answers",
    [
        [plain(picture())],
        [json_answer({"error": {"param": "quality"}}, 400), plain(picture())],
        [error(500, None)],
        [[Drop()]],
        [[STREAM, event("completed", "no picture")]],
    ],
)
def test_after_the_end_nothing_keeps_the_pictures_or_the_key(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, answers: list[Answer]
) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="")
    images_server.script(*answers)
    key = "sk-typed-and-to-be-forgotten"
    engine = images.engine(shared(api_key=key))
    asked = wish(sources=(data(picture("source")),), engine=engine, quality="low")
    source = blobs.get(asked.sources[0])

    async def end() -> int:
        with suppress(FailedError):
            await images.make("request-1", asked, key, OWNER)(lambda draft: None)
        gc.collect()
        return sum(key in str(text) for text in _texts())

    before = sys.getrefcount(source)
    # The test itself has it twice: by its name, and as one of its constants.
    assert asyncio.run(end()) <= 2
    assert sys.getrefcount(source) == before
    # What is learnt of a server is known by the hash of the key alone.
    assert key not in str(list(api._refused))


def test_a_failure_does_not_keep_what_it_came_from(images_server: ImagesServer) -> None:
    images_server.script(error(500, None))

    async def end() -> None:
        await images.make("request-1", wish(), "", OWNER)(lambda draft: None)

    with pytest.raises(FailedError) as failure:
        asyncio.run(end())
    assert failure.value.__context__ is None


def _texts() -> list[object]:
    held = gc.get_referents(*gc.get_objects())
    return list({id(one): one for one in held if type(one) in (str, bytes)}.values())


def test_a_wish_has_the_kind_of_those_that_take_as_long() -> None:
    one = images.kind(wish("one", quality="high", background="opaque"))
    assert one == images.kind(wish("two", quality="high", output_format="png"))
    others = [
        wish(quality="low"),
        wish(quality="high", size="1024x1024"),
        wish(quality="high", sources=(data(picture()),)),
        wish(quality="high", engine=Engine("x", "another", images.engine(shared()).address)),
        wish(quality="high", engine=Engine("x", "gpt-image-2.6-flare", "http://else/v1")),
    ]
    assert len({one, *map(images.kind, others)}) == 1 + len(others)


def test_as_many_places_as_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, IMAGE_CONCURRENCY="3")
    assert images.places() == 3


def test_the_demo_engine_is_reached_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="", OPENAI_BASE_URL="")
    monkeypatch.setattr(DemoTransport.__init__, "__defaults__", (0.0,))
    drafts: list[images.Draft] = []
    answer = ask(wish("hills", size="64x48"), on_partial=drafts.append)
    assert isinstance(answer, images.Picture)
    assert (answer.width, answer.height, len(drafts)) == (64, 48, 2)
    again = ask(Wish("night", images.engine(shared()), {"size": "64x48"}, (answer.name,)))
    assert isinstance(again, images.Picture)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_events_are_read_however_the_bytes_are_cut(size: int) -> None:
    sent = [{"type": "a", "text": "x" * 50}, {"type": "b"}, {"type": "ü"}]
    lines = [
        f"id: 1\r\ndata: {json.dumps(one, ensure_ascii=False)}\r\n\r\n".encode() for one in sent
    ]
    assert read(b"".join(lines), size) == sent


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b'event: a\ndata: {"x": 1}\n\n', [{"type": "a", "x": 1}]),
        (b'event: a\ndata: {"type": "b"}\n\n', [{"type": "b"}]),
        (b'data: {"x": 1}\n\n', [{"type": "", "x": 1}]),
        (b'event: a\n\ndata: {"x": 1}\n\n', [{"type": "", "x": 1}]),
        (b'data: {"x":\ndata: 1}\n\n', [{"type": "", "x": 1}]),
        (b'data: {"x": 1}\ndata: {"x": 2}', [{"type": "", "x": 1}, {"type": "", "x": 2}]),
        (
            b'event: a\ndata: {"x": 1}\nevent: b\ndata: {"x": 2}\n',
            [{"type": "a", "x": 1}, {"type": "b", "x": 2}],
        ),
        (b'\xef\xbb\xbfdata: {"x": 1}\n\n', [{"type": "", "x": 1}]),
        (b'\xef\xbb\xbf{"x": 1}', [{"x": 1}]),
        (b'\n {"x":\n1}\n', [{"x": 1}]),
        (b'  \n \n{"x": 1}', [{"x": 1}]),
        (b'{"x": 1}\n\n{"x": 2}\n', [{"x": 1}, {"x": 2}]),
        (b'[{"x": 1}]', [{"data": [{"x": 1}]}]),
        (b"data: [DONE]\n\n", []),
        (b"<html>{}</html>", []),
        (b"", []),
    ],
)
def test_what_is_labelled_or_divided_oddly_is_read_all_the_same(
    text: bytes, events: list[dict[str, object]], size: int
) -> None:
    assert read(text, size) == events


@pytest.mark.parametrize("line", [b"", b"x"])
def test_lines_without_end_are_not_each_tried(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    monkeypatch.setattr("utils.images.events.load", tried.append)
    assert read(b"{\n" + (line + b"\n") * 20_000, 4096) == []
    assert len(tried) <= 1001


def test_an_answer_of_lines_without_end_is_not_read_to_its_end() -> None:
    read_so_far = 0

    async def chunks() -> Any:
        nonlocal read_so_far
        for _ in range(1000):
            read_so_far += 1
            yield b"data:{}\n" * 2000

    async def events() -> list[dict[str, Any]]:
        return [one async for one in read_events(chunks())]

    assert asyncio.run(events())
    assert read_so_far < 60


def read(text: bytes, size: int) -> list[dict[str, Any]]:
    async def chunks() -> Any:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    async def events() -> list[dict[str, Any]]:
        return [one async for one in read_events(chunks())]

    return asyncio.run(events())


def check(engine: Engine, name: str) -> object:
    """Ask where a picture comes from, as the job does; return what it ends with."""

    async def ends() -> object:
        try:
            return await api.check_provenance(name, engine, "")(None)
        except FailedError as exc:
            return exc.problem

    return asyncio.run(ends())


def test_openai_is_asked_where_a_picture_comes_from(images_server: ImagesServer) -> None:
    results = [{"type": "synthid", "outcome": "detected", "model": "gpt-image-2.6-flare"}]
    images_server.script(json_answer({"results": results}))
    image = data(picture("whose"))
    found = check(Engine("OpenAI", "any", images_server.url), blobs.put(OWNER, image))
    assert found == (Signal("synthid", True, model="gpt-image-2.6-flare"),)
    (call,) = images_server.calls
    assert call.path == "/v1/content_provenance_checks"
    assert call.headers["authorization"] == "Bearer sk-test-secret"
    assert image in call.body


@pytest.mark.parametrize(
    "answer", [error(500, None), json_answer({"results": []}), json_answer([]), [b"<html>"]]
)
def test_a_question_about_a_picture_fails_with_a_sentence(
    images_server: ImagesServer, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    images_server.script(answer)
    name = blobs.put(OWNER, data(picture("whose")))
    assert check(Engine("OpenAI", "any", images_server.url), name) is errors.NOT_CHECKED
    assert "no answer about a picture" in caplog.text


def test_a_picture_that_is_gone_is_asked_about_in_vain(images_server: ImagesServer) -> None:
    found = check(Engine("OpenAI", "any", images_server.url), "0" * 64)
    assert found is errors.NOT_CHECKED
    assert images_server.calls == []


@pytest.fixture
def one_picture_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, LIMIT_PICTURES_HOUR="1", LIMIT_DOLLARS_DAY="1")


def left() -> list[float]:
    return [one.many for one in spending.left(OWNER)]


@pytest.mark.usefixtures("one_picture_an_hour")
def test_a_picture_beyond_the_limit_is_not_asked_for(images_server: ImagesServer) -> None:
    made(wish())
    problem = failed(wish())
    assert (problem.kind, problem.retry, problem.billed) == ("spent", False, False)
    assert "You have nothing left of 1 picture this hour." in problem.sentence
    assert len(images_server.calls) == 1


@pytest.mark.parametrize(
    ("model", "options"),
    [("gpt-image-2.6-flare", {"quality": "max"}), ("flux", {}), ("flux", {"quality": "high"})],
)
def test_a_limit_of_dollars_that_is_used_up_holds_where_no_price_is_known(
    images_server: ImagesServer,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    options: dict[str, str],
) -> None:
    set_to(monkeypatch, LIMIT_DOLLARS_DAY="0.2", OPENAI_IMAGE_MODEL=model)
    head = Head(headers=(("x-litellm-response-cost", "0.2"),))
    images_server.script([head, plain(picture())[1]])
    made(wish(options=options))
    assert left() == [0]
    choice = shared(quality=options.get("quality", "auto"))
    with pytest.raises(SpentError, match=r"nothing left of \$0.20 today"):
        images.choose_engines(choice)
    assert failed(wish(options=options)).kind == "spent"
    assert len(images_server.calls) == 1
    # What is never billed is stopped by no such limit.
    set_to(monkeypatch, OPENAI_API_KEY="", OPENAI_BASE_URL="")
    made(wish())


@pytest.mark.usefixtures("one_picture_an_hour")
def test_who_looks_at_a_review_and_asks_for_more_pays_for_it(images_server: ImagesServer) -> None:
    chooses = shared(owner="the review", payer="me")
    images.choose_engines(chooses)
    ask(wish(), owner="the review", payer="me")
    cost = (10 * 5 + 1000 * 30) / 1e6
    for owner, pictures, dollars in (("the review", 1, 1.0), ("me", 0, 1 - cost)):
        found = [one.many for one in spending.left(owner)]
        assert found == pytest.approx([pictures, dollars], abs=0.002)
    with pytest.raises(SpentError):
        images.choose_engines(chooses)


@pytest.mark.usefixtures("one_picture_an_hour")
def test_a_picture_counts_by_what_it_has_cost(images_server: ImagesServer) -> None:
    made(wish())
    assert left() == pytest.approx([0, 1 - (10 * 5 + 1000 * 30) / 1e6], abs=0.002)


@pytest.mark.usefixtures("one_picture_an_hour")
@pytest.mark.parametrize("answer", [error(500, None), [b"<html>"], [Drop()]])
def test_a_failed_call_counts_by_what_was_asked_for(
    images_server: ImagesServer, answer: Answer
) -> None:
    images_server.script(answer)
    failed(wish(quality="low"))
    assert left() == pytest.approx([0, 1 - 272 * 30 / 1e6], abs=0.002)


@pytest.mark.usefixtures("one_picture_an_hour")
def test_what_was_never_asked_counts_nothing(images_server: ImagesServer) -> None:
    gone = Wish("a fox", images.engine(shared()), sources=("0" * 64,))
    assert failed(gone) == errors.SOURCE_GONE
    assert left() == [1, 1]


def test_a_source_in_a_store_that_is_away_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blobs, "missing", lambda *_: set())
    problem = failed(Wish("a fox", images.engine(shared()), sources=("0" * 64,)))
    assert problem == replace(STORE_AWAY, retry=True)


def test_openai_gets_a_persons_name_as_a_hash(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = find_person({"email": "anna@example.org"}, "secret")
    assert person is not None
    ask(wish(), owner=person.owner)
    monkeypatch.setattr("utils.images.engines.is_openai", lambda engine: True)
    ask(wish())
    ask(wish(), owner=person.owner)
    others, browsers, persons = (sent(call) for call in images_server.calls)
    assert "safety_identifier" not in {*others, *browsers}
    assert re.fullmatch("[0-9a-f]{12,64}", str(persons["safety_identifier"]))
    assert str(persons["safety_identifier"]) not in person.owner


def test_the_servers_name_for_a_try_is_not_that_of_the_next(images_server: ImagesServer) -> None:
    head = Head(content_type="text/event-stream", headers=(("x-request-id", "req_8"),))
    images_server.script([head, b"<html>"], [Drop()])
    call = images.make("id", wish(), "", OWNER)
    named = []

    async def end() -> None:
        await call(lambda _: None)

    for _ in range(2):
        with pytest.raises(FailedError) as caught:
            asyncio.run(end())
        named.append(caught.value.problem.request_id)
    assert named == ["req_8", ""]


def test_a_server_that_does_not_want_a_name_gets_none(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.images.engines.is_openai", lambda engine: True)
    refusal = error(400, "unknown_parameter", "Unknown parameter: 'safety_identifier'.")
    images_server.script(refusal, plain(picture()))
    made = ask(wish(), owner="person-17")
    assert isinstance(made, images.Picture)
    assert made.refused == ()
    assert "safety_identifier" not in sent(images_server.calls[1])


@pytest.mark.usefixtures("one_picture_an_hour")
def test_a_call_that_is_cancelled_counts_and_is_logged(
    images_server: ImagesServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "utils")
    images_server.script([Gate()])

    async def cancel() -> None:
        call = asyncio.ensure_future(images.make("request-1", wish(), "", OWNER)(lambda _: None))
        await asyncio.to_thread(images_server.wait_for_calls, 1)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call

    asyncio.run(cancel())
    assert left()[0] == 0
    (line,) = [record.getMessage() for record in caplog.records]
    assert "outcome=cancelled" in line
