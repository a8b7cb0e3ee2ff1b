"""What this server signs, so that nobody else can make it: by a key that may outlive it."""

import hmac
import secrets

from itsdangerous import Signer

_keys = [secrets.token_bytes(32)]


def sign_with(secret: str) -> None:
    """Sign by this secret from now on: servers that share it know each other's signatures."""
    # A blank one anybody could have.
    if secret.strip():
        _keys[0] = secret.encode()


def signer(purpose: str) -> Signer:
    """Return what signs for a purpose; what was signed for another one is not valid."""
    return Signer(_keys[0], salt=purpose)


def derive_key(purpose: str) -> bytes:
    """Return 32 bytes for a purpose, the same on all servers that share the secret."""
    return hmac.digest(_keys[0], purpose.encode(), "sha256")
