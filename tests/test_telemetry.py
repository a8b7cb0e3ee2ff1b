import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.testclient import TestClient

from tests.conftest import RunningApp, run_app
from tests.images_server import Gate, ImagesServer, error, picture, plain
from tests.studio import button, facts, generate, open_app, prompt_box
from utils import telemetry
from utils.headers import SafeHeaders
from utils.jobs.table import Jobs, Phase
from utils.settings import get_settings
from utils.telemetry import EndedCall, JsonFormatter, OpenPages, note_call, serve_health

TOKEN = "a-token-for-prometheus"


@pytest.fixture
def watched_app(images_server: ImagesServer, tmp_path: Path) -> Iterator[RunningApp]:
    """The app as an operator runs it."""
    settings = {"METRICS_TOKEN": TOKEN, "LOG_FORMAT": "json", "IMAGE_CONCURRENCY": "1"}
    with run_app(tmp_path / "log", **images_server.environment, **settings) as app:
        yield app


def metrics(app: RunningApp, token: str = TOKEN) -> dict[str, float]:
    answer = httpx2.get(f"{app.address}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def calls(app: RunningApp) -> list[dict[str, object]]:
    lines = [line for line in app.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["message"] == "call"]


def test_each_call_is_one_line_and_counted(
    page: Page, watched_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(error(503, None, retry_after="0.01"), plain(picture("a fox")))
    open_app(page, watched_app)
    generate(page, "a very secret prompt")
    expect(facts(page)).to_contain_text("Picture 1 ·")
    failed, made = calls(watched_app)
    assert (
        failed["request"]
        == made["request"]
        == images_server.calls[0].headers["x-client-request-id"]
    )
    assert (failed["outcome"], failed["status"], failed["try"]) == ("overloaded", 503, 1)
    assert (made["outcome"], made["tokens"], made["try"]) == ("made", 1010, 2)
    assert (made["model"], made["size"]) == ("gpt-image-2.6-flare", "64x64")
    assert made["who"]
    found = metrics(watched_app)
    model = 'model="gpt-image-2.6-flare"'
    assert found[f'review_calls_total{{{model},outcome="made"}}'] == 1
    assert found[f'review_calls_total{{{model},outcome="overloaded"}}'] == 1
    assert found[f'review_call_seconds_count{{{model},outcome="made"}}'] == 1
    assert found[f"review_tokens_total{{{model}}}"] == 1010
    assert found[f"review_dollars_total{{{model}}}"] == pytest.approx(0.03005)
    assert found["review_result_bytes"] > len(picture("a fox")) / 2
    assert found["review_open_pages"] == 1


def test_what_is_under_way_can_be_seen(
    page: Page, watched_app: RunningApp, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script([gate, *plain(picture())], [gate, *plain(picture())])
    open_app(page, watched_app)
    page.get_by_label("Pictures at a time").click()
    page.get_by_role("option", name="2").click()
    generate(page, "a fox")
    images_server.wait_for_calls(1)
    found = metrics(watched_app)
    assert (found["review_calls_in_flight"], found["review_calls_in_line"]) == (1, 1)
    button(page, "Cancel").click()
    expect(prompt_box(page)).to_be_enabled()
    found = metrics(watched_app)
    assert (found["review_calls_in_flight"], found["review_calls_in_line"]) == (0, 0)
    gate.set()
    (cancelled,) = calls(watched_app)
    assert cancelled["outcome"] == "cancelled"


@pytest.fixture
def client() -> TestClient:
    """A server with nothing but what an operator asks for."""
    layers = [Middleware(OpenPages), Middleware(SafeHeaders)]
    return TestClient(Starlette(routes=telemetry.ROUTES, middleware=layers))


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    get_settings.cache_clear()
    telemetry._metrics.cache_clear()
    yield TOKEN
    telemetry._metrics.cache_clear()


def test_whoever_knows_the_token_gets_the_metrics(client: TestClient, token: str) -> None:
    note_call(ended(outcome="made", tokens=7, dollars=0.5))
    note_call(ended())
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for line in (
        'review_calls_total{model="a model",outcome="made"} 1.0',
        'review_calls_total{model="a model",outcome="too slow"} 1.0',
        'review_call_seconds_bucket{le="2.0",model="a model",outcome="made"} 1.0',
        'review_tokens_total{model="a model"} 7.0',
        'review_dollars_total{model="a model"} 0.5',
        "review_calls_in_flight 0.0",
        "review_open_pages 0.0",
    ):
        assert line in answer.text.splitlines()
    assert "cookie-token" not in answer.text


def test_a_token_may_have_any_letters(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "schlüssel-für-prometheus")
    get_settings.cache_clear()
    sent = "Bearer schlüssel-für-prometheus".encode()
    assert client.get("/metrics", headers={b"Authorization": sent}).status_code == 200
    assert client.get("/metrics", headers={b"Authorization": sent[:-1]}).status_code == 404


def test_a_store_that_does_not_answer_stops_no_page_for_the_metrics(
    client: TestClient, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[bool] = []

    def count(phase: Phase) -> int:
        with suppress(RuntimeError):
            loops.append(bool(asyncio.get_running_loop()))
        return 7

    monkeypatch.setattr(telemetry, "jobs", SimpleNamespace(count=count))
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert "review_calls_in_line 7.0" in answer.text.splitlines()
    assert loops == []


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_without_the_token_there_are_no_metrics(
    client: TestClient, token: str, headers: dict[str, str]
) -> None:
    answer = client.get("/metrics", headers=headers)
    assert (answer.status_code, answer.text) == (404, "Not Found")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer None"}])
def test_there_are_no_metrics_unless_they_are_set(
    client: TestClient, headers: dict[str, str]
) -> None:
    assert client.get("/metrics", headers=headers).status_code == 404


def test_the_app_says_that_it_serves(demo_app: RunningApp) -> None:
    answer = httpx2.get(f"{demo_app.address}/health")
    assert (answer.status_code, answer.text) == (200, "ok")


def test_health_is_red_where_no_job_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    table, dead = Jobs(), asyncio.new_event_loop()
    table._loop = dead
    monkeypatch.setattr("utils.telemetry.jobs", table)
    monkeypatch.setattr("utils.jobs.table.PATIENCE", 0.05)
    answer = asyncio.run(serve_health(Request({"type": "http"})))
    assert answer.status_code == 503
    dead.run_until_complete(asyncio.sleep(0))
    dead.close()


def ended(**changes: object) -> EndedCall:
    call = EndedCall("request-1", "cookie-token", "a model", "", 1, 1.26, "too slow")
    return EndedCall(**{**vars(call), **changes})


def test_what_a_server_names_begins_no_line_of_its_own() -> None:
    forged = {"model": "x\nERROR", "try": 1}
    assert telemetry.in_words(forged) == r'model="x\nERROR" try=1'


def test_a_line_for_people_has_quotes_where_a_value_has_spaces(
    caplog: pytest.LogCaptureFixture,
) -> None:
    note_call(ended())
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        f'call request=request-1 who={telemetry.pseudonym("cookie-token")} model="a model" try=1 '
        'seconds=1.3 outcome="too slow"'
    )
    assert "cookie-token" not in line


def test_any_line_is_json_where_the_server_is_set_to() -> None:
    words = "a prompt"
    try:
        try:
            raise KeyError(words)
        except KeyError as cause:
            raise RuntimeError(words) from cause
    except RuntimeError as exc:
        info = (type(exc), exc, exc.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "file", 1, 'two\nlines "%s"', ("x",), info)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    read = json.loads(line)
    assert read["message"] == 'two\nlines "x"'
    assert read["level"] == "ERROR"
    for told in ("of RuntimeError:", "of KeyError:", "in test_any_line_is_json"):
        assert told in read["traceback"]
    assert words not in line
    assert abs(time.mktime(time.strptime(read["time"], "%Y-%m-%dT%H:%M:%SZ")) - time.time()) < 1e5


def test_a_call_that_cannot_be_counted_is_still_a_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    get_settings.cache_clear()
    monkeypatch.setattr(telemetry, "_metrics", lambda: 1 / 0)
    note_call(ended())
    assert "could not be counted: ZeroDivisionError" in caplog.text
