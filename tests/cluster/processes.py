"""Several servers that share a store, behind a real proxy: each a process that can be killed."""

import hashlib
import hmac
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.caddy import find_caddy
from tests.conftest import ROOT, RunningApp, run_app
from tests.ports import free_port
from tests.valkey import Valkey, run_valkey

LEASE_SECONDS, SHUTDOWN_SECONDS = 6, 8
# How a server ends that was asked to: uvicorn passes the signal on when its work is done.
STOPPED = (0, -signal.SIGTERM)
# What a call to the Images API says of the process that makes it: the SDK puts it into a header.
NAME, NAME_HEADER = "OPENAI_ORG_ID", "openai-organization"
# The cookie by which the proxy knows whose replica it is.
STICKY = "replica"


@dataclass
class Replica:
    """One server, at an address that stays the same when it is started again."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    app: RunningApp = field(init=False)
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start it, and wait until it serves."""
        port = {"STREAMLIT_SERVER_PORT": str(self.port), NAME: self.name}
        log = self.folder / f"{self.name}-{time.time_ns()}.log"
        self.app = self._running.enter_context(run_app(log, **self.environment, **port))

    @property
    def place(self) -> str:
        """Where the proxy finds it."""
        return f"127.0.0.1:{self.port}"

    @property
    def cookie(self) -> str:
        """What the proxy's cookie says of it."""
        return hmac.new(b"", self.place.encode(), hashlib.sha256).hexdigest()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.app.process.kill()
        self.app.process.wait()

    def ask_to_stop(self) -> None:
        """Ask it to stop, as a rolling update does."""
        self.app.process.terminate()

    def wait_until_it_rests(self) -> None:
        """Wait until it has heard that it is to stop."""
        until = time.monotonic() + SHUTDOWN_SECONDS
        while "told to stop" not in self.app.log.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)

    def pause(self) -> None:
        """Let it do nothing, as on a machine that has no time for it."""
        self.app.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.app.process.poll() is None:
            self.app.process.send_signal(signal.SIGCONT)

    def status(self, path: str) -> int:
        """Return what it answers to a request of the proxy's kind."""
        try:
            with urllib.request.urlopen(f"{self.app.address}{path}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code

    def close(self) -> None:
        """Stop it, whatever has become of it, if it has ever started."""
        with suppress(AttributeError):
            self.resume()
        self._running.close()


class ApartWorker:
    """A process that makes calls and has no page."""

    COMMAND = ("app.py",)

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}-{time.time_ns()}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *self.COMMAND],
                cwd=ROOT,
                env={**os.environ, **environment, NAME: name},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Let it do nothing."""
        self.process.send_signal(signal.SIGSTOP)


@dataclass
class Cluster:
    """A store, replicas and a proxy; `front` is what a person sees of them."""

    store: Valkey
    replicas: list[Replica]
    front: RunningApp
    folder: Path
    environment: Mapping[str, str]
    workers: list[ApartWorker] = field(default_factory=list)

    def replica(self, name: str) -> Replica:
        """Return the replica of this name."""
        return next(one for one in self.replicas if one.name == name)

    def others(self, name: str) -> list[Replica]:
        """Return the replicas but this one."""
        return [one for one in self.replicas if one.name != name]

    def start_worker(self) -> ApartWorker:
        """Start a worker apart."""
        worker = ApartWorker(f"worker{len(self.workers)}", self.folder, self.environment)
        self.workers.append(worker)
        return worker

    def wait_until_healthy(self) -> None:
        """Wait until every replica would serve a click."""
        until = time.monotonic() + 30
        while any(one.status("/health") != 200 for one in self.replicas):
            assert time.monotonic() < until
            time.sleep(0.1)

    def ask_to_stop(self) -> None:
        """Ask all servers at once, because each waits for its calls in flight."""
        for worker in self.workers:
            worker.kill()
        for replica in self.replicas:
            replica.resume()
            replica.ask_to_stop()


@contextmanager
def run_cluster(folder: Path, replicas: int, **environment: str) -> Iterator[Cluster]:
    """Start a store, so many replicas and the proxy before them, and stop them in the end."""
    with ExitStack() as stack:
        store = stack.enter_context(run_valkey(folder / "store"))
        shared = store.environment | {
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS),
            **environment,
        }
        servers = [Replica(f"app{number}", folder, shared) for number in range(replicas)]
        for server in servers:
            stack.callback(server.close)
        # Together: most of a start is waiting for the disk.
        with ThreadPoolExecutor() as pool:
            starts = [pool.submit(server.start) for server in servers]
        for start in starts:
            start.result()
        front = stack.enter_context(run_proxy(folder, servers))
        cluster = Cluster(store, servers, front, folder, shared)
        stack.callback(cluster.ask_to_stop)
        # What a test has left dead: a server that stops says so to its store.
        stack.callback(revive, store)
        yield cluster


def revive(store: Valkey) -> None:
    """Let the store serve again, if a test has killed it or holds it up."""
    if store.process.poll() is None:
        store.resume()
    else:
        store.start()


@contextmanager
def run_proxy(folder: Path, replicas: list[Replica]) -> Iterator[RunningApp]:
    """Start Caddy by the very file that is deployed, on plain HTTP."""
    caddy = find_caddy()
    assert caddy, "There is no Caddy: `make test-cluster` installs it."
    address = f"http://127.0.0.1:{free_port()}"
    environment = {
        "SITE": address,
        "UPSTREAMS": " ".join(one.place for one in replicas),
        # Where it keeps what it knows: nothing of it is to outlive the test.
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    log, began = folder / "caddy.log", time.time()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [caddy, "run", "--config", ROOT / "deploy" / "Caddyfile", "--adapter", "caddyfile"],
            env={**os.environ, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_served(f"{address}/_stcore/health", process, log)
        yield RunningApp(address, process, log, began)
    finally:
        process.kill()
        process.wait()


def wait_until_served(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until an address answers with what is no error."""
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"Nothing serves {address}:\n{log.read_text()}")
