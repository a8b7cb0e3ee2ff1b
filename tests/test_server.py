import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

import app
from tests.conftest import ROOT, SETTINGS, RunningApp, run_app
from tests.studio import LONG, button, generate
from utils import descriptors, scripts
from utils.jobs.outcomes import CANCELLED
from utils.jobs.table import OnPartial, Phase, jobs

pytestmark = pytest.mark.slow


def test_no_job_outlives_the_server() -> None:
    never = asyncio.Event()

    async def call(_: OnPartial) -> None:
        await never.wait()

    async def serve() -> None:
        async with app.lifespan(app.app):
            job = jobs.join("outlive", call, tries=3, wait=1)
            assert job.news.phase is not Phase.ENDED
        assert job.news.outcome == CANCELLED

    asyncio.run(serve())


def refused_start(name: str, value: str) -> subprocess.CompletedProcess[str]:
    """Return how the start ends that a setting must end, as an error."""
    clean = {key: one for key, one in os.environ.items() if key not in SETTINGS}
    ended = subprocess.run(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"],
        cwd=ROOT,
        env=clean | {name: value, "STREAMLIT_SERVER_PORT": "0"},
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert ended.returncode == 2
    return ended


@pytest.mark.parametrize(
    ("name", "value"),
    [("IMAGE_CONCURRENCY", "0"), ("OPENAI_BASE_URL", "api.example.com"), ("IMAGE_STREAM", "yes")],
)
def test_an_impossible_setting_ends_the_start_with_one_sentence(name: str, value: str) -> None:
    ended = refused_start(name, value)
    # Streamlit's own welcome, which comes first, goes to the standard output.
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith(f"{name} should ")
    assert sentence.endswith("Change it and start again.")
    assert "Traceback" not in ended.stdout


@pytest.mark.parametrize(
    "secrets", [b"LIMIT_ALL_DOLLARS_DAY = 5,00\n", b"[auth\n", "[auth]\n".encode("utf-16"), None]
)
def test_secrets_that_cannot_be_read_end_the_start(tmp_path: Path, secrets: bytes | None) -> None:
    # It would start without the login, the limits and the key that are in it.
    file = tmp_path / "secrets.toml"
    if secrets is None:
        # As Docker mounts a file that is not there.
        file.mkdir()
    else:
        file.write_bytes(secrets)
    ended = refused_start("STREAMLIT_SECRETS_FILES", str(file))
    assert ended.stderr.splitlines()[-1] == (
        "secrets.toml should be a file of TOML, in UTF-8, that the server may read. "
        "Mend it and start again."
    )
    assert "Traceback" not in ended.stderr


def test_a_setting_in_a_section_of_the_secrets_ends_the_start(tmp_path: Path) -> None:
    # It would start without the limit.
    file = tmp_path / "secrets.toml"
    file.write_text("[auth]\nLIMIT_ALL_DOLLARS_DAY = 20\n")
    (sentence,) = refused_start("STREAMLIT_SECRETS_FILES", str(file)).stderr.splitlines()
    assert sentence.startswith("LIMIT_ALL_DOLLARS_DAY should be a number, or text in quotes, above")
    assert sentence.endswith(" Change it and start again.")


# As many as a Mac gives; then what the start of a page and that of a worker have in common.
START_WITH_FEW_FILES = """
import contextlib, resource, runpy, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
with contextlib.suppress(SystemExit):
    runpy.run_path("app.py", run_name=sys.argv[1])
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize("name", ["app", "__main__"])
def test_a_server_and_a_worker_take_as_many_open_files_as_they_may(name: str) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    ended = subprocess.run(
        [sys.executable, "-c", START_WITH_FEW_FILES, name],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = descriptors.ENOUGH if hard == resource.RLIM_INFINITY else hard
    assert int(ended.stdout) == most


def test_a_system_that_gives_no_more_open_files_ends_no_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    asked: list[tuple[int, int]] = []

    def refuse(_: int, limits: tuple[int, int]) -> None:
        asked.append(limits)
        raise ValueError("not allowed to raise maximum limit")

    none = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, none))
    descriptors.raise_limit()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (none, none))
    descriptors.raise_limit()
    assert asked == [(descriptors.ENOUGH, none)]


def test_below_a_path_what_is_ours_is_found_there_too(page: Page, tmp_path: Path) -> None:
    with run_app(tmp_path / "log", STREAMLIT_SERVER_BASE_URL_PATH="a/b") as running:
        below = f"{running.address}/a/b"
        assert httpx2.get(f"{below}/health").text == httpx2.get(f"{running.address}/health").text
        script = scripts.script_tag("keys.js").split('"')[3]
        assert httpx2.get(f"{below}/{script}").headers["content-type"].startswith("text/javascript")
        assert httpx2.get(f"{below}/app/static/pictures/none").status_code == 404
        assert httpx2.get(f"{below}/app/static/archives/none").status_code == 404
        page.goto(below)
        generate(page, "a fox")
        expect(button(page, "Approve")).to_be_visible(timeout=LONG)
        page.wait_for_function("document.querySelector('figure.picture img')?.naturalWidth > 0")


def test_what_compresses_is_sent_compressed_and_no_picture(demo_app: RunningApp) -> None:
    client = httpx2.Client(base_url=demo_app.address, headers={"Accept-Encoding": "gzip"})
    with client:
        page = client.get("/")
        script = client.get(re.findall(r'src="\./(static/js/[^"]+)"', page.text)[0])
        font = client.get(re.findall(r'/?(static/media/[^"]+?\.woff2)', page.text)[0])
    assert [one.headers.get("content-encoding") for one in (page, script)] == ["gzip", "gzip"]
    assert script.num_bytes_downloaded < 0.5 * len(script.content)
    assert font.headers.get("content-encoding") is None


@pytest.mark.parametrize("path", ["/", "/health", "/app/static/pictures/none", "/static/none.js"])
def test_no_other_site_can_put_the_page_into_its_own(demo_app: RunningApp, path: str) -> None:
    headers = httpx2.get(f"{demo_app.address}{path}").headers
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
