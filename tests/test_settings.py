import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from utils.settings import Settings, choose_engine, get_settings


def set_to(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()


def test_with_nothing_set_the_demo_engine_serves() -> None:
    engine = choose_engine()
    assert engine.is_demo
    assert engine.model == "demo-painter"


def test_a_key_alone_means_openai_and_its_live_model(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="sk-server")
    engine = choose_engine()
    assert (engine.name, engine.model) == ("OpenAI", "gpt-image-2.5-flare")
    assert engine.base_url == "https://api.openai.com/v1"
    assert engine.api_key == "sk-server"


def test_a_base_url_alone_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_BASE_URL="http://images.example:8080/v1", OPENAI_IMAGE_MODEL="flux")
    engine = choose_engine()
    assert (engine.name, engine.model) == ("images.example", "flux")
    assert engine.api_key is None


def test_a_typed_key_serves_only_where_the_server_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine(" sk-typed ").api_key == "sk-typed"
    assert not choose_engine(" sk-typed ").is_demo
    set_to(monkeypatch, OPENAI_API_KEY="sk-server")
    assert choose_engine("sk-typed").api_key == "sk-server"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="", OPENAI_BASE_URL="", IMAGE_CONCURRENCY="")
    assert choose_engine().is_demo
    assert get_settings().image_concurrency == 8


def test_no_key_shows_in_a_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="sk-server")
    assert "sk-server" not in f"{get_settings()!r} {choose_engine()!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("IMAGE_CONCURRENCY", "0"), ("IMAGE_CONCURRENCY", "many"), ("IMAGE_TIMEOUT", "-1")],
)
def test_an_impossible_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    set_to(monkeypatch, **{name: value})
    with pytest.raises(ValidationError, match=name.lower()):
        get_settings()


def test_the_readme_lists_the_settings_and_their_defaults() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", readme, re.MULTILINE))
    defaults = {
        name.upper(): "none" if info.default is None else f"`{info.default}`"
        for name, info in Settings.model_fields.items()
    }
    assert {name: text.strip() for name, text in rows.items()} == defaults
