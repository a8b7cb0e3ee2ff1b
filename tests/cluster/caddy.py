"""Find a Caddy, or install one: the system's if it is there, else apt's."""

import os
import shutil
import sys

from tests.browser import run


def find_caddy() -> str | None:
    """Return the path of the proxy's program, if there is one."""
    return shutil.which("caddy")


def install() -> None:
    """Install the system's package, which brings a service along that is not to run."""
    apt = [*([] if os.geteuid() == 0 else ["sudo"]), "apt-get"]
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "caddy"]):
        run([*apt, *words])
    run([*apt[:-1], "systemctl", "disable", "--now", "caddy"])
    if not find_caddy():
        sys.exit("No Caddy could be installed: install one and try again.")


if __name__ == "__main__" and not find_caddy():
    install()
