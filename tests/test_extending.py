"""The steps of docs/extending.md, taken one by one on a copy of the project."""

import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.conftest import ROOT, run_app
from tests.studio import button, expect_screen, generate, open_app

PAGE = (ROOT / "docs/extending.md").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the app needs, and of what its documents are held against."""
    copy = tmp_path / "project"
    copy.mkdir()
    for name in (
        "app.py",
        "nodes.py",
        "flow.py",
        "pyproject.toml",
        "Makefile",
        "LICENSE",
        "requirements.txt",
    ):
        shutil.copy(ROOT / name, copy)
    for name in ("utils", "assets", "docs", "tests", ".streamlit", ".github"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for document in ROOT.glob("*.md"):
        shutil.copy(document, copy)
    return copy


def follow(heading: str, project: Path) -> None:
    """Take each step under `heading`; the text before it names the file."""
    section = PAGE.split(f"\n## {heading}")[1].split("\n## ")[0]
    *steps, _ = re.split(r"(?<=\n```\n)", section)
    name = ""
    for step in steps:
        text, diff = step.split("```diff\n")
        name = (re.findall(r"`([\w/]+\.(?:py|md))`", text) or [name])[-1]
        change(project / name, diff.removesuffix("```\n").splitlines())


def change(file: Path, diff: list[str]) -> None:
    """Put the new lines in the place of the old ones, or at the end where there are no old ones."""
    before = "".join(f"{line[1:]}\n" for line in diff if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in diff if line[0] in " +")
    text = file.read_text() if file.exists() else ""
    if before:
        assert text.count(before) == 1, f"{before!r} is in {file.name} {text.count(before)} times"
    file.write_text(text.replace(before, after) if before else text + after)


def check(project: Path) -> None:
    """Run what a pull request must pass, as far as it takes seconds."""
    for command in (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "--cache-dir", str(ROOT / ".mypy_cache"), "app.py"],
        ["pytest", "-q", "tests/test_docs.py"],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_step_after_approval_is_added_as_the_page_says(
    page: Page, project: Path, tmp_path: Path
) -> None:
    follow("Add a step", project)
    check(project)
    with run_app(tmp_path / "log", folder=project) as app:
        open_app(page, app)
        generate(page, "a lighthouse")
        button(page, "Approve").click()
        expect_screen(page, "3. Final Result")
        with page.expect_download() as download:
            button(page, "Download 2x").click()
        enlarged = Image.open(BytesIO(Path(download.value.path()).read_bytes()))
        assert enlarged.size == (2048, 2048)
        page.reload()
        expect(button(page, "Download 2x")).to_be_visible()


def test_an_engine_is_added_as_the_page_says(page: Page, project: Path, tmp_path: Path) -> None:
    follow("Add an engine", project)
    check(project)
    with run_app(tmp_path / "log", folder=project) as app:
        open_app(page, app)
        expect(page.get_by_text("Swatch engine")).to_be_visible()
        generate(page, "teal")
        expect_screen(page, "2. Review Generated Image")
        with page.expect_download() as download:
            button(page, "Download PNG").click()
        colours = Image.open(BytesIO(Path(download.value.path()).read_bytes())).getcolors()
        assert colours is not None
        assert len(colours) == 1
