"""The steps of docs/extending.md, taken one by one on a copy of the project."""

import fcntl
import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import ROOT, run_app
from tests.images_server import ImagesServer, json_answer
from tests.studio import (
    LONG,
    button,
    choose,
    expect_listening,
    expect_screen,
    expect_selected,
    expect_settled,
    facts,
    generate,
    open_app,
    picture_of,
    prompt_box,
)

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
        "requirements-shared.txt",
    ):
        shutil.copy(ROOT / name, copy)
    for name in ("screens", "utils", "assets", "docs", "tests", "deploy", ".streamlit", ".github"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for document in ROOT.glob("*.md"):
        shutil.copy(document, copy)
    return copy


def follow(heading: str, project: Path) -> None:
    """Take each step under `heading`; the text before it names the file.

    A diff changes a file, and a block of Python is a whole one.
    """
    section = PAGE.split(f"\n## {heading}")[1].split("\n## ")[0]
    name = ""
    for text, language, block in re.findall(
        r"(.*?)```(diff|python)\n(.*?)```\n", section, re.DOTALL
    ):
        name = (re.findall(r"`([\w/]+\.(?:py|md))`", text) or [name])[-1]
        if language == "python":
            (project / name).parent.mkdir(exist_ok=True)
            (project / name).write_text(block)
        else:
            change(project / name, block.splitlines())


def change(file: Path, diff: list[str]) -> None:
    """Put the new lines in the place of the old ones."""
    before = "".join(f"{line[1:]}\n" for line in diff if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in diff if not line.startswith("-"))
    text = file.read_text()
    assert text.count(before) == 1, f"{before!r} is in {file.name} {text.count(before)} times"
    file.write_text(text.replace(before, after))


def check(project: Path) -> None:
    """Run what a pull request must pass, as far as it takes seconds."""
    run(["ruff", "check", "."], project)
    run(["ruff", "format", "--check", "."], project)
    cache = ROOT / ".mypy_cache"
    cache.mkdir(exist_ok=True)
    # Two that fill an empty cache at once both look through all libraries, for most of a minute.
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(["mypy", "--cache-dir", str(cache), "app.py"], project)
    run(["pytest", "-q", "tests/test_docs.py"], project)


def run(module: list[str], project: Path) -> None:
    """Run a module with its arguments; it must find nothing."""
    ran = subprocess.run(
        [sys.executable, "-m", *module], cwd=project, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_text_engine_takes_the_place_of_pictures_and_every_guarantee_holds(
    page: Page, project: Path, tmp_path: Path
) -> None:
    follow("A text engine", project)
    for file in (ROOT / "flow.py", *ROOT.glob("utils/jobs/*.py"), *ROOT.glob("utils/review/*.py")):
        assert filecmp.cmp(file, project / file.relative_to(ROOT), shallow=False)
    check(project)
    with run_app(tmp_path / "log", folder=project) as app:
        open_app(page, app)
        prompt_box(page).fill("**a fox**")
        button(page, "Generate Image").dblclick()
        draft = re.compile(r"^It begins with \*\*a fox\*\*\.( Nobody .* \*\*a fox\*\*\.)?$")
        expect(page.get_by_text(draft)).to_be_visible()
        page.reload()
        expect_screen(page, "2. Review Generated Image")
        expect_settled(page)
        expect(page.get_by_text("And yet, here is **a fox**.")).to_be_visible()
        expect(page.get_by_role("radio")).to_have_count(1)
        button(page, "Regenerate").click()
        button(page, "Cancel").click()
        expect(page.get_by_text("Cancelled")).to_be_visible()
        expect(page.get_by_text("still be billed")).to_be_hidden()
        choose(page, "Tone", "loud")
        button(page, "Regenerate").click()
        expect(page.get_by_role("radio")).to_have_count(2)
        expect(page.get_by_text("AND YET, HERE IS **A FOX**.")).to_be_visible()
        page.get_by_role("tab", name="Change this picture").click()
        page.get_by_role("textbox", name="What should be different").fill("in the snow " * 120)
        button(page, "Change picture").click()
        expect(page.get_by_role("radio")).to_have_count(3)
        long = page.get_by_text("IT BEGINS WITH **A FOX**. IN THE SNOW")
        expect(long).to_be_visible()
        # Longer than the canvas, it is read from its beginning.
        box = long.bounding_box()
        assert box
        assert box["y"] >= 0
        button(page, "Approve").click()
        expect_screen(page, "3. Final Result")
        with page.expect_download() as download:
            button(page, "Download TXT").click()
        assert "HERE IS **A FOX**. IN THE SNOW" in Path(download.value.path()).read_text()
        button(page, "Back to review").click()
        expect_screen(page, "2. Review Generated Image")
        expect(page.get_by_role("combobox", name="Tone")).to_have_value("loud")
        button(page, "Start Over").click()
        expect_screen(page, "1. Generate Image")
        # Which is which is seen before one is reopened.
        recent = page.locator(".st-key-recent")
        expect(recent.get_by_text("It begins with **a fox**")).to_have_count(3)
    calls = re.findall(r"call .* model=typewriter-1 .* outcome=(\w+)", app.log.read_text())
    assert calls.count("made") == 3


def test_a_library_that_blocks_keeps_nobody_waiting_whose_calls_were_cancelled(
    page: Page, project: Path, tmp_path: Path
) -> None:
    follow("A text engine", project)
    follow("A library that blocks", project)
    check(project)
    slow = project / "utils/texts/__init__.py"
    text = slow.read_text()
    assert text.count("time.sleep(1)") == 1
    # The cancelled ones go on for as long as this test.
    slow.write_text(text.replace("time.sleep(1)", 'time.sleep(9 if "slow" in about else 0.1)'))
    with run_app(tmp_path / "log", folder=project) as app:
        open_app(page, app)
        for _ in range(6):
            generate(page, "a slow fox")
            button(page, "Cancel").click()
            expect(page.get_by_text("Cancelled")).to_be_visible()
            expect_settled(page)
        generate(page, "a fox")
        expect_screen(page, "2. Review Generated Image")
        expect(page.get_by_text("And yet, here is a fox.")).to_be_visible()
    calls = re.findall(r"call .* outcome=(\w+)", app.log.read_text())
    assert calls == ["cancelled"] * 6 + ["made"]


def test_a_second_person_signs_or_declines_while_others_pictures_go_on(
    browser: Browser, project: Path, tmp_path: Path
) -> None:
    follow("A sign-off by a second person", project)
    subprocess.run([sys.executable, "-m", "tests.diagram"], cwd=project, check=True)
    check(project)
    with run_app(tmp_path / "log", folder=project, IMAGE_CONCURRENCY="1") as app:
        author, other, second = (browser.new_page() for _ in range(3))
        open_app(author, app)
        generate(author, "a lighthouse")
        expect_screen(author, "2. Review Generated Image")
        first = str(picture_of(author).get_attribute("data-attempt"))
        button(author, "Approve").click()
        expect_screen(author, "3. Waiting for a Signature")
        open_app(other, app)
        generate(other, "a city")
        expect_screen(other, "2. Review Generated Image")
        author.reload()
        expect(author.get_by_text("Waiting for an answer")).to_be_visible()
        open_app(second, app)
        button(second, "Decline").click()
        expect_screen(author, "2. Review Generated Image")
        expect_settled(author)
        button(author, "Approve").click()
        expect_screen(author, "3. Waiting for a Signature")
        expect(author.get_by_text("Waiting for an answer")).to_be_visible()
        button(author, "Cancel").click()
        # What was cancelled is declined, and nothing of it can have been billed.
        expect_screen(author, "2. Review Generated Image")
        expect_settled(author)
        expect(author.get_by_role("alert")).to_have_count(0)
        button(author, "Regenerate").click()
        expect(facts(author)).to_contain_text("Picture 2 ·", timeout=LONG)
        expect_settled(author)
        button(author, "Approve").click()
        expect_screen(author, "3. Waiting for a Signature")
        button(author, "Back to review").click()
        expect_screen(author, "2. Review Generated Image")
        # The run does not end while somebody is waited for; the strip comes after the heading.
        expect(author.get_by_role("radio")).to_have_count(2)
        expect_listening(author)
        author.keyboard.press("1")
        expect_selected(author, 1)
        # Only what was approved last is to be signed.
        button(author, "Approve").dblclick()
        expect_screen(author, "3. Waiting for a Signature")
        second.reload()
        expect(button(second, "Sign")).to_have_count(1)
        button(second, "Sign").click()
        expect_screen(author, "4. Final Result")
        expect(picture_of(author)).to_have_attribute("data-attempt", first)
        expect(button(author, "Download PNG")).to_be_visible()


def test_one_more_setting_takes_two_places(
    page: Page, project: Path, tmp_path: Path, images_server: ImagesServer
) -> None:
    follow("One more setting", project)
    check(project)
    refusal = {"message": "Unknown parameter.", "param": "moderation", "type": "invalid_request"}
    images_server.script(json_answer({"error": refusal}, 400))
    with run_app(tmp_path / "log", folder=project, **images_server.environment) as app:
        open_app(page, app)
        choose(page, "Moderation", "low")
        generate(page, "a fox")
        expect_screen(page, "2. Review Generated Image")
        expect(page.get_by_text("would not take the moderation")).to_be_visible()
    first, second = images_server.calls
    assert first.wish["moderation"] == "low"
    assert "moderation" not in second.wish
