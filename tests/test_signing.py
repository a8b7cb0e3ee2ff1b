import secrets
from collections.abc import Iterator

import pytest
from itsdangerous import BadSignature, Signer

from utils.signing import sign_with, signer


@pytest.fixture(autouse=True)
def key_of_its_own() -> Iterator[None]:
    yield
    sign_with(secrets.token_hex())


def test_a_restart_with_the_same_secret_knows_what_was_signed() -> None:
    sign_with("the operator's")
    signed = signer("browser").sign("token")
    sign_with("another one")
    with pytest.raises(BadSignature):
        signer("browser").unsign(signed)
    sign_with("the operator's")
    assert signer("browser").unsign(signed) == b"token"


def test_what_was_signed_for_one_purpose_is_no_other() -> None:
    with pytest.raises(BadSignature):
        signer("browser").unsign(signer("picture").sign("token"))


def test_a_blank_secret_is_none() -> None:
    sign_with(" ")
    signed = signer("browser").sign("token")
    sign_with("")
    assert signer("browser").unsign(signed) == b"token"
    for guess in ("", " "):
        with pytest.raises(BadSignature):
            Signer(guess.encode(), salt="browser").unsign(signed)
