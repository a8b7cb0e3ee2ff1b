"""The table of docs/benchmarks.md: what was measured, against what, and whether it is enough."""

import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

BEGIN = "<!-- made by `make bench`, from here -->"
END = "<!-- to here -->"


@dataclass(frozen=True)
class Row:
    """One measurement: `value` is to be at most `goal`, both in `unit` (x, %, kB, cores, lost).

    Where it is more, `reason` may be the measurement that shows why it cannot be less.
    """

    what: str
    ours: str
    against: str
    value: float
    goal: float
    unit: str = "x"
    reason: "Row | None" = None

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal

    @property
    def is_explained(self) -> bool:
        return self.reason is not None and self.reason.is_met

    def in_markdown(self) -> str:
        result = "met" if self.is_met else "**missed**"
        if not self.is_met and self.is_explained:
            result = "missed, for the reason below"
        value, goal = _with_unit(self.value, self.unit), _with_unit(self.goal, self.unit)
        row = f"| {self.what} | {self.ours} | {self.against} | {value} | {goal} | {result} |"
        if self.is_met or self.reason is None:
            return row
        return f"{row}\n{self.reason.in_markdown()}"


def ratio(what: str, ours: float, theirs: float, goal: float, yardstick: str) -> Row:
    """Return a row of seconds against seconds, of which neither can be nothing."""
    assert ours > 0, what
    assert theirs > 0, what
    return Row(what, in_seconds(ours), f"{in_seconds(theirs)}, {yardstick}", ours / theirs, goal)


def in_seconds(seconds: float) -> str:
    """Return seconds as a person reads them."""
    if math.isinf(seconds):
        return "never"
    if seconds < 0.01:
        return f"{seconds * 1000:.2f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that at least `share` of the values (0 to 1) do not exceed.

    Of no values it is infinite: what never came took for ever.
    """
    if not values:
        return math.inf
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def table(rows: Sequence[Row], browser: str) -> str:
    """Return the part of the document that the command writes."""
    head = ["| what | the app | against | result | at most | |", "| --- " * 6 + "|"]
    return "\n".join(
        [f"{machine()[:-1]}, Chromium {browser}.", "", *head, *[row.in_markdown() for row in rows]]
    )


def write(path: Path, made: str, begin: str = BEGIN, end: str = END) -> None:
    """Put `made` between the marks of a document, and leave the rest of it as it is."""
    text = path.read_text()
    assert begin in text, f"{path} does not say where the table goes"
    between = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
    path.write_text(between.sub(lambda _: f"\n\n{made}\n\n", text))


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.2f}x" if unit == "x" else f"{value:.3g} {unit}"


def machine() -> str:
    """Return a sentence that says when and on what was measured."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"Measured on {date.today().isoformat()}: {os.cpu_count()} cores "
        f"({model[1] if model else platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, Streamlit {version('streamlit')}, "
        f"openai {version('openai')}."
    )
