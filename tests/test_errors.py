import asyncio
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ssl import SSLCertVerificationError, SSLError

import httpx2
import openai
import pytest

from utils.images import errors
from utils.images.errors import (
    CONNECTION,
    CUT_OFF,
    KEY_GONE,
    NO_CLIENT,
    NO_PICTURE,
    NO_ROOM,
    NOT_A_KEY,
    NOT_FETCHED,
    NOT_TRUSTED,
    NOT_WRITTEN,
    RULES,
    SOURCE_GONE,
    TOO_SLOW,
    explain,
    explain_body,
    origin,
    refused_parameter,
)
from utils.images.parameters import PARAMETERS, Parameter
from utils.images.pictures import NotAPictureError
from utils.jobs import outcomes
from utils.jobs.outcomes import UNKNOWN, FailedError, Problem

REQUEST = httpx2.Request("POST", "http://images.example/v1/images/generations")


def status_error(status: int, body: object, **headers: str) -> openai.APIStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=named, request=REQUEST)
    return openai.APIStatusError("sk-secret", response=response, body=body)


def openai_error(
    code: str | None, message: str = "", error_type: str = "", param: str | None = None
) -> dict[str, object]:
    return {"message": message, "code": code, "type": error_type, "param": param}


GEMINI = {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}
XAI = {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: b***a"}
XAI_REFUSAL = {
    "code": "The caller does not have permission to execute the specified operation",
    "error": "Content violates usage guidelines. Team: t, Failed check: SAFETY_CHECK_TYPE_BIO",
}
AZURE_REFUSAL = openai_error(
    None,
    "The response was filtered due to the prompt triggering Azure OpenAI's content management "
    "policy.",
    param="prompt",
)
OPENROUTER_REFUSAL = {
    "error": {"code": 403, "message": "x requires moderation and your input was flagged"}
}
XAI_SPENT = {
    "code": "Some resource has been exhausted",
    "error": "Your team has used all available credits or reached its monthly spending limit.",
}
ENVOY_CUT = (
    "upstream connect error or disconnect/reset before headers. reset reason: connection "
    "termination"
)
ENVOY_REFUSED = ENVOY_CUT.replace("connection termination", "connection failure")
HEROKU = '<html><iframe src="//www.herokucdn.com/error-pages/application-error.html"></html>'
NGINX = "<html>The plain HTTP request was sent to HTTPS port</html>"
TRANSPARENT = "For model X, transparent background is not supported."


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry", "billed"),
    [
        (400, openai_error("moderation_blocked"), "refused", False, False),
        (400, openai_error(None, "rejected by our safety system"), "refused", False, False),
        (400, openai_error(None, "Safety system", param="prompt"), "refused", False, False),
        (400, openai_error(None, "ContentPolicyViolationError"), "refused", False, False),
        (403, XAI_REFUSAL, "refused", False, False),
        (403, OPENROUTER_REFUSAL, "refused", False, False),
        (400, openai_error(None, "Rejected by content moderation"), "refused", False, False),
        (400, AZURE_REFUSAL, "refused", False, False),
        (400, openai_error("content_filter"), "refused", False, False),
        (400, openai_error("contentFilter"), "refused", False, False),
        (400, {"error": [{"code": "moderation_blocked"}]}, "refused", False, False),
        (400, {"error": {"error": {"code": "moderation_blocked"}}}, "refused", False, False),
        (400, {"error": None, "code": "moderation_blocked"}, "refused", False, False),
        (400, openai_error(None, "moderation must be low or auto"), "parameter", False, False),
        (400, openai_error("billing_hard_limit_reached"), "quota", False, False),
        (400, openai_error("400", "over", "budget_exceeded"), "quota", False, False),
        (402, openai_error(None), "quota", False, False),
        (429, openai_error("insufficient_quota"), "quota", False, False),
        (429, openai_error(None, "", "insufficient_quota"), "quota", False, False),
        (429, {"detail": {"code": "insufficient_quota"}}, "quota", False, False),
        (403, openai_error("insufficient_user_quota"), "quota", False, False),
        (403, openai_error(None, "Your balance is insufficient"), "quota", False, False),
        (429, XAI_SPENT, "quota", False, False),
        (429, openai_error(None, "You exceeded your current quota"), "quota", False, False),
        (
            429,
            openai_error("429", "You exceeded your current quota. Please retry in 34s."),
            "rate limit",
            True,
            False,
        ),
        (429, openai_error("rate_limit_exceeded"), "rate limit", True, False),
        (
            429,
            openai_error(None, "Rate limit reached. Pay at https://x/account/billing"),
            "rate limit",
            True,
            False,
        ),
        (429, openai_error("429", "No deployments available"), "rate limit", True, False),
        (429, openai_error("billing_not_active", "Not active"), "quota", False, False),
        (429, {}, "rate limit", True, False),
        (401, openai_error("invalid_api_key", "Incorrect API key: sk-***"), "key", False, False),
        (400, openai_error("400", "No connected db.", "no_db_connection"), "key", False, False),
        (400, [GEMINI], "key", False, False),
        (400, XAI, "key", False, False),
        (403, openai_error(None, "Your organization must be verified"), "unverified", False, False),
        (403, openai_error(None, "Project has no access"), "forbidden", False, False),
        (401, openai_error("401", "", "key_model_access_denied"), "forbidden", False, False),
        (404, openai_error("model_not_found"), "model", False, False),
        (404, openai_error("DeploymentNotFound"), "model", False, False),
        (400, openai_error(None, "The model `x` does not exist"), "model", False, False),
        (400, openai_error(None, "The model 'x' is not supported"), "model", False, False),
        (400, openai_error("400", "Invalid model name passed in"), "model", False, False),
        (400, openai_error(None, "Invalid model: x"), "model", False, False),
        (400, openai_error("400", "x/y is not a valid model ID"), "model", False, False),
        (404, openai_error("404", "No endpoints found for x/y."), "model", False, False),
        (400, openai_error(None, TRANSPARENT, param="background"), "parameter", False, False),
        (422, openai_error(None, "model x not found", param="size"), "parameter", False, False),
        (400, openai_error(None, TRANSPARENT), "parameter", False, False),
        (404, "<html>Not Found</html>", "address", False, False),
        (405, None, "address", False, False),
        (400, NGINX, "address", False, False),
        (400, "Client sent an HTTP request to an HTTPS server.", "address", False, False),
        (400, "Invalid host header", "address", False, False),
        (403, "<!DOCTYPE html><title>Just a moment...</title>", "address", False, False),
        (413, None, "too large", False, False),
        (413, openai_error(None, "", "api_error"), "too large", False, False),
        (400, openai_error(None, "bad size"), "parameter", False, False),
        (400, openai_error(None, "bad", "invalid_request_error"), "parameter", False, False),
        (
            422,
            {"detail": [{"loc": ["body", "size"], "msg": "bad"}]},
            "parameter",
            False,
            False,
        ),
        (400, {"error": "some text"}, "parameter", False, False),
        (408, None, "busy", True, False),
        (408, openai_error(None, "litellm.Timeout: APITimeoutError"), "too slow", False, True),
        (408, openai_error("Timeout", "The operation was timeout."), "too slow", False, True),
        (409, {"detail": "conflict"}, "busy", True, False),
        (500, {"error": {"message": "boom"}}, "server", True, True),
        (502, "<html>", "server", True, True),
        (599, None, "server", True, True),
        (503, "<html>", "overloaded", True, False),
        (503, ENVOY_REFUSED, "overloaded", True, False),
        (503, ENVOY_CUT, "server", True, True),
        (503, HEROKU, "server", True, True),
        (529, openai_error(None, "", "overloaded_error"), "overloaded", True, False),
        (504, "<html>", "too slow", False, True),
        (504, openai_error("server_error"), "too slow", False, True),
        (524, None, "too slow", False, True),
        (418, None, "unknown", False, False),
        (307, None, "address", False, False),
        (None, {"error": {"code": "500"}}, "server", True, True),
        (None, {"error": {"code": 429}}, "rate limit", True, False),
        (None, openai_error("server_error"), "server", True, True),
        (None, openai_error(None, "", "invalid_request_error"), "parameter", False, False),
        (None, {"error": "text"}, "unknown", False, True),
    ],
)
def test_each_answer_has_its_kind(
    status: int | None, body: object, kind: str, retry: bool, billed: bool
) -> None:
    problem = explain_body(body, status)
    assert (problem.kind, problem.retry, problem.billed) == (kind, retry, billed)
    if status:
        assert explain(status_error(status, body)).kind == kind


@pytest.mark.parametrize(("said", "retry"), [("false", False), ("true", True), ("", True)])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_may_say_that_it_will_not_be_asked_again(
    status: int, said: str, *, retry: bool
) -> None:
    problem = explain(status_error(status, None, x_should_retry=said))
    assert (problem.retry, problem.sentence) == (retry, explain_body(None, status).sentence)


def caused(wrapper: openai.APIConnectionError, cause: Exception) -> Exception:
    wrapper.__cause__ = cause
    return wrapper


@pytest.mark.parametrize(
    ("exc", "problem"),
    [
        (openai.APIConnectionError(request=REQUEST), CUT_OFF),
        (openai.APITimeoutError(REQUEST), TOO_SLOW),
        (caused(openai.APITimeoutError(REQUEST), httpx2.ReadTimeout("slow")), TOO_SLOW),
        (caused(openai.APITimeoutError(REQUEST), httpx2.ConnectTimeout("slow")), CONNECTION),
        (caused(openai.APITimeoutError(REQUEST), httpx2.PoolTimeout("slow")), CONNECTION),
        (caused(openai.APITimeoutError(REQUEST), httpx2.WriteTimeout("slow")), CONNECTION),
        (caused(openai.APIConnectionError(request=REQUEST), httpx2.ConnectError("no")), CONNECTION),
        (caused(openai.APIConnectionError(request=REQUEST), httpx2.ProxyError("no")), CONNECTION),
        (caused(openai.APIConnectionError(request=REQUEST), httpx2.WriteError("no")), CONNECTION),
        (caused(openai.APIConnectionError(request=REQUEST), httpx2.ReadError("no")), CUT_OFF),
        (
            caused(openai.APIConnectionError(request=REQUEST), httpx2.RemoteProtocolError("x")),
            CUT_OFF,
        ),
        (
            caused(openai.APIConnectionError(request=REQUEST), httpx2.LocalProtocolError("x")),
            NOT_WRITTEN,
        ),
        (httpx2.ReadTimeout("slow"), TOO_SLOW),
        (TimeoutError(), TOO_SLOW),
        (httpx2.RemoteProtocolError("cut"), CUT_OFF),
        (httpx2.RemoteProtocolError("illegal status line: bytearray"), explain_body(None, 404)),
        (httpx2.RemoteProtocolError("illegal request line"), explain_body(None, 404)),
        (httpx2.DecodingError("bad gzip"), NO_PICTURE),
        (NotAPictureError("no"), NO_PICTURE),
        (FailedError(NO_ROOM), NO_ROOM),
        (openai.OpenAIError("odd"), UNKNOWN),
    ],
)
def test_each_failure_without_an_answer_has_its_problem(exc: Exception, problem: object) -> None:
    assert explain(exc) == problem


@pytest.mark.parametrize(
    ("failure", "why", "problem"),
    [
        (httpx2.ConnectError("no"), SSLCertVerificationError("self-signed"), NOT_TRUSTED),
        (httpx2.ConnectError("no"), SSLError("wrong version number"), CONNECTION),
        (httpx2.ReadError("no"), SSLCertVerificationError("another one, later"), CUT_OFF),
        (httpx2.ReadError("no"), SSLError("bad record"), CUT_OFF),
    ],
)
def test_a_certificate_that_is_not_trusted_is_known_at_connecting_alone(
    failure: Exception, why: Exception, problem: Problem
) -> None:
    failure.__cause__ = OSError("what lies between")
    # As the client's connections leave it.
    failure.__cause__.__context__ = why
    exc = caused(openai.APIConnectionError(request=REQUEST), failure)
    assert explain(exc) == problem
    assert origin(exc) is why


def test_what_ends_a_call_on_purpose_is_named_and_not_what_it_stands_for() -> None:
    exc = status_error(401, None)
    exc.__context__ = httpx2.HTTPStatusError("no", request=REQUEST, response=exc.response)
    assert origin(exc) is exc


def test_a_time_out_is_named_by_what_it_waited_for() -> None:
    slow = httpx2.ConnectTimeout("slow")
    slow.__cause__ = TimeoutError()
    assert origin(caused(openai.APITimeoutError(REQUEST), slow)) is slow
    over = TimeoutError()
    over.__cause__ = asyncio.CancelledError()
    assert origin(over) is over


@pytest.mark.parametrize(
    ("problem", "retry", "billed"),
    [
        (CONNECTION, True, False),
        (NOT_TRUSTED, False, False),
        (CUT_OFF, True, True),
        (TOO_SLOW, False, True),
        (NO_PICTURE, False, True),
        (NOT_FETCHED, False, True),
        (NO_ROOM, False, True),
        (SOURCE_GONE, False, False),
        (KEY_GONE, False, False),
        (NO_CLIENT, False, False),
        (NOT_WRITTEN, False, False),
        (NOT_A_KEY, False, False),
    ],
)
def test_what_may_have_been_billed_is_tried_again_only_where_the_sdk_would(
    problem: Problem, retry: bool, billed: bool
) -> None:
    assert (problem.retry, problem.billed) == (retry, billed)
    assert ("billed" in problem.sentence) == billed


def test_whatever_may_have_been_billed_has_a_sentence_where_nothing_ever_is() -> None:
    fixed = [
        one
        for module in (errors, outcomes)
        for one in vars(module).values()
        if isinstance(one, Problem)
    ]
    told = [explain_body(None, status) for status in (None, 500, 504)]
    every: list[Problem | errors.Rule] = [*fixed, *told, *RULES, errors.NO_MARK]
    for one in every:
        assert bool(one.unbilled) == one.billed, one.sentence
        assert "bill" not in one.unbilled


NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry_after": "7"}, "", 7.0),
        ({"retry_after": "1.5"}, "", 1.5),
        ({"retry_after": "0"}, "try again in 9s", 0.0),
        ({"retry_after_ms": "250", "retry_after": "7"}, "", 0.25),
        ({"retry_after": "", "date": format_datetime(NOW)}, "Please retry in 9s", 9.0),
        ({"retry_after": f"{NOW.timestamp() + 30:.0f}", "date": format_datetime(NOW)}, "", 30.0),
        ({"retry_after": "soon"}, "", None),
        ({"retry_after": "-5"}, "", None),
        ({"retry_after": "nan"}, "", None),
        ({}, "Please try again in 12s.", 12.0),
        ({}, "Please try again in 250ms.", 0.25),
        ({}, "No deployments available, Try again in 5 seconds. Passed model=x", 5.0),
        ({}, "Please try again in 6m0s.", 360.0),
        ({}, "Try again in 1 minute, 30 seconds", 90.0),
        ({}, "Please retry after 2 hrs", 7200.0),
        ({}, "try again in 1d2h", 93600.0),
        ({}, "try again in 3 milliseconds", 0.003),
        ({}, "try again in 3 months", None),
        ({}, "Please wait.", None),
    ],
)
def test_the_wait_that_the_server_names_is_found(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    body = openai_error("rate_limit_exceeded", message)
    found = explain(status_error(429, body, **headers)).retry_after
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("until", "now", "seconds"),
    [
        (NOW + timedelta(seconds=30), NOW, 30.0),
        (NOW - timedelta(seconds=30), NOW, 0.0),
        (NOW.replace(tzinfo=None) + timedelta(seconds=30), NOW, 30.0),
    ],
)
def test_a_date_to_wait_for_counts_by_the_servers_own_clock(
    until: datetime, now: datetime, seconds: float
) -> None:
    headers = {"retry_after": format_datetime(until), "date": format_datetime(now, usegmt=True)}
    assert explain(status_error(429, None, **headers)).retry_after == seconds


def test_a_date_to_wait_for_counts_from_now_where_the_server_tells_no_time() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=300))
    found = explain(status_error(429, None, retry_after=until)).retry_after
    assert found == pytest.approx(300, abs=5)


@pytest.mark.parametrize(
    ("seconds", "retry", "words"),
    [
        ("600", True, ""),
        ("601", False, "in 11 minutes."),
        ("660", False, "in 11 minutes."),
        ("5940", False, "in 99 minutes."),
        ("5941", False, "in 2 hours."),
        ("7200", False, "in 2 hours."),
        ("7201", False, "in 3 hours."),
        ("400000", False, "in 5 days."),
        ("999999999999", False, "days."),
    ],
)
def test_a_wait_that_nobody_sits_through_ends_the_try_and_says_when_to_come_back(
    seconds: str, retry: bool, words: str
) -> None:
    problem = explain(status_error(429, None, retry_after=seconds))
    assert problem.retry is retry
    assert problem.retry_after == float(seconds)
    if words:
        assert problem.sentence.startswith("The server is asked for more pictures than it allows")
        assert "try again " + words in problem.sentence or words == "days."
        assert problem.sentence.endswith(words)


def test_a_problem_that_is_not_for_another_try_keeps_its_sentence() -> None:
    problem = explain(status_error(401, None, retry_after="7200"))
    assert problem.sentence == explain(status_error(401, None)).sentence


def test_the_servers_request_id_is_kept_clean() -> None:
    problem = explain(status_error(500, None, x_request_id="req_1-a<b>`" + 100 * "x"))
    assert problem.request_id == ("req_1-ab" + 100 * "x")[:80]
    assert explain(status_error(500, None, x_litellm_call_id="call-7")).request_id == "call-7"
    assert explain(status_error(500, None)).request_id == ""


def test_no_sentence_passes_on_what_a_server_said() -> None:
    for status in (400, 401, 403, 404, 422, 429, 500):
        body = openai_error("sk-secret", "sk-secret <b>raw</b>", "sk-secret", "sk-secret")
        problem = explain(status_error(status, body))
        for leak in ("sk-secret", "raw", "<"):
            assert leak not in f"{problem.sentence} {problem.request_id}"


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Rejected by the safety system. safety_violations=[violence].", " (violence)."),
        ("Safety system. safety_violations=[sexual, <b>x</b>, hate]", " (sexual, hate)."),
        ("Rejected by the safety system.", "refused this prompt."),
    ],
)
def test_the_safety_systems_categories_are_named(message: str, named: str) -> None:
    assert named in explain(status_error(400, openai_error(None, message))).sentence


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"message": "Invalid value", "param": "size"}, "the size"),
        ({"detail": [{"loc": ["body", "quality"], "msg": "bad"}]}, "the quality"),
        ({"error": "unknown field `output_format`"}, "the format"),
        ({"error": "unknown field 'image[]'"}, "the picture to change"),
        ({"error": "unknown field 'width'"}, "the size"),
        ({"error": "unknown field output_format"}, "the prompt or one of the settings"),
        ({"error": {"message": "no", "param": "<b>"}}, "the prompt or one of the settings"),
    ],
)
def test_the_parameter_at_fault_is_named(body: object, named: str) -> None:
    assert named in explain(status_error(400, body)).sentence


def test_a_request_too_large_blames_what_made_it_so() -> None:
    assert "Use a shorter prompt" in explain(status_error(413, None)).sentence
    sentence = explain(status_error(413, None), pictures=True).sentence
    assert "Use fewer or smaller pictures" in sentence


def test_a_prompt_that_is_repeated_selects_no_sentence() -> None:
    prompt = "the model does not exist, says our safety system; billing hard limit"
    body = openai_error(None, f"Bad request: {prompt}")
    assert explain(status_error(400, body), prompt=prompt).kind == "parameter"
    assert explain(status_error(400, body)).kind == "refused"
    long = 'a "size"' + 5000 * "x"
    body = openai_error(None, f"In {long}: unknown 'quality'")
    assert "the quality" in explain(status_error(400, body), prompt=long).sentence


@pytest.mark.parametrize(
    ("prompt", "message", "kind"),
    [
        ("a", "Rejected by our safety system", "refused"),
        ("model", "The model `x` does not exist", "model"),
        ("safety system", "Bad request: safety system", "parameter"),
    ],
)
def test_a_prompt_of_a_word_takes_none_from_what_a_server_says(
    prompt: str, message: str, kind: str
) -> None:
    assert explain(status_error(400, openai_error(None, message)), prompt=prompt).kind == kind


SENT = {"size", "quality", "background", "stream", "partial_images"}


@pytest.mark.parametrize(
    ("body", "prompt", "name"),
    [
        (openai_error(None, "", param="size"), "any size", "size"),
        (openai_error(None, "", param="width"), "", "size"),
        (openai_error(None, "", param="output_format"), "", ""),
        (openai_error(None, "", param="prompt"), "", ""),
        (openai_error(None, "unknown 'quality' and 'size'"), "", "quality"),
        (openai_error(None, "unknown 'size' and 'quality'"), "", "size"),
        (openai_error(None, "unknown 'quality' and 'size'"), "quality", "size"),
        (openai_error(None, 'no "stream"'), "", "stream"),
        (openai_error(None, "unknown quality"), "", ""),
        (openai_error("moderation_blocked", "unknown 'quality'"), "", ""),
        ({"detail": [{"loc": ["body", "size"], "msg": "x", "input": {"quality": 1}}]}, "", "size"),
        ({"detail": [{"msg": "no 'size'"}]}, "", "size"),
        ({"detail": []}, "", ""),
        ({"detail": [{"loc": [], "msg": None}]}, "", ""),
        (None, "", ""),
    ],
)
def test_a_refused_setting_is_known_by_param_or_in_quotes(
    body: object, prompt: str, name: str
) -> None:
    assert refused_parameter(body, SENT, prompt) == name


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.key)
def test_every_setting_has_words_by_which_its_refusal_is_known(parameter: Parameter) -> None:
    assert parameter.key in parameter.refusals
    assert parameter.words.startswith("the ")
    for name in parameter.refusals:
        body = openai_error(None, "", param=name)
        assert refused_parameter(body, {parameter.key}, "") == parameter.key
        assert parameter.words in explain_body({"error": f"unknown '{name}'"}, 400).sentence


def test_every_sentence_says_what_to_do_next() -> None:
    verbs = ("try", "change", "check", "set", "use", "add", "verify", "wait")
    fixed = [value for value in globals().values() if isinstance(value, Problem)]
    sentences = [rule.sentence for rule in RULES]
    for sentence in [*sentences, *(one.sentence for one in fixed if one != UNKNOWN)]:
        first, *rest = sentence.split(". ", 1)
        assert rest, first
        assert any(re.search(rf"\b{verb}\b", rest[0].lower()) for verb in verbs), sentence
