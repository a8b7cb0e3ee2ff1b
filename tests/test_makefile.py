"""The set-up by `make`, on machines with one Python or another."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import browser
from tests.conftest import ROOT

# Says whether it is new enough, and makes an environment that says who made it.
FAKE = """#!/bin/sh
case $1 in
-c) exit {status} ;;
-m) mkdir -p .venv/bin; echo {name} > .venv/maker; ln -s "$0" .venv/bin/pip ;;
esac
"""
NEW, OLD, BROKEN = 0, 1, 127


def make_run_ready(folder: Path, pythons: dict[str, int]) -> subprocess.CompletedProcess[str]:
    """Set up what `make run` needs, where these are the only Pythons."""
    tools = folder / "tools"
    tools.mkdir()
    for tool in ("make", "sh", "id", "mkdir", "ln", "touch"):
        path = shutil.which(tool)
        assert path
        (tools / tool).symlink_to(path)
    for name, status in pythons.items():
        (tools / name).write_text(FAKE.format(name=name, status=status))
        (tools / name).chmod(0o755)
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        ["make", ".venv/run.ready"],
        cwd=folder,
        # Not what a `make` that runs this test hands down, such as PYTHON.
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"python3": NEW}, "python3"),
        ({"python3": OLD, "python3.11": NEW}, "python3.11"),
        ({"python3": OLD, "python3.11": NEW, "python3.13": NEW}, "python3.13"),
        ({"python3": OLD, "python3.12": NEW, "python3.14": BROKEN}, "python3.12"),
    ],
)
def test_the_newest_python_that_runs_is_taken(
    tmp_path: Path, pythons: dict[str, int], taken: str
) -> None:
    ran = make_run_ready(tmp_path, pythons)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / ".venv/maker").read_text().strip() == taken


@pytest.mark.parametrize("pythons", [{}, {"python3": OLD}])
def test_without_one_a_sentence_says_what_is_needed(
    tmp_path: Path, pythons: dict[str, int]
) -> None:
    ran = make_run_ready(tmp_path, pythons)
    assert ran.returncode != 0
    assert ran.stderr.startswith("This needs Python 3.11 or newer: install it, or say which")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("small", [False, True])
def test_what_playwright_needs_of_a_small_system_is_installed_before_the_browser(
    monkeypatch: pytest.MonkeyPatch, *, small: bool
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str]) -> bool:
        ran.append(command)
        return not (small and "--version" in command)

    monkeypatch.setattr(browser, "run", run)
    monkeypatch.setattr(browser, "starts", lambda: True)
    browser.install()
    assert [command[-1] for command in ran] == [
        "--version",
        *["update", "libatomic1"] * small,
        "chromium",
    ]


def test_the_check_runs_all_tests_and_the_test_those_that_are_soon_over() -> None:
    def told(target: str) -> str:
        command = ["make", "--dry-run", "--always-make", f"PYTHON={sys.executable}", target]
        # Not what a `make` that runs this test hands down, such as CHOICE.
        env = {"PATH": os.environ["PATH"]}
        lines = subprocess.check_output(command, cwd=ROOT, env=env, text=True)
        (tests,) = [line for line in lines.splitlines() if "-m pytest" in line]
        return tests

    assert '-m "promise or not (browser or slow)"' in told("test")
    assert told("test") in told("test-busy")
    assert "--cov" in told("check")
    assert "promise" not in told("check")
