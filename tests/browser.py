"""The browser of the tests: the system's Chromium if there, else Playwright's own, else apt's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The last ones keep the browser from asking the network for anything by itself.
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find_system_browser() -> str | None:
    """Return the path of a Chromium that the system has."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def has_playwright_browser() -> bool:
    """Return whether Playwright has downloaded its own Chromium."""
    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path).exists()


def install() -> None:
    """Install a browser by the first way that works."""
    ways = [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]]
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    ways.append([*as_root, "apt-get", "update"])
    ways.append([*as_root, "apt-get", "install", "--yes", "chromium"])
    for way in ways:
        subprocess.run(way, check=False)
        if find_system_browser() or has_playwright_browser():
            return
    sys.exit("No Chromium could be installed: install one and try again.")


if __name__ == "__main__" and not (find_system_browser() or has_playwright_browser()):
    install()
