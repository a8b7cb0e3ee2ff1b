"""Which of two back ends serves: the one in this process, or the one that all servers share."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TypeVar, cast

from utils.settings import get_settings

Room = TypeVar("Room")


class _StandIn:
    def __init__(self, local: Callable[[], object], shared: str) -> None:
        self._local = cache(local)
        self._shared = cache(lambda: resolve_name(shared)())

    def __getattr__(self, name: str) -> object:
        return getattr((self._shared if get_settings().store_url else self._local)(), name)


def stand_in(local: Callable[[], Room], shared: str) -> Room:
    """Return what stands for the back end that the server is set to, each made at its first use.

    It is not made here: the settings are complete only after everything was imported. `shared` is
    the dotted name of the one that is imported only where STORE_URL is set.
    """
    return cast("Room", _StandIn(local, shared))


def check_store(is_secret_set: bool) -> str:
    """Return a sentence that says what sharing a store lacks here, '' where nothing is lacking."""
    if get_settings().store_url is None:
        return ""
    if find_spec("docket") is None:
        return (
            "STORE_URL is set, and needs more: pip install -r requirements-shared.txt, "
            "and start again."
        )
    if not is_secret_set:
        return (
            "STORE_URL needs one secret for all servers: set server.cookieSecret, the same on "
            "each, and start again."
        )
    if not resolve_name("utils.shared.connection:can_connect")():
        return "STORE_URL has an option after its ? that cannot be used. Change it and start again."
    return ""
