"""The actors: a clean environment, an Images API server, the app, and a browser."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser import ARGS, find_system_browser
from tests.images_server import ImagesServer
from utils.settings import get_settings

ROOT = Path(__file__).parent.parent
SETTINGS = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_IMAGE_MODEL",
    "IMAGE_CONCURRENCY",
    "IMAGE_TIMEOUT",
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins on a machine where nothing is set."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def running_images_server() -> Iterator[ImagesServer]:
    with ImagesServer() as server:
        yield server


@pytest.fixture
def images_server(running_images_server: ImagesServer) -> ImagesServer:
    running_images_server.script()
    return running_images_server


@dataclass(frozen=True)
class RunningApp:
    """The app in a process of its own, which was asked for at `began` (time.time)."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float


@contextmanager
def run_app(
    log: Path, script: str = "app.py", folder: Path | str = ROOT, **environment: str
) -> Iterator[RunningApp]:
    """Start the app as the README says, on a free port, and stop it in the end.

    `script` is another page to be started in its place, and `folder` another copy of the project.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless=true"]
    with log.open("wb") as out:
        began = time.time()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean | environment | {"STREAMLIT_SERVER_PORT": str(port)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_healthy(address, log)
            yield RunningApp(address, process, log, began)
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_healthy(address: str, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.01)
    raise AssertionError(f"The app did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def demo_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The app with nothing set: the demo engine serves."""
    with run_app(tmp_path_factory.mktemp("demo") / "log") as app:
        yield app


@pytest.fixture(scope="session")
def api_app(
    running_images_server: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """The app with the test's own Images API server behind it."""
    log = tmp_path_factory.mktemp("api") / "log"
    with run_app(log, **running_images_server.environment) as app:
        yield app


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the whole session: while Playwright runs, no test can run an event loop of its own.
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=find_system_browser(), args=ARGS)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1366, "height": 768}) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
