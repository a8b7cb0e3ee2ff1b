"""What a person sees, and what it comes to at the model, with real servers by others behind."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import RunningApp, run_app
from tests.images_server import Gate, ImagesServer, error, picture, plain
from tests.servers.conftest import Gateway
from tests.studio import (
    LONG,
    button,
    expect_prompt,
    expect_screen,
    expect_settled,
    facts,
    generate,
    open_app,
    picture_of,
    prompt_box,
    to_review,
)


@pytest.fixture
def cooling_app(litellm_as_it_comes: Gateway, tmp_path: Path) -> Iterator[RunningApp]:
    settings = {**litellm_as_it_comes.environment, "OPENAI_IMAGE_MODEL": "cooling-image"}
    with run_app(tmp_path / "log", **settings) as app:
        yield app


@pytest.fixture
def keyless_app(litellm: Gateway, tmp_path: Path) -> Iterator[RunningApp]:
    with run_app(tmp_path / "log", OPENAI_BASE_URL=litellm.url) as app:
        yield app


@pytest.fixture
def aimock_app(aimock: Gateway, tmp_path: Path) -> Iterator[RunningApp]:
    with run_app(tmp_path / "log", **aimock.environment) as app:
        yield app


def tries(app: RunningApp) -> int:
    """Return how many calls of the app's own have failed so far."""
    return app.log.read_text().count(" WARNING call ")


def test_the_first_click_brings_one_picture_for_one_call_through_litellm(
    page: Page, litellm_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, litellm_app, "a lighthouse")
    expect(picture_of(page)).to_be_visible()
    expect_prompt(page, "a lighthouse")
    assert [call.wish["prompt"] for call in images_server.calls] == ["a lighthouse"]
    button(page, "Regenerate").click()
    expect(facts(page)).to_contain_text("Picture 2 ·", timeout=LONG)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    assert len(images_server.calls) == 2


def test_the_price_is_the_one_that_litellm_tells(
    page: Page, litellm_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, litellm_app)
    # An estimate of ours would be $0.030.
    expect(facts(page)).to_contain_text("1,010 tokens, $0.040")
    expect(facts(page)).not_to_contain_text("estimate")


def test_a_picture_is_changed_by_one_call_through_litellm(
    page: Page, litellm_app: RunningApp, images_server: ImagesServer
) -> None:
    to_review(page, litellm_app)
    images_server.script(then=plain(picture("at night")))
    page.get_by_role("tab", name="Change this picture").click()
    page.get_by_role("textbox", name="What should be different here?").fill("make it night")
    button(page, "Change picture").click()
    expect(facts(page)).to_contain_text("Picture 2 ·", timeout=LONG)
    assert [call.path for call in images_server.calls] == ["/v1/images/edits"]


def test_cancel_is_instant_and_litellm_lets_the_model_go_on(
    page: Page, litellm_app: RunningApp, images_server: ImagesServer
) -> None:
    """So what the page says of the bill is true: LiteLLM does not pass on that we have left."""
    gate = Gate()
    open_app(page, litellm_app)
    images_server.script([gate, *plain(picture("too late"))])
    generate(page, "a fox")
    (cancelled,) = images_server.wait_for_calls(1)
    button(page, "Cancel").click()
    expect(page.get_by_text(re.compile("Cancelled.*may still be billed"))).to_be_visible(
        timeout=1000
    )
    expect(button(page, "Generate Image")).to_be_enabled()
    # By the time that another picture has come, LiteLLM has had its time to close the first call.
    generate(page, "another fox")
    expect_screen(page, "2. Review Generated Image")
    assert cancelled.ended == ""
    gate.set()
    images_server.wait_for_calls(2, ended=True)
    assert cancelled.ended == "answered"


def test_a_rate_limit_through_litellm_reads_so_and_is_never_billed(
    page: Page, litellm_app: RunningApp, images_server: ImagesServer
) -> None:
    message = "Rate limit reached. Please try again in 0.1s."
    images_server.script(then=error(429, "rate_limit_exceeded", message, retry_after="0.1"))
    before = tries(litellm_app)
    open_app(page, litellm_app)
    generate(page, "a fox")
    expect(page.get_by_text("more pictures than it allows just now")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("billed")).to_have_count(0)
    # Each of ours is three of the SDK within LiteLLM.
    assert len(images_server.calls) == 3 * (tries(litellm_app) - before)


def test_trouble_at_the_model_is_counted_as_perhaps_billed(
    page: Page, litellm_app: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(then=error(500, "server_error", retry_after="0.1"))
    before = tries(litellm_app)
    open_app(page, litellm_app)
    generate(page, "a fox")
    expect(page.get_by_text("may have billed")).to_be_visible(timeout=30_000)
    assert len(images_server.calls) == 3 * (tries(litellm_app) - before)
    expect(prompt_box(page)).to_have_value("a fox")


def test_a_model_that_cools_down_is_waited_for_and_paid_once(
    page: Page,
    cooling_app: RunningApp,
    litellm_as_it_comes: Gateway,
    images_server: ImagesServer,
) -> None:
    open_app(page, cooling_app)
    prompt_box(page).fill("a fox")
    images_server.script(error(401, "invalid_api_key"))
    # Somebody else's call, just before: it cools down for no more than 5 s.
    assert call_fails(litellm_as_it_comes, "cooling-image") == 401
    button(page, "Generate Image").click()
    expect(page.get_by_text(re.compile(r"next try in \d s"))).to_be_visible()
    expect_screen(page, "2. Review Generated Image")
    assert len(images_server.calls) == 2


def call_fails(gateway: Gateway, model: str) -> int:
    """Ask the gateway without the app; return the status of its error."""
    body = json.dumps({"model": model, "prompt": "any"}).encode()
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{gateway.url}/images/generations", body, headers)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=30)
    raised.value.close()
    return raised.value.code


def test_a_wrong_key_for_litellm_reads_so(
    page: Page, keyless_app: RunningApp, images_server: ImagesServer
) -> None:
    open_app(page, keyless_app)
    key_box = page.get_by_role("textbox", name=re.compile("key for 127.0.0.1"))
    key_box.fill("sk-wrong")
    generate(page, "a fox")
    expect(page.get_by_text("The API key was not accepted.")).to_be_visible()
    assert images_server.calls == []
    key_box.fill("sk-gateway")
    key_box.press("Enter")
    expect_settled(page)
    button(page, "Generate Image").click()
    expect_screen(page, "2. Review Generated Image")
    assert len(images_server.calls) == 1


def test_a_picture_comes_from_aimock(page: Page, aimock_app: RunningApp) -> None:
    to_review(page, aimock_app)
    expect(picture_of(page)).to_be_visible()
    assert tries(aimock_app) == 0
