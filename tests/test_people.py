import base64
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
import streamlit as st
from playwright.sync_api import Browser, Page, expect
from streamlit import config
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest

from screens import door
from tests.conftest import RunningApp, run_app
from tests.images_server import ImagesServer, error, picture, plain
from tests.ports import free_port
from tests.studio import (
    LONG,
    button,
    expect_screen,
    expect_settled,
    facts,
    generate,
    open_app,
    picture_of,
    prompt_box,
    thumbnails,
)
from utils.review.people import find_person, is_person

ANNA = {"sub": "anna-17", "name": "Anna <b>Bell</b>", "email": "anna@example.org"}
SECRET = "a-secret-that-signs-cookies-0123456789"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real OpenID provider, which knows Anna."""
    port, log = free_port(), tmp_path_factory.mktemp("provider") / "log"
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    command += ["--user-claims", json.dumps(ANNA), "--user", "ben"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    httpx2.get(f"{address}/.well-known/openid-configuration")
                    break
                except httpx2.ConnectError:
                    time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def guarded(folder: Path, provider: str, **environment: str) -> Iterator[RunningApp]:
    """The app, for those whom the provider knows."""
    port, secrets = free_port(), folder / "secrets.toml"
    secrets.write_text(
        "[auth]\n"
        f'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
        f'cookie_secret = "{SECRET}"\n'
        'client_id = "image-review"\nclient_secret = "secret-of-the-client"\n'
        f'server_metadata_url = "{provider}/.well-known/openid-configuration"\n'
    )
    environment |= {"STREAMLIT_SECRETS_FILES": str(secrets), "STREAMLIT_SERVER_PORT": str(port)}
    with run_app(folder / "log", **environment) as app:
        yield app


@pytest.fixture
def guarded_app(provider: str, images_server: ImagesServer, tmp_path: Path) -> Iterator[RunningApp]:
    with guarded(tmp_path, provider, **images_server.environment) as app:
        yield app


def log_in(page: Page, app: RunningApp, who: str = "anna-17") -> None:
    page.goto(app.address)
    button(page, "Log in").click()
    page.get_by_role("textbox").fill(who)
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=LONG)
    expect(button(page, "Log out")).to_be_visible(timeout=LONG)


@contextmanager
def elsewhere(browser: Browser, app: RunningApp, who: str = "anna-17") -> Iterator[Page]:
    """A page on another machine, where somebody has logged in."""
    with browser.new_context() as context:
        page = context.new_page()
        log_in(page, app, who)
        yield page


def test_nothing_is_shown_or_spent_before_the_login(
    page: Page, guarded_app: RunningApp, images_server: ImagesServer
) -> None:
    page.goto(guarded_app.address)
    expect(button(page, "Log in")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("heading", name="Image review")).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(0)
    expect(page.get_by_role("button")).to_have_count(1)
    assert images_server.calls == []
    log_in(page, guarded_app)
    expect_screen(page, "1. Generate Image")
    expect(page.get_by_text(f"You are {ANNA['name']}.")).to_be_visible()


def test_what_is_made_belongs_to_the_person_and_follows_them(
    browser: Browser, page: Page, guarded_app: RunningApp, images_server: ImagesServer
) -> None:
    log_in(page, guarded_app)
    generate(page, "a red fox")
    expect(facts(page)).to_contain_text("Picture 1 ·")
    with elsewhere(browser, guarded_app) as other:
        expect_screen(other, "2. Review Generated Image")
        expect(picture_of(other)).to_have_attribute("alt", "a red fox")
        button(other, "Approve").click()
        expect_screen(other, "3. Final Result")
        # Of a click in the very run that brings it Streamlit's expander knows nothing.
        expect_settled(other)
        other.get_by_text("Approved on").click()
        expect(other.get_by_text(f"By {ANNA['name']}")).to_be_visible()
    with elsewhere(browser, guarded_app, "ben") as stranger:
        expect_screen(stranger, "1. Generate Image")
        expect(thumbnails(stranger)).to_have_count(0)
    log = guarded_app.log.read_text()
    for known in (*ANNA.values(), "ben", SECRET, "secret-of-the-client", "a red fox"):
        assert known not in log


def test_logging_out_forgets_on_this_machine_alone(
    browser: Browser, page: Page, guarded_app: RunningApp
) -> None:
    log_in(page, guarded_app)
    generate(page, "a red fox")
    expect(facts(page)).to_contain_text("Picture 1 ·")
    with elsewhere(browser, guarded_app) as other:
        expect_screen(other, "2. Review Generated Image")
        expect_settled(page)
        button(page, "Log out").click()
        # The provider asks, too.
        button(page, "End session").click()
        expect(button(page, "Log in")).to_be_visible(timeout=LONG)
        page.reload()
        expect(button(page, "Log in")).to_be_visible(timeout=LONG)
        expect(page.get_by_role("img")).to_have_count(0)
        other.reload()
        expect_screen(other, "2. Review Generated Image")
        expect(picture_of(other)).to_have_attribute("alt", "a red fox")


def test_a_person_has_their_limit_wherever_they_are(
    browser: Browser, page: Page, provider: str, images_server: ImagesServer, tmp_path: Path
) -> None:
    settings = images_server.environment | {"LIMIT_PICTURES_HOUR": "1"}
    with guarded(tmp_path, provider, **settings) as app:
        log_in(page, app)
        generate(page, "a red fox")
        expect(facts(page)).to_contain_text("Picture 1 ·")
        with elsewhere(browser, app) as other:
            expect(other.get_by_text("You have nothing left of 1 picture")).to_be_visible()
            button(other, "Regenerate").click()
            expect(other.get_by_role("alert")).to_contain_text("You have nothing left")
            expect_settled(other)
        assert len(images_server.calls) == 1


@pytest.fixture
def behind_a_proxy(images_server: ImagesServer, tmp_path: Path) -> Iterator[RunningApp]:
    """The app behind a proxy that says who asks."""
    headers = {"STREAMLIT_SERVER_TRUSTED_USER_HEADERS": '{"X-Forwarded-Email": "email"}'}
    with run_app(tmp_path / "log", **images_server.environment, **headers) as app:
        yield app


def test_a_proxy_may_say_who_somebody_is(
    browser: Browser, behind_a_proxy: RunningApp, images_server: ImagesServer
) -> None:
    images_server.script(plain(picture("a red fox")))
    for place in ("here", "elsewhere"):
        with browser.new_context(extra_http_headers={"X-Forwarded-Email": ANNA["email"]}) as known:
            page = known.new_page()
            open_app(page, behind_a_proxy)
            expect(page.get_by_text(f"You are {ANNA['email']}.")).to_be_visible()
            expect(button(page, "Log out")).to_have_count(0)
            if place == "here":
                generate(page, "a red fox")
            expect(facts(page)).to_contain_text("Picture 1 ·")
    with browser.new_context() as unknown:
        page = unknown.new_page()
        page.goto(behind_a_proxy.address)
        expect(page.get_by_text("The server does not know who you are")).to_be_visible()
        expect(prompt_box(page)).to_have_count(0)
    assert ANNA["email"] not in behind_a_proxy.log.read_text()


def test_an_owner_says_nothing_of_who_it_is() -> None:
    person = find_person({"iss": "https://provider", **ANNA}, SECRET)
    assert person is not None
    assert person.name == ANNA["name"]
    assert is_person(person.owner)
    assert not any(value in person.owner for value in ANNA.values())
    other_secret = find_person({"iss": "https://provider", **ANNA}, "another secret")
    other_provider = find_person({"iss": "https://other", **ANNA}, SECRET)
    assert other_secret is not None
    assert other_provider is not None
    assert len({person.owner, other_secret.owner, other_provider.owner}) == 3


def test_the_same_word_by_another_claim_is_somebody_else() -> None:
    claims = ("sub", "email", "preferred_username")
    found = [find_person({claim: ANNA["email"]}, SECRET) for claim in claims]
    assert len({person.owner for person in found if person}) == len(claims)


@pytest.mark.parametrize("user", [{}, {"email": None}, {"email": ""}, {"name": "Anna"}])
def test_who_does_not_say_who_they_are_is_nobody(user: dict[str, object]) -> None:
    assert find_person(user, SECRET) is None


def test_no_browsers_token_is_a_persons() -> None:
    assert not is_person("")
    assert not is_person("dGhpcyBpcyBhIHRva2Vu")


def test_no_secret_is_told_to_anybody(
    page: Page, provider: str, images_server: ImagesServer, tmp_path: Path
) -> None:
    prompt = "the prompt that nobody may read"
    key = images_server.environment["OPENAI_API_KEY"]
    told = f"The key {key} of anna@example.org may not ask for {prompt!r}."
    failures = {
        "The API key was not accepted": error(401, "invalid_api_key", told),
        "The safety system refused": error(400, "moderation_blocked", told),
        "something that is no picture": plain(base64.b64encode(told.encode()).decode()),
    }
    images_server.script(*failures.values(), plain(picture("at last")))
    watched = {"METRICS_TOKEN": "token-of-the-watcher", "LOG_FORMAT": "json", "SHOW_STATE": "1"}
    with guarded(tmp_path, provider, **images_server.environment, **watched) as app:
        log_in(page, app)
        cookies = {one["name"]: one["value"] for one in page.context.cookies()}
        tokens = [value for name, value in cookies.items() if len(value) > 20]
        assert len(tokens) >= 2
        pages = []
        for sentence in failures:
            generate(page, prompt)
            expect(page.get_by_role("alert")).to_contain_text(sentence, timeout=LONG)
            expect_settled(page)
            pages.append(page.content())
        generate(page, prompt)
        button(page, "Approve").click()
        expect_screen(page, "3. Final Result")
        expect_settled(page)
        page.get_by_text("Session State").click()
        page.get_by_text("Approved on").click()
        expect(button(page, "Download record")).to_be_visible()
        expect_settled(page)
        with page.expect_download() as download:
            button(page, "Download record").click()
        pages.append(page.content())
        with zipfile.ZipFile(download.value.path()) as archive:
            record = archive.read("record.json").decode()
        headers = {"Authorization": "Bearer token-of-the-watcher"}
        metrics = httpx2.get(f"{app.address}/metrics", headers=headers).text
        health = httpx2.get(f"{app.address}/health").text
    log = app.log.read_text()
    assert "review_calls_total" in metrics
    assert '"outcome": "key"' in log
    assert prompt in record
    assert ANNA["name"] in record
    secrets = [key, SECRET, "secret-of-the-client", *tokens]
    for place in (log, metrics, health, record, *pages):
        assert not [one for one in secrets if one in place]
        assert ANNA["email"] not in place
    for place in (log, metrics, health):
        assert prompt not in place
        assert not [one for one in ANNA.values() if one in place]


def app_for(
    monkeypatch: pytest.MonkeyPatch, user: dict[str, object], auth: dict[str, object]
) -> AppTest:
    """The app on a server with a login, used by somebody with these claims."""
    monkeypatch.setattr("streamlit.user", user)
    monkeypatch.setattr("streamlit.secrets", {"auth": auth})
    return AppTest.from_file("../app.py", default_timeout=20).run()


def test_what_was_typed_last_is_there_after_logging_out(monkeypatch: pytest.MonkeyPatch) -> None:
    auth: dict[str, object] = {"client_id": "a", "cookie_secret": SECRET}
    user = {"is_logged_in": True, "iss": "https://provider", **ANNA}
    app = app_for(monkeypatch, user, auth)
    app.text_area[0].input("a fox")
    monkeypatch.setattr("streamlit.user", {"is_logged_in": False})
    app.run()
    assert [button.label for button in app.button] == ["Log in"]
    assert "task_input" not in app.session_state
    assert app_for(monkeypatch, user, auth).text_area[0].value == "a fox"


@pytest.mark.parametrize(
    ("auth", "labels"),
    [
        ({"client_id": "a", "client_kwargs": {}}, ["Log in"]),
        ({"google": {"client_id": "a"}, "us": {}}, ["Log in with google", "Log in with us"]),
    ],
)
def test_whoever_has_not_logged_in_sees_how(
    monkeypatch: pytest.MonkeyPatch, auth: dict[str, object], labels: list[str]
) -> None:
    app = app_for(monkeypatch, {"is_logged_in": False}, auth)
    assert [button.label for button in app.button] == labels
    assert not app.text_area
    assert "owner" not in app.session_state


def test_a_session_says_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    auth: dict[str, object] = {"client_id": "a", "cookie_secret": SECRET}
    user = {"is_logged_in": True, "iss": "https://provider", **ANNA}
    app = app_for(monkeypatch, user, auth)
    assert app.session_state["owner"] == find_person(user, SECRET).owner  # type: ignore[union-attr]
    assert f"You are {ANNA['name']}." in [text.value for text in app.text]
    assert "Log out" in [button.label for button in app.button]
    ben = {**user, "sub": "ben", "name": "Ben"}
    monkeypatch.setattr("streamlit.user", ben)
    app.run()
    assert app.session_state["owner"] == find_person(ben, SECRET).owner  # type: ignore[union-attr]


LOGIN = """
[auth]
redirect_uri = "http://localhost:8501/oauth2callback"
cookie_secret = "a secret"
client_id = "app"
client_secret = "another"
server_metadata_url = "https://example.org/.well-known/openid-configuration"
"""


def test_a_login_that_lacks_something_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    guarded = threading.Event()
    monkeypatch.setattr(door, "_guarded", guarded)

    def check(secrets: str) -> str:
        (tmp_path / "secrets.toml").write_text(secrets)
        read = Secrets()
        monkeypatch.setattr("streamlit.secrets", read)
        monkeypatch.setattr("streamlit.auth_util.secrets_singleton", read)
        return door.check()

    before = config.get_option("secrets.files")
    request.addfinalizer(lambda: config.set_option("secrets.files", before))
    config.set_option("secrets.files", [str(tmp_path / "secrets.toml")])
    assert check("") == ""
    assert not guarded.is_set()
    assert check(LOGIN) == ""
    assert guarded.is_set()
    assert 'are missing the "cookie_secret" key' in check(LOGIN.replace("cookie_secret", "c"))
    named = "redirect_uri = ''\ncookie_secret = 's'\n[auth.mine]\nclient_id = 'c'"
    assert "['client_secret', 'server_metadata_url']" in check(f"[auth]\n{named}")
    assert check("[auth]").endswith("Please check your configuration. Then start again.")
    assert check("auth = 'yes'").startswith("The secrets' auth should be a section, [auth].")
    monkeypatch.setattr("screens.door.find_spec", lambda _: None)
    assert check(LOGIN).startswith("A login is configured, and needs more: pip install")
    assert check("") == ""
    (tmp_path / "secrets.toml").unlink()
    monkeypatch.setattr("streamlit.secrets", Secrets())
    assert door.check() == ""


@pytest.mark.parametrize(
    ("claim", "secrets", "is_refused"),
    [("email", "", False), ("login", "", True), ("login", LOGIN, False)],
)
def test_headers_by_which_nobody_is_known_are_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    claim: str,
    secrets: str,
    is_refused: bool,
) -> None:
    options = {
        "secrets.files": [str(tmp_path / "secrets.toml")],
        "server.trustedUserHeaders": {"X-User": claim},
    }
    for name, value in options.items():
        request.addfinalizer(partial(config.set_option, name, config.get_option(name)))
        config.set_option(name, value)
    (tmp_path / "secrets.toml").write_text(secrets)
    monkeypatch.setattr("streamlit.secrets", Secrets())
    monkeypatch.setattr("streamlit.auth_util.secrets_singleton", st.secrets)
    monkeypatch.setattr(door, "_guarded", threading.Event())
    assert door.check() == is_refused * (
        "server.trustedUserHeaders should call a header one of sub, oid, id, email, user, "
        "preferred_username. Change it and start again."
    )


@pytest.mark.parametrize(
    ("seen", "host", "address"),
    [
        ("https://a.example/studio", "a.example", "https://a.example/studio/"),
        ("http://a.example:81/?review=x#y", "a.example:81", "http://a.example:81/"),
        ("https://evil.example/studio", "a.example", "http://a.example/"),
        ("javascript://a.example/", "a.example", "http://a.example/"),
        (None, "a.example", "http://a.example/"),
    ],
)
def test_a_link_leads_to_the_host_that_was_asked_whatever_a_browser_says(
    monkeypatch: pytest.MonkeyPatch, seen: str | None, host: str, address: str
) -> None:
    monkeypatch.setattr(
        "screens.door.st.context", SimpleNamespace(url=seen, headers={"Host": host})
    )
    assert door.address() == address


def test_a_door_that_was_there_at_the_start_stays_shut_when_its_secrets_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guarded = threading.Event()
    monkeypatch.setattr(door, "_guarded", guarded)
    open_page = AppTest.from_file("../app.py", default_timeout=20).run()
    assert "Generate Image" in [one.label for one in open_page.button]
    guarded.set()
    shut = AppTest.from_file("../app.py", default_timeout=20).run()
    assert "Generate Image" not in [one.label for one in shut.button]
    assert not shut.exception
