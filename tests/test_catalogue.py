import asyncio
import inspect
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import date
from unittest.mock import patch

import pytest
from cachetools import TTLCache

from tests.images_server import Answer, Drop, Gate, Head, ImagesServer, error, json_answer
from utils.images import catalogue
from utils.images.api import list_models
from utils.images.catalogue import listed_models
from utils.images.models import ListedModel
from utils.images.page import await_models
from utils.jobs.table import Jobs
from utils.review.records import Engine
from utils.settings import get_settings

MODELS = {
    "data": [
        {"id": "gpt-image-1.5", "shutdown_date": "2026-12-01"},
        {"id": "gpt-image-2", "shutdown_date": None},
        {"id": "gpt-5"},
        {"id": "odd-image", "shutdown_date": "soon"},
        {"id": "our-painter", "mode": "image_generation"},
        {"id": "image-reader", "mode": "chat"},
        {"id": None},
        "no object",
    ]
}
LISTED = (
    ListedModel("gpt-image-1.5", date(2026, 12, 1)),
    ListedModel("gpt-image-2"),
    ListedModel("odd-image"),
    ListedModel("our-painter"),
)


class Clock:
    """A time that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    jobs, clock = Jobs(), Clock()
    assert (catalogue.KEEP_SECONDS, catalogue.FAILED_SECONDS, catalogue.PATIENCE) == (600, 30, 1)
    monkeypatch.setattr(catalogue, "PATIENCE", 60)
    monkeypatch.setattr(catalogue, "jobs", jobs)
    monkeypatch.setattr(catalogue, "_asked", TTLCache(64, catalogue.KEEP_SECONDS, timer=clock))
    monkeypatch.setattr(catalogue, "_failed", TTLCache(64, catalogue.FAILED_SECONDS, timer=clock))
    yield clock
    jobs.stop()


@pytest.fixture(autouse=True)
def settings(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in images_server.environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()


def engine(images_server: ImagesServer, own_key: bool = False) -> Engine:
    return Engine("test", "any", images_server.url, own_key)


def test_image_models_are_listed_with_their_end_and_asked_for_once_in_a_while(
    images_server: ImagesServer, clock: Clock
) -> None:
    images_server.pages["/v1/models"] = json_answer(MODELS)
    for clock.now in (0, 599):
        assert listed_models(engine(images_server), "") == LISTED
    assert len(images_server.fetches) == 1
    assert images_server.fetches[0].headers["authorization"] == "Bearer sk-test-secret"
    clock.now = 601
    assert listed_models(engine(images_server), "") == LISTED
    assert len(images_server.fetches) == 2


def test_each_key_has_its_own_list(images_server: ImagesServer) -> None:
    images_server.pages["/v1/models"] = json_answer(MODELS)
    for key in ("sk-one", "sk-two"):
        listed_models(engine(images_server, own_key=True), key)
    sent = [fetch.headers["authorization"] for fetch in images_server.fetches]
    assert sent == ["Bearer sk-one", "Bearer sk-two"]


@pytest.mark.parametrize(
    "page",
    [
        error(404, None),
        error(401, "invalid_api_key"),
        [Head(content_type="text/html"), b"<html>"],
        [Head(headers=(("content-encoding", "gzip"),)), b"no gzip"],
        [Head(500, headers=(("content-encoding", "gzip"),)), b"no gzip"],
        [Drop()],
        json_answer([]),
        json_answer({"data": None}),
    ],
)
def test_a_server_without_a_list_is_no_error_and_is_asked_again_soon(
    images_server: ImagesServer, clock: Clock, page: Answer
) -> None:
    images_server.pages["/v1/models"] = page
    for clock.now in (0, 29):
        assert listed_models(engine(images_server), "") == ()
    assert len(images_server.fetches) == 1
    images_server.pages["/v1/models"] = json_answer(MODELS)
    clock.now = 31
    assert listed_models(engine(images_server), "") == LISTED


def test_what_no_page_can_show_is_no_name_of_a_model(images_server: ImagesServer) -> None:
    names: list[object] = ["gpt-image-2", "gpt-image-\ud800", "gpt-image-\n", {"id": "gpt-image"}]
    names.append("gpt-image-" + "x" * 200)
    images_server.pages["/v1/models"] = json_answer({"data": [{"id": name} for name in names]})
    assert asyncio.run(list_models(engine(images_server), "")) == (ListedModel("gpt-image-2"),)


@pytest.mark.parametrize("place", ["headers", "api_client"])
def test_no_trouble_at_all_comes_out_of_a_list(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"utils.images.clients.{place}", broken)
    assert asyncio.run(list_models(Engine("x", "any", "http://127.0.0.1:9/v1"), "")) is None


def test_an_empty_list_is_a_list(images_server: ImagesServer, clock: Clock) -> None:
    images_server.pages["/v1/models"] = json_answer({"data": []})
    for clock.now in (0, 31):
        assert listed_models(engine(images_server), "") == ()
    assert len(images_server.fetches) == 1


def test_a_slow_list_is_not_waited_for_twice_and_comes_later(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "PATIENCE", 0.05)
    gate = Gate()
    images_server.pages["/v1/models"] = [Head(), gate, json_answer(MODELS)[1]]
    assert listed_models(engine(images_server), "") is None
    (answer,) = catalogue._asked.values()
    waited: list[float | None] = []
    with monkeypatch.context() as context:

        def result(timeout: float | None) -> object:
            waited.append(timeout)
            raise TimeoutError

        context.setattr(answer, "result", result)
        assert listed_models(engine(images_server), "") is None
    assert waited == [0.0]
    gate.set()
    assert answer.result(5) == LISTED
    assert listed_models(engine(images_server), "") == LISTED


@pytest.mark.parametrize(
    ("page", "runs"), [(json_answer(MODELS), 1), (error(404, None), 0), ([Drop()], 0)]
)
def test_a_late_answer_makes_the_page_run_anew_only_where_it_lists_a_model(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, page: Answer, runs: int
) -> None:
    monkeypatch.setattr(catalogue, "PATIENCE", 0.05)
    gate = Gate()
    images_server.pages["/v1/models"] = [gate, *page]
    assert listed_models(engine(images_server), "") is None
    look = inspect.unwrap(await_models)
    with patch("streamlit.rerun") as rerun:
        look(engine(images_server), "")
        assert rerun.call_count == 0
        gate.set()
        (answer,) = catalogue._asked.values()
        answer.result(5)
        look(engine(images_server), "")
        assert rerun.call_count == runs
        # Once a run has taken the answer in, and without a second question.
        listed_models(engine(images_server), "")
        look(engine(images_server), "")
    assert rerun.call_count == 2 * runs
    assert len(images_server.fetches) == 1


def test_a_list_that_the_end_of_the_server_cut_off_is_no_error(
    images_server: ImagesServer,
) -> None:
    cancelled: Future[tuple[ListedModel, ...] | None] = Future()
    cancelled.cancel()
    listed_models(engine(images_server), "")
    (server,) = [*catalogue._asked, *catalogue._failed]
    catalogue._failed.clear()
    catalogue._asked[server] = cancelled
    assert listed_models(engine(images_server), "") == ()


def test_a_list_without_end_is_not_read_without_end(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch, left_open: list[str]
) -> None:
    monkeypatch.setattr("utils.images.fetch.MAX_ANSWER_BYTES", 10_000)
    images_server.pages["/v1/models"] = [Head(), *[b"x" * 1000] * 20]
    assert asyncio.run(list_models(engine(images_server), "")) is None
    assert left_open == []
