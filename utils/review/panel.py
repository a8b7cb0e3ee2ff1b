"""The shared store as people read it who learn from it: without bytes, keys and whose it is."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from utils.review.store import DEFAULTS, Store, by_key

# In characters: prompts may be so long that the page would get megabytes with each turn.
LONGEST = 300
SECRET = ("api_key", "owner", "payer", "person")
# What stands in base64, by the key of the attempt that it belongs to.
BASE64 = {"generated_image": "under_review", "final_result": "approved"}


def in_short(shared: Store) -> dict[str, object]:
    """Return the store as plain values: a result as a note of what it is, and no secret."""
    values = by_key(shared)
    short = {key: _plain(values[key]) for key in (*DEFAULTS, *shared["settings"])}
    for key in SECRET:
        short[key] = "not shown" if values[key] else ""
    for key, attempt_key in BASE64.items():
        short[key] = _note(shared, str(values[attempt_key]), str(values[key]))
    short["remembered"] = f"{len(shared['remembered'])} keys of the above"
    return short


def _note(shared: Store, attempt_id: str, base64: str) -> object:
    """Return what the result in base64 is, and how many kB its bytes are."""
    found = [one.result for one in shared["attempts"] if one.id == attempt_id]
    return {"kB": len(base64) * 3 // 4000, "result": _plain(found[0])} if found else ""


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}… ({len(value):,} characters)"
    return value
