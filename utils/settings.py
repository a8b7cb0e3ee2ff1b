"""What the server is set to: the environment, and Streamlit's secrets on top of it.

Order of precedence: `.streamlit/secrets.toml` (Streamlit itself copies its top-level entries into
the environment, over what is there), then environment variables, then the defaults below.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit

from httpx2 import URL, AsyncClient, InvalidURL
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# What a store may be called, and what its protocol is called.
STORE_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}

CANNOT_CONNECT = (
    "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR should name a "
    "proxy or certificates that can be used. Change it and start again."
)


class Settings(BaseSettings):
    """The server's settings; each field is the environment variable of the same name."""

    model_config = SettingsConfigDict(frozen=True)

    openai_api_key: SecretStr | None = Field(None, description="Key of the API.")
    openai_base_url: str | None = Field(
        None, description="Address of any server that speaks the Images API."
    )
    openai_org_id: str | None = Field(
        None, description="Organization at OpenAI that the server's key asks for."
    )
    openai_project_id: str | None = Field(
        None, description="Project at OpenAI that the server's key asks for."
    )
    openai_image_model: str = Field("gpt-image-2.6-flare", description="Model that is asked.")
    image_stream: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether drafts are asked for; auto asks OpenAI and Azure for them."
    )
    image_concurrency: int = Field(
        8, ge=1, description="Calls in flight at once, for the whole server."
    )
    image_timeout: float = Field(
        300.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds without news after which a try counts as failed.",
    )
    picture_memory: int = Field(
        1024, ge=64, description="Megabytes of pictures in memory; a browser has a quarter at most."
    )
    limit_pictures_hour: int | None = Field(
        None, ge=1, description="Pictures that each person may ask for in an hour."
    )
    limit_pictures_day: int | None = Field(None, ge=1, description="The same in a day.")
    limit_dollars_hour: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Dollars, by estimate, that these may cost."
    )
    limit_dollars_day: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="The same in a day."
    )
    limit_all_pictures_hour: int | None = Field(
        None, ge=1, description="Pictures that all together may ask for in an hour."
    )
    limit_all_pictures_day: int | None = Field(None, ge=1, description="The same in a day.")
    limit_all_dollars_hour: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Dollars, by estimate, that these may cost."
    )
    limit_all_dollars_day: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="The same in a day."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How the log is written; json is one object a line."
    )
    metrics_token: SecretStr | None = Field(
        None, description="Token by which Prometheus may read /metrics; none is no metrics."
    )
    store_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey that servers share, as redis://, rediss:// or valkey://; "
        "none keeps everything in this process.",
    )
    worker: Literal["inside", "apart"] = Field(
        "inside", description="Where calls run with a store: in each server, or `python app.py`."
    )
    lease_seconds: int = Field(
        20, ge=2, description="Seconds without a sign after which a worker counts as dead."
    )
    shutdown_seconds: float = Field(
        20.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds that a server with a store waits for calls in flight when it stops.",
    )
    agent_pictures: int = Field(
        4, ge=1, description="Pictures that an agent may ask for before a person has looked."
    )
    review_webhook: SecretStr | None = Field(
        None, description="Address that is told when a person is asked, and when one has decided."
    )
    show_state: bool = Field(
        False, description="Whether the page shows its Session State, for people who learn from it."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, value: Any, info: ValidationInfo) -> Any:
        """Take white space off, such as the line's end after a key; blank counts as not set."""
        if not isinstance(value, str):
            return value
        # As Docker's --env-file passes on what a shell would have taken off.
        if re.fullmatch(r"""\s*(["']).*\1\s*""", value, re.DOTALL):
            raise ValueError("Value should have no quotes around it")
        return value.strip() or cls.model_fields[str(info.field_name)].default

    @field_validator("openai_api_key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key and not is_key(key.get_secret_value()):
            raise ValueError("Value should be a key, without spaces and of ASCII letters alone")
        return key

    @field_validator("openai_org_id", "openai_project_id")
    @classmethod
    def _check_id(cls, text: str | None) -> str | None:
        # It goes to the server in a header, as the key does.
        if text and not is_key(text):
            raise ValueError("Value should be an id, without spaces and of ASCII letters alone")
        return text

    @field_validator("store_url")
    @classmethod
    def _check_store(cls, address: SecretStr | None) -> SecretStr | None:
        text = address.get_secret_value() if address else ""
        if text and text.partition("://")[0].lower() not in STORE_SCHEMES:
            raise ValueError(f"Value should begin with one of {', '.join(STORE_SCHEMES)}")
        if text and not _has_host(text):
            raise ValueError(
                "Value should name a host, and write special characters of its password as %23"
            )
        # redis takes a name for the database 0.
        if not re.fullmatch(r"/?|/[0-9]+/?", urlsplit(text).path):
            raise ValueError("Value should name its database by a number, such as /0")
        return address

    @field_validator("openai_base_url", "review_webhook")
    @classmethod
    def _check_address(cls, address: str | SecretStr | None) -> str | SecretStr | None:
        text = address.get_secret_value() if isinstance(address, SecretStr) else address
        if text and (not text.isprintable() or " " in text):
            raise ValueError(
                "Value should have no invisible characters or spaces, as copied text may"
            )
        if text and not _is_address(text):
            raise ValueError("Value should begin with http:// or https:// and name a host")
        return address

    @field_validator("openai_base_url")
    @classmethod
    def _check_base(cls, address: str | None) -> str | None:
        # What is asked for is written behind it, and a user would be sent in place of the key.
        if address and (set(address) & {"?", "#"} or URL(address).userinfo):
            raise ValueError("Value should have no user name, and nothing after its path")
        return address


def is_key(text: str) -> bool:
    """Return whether `text` can be sent as a key at all: a masked one, with its dots, cannot."""
    return text.isascii() and text.isprintable() and " " not in text


@cache
def get_settings() -> Settings:
    """Return the server's settings, read once.

    Raises pydantic.ValidationError where a variable holds an impossible value.
    """
    return Settings()


def store_address() -> str:
    """Return the address of the store that several servers share, '' for none."""
    url = get_settings().store_url
    if url is None:
        return ""
    scheme, _, rest = url.get_secret_value().partition("://")
    return f"{STORE_SCHEMES[scheme.lower()]}://{rest}"


def check_settings() -> str:
    """Return a sentence that says which variable holds an impossible value, '' where none does."""
    try:
        settings = get_settings()
    except ValidationError as exc:
        # Not the value: it may be a key.
        wrong = [
            f"{str(error['loc'][0]).upper()} {_in_our_words(error['msg'])}"
            for error in exc.errors(include_input=False)
        ]
        return f"{', and '.join(wrong)}. Change it and start again."
    asks_server = settings.openai_base_url or settings.openai_api_key
    return CANNOT_CONNECT if asks_server and not _can_connect() else ""


def check_secrets(secrets: Mapping[str, Any]) -> str:
    """Return a sentence that says which setting would be passed over where it stands in the
    secrets, '' where none would."""
    # Streamlit copies no other types, and no section.
    copied = (str, int, float)
    rest = {name: value for name, value in secrets.items() if type(value) not in copied}
    name = _find_setting(rest)
    return name and (
        f"{name} should be a number, or text in quotes, above the first [section] of the secrets. "
        "Change it and start again."
    )


def _find_setting(place: object) -> str:
    """Return the name of a setting that is a name anywhere within `place`, '' for none."""
    if isinstance(place, Mapping):
        wrong = (str(name).upper() for name in place if str(name).lower() in Settings.model_fields)
        return next(wrong, "") or _find_setting([*place.values()])
    found = map(_find_setting, place if isinstance(place, list) else ())
    return next(filter(None, found), "")


def _can_connect() -> bool:
    """Return whether the proxy and the certificates that the environment names can be used."""
    try:
        AsyncClient()
    except Exception:
        # They fail in ways of many kinds, and not what they say: a proxy's address may hold a
        # password.
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        # What sends to it refuses hosts that urlsplit takes.
        return _has_host(text) and URL(text).scheme in ("http", "https")
    except InvalidURL:
        return False


def _has_host(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _in_our_words(message: str) -> str:
    """Return pydantic's "Input should be ..." as the end of a sentence about a variable."""
    text = message.removeprefix("Value error, ")
    return text.removeprefix("Input ").removeprefix("Value ")
