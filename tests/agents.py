"""A program that uses the app: the official MCP client, from a thread with a loop of its own."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urljoin

import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import RunningApp

ENABLED = {"STREAMLIT_SERVER_ENABLE_AGENT_API": "true"}


class RefusedError(Exception):
    """An answer that is an error, with its code."""


class Agent:
    """One session of a program; `page` is what it was shown last."""

    def __init__(self, app: RunningApp, client: Client, portal: BlockingPortal) -> None:
        self._app, self._client, self._portal = app, client, portal
        self.session_id = ""
        self.page: dict[str, Any] = {}

    def send(self, **wish: Any) -> dict[str, Any]:
        """Make one interaction, and return the page; one that takes long is waited for."""
        session = {"session_id": self.session_id} if self.session_id else {}
        answer = self._portal.call(self._client.call_tool, "interact", {**session, **wish})
        told = json.loads(answer.content[0].text)
        error = told.get("error", {})
        self.session_id = error.get("session_id") or told.get("session_id") or self.session_id
        if error.get("code") == "wait_timed_out":
            return self.send()
        if error:
            raise RefusedError(error["code"])
        self.page = dict(told)
        return self.page

    def open(self, review: str = "") -> Self:
        """Open the page, at a review if that is given."""
        self.send(**({"query_params": {"review": [review]}} if review else {}))
        return self

    def press(self, key: str, **widgets: object) -> None:
        """Set widgets, and press a button."""
        self.send(trigger={"key": key}, **({"widget_state": widgets} if widgets else {}))

    def generate(self, prompt: str, count: int = 1) -> None:
        """Ask for pictures of a prompt."""
        self.press("Generate Image", prompt=prompt, count=str(count))

    def ask(self, purpose: str) -> str:
        """Ask a person, and return the link."""
        self.press("Ask a person", purpose=purpose)
        return self.link

    @property
    def link(self) -> str:
        """The link by which a person decides."""
        return next(text for text in self.texts("code") if "?review=" in text)

    @property
    def keys(self) -> list[str]:
        """The keys of all that can be done."""
        return [action["key"] for action in self.page["actions"]]

    def texts(self, kind: str = "") -> list[str]:
        """Return what stands on the page, of all elements or of one kind."""
        return texts(self.page, kind)

    def record(self) -> dict[str, Any]:
        """Return the record of the decision."""
        (shown,) = [one for one in nodes(self.page["tree"]) if one["type"] == "json"]
        body = shown["props"]["body"]
        return dict(json.loads(body) if isinstance(body, str) else body)

    def pictures(self) -> list[bytes]:
        """Return the bytes of the pictures on the page."""
        shown = [one for one in nodes(self.page["tree"]) if one["type"] == "image"]
        found = []
        for image in shown:
            address = urljoin(f"{self._app.address}/_stcore/agent/", str(image["props"]["url"]))
            found.append(httpx2.get(address).content)
        return found


def texts(page: Mapping[str, Any], kind: str = "") -> list[str]:
    """Return what stands on a page, of all elements or of one kind."""
    return [
        str(one["props"].get("body") or one["props"].get("label") or "")
        for one in nodes(page["tree"])
        if "props" in one and kind in ("", one["type"])
    ]


def nodes(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield an element and all below it."""
    yield tree
    for child in tree.get("children", ()):
        yield from nodes(child)


@contextmanager
def connect(app: RunningApp) -> Iterator[Agent]:
    """Start a program that has connected to the app."""
    with start_blocking_portal() as portal:
        # A connection that rests as long as the server keeps one may be closed as it is used.
        http = httpx2.AsyncClient(
            limits=httpx2.Limits(keepalive_expiry=1), timeout=httpx2.Timeout(30, read=300)
        )
        client = Client(
            streamable_http_client(f"{app.address}/_stcore/agent/mcp", http_client=http)
        )
        with portal.wrap_async_context_manager(http), portal.wrap_async_context_manager(client):
            yield Agent(app, client, portal)
