"""Whether the cluster itself is what the other tests take it for."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import httpx2
import pytest
import streamlit
from playwright.sync_api import BrowserContext, expect

from tests.cluster.conftest import move_to, open_at
from tests.cluster.processes import SHUTDOWN_SECONDS, STICKY, STOPPED, Cluster
from tests.studio import LONG, prompt_box
from tests.valkey import run_valkey


def test_a_store_that_was_killed_has_what_it_had(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as store:
        with store.client() as client:
            client.set("key", "value")
        store.kill()
        store.start()
        with store.client() as client:
            assert client.get("key") == b"value"


def test_the_cookie_says_which_replica_serves(cluster: Cluster) -> None:
    with httpx2.Client() as client:
        for replica in cluster.replicas:
            client.cookies = httpx2.Cookies({STICKY: replica.cookie})
            answer = client.get(cluster.front.address)
            assert answer.status_code == 200
            # It would be another one if the proxy had chosen by itself.
            assert STICKY not in answer.cookies
        client.cookies = httpx2.Cookies()
        chosen = client.get(cluster.front.address).cookies[STICKY]
    assert chosen in {replica.cookie for replica in cluster.replicas}


def test_a_browser_whose_replica_is_dead_is_served_by_another(
    context: BrowserContext, cluster: Cluster
) -> None:
    first, *others = cluster.replicas
    page = open_at(context, cluster, first)
    first.kill()
    page.reload()
    expect(prompt_box(page)).to_be_visible(timeout=LONG)
    cookies = {str(one.get("name")): one.get("value") for one in context.cookies()}
    assert cookies[STICKY] in {replica.cookie for replica in others}
    first.start()
    for replica in others:
        replica.kill()
    page.reload()
    expect(prompt_box(page)).to_be_visible(timeout=LONG)


def test_what_an_operator_reads_is_not_for_the_world(cluster: Cluster) -> None:
    for path in ("/metrics", "/health", "/_stcore/metrics"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{cluster.front.address}{path}")
        caught.value.close()
        assert caught.value.code == 404
    assert [replica.status("/health") for replica in cluster.replicas] == [200, 200, 200]


def test_a_page_moves_where_the_test_sends_it(context: BrowserContext, cluster: Cluster) -> None:
    first, second, _ = cluster.replicas
    page = open_at(context, cluster, first)
    first.kill()
    second.pause()
    try:
        move_to(page, cluster, cluster.replicas[2])
    finally:
        second.resume()
    expect(prompt_box(page)).to_be_visible(timeout=LONG)


def test_a_slow_download_keeps_no_server_at_work_that_is_told_to_stop(cluster: Cluster) -> None:
    replica = cluster.replicas[0]
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", replica.port))
        slow.send(f"GET {largest_script()} HTTP/1.1\r\nHost: {replica.place}\r\n\r\n".encode())
        assert slow.recv(12) == b"HTTP/1.1 200"
        replica.ask_to_stop()
        replica.wait_until_it_rests()
        assert replica.app.process.poll() is None
    assert replica.app.process.wait(SHUTDOWN_SECONDS) in STOPPED


def largest_script() -> str:
    """Return where Streamlit serves the largest of its scripts."""
    folder = Path(streamlit.__file__).parent / "static/static/js"
    largest = max(folder.glob("*.js"), key=lambda path: path.stat().st_size)
    return f"/static/js/{largest.name}"
