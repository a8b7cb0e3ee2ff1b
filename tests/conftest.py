"""The actors: a clean environment, an Images API server, the app, and a browser."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any, cast

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright
from streamlit.components.v2 import manifest_scanner

from tests.browser import ARGS, find_system_browser
from tests.images_server import ImagesServer
from tests.stores import LEISURE, Text
from tests.valkey import Valkey, run_valkey
from utils.images import Draft, api
from utils.jobs.table import jobs
from utils.review.blobs import blobs
from utils.review.memory import browser_memory
from utils.review.reviews import reviews
from utils.settings import Settings, get_settings
from utils.shared import codec, connection
from utils.spending import _limiter

ROOT = Path(__file__).parent.parent
SETTINGS = (*map(str.upper, Settings.model_fields), "STREAMLIT_SERVER_COOKIE_SECRET")

# Notes what was on the page twice in any frame, of all that a person takes for one thing.
NOTE_DOUBLES = """
  window.doubles = [];
  const single = /^(Approve|Regenerate|Generate Image|Change picture|Cancel(?! upload)|Start Over)/;
  const name = (one) => one.ariaLabel || one.textContent;
  const note = () => {
    const seen = new Set();
    for (const one of document.querySelectorAll("[data-testid=stMain] :is(button, textarea)")) {
      if (one.tagName === "TEXTAREA" || single.test(name(one).trim())) {
        const key = name(one);
        if (!one.checkVisibility()) {
          // As in a tab that has just been left.
          continue;
        }
        if (seen.has(key)) {
          window.doubles.push(key);
        }
        seen.add(key);
      }
    }
  };
  // As a person sees it: between two frames the page may be half built.
  let due = 0;
  const noteNextFrame = () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(note);
  };
  const all = { attributes: true, childList: true, subtree: true };
  new MutationObserver(noteNextFrame).observe(document, all);
"""
LEAVE = """() => {
  localStorage.clear();
  sessionStorage.clear();
  return window.doubles;
}"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a browser, and put them last.

    So the quick tests tell first. And once Playwright runs, it keeps its event loop running in this
    thread until the end of the session: no later test could run one of its own.
    """
    for item in items:
        if "playwright" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture
def left_open(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of the answers that were closed while somebody was still to read on: what
    closes the reading then is the garbage collector, whenever it comes to that."""
    found: list[str] = []
    reading: dict[httpx2.Response, AsyncGeneratorType[bytes, None]] = {}
    read, close = httpx2.Response.aiter_bytes, httpx2.Response.aclose

    def aiter_bytes(
        response: httpx2.Response, chunk_size: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        reading[response] = cast("AsyncGeneratorType[bytes, None]", read(response, chunk_size))
        return reading[response]

    async def aclose(response: httpx2.Response) -> None:
        body = reading.get(response)
        if body and body.ag_frame and not body.ag_running:
            found.append(str(response.url))
        await close(response)

    monkeypatch.setattr(httpx2.Response, "aiter_bytes", aiter_bytes)
    monkeypatch.setattr(httpx2.Response, "aclose", aclose)
    return found


@pytest.fixture(scope="session", autouse=True)
def scanned_once() -> Iterator[None]:
    """Streamlit looks for components in all that is installed: once, and not for each page."""
    scan = manifest_scanner.scan_component_manifests
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(scan))
        yield


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins on a machine where nothing is set."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    yield
    # What goes on would read the settings, and keep them for the next test.
    cast("Any", jobs)._local().stop(LEISURE)
    get_settings.cache_clear()
    _limiter.cache_clear()
    api._refused.clear()


@pytest.fixture(scope="session")
def running_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with run_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(running_valkey: Valkey) -> Valkey:
    """A real store, empty."""
    running_valkey.client().flushall()
    return running_valkey


@pytest.fixture
def shared_store(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    """A real store, empty, which this process is set to share with others."""
    monkeypatch.setenv("STORE_URL", valkey.url)
    monkeypatch.setenv("LEASE_SECONDS", "3")
    get_settings.cache_clear()
    connection.client.cache_clear()
    for room in (blobs, browser_memory, jobs, reviews):
        cast("Any", room)._shared.cache_clear()
    codec.learn(Text, Draft)
    yield valkey
    if cast("Any", jobs)._shared.cache_info().currsize:
        jobs.stop(LEISURE)
    connection.client().close()
    connection._away["refuses"] = 0.0
    connection.note_back()


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

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])


KEYS = ("sk-test-secret", "sk-typed", "sk-from-secrets")


@contextmanager
def run_app(
    log: Path, script: str = "app.py", folder: Path | str = ROOT, **environment: str
) -> Iterator[RunningApp]:
    """Start the app as the README says, and stop it in the end.

    `script` is another page to be started in its place, a module of the tests where it has a dot
    before its name, and `folder` another copy of the project.
    The app takes a port from the system and says in its log which: none that is free now and taken
    by another one when the app is there.
    """
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    page = ["streamlit", "run", script, "--server.headless=true"]
    command = [sys.executable, "-m", *([f"tests{script}"] if script.startswith(".") else page)]
    with log.open("wb") as out:
        began = time.time()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean | {"STREAMLIT_SERVER_PORT": "0"} | environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield RunningApp(_address_once_healthy(process, log), process, log, began)
        finally:
            process.terminate()
            try:
                # As long as one that shares a store may wait for its calls, on a busy machine.
                process.wait(30)
            finally:
                process.kill()
    # Whatever a test has done: its keys are told to nobody.
    assert not [key for key in KEYS if key in log.read_text(errors="replace")]


@contextmanager
def run_changed_app(folder: Path, change: str, **environment: str) -> Iterator[RunningApp]:
    """Start the app after a change of its code has run; both it and the log are in `folder`."""
    (folder / "sitecustomize.py").write_text(change)
    with run_app(folder / "log", PYTHONPATH=f"{folder}:{ROOT}", **environment) as app:
        yield app


def _address_once_healthy(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        # A page with Streamlit's own settings calls itself localhost.
        told = re.search(r"URL: http://(?:127\.0\.0\.1|localhost):(\d+)(\S*)\s", log.read_text())
        if told:
            address = f"http://127.0.0.1:{told[1]}"
            # The socket listens by then: the request waits until the app answers.
            with urllib.request.urlopen(f"{address}{told[2]}/_stcore/health", timeout=60):
                return address
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


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=find_system_browser(), args=ARGS)


@pytest.fixture(scope="session")
def start_browser(
    playwright: Playwright,
    running_images_server: ImagesServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., BrowserContext]]:
    """Starts a browser with a folder of its own.

    There it keeps the page's code as it has compiled it, and opens a page for half the work. So
    does a process that has had such a page: a first page of the same site keeps one.
    """
    with ExitStack() as started:

        def start(**device: Any) -> BrowserContext:
            context = started.enter_context(
                playwright.chromium.launch_persistent_context(
                    tmp_path_factory.mktemp("browser"),
                    executable_path=find_system_browser(),
                    args=ARGS,
                    **device,
                )
            )
            context.pages[0].goto(running_images_server.environment["OPENAI_BASE_URL"])
            context.add_init_script(NOTE_DOUBLES)
            return context

        yield start


@pytest.fixture(scope="session")
def warm_context(start_browser: Callable[..., BrowserContext]) -> BrowserContext:
    return start_browser(viewport={"width": 1366, "height": 768})


@pytest.fixture(scope="session")
def warm_phone(start_browser: Callable[..., BrowserContext]) -> BrowserContext:
    return start_browser(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)


@contextmanager
def as_new(warm: BrowserContext) -> Iterator[BrowserContext]:
    """Give a browser that the app has never seen, though it may have the page in its cache."""
    yield warm
    # The first one keeps the browser and its process alive.
    _, *pages = warm.pages
    doubles = [page.evaluate(LEAVE) for page in pages if page.url != "about:blank"]
    for page in pages:
        page.close()
    warm.clear_cookies()
    assert not any(doubles), f"Two of the same were on a page: {doubles}"


@pytest.fixture
def context(warm_context: BrowserContext) -> Iterator[BrowserContext]:
    with as_new(warm_context) as context:
        yield context


@pytest.fixture
def phone(warm_phone: BrowserContext) -> Iterator[Page]:
    """A page in a narrow window, for a thumb."""
    with as_new(warm_phone) as context:
        yield context.new_page()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
