import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import streamlit as st
from streamlit import config

from tests.conftest import ROOT
from utils.locks import BriefLock, relieve_config

START = """
import contextlib, runpy
from streamlit import config
with contextlib.suppress(SystemExit):
    runpy.run_path("app.py", run_name="app")
print(type(config._config_lock).__name__)
"""


def test_one_thread_at_a_time_has_the_lock(short_turns: None) -> None:
    lock, inside, most = BriefLock(), list[int](), list[int]()

    def enter(number: int) -> None:
        for _ in range(200):
            with lock:
                inside.append(number)
                most.append(len(inside))
                # A turn of another thread, which must not come in.
                threading.Event().wait(0)
                inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(enter, range(8)))
    assert len(most) == 1600
    assert max(most) == 1


def test_who_has_the_lock_may_take_it_again_and_an_error_gives_it_back() -> None:
    lock = BriefLock()
    with pytest.raises(ZeroDivisionError), lock, lock:
        1 / 0  # noqa: B018
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lock.__enter__).result(10)


def test_streamlit_reads_its_options_under_this_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_config_lock", config._config_lock)
    relieve_config()
    held = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with config._config_lock:
            held.set()
            done.wait(10)

    with ThreadPoolExecutor(3) as threads:
        threads.submit(hold)
        assert held.wait(10)
        reads = [
            threads.submit(st.get_option, "client.showErrorDetails"),
            threads.submit(config.get_options_for_section, "theme"),
        ]
        with pytest.raises(TimeoutError):
            reads[0].result(0.1)
        assert not any(read.done() for read in reads)
        done.set()
        assert [bool(read.result(10)) for read in reads] == [True, True]


def test_a_server_starts_with_this_lock() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", START], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert ended.stdout.strip() == BriefLock.__name__


@pytest.fixture
def short_turns() -> object:
    """Have the interpreter go from thread to thread as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
