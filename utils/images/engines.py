"""Who makes the pictures: which engine serves a session, where it is, and whose key it gets."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from httpx2 import AsyncBaseTransport

from utils.images.models import DEMO_MODEL
from utils.review.records import Engine
from utils.settings import get_settings, is_key

OPENAI_ADDRESS = "https://api.openai.com/v1"
# Known to answer with an event stream, and to refuse without a charge what they do not take.
STREAMING_HOSTS = (
    "api.openai.com",
    "openai.azure.com",
    "cognitiveservices.azure.com",
    "services.ai.azure.com",
)


def _demo_engine() -> AsyncBaseTransport:
    # Imported when it is needed: numpy would delay the start of an app that asks a real server.
    from utils.demo.engine import DemoTransport

    return DemoTransport()


# The engines that answer in this process, by model; all others are reached by their address.
TRANSPORTS: dict[str, Callable[[], AsyncBaseTransport]] = {DEMO_MODEL: _demo_engine}


def engine(shared: Mapping[str, object]) -> Engine:
    """Return who serves a session, by the model chosen and the key typed there, if any."""
    settings = get_settings()
    own_key = asks_for_key() and bool(_typed(shared))
    if not (settings.openai_base_url or settings.openai_api_key or own_key):
        return Engine("Demo engine", DEMO_MODEL, free=True)
    model = str(shared["model"]) or settings.openai_image_model
    host = _host(_address())
    name = "OpenAI" if _belongs_to(host, "api.openai.com") else host
    return Engine(name, model, _address(), own_key)


def is_demo(engine: Engine) -> bool:
    """Return whether no AI model is at work."""
    return engine.address is None and engine.model == DEMO_MODEL


def key_for(engine: Engine, typed: str) -> str:
    """Return the key that this engine gets, '' for none; `typed` is the person's own.

    The server's key goes to the server's own address alone.
    """
    if engine.own_key:
        return typed.strip()
    secret = get_settings().openai_api_key
    return secret.get_secret_value() if secret and engine.address == _address() else ""


def check_key(engine: Engine, typed: str) -> None:
    """Raise ValueError, with a sentence for a person, where the typed key can be none."""
    if engine.own_key and not is_key(typed.strip()):
        raise ValueError(
            "The key has characters that no key has, such as the dots of a masked one. "
            "Copy the key itself and enter it again."
        )


def asks_for_key() -> bool:
    """Return whether a person may type a key: the server has none."""
    return get_settings().openai_api_key is None


def key_label() -> str:
    """Return the name of the box for a key, which says who gets it."""
    host = _host(_address())
    whose = "OpenAI API key" if _belongs_to(host, "api.openai.com") else f"key for {host}"
    return f"Your {whose}"


def key_warning() -> str:
    """Return a sentence that warns where a typed key would travel unprotected, '' elsewhere."""
    parts = urlsplit(_address())
    if parts.scheme == "https" or _is_this_machine(_host(_address())):
        return ""
    return (
        f"A key for {_host(_address())} travels there unencrypted: whoever is on the way can read "
        "it. Use one only within a network that you trust."
    )


def is_openai(engine: Engine) -> bool:
    """Return whether OpenAI's own API makes the pictures."""
    return engine.address is not None and _belongs_to(_host(engine.address), "api.openai.com")


def streams(engine: Engine) -> bool:
    """Return whether the engine is to be asked for drafts, in an event stream.

    Some servers answer a wish for a stream with an error after the model has been paid, so by
    itself only who is known to give one is asked.
    """
    if engine.address is None:
        return True
    setting = get_settings().image_stream
    if setting != "auto":
        return setting == "on"
    return any(_belongs_to(_host(engine.address), host) for host in STREAMING_HOSTS)


def _address() -> str:
    return get_settings().openai_base_url or OPENAI_ADDRESS


def _typed(shared: Mapping[str, object]) -> str:
    return str(shared["api_key"]).strip()


def _host(address: str) -> str:
    return urlsplit(address).hostname or address


def _belongs_to(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
