"""How an order travels to whoever carries it out: as JSON, a person's key in it encrypted."""

import base64
from dataclasses import replace

from cryptography.fernet import Fernet, InvalidToken

from utils.review.records import Order
from utils.shared import codec
from utils.signing import derive_key

PURPOSE = "orders"


def write_order(order: Order) -> str:
    """Return an order as JSON."""
    sealed = _cipher().encrypt(order.key.encode()).decode() if order.key else ""
    return codec.write(replace(order, key=sealed))


def read_order(text: str | bytes) -> Order:
    """Return what `write_order` was given. Raises ValueError where servers share no secret."""
    order = codec.read(text)
    if not isinstance(order, Order):
        raise ValueError("no order")
    try:
        return replace(order, key=_cipher().decrypt(order.key).decode()) if order.key else order
    except InvalidToken:
        raise ValueError("sealed by another secret") from None


def _cipher() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derive_key(PURPOSE)))
