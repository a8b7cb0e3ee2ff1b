"""The browser of the tests: the system's Chromium if there, else Playwright's own, else apt's.

Its windowless build comes first: it paints and answers like the other, and opens a page with four
fifths of the work.
"""

import os
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

WINDOWLESS = "chromium-headless-shell"
NAMES = (WINDOWLESS, "chromium", "chromium-browser", "google-chrome")
# One process for all pages of a site has the page's code in it already when the next page opens.
# The last ones keep the browser from asking the network for anything by itself.
ARGS = [
    "--no-sandbox",
    "--process-per-site",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find_system_browser() -> str | None:
    """Return the path of a Chromium that the system has, and that is no mere advice to get one."""
    for name in NAMES:
        path = shutil.which(name)
        if path and subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


def starts() -> bool:
    """Return whether there is a browser, with all that it and Playwright need."""
    try:
        with sync_playwright() as playwright:
            playwright.chromium.launch(executable_path=find_system_browser(), args=ARGS).close()
    except Exception:
        # A bare one where Playwright's own program does not start.
        return False
    return True


def install() -> None:
    """Download Playwright's own Chromium or, where that fails, install the system's."""
    playwright = [sys.executable, "-m", "playwright"]
    apt = [*([] if os.geteuid() == 0 else ["sudo"]), "apt-get"]
    get = [*apt, "install", "--yes", "--no-install-recommends", "fonts-liberation"]
    if not run([*playwright, "--version"]):
        # Playwright's own Node.js needs a library that a small system lacks.
        run([*apt, "update"])
        run([*get, "libatomic1"])
    if run([*playwright, "install", "--only-shell", "chromium"]):
        # By itself this leaves out what the packages recommend.
        if not starts():
            run([*playwright, "install-deps", "chromium"])
    else:
        run([*apt, "update"])
        run([*get, WINDOWLESS]) or run([*get, "chromium"])
    if not starts():
        sys.exit("No Chromium could be installed: install one and try again.")


def run(command: list[str]) -> bool:
    """Run a command that may fail, or may not be there; return whether it has done its work."""
    try:
        return subprocess.run(command, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__" and not starts():
    install()
