"""Measure how many people one, two and three servers bear, side by side: `make bench-cluster`."""

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx2

from tests.bench import server
from tests.bench.__main__ import DOCUMENT, FIXED, QUIET, SHORT
from tests.bench.report import in_seconds, machine, percentile, write
from tests.bench.world import BenchServer, cpu_seconds
from tests.cluster.processes import STICKY, Cluster, run_cluster

BEGIN = "<!-- made by `make bench-cluster`, from here -->"
END = "<!-- the cluster ends here -->"
# Three times the people make three times the calls: sessions, and calls in flight at once.
CROWDS = ((200, 8), (600, 24))
# Servers, and whether they share a store; one alone needs none.
CLUSTERS = ((1, False), (1, True), (2, True), (3, True))
HEAD = (
    "servers",
    "sessions",
    "calls at once",
    "lag, median",
    "95th percentile",
    "not in time",
    "cores of the servers",
    "of the whole machine",
)


@dataclass(frozen=True)
class Figures:
    """What one cluster did for one crowd."""

    servers: str
    sessions: int
    calls: int
    lags: list[float]
    cores: float
    busy: float

    def in_markdown(self) -> str:
        """Return a row of the table."""
        cells = (
            self.servers,
            self.sessions,
            self.calls,
            in_seconds(median(self.lags)) if self.lags else "-",
            in_seconds(percentile(self.lags, 0.95)) if self.lags else "-",
            self.sessions - len(self.lags),
            f"{self.cores:.2f}",
            f"{self.busy:.2f} of {os.cpu_count()}",
        )
        return f"| {' | '.join(str(cell) for cell in cells)} |"


def measure(
    api: BenchServer, folder: Path, servers: int, crowd: tuple[int, int], *, shares: bool
) -> Figures:
    """Have a crowd of people click within a second, each at a server of their own."""
    sessions, calls = crowd
    environment = {
        **api.environment,
        **QUIET,
        "IMAGE_CONCURRENCY": str(calls),
        "SHUTDOWN_SECONDS": "0",
        # That of the tests calls a worker dead that only has no time.
        "LEASE_SECONDS": "20",
    }
    if not shares:
        environment["STORE_URL"] = ""
    with run_cluster(folder, servers, **environment) as cluster:
        api.latency, api.spread = SHORT, 0.0
        asyncio.run(lags(api, cluster, f"{folder.name} warm-up", 2 * servers))
        api.latency, api.spread = FIXED, FIXED / 3
        began, cpu, busy = time.monotonic(), cpu_of(cluster), busy_seconds()
        name = f"{folder.name} of {sessions}"
        measured = asyncio.run(lags(api, cluster, name, sessions))
        seconds = time.monotonic() - began
        return Figures(
            f"{servers}{'' if shares else ', without a store'}",
            sessions,
            calls,
            measured,
            (cpu_of(cluster) - cpu) / seconds,
            (busy_seconds() - busy) / seconds,
        )


async def lags(api: BenchServer, cluster: Cluster, name: str, sessions: int) -> list[float]:
    """Return how many seconds the pages of so many browsers lag, evenly over the servers."""
    cookies = []
    async with httpx2.AsyncClient() as client:
        for number in range(sessions):
            replica = cluster.replicas[number % len(cluster.replicas)]
            sticky = f"{STICKY}={replica.cookie}"
            client.cookies.clear()
            answer = await client.get(cluster.front.address, headers={"Cookie": sticky})
            own = [f"{name}={value}" for name, value in answer.cookies.items()]
            cookies.append("; ".join([sticky, *own]))
    return await server.lags(cluster.front, api, name, sessions, cookies)


def cpu_of(cluster: Cluster) -> float:
    """Return the processor time that all servers have used so far."""
    return sum(cpu_seconds(replica.app.process.pid) for replica in cluster.replicas)


def busy_seconds() -> float:
    """Return the processor time that everybody on this machine has used so far."""
    fields = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure all clusters with all crowds, and write the table."""
    began = time.monotonic()
    rows: list[Figures] = []
    with TemporaryDirectory() as folder, BenchServer() as api:
        for crowd in CROWDS:
            for number, (servers, shares) in enumerate(CLUSTERS):
                place = Path(folder) / f"{number}-{crowd[0]}"
                place.mkdir()
                rows.append(measure(api, place, servers, crowd, shares=shares))
                print(rows[-1].in_markdown(), flush=True)
    head = [f"| {' | '.join(HEAD)} |", "| --- " * len(HEAD) + "|"]
    made = "\n".join([machine(), "", *head, *[row.in_markdown() for row in rows]])
    write(DOCUMENT, made, BEGIN, END)
    print(f"\n{made}\n\nTook {time.monotonic() - began:.0f} s.")
    if any(len(row.lags) < row.sessions for row in rows):
        sys.exit("Pictures were lost or wrong, or came too late.")


if __name__ == "__main__":
    main()
