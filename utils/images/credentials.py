"""Content credentials (C2PA): what a picture's own bytes say of where it comes from.

Format: https://spec.c2pa.org. Reading them needs c2pa-python, which is optional: without it a page
can say that they are there, and no more.
"""

import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from utils.images.pictures import MIME, extension_of
from utils.review.blobs import blobs

logger = logging.getLogger(__name__)

# How the description of a manifest store's JUMBF box begins, whatever the picture's format. The
# letters alone may stand in any picture, and in a prompt that is kept in one.
BEGINNING = b"jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
# What names a manifest store that is kept elsewhere.
ELSEWHERE = b"dcterms:provenance"
# In characters: what a signer writes is never longer in good faith.
LONGEST = 200
NAMES = {"c2pa": "content credentials", "synthid": "watermark (SynthID)"}


@dataclass(frozen=True)
class Credentials:
    """What a picture carries. `signer`, `software` and `at` are as the signer wrote them, '' where
    they are not known.

    `state` is "valid" where the bytes are those that were signed, "invalid" where they are not or
    the credentials are badly made, and "unread" where nothing here can read them.
    """

    state: str
    signer: str = ""
    software: str = ""
    at: str = ""


@dataclass(frozen=True)
class Signal:
    """What OpenAI answered about one signal: `type` is c2pa or synthid, and `validation` the state
    of a C2PA manifest; texts are '' where it said nothing."""

    type: str
    detected: bool
    validation: str = ""
    issuer: str = ""
    model: str = ""
    at: str = ""


def read_credentials(name: str) -> Credentials | None:
    """Return what the picture of this name in the table of blobs carries; None for nothing."""
    data = blobs.get(name)
    carried = data and (BEGINNING in data or ELSEWHERE in data)
    return _read(name) if carried else None


def credentials_in_words(found: Credentials) -> str:
    """Return what a picture carries as a sentence, for a person."""
    if found.state == "unread":
        return "It carries content credentials. Who signed them cannot be read here."
    signer = f"signed by {found.signer}" if found.signer else "of a signer without a name"
    if found.state == "invalid":
        return f"It carries content credentials {signer}, but they do not hold for this picture."
    return (
        f"It carries content credentials {signer}, unchanged since. Whether the signer is who they "
        "say cannot be verified here."
    )


def read_signals(answer: object) -> tuple[Signal, ...]:
    """Return what an answer of OpenAI's content_provenance_checks holds.

    Raises ValueError where it is none.
    """
    results = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(results, list) or not results:
        raise ValueError("no results")
    return tuple(
        Signal(
            _text(one.get("type")),
            one.get("outcome") == "detected",
            _text(one.get("validation_state")),
            _text(one.get("issuer")),
            _text(one.get("model")),
            _text(one.get("generated_at")),
        )
        for one in results
        if isinstance(one, Mapping)
    )


def signal_in_words(signal: Signal) -> str:
    """Return what OpenAI answered about one signal, as a sentence for a person."""
    what = NAMES.get(signal.type, "another signal")
    if not signal.detected:
        return f"OpenAI found no {what} of its own, which does not prove that it is not from there."
    details = [signal.model and f"model {signal.model}", signal.at and f"made {signal.at}"]
    found = ", ".join([f"OpenAI found its {what}", *(one for one in details if one)])
    return f"{found}, {signal.validation}." if signal.validation else f"{found}."


@lru_cache(1024)
def _read(name: str) -> Credentials:
    data = blobs.get(name)
    if data is None:
        raise LookupError("the picture is no longer kept")
    try:
        return _read_with_library(data)
    except ImportError:
        return Credentials("unread")
    except Exception as exc:
        # The library's errors are of many kinds.
        logger.info("content credentials cannot be read: %s", type(exc).__name__)
        return Credentials("unread")


def _read_with_library(data: bytes) -> Credentials:
    from c2pa import Context, Reader, Settings

    # A picture must not send this server to addresses that it names.
    alone = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    context = Context(settings=Settings.from_dict(alone))
    with Reader(MIME[extension_of(data)], io.BytesIO(data), context=context) as reader:
        store = json.loads(reader.json())
    manifest = store["manifests"][store["active_manifest"]]
    signature = manifest.get("signature_info", {})
    software = (manifest.get("claim_generator_info") or [{}])[0]
    return Credentials(
        "invalid" if store.get("validation_state") == "Invalid" else "valid",
        _text(signature.get("common_name")) or _text(signature.get("issuer")),
        _text(software.get("name")),
        _text(signature.get("time")),
    )


def _text(value: object) -> str:
    """Return what somebody else wrote, cut where it is longer than anyone would in good faith."""
    if not isinstance(value, str):
        return ""
    # Half a character, as JSON may have it, can neither be shown nor written down.
    return " ".join(value.split())[:LONGEST].encode(errors="replace").decode()
