"""What an operator sees: one log line a call, metrics for Prometheus, and whether the app serves.

Never a key, a prompt, a picture, a cookie or a name is in any of them.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType

from cachetools import cached
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from utils.jobs.table import Phase, jobs
from utils.review.blobs import blobs
from utils.settings import get_settings

logger = logging.getLogger(__name__)

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
MADE = "made"
BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300)


@dataclass(frozen=True)
class EndedCall:
    """One call of an engine that has ended.

    `outcome` is "made", or the kind of the Problem that it ended with, and `try_` the how many-th
    of its request it was; `server_request` is the server's own name for it.
    """

    request: str
    who: str
    model: str
    size: str
    try_: int
    seconds: float
    outcome: str
    tokens: int = 0
    dollars: float = 0.0
    status: int | None = None
    error: str = ""
    server_request: str = ""


def note_call(call: EndedCall) -> None:
    """Log a call that has ended, and count it."""
    fields = {key.rstrip("_"): value for key, value in asdict(call).items() if value}
    fields["who"] = pseudonym(call.who)
    fields["seconds"] = round(call.seconds, 1)
    level = logging.INFO if call.outcome in (MADE, "cancelled") else logging.WARNING
    logger.log(level, "call %s", in_words(fields), extra={"call": fields})
    try:
        if get_settings().metrics_token:
            _metrics().note(call)
    except Exception as exc:
        # A picture that was paid for must not be lost to its counting.
        logger.error("a call could not be counted: %s", type(exc).__name__)


def pseudonym(owner: str) -> str:
    """Return a name for an owner that tells owners apart, and says nothing of who they are."""
    return hashlib.sha256(owner.encode()).hexdigest()[:12]


def in_words(fields: dict[str, object]) -> str:
    """Return fields as key=value, in quotes where a value has spaces or what is not printed."""
    texts = {key: str(value) for key, value in fields.items()}
    return " ".join(
        f"{key}={text if text.isprintable() and ' ' not in text else json.dumps(text)}"
        for key, text in texts.items()
    )


class TextFormatter(logging.Formatter):
    """One line in words; of an exception what it was and where, never what it said: a prompt or a
    key may be in that."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatException(self, ei: _Raised) -> str:  # noqa: N802
        """Return the traceback, and after it those of what led to it."""
        told, exc = [], ei[1]
        while exc:
            where = "".join(traceback.format_tb(exc.__traceback__))
            told.append(f"Traceback of {type(exc).__name__}:\n{where.rstrip()}")
            exc = exc.__cause__ or exc.__context__
        return "\n".join(told)


class JsonFormatter(TextFormatter):
    """One JSON object a line; what is known of a call stands in fields of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        call = getattr(record, "call", None)
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": "call" if call else record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line | (call or {}))


def set_up_logging() -> None:
    """Let this app's own lines, and Streamlit's, be written as the server is set to."""
    handler = logging.StreamHandler()
    as_json = get_settings().log_format == "json"
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Each module of Streamlit, and its server, has a handler of its own.
    for name in logging.root.manager.loggerDict:
        for own in logging.getLogger(name).handlers:
            own.setFormatter(handler.formatter)
    # Those of the server beneath it have none, and pass on nothing.
    if logging.lastResort:
        logging.lastResort.setFormatter(handler.formatter)
    for room in ("nodes", "utils"):
        logging.getLogger(room).setLevel(logging.INFO)


class OpenPages:
    """ASGI middleware that counts the pages that are open."""

    count = 0

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or the page's websocket."""
        is_page = scope["type"] == "websocket"
        OpenPages.count += is_page
        try:
            await self.app(scope, receive, send)
        finally:
            OpenPages.count -= is_page


class _Metrics:
    """What has been counted since the start, and what is the case when it is asked for."""

    def __init__(self) -> None:
        # Imported where metrics are asked for: most servers do not.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        def gauge(name: str, words: str, now: Callable[[], float]) -> None:
            Gauge(f"review_{name}", words, registry=self.registry).set_function(now)

        self.registry = CollectorRegistry()
        self.calls = Counter(
            "review_calls", "Calls that have ended.", ("model", "outcome"), registry=self.registry
        )
        self.seconds = Histogram(
            "review_call_seconds",
            "How long calls took.",
            ("model", "outcome"),
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.tokens = Counter(
            "review_tokens", "Tokens, by the server's count.", ("model",), registry=self.registry
        )
        self.dollars = Counter(
            "review_dollars", "Dollars, by estimate.", ("model",), registry=self.registry
        )
        gauge("calls_in_flight", "Calls under way.", lambda: jobs.count(Phase.WORKING))
        gauge("calls_in_line", "Requests that wait for a place.", lambda: jobs.count(Phase.QUEUED))
        gauge("result_bytes", "Bytes of results in memory.", lambda: blobs.weight)
        gauge("open_pages", "Pages that are open.", lambda: OpenPages.count)

    def note(self, call: EndedCall) -> None:
        """Count a call that has ended."""
        self.calls.labels(call.model, call.outcome).inc()
        self.seconds.labels(call.model, call.outcome).observe(call.seconds)
        self.tokens.labels(call.model).inc(call.tokens)
        self.dollars.labels(call.model).inc(call.dollars)


@cached({}, condition=threading.Condition())
def _metrics() -> _Metrics:
    return _Metrics()


async def serve_metrics(request: Request) -> Response:
    """Answer in Prometheus' text format whoever knows the token; for all others it is not there."""
    token = get_settings().metrics_token
    # Starlette reads what was sent as Latin-1, whatever it was.
    sent = request.headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
    if token is None or not hmac.compare_digest(sent, token.get_secret_value().encode()):
        return PlainTextResponse("Not Found", 404)
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    # In a thread: what is counted may be in a store that is away, and all pages share this loop.
    text = await asyncio.to_thread(generate_latest, _metrics().registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def serve_health(_: Request) -> Response:
    """Answer 200 where a click would be served, 503 where it would not."""
    trouble = await jobs.check()
    return PlainTextResponse(trouble or "ok", 503 if trouble else 200)


ROUTES = [Route("/metrics", serve_metrics), Route("/health", serve_health)]
