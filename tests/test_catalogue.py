from collections.abc import Iterator
from datetime import date

import pytest

from tests.images_server import Answer, Gate, Head, ImagesServer, error, json_answer
from utils.images import catalogue
from utils.images.catalogue import listed_models
from utils.images.models import ListedModel
from utils.jobs.table import Jobs
from utils.settings import Engine

MODELS = {
    "data": [
        {"id": "gpt-image-1.5", "shutdown_date": "2026-12-01"},
        {"id": "gpt-image-2", "shutdown_date": None},
        {"id": "gpt-5"},
        {"id": "odd-image", "shutdown_date": "soon"},
        {"id": None},
        "no object",
    ]
}


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    jobs = Jobs()
    monkeypatch.setattr(catalogue, "jobs", jobs)
    monkeypatch.setattr(catalogue, "_asked", {})
    yield
    jobs.stop()


def engine(images_server: ImagesServer) -> Engine:
    return Engine("test", "any", images_server.url, "sk-test-secret")


def test_image_models_are_listed_with_their_end_and_asked_for_once(
    images_server: ImagesServer,
) -> None:
    images_server.pages["/v1/models"] = json_answer(MODELS)
    for _ in range(2):
        assert listed_models(engine(images_server)) == (
            ListedModel("gpt-image-1.5", date(2026, 12, 1)),
            ListedModel("gpt-image-2"),
            ListedModel("odd-image"),
        )
    assert len(images_server.fetches) == 1


@pytest.mark.parametrize(
    "page",
    [
        error(404, None),
        error(401, "invalid_api_key"),
        [Head(content_type="text/html"), b"<html>"],
        json_answer([]),
        json_answer({"data": None}),
    ],
)
def test_a_server_without_a_list_is_no_error(images_server: ImagesServer, page: Answer) -> None:
    images_server.pages["/v1/models"] = page
    assert listed_models(engine(images_server)) == ()


def test_a_slow_list_is_not_waited_for_twice_and_comes_later(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "PATIENCE", 0.05)
    gate = Gate()
    images_server.pages["/v1/models"] = [Head(), gate, json_answer(MODELS)[1]]
    assert listed_models(engine(images_server)) == ()
    assert listed_models(engine(images_server)) == ()
    gate.set()
    (answer,) = catalogue._asked.values()
    assert len(answer.result(5)) == 3
    assert len(listed_models(engine(images_server))) == 3
