"""Errors and settings as a person meets them, in a real browser."""

import base64
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import RunningApp, run_app
from tests.images_server import (
    Answer,
    Gate,
    Head,
    ImagesServer,
    error,
    json_answer,
    picture,
    plain,
    stream,
)
from tests.ports import free_port
from tests.studio import (
    button,
    choose,
    expect_prompt,
    expect_screen,
    expect_settled,
    generate,
    open_app,
    picture_of,
    prompt_box,
    send_by_key,
    thumbnails,
    to_review,
)
from utils.review.browser import FORGOTTEN

SOON = (date.today() + timedelta(days=9)).isoformat()
MODELS = {
    "data": [
        {"id": "gpt-image-2.6-flare", "shutdown_date": None},
        {"id": "gpt-image-1.5", "shutdown_date": SOON},
        {"id": "gpt-5"},
    ]
}


@pytest.fixture
def models_app(running_images_server: ImagesServer, tmp_path: Path) -> Iterator[RunningApp]:
    """The app with a server that lists models."""
    running_images_server.script()
    running_images_server.pages["/v1/models"] = json_answer(MODELS)
    with run_app(tmp_path / "log", OPENAI_BASE_URL=running_images_server.url) as app:
        yield app


@pytest.mark.promise
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(401, "invalid_api_key", "sk-te***et"), "The API key was not accepted"),
        ([Head(content_type="text/html"), b"<html><h1>Hi</h1></html>"], "something that is no"),
    ],
    ids=["key", "page"],
)
def test_after_an_error_the_next_click_works_and_the_error_is_gone(
    page: Page, api_app: RunningApp, images_server: ImagesServer, answer: Answer, words: str
) -> None:
    images_server.script(answer, plain(picture("first")), answer, plain(picture("second")))
    open_app(page, api_app)
    generate(page, "a fox")
    alert = page.get_by_test_id("stMain").get_by_role("alert")
    expect(alert).to_contain_text(words)
    expect(prompt_box(page)).to_have_value("a fox")
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    expect(alert).to_have_count(0)
    button(page, "Regenerate").click()
    expect(alert).to_contain_text(words)
    expect(picture_of(page)).to_be_visible()
    button(page, "Regenerate").click()
    expect(alert).to_have_count(0)
    expect_settled(page)
    assert len(images_server.calls) == 4
    body = page.locator("body").inner_text()
    for leak in ("sk-te", "Error code", "Traceback", "{", "<"):
        assert leak not in body


def test_settings_are_sent_and_survive_stages_reload_and_start_over(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(then=stream(picture("end")))
    open_app(page, api_app)
    choose(page, "Size", "landscape")
    choose(page, "Quality", "low")
    choose(page, "Background", "transparent")
    choose(page, "Format", "webp")
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    page.reload()
    expect_screen(page, "2. Review Generated Image")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    expect_settled(page)
    button(page, "Start Over").click()
    expect_screen(page, "1. Generate Image")
    generate(page, "an owl")
    expect_screen(page, "2. Review Generated Image")
    chosen = {
        "size": "1536x1024",
        "quality": "low",
        "background": "transparent",
        "output_format": "webp",
    }
    for call in images_server.calls:
        assert {name: call.wish.get(name) for name in chosen} == chosen


def test_a_bad_size_of_ones_own_is_told_at_once_and_costs_no_call(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, api_app)
    size_box = page.get_by_role("combobox", name="Size")
    wrong = page.get_by_test_id("stSidebar").get_by_text("multiples of 16")
    size_box.fill("1000x1000")
    size_box.press("Enter")
    expect(wrong).to_be_visible()
    expect_settled(page)
    generate(page, "a fox")
    expect(page.get_by_test_id("stMain").get_by_text("multiples of 16")).to_be_visible()
    assert images_server.calls == []
    size_box.fill("1536x864")
    size_box.press("Enter")
    expect(wrong).to_be_hidden()
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    assert images_server.calls[0].wish["size"] == "1536x864"


def test_models_of_the_server_can_be_chosen_and_one_near_its_end_warns(
    page: Page, models_app: RunningApp, running_images_server: ImagesServer
) -> None:
    open_app(page, models_app)
    expect(page.get_by_text("will be shut down")).to_be_hidden()
    page.get_by_role("combobox", name="Model").click()
    expect(page.get_by_role("option")).to_have_text(["gpt-image-2.6-flare", "gpt-image-1.5"])
    page.get_by_role("option", name="gpt-image-1.5").click()
    warning = f"The chosen model will be shut down on {SOON}. Choose another one under Model."
    expect(page.get_by_text(warning)).to_be_visible()
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    assert running_images_server.calls[0].wish["model"] == "gpt-image-1.5"


def test_a_click_right_after_the_choice_of_a_model_with_fewer_settings_is_followed(
    page: Page, models_app: RunningApp
) -> None:
    open_app(page, models_app)
    expect(page.get_by_role("combobox", name="Complexity")).to_be_visible()
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="gpt-image-1.5").click()
    generate(page, "a fox")
    expect_screen(page, "2. Review Generated Image")
    expect(page.get_by_role("combobox", name="Complexity")).to_be_hidden()


def test_two_models_make_one_prompt_and_each_picture_says_whose_it_is(
    page: Page, models_app: RunningApp, running_images_server: ImagesServer
) -> None:
    open_app(page, models_app)
    choose(page, "Compare with", "gpt-image-1.5")
    choose(page, "Quality", "max")
    lacks = "The second model has not the quality that you chose"
    expect(page.get_by_text(lacks)).to_be_visible()
    expect(page.get_by_text("Asks for 2 pictures: each may be billed.")).to_be_visible()
    generate(page, "a fox")
    expect(thumbnails(page)).to_have_count(2)
    expect_settled(page)
    assert sorted(call.wish["model"] for call in running_images_server.calls) == [
        "gpt-image-1.5",
        "gpt-image-2.6-flare",
    ]
    assert [call.wish.get("quality") for call in running_images_server.calls].count("max") == 1
    page.keyboard.press("c")
    makers = page.get_by_role("dialog").locator("small")
    expect(makers.filter(has_text="gpt-image-1.5")).to_have_count(1)
    expect(makers.filter(has_text="gpt-image-2.6-flare")).to_have_count(1)


def test_models_that_a_slow_server_lists_can_be_chosen_without_a_reload(
    page: Page, running_images_server: ImagesServer, tmp_path: Path
) -> None:
    server, gate = running_images_server, Gate()
    server.script()
    server.pages["/v1/models"] = [gate, *json_answer(MODELS)]
    with run_app(tmp_path / "log", OPENAI_BASE_URL=server.url) as app:
        open_app(page, app)
        # All but the list is there, and stays what it is when the list comes.
        prompt_box(page).fill("half a prompt")
        expect_settled(page)
        expect(page.get_by_role("combobox", name="Model")).to_be_hidden()
        gate.set()
        expect(page.get_by_role("combobox", name="Model")).to_be_visible()
        expect(prompt_box(page)).to_have_value("half a prompt")


def test_a_picture_by_address_is_shown_and_downloaded_as_it_is(
    page: Page, api_app: RunningApp, images_server: ImagesServer
) -> None:
    image = base64.b64decode(picture("by address", image_format="JPEG"))
    images_server.script(json_answer({"data": [{"url": "/v1/images/7/content"}]}))
    images_server.pages["/v1/images/7/content"] = [Head(content_type="image/png"), image]
    open_app(page, api_app)
    generate(page, "a fox")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    with page.expect_download() as download:
        button(page, "Download").click()
    assert download.value.suggested_filename == "a-fox.jpg"
    assert download.value.path().read_bytes() == image


def test_streamlit_secrets_win_over_the_environment(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        f'OPENAI_BASE_URL = "{images_server.url}"\n'
        'OPENAI_API_KEY = "sk-from-secrets"\n'
        'OPENAI_IMAGE_MODEL = "model-from-secrets"\n'
    )
    settings = {"STREAMLIT_SECRETS_FILES": str(secrets), "OPENAI_IMAGE_MODEL": "from-environment"}
    with run_app(tmp_path / "log", **settings) as app:
        open_app(page, app)
        expect(page.get_by_test_id("stSidebar")).to_contain_text("model-from-secrets")
        generate(page, "a fox")
        expect_screen(page, "2. Review Generated Image")
    (call,) = images_server.calls
    assert call.headers["authorization"] == "Bearer sk-from-secrets"
    assert call.wish["model"] == "model-from-secrets"


@pytest.mark.parametrize("how", ["click", "key"])
@pytest.mark.parametrize("stage", ["initial_input", "user_feedback"])
def test_words_outlive_the_server_that_they_were_typed_for(
    page: Page, images_server: ImagesServer, tmp_path: Path, stage: str, how: str
) -> None:
    settings = {**images_server.environment, "STREAMLIT_SERVER_PORT": str(free_port())}
    with run_app(tmp_path / "first", **settings) as app:
        to_review(page, app)
        if stage == "initial_input":
            button(page, "Start Over").click()
            expect_screen(page, "1. Generate Image")
            expect_settled(page)
        prompt_box(page).fill("an owl")
    calls = len(images_server.calls)
    with run_app(tmp_path / "second", **settings):
        if how == "click":
            button(page, "Generate Image").click()
        else:
            send_by_key(page, prompt_box(page), "Generate Image")
        expect(page.get_by_text(FORGOTTEN)).to_be_visible()
        expect(prompt_box(page)).to_have_value("an owl")
        expect_settled(page)
        assert len(images_server.calls) == calls
        button(page, "Generate Image").click()
        expect_screen(page, "2. Review Generated Image")
        expect_prompt(page, "an owl")
    assert len(images_server.calls) == calls + 1


def test_a_page_that_outlives_its_server_says_so_and_loses_nothing_that_it_makes_then(
    page: Page, images_server: ImagesServer, tmp_path: Path
) -> None:
    settings = {**images_server.environment, "STREAMLIT_SERVER_PORT": str(free_port())}
    with run_app(tmp_path / "first", **settings) as app:
        to_review(page, app)
    with run_app(tmp_path / "second", **settings):
        # The page hears that there is a server again before it sends this.
        button(page, "Approve").click()
        expect_screen(page, "1. Generate Image")
        expect(page.get_by_text(FORGOTTEN)).to_be_visible()
        # The words outlive their picture.
        expect(prompt_box(page)).to_have_value("a fox")
        generate(page, "an owl")
        expect_screen(page, "2. Review Generated Image")
        expect(page.get_by_text(FORGOTTEN)).to_have_count(0)
        page.reload()
        expect_screen(page, "2. Review Generated Image")
        expect_prompt(page, "an owl")
    assert len(images_server.calls) == 2
