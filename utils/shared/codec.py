"""How records travel between servers: as JSON, so that what is read is data and never code.

What a result and a partial result are only the engine knows: it says so with `learn`.
"""

from collections.abc import Mapping
from typing import Any, get_type_hints

from cattrs.preconf.json import make_converter

from utils.jobs.outcomes import Problem
from utils.review.records import Order, Result, Review
from utils.review.store import Store

_converter = make_converter()
_hints = get_type_hints(Store)
_kinds: dict[str, type] = {"Problem": Problem, "Order": Order, "Review": Review, "str": str}


def learn(result: type, *others: type) -> None:
    """Take in what the engine's results are, and what other records of its own may travel."""
    for kind in (result, *others):
        _kinds[kind.__name__] = kind
    _converter.register_structure_hook(Result, lambda value, _: _converter.structure(value, result))
    _converter.register_unstructure_hook(Result, lambda value: _converter.unstructure(value))


def write(record: object) -> str:
    """Return a record with the name of its kind, as JSON. Raises TypeError where it cannot be."""
    kind = type(record).__name__
    if kind not in _kinds:
        raise TypeError(f"no {kind} travels")
    try:
        return _converter.dumps([kind, _converter.unstructure(record)])
    except Exception as exc:
        # Not what it says: that may be a part of the record.
        raise TypeError(f"no {kind} travels: {type(exc).__name__}") from None


def read(text: str | bytes) -> object:
    """Return what `write` was given. Raises ValueError for anything else."""
    try:
        kind, fields = _converter.loads(text, list[Any])
        return _converter.structure(fields, _kinds[kind])
    except Exception as exc:
        raise ValueError(f"no record: {type(exc).__name__}") from None


def write_snapshot(snapshot: Mapping[str, object]) -> str:
    """Return what a browser is remembered for, as JSON."""
    plain = {
        name: _converter.unstructure(value, _hints.get(name, object))
        for name, value in snapshot.items()
    }
    return _converter.dumps(plain)


def read_snapshot(text: str | bytes) -> dict[str, object]:
    """Return what `write_snapshot` was given. Raises ValueError for anything else."""
    try:
        plain = _converter.loads(text, dict[str, Any])
        return {
            name: _converter.structure(value, _hints[name]) if name in _hints else value
            for name, value in plain.items()
        }
    except Exception as exc:
        raise ValueError(f"no snapshot: {type(exc).__name__}") from None
