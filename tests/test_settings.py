import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.calls import set_to
from utils.settings import Settings, check_secrets, check_settings, get_settings, is_key


def key() -> str:
    secret = get_settings().openai_api_key
    return secret.get_secret_value() if secret else ""


def test_without_variables_the_defaults_count() -> None:
    assert check_settings() == ""
    assert get_settings().openai_image_model == "gpt-image-2.6-flare"
    assert get_settings().image_stream == "auto"


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    names = [name.upper() for name in Settings.model_fields]
    set_to(monkeypatch, **dict.fromkeys(names, blank))
    assert check_settings() == ""
    assert get_settings() == Settings.model_construct()


def test_white_space_around_a_value_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(
        monkeypatch,
        OPENAI_API_KEY="sk-server\n",
        OPENAI_BASE_URL=" http://images.example/v1\r\n",
        IMAGE_CONCURRENCY=" 3 ",
        IMAGE_STREAM="off\n",
    )
    assert key() == "sk-server"
    assert get_settings().openai_base_url == "http://images.example/v1"
    assert get_settings().image_concurrency == 3
    assert get_settings().image_stream == "off"


def test_quotes_within_a_value_belong_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_IMAGE_MODEL='my "own" model', METRICS_TOKEN='"')
    assert check_settings() == ""
    assert get_settings().openai_image_model == 'my "own" model'


def test_no_key_shows_in_a_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="sk-server")
    assert "sk-server" not in f"{get_settings()!r}"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("IMAGE_CONCURRENCY", "0", "IMAGE_CONCURRENCY should be greater than or equal to 1."),
        ("IMAGE_CONCURRENCY", "many", "IMAGE_CONCURRENCY should be a valid integer"),
        ("IMAGE_TIMEOUT", "0", "IMAGE_TIMEOUT should be greater than 0."),
        ("IMAGE_TIMEOUT", "nan", "IMAGE_TIMEOUT should be"),
        ("IMAGE_TIMEOUT", "inf", "IMAGE_TIMEOUT should be a finite number."),
        ("IMAGE_STREAM", "yes", "IMAGE_STREAM should be 'auto', 'on' or 'off'."),
        ("PICTURE_MEMORY", "63", "PICTURE_MEMORY should be greater than or equal to 64."),
        ("OPENAI_API_KEY", "sk-••••1234", "OPENAI_API_KEY should be a key, without spaces"),
        ("OPENAI_API_KEY", "sk secret", "OPENAI_API_KEY should be a key, without spaces"),
        ("OPENAI_API_KEY", '"sk-secret"', "OPENAI_API_KEY should have no quotes around it."),
        ("OPENAI_IMAGE_MODEL", "'secret'\r\n", "OPENAI_IMAGE_MODEL should have no quotes around"),
        ("METRICS_TOKEN", '""', "METRICS_TOKEN should have no quotes around it."),
        ("IMAGE_CONCURRENCY", '"3"', "IMAGE_CONCURRENCY should have no quotes around it."),
        ("OPENAI_ORG_ID", "org\nsecret", "OPENAI_ORG_ID should be an id, without spaces"),
        ("OPENAI_PROJECT_ID", "“secret”", "OPENAI_PROJECT_ID should be an id, without spaces"),
        ("OPENAI_BASE_URL", "localhost:8080/v1", "OPENAI_BASE_URL should begin with http://"),
        ("OPENAI_BASE_URL", "ftp://localhost", "OPENAI_BASE_URL should begin with http://"),
        ("OPENAI_BASE_URL", "http://", "OPENAI_BASE_URL should begin with http://"),
        ("OPENAI_BASE_URL", "http://[bad", "OPENAI_BASE_URL should begin with http://"),
        ("STORE_URL", "redis:secret@host", "STORE_URL should begin with one of redis, rediss,"),
        ("STORE_URL", "redis://:secret/2@host", "STORE_URL should name a host, and write special"),
        ("STORE_URL", "redis://:secret", "STORE_URL should name a host, and write special"),
        ("STORE_URL", "redis://:secret@host/live", "STORE_URL should name its database by a"),
        ("OPENAI_BASE_URL", "http://host/v1\u200b", "OPENAI_BASE_URL should have no invisible"),
        ("OPENAI_BASE_URL", "http://host/\tv1", "OPENAI_BASE_URL should have no invisible"),
        ("OPENAI_BASE_URL", "http://host:99999", "OPENAI_BASE_URL should begin with http://"),
        ("OPENAI_BASE_URL", "http://192.168.1.300/v1", "OPENAI_BASE_URL should begin with http://"),
        ("OPENAI_BASE_URL", "http://ex..ämple/v1", "OPENAI_BASE_URL should begin with http://"),
        ("OPENAI_BASE_URL", "http://“gateway”/v1", "OPENAI_BASE_URL should begin with http://"),
        ("REVIEW_WEBHOOK", "http://1.2.3.300/secret", "REVIEW_WEBHOOK should begin with http://"),
        ("OPENAI_BASE_URL", "http://host/ v1", "OPENAI_BASE_URL should have no invisible"),
        ("OPENAI_BASE_URL", "http://host/v1?secret=1", "OPENAI_BASE_URL should have no user name"),
        # pragma: allowlist nextline secret
        ("OPENAI_BASE_URL", "http://me:secret@host/v1", "OPENAI_BASE_URL should have no user name"),
    ],
)
def test_an_impossible_value_is_one_sentence_that_repeats_no_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    set_to(monkeypatch, **{name: value})
    with pytest.raises(ValidationError, match=name.lower()):
        get_settings()
    told = check_settings()
    assert told.startswith(sentence)
    assert told.endswith(". Change it and start again.")
    assert "secret" not in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "gopher://:secret@127.0.0.1:7890"),
        ("SSL_CERT_FILE", "/nope/secret.pem"),
    ],
)
def test_a_way_to_the_server_that_cannot_be_used_is_told_where_one_is_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert check_settings() == ""
    set_to(monkeypatch, OPENAI_API_KEY="sk-test")
    told = check_settings()
    assert name in told
    assert told.endswith(". Change it and start again.")
    assert "secret" not in told


def test_all_impossible_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, IMAGE_CONCURRENCY="0", IMAGE_STREAM="yes")
    told = check_settings()
    assert "IMAGE_CONCURRENCY should" in told
    assert ", and IMAGE_CONCURRENCY" in told or ", and IMAGE_STREAM" in told


@pytest.mark.parametrize(
    ("secrets", "name"),
    [
        ("[auth]\nclient_id = 'a'\nLIMIT_ALL_DOLLARS_DAY = 20", "LIMIT_ALL_DOLLARS_DAY"),
        ("[a.b]\nopenai_api_key = 'sk-secret'", "OPENAI_API_KEY"),
        ("[[limits]]\nLIMIT_PICTURES_DAY = 5", "LIMIT_PICTURES_DAY"),
        ("LIMIT_ALL_DOLLARS_DAY = [20]", "LIMIT_ALL_DOLLARS_DAY"),
        ("LIMIT_ALL_PICTURES_DAY = 2026-11-29", "LIMIT_ALL_PICTURES_DAY"),
        ("SHOW_STATE = true", "SHOW_STATE"),
        ("[WORKER]", "WORKER"),
    ],
)
def test_a_setting_that_streamlit_would_pass_over_is_told(secrets: str, name: str) -> None:
    assert check_secrets(tomllib.loads(secrets)) == (
        f"{name} should be a number, or text in quotes, above the first [section] of the secrets. "
        "Change it and start again."
    )


def test_what_streamlit_reads_of_the_secrets_and_what_is_no_setting_is_no_trouble() -> None:
    secrets = """
        OPENAI_API_KEY = "sk-test"
        LIMIT_ALL_DOLLARS_DAY = 2.5
        limit_pictures_day = 5
        mine = [1, [true], {}]
        [auth]
        client_id = "OPENAI_API_KEY"
        client_kwargs = {prompt = "login"}
    """
    assert check_secrets(tomllib.loads(secrets)) == ""


def test_an_address_that_is_told_something_may_say_who_tells_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pragma: allowlist nextline secret
    set_to(monkeypatch, REVIEW_WEBHOOK="https://me:secret@chat.example/hook?token=1")
    assert check_settings() == ""


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("sk-Abc_09", True),
        ("", True),
        ("sk-•", False),
        ("sk one", False),
        ("sk\none", False),
        ("sk\tone", False),
    ],
)
def test_what_can_be_a_key_is_known(text: str, possible: bool) -> None:
    assert is_key(text) is possible


def test_the_readme_lists_the_settings_and_their_defaults() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", readme, re.MULTILINE))
    defaults = {
        name.upper(): "none" if info.default is None else f"`{info.default}`"
        for name, info in Settings.model_fields.items()
    }
    assert {name: text.strip() for name, text in rows.items()} == defaults
