"""Who a session belongs to, where the server knows people: by a login, or by a proxy before it."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

# What no browser's token begins with.
PREFIX = "person-"
# What tells people apart, the surest first, and what they are called.
IDS = ("sub", "oid", "id", "email", "user", "preferred_username")
NAMES = ("name", "email", "preferred_username", "user")


@dataclass(frozen=True)
class Person:
    """Somebody whom the server knows: `owner` stands for them in all that is kept, and says nothing
    of who they are; `name` is for people."""

    owner: str
    name: str


def find_person(user: Mapping[str, object], secret: str) -> Person | None:
    """Return who a user is by their claims, or by the headers of a proxy; None: they do not say.

    With the `secret` nobody can tell by an owner whether it is a person whom they have in mind.
    """
    claim = next((key for key in IDS if user.get(key)), "")
    if not claim:
        return None
    known = str(user[claim])
    # With the claim's name: whoever chooses their own user name must not become somebody's email.
    told = f"{user.get('iss') or ''} {claim} {known}"
    digest = hmac.new(secret.encode(), told.encode(), hashlib.sha256).hexdigest()
    name = next((str(user[key]) for key in NAMES if user.get(key)), known)
    return Person(f"{PREFIX}{digest}", name)


def is_person(owner: str) -> bool:
    """Return whether an owner is a person, and not only a browser."""
    return owner.startswith(PREFIX)
