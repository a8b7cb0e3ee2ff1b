import httpx2
import openai
import pytest

from utils.images.errors import CONNECTION, CUT_OFF, NO_PICTURE, RULES, TOO_SLOW, UNKNOWN, explain
from utils.images.pictures import NotAPictureError

REQUEST = httpx2.Request("POST", "http://images.example/v1/images/generations")


def status_error(status: int, body: object, **headers: str) -> openai.APIStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=named, request=REQUEST)
    return openai.APIStatusError("sk-secret", response=response, body=body)


def openai_error(code: str | None, message: str = "", error_type: str = "") -> dict[str, object]:
    return {"message": message, "code": code, "type": error_type, "param": None}


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (400, openai_error("moderation_blocked"), "refused", False),
        (400, openai_error(None, "rejected by our safety system"), "refused", False),
        (400, openai_error("billing_hard_limit_reached"), "quota", False),
        (429, openai_error("insufficient_quota"), "quota", False),
        (429, openai_error("rate_limit_exceeded"), "rate limit", True),
        (429, {}, "rate limit", True),
        (401, openai_error("invalid_api_key", "Incorrect API key: sk-se***et"), "key", False),
        (403, openai_error(None, "Your organization must be verified"), "unverified", False),
        (403, openai_error(None, "Project has no access"), "forbidden", False),
        (404, openai_error("model_not_found"), "model", False),
        (400, openai_error(None, "The model `x` does not exist"), "model", False),
        (404, "<html>Not Found</html>", "address", False),
        (413, None, "too large", False),
        (400, openai_error(None, "bad size"), "parameter", False),
        (422, {"detail": [{"loc": ["body", "size"], "msg": "bad"}]}, "parameter", False),
        (400, {"error": "some text"}, "parameter", False),
        (408, None, "busy", True),
        (409, {"detail": "conflict"}, "busy", True),
        (500, {"error": {"message": "boom"}}, "server", True),
        (503, "<html>", "server", True),
        (418, None, "unknown", False),
    ],
)
def test_each_answer_has_its_kind(status: int, body: object, kind: str, retry: bool) -> None:
    problem = explain(status_error(status, body))
    assert (problem.kind, problem.retry) == (kind, retry)


@pytest.mark.parametrize(
    ("exc", "problem"),
    [
        (openai.APIConnectionError(request=REQUEST), CONNECTION),
        (openai.APITimeoutError(REQUEST), TOO_SLOW),
        (httpx2.ReadTimeout("slow"), TOO_SLOW),
        (TimeoutError(), TOO_SLOW),
        (httpx2.RemoteProtocolError("cut"), CUT_OFF),
        (NotAPictureError("no"), NO_PICTURE),
        (openai.OpenAIError("odd"), UNKNOWN),
    ],
)
def test_each_failure_without_an_answer_has_its_problem(exc: Exception, problem: object) -> None:
    assert explain(exc) == problem


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry_after": "7"}, "", 7.0),
        ({"retry_after": "0"}, "try again in 9s", 0.0),
        ({}, "Please try again in 12s.", 12.0),
        ({}, "Please try again in 250ms.", 0.25),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", None),
        ({}, "Please wait.", None),
    ],
)
def test_the_wait_that_the_server_names_is_found(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    body = openai_error("rate_limit_exceeded", message)
    assert explain(status_error(429, body, **headers)).retry_after == seconds


def test_the_servers_request_id_is_kept_clean() -> None:
    problem = explain(status_error(500, None, x_request_id="req_1-a<b>`"))
    assert problem.request_id == "req_1-ab"


def test_no_sentence_passes_on_what_a_server_said() -> None:
    for status in (400, 401, 403, 404, 422, 429, 500):
        body = openai_error("sk-secret", "sk-secret <b>raw</b>", "sk-secret")
        problem = explain(status_error(status, {**body, "param": "sk-secret"}))
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
        ({"error": "unknown field output_format"}, "the format"),
        ({"error": {"message": "no", "param": "<b>"}}, "the prompt or one of the settings"),
    ],
)
def test_the_parameter_at_fault_is_named(body: object, named: str) -> None:
    assert named in explain(status_error(400, body)).sentence


def test_every_sentence_says_what_to_do_next() -> None:
    verbs = ("try", "change", "check", "set", "use", "add", "verify", "wait")
    for rule in RULES:
        first, *rest = rule.sentence.split(". ", 1)
        assert rest, first
        assert any(verb in rest[0].lower() for verb in verbs), rule.sentence
