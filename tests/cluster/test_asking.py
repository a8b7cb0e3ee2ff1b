"""A program at one server asks, a person at another decides."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.agents import ENABLED, connect
from tests.cluster.conftest import open_at
from tests.cluster.processes import Cluster, run_cluster
from tests.images_server import ImagesServer
from tests.studio import button, expect_screen, expect_settled, regenerate


@pytest.fixture
def asking_cluster(images_server: ImagesServer, tmp_path: Path) -> Iterator[Cluster]:
    with run_cluster(tmp_path, 2, **images_server.environment, **ENABLED) as cluster:
        yield cluster


def test_agent_and_person_are_at_different_servers_and_one_of_them_dies(
    context: BrowserContext, asking_cluster: Cluster, images_server: ImagesServer
) -> None:
    first, second = asking_cluster.replicas
    with connect(first.app) as agent:
        agent.open().generate("a fox", count=2)
        review_id = agent.ask("A poster").partition("?review=")[2]
    page = open_at(context, asking_cluster, second)
    page.get_by_role("button", name="Look").click()
    expect_screen(page, "2. Review Generated Image")
    expect(page.get_by_text("It is for: A poster")).to_be_visible()
    expect_settled(page)
    first.kill()
    regenerate(page, 3)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    first.start()
    with connect(first.app) as later:
        later.open(review_id)
        record = later.record()
        (data,) = later.pictures()
    (approved,) = [one for one in record["attempts"] if one["id"] == record["approved"]]
    assert hashlib.sha256(data).hexdigest() == approved["sha256"]
    assert approved["number"] == 3
    assert len(images_server.calls) == 3


def test_who_waits_at_a_server_whose_store_is_away_goes_on_when_it_is_back(
    context: BrowserContext, asking_cluster: Cluster
) -> None:
    first, second = asking_cluster.replicas
    with connect(first.app) as agent:
        agent.open().generate("a fox")
        agent.ask("A poster")
        page = open_at(context, asking_cluster, second)
        page.get_by_role("button", name="Look").click()
        expect_screen(page, "2. Review Generated Image")
        expect_settled(page)
        asking_cluster.store.kill()
        button(page, "Approve").click()
        expect(page.get_by_text("Your decision could not be written down")).to_be_visible(
            timeout=20_000
        )
        asking_cluster.store.start()
        asking_cluster.wait_until_healthy()
        button(page, "Approve").click()
        expect_screen(page, "3. Final Result")
        agent.press("Wait for the decision")
        assert agent.record()["approved"]
