from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flow import create_generation_flow
from nodes import GenerateImageNode
from tests.images_server import Answer, Gate, Head, ImagesServer, error, picture, plain
from utils.images.errors import UNKNOWN
from utils.jobs.table import Job, Jobs
from utils.review import moves as state
from utils.settings import get_settings

RATE_LIMIT = error(429, "rate_limit_exceeded", retry_after="0")


class Interrupt(BaseException):
    """What Streamlit raises in a script that is not wanted any more."""


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    table = Jobs()
    monkeypatch.setattr("nodes.jobs", table)
    yield table
    table.stop()


@pytest.fixture
def shared(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A shared store in which a picture has just been asked for, from the test's server."""
    monkeypatch.setenv("OPENAI_BASE_URL", images_server.url)
    get_settings.cache_clear()
    store: dict[str, Any] = {}
    state.begin(store, {}, lambda job: True)
    ask(store)
    return store


def ask(shared: dict[str, Any]) -> None:
    shared["task_input"] = "a fox"
    state.generate(shared, shared["click_id"])


def test_the_flow_turns_a_request_into_a_picture_under_review(
    shared: dict[str, Any], images_server: ImagesServer
) -> None:
    assert create_generation_flow().run(shared) == "user_feedback"
    assert shared["generated_image"] == picture("a fox")
    assert shared["stage"] == "user_feedback"
    assert len(images_server.calls) == 1


def test_the_flow_tries_three_times() -> None:
    node = create_generation_flow().start_node
    assert isinstance(node, GenerateImageNode)
    assert node.max_retries == 3
    assert node.first_wait > 0


def test_a_passing_failure_is_tried_again_under_the_same_request_id(
    shared: dict[str, Any], images_server: ImagesServer
) -> None:
    images_server.script(RATE_LIMIT, RATE_LIMIT, then=plain(picture("third")))
    (request_id,) = shared["pending"]["waiting"]
    create_generation_flow().run(shared)
    assert shared["generated_image"] == picture("third")
    sent = [call.headers["x-client-request-id"] for call in images_server.calls]
    assert sent == [request_id] * 3


def test_after_three_failures_the_stage_is_as_before_and_one_sentence_more(
    shared: dict[str, Any], images_server: ImagesServer
) -> None:
    images_server.script(then=RATE_LIMIT)
    assert create_generation_flow().run(shared) == "initial_input"
    assert len(images_server.calls) == 3
    assert "more pictures than it allows" in shared["error_message"]
    assert shared["task_input"] == "a fox"


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "moderation_blocked"),
        error(401, "invalid_api_key"),
        error(429, "insufficient_quota"),
    ],
)
def test_a_lasting_failure_is_not_tried_again(
    shared: dict[str, Any], images_server: ImagesServer, answer: Answer
) -> None:
    images_server.script(then=answer)
    create_generation_flow().run(shared)
    assert len(images_server.calls) == 1
    assert shared["error_message"]


def test_exec_may_be_interrupted_and_entered_again_without_a_second_call(
    shared: dict[str, Any], images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script([Head(), gate, plain(picture("late"))[1]])

    def interrupt(running: Sequence[Job]) -> None:
        raise Interrupt

    for _ in range(3):
        with pytest.raises(Interrupt):
            create_generation_flow(interrupt).run(shared)
    images_server.wait_for_calls(1)
    gate.set()
    create_generation_flow().run(shared)
    assert shared["generated_image"] == picture("late")
    assert len(images_server.calls) == 1


def test_tries_are_counted_across_interruptions(
    shared: dict[str, Any], images_server: ImagesServer
) -> None:
    images_server.script(then=RATE_LIMIT)

    def interrupt_between_tries(running: Sequence[Job]) -> None:
        if running[0].news.setback:
            raise Interrupt

    for _ in range(5):
        with pytest.raises(Interrupt):
            create_generation_flow(interrupt_between_tries).run(shared)
    create_generation_flow().run(shared)
    assert len(images_server.calls) == 3
    assert shared["pending"] is None


def test_a_cancelled_job_ends_the_wait(shared: dict[str, Any], jobs: Jobs) -> None:
    jobs.cancel(shared["pending"]["waiting"][0])
    create_generation_flow().run(shared)
    assert "Cancelled" in shared["error_message"]


def test_a_view_that_breaks_is_an_error_that_a_person_can_read(
    shared: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(running: Sequence[Job]) -> None:
        raise RuntimeError("with a secret")

    create_generation_flow(broken).run(shared)
    assert shared["error_message"] == UNKNOWN.sentence
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text
