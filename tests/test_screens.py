import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, ButtonGroup

import flow
from screens.parts import UNREAD, UNSHOWN
from screens.requests import age_in_words, answer_in_words
from tests.calls import set_server
from tests.images_server import Answer, ImagesServer, error, json_answer, picture, plain
from tests.signing import SIGNER, sign
from tests.stores import LEISURE
from tests.valkey import Valkey
from utils.demo.engine import DemoTransport
from utils.images import page
from utils.images.api import Picture, list_models
from utils.images.credentials import Signal
from utils.images.engines import TRANSPORTS
from utils.images.models import DEMO_MODEL, ListedModel
from utils.images.page import EXAMPLES
from utils.images.pictures import check_picture, shorten
from utils.jobs.outcomes import NOT_BEGUN, UNKNOWN, FailedError, Problem
from utils.jobs.table import Jobs
from utils.review import asking, choosing, moves
from utils.review.blobs import blobs
from utils.review.memory import browser_memory
from utils.review.records import (
    Approval,
    Cost,
    Decision,
    Engine,
    Pending,
    Review,
    Wish,
)
from utils.review.reviews import reviews as room
from utils.review.store import Store
from utils.settings import get_settings
from utils.shared import connection

MARKDOWN = "**bold** ![x](http://127.0.0.1:9/x.png) $x^2$ :material/home: <b>tag</b> :red[red]"
QUOTES = "'\"><b>tag</b> &quot;&gt;<i onclick='x'> --></style>"
# What brings the originals, and shows them in full size.
SCRIPT_TAGS = {
    "script",
    "template",
    "nav",
    "button",
    "dialog",
    "header",
    "main",
    "footer",
    "section",
    "b",
    "small",
}


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """A table of jobs for each test, and a demo engine without its pace, of small pictures."""
    table = Jobs()
    rooms = ("jobs.table", "images.catalogue", "images.provenance")
    for module in ("nodes", "screens.parts", *(f"utils.{one}" for one in rooms)):
        monkeypatch.setattr(f"{module}.jobs", table)
    monkeypatch.setitem(TRANSPORTS, DEMO_MODEL, partial(DemoTransport, pace=0))
    monkeypatch.setattr("utils.demo.engine.DEFAULT_SIZE", (64, 64))

    async def list_here(engine: Engine, key: str) -> tuple[ListedModel, ...] | None:
        # Nobody is asked in earnest, with a key that looks like one.
        is_here = "127.0.0.1" in (engine.address or "")
        return await list_models(engine, key) if is_here else None

    monkeypatch.setattr("utils.images.catalogue.list_models", list_here)
    yield table
    table.stop(LEISURE)


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_file("../app.py", default_timeout=20).run()


def store(app: AppTest) -> Store:
    return cast("Store", app.session_state)


def button(app: AppTest, label: str) -> Any:
    (found,) = [button for button in app.button if button.label == label]
    return found


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def examples(app: AppTest) -> ButtonGroup[str]:
    return app.pills[0]


def shown_as_typed(app: AppTest) -> list[str]:
    shown = [text for block in blocks_of(app.main) if is_copyable(block) for text in block.text]
    return [str(one.value) for one in (*shown, *app.text_area)]


def blocks_of(block: Block) -> Iterator[Block]:
    """Yield all blocks in a block."""
    for child in block.children.values():
        if isinstance(child, Block):
            yield child
            yield from blocks_of(child)


def is_copyable(block: Block) -> bool:
    return "-copyable-" in getattr(block.proto, "id", "")


def html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


class Markup(HTMLParser):
    """What a browser makes of HTML: its tags, its text, and what stands for the pictures."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.alts: list[str | None] = []
        self.text = ""
        self.feed(written)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.alts += [value for name, value in attrs if name == "alt"]

    def handle_data(self, data: str) -> None:
        self.text += data


def heading(app: AppTest) -> str:
    (found,) = re.findall("<h1>(.*?)</h1>", html(app))
    return str(found)


def pending(prompt: str) -> Pending:
    engine = Engine("A server", "some-model", "http://127.0.0.1:9/v1")
    return Pending("given", "click", Wish(prompt, engine, brief=prompt))


def put_under_review(app: AppTest, prompt: str = "a fox") -> str:
    """Bring the app to its second screen with a small picture, without a call."""
    shared = store(app)
    made = check_picture(base64.b64decode(picture(prompt)))
    name = blobs.put(shared["owner"], made.data, thumbnail=made.thumbnail)
    result = Picture(name, made.extension, made.width, made.height, 0, Cost(), 1.0)
    moves.receive(shared, pending(prompt), result)
    app.run()
    return picture(prompt)


def click(app: AppTest, label: str) -> AppTest:
    app = button(app, label).click().run()
    assert not app.exception
    return app


def test_the_first_screen_asks_for_a_prompt(app: AppTest) -> None:
    assert heading(app) == "1. Generate Image"
    assert app.text_area[0].label == "Prompt"
    assert app.text_area[0].placeholder
    assert not app.text_area[0].proto.max_chars
    assert labels(app) == {"Generate Image"}
    assert examples(app).options == list(EXAMPLES)


def test_one_click_on_an_example_fills_the_box(app: AppTest) -> None:
    for example in EXAMPLES:
        examples(app).set_value(example).run()
        assert app.text_area[0].value == example
    click(app, "Generate Image")
    assert shown_as_typed(app) == [EXAMPLES[-1]]


def test_examples_leave_a_persons_own_words_alone(app: AppTest) -> None:
    # Typed, and clicked before the page knew of it.
    app.text_area[0].set_value("my own words")
    examples(app).set_value(EXAMPLES[0]).run()
    assert app.text_area[0].value == "my own words"
    assert not app.pills


def test_the_steps_say_where_one_is(app: AppTest) -> None:
    put_under_review(app)
    steps = re.findall("<li.*?</li>", html(app))
    assert ["✓" in step for step in steps] == [True, False, False]
    assert ['aria-current="step"' in step for step in steps] == [False, True, False]


def test_an_empty_prompt_gets_a_friendly_word(app: AppTest) -> None:
    app.text_area[0].set_value("  ")
    click(app, "Generate Image")
    assert app.warning[0].value == "Say first what you want: a few words are enough."
    assert app.session_state["stage"] == "initial_input"


def test_generate_leads_to_review_with_the_picture_of_the_demo_engine(app: AppTest) -> None:
    app.text_area[0].set_value("a fox in the snow")
    click(app, "Generate Image")
    assert heading(app) == "2. Review Generated Image"
    assert "a fox in the snow" in shown_as_typed(app)
    assert labels(app) == {"Approve", "Regenerate", "Generate Image", "Start Over"}
    assert app.session_state["generated_image"]
    assert not app.warning


def test_regenerate_brings_another_picture_of_the_same_prompt(app: AppTest) -> None:
    app.text_area[0].set_value("a fox")
    click(app, "Generate Image")
    first = app.session_state["generated_image"]
    click(app, "Regenerate")
    assert app.session_state["generated_image"] != first
    assert [one.wish.prompt for one in store(app)["attempts"]] == ["a fox", "a fox"]


@pytest.fixture
def served_app(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app with the test's own Images API server behind it, and a prompt in its box."""
    set_server(images_server, monkeypatch)
    app = AppTest.from_file("../app.py", default_timeout=20).run()
    app.text_area[0].set_value("a fox")
    return app


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(400, "moderation_blocked", "safety_violations=[violence]"), "refused this prompt"),
        (error(403, None, "must be verified"), "asks for the organization to be verified"),
        (error(404, "model_not_found"), "does not have this model"),
        (error(429, "insufficient_quota"), "no credit left"),
        (json_answer({"error": {"message": "x", "param": "prompt"}}, 400), "did not accept the"),
        (
            json_answer({"detail": "<b>x</b>"}, 418),
            "would not make the picture and does not say why",
        ),
        (json_answer({"data": [{"url": "http://10.0.0.1/x.png"}]}), "could not be fetched"),
    ],
    ids=["refused", "unverified", "model", "quota", "prompt", "odd", "address"],
)
def test_after_an_error_the_next_click_works_and_the_error_is_gone(
    served_app: AppTest, images_server: ImagesServer, answer: Answer, words: str
) -> None:
    images_server.script(answer, plain(picture("first")), answer, plain(picture("second")))
    for label in ("Generate Image", "Regenerate"):
        click(served_app, label)
        (told,) = served_app.main.warning
        assert words in told.value
        assert not re.search("Error code|Traceback|[{<]", told.value)
        assert shown_as_typed(served_app) == ["a fox"]
        click(served_app, label)
        assert not served_app.main.warning
    assert heading(served_app) == "2. Review Generated Image"
    assert len(images_server.calls) == 4


def test_a_setting_that_the_server_refuses_is_told(
    served_app: AppTest, images_server: ImagesServer
) -> None:
    refusal = json_answer({"error": {"message": "Unknown", "param": "quality"}}, 400)
    images_server.script(refusal)
    served_app.sidebar.selectbox("quality").set_value("medium")
    click(served_app, "Generate Image")
    (told,) = served_app.main.info
    assert told.value.startswith("The server would not take the quality that you chose,")
    assert len(images_server.calls) == 2


def test_the_servers_request_id_is_shown_for_support(
    served_app: AppTest, images_server: ImagesServer
) -> None:
    images_server.script(error(401, "invalid_api_key", x_request_id="req_abc123"))
    click(served_app, "Generate Image")
    assert served_app.text_area[0].value == "a fox"
    assert "For support: request req_abc123" in texts(served_app)


def test_tokens_and_an_estimate_are_shown_for_each_picture_and_the_session(
    served_app: AppTest,
) -> None:
    click(served_app, "Generate Image")
    assert any(text.endswith("1,010 tokens, about $0.030 (estimate)") for text in texts(served_app))
    click(served_app, "Regenerate")
    session = served_app.sidebar.text[0].value
    assert "This session: 2 pictures, 2,020 tokens, about $0.060" in session


def test_approve_leads_to_the_result_and_its_download(app: AppTest) -> None:
    image = put_under_review(app, "a red fox")
    click(app, "Approve")
    assert heading(app) == "3. Final Result"
    assert app.session_state["final_result"] == image
    assert "a red fox" in shown_as_typed(app)
    (download,) = app.get("download_button")
    assert download.proto.label == "Download PNG"
    assert labels(app) == {"Back to review", "Start Over"}


def test_a_long_prompt_is_not_read_aloud_on_any_screen(app: AppTest) -> None:
    put_under_review(app, "a fox in the snow " * 1000)
    for label in ("Approve", "Start Over"):
        assert max(len(alt or "") for alt in Markup(html(app)).alts) < 200
        click(app, label)
    assert max(len(alt or "") for alt in Markup(html(app)).alts) < 200


def description(app: AppTest) -> Any:
    return next(box for box in app.text_input if box.label == "Alternative text")


def test_words_for_those_who_cannot_see_the_picture_are_offered_and_stay(app: AppTest) -> None:
    put_under_review(app, "a red fox")
    click(app, "Approve")
    assert description(app).value == "a red fox"
    description(app).set_value("A fox <b>asleep</b>").run()
    assert "A fox \u2039b\u203aasleep\u2039/b\u203a" in Markup(html(app)).alts
    click(app, "Back to review")
    assert "A fox \u2039b\u203aasleep\u2039/b\u203a" in Markup(html(app)).alts
    click(app, "Approve")
    assert description(app).value == "A fox <b>asleep</b>"


def test_a_description_belongs_to_its_picture(app: AppTest) -> None:
    put_under_review(app, "a red fox")
    click(app, "Approve")
    description(app).set_value("The first one").run()
    click(app, "Back to review")
    click(app, "Regenerate")
    click(app, "Approve")
    assert description(app).value == "a red fox"


def open_record(app: AppTest) -> str:
    """Open the record; return the text in it."""
    (record,) = [one for one in app.expander if one.label.startswith("Approved on")]
    app.session_state["record"] = True
    app.run()
    (record,) = [one for one in app.expander if one.label.startswith("Approved on")]
    return f"{record.label} {' '.join(text.value for text in record.text)}"


def test_the_final_screen_says_in_short_how_it_was_decided(app: AppTest) -> None:
    put_under_review(app)
    click(app, "Approve")
    words = open_record(app)
    assert "The only picture" in words
    assert "Request given" in words
    assert store(app)["attempts"][0].result.name in words
    assert "Download record</a>" in html(app)
    assert "Download all" not in html(app)


def test_a_change_says_which_picture_it_comes_from(app: AppTest) -> None:
    put_under_review(app)
    assert "From picture" not in html(app)
    shared = store(app)
    for number, parent in enumerate(("", shared["under_review"])):
        asked = pending(f"a fox, {number}")
        wish = replace(asked.wish, parent=parent)
        other = replace(asked, id=f"other {number}", click=f"other {number}", wish=wish)
        moves.receive(shared, other, shared["attempts"][0].result)
    app.run()
    assert "From picture 1: a fox" in html(app)


def test_a_picture_shows_who_has_signed_it(app: AppTest) -> None:
    shared = store(app)
    made = check_picture(sign(base64.b64decode(picture("signed"))))
    name = blobs.put(shared["owner"], made.data, thumbnail=made.thumbnail)
    result = Picture(name, made.extension, made.width, made.height, 0, Cost(), 1.0)
    moves.receive(shared, pending("signed"), result)
    app.run()
    assert f"signed by {SIGNER}" in " ".join(text.value for text in app.text)
    click(app, "Approve")
    assert f"credentials signed by {SIGNER}" in open_record(app)


def test_openai_is_asked_by_a_click_and_its_answer_stays(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, jobs: Jobs
) -> None:
    put_under_review(app)
    monkeypatch.setattr("utils.images.is_openai", lambda engine: True)
    answers: list[object] = [Problem("not checked", "Nobody there."), (Signal("synthid", True),)]

    async def answer(_: object) -> object:
        found = answers.pop(0)
        if isinstance(found, Problem):
            raise FailedError(found)
        return found

    monkeypatch.setattr("utils.images.provenance.check_provenance", lambda *_: answer)
    click(app, "Approve")
    open_record(app)
    click(app, "Ask OpenAI where it comes from")
    app.run()
    assert [warning.value for warning in app.warning] == ["Nobody there."]
    click(app, "Ask OpenAI where it comes from")
    app.run()
    assert "OpenAI found its watermark (SynthID)." in open_record(app)
    assert "Ask OpenAI where it comes from" not in labels(app)
    assert not answers


def test_the_session_state_is_shown_where_the_server_is_set_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOW_STATE", "1")
    get_settings.cache_clear()
    app = AppTest.from_file("../app.py", default_timeout=20).run()
    key_box = app.sidebar.text_input[0].set_value("sk-typed")
    assert key_box.proto.type == key_box.proto.PASSWORD
    image = put_under_review(app, "a red fox")
    click(app, "Approve")
    (shown,) = app.sidebar.json
    state = json.loads(shown.value)
    assert state["stage"] == "final"
    assert state["attempts"][0]["wish"]["prompt"] == "a red fox"
    assert state["final_result"]["result"]["name"] == store(app)["attempts"][0].result.name
    assert (state["api_key"], state["owner"]) == ("not shown", "not shown")
    for secret in ("sk-typed", store(app)["owner"], image[:40]):
        assert secret not in shown.value


def test_the_session_state_is_not_shown_otherwise(app: AppTest) -> None:
    assert not app.sidebar.json


def test_beside_a_result_that_cannot_be_shown_all_else_goes_on(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise UnicodeDecodeError("utf-8", b"a secret", 0, 1, "no text")

    monkeypatch.setattr(page, "show", fail)
    put_under_review(app)
    assert [one.value for one in app.warning] == [UNSHOWN]
    click(app, "Approve")
    assert [one.value for one in app.warning] == [UNSHOWN]
    click(app, "Start Over")
    assert store(app)["stage"] == "initial_input"
    assert "a result cannot be shown: UnicodeDecodeError" in caplog.messages


def test_a_page_that_is_opened_while_the_store_is_away_waits_and_begins_nothing_anew(
    shared_store: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.review.browser.browser_token", lambda *_: "one browser")
    before, after = (AppTest.from_file("../app.py", default_timeout=20) for _ in range(2))
    before.run().text_area[0].set_value("my own words").run()
    shared_store.kill()
    for _ in range(2):
        after.run()
        assert [one.value for one in after.warning] == [UNREAD]
        assert not after.text_area
    shared_store.start()
    connection.note_back()
    after.run()
    assert after.text_area[0].value == "my own words"


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
    assert {"Reopen", "Clear them"} < labels(app)


def test_a_recent_picture_can_be_reopened_and_all_can_be_cleared(app: AppTest) -> None:
    image = put_under_review(app, "a red fox")
    click(app, "Approve")
    click(app, "Start Over")
    click(app, "Reopen")
    assert heading(app) == "2. Review Generated Image"
    assert app.session_state["generated_image"] == image
    click(app, "Approve")
    click(app, "Start Over")
    click(app, "Clear them")
    assert labels(app) == {"Generate Image"}
    assert examples(app).options == list(EXAMPLES)


def test_a_model_is_named_as_its_server_names_it(app: AppTest) -> None:
    put_under_review(app)
    shared = store(app)
    (attempt,) = shared["attempts"]
    wish = replace(attempt.wish, engine=Engine("a server", f'"><b>{QUOTES}'))
    shared["attempts"] = (replace(attempt, wish=wish),)
    before = Markup(html(app)).tags
    app.run()
    assert Markup(html(app)).tags == before


def test_a_click_goes_to_what_was_seen_though_something_else_comes_in_the_same_turn(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_under_review(app, "a fox")
    (fox,) = store(app)["attempts"]

    def take_late(shared: Store) -> None:
        owl = replace(fox, id="owl", wish=replace(fox.wish, prompt="an owl"))
        choosing.add(shared, [owl], "owl")

    monkeypatch.setattr("nodes.take_late", take_late)
    click(app, "Regenerate")
    assert [one.wish.prompt for one in store(app)["attempts"]] == ["a fox", "an owl", "a fox"]


@pytest.mark.parametrize("label", ["Approve", "Reopen"])
def test_a_click_on_what_is_gone_by_then_is_answered_by_a_sentence(
    app: AppTest, label: str
) -> None:
    # Pictures that no other test has: what somebody else holds is not gone.
    put_under_review(app, f"a fox for {label}")
    put_under_review(app, f"an owl for {label}")
    if label == "Reopen":
        click(app, "Start Over")
    shared = store(app)
    names = [one.result.name for one in (*shared["attempts"], *shared["recent"])]
    clicked = next(one for one in app.button if one.label == label)
    clicked.click()
    blobs.hold(shared["owner"], names)
    blobs.hold(shared["owner"], [])
    app.run()
    assert not app.exception
    assert "no longer kept" in app.warning[0].value


def test_a_request_is_remembered_before_the_page_is_drawn(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Store) -> None:
        raise RuntimeError

    app.text_area[0].set_value("a fox")
    monkeypatch.setattr("screens.initial_input.render", fail)
    button(app, "Generate Image").click().run()
    (waiting,) = cast("tuple[Pending, ...]", browser_memory.recall(store(app)["owner"])["pending"])
    assert waiting.wish.prompt == "a fox"


@pytest.mark.parametrize("prompt", [MARKDOWN, QUOTES, "two\nlines", "😀 ünïcödé", "x" * 5000])
def test_a_prompt_is_shown_as_typed_on_each_screen(app: AppTest, prompt: str) -> None:
    put_under_review(app, prompt)
    picture = app.session_state["attempts"][0].result.name
    # The name of a person's own file is theirs, too.
    app.session_state["references"] = ((picture, prompt),)
    app.run()
    assert prompt in shown_as_typed(app)
    along = Markup(html(app))
    assert prompt.replace("<", "\u2039").replace(">", "\u203a") in along.alts
    click(app, "Approve")
    assert prompt in shown_as_typed(app)
    for element in [*app.markdown, *app.caption, *app.warning]:
        assert prompt not in element.value
    page = Markup(html(app))
    assert prompt not in page.text
    assert along.tags <= page.tags | {"figcaption"}
    # What is read aloud is its beginning, of which nothing became a tag.
    assert shorten(prompt).replace("<", "\u2039").replace(">", "\u203a") in page.alts
    assert page.tags <= {
        "figure",
        "img",
        "ol",
        "li",
        "span",
        "h1",
        "p",
        "div",
        "style",
        *SCRIPT_TAGS,
    }


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gpt-image-2.6-flare", "Costs about $0.02 to $0.25 (estimate)."),
        ("flux", "Asks for 2 pictures: each may be billed."),
    ],
)
def test_before_the_first_round_of_several_the_page_says_what_it_may_cost(
    monkeypatch: pytest.MonkeyPatch, model: str, words: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-server")
    monkeypatch.setenv("OPENAI_IMAGE_MODEL", model)
    app = AppTest.from_file("../app.py", default_timeout=20).run()
    app.session_state["count"] = 2
    app.run()
    assert words in [text.value for text in app.text]


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ("max", "Asks for a picture of a quality whose price is not known here."),
        ("high", "Costs about $0.12 (estimate)."),
    ],
)
def test_what_one_costly_picture_may_cost_is_not_told_by_a_cheap_one(
    monkeypatch: pytest.MonkeyPatch, images_server: ImagesServer, quality: str, words: str
) -> None:
    for name, value in images_server.environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    app = AppTest.from_file("../app.py", default_timeout=20).run()
    app.session_state["quality"] = "low"
    app.text_area[0].set_value("a fox")
    click(app, "Generate Image")
    assert app.session_state["attempts"][0].result.cost.dollars > 0
    app.session_state["quality"] = quality
    app.run()
    assert words in [text.value for text in app.text]


def test_the_page_says_before_a_click_what_is_left_and_when_there_is_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIMIT_PICTURES_HOUR", "2")
    get_settings.cache_clear()
    app = AppTest.from_file("../app.py", default_timeout=20).run()
    assert "Left: 2 pictures this hour." in [text.value for text in app.text]
    app.text_area[0].set_value("a fox")
    click(app, "Generate Image")
    assert "Left: 1 picture this hour." in [text.value for text in app.text]
    app.session_state["count"] = 2
    app.run()
    too_many = "You have 1 picture left of 2 pictures this hour. In 60 minutes there is more."
    assert too_many in [text.value for text in app.text]
    click(app, "Regenerate")
    assert [warning.value for warning in app.warning] == [too_many]
    assert len(store(app)["attempts"]) == 1
    assert not store(app)["pending"]


def test_the_demo_says_before_the_first_picture_what_it_is_and_names_no_costs(
    app: AppTest,
) -> None:
    assert page.DEMO in html(app)
    app.text_area[0].set_value("a red apple")
    click(app, "Generate Image")
    said = " ".join(text.value for text in app.text)
    assert "Demo, which knows landscapes" in said
    assert "token" not in said


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
    assert app.sidebar.text[0].value == "Model: gpt-image-2.6-flare\nServer: OpenAI"
    assert not app.sidebar.text_input
    assert not app.sidebar.info


def test_a_typed_key_changes_the_engine_and_stays_out_of_the_environment(app: AppTest) -> None:
    app.sidebar.text_input[0].set_value("sk-typed").run()
    assert app.sidebar.text[0].value.endswith("Server: OpenAI")
    assert "sk-typed" not in os.environ.values()
    assert store(app)["api_key"] == "sk-typed"
    assert "sk-typed" not in repr(moves.snapshot(store(app)))


def test_a_prompt_that_is_too_long_stays_and_is_counted(app: AppTest) -> None:
    app.text_area[0].set_value("x" * 40_000)
    click(app, "Generate Image")
    assert app.warning[0].value == "The prompt is 8,000 characters too long. Shorten it."
    assert app.text_area[0].value == "x" * 40_000


def test_one_alone_that_may_have_been_billed_can_be_asked_for_again(app: AppTest) -> None:
    put_under_review(app)
    moves.fail(store(app), replace(pending("an owl"), id="other", click="other"), UNKNOWN)
    app.run()
    assert app.warning[0].value == UNKNOWN.sentence
    assert "Make the missing 1" in labels(app)
    click(app, "Approve")
    assert not app.warning
    assert "Make the missing 1" not in labels(app)
    click(app, "Back to review")
    assert app.warning[0].value == UNKNOWN.sentence
    assert "Make the missing 1" in labels(app)


def test_of_several_that_failed_each_reason_is_said_and_how_often(app: AppTest) -> None:
    put_under_review(app)
    for number, problem in enumerate((UNKNOWN, NOT_BEGUN, UNKNOWN)):
        moves.fail(store(app), replace(pending("an owl"), id=f"one {number}"), problem)
    app.run()
    (said,) = app.warning
    assert said.value == f"2 of them: {UNKNOWN.sentence} 1 of them: {NOT_BEGUN.sentence}"


def test_what_failed_of_another_click_is_not_counted_with_it(app: AppTest) -> None:
    put_under_review(app)
    for click, problem in {"one": UNKNOWN, "another": NOT_BEGUN}.items():
        moves.fail(store(app), replace(pending("an owl"), id=click, click=click), problem)
    app.run()
    assert [one.value for one in app.warning] == [NOT_BEGUN.sentence]


def test_a_new_sentence_stands_before_what_has_failed_before(app: AppTest) -> None:
    put_under_review(app)
    for number, problem in enumerate((UNKNOWN, NOT_BEGUN)):
        moves.fail(store(app), replace(pending("an owl"), id=f"one {number}"), problem)
    store(app)["error_message"] = "The key that was used is forgotten. Enter it once more."
    app.run()
    assert [one.value for one in app.warning] == [
        "The key that was used is forgotten. Enter it once more."
    ]


def test_the_result_says_what_came_after_the_approval(app: AppTest) -> None:
    put_under_review(app)
    click(app, "Approve")
    late = replace(pending("an owl"), id="late", click="late")
    moves.receive(store(app), late, store(app)["attempts"][0].result)
    app.run()
    assert heading(app) == "3. Final Result"
    assert shown_as_typed(app) == ["a fox"]
    assert app.info[0].value.startswith("1 more came after your approval.")
    click(app, "Back to review")
    click(app, "Next")
    assert shown_as_typed(app) == ["an owl"]
    click(app, "Approve")
    assert not [one for one in app.info if "came after" in one.value]


@pytest.mark.parametrize("prepare", [lambda app: None, put_under_review])
def test_while_a_picture_is_made_the_inputs_rest_and_cancel_is_there(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[AppTest], object]
) -> None:
    prepare(app)
    create_flow = flow.create_flow
    # The script ends where the wait would begin, so that its screen can be looked at.
    monkeypatch.setattr(
        "flow.create_flow",
        lambda entry, on_news=None: StoppedFlow() if on_news else create_flow(entry),
    )
    app.session_state["task_input"] = "a fox"
    app.session_state["pending"] = (pending("a fox"),)
    app.run()
    costly = [one for one in app.button if one.label in ("Generate Image", "Regenerate")]
    assert costly
    assert all(one.disabled for one in costly)
    assert all(box.disabled for box in app.text_area)
    assert app.sidebar.text_input[0].disabled
    monkeypatch.setattr("flow.create_flow", create_flow)
    click(app, "Cancel")
    assert [warning.value for warning in app.warning] == [NOT_BEGUN.sentence]
    assert app.session_state["task_input"] == "a fox"


class StoppedFlow:
    def run(self, shared: object) -> None:
        import streamlit as st

        st.stop()


@pytest.fixture
def asks_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is set to let people be asked."""
    monkeypatch.setattr("screens.door.asks_people", lambda: True)


def texts(app: AppTest) -> list[str]:
    return [str(one.value) for one in app.text]


def ask_person(app: AppTest, purpose: str) -> Review:
    """Ask somebody, as the review screen does; return what they are asked."""
    shared = store(app)
    cast("dict[str, object]", shared)[asking.PURPOSE] = purpose
    asking.ask(shared, "http://here/?review=")
    (review,) = asking.asked_reviews(shared)
    return review


@pytest.mark.usefixtures("asks_people")
def test_what_waits_for_a_person_is_shown_as_it_was_written(app: AppTest) -> None:
    put_under_review(app)
    review = ask_person(app, MARKDOWN)
    other = AppTest.from_file("../app.py", default_timeout=20).run()
    assert MARKDOWN in texts(other)
    assert "asked just now" in texts(other)
    # A test's page does not keep what a click has made of its address.
    assert "Look" in labels(other)
    other.query_params["review"] = review.id
    other.run()
    assert heading(other) == "2. Review Generated Image"
    assert f"Somebody asks for a decision. It is for: {MARKDOWN}" in texts(other)
    other.text_input(key=asking.WORDS).input(MARKDOWN)
    button(other, "Decline it").click().run()
    assert f"A person has declined it. They say: {MARKDOWN}" in texts(other)
    assert button(other, "Approve").disabled
    assert "Decline it" not in labels(other)
    assert "Back to my own pictures" in labels(other)
    # Whoever else looks, and whoever has asked, keep what is there.
    click(other, "Start Over")
    assert heading(other) == "1. Generate Image"
    other.query_params["review"] = review.id
    other.run()
    assert heading(other) == "2. Review Generated Image"
    other.query_params.clear()
    other.run()
    assert heading(other) == "1. Generate Image"
    assert MARKDOWN not in texts(other)


@pytest.mark.usefixtures("asks_people")
def test_a_typed_key_is_there_again_after_a_look_at_a_review(app: AppTest) -> None:
    put_under_review(app)
    review = ask_person(app, "a cover")
    other = AppTest.from_file("../app.py", default_timeout=20).run()
    other.session_state["api_key"] = "sk-typed"
    other.run()
    other.query_params["review"] = review.id
    other.run()
    assert other.session_state["payer"] != other.session_state["owner"]
    other.query_params.clear()
    other.run()
    assert other.session_state["api_key"] == "sk-typed"


@pytest.mark.usefixtures("asks_people")
def test_what_is_typed_last_at_a_review_stays_there(app: AppTest) -> None:
    put_under_review(app)
    review = ask_person(app, "a cover")
    other = AppTest.from_file("../app.py", default_timeout=20)
    other.query_params["review"] = review.id
    other.run()
    # In the same breath, and before a click that would buy one.
    other.text_area[0].input("a fox at night")
    button(other, "Generate Image").click()
    click(other, "Back to my own pictures")
    assert heading(other) == "1. Generate Image"
    assert not store(other)["pending"]
    other.query_params["review"] = review.id
    other.run()
    assert other.text_area[0].value == "a fox at night"
    assert len(store(other)["attempts"]) == 1
    assert not store(other)["pending"]


@pytest.mark.usefixtures("asks_people")
def test_a_review_whose_results_are_gone_can_be_declined_and_nothing_is_made_there(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_under_review(app)
    review = ask_person(app, "a cover")
    monkeypatch.setattr(blobs, "missing", set)
    other = AppTest.from_file("../app.py", default_timeout=20)
    other.query_params["review"] = review.id
    other.run()
    assert not other.exception
    assert {"Decline it", "Back to my own pictures"} <= labels(other)
    assert not {"Generate Image", "Approve"} & labels(other)
    assert [str(one.value) for one in other.warning] == [
        "Some results are no longer kept here, and are gone."
    ]
    click(other, "Decline it")
    assert cast("Review", room.find(review.id)).decision == Decision("declined")
    click(other, "Back to my own pictures")
    assert {"Generate Image"} <= labels(other)


@pytest.mark.usefixtures("asks_people")
def test_a_link_that_nobody_knows_leads_to_ones_own_page_with_a_sentence() -> None:
    app = AppTest.from_file("../app.py", default_timeout=20)
    app.query_params["review"] = "made-up"
    app.run()
    assert [str(one.value) for one in app.warning] == [asking.GONE]
    assert heading(app) == "1. Generate Image"


@pytest.mark.usefixtures("asks_people")
def test_the_review_offers_to_ask_and_shows_the_link(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody waits here for what is asked: the page would not come back before there is an answer.
    monkeypatch.setattr(asking, "rests", lambda shared: True)
    put_under_review(app)
    app.text_area[0].input("a fox in the snow").run()
    app.text_input(key=asking.PURPOSE).input("A cover")
    button(app, "Ask a person").click().run()
    (review,) = asking.asked_reviews(store(app))
    assert {review.link, store(app)["attempts"][0].wish.prompt} <= {*shown_as_typed(app)}
    assert button(app, "Approve").disabled
    assert "Cancel" in labels(app)


@pytest.mark.usefixtures("asks_people")
def test_what_somebody_has_approved_is_named_until_one_approves_oneself(app: AppTest) -> None:
    put_under_review(app)
    review = ask_person(app, "a cover")
    approval = Approval(review.at, review.attempts)
    room.decide(review.id, 1, Decision("approved", "", "Anna", review.shown, approval))
    app.run()
    assert heading(app) == "3. Final Result"
    said = "Anna has approved picture 1."
    assert said in texts(app)
    click(app, "Back to review")
    click(app, "Regenerate")
    assert store(app)["under_review"] != review.shown
    assert said in texts(app)
    click(app, "Approve")
    assert heading(app) == "3. Final Result"
    assert not [one for one in texts(app) if one.startswith("Anna")]


def test_what_was_approved_and_is_gone_is_taken_for_no_other() -> None:
    assert answer_in_words(Decision("approved", "", "Anna", "gone"), ()) == (
        "Anna has approved a picture that is gone."
    )


@pytest.mark.parametrize(
    ("hours", "by", "words"),
    [
        (0, "", "asked just now"),
        (1.5, "Anna", "asked 90 minutes ago by Anna"),
        (5, "", "asked 5 hours ago"),
    ],
)
def test_the_age_of_a_request_is_said(hours: float, by: str, words: str) -> None:
    at = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    assert age_in_words(Review("r", 1, "", (), "", at, by)) == words


@pytest.mark.usefixtures("asks_people")
def test_an_agent_sees_plain_elements_and_may_not_approve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("screens.door.is_agent", lambda: True)
    app = AppTest.from_file("../app.py", default_timeout=20).run()
    assert "Stage: Generate Image" in texts(app)
    app.text_area(key="prompt").input("a fox")
    app.button(key="Generate Image").click().run()
    assert "Stage: Review Generated Image" in texts(app)
    assert "Approve" not in labels(app)
    app.button(key="Regenerate").click().run()
    first, second = store(app)["attempts"]
    app.selectbox(key="attempt").select(first.id).run()
    assert store(app)["under_review"] == first.id
    app.text_input(key=asking.PURPOSE).input("A cover")
    app.button(key="Ask a person").click().run()
    assert {"Cancel", "Wait for the decision"} <= labels(app)
    (review,) = asking.asked_reviews(store(app))
    approval = Approval(review.at, (first, second))
    decision = Decision("approved", "Fine", "Anna", second.id, approval)
    assert room.decide(review.id, 1, decision) == decision
    app.button(key="Wait for the decision").click().run()
    assert "Stage: Final Result" in texts(app)
    assert "Anna has approved picture 2. They say: Fine" in texts(app)
    assert f"SHA-256 {second.result.name}" in texts(app)
    assert json.loads(app.json[0].value)["approved"] == second.id
    app.button(key="Start Over").click().run()
    assert "Stage: Generate Image" in texts(app)


def test_a_box_that_a_page_builds_anew_has_its_text(app: AppTest) -> None:
    app.text_area[0].input("a fox").run()
    assert app.text_area[0].proto.default == "a fox"
    put_under_review(app)
    attempt = store(app)["attempts"][0]
    (box,) = [one for one in app.text_area if one.key == f"edit-{attempt.id}"]
    assert box.proto.default == attempt.wish.brief
    box.input("an owl").run()
    (box,) = [one for one in app.text_area if one.key == f"edit-{attempt.id}"]
    assert (box.proto.default, box.value) == ("an owl", "an owl")


def test_the_boxes_keep_their_place_whatever_comes_above_them(app: AppTest) -> None:
    put_under_review(app)
    place = place_of(app.main, "inbox")
    assert place
    shared = store(app)
    asked = pending("an owl")
    wish = replace(asked.wish, parent=shared["under_review"])
    changed = replace(asked, id="changed", click="changed", wish=wish)
    moves.receive(shared, changed, shared["attempts"][0].result)
    app.run()
    assert "From picture 1" in html(app)
    assert place_of(app.main, "inbox") == place
    shared["error_message"] = "Something went wrong."
    app.run()
    assert app.warning
    assert place_of(app.main, "inbox") == place


def place_of(block: Block, key: str) -> list[int]:
    """Return the way to a container, by the places among its neighbours; Streamlit knows it so."""
    for place, child in block.children.items():
        if isinstance(child, Block):
            if getattr(child.proto, "id", "").endswith(f"-{key}"):
                return [place]
            if below := place_of(child, key):
                return [place, *below]
    return []
