"""Every way a picture can fail to come: one table from what happened to what a person reads.

The codes and messages are those of OpenAI's Images API and of compatible servers. Nothing that a
server says is passed on: its text only selects a sentence of ours.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

from utils.images.models import LIVE_MODELS
from utils.images.pictures import NotAPictureError

# A server may answer with a whole page; the telling words stand at its beginning.
MESSAGE_LENGTH = 4000


@dataclass(frozen=True)
class Problem:
    """One failure. `sentence` is for a person; `retry` says whether another try makes sense.

    `retry_after` is the wait in seconds that the server asked for, and `request_id` the server's
    name for the call, where it gave one.
    """

    kind: str
    sentence: str
    retry: bool = False
    retry_after: float | None = None
    request_id: str = ""


@dataclass(frozen=True)
class Rule:
    """Selects by HTTP status, by code or type, or by words of the message: one hit is enough."""

    kind: str
    sentence: str
    retry: bool = False
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    words: str = ""

    def matches(self, status: int | None, codes: set[str], message: str) -> bool:
        """Return whether this rule speaks of a failure with these marks."""
        return (
            status in self.statuses
            or bool(codes & self.codes)
            or bool(self.words and re.search(self.words, message, re.IGNORECASE))
        )


# The first rule that matches wins, so the more telling ones stand first.
RULES = (
    Rule(
        "refused",
        "The safety system refused this prompt{categories}. Change its wording and try again.",
        codes=frozenset({"moderation_blocked", "content_policy_violation", "image_safety"}),
        words=r"safety system|content policy|moderation",
    ),
    Rule(
        "quota",
        "The account has no credit left or has reached its spending limit. "
        "Add credit or raise the limit, then try again.",
        codes=frozenset({"insufficient_quota", "billing_hard_limit_reached"}),
        words=r"billing|exceeded your current quota",
    ),
    Rule(
        "unverified",
        "OpenAI asks for the organization to be verified before it may use this model. "
        "Verify it at https://platform.openai.com/settings/organization/general, then try again.",
        words=r"must be verified",
    ),
    Rule(
        "key",
        "The API key was not accepted. Check the key and try again.",
        statuses=frozenset({401}),
        codes=frozenset({"invalid_api_key", "authentication_error"}),
    ),
    Rule(
        "model",
        "The server does not have this model, or no longer. Choose another one in the side bar or "
        f"set OPENAI_IMAGE_MODEL; OpenAI's live ones are {', '.join(LIVE_MODELS)}.",
        codes=frozenset({"model_not_found"}),
        words=r"model .*(not found|does not exist|deprecated|shut down|not supported)",
    ),
    Rule(
        "forbidden",
        "This API key may not make pictures. Use another key, or ask its owner for access.",
        statuses=frozenset({403}),
        codes=frozenset({"permission_denied"}),
    ),
    Rule(
        "rate limit",
        "The server is asked for more pictures than it allows just now. "
        "Wait a minute and try again.",
        retry=True,
        statuses=frozenset({429}),
        codes=frozenset({"rate_limit_exceeded", "rate_limit_error", "requests", "tokens"}),
    ),
    Rule(
        "address",
        "The server does not make pictures at this address. Check OPENAI_BASE_URL.",
        statuses=frozenset({404, 405}),
    ),
    Rule(
        "too large",
        "The request was too large for the server. Use a shorter prompt and try again.",
        statuses=frozenset({413}),
    ),
    Rule(
        "busy",
        "The server was too slow to answer. Try again in a moment.",
        retry=True,
        statuses=frozenset({408, 409}),
    ),
    Rule(
        "parameter",
        "The server did not accept {parameter}. Change it and try again.",
        statuses=frozenset({400, 422}),
        codes=frozenset({"invalid_request_error", "image_generation_user_error"}),
    ),
    Rule(
        "server",
        "The picture server has trouble of its own. Try again in a moment.",
        retry=True,
        statuses=frozenset(range(500, 600)),
        codes=frozenset({"server_error", "api_error", "internal_error", "overloaded_error"}),
    ),
)

# What may be named of a server's answer: these words, and nothing else that it says.
CATEGORIES = ("sexual", "violence", "self-harm", "hate", "harassment", "illicit", "minors")
PARAMETERS = {
    "prompt": "the prompt",
    "partial_images": "the request for drafts",
    "stream": "the request for drafts",
    "size": "the size",
    "quality": "the quality",
    "background": "the background",
    "output_format": "the format",
    "model": "the model",
    "image": "the picture to change",
    "mask": "the mask",
}

CANCELLED = Problem("cancelled", "Cancelled. A picture already begun may still be billed.")
CONNECTION = Problem(
    "connection",
    "The picture server could not be reached. Check the connection and try again.",
    retry=True,
)
TOO_SLOW = Problem(
    "too slow", "The picture server did not answer in time. Try again in a moment.", retry=True
)
CUT_OFF = Problem(
    "cut off", "The answer ended before the picture was there. Try again.", retry=True
)
NOT_FETCHED = Problem(
    "not fetched",
    "The picture was made, but could not be fetched from where the server keeps it. "
    "Try again, or have the server send pictures as base64.",
)
NO_PICTURE = Problem(
    "no picture",
    "The server answered with something that is no picture. "
    "Try again, or check that it speaks the Images API.",
)
FORGOTTEN = Problem(
    "forgotten", "The picture that was on its way is gone. Generate it again if you still want it."
)
UNKNOWN = Problem("unknown", "The picture could not be made. Try again in a moment.")


class ImageError(Exception):
    """A try that brought no picture; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.kind)
        self.problem = problem


def explain(exc: BaseException) -> Problem:
    """Return the Problem behind `exc`: never raises, whatever it is."""
    match exc:
        case ImageError():
            return exc.problem
        case NotAPictureError():
            return NO_PICTURE
        case openai.APITimeoutError() | httpx2.ReadTimeout() | TimeoutError():
            return TOO_SLOW
        case httpx2.TransportError():
            return CUT_OFF
        case openai.APIConnectionError():
            return CONNECTION
        case openai.APIStatusError():
            return explain_body(exc.body, exc.status_code, exc.response.headers)
        case _:
            return UNKNOWN


def explain_body(
    body: object, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Problem:
    """Return the Problem that an error body speaks of, with or without an HTTP status.

    `body` is what the server sent, decoded: OpenAI's `{"error": {...}}` or the inside of it, or
    the other shapes in use (`{"error": "text"}`, `{"detail": ...}`, a bare text).
    """
    headers = headers or {}
    codes, message, _ = _read(body)
    retry_after = _seconds(headers.get("retry-after", ""), message)
    request_id = re.sub(r"[^\w-]", "", headers.get("x-request-id", ""))[:80]
    for rule in RULES:
        if rule.matches(status, codes, message):
            sentence = rule.sentence.format(
                categories=_categories(message), parameter=_parameter(body)
            )
            return Problem(rule.kind, sentence, rule.retry, retry_after, request_id)
    return Problem(UNKNOWN.kind, UNKNOWN.sentence, request_id=request_id)


def named_parameter(body: object, candidates: Container[str]) -> str | None:
    """Return which of the `candidates`, parameters of the request, an error body names."""
    _, message, param = _read(body)
    names = [name for name in PARAMETERS if name in candidates]
    if param in names:
        return param
    return next((name for name in names if re.search(rf"\b{name}\b", message)), None)


def _read(body: object) -> tuple[set[str], str, str]:
    """Return the codes, the message and the parameter that an error body holds."""
    error: Any = body
    if isinstance(error, Mapping) and "error" in error:
        error = error["error"]
    if not isinstance(error, Mapping):
        return set(), str(error)[:MESSAGE_LENGTH], ""
    codes = {str(error.get(name)) for name in ("code", "type")}
    message = str(error.get("message") or error.get("detail") or "")
    return codes, message[:MESSAGE_LENGTH], str(error.get("param"))


def _categories(message: str) -> str:
    named = re.search(r"safety_violations=\[([^\]]*)", message)
    found = [word for word in CATEGORIES if named and word in named[1]]
    return f" ({', '.join(found)})" if found else ""


def _parameter(body: object) -> str:
    name = named_parameter(body, PARAMETERS)
    return PARAMETERS[name] if name else "the prompt or one of the settings"


def _seconds(header: str, message: str) -> float | None:
    if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", header):
        return float(header)
    named = re.search(r"try again in (\d{1,6}(?:\.\d{1,6})?) ?(ms|s)", message)
    if named is None:
        return None
    return float(named[1]) / (1000 if named[2] == "ms" else 1)
