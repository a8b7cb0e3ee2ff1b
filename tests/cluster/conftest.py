"""The actors: three servers that share a store, and the person before their proxy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.cluster.processes import STICKY, Cluster, Replica, run_cluster
from tests.images_server import Gate, ImagesServer
from tests.studio import open_app


@pytest.fixture
def cluster(images_server: ImagesServer, tmp_path: Path) -> Iterator[Cluster]:
    with run_cluster(tmp_path, 3, **images_server.environment) as cluster:
        yield cluster


@pytest.fixture
def narrow_cluster(images_server: ImagesServer, tmp_path: Path) -> Iterator[Cluster]:
    """One call in flight at once, for all servers together."""
    settings = images_server.environment | {"IMAGE_CONCURRENCY": "1"}
    with run_cluster(tmp_path, 3, **settings) as cluster:
        yield cluster


@pytest.fixture
def apart_cluster(images_server: ImagesServer, tmp_path: Path) -> Iterator[Cluster]:
    """Pages that make no calls; no worker runs yet."""
    with run_cluster(tmp_path, 2, **images_server.environment, WORKER="apart") as cluster:
        yield cluster


@pytest.fixture
def gate(images_server: ImagesServer) -> Iterator[Gate]:
    """What holds every call back until it is opened; ask for it after the cluster."""
    gate = Gate()
    images_server.script(hold=gate)
    yield gate
    # Servers wait for calls in flight before they stop.
    gate.set()


def send_to(context: BrowserContext, cluster: Cluster, replica: Replica) -> None:
    """Have the proxy send this browser to one of the replicas from now on."""
    url = cluster.front.address
    context.add_cookies([{"name": STICKY, "value": replica.cookie, "url": url}])


def open_at(context: BrowserContext, cluster: Cluster, replica: Replica) -> Page:
    """Open a tab at one of the replicas."""
    send_to(context, cluster, replica)
    page = context.new_page()
    open_app(page, cluster.front)
    return page


def move_to(page: Page, cluster: Cluster, replica: Replica) -> None:
    """Let the proxy send this page elsewhere, which is a reload there."""
    # What the page as it was has asked for just now may bring it the cookie of another one.
    page.goto("about:blank")
    send_to(page.context, cluster, replica)
    open_app(page, cluster.front)
