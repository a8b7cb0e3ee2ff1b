"""The actors: a model that counts its calls, and real gateways and servers by others before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import RunningApp, run_app
from tests.images_server import Answer, Call, ImagesServer, picture, plain, stream
from tests.servers.processes import GATEWAY_KEY, run_aimock, run_litellm
from utils.settings import Settings

DEFAULT_MODEL = Settings.model_fields["openai_image_model"].default
OTHER_MODELS = ("cooling-image", "failing-image")
SLOW_MODEL = "slow-image"
AIMOCK_PICTURE = picture("by aimock")


class Model(ImagesServer):
    """Answers as OpenAI does: with an event stream where one is asked for."""

    def begin(self, call: Call) -> Answer:
        """Record the call and return its answer."""
        answer = super().begin(call)
        image = picture(prompt_of(call))
        if asks_for_stream(call) and answer == plain(image):
            return stream(image)
        return answer


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs, and how the app is set to ask it."""

    url: str
    key: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes the app ask this gateway: no more than its README says."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": self.key}


def prompt_of(call: Call) -> str:
    """Return the prompt of a generation, '' for an edit, which is no JSON."""
    return str(call.wish["prompt"]) if call.path.endswith("/generations") else ""


def asks_for_stream(call: Call) -> bool:
    """Return whether a generation or an edit asks for an event stream."""
    return b'"stream"' in call.body


@pytest.fixture(scope="session")
def running_images_server() -> Iterator[ImagesServer]:
    with Model() as model:
        yield model


@pytest.fixture(scope="session")
def litellm(
    running_images_server: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """LiteLLM as the README recommends it; a test must not cool down the next one's model."""
    router = {"num_retries": 0, "disable_cooldowns": True}
    folder = tmp_path_factory.mktemp("litellm")
    models = [DEFAULT_MODEL, SLOW_MODEL]
    with run_litellm(
        folder, running_images_server.url, models, router, timeouts={SLOW_MODEL: 0.5}
    ) as url:
        yield Gateway(url, GATEWAY_KEY)


@pytest.fixture(scope="session")
def litellm_as_it_comes(
    running_images_server: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """LiteLLM with nothing set but its models."""
    folder = tmp_path_factory.mktemp("litellm-as-it-comes")
    models = [DEFAULT_MODEL, *OTHER_MODELS]
    with run_litellm(folder, running_images_server.url, models, {}) as url:
        yield Gateway(url, GATEWAY_KEY)


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with run_aimock(tmp_path_factory.mktemp("aimock"), AIMOCK_PICTURE) as url:
        yield Gateway(url, "sk-any")


@pytest.fixture(scope="session")
def litellm_app(litellm: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The app as the README says, with LiteLLM behind it."""
    log: Path = tmp_path_factory.mktemp("app") / "log"
    with run_app(log, **litellm.environment) as app:
        yield app
