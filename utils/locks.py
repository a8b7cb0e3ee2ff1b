"""A lock that is taken often, by many threads, and for moments."""

import threading
import time

from streamlit import config


class BriefLock:
    """A lock, reentrant, that only a thread takes which has the interpreter.

    A `threading.RLock` is given to a thread that sleeps: until it gets the interpreter it keeps
    the lock, and all who ask for it meanwhile fall asleep behind it and do the same.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        while not self._lock.acquire(blocking=False):
            # Whoever has the lock gets the interpreter.
            time.sleep(0)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def relieve_config() -> None:
    """Let Streamlit read its options under a BriefLock.

    It does so some fifty times in each run, with each element: of 200 people who click within a
    second nobody saw anything for half a minute, as the thread that serves all pages stood in line
    for this lock, and connections broke for want of an answer. A Streamlit that has no lock of this
    name needs nothing of it.
    """
    config._config_lock = BriefLock()  # type: ignore[assignment]
