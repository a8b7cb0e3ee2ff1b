"""Every way a picture can fail to come: one table from what happened to what a person reads.

The codes and messages are those of OpenAI's Images API and of compatible servers. Nothing that a
server says is passed on: its text only selects a sentence of ours.

What is tried again by itself follows the SDK's own convention: no connection, a connection cut
off, 408, 409, 429 and 5xx, unless the server says `x-should-retry: false`. A try that ran out of
time, here or at a gateway (504), may well have been made and billed, so the person is asked first.
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ssl import SSLCertVerificationError

import httpx2
import openai

from utils.images.models import LIVE_MODELS
from utils.images.parameters import PARAMETERS
from utils.images.pictures import NotAPictureError, TooLargeError
from utils.jobs.outcomes import UNKNOWN, FailedError, Problem

# A server may answer with a whole page; the telling words stand at its beginning.
MESSAGE_LENGTH = 4000
# Characters: a shorter prompt selects no sentence where a server repeats it, and may be a part of
# the server's own words.
REPEATED = 12
# Seconds: nobody waits longer than that on an open page.
LONGEST_WAIT = 600.0
# How a mark on a picture goes to the API.
MARKS = ("markup", "mask")


@dataclass(frozen=True)
class Rule:
    """A problem, and the marks by which it is known: one hit is enough.

    `codes` are those of an error's `code` or `type`, `words` a pattern for its message; all else is
    what its Problem has.
    """

    kind: str
    sentence: str
    retry: bool = False
    billed: bool = False
    unbilled: str = ""
    codes: frozenset[str] = frozenset()
    words: str = ""
    statuses: frozenset[int] = frozenset()


RULES = (
    Rule(
        "refused",
        "The safety system refused this prompt{categories}. Change its wording and try again.",
        codes=frozenset(
            {
                "moderation_blocked",
                "content_policy_violation",
                "content_filter",
                "contentFilter",
                "image_safety",
            }
        ),
        words=r"safety system|content[ _]?policy|content management policy|moderation_blocked"
        r"|violates usage guidelines|input was flagged|content moderation",
    ),
    Rule(
        "quota",
        "The account has no credit left or has reached its spending limit. "
        "Add credit or raise the limit, then try again.",
        codes=frozenset(
            {
                "insufficient_quota",
                "insufficient_user_quota",
                "billing_hard_limit_reached",
                "billing_not_active",
                "budget_exceeded",
            }
        ),
        words=r"exceeded your current quota|billing hard limit|budget has been exceeded"
        r"|spending limit|balance is insufficient|insufficient balance",
        statuses=frozenset({402}),
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
        # A LiteLLM proxy without a database looks up any key but its own in vain.
        codes=frozenset({"invalid_api_key", "authentication_error", "no_db_connection"}),
        words=r"(incorrect|invalid) api key|api key not (valid|found)",
        statuses=frozenset({401}),
    ),
    Rule(
        "model",
        "The server does not have this model, or no longer. Choose another one in the side bar or "
        f"set OPENAI_IMAGE_MODEL; OpenAI's live ones are {', '.join(LIVE_MODELS)}.",
        codes=frozenset({"model_not_found", "DeploymentNotFound"}),
        words=r"model .*(not found|does not exist|deprecated|shut down)|invalid model(:| name)"
        r"|model \S+ is not supported|not a valid model|no endpoints found for",
    ),
    Rule(
        "forbidden",
        "This API key may not make pictures. Use another key, or ask its owner for access.",
        codes=frozenset({"permission_denied", "key_model_access_denied"}),
        statuses=frozenset({403}),
    ),
    Rule(
        "country",
        "The server makes no pictures for the country that this one stands in. "
        "Whoever runs this page can set another one by OPENAI_BASE_URL.",
        codes=frozenset({"unsupported_country_region_territory"}),
    ),
    Rule(
        "rate limit",
        "The server is asked for more pictures than it allows just now. "
        "Wait a minute and try again.",
        retry=True,
        codes=frozenset({"rate_limit_exceeded", "rate_limit_error", "requests", "tokens"}),
        statuses=frozenset({429}),
    ),
    Rule(
        "address",
        "The server does not make pictures at this address. Check OPENAI_BASE_URL.",
        words=r"invalid host header|http request to an https server",
        statuses=frozenset({404, 405, *range(300, 400)}),
    ),
    Rule(
        "too large",
        "The request was too large for the server. Use {smaller} and try again.",
        statuses=frozenset({413}),
    ),
    Rule(
        "busy",
        "The server was too slow to answer. Try again in a moment.",
        retry=True,
        statuses=frozenset({408, 409}),
    ),
    Rule(
        "too slow",
        "The picture server did not answer in time, and may have billed the picture all the same. "
        "Try again if you still want it.",
        billed=True,
        unbilled="The picture server did not answer in time. Try again if you still want it.",
        # A LiteLLM proxy gives up on the model with 408, after it has asked it, and Azure too.
        words=r"litellm\.Timeout|request timed out|operation was timeout",
        # 524: the same, by one of the large gateways.
        statuses=frozenset({504, 524}),
    ),
    Rule(
        "parameter",
        "The server did not accept {parameter}. Change it and try again.",
        codes=frozenset({"invalid_request_error", "image_generation_user_error"}),
        statuses=frozenset({400, 422}),
    ),
    Rule(
        "overloaded",
        "The picture server has too much to do. Try again in a moment.",
        retry=True,
        codes=frozenset({"overloaded_error"}),
        statuses=frozenset({503, 529}),
    ),
    Rule(
        "server",
        "The picture server failed, and may have billed the picture all the same. "
        "Try again in a moment.",
        retry=True,
        billed=True,
        unbilled="The picture server failed. Try again in a moment.",
        codes=frozenset({"server_error", "api_error", "internal_error"}),
        # What stands before the API says 503 for what it has lost behind it: Envoy, Heroku.
        words=r"reset reason: connection termination|application-error",
        statuses=frozenset(range(500, 600)),
    ),
    Rule(
        "unknown",
        "The server would not make the picture and does not say why. Try again in a moment.",
        statuses=frozenset(range(400, 500)),
    ),
)
NO_MARK = Rule(
    "unknown",
    "The server could not make the picture, and may have billed it all the same. "
    "Try again in a moment.",
    billed=True,
    unbilled="The server could not make the picture. Try again in a moment.",
)
# These say less than the status does, and count where there is none.
VAGUE = frozenset(
    {
        "invalid_request_error",
        "image_generation_user_error",
        "server_error",
        "api_error",
        "internal_error",
    }
)

# What may be named of a server's answer: these words, and nothing else that it says.
CATEGORIES = ("sexual", "violence", "self-harm", "hate", "harassment", "illicit", "minors")
# Each parameter by the names that servers have for it, in the words for a person.
DRAFTS = ("stream", "partial_images")
NAMES: Mapping[str, str] = {
    **{name: one.words for one in PARAMETERS for name in one.refusals},
    **dict.fromkeys(DRAFTS, "the request for drafts"),
    "safety_identifier": "the hashed name of who asks",
    "prompt": "the prompt",
    "model": "the model",
    "image": "the picture to change",
}
_KEYS = {name: one.key for one in PARAMETERS for name in one.refusals}

CONNECTION = Problem(
    "connection",
    "The picture server could not be reached. Check the connection and try again.",
    retry=True,
)
NOT_TRUSTED = Problem(
    "not trusted",
    "The picture server's certificate is not trusted here. "
    "Whoever runs this page can name its issuer by SSL_CERT_FILE; then try again.",
)
NO_CLIENT = Problem(
    "connection",
    "This server's proxy or certificates cannot be used, so nothing was sent. "
    "Whoever runs this page can set them right; then try again.",
)
NOT_WRITTEN = Problem(
    "not written",
    "The request has something that cannot be sent, so nothing came to the server. "
    "Whoever runs this page can check OPENAI_CUSTOM_HEADERS; then try again.",
)
TOO_SLOW = next(
    Problem(rule.kind, rule.sentence, billed=rule.billed, unbilled=rule.unbilled)
    for rule in RULES
    if rule.kind == "too slow"
)
CUT_OFF = Problem(
    "cut off",
    "The connection was lost before the picture was there, and it may have been billed. "
    "Try again in a moment.",
    retry=True,
    billed=True,
    unbilled="The connection was lost before the picture was there. Try again in a moment.",
)
NOT_FETCHED = Problem(
    "not fetched",
    "The picture was made and billed, but could not be fetched from where the server keeps it. "
    "Try again, or have the server send pictures as base64.",
    billed=True,
    unbilled="The picture was made, but could not be fetched from where the server keeps it. "
    "Try again, or have the server send pictures as base64.",
)
NO_PICTURE = Problem(
    "no picture",
    "The server answered with something that is no picture, and may have billed it. "
    "Try again, or check that it speaks the Images API.",
    billed=True,
    unbilled="The server answered with something that is no picture. "
    "Try again, or check that it speaks the Images API.",
)
NO_ROOM = Problem(
    "no room",
    "The picture is larger than this server keeps, and was billed. "
    "Choose a smaller size and try again.",
    billed=True,
    unbilled="The picture is larger than this server keeps. Choose a smaller size and try again.",
)
SOURCE_GONE = Problem(
    "source gone",
    "A picture that this was to be made from is no longer kept here. Add it again and try again.",
)
MARK_REFUSED = Problem(
    "mark refused",
    "The server would not take the mark on the picture, so nothing was made. "
    "Clear the mark, or choose another model, and try again.",
)
KEY_GONE = Problem(
    "key gone",
    "The key that you typed is no longer here: it is forgotten when the page closes. "
    "Enter it again and try again.",
)
NOT_CHECKED = Problem(
    "not checked", "OpenAI gave no answer about this picture. Try again in a moment."
)
NOT_A_KEY = Problem(
    "key",
    "The API key has characters that no key has. Check the key and try again.",
)


def explain(exc: BaseException, *, prompt: str = "", pictures: bool = False) -> Problem:
    """Return the Problem behind `exc`: never raises, whatever it is.

    `prompt` is what was asked for, which a server may repeat, and `pictures` says whether it was
    to be made from some.
    """
    if isinstance(exc, openai.APIConnectionError) and isinstance(exc.__cause__, httpx2.HTTPError):
        exc = exc.__cause__
    match exc:
        case FailedError():
            return exc.problem
        case TooLargeError():
            return NO_ROOM
        case NotAPictureError() | httpx2.DecodingError():
            return NO_PICTURE
        case httpx2.ConnectError() if isinstance(origin(exc), SSLCertVerificationError):
            return NOT_TRUSTED
        case (
            httpx2.ConnectError()
            | httpx2.ConnectTimeout()
            | httpx2.PoolTimeout()
            | httpx2.ProxyError()
            | httpx2.WriteError()
            | httpx2.WriteTimeout()
        ):
            # The request never got there, at least not to its end.
            return CONNECTION
        case httpx2.LocalProtocolError():
            return NOT_WRITTEN
        case httpx2.TooManyRedirects():
            # A login in the way, which this client cannot pass.
            return explain_body(None, 404)
        case httpx2.RemoteProtocolError() if re.match("illegal (request|status) line", str(exc)):
            # What is there speaks no HTTP, or only with TLS.
            return explain_body(None, 404)
        case openai.APITimeoutError() | httpx2.TimeoutException() | TimeoutError():
            return TOO_SLOW
        case openai.APIConnectionError() | httpx2.TransportError():
            return CUT_OFF
        case openai.APIStatusError():
            headers = exc.response.headers
            return explain_body(
                exc.body, exc.status_code, headers, prompt=prompt, pictures=pictures
            )
        case _:
            return UNKNOWN


def origin(exc: BaseException) -> BaseException:
    """Return the first of the causes that led to `exc`; a time-out is named as it is."""
    cause = exc.__cause__
    # What is behind a time-out says less: that a wait was cancelled.
    while isinstance(cause, Exception) and not isinstance(cause, TimeoutError):
        # The HTTP client's connections hide causes, and leave them in the context.
        exc, cause = cause, cause.__cause__ or cause.__context__
    return exc


def explain_body(
    body: object,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    prompt: str = "",
    pictures: bool = False,
) -> Problem:
    """Return the Problem that an error body speaks of, with or without an HTTP status.

    `body` is what the server sent, decoded: OpenAI's `{"error": {...}}` or the inside of it, or
    the other shapes in use (`{"error": "text"}`, `{"detail": ...}`, a bare text), or a list of one.
    """
    headers = headers or {}
    error = _read(body, prompt)
    rule = _find_rule(status, error)
    sentence = rule.sentence.format(
        categories=_categories(error.message),
        parameter=NAMES.get(_named(error, NAMES), "the prompt or one of the settings"),
        smaller="fewer or smaller pictures" if pictures else "a shorter prompt",
    )
    wait = _seconds(headers, error.message)
    name = request_id(headers)
    retry = rule.retry and headers.get("x-should-retry") != "false"
    problem = Problem(rule.kind, sentence, retry, rule.billed, wait, name, rule.unbilled)
    return _not_now(problem) if retry and wait and wait > LONGEST_WAIT else problem


def explain_answer(answer: Mapping[str, object], *, prompt: str, pictures: bool) -> Problem | None:
    """Return the Problem that an answer of status 200 tells, None where it tells none.

    Nobody would say there by mistake what a rule knows by its codes or words.
    """
    for body in (answer, answer.get("data")):
        if _find_rule(None, _read(body, prompt)) is not NO_MARK:
            return explain_body(body, prompt=prompt, pictures=pictures)
    return None


def request_id(headers: Mapping[str, str]) -> str:
    """Return the server's own name for a call, '' where it gave none."""
    name = headers.get("x-request-id") or headers.get("x-litellm-call-id") or ""
    return re.sub(r"[^\w-]", "", name, flags=re.ASCII)[:80]


def refuses_mark(body: object, prompt: str) -> bool:
    """Return whether an error body speaks of the mark on a picture, not of what the prompt says."""
    error = _read(body, prompt)
    if error.param in MARKS:
        return True
    return not any(name in prompt for name in MARKS) and bool(
        re.search(rf"\b({'|'.join(MARKS)})\b", error.message, re.IGNORECASE)
    )


def refused_parameter(body: object, sent: Container[str], prompt: str) -> str:
    """Return which of the parameters `sent` an error body refuses, '' if it names none of them.

    It counts what the body names as such, or in quotes; but not in quotes what the prompt says
    too, which a server may have repeated.
    """
    error = _read(body, prompt)
    if _find_rule(400, error).kind != "parameter":
        return ""
    names = {name for name in NAMES if _KEYS.get(name, name) in sent}
    if error.param not in names:
        names = {name for name in names if name not in prompt}
    name = _named(error, names)
    return _KEYS.get(name, name)


@dataclass(frozen=True)
class _Error:
    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""


def _read(body: object, prompt: str) -> _Error:
    """Read the shapes of error bodies that are in use, without the prompt where they repeat it."""
    error = body
    while isinstance(error, (list, Mapping)):
        inner = _inside(error) if isinstance(error, Mapping) else error[0] if error else None
        if not inner:
            break
        error = inner
    if not isinstance(error, Mapping):
        error = {"message": error}
    param = error.get("param")
    message = error.get("message") or error.get("detail") or ""
    if isinstance(message, list) and message and isinstance(message[0], Mapping):
        # The shape of FastAPI, which repeats the whole request in other fields.
        place = message[0].get("loc")
        param = place[-1] if isinstance(place, list) and place else param
        message = message[0].get("msg")
    said = str(message).replace(prompt, "") if len(prompt) >= REPEATED else str(message)
    return _Error(str(error.get("code")), str(error.get("type")), said[:MESSAGE_LENGTH], str(param))


def _inside(error: Mapping[str, object]) -> object:
    """Return the error that this one is about: some gateways put another server's into theirs."""
    detail = error.get("detail")
    return error.get("error") or (detail if isinstance(detail, Mapping) else None)


def _find_rule(status: int | None, error: _Error) -> Rule:
    """Return the rule that the most telling mark selects: codes, the parameter, words, status."""
    if status is None and re.fullmatch(r"[1-5]\d\d", error.code):
        status = int(error.code)
    # What answers so stands before the API, or in its place.
    is_page = status in (400, 403) and error.message.lstrip().startswith("<")
    is_refusal = status in (400, 422) and error.param in {*_KEYS, *DRAFTS}
    # Gemini speaks of the quota of a minute as others do of credit.
    is_pause = status == 429 and _seconds({}, error.message) is not None
    marks: tuple[Callable[[Rule], object], ...] = (
        lambda rule: error.code in rule.codes - VAGUE,
        lambda rule: error.type in rule.codes - VAGUE,
        lambda rule: is_refusal and rule.kind == "parameter",
        lambda rule: is_pause and rule.kind == "rate limit",
        lambda rule: rule.words and re.search(rule.words, error.message, re.IGNORECASE),
        lambda rule: is_page and rule.kind == "address",
        lambda rule: status in rule.statuses,
        lambda rule: {error.code, error.type} & rule.codes,
    )
    return next((rule for mark in marks for rule in RULES if mark(rule)), NO_MARK)


def _named(error: _Error, names: Container[str]) -> str:
    """Return the parameter that an error names as such, or first in quotes; '' if it names none."""
    if error.param in names:
        return error.param
    quoted = re.findall(r"""['"`]([a-z_]+)(?:\[\])?['"`]""", error.message)
    return next((name for name in quoted if name in names), "")


def _categories(message: str) -> str:
    named = re.search(r"safety_violations=\[([^\]]*)", message)
    found = [word for word in CATEGORIES if named and word in named[1]]
    return f" ({', '.join(found)})" if found else ""


_AMOUNT = (
    r"(\d{1,9}(?:\.\d{1,9})?) ?"
    r"(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Some servers tell a date so: as seconds to wait it would be decades.
_UNIX_TIME = r"[1-9]\d{9}(\.\d{1,9})?"


def _seconds(headers: Mapping[str, str], message: str) -> float | None:
    """Return the wait that the server asks for: in seconds, as a date, or in words."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = rf"(?!{_UNIX_TIME}$)\d{{1,12}}(\.\d{{1,9}})?"
        if re.fullmatch(seconds, headers.get(name, ""), re.ASCII):
            return float(headers[name]) * unit
    until = _date(headers.get("retry-after", ""))
    if until:
        # By the server's own clock, where it tells the time.
        now = _date(headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    named = re.search(rf"(?:try again|retry) (?:in|after) ((?:{_AMOUNT}[ ,]*)+)", message.lower())
    if named is None:
        return None
    return sum(float(number) * _unit(name) for number, name in re.findall(_AMOUNT, named[1]))


def _date(text: str) -> datetime | None:
    try:
        if re.fullmatch(_UNIX_TIME, text, re.ASCII):
            return datetime.fromtimestamp(float(text), UTC)
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _unit(name: str) -> float:
    return 0.001 if name.startswith(("ms", "milli")) else _UNITS[name[0]]


def _not_now(problem: Problem) -> Problem:
    """Return the problem of a server that asks for a longer wait than a page stays open."""
    seconds = problem.retry_after or 0.0
    first = problem.sentence.partition(". ")[0]
    return replace(
        problem,
        sentence=f"{first}. It asks to wait: try again in {_duration(seconds)}.",
        retry=False,
    )


def _duration(seconds: float) -> str:
    """Return a time in words, never less than it is."""
    for name, length in (("minute", 60), ("hour", 3600), ("day", 86400)):
        number = -int(-seconds // length)
        if number < 100 or name == "day":
            break
    return f"{number} {name}s" if number > 1 else f"1 {name}"
