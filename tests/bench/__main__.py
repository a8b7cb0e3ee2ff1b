"""Measure the app against its yardsticks, and write the table: `make bench`."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from tests.bench import pages, server
from tests.bench.report import Row, in_seconds, percentile, ratio, table, write
from tests.bench.world import BenchServer, picture_bytes
from tests.browser import ARGS, find_system_browser
from tests.conftest import ROOT, RunningApp, run_app
from utils.review.choosing import MAX_ATTEMPTS

DOCUMENT = ROOT / "docs" / "benchmarks.md"
APP, BARE_PAGE, SAME_ELEMENTS = "app.py", "bare_page.py", "same_elements.py"
PLAIN_PAGE, CHECKING_PAGE = ".bench.plain_page", ".bench.checking_page"
# Each starts in a folder of its own, so the bare page has Streamlit's own settings.
PAGES = ROOT / "tests" / "bench"
FOLDERS = {APP: ROOT, BARE_PAGE: PAGES, SAME_ELEMENTS: PAGES}
# What is in the addresses of original pictures; the bare page shows none.
ORIGINALS = {
    APP: r"/pictures/[^/]+$",
    BARE_PAGE: "",
    PLAIN_PAGE: "/picture/",
    CHECKING_PAGE: "/picture/",
}
# Without these it would ask the network, and a person for an address.
QUIET = {
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "STREAMLIT_SERVER_SHOW_EMAIL_PROMPT": "false",
}
SHORT, FIXED, LONG = 0.1, 2.0, 6.0


class Bench:
    """The measurements, each of which returns rows of the table."""

    def __init__(self, api: BenchServer, folder: Path) -> None:
        self.api = api
        self.folder = folder

    @contextmanager
    def run(self, script: str = APP) -> Iterator[RunningApp]:
        """A page in a process that nobody has used."""
        environment = self.api.environment | QUIET
        with run_app(self.folder / script, script, FOLDERS.get(script, ROOT), **environment) as app:
            yield app

    def start(self, browser: Browser, repetitions: int = 5) -> list[Row]:
        """From the command to a page that can be used; and the first load in another browser."""
        starts: dict[str, list[float]] = {script: [] for script in FOLDERS}
        loads: dict[str, list[float]] = {script: [] for script in FOLDERS}
        for _ in range(repetitions):
            for script in FOLDERS:
                with self.run(script) as app:
                    with pages.new_page(browser) as page:
                        starts[script].append(pages.load(page, app)[1] - app.began)
                    for _ in range(2):
                        with pages.new_page(browser) as page:
                            began, usable = pages.load(page, app)
                            loads[script].append(usable - began)
        rows = []
        for what, times in (
            ("start: `streamlit run` to a usable page", starts),
            ("first load in a browser", loads),
        ):
            ours, bare, same = (median(times[script]) for script in FOLDERS)
            # Each kind of element brings code that the browser must load before it shows any.
            reason = ratio("the same, by its elements", ours, same, 1.1, "a page of the same kinds")
            rows.append(replace(ratio(what, ours, bare, 1.1, "the bare page"), reason=reason))
        return rows

    def wait(self, browser: Browser, repetitions: int = 11) -> list[Row]:
        """One wait after another, on each page in turn, each in a browser that knows nothing."""
        waits, approvals = self._waits(browser, repetitions)
        ours, bare, plain = waits[APP], waits[BARE_PAGE], waits[PLAIN_PAGE]
        cpu = sum(one.cpu for one in ours) / repetitions
        script = server.cpu_of_script(self.api, repetitions)
        checking = server.cpu_of_script(self.api, repetitions, "check")
        work = "our own work for a picture: CPU beyond the script's"
        unchecked_work = ratio(work, cpu - script, script, 1.5, "a script with the SDK")
        beyond = "the same, beyond one that checks what comes"
        checked_work = ratio(beyond, cpu - checking, checking, 0.75, "a script that checks too")
        what = "lag: picture sent to picture and decision on screen"
        unchecked = ratio("the same", lag(ours), lag(plain), 2.0, "a page without a framework")
        # Nothing is shown that has not been decoded, and nothing large.
        checked = ratio(
            "the same, of what is checked first",
            lag(ours),
            lag(waits[CHECKING_PAGE]),
            2.0,
            "a page without a framework that checks too",
        )
        return [
            ratio(what, lag(ours), lag(bare), 0.75, "the bare page"),
            replace(unchecked, reason=checked),
            first_draft(ours, "first picture: share of the wait", 40),
            Row(
                "websocket bytes of Approve, both ways",
                f"{max(approvals)} bytes",
                "",
                max(approvals) / 1000,
                5,
                "kB",
            ),
            replace(unchecked_work, reason=checked_work),
        ]

    def slow_line(self, browser: Browser, repetitions: int = 5) -> list[Row]:
        """The same on a line of 10 Mbit/s and 40 ms; and the first load there."""
        waits, _ = self._waits(browser, repetitions, slow=True)
        ours, bare, plain = waits[APP], waits[BARE_PAGE], waits[PLAIN_PAGE]
        loads: dict[str, list[float]] = {APP: [], BARE_PAGE: []}
        with self.run(APP) as app, self.run(BARE_PAGE) as bare_page:
            for _ in range(repetitions):
                for script, running in ((APP, app), (BARE_PAGE, bare_page)):
                    with pages.new_page(browser, slow=True) as page:
                        began, usable = pages.load(page, running)
                        loads[script].append(usable - began)
        most = max(one.picture_bytes for one in ours) / 1000
        return [
            ratio("10 Mbit/s: lag", lag(ours), lag(bare), 0.5, "the bare page"),
            ratio("the same", lag(ours), lag(plain), 0.5, "a page without a framework"),
            first_draft(ours, "10 Mbit/s: first picture, share of the wait", 45),
            Row("pictures up to the decision", f"{most:.0f} kB", "", most, 400, "kB"),
            ratio(
                "10 Mbit/s: first load in a browser",
                median(loads[APP]),
                median(loads[BARE_PAGE]),
                0.65,
                "the bare page",
            ),
        ]

    def _waits(
        self, browser: Browser, repetitions: int, *, slow: bool = False
    ) -> tuple[dict[str, list[pages.Wait]], list[int]]:
        self.api.latency = FIXED
        scripts = list(ORIGINALS)
        waits: dict[str, list[pages.Wait]] = {script: [] for script in scripts}
        approvals = []
        with ExitStack() as stack:
            running = {script: stack.enter_context(self.run(script)) for script in scripts}
            for number in range(repetitions + 1):
                # To and fro: each page comes after itself as often as after another.
                scripts.reverse()
                for script in scripts:
                    app = running[script]
                    with pages.new_page(browser, slow=slow) as page:
                        sockets = pages.sockets_of(page)
                        pages.load(page, app)
                        prompt = f"{script} {number} {slow}"
                        waits[script].append(
                            pages.wait_for_picture(page, app, self.api, prompt, ORIGINALS[script])
                        )
                        if script == APP:
                            approvals.append(pages.bytes_of_approval(page, sockets))
        # The first of each pays for what its server loads late.
        return {script: some[1:] for script, some in waits.items()}, approvals

    def several(self, browser: Browser, repetitions: int = 5) -> list[Row]:
        """Four pictures at once, and one."""
        self.api.latency = FIXED
        times: dict[int, list[float]] = {4: [], 1: []}
        with self.run() as app:
            for number in range(repetitions + 1):
                for pictures, seconds in times.items():
                    with pages.new_page(browser) as page:
                        pages.load(page, app)
                        prompt = f"{pictures} of {number}"
                        seconds.append(
                            pages.wait_for_several(page, self.api, prompt, pictures, ORIGINALS[APP])
                        )
        return [ratio("four pictures", median(times[4][1:]), median(times[1][1:]), 1.15, "one")]

    def reruns(self) -> list[Row]:
        """The review screen with all the attempts there can be, and with one."""
        self.api.latency = SHORT
        with self.run() as app:
            many, one = asyncio.run(server.seconds_of_reruns(app, MAX_ATTEMPTS, 40))
        what = f"a rerun with {MAX_ATTEMPTS} attempts"
        reason = ratio(
            "the same, for each element that the screen has",
            many.seconds / many.elements,
            one.seconds / one.elements,
            1.0,
            "with one",
        )
        row = ratio(what, many.seconds, one.seconds, 1.2, "with one")
        return [replace(row, reason=reason)]

    def memory(self, reruns: int = 200) -> list[Row]:
        """Sessions with some pictures each."""
        self.api.latency = SHORT
        with self.run() as app:
            new, old = asyncio.run(server.bytes_of_memory(app, 8, 4, reruns))
        picture = len(picture_bytes("")) / 1e6
        return [
            Row(
                "memory of a session",
                f"{4 * picture * new:.1f} MB",
                f"{4 * picture:.1f} MB, its 4 pictures",
                new,
                2.5,
            ),
            Row(
                f"memory after {reruns} reruns",
                f"{4 * picture * old:.1f} MB",
                "before them",
                old / new,
                1.05,
            ),
        ]

    def sessions(self) -> list[Row]:
        """Sessions that all click within a second."""
        with self.run() as app:
            self.api.latency = SHORT
            asyncio.run(server.lags(app, self.api, "warm-up", 2))
            # No server answers all its callers at the same moment.
            self.api.latency, self.api.spread = LONG, LONG / 3
            alone = [asyncio.run(server.lags(app, self.api, f"alone {n}", 1))[0] for n in range(5)]
            few = asyncio.run(server.lags(app, self.api, "of 50", 50))
            self.api.latency, self.api.spread = FIXED, FIXED / 3
            many = asyncio.run(server.lags(app, self.api, "of 200", 200))
            self.api.spread = 0.0
        return [
            ratio(
                "lag of 50 sessions, 95th percentile",
                percentile(few, 0.95),
                median(alone),
                5,
                "one alone",
            ),
            ratio(
                "lag of 200 sessions, 95th percentile",
                percentile(many, 0.95),
                median(alone),
                50,
                "one alone",
            ),
            Row(
                "pictures lost or wrong, of 50 and 200 sessions",
                f"{len(few) + len(many)} came",
                "",
                250 - len(few) - len(many),
                0,
                "lost",
            ),
        ]

    def waiting(self) -> list[Row]:
        """Sessions that do nothing but wait."""
        with self.run() as app:
            cores = asyncio.run(server.cores_of_waiting(app, self.api, 100, 10))
        return [Row("CPU of 100 sessions that wait", f"{cores:.2f} cores", "", cores, 0.5, "cores")]


def lag(waits: Sequence[pages.Wait]) -> float:
    """Return the median lag."""
    return median(one.lag for one in waits)


def first_draft(waits: Sequence[pages.Wait], what: str, goal: float) -> Row:
    """Return a row of when the first picture of any kind was there."""
    drafts = [one.first_draft for one in waits if one.first_draft]
    assert len(drafts) == len(waits), "a draft was never seen"
    whole = [one.whole for one in waits]
    share = 100 * median(part / all_ for part, all_ in zip(drafts, whole, strict=True))
    told = f"{in_seconds(median(whole))}, the whole wait"
    return Row(what, in_seconds(median(drafts)), told, share, goal, "%")


def told(rows: list[Row]) -> list[Row]:
    """Print rows as soon as they are there: all take a quarter of an hour, and one may fail."""
    print(*[row.in_markdown() for row in rows], sep="\n", flush=True)
    return rows


def main() -> None:
    """Measure everything, write the table, and say by the exit code whether every goal is met."""
    began = time.monotonic()
    with TemporaryDirectory() as folder, BenchServer() as api:
        bench = Bench(api, Path(folder))
        rows: list[Row] = []
        with (
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=find_system_browser(), args=ARGS) as browser,
        ):
            for on_a_page in (bench.wait, bench.slow_line, bench.start, bench.several):
                rows += told(on_a_page(browser))
            chromium = browser.version
        for of_the_server in (bench.reruns, bench.memory, bench.sessions, bench.waiting):
            rows += told(of_the_server())
    write(DOCUMENT, table(rows, chromium))
    print(f"\nTook {time.monotonic() - began:.0f} s.")
    missed = [row.what for row in rows if not (row.is_met or row.is_explained)]
    sys.exit(f"Missed: {'; '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
