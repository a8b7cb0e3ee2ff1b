import pytest

from tests.calls import set_to, shared
from utils import images
from utils.images.engines import key_for, streams
from utils.review.records import Engine


def test_with_nothing_set_the_demo_engine_serves() -> None:
    engine = images.engine(shared())
    assert engine == Engine("Demo engine", "demo-painter", free=True)
    assert images.is_demo(engine)
    assert images.engine(shared(model="gpt-image-2")) == engine


def test_a_key_alone_means_openai_and_its_live_model(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="sk-server")
    engine = images.engine(shared())
    assert engine == Engine("OpenAI", "gpt-image-2.6-flare", "https://api.openai.com/v1")
    assert key_for(engine, "") == "sk-server"
    assert not images.is_demo(engine)
    assert images.engine(shared(model="gpt-image-2")).model == "gpt-image-2"


def test_a_base_url_alone_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_BASE_URL="http://images.example:8080/v1", OPENAI_IMAGE_MODEL="flux")
    engine = images.engine(shared())
    assert engine == Engine("images.example", "flux", "http://images.example:8080/v1")
    assert key_for(engine, "") == ""
    assert not images.is_demo(Engine("x", "demo-painter", "http://images.example"))


def test_a_typed_key_serves_only_where_the_server_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = images.engine(shared(api_key=" sk-typed "))
    assert engine == Engine("OpenAI", "gpt-image-2.6-flare", "https://api.openai.com/v1", True)
    assert key_for(engine, " sk-typed ") == "sk-typed"
    assert images.is_demo(images.engine(shared(api_key="  ")))
    assert images.asks_for_key()
    set_to(monkeypatch, OPENAI_API_KEY="sk-server")
    assert not images.asks_for_key()
    engine = images.engine(shared(api_key="sk-typed"))
    assert not engine.own_key
    assert key_for(engine, "sk-typed") == "sk-server"


def test_the_servers_key_is_for_the_servers_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, OPENAI_API_KEY="sk-server", OPENAI_BASE_URL="https://images.example/v1")
    assert key_for(Engine("OpenAI", "any", "https://api.openai.com/v1"), "sk-typed") == ""
    assert key_for(Engine("Demo engine", "demo-painter"), "") == ""


@pytest.mark.parametrize(
    ("address", "label", "warns"),
    [
        ("", "Your OpenAI API key", False),
        ("https://eu.api.openai.com/v1", "Your OpenAI API key", False),
        ("https://api.openai.com.example/v1", "Your key for api.openai.com.example", False),
        ("https://images.example.org/v1", "Your key for images.example.org", False),
        ("http://images.example.org:8000/v1", "Your key for images.example.org", True),
        ("http://10.0.0.7/v1", "Your key for 10.0.0.7", True),
        ("http://127.0.0.1:4000/v1", "Your key for 127.0.0.1", False),
        ("http://127.8.9.1/v1", "Your key for 127.8.9.1", False),
        ("http://[::1]:4000/v1", "Your key for ::1", False),
        ("http://localhost:4000", "Your key for localhost", False),
        ("http://gateway.localhost", "Your key for gateway.localhost", False),
        ("http://notlocalhost", "Your key for notlocalhost", True),
    ],
)
def test_the_box_for_a_key_says_who_gets_it_and_warns_where_others_can_read_it(
    monkeypatch: pytest.MonkeyPatch, address: str, label: str, warns: bool
) -> None:
    set_to(monkeypatch, OPENAI_BASE_URL=address)
    assert images.key_label() == label
    warning = images.key_warning()
    assert bool(warning) == warns
    assert not warns or ("unencrypted" in warning and label.rpartition(" ")[2] in warning)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://api.openai.com/v1", True),
        ("https://us.api.openai.com/v1", True),
        ("https://mine.openai.azure.com/openai/v1", True),
        ("https://mine.cognitiveservices.azure.com/openai/v1", True),
        ("https://mine.services.ai.azure.com/openai/v1", True),
        ("https://openai.azure.com.example/v1", False),
        ("https://notapi.openai.com.org/v1", False),
        ("https://fakeapi.openai.com.example", False),
        ("https://myapi-openai.com", False),
        ("http://127.0.0.1:4000/v1", False),
    ],
)
def test_a_stream_is_asked_of_who_is_known_to_give_one(
    monkeypatch: pytest.MonkeyPatch, address: str, known: bool
) -> None:
    engine = Engine("x", "any", address)
    assert streams(engine) is known
    set_to(monkeypatch, IMAGE_STREAM="on")
    assert streams(engine)
    set_to(monkeypatch, IMAGE_STREAM="off")
    assert not streams(engine)


@pytest.mark.parametrize("setting", ["auto", "on", "off"])
def test_an_engine_in_this_process_always_streams(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    set_to(monkeypatch, IMAGE_STREAM=setting)
    assert streams(Engine("Demo engine", "demo-painter"))
