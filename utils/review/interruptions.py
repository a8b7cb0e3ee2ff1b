"""What a person does is done to its end, whatever they do next.

With a click a person interrupts the turn under way at its next access to the session state, even
where that is just taking in the click before, which would be lost.
"""

from collections.abc import Callable, Iterator, MutableMapping
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from utils.review.store import Store, by_key

P = ParamSpec("P")
Found = TypeVar("Found")
Move = Callable[Concatenate[Store, P], None]


def uninterrupted(move: Move[P]) -> Move[P]:
    """Let an interruption of `move` take effect only once it is done.

    It holds off what a click interrupts. A session that is stopped, because its page has gone, is
    so at each access: a move must write last what says that it is done, all the same.
    """

    @wraps(move)
    def to_the_end(shared: Store, *args: P.args, **kwargs: P.kwargs) -> None:
        steady = _Steady(by_key(shared))
        move(cast("Store", steady), *args, **kwargs)
        if steady.interruption:
            raise steady.interruption

    return cast("Move[P]", to_the_end)


class _Steady(MutableMapping[str, object]):
    """A store that goes on after an interruption, and keeps it."""

    def __init__(self, store: MutableMapping[str, object]) -> None:
        self._store = store
        self.interruption: BaseException | None = None

    def _reach(self, access: Callable[[], Found]) -> Found:
        try:
            return access()
        except Exception:
            # A key that is not there, which interrupts nothing.
            raise
        except BaseException as exc:
            self.interruption = exc
            return access()

    def __getitem__(self, key: str) -> object:
        return self._reach(lambda: self._store[key])

    def __setitem__(self, key: str, value: object) -> None:
        self._reach(lambda: self._store.__setitem__(key, value))

    def __delitem__(self, key: str) -> None:
        self._reach(lambda: self._store.__delitem__(key))

    def __iter__(self) -> Iterator[str]:
        return self._reach(lambda: iter(self._store))

    def __len__(self) -> int:
        return self._reach(lambda: len(self._store))
