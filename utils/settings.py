"""What the server is set to: the environment, and Streamlit's secrets on top of it.

Order of precedence: `.streamlit/secrets.toml` (Streamlit itself copies its top-level entries into
the environment, over what is there), then environment variables, then the defaults below.
A key that a person types into the page is used only where the server has none.
"""

from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

OPENAI_BASE_URL = "https://api.openai.com/v1"
DEMO_MODEL = "demo-painter"


class Settings(BaseSettings):
    """The server's settings; each field is the environment variable of the same name."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    openai_api_key: SecretStr | None = Field(None, description="Key of the API.")
    openai_base_url: str | None = Field(
        None, description="Address of any server that speaks the Images API."
    )
    openai_image_model: str = Field("gpt-image-2.5-flare", description="Model that is asked.")
    image_concurrency: int = Field(
        8, ge=1, description="Calls in flight at once, for the whole server."
    )
    image_timeout: float = Field(
        300.0, gt=0, description="Seconds without news after which a try counts as failed."
    )
    picture_memory: int = Field(
        1024, ge=64, description="Megabytes of pictures in memory; a browser has a quarter at most."
    )


@dataclass(frozen=True)
class Engine:
    """Who makes the pictures.

    `base_url` is None for an engine in this process, such as the built-in demo engine, and
    `api_key` is None for a server that needs none.
    """

    name: str
    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)

    @property
    def is_demo(self) -> bool:
        """True where no AI model is at work."""
        return self.base_url is None and self.model == DEMO_MODEL


@cache
def get_settings() -> Settings:
    """Return the server's settings, read once.

    Raises pydantic.ValidationError where a variable holds an impossible value.
    """
    return Settings()


def choose_engine(typed_key: str = "", model: str = "") -> Engine:
    """Return the engine that serves a session.

    `typed_key` is what was entered as key, and `model` what was chosen; '' for none.
    """
    settings = get_settings()
    secret = settings.openai_api_key
    api_key = secret.get_secret_value() if secret else typed_key.strip() or None
    base_url = settings.openai_base_url or (OPENAI_BASE_URL if api_key else None)
    if base_url is None:
        return Engine(name="Demo engine", model=DEMO_MODEL)
    host = urlsplit(base_url).hostname or base_url
    name = "OpenAI" if host == urlsplit(OPENAI_BASE_URL).hostname else host
    return Engine(name, model or settings.openai_image_model, base_url, api_key)
