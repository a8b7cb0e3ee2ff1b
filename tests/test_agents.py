"""A program asks, a person decides: the official MCP client and a real browser."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.agents import ENABLED, Agent, RefusedError, connect
from tests.conftest import ROOT, RunningApp, run_app
from tests.images_server import Gate, ImagesServer, picture, plain
from tests.ports import free_port
from tests.states import BACKGROUNDS
from tests.stores import Text
from tests.studio import (
    LONG,
    button,
    expect_screen,
    expect_settled,
    open_app,
    open_link,
    picture_of,
    regenerate,
    to_review,
)
from utils.review.asking import GONE
from utils.review.blobs import blobs
from utils.review.records import Decision
from utils.review.reviews import reviews


@pytest.fixture(scope="module")
def agent_app(
    running_images_server: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """The app, where programs may ask."""
    log = tmp_path_factory.mktemp("agents") / "log"
    with run_app(log, **running_images_server.environment, **ENABLED) as app:
        yield app


@pytest.fixture
def agent(agent_app: RunningApp, images_server: ImagesServer) -> Iterator[Agent]:
    with connect(agent_app) as agent:
        yield agent.open()


def visit(context: BrowserContext, link: str) -> Page:
    page = context.new_page()
    open_link(page, link)
    return page


def word_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="A word to whoever asked")


def press_decline(page: Page, words: str) -> None:
    button(page, "Decline").click()
    word_box(page).fill(words)
    button(page, "Decline it").click()


def decline(page: Page, words: str) -> None:
    press_decline(page, words)
    expect(page.get_by_text("has declined it")).to_be_visible(timeout=LONG)


def approved_by_another(page: Page, app: RunningApp, context: BrowserContext) -> Page:
    """Ask a person for a decision, who approves; returns the page of that person."""
    to_review(page, app)
    page.get_by_role("textbox", name="What is the picture for?").fill("My desk")
    button(page, "Ask a person").click()
    link = page.get_by_text(re.compile(r"\?review="))
    expect(link).to_be_visible(timeout=LONG)
    other = visit(context, str(link.text_content()))
    button(other, "Approve").click()
    return other


def review_id(link: str) -> str:
    return link.partition("?review=")[2]


@pytest.mark.promise
def test_an_agent_asks_and_holds_what_a_person_has_approved(
    agent: Agent, context: BrowserContext, images_server: ImagesServer
) -> None:
    agent.generate("a fox", count=3)
    link = agent.ask("The cover of the annual report")
    assert "Approve" not in agent.texts("button")
    page = visit(context, link)
    expect(page.get_by_text("The cover of the annual report")).to_be_visible()
    regenerate(page, 4)
    page.get_by_role("radio", name="2", exact=True).click()
    expect(page.get_by_text("Picture 2 ·")).to_be_visible()
    expect_settled(page)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    agent.press("Wait for the decision")
    record = agent.record()
    (approved,) = [one for one in record["attempts"] if one["id"] == record["approved"]]
    assert approved["number"] == 2
    assert len(record["attempts"]) == 4
    (data,) = agent.pictures()
    assert hashlib.sha256(data).hexdigest() == approved["sha256"]
    assert f"SHA-256 {approved['sha256']}" in agent.texts("text")
    assert len(images_server.calls) == 4


def test_declined_it_changes_the_prompt_and_asks_again_in_the_same_review(
    agent: Agent, context: BrowserContext
) -> None:
    agent.generate("a fox")
    link = agent.ask("A sticker")
    page = visit(context, link)
    decline(page, "It needs *snow*")
    agent.press("Wait for the decision")
    assert "A person has declined it. They say: It needs *snow*" in agent.texts("text")
    agent.generate("a fox in snow")
    assert agent.ask("A sticker, with snow") == link
    # The page that is open takes it in by itself.
    expect(page.get_by_text("A sticker, with snow")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("Picture 2 ·")).to_be_visible()
    expect_settled(page)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    agent.press("Wait for the decision")
    assert agent.record()["approved"]


def test_the_keys_that_send_a_prompt_send_the_form_in_which_one_types(
    agent: Agent, context: BrowserContext, images_server: ImagesServer
) -> None:
    agent.generate("a fox")
    page = visit(context, agent.ask("A poster"))
    button(page, "Decline").click()
    word_box(page).press_sequentially("too dark")
    word_box(page).press("Control+Enter")
    expect(page.get_by_text("has declined it. They say: too dark")).to_be_visible(timeout=LONG)
    expect_settled(page)
    assert len(images_server.calls) == 1


def test_of_two_people_the_first_decides_and_the_other_is_told(
    agent: Agent, context: BrowserContext, images_server: ImagesServer
) -> None:
    agent.generate("a fox")
    link = agent.ask("A poster")
    first, second = visit(context, link), visit(context, link)
    button(second, "Decline").click()
    word_box(second).click()
    press_decline(first, "No")
    # Who types on, though the box is gone, asks for nothing.
    while word_box(second).is_visible():
        second.keyboard.type("g")
    second.keyboard.type("grey fog")
    expect(second.get_by_text("A person has declined it. They say: No")).to_be_visible(timeout=LONG)
    expect(button(second, "Approve")).to_be_disabled()
    expect_settled(second)
    agent.press("Wait for the decision")
    assert "A person has declined it. They say: No" in agent.texts("text")
    assert len(images_server.calls) == 1
    # Who has stopped typing decides by keys again.
    second.wait_for_timeout(3000)
    second.keyboard.press("g")
    images_server.wait_for_calls(2)


def test_an_agent_that_went_finds_the_decision_by_the_review(
    agent: Agent, context: BrowserContext, agent_app: RunningApp
) -> None:
    agent.generate("a fox")
    link = agent.ask("A poster")
    page = visit(context, link)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    with connect(agent_app) as later:
        later.open(review_id(link))
        assert later.record()["attempts"][0]["prompt"] == "a fox"


def test_an_agent_cannot_approve_whatever_it_sends(
    agent: Agent, agent_app: RunningApp, context: BrowserContext
) -> None:
    agent.generate("a fox")
    link = agent.ask("A poster")
    with connect(agent_app) as forger:
        forger.open(review_id(link))
        assert "Wait for the decision" in forger.keys
        keys = ["Approve", "Decline it", *(f"Approve-{key}" for key in ("", review_id(link)))]
        for key in keys:
            with pytest.raises(RefusedError):
                forger.press(key)
        for state in ({"approved": "x"}, {"agent": False}, {"stage": "final"}, {"answer": "x"}):
            with pytest.raises(RefusedError):
                forger.send(widget_state=state)
    page = visit(context, link)
    expect(button(page, "Approve")).to_be_enabled()


def test_an_agent_may_only_ask_for_so_much_before_a_person_has_looked(
    agent: Agent, images_server: ImagesServer
) -> None:
    agent.generate("a fox", count=3)
    agent.generate("a fox", count=2)
    assert "1 more may be asked for before a person has looked. Ask a person." in agent.texts()
    assert len(images_server.calls) == 3


def test_what_waits_stands_on_the_first_screen(
    agent: Agent, agent_app: RunningApp, page: Page
) -> None:
    agent.generate("a fox")
    agent.ask("The newest of all")
    open_app(page, agent_app)
    expect(page.get_by_text("Waiting for a person")).to_be_visible()
    expect(page.get_by_text("The newest of all")).to_be_visible()
    page.get_by_role("button", name="Look").first.click()
    expect_screen(page, "2. Review Generated Image")
    expect(page.get_by_text("It is for: The newest of all")).to_be_visible()
    expect_settled(page)
    button(page, "Back to my own pictures").click()
    expect_screen(page, "1. Generate Image")


def test_a_person_asks_another_and_goes_on_with_the_answer(
    page: Page, agent_app: RunningApp, images_server: ImagesServer, context: BrowserContext
) -> None:
    other = approved_by_another(page, agent_app, context)
    expect_screen(other, "3. Final Result")
    expect_screen(page, "3. Final Result")
    expect(page.get_by_text("A person has approved picture 1.")).to_be_visible()
    page.reload()
    expect_screen(page, "3. Final Result")
    assert len(images_server.calls) == 1


def test_each_sides_record_has_their_own_words(
    page: Page, agent_app: RunningApp, context: BrowserContext
) -> None:
    other = approved_by_another(page, agent_app, context)
    sides = {page: "A fox, as I see it", other: "A fox, as they see it"}
    for side, words in sides.items():
        expect_screen(side, "3. Final Result")
        expect_settled(side)
        side.get_by_text("Approved on").click()
        expect(button(side, "Download record")).to_be_visible()
        expect_settled(side)
        box = side.get_by_label("Alternative text")
        box.fill(words)
        box.press("Enter")
        expect(picture_of(side)).to_have_attribute("alt", words)
        expect_settled(side)
    for side, words in sides.items():
        with side.expect_download() as download:
            button(side, "Download record").click()
        with zipfile.ZipFile(download.value.path()) as archive:
            assert json.loads(archive.read("record.json"))["description"] == words


def test_nobody_is_asked_any_more_where_it_was_cancelled(
    agent: Agent, context: BrowserContext
) -> None:
    agent.generate("a fox")
    page = visit(context, agent.ask("A poster"))
    agent.press("Cancel")
    assert "Nobody is asked any more." in agent.texts("warning")
    expect(page.get_by_text("This is not asked any more.")).to_be_visible(timeout=LONG)
    expect(button(page, "Approve")).to_be_disabled()


def test_a_link_that_nobody_knows_is_one_sentence(page: Page, agent_app: RunningApp) -> None:
    open_app(page, agent_app)
    page.goto(f"{agent_app.address}/?review=made-up")
    expect(page.get_by_text("This request does not wait any more.")).to_be_visible()
    expect_screen(page, "1. Generate Image")


def test_an_agent_changes_a_picture_and_says_which_is_to_be_looked_at_first(
    agent: Agent, context: BrowserContext, images_server: ImagesServer
) -> None:
    agent.generate("a fox")
    images_server.script(then=plain(picture("a fox at night")))
    agent.press("Change picture", change="Make it night")
    assert [call.path for call in images_server.calls] == ["/v1/images/edits"]
    agent.send(widget_state={"attempt": "1"})
    page = visit(context, agent.ask("A poster"))
    expect(page.get_by_text("Picture 1 ·")).to_be_visible()
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    agent.press("Wait for the decision")
    record = agent.record()
    assert record["approved"] == record["attempts"][0]["id"]
    agent.press("Start Over")
    agent.generate("a hare")
    assert "Ask a person" in agent.keys


def test_two_clicks_in_a_breath_ask_once(
    page: Page, agent_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, agent_app)
    page.get_by_role("textbox", name="What is the picture for?").fill("Asked in one breath")
    button(page, "Ask a person").dblclick()
    expect(page.get_by_text("Waiting for an answer")).to_be_visible()
    link = page.get_by_text(re.compile(r"\?review="))
    expect(link).to_have_count(1)
    # Another tab of the same browser waits for the same.
    other = page.context.new_page()
    open_app(other, agent_app)
    expect(other.get_by_text(str(link.text_content()))).to_be_visible()
    button(other, "Cancel").click()
    expect(page.get_by_text("Nobody is asked any more.")).to_be_visible(timeout=LONG)


def test_a_reload_in_mid_wait_finds_the_request_and_its_picture(
    agent: Agent, context: BrowserContext, images_server: ImagesServer
) -> None:
    agent.generate("a fox")
    link = agent.ask("A poster")
    page = visit(context, link)
    gate = Gate()
    images_server.script(hold=gate)
    button(page, "Regenerate").click()
    images_server.wait_for_calls(1)
    page.reload()
    expect(button(page, "Cancel")).to_be_visible()
    gate.set()
    expect(page.get_by_text("Picture 2 ·")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("It is for: A poster")).to_be_visible()
    assert len(images_server.calls) == 1


def test_a_restarted_server_without_a_store_says_so_in_one_sentence(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    settings = {**images_server.environment, **ENABLED, "STREAMLIT_SERVER_PORT": str(free_port())}
    with run_app(tmp_path / "first", **settings) as app, connect(app) as agent:
        agent.open().generate("a fox")
        link = agent.ask("A poster")
    with run_app(tmp_path / "second", **settings) as app, connect(app) as agent:
        page.goto(link)
        expect(page.get_by_text(GONE)).to_be_visible(timeout=LONG)
        assert GONE in agent.open(review_id(link)).texts("warning")


def test_axe_finds_nothing_and_nothing_scrolls_sideways_where_a_person_is_asked(
    agent: Agent, context: BrowserContext, agent_app: RunningApp
) -> None:
    agent.generate("a fox", count=2)
    link = agent.ask("A poster for the harbour festival, for people who have never been there")
    pages = [visit(context, link), context.new_page(), context.new_page()]
    open_app(pages[1], agent_app)
    expect(pages[1].get_by_text("Waiting for a person")).to_be_visible()
    to_review(pages[2], agent_app)
    for page in pages:
        for scheme in BACKGROUNDS:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
        page.set_viewport_size({"width": 390, "height": 844})
        sideways = "document.documentElement.scrollWidth <= window.innerWidth"
        page.wait_for_function(sideways)
    decline(pages[0], "Too small")
    found = Axe().run(pages[0])
    assert found.violations_count == 0, found.generate_report()


AGENTS = (ROOT / "docs/agents.md").read_text()


def example(heading: str, language: str) -> str:
    """An example of the document."""
    return AGENTS.split(f"## {heading}")[1].split(f"```{language}\n")[1].split("```")[0]


WITH_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="a bare system has no curl")


@pytest.mark.parametrize(
    "how", ["By the official MCP client", pytest.param("By curl", marks=WITH_CURL)]
)
def test_the_examples_of_the_document_ask_and_get_an_answer(
    how: str, agent_app: RunningApp, context: BrowserContext, tmp_path: Path
) -> None:
    if how == "By curl":
        command = ["bash", "-c", example(how, "sh")]
    else:
        script = tmp_path / "agent.py"
        script.write_text(example(how, "python"))
        command = [sys.executable, "-u", str(script)]
    environment = os.environ | {"APP": agent_app.address}
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out)
    try:
        told = tmp_path / "out"
        until = time.monotonic() + 30
        while not (found := re.search(r"http://[^\"]+\?review=[\w-]+", told.read_text())):
            assert time.monotonic() < until
            time.sleep(0.05)
        page = visit(context, found[0])
        button(page, "Approve").click()
        expect_screen(page, "3. Final Result")
        assert process.wait(60) == 0
        assert "SHA-256 " in told.read_text()
    finally:
        process.kill()


def test_the_node_in_a_graph_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    def decide_somewhere(review_id: str) -> None:
        answer = Decision("declined", "No rain, please.")
        threading.Thread(target=reviews.decide, args=(review_id, 1, answer)).start()

    given = {
        "make_result": lambda owner: Text(blobs.put(owner, b"Rain")),
        "decide_somewhere": decide_somewhere,
    }
    exec(compile(example("The node, in a graph of your own", "python"), "agents.md", "exec"), given)
    assert capsys.readouterr().out == "Declined: No rain, please.\n"


def test_without_the_switch_nobody_is_asked(page: Page, api_app: RunningApp) -> None:
    answer = httpx2.post(f"{api_app.address}/_stcore/agent/interact", json={})
    assert answer.json()["error"]["code"] == "not_available"
    to_review(page, api_app)
    expect(button(page, "Ask a person")).to_have_count(0)
