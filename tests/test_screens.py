import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.images_server import picture
from utils.demo.engine import DemoTransport
from utils.images.api import TRANSPORTS
from utils.images.errors import CANCELLED
from utils.images.pictures import check_picture
from utils.jobs.table import Jobs
from utils.review import moves as state
from utils.settings import DEMO_MODEL

MARKDOWN = "**bold** ![x](http://127.0.0.1:9/x.png) $x^2$ :material/home: <b>tag</b> :red[red]"


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """A table of jobs for each test, and a demo engine without its pace."""
    table = Jobs()
    monkeypatch.setattr("nodes.jobs", table)
    monkeypatch.setattr("utils.jobs.table.jobs", table)
    monkeypatch.setattr("utils.images.catalogue.jobs", table)
    monkeypatch.setattr("utils.images.catalogue._asked", {})
    monkeypatch.setitem(TRANSPORTS, DEMO_MODEL, partial(DemoTransport, pace=0))
    yield table
    table.stop()


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_file("../app.py", default_timeout=20).run()


def button(app: AppTest, label: str) -> Any:
    (found,) = [button for button in app.button if button.label == label]
    return found


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def shown_as_typed(app: AppTest) -> list[str]:
    return [code.value for code in app.code]


def html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def heading(app: AppTest) -> str:
    (found,) = re.findall("<h1>(.*?)</h1>", html(app))
    return str(found)


def put_under_review(app: AppTest, prompt: str = "a fox") -> str:
    """Bring the app to its second screen with a small picture, without a call."""
    shared = app.session_state
    image = picture(prompt)
    shared["pending"] = pending(prompt)
    state.receive_picture(shared, "given", check_picture(image), "some-model")
    app.run()
    return image


def pending(prompt: str) -> dict[str, Any]:
    wish = {"prompt": prompt, "model": "", "options": {}, "images": (), "parent": ""}
    return {"asked": ("given",), "waiting": ("given",), "received": False, **wish}


def click(app: AppTest, label: str) -> AppTest:
    app = button(app, label).click().run()
    assert not app.exception
    return app


def test_the_first_screen_asks_for_a_prompt(app: AppTest) -> None:
    assert heading(app) == "1. Generate Image"
    assert app.text_area[0].label == "Prompt"
    assert app.text_area[0].placeholder
    assert app.text_area[0].proto.max_chars == 32_000
    assert labels(app) == {"Generate Image", *state.EXAMPLES}


def test_one_click_on_an_example_fills_the_box(app: AppTest) -> None:
    for example in state.EXAMPLES:
        click(app, example)
        assert app.text_area[0].value == example
    click(app, "Generate Image")
    assert shown_as_typed(app) == [state.EXAMPLES[-1]]


def test_examples_leave_a_persons_own_words_alone(app: AppTest) -> None:
    # Typed, and clicked before the page knew of it.
    app.text_area[0].set_value("my own words")
    click(app, state.EXAMPLES[0])
    assert app.text_area[0].value == "my own words"
    assert labels(app) == {"Generate Image"}


def test_the_steps_say_where_one_is(app: AppTest) -> None:
    put_under_review(app)
    steps = re.findall("<li.*?</li>", html(app))
    assert ["✓" in step for step in steps] == [True, False, False]
    assert ['aria-current="step"' in step for step in steps] == [False, True, False]


def test_an_empty_prompt_gets_a_friendly_word(app: AppTest) -> None:
    app.text_area[0].set_value("  ")
    click(app, "Generate Image")
    assert "Describe" in app.warning[0].value
    assert app.session_state["stage"] == "initial_input"


def test_generate_leads_to_review_with_the_picture_of_the_demo_engine(app: AppTest) -> None:
    app.text_area[0].set_value("a fox in the snow")
    click(app, "Generate Image")
    assert heading(app) == "2. Review Generated Image"
    assert "a fox in the snow" in shown_as_typed(app)
    assert {"Approve", "Regenerate", "Generate Image", "Change Picture"} == labels(app)
    assert app.session_state["generated_image"]
    assert not app.warning


def test_regenerate_brings_another_picture_of_the_same_prompt(app: AppTest) -> None:
    app.text_area[0].set_value("a fox")
    click(app, "Generate Image")
    first = app.session_state["generated_image"]
    click(app, "Regenerate")
    assert app.session_state["generated_image"] != first
    assert [one["prompt"] for one in app.session_state["attempts"]] == ["a fox", "a fox"]


def test_approve_leads_to_the_result_and_its_download(app: AppTest) -> None:
    image = put_under_review(app, "a red fox")
    click(app, "Approve")
    assert heading(app) == "3. Final Result"
    assert app.session_state["final_result"] == image
    assert "a red fox" in shown_as_typed(app)
    (download,) = app.get("download_button")
    assert download.proto.label == "Download PNG"
    assert labels(app) == {"Back to review", "Start Over"}


def test_back_to_review_shows_the_picture_again(app: AppTest) -> None:
    put_under_review(app)
    click(app, "Approve")
    click(app, "Back to review")
    assert heading(app) == "2. Review Generated Image"


def test_start_over_leads_to_an_empty_first_screen(app: AppTest) -> None:
    put_under_review(app)
    click(app, "Approve")
    click(app, "Start Over")
    assert heading(app) == "1. Generate Image"
    assert app.text_area[0].value == ""
    assert not app.session_state["attempts"]
    assert {"Reopen", "Clear recent pictures"} < labels(app)


def test_a_recent_picture_can_be_reopened_and_all_can_be_cleared(app: AppTest) -> None:
    image = put_under_review(app, "a red fox")
    click(app, "Approve")
    click(app, "Start Over")
    click(app, "Reopen")
    assert heading(app) == "2. Review Generated Image"
    assert app.session_state["generated_image"] == image
    click(app, "Approve")
    click(app, "Start Over")
    click(app, "Clear recent pictures")
    assert labels(app) == {"Generate Image", *state.EXAMPLES}


@pytest.mark.parametrize("prompt", [MARKDOWN, "two\nlines", "😀 ünïcödé", "x" * 5000])
def test_a_prompt_is_shown_as_typed_on_each_screen(app: AppTest, prompt: str) -> None:
    put_under_review(app, prompt)
    assert prompt in shown_as_typed(app)
    click(app, "Approve")
    assert prompt in shown_as_typed(app)
    for element in [*app.markdown, *app.caption, *app.warning]:
        assert prompt not in element.value
    assert prompt not in html(app)


def test_an_error_is_shown_once_and_gone_after_the_next_action(app: AppTest) -> None:
    put_under_review(app)
    app.session_state["error_message"] = "It did not work. Try again."
    app.run()
    assert [warning.value for warning in app.warning] == ["It did not work. Try again."]
    click(app, "Approve")
    assert not app.warning


def test_the_side_bar_says_plainly_that_no_model_is_at_work(app: AppTest) -> None:
    assert "Demo engine" in app.sidebar.text[0].value
    assert "No AI model" in app.sidebar.info[0].value
    assert app.sidebar.text_input[0].label == "Your OpenAI API key"


def test_with_a_key_on_the_server_the_side_bar_names_the_model_and_takes_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-server")
    app = AppTest.from_file("../app.py", default_timeout=20).run()
    assert app.sidebar.text[0].value == "OpenAI\ngpt-image-2.5-flare"
    assert not app.sidebar.text_input
    assert not app.sidebar.info


def test_a_typed_key_changes_the_engine_and_stays_out_of_the_environment(app: AppTest) -> None:
    app.sidebar.text_input[0].set_value("sk-typed").run()
    assert app.sidebar.text[0].value.startswith("OpenAI")
    assert "sk-typed" not in os.environ.values()
    shared = {key: app.session_state[key] for key in state.DEFAULTS}
    assert shared["api_key"] == "sk-typed"
    shared["remembered"] = {}
    assert "sk-typed" not in str(state.take_changes(shared))


@pytest.mark.parametrize("prepare", [lambda app: None, put_under_review])
def test_while_a_picture_is_made_the_inputs_rest_and_cancel_is_there(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[AppTest], object]
) -> None:
    prepare(app)
    # The script ends where the wait would begin, so that its screen can be looked at.
    monkeypatch.setattr("flow.create_generation_flow", lambda view: StoppedFlow())
    app.session_state["task_input"] = "a fox"
    app.session_state["pending"] = pending("a fox")
    app.run()
    costly = [one for one in app.button if one.label in ("Generate Image", "Regenerate")]
    assert costly
    assert all(one.disabled for one in costly)
    assert all(box.disabled for box in app.text_area)
    assert app.sidebar.text_input[0].disabled
    monkeypatch.undo()
    click(app, "Cancel")
    assert [warning.value for warning in app.warning] == [CANCELLED.sentence]
    assert app.session_state["task_input"] == "a fox"


class StoppedFlow:
    def run(self, shared: object) -> None:
        import streamlit as st

        st.stop()
