"""What a person finds when servers die, wait or stop in the middle of what they do.

In all of it there is one call for one click at most, and no page that stays stuck.
"""

import base64
import re
import time

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.cluster.conftest import move_to, open_at
from tests.cluster.processes import (
    LEASE_SECONDS,
    NAME_HEADER,
    SHUTDOWN_SECONDS,
    STOPPED,
    Cluster,
    Replica,
    revive,
)
from tests.images_server import Call, Gate, ImagesServer, picture
from tests.stores import wait_until
from tests.studio import (
    LONG,
    button,
    expect_prompt,
    expect_screen,
    expect_settled,
    facts,
    generate,
    picture_of,
    prompt_box,
    regenerate,
    shown_bytes,
    thumbnails,
)

# In milliseconds: a lease, the next look for what is left behind, and a busy machine.
AFTER_LEASE = 3 * LEASE_SECONDS * 1000 + LONG
MAY_BE_BILLED = re.compile("may have been billed")
NOTHING_BILLED = re.compile("nothing was billed")


def alert(page: Page) -> str:
    """What the page says went wrong; '' for nothing."""
    return " ".join(page.get_by_role("alert").all_inner_texts())


def worker_of(call: Call, cluster: Cluster) -> Replica:
    """The replica that has made a call."""
    return cluster.replica(call.headers[NAME_HEADER])


def expect_interrupted(page: Page) -> None:
    """Wait until the page says that the call is lost, and offers to make it again."""
    expect(page.get_by_role("alert")).to_contain_text(MAY_BE_BILLED, timeout=AFTER_LEASE)
    expect(button(page, "Cancel")).to_have_count(0, timeout=LONG)


def expect_picture(page: Page, prompt: str, timeout: float = AFTER_LEASE) -> None:
    """Wait until the picture of a prompt is under review, byte by byte."""
    expect_screen(page, "2. Review Generated Image", timeout)
    expect_prompt(page, prompt)
    expect_settled(page)
    assert shown_bytes(page) == base64.b64decode(picture(prompt))


def expect_late_picture(page: Page, prompt: str) -> None:
    """Wait until a picture is there, that the page may have called lost meanwhile."""
    until = time.monotonic() + AFTER_LEASE / 1000
    while time.monotonic() < until and not picture_of(page).is_visible():
        page.wait_for_timeout(1000)
        # What has ended for a page it takes in when it runs again.
        page.reload()
        expect_settled(page)
    expect_picture(page, prompt)
    assert not MAY_BE_BILLED.search(alert(page))


def prompts(server: ImagesServer) -> list[str]:
    """What was asked for, in order."""
    return [str(call.wish["prompt"]) for call in server.calls]


def waiting(
    context: BrowserContext, cluster: Cluster, server: ImagesServer, prompt: str = "a fox"
) -> tuple[Page, Replica]:
    """A page that waits for its picture, and the replica that makes the call."""
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, prompt)
    (call,) = server.wait_for_calls(1)
    return page, worker_of(call, cluster)


def test_a_replica_that_only_shows_the_wait_dies_and_the_picture_comes(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, worker = waiting(context, cluster, images_server)
    shows, other = cluster.others(worker.name)
    move_to(page, cluster, shows)
    expect(button(page, "Cancel")).to_be_visible(timeout=LONG)
    shows.kill()
    move_to(page, cluster, other)
    expect(button(page, "Cancel")).to_be_visible(timeout=LONG)
    gate.set()
    expect_picture(page, "a fox")
    assert len(images_server.calls) == 1


def test_a_replica_that_makes_the_call_dies_and_the_person_is_asked(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, worker = waiting(context, cluster, images_server)
    move_to(page, cluster, cluster.others(worker.name)[0])
    expect(button(page, "Cancel")).to_be_visible(timeout=LONG)
    worker.kill()
    expect_interrupted(page)
    expect(prompt_box(page)).to_have_value("a fox")
    assert len(images_server.calls) == 1
    gate.set()
    button(page, "Generate Image").click()
    expect_picture(page, "a fox")
    assert len(images_server.calls) == 2


def test_a_page_whose_replica_dies_comes_back_by_itself(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, worker = waiting(context, cluster, images_server)
    move_to(page, cluster, worker)
    expect(button(page, "Cancel")).to_be_visible(timeout=LONG)
    worker.kill()
    expect_interrupted(page)
    assert len(images_server.calls) == 1


def test_a_replica_dies_in_mid_review_and_every_attempt_is_there(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    regenerate(page, 2)
    cluster.replicas[0].kill()
    page.reload()
    expect_picture(page, "a fox")
    expect(thumbnails(page)).to_have_count(2)
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    assert shown_bytes(page) == base64.b64decode(picture("a fox"))
    assert len(images_server.calls) == 2


def test_what_waits_in_line_behind_a_dead_replica_is_made_elsewhere(
    browser: Browser,
    context: BrowserContext,
    narrow_cluster: Cluster,
    images_server: ImagesServer,
    gate: Gate,
) -> None:
    page, worker = waiting(context, narrow_cluster, images_server)
    shows = narrow_cluster.others(worker.name)[0]
    move_to(page, narrow_cluster, shows)
    with browser.new_context() as another:
        second = open_at(another, narrow_cluster, shows)
        generate(second, "an owl")
        expect(button(second, "Cancel")).to_be_visible(timeout=LONG)
        worker.kill()
        gate.set()
        expect_picture(second, "an owl")
    expect_interrupted(page)
    assert prompts(images_server) == ["a fox", "an owl"]


def test_a_replica_that_is_asked_to_stop_waits_for_its_call(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, worker = waiting(context, cluster, images_server)
    worker.ask_to_stop()
    worker.wait_until_it_rests()
    gate.set()
    move_to(page, cluster, cluster.others(worker.name)[0])
    expect_picture(page, "a fox")
    assert worker.app.process.wait(SHUTDOWN_SECONDS) in STOPPED
    assert len(images_server.calls) == 1


def test_a_replica_that_is_asked_to_stop_does_not_wait_for_ever(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, worker = waiting(context, cluster, images_server)
    worker.ask_to_stop()
    move_to(page, cluster, cluster.others(worker.name)[0])
    expect_interrupted(page)
    assert worker.app.process.wait(2 * SHUTDOWN_SECONDS) in STOPPED
    assert len(images_server.calls) == 1


def test_a_replica_that_is_asked_to_stop_hands_on_what_waits_in_line(
    browser: Browser,
    context: BrowserContext,
    narrow_cluster: Cluster,
    images_server: ImagesServer,
    gate: Gate,
) -> None:
    page, worker = waiting(context, narrow_cluster, images_server)
    with browser.new_context() as another:
        second = open_at(another, narrow_cluster, worker)
        generate(second, "an owl")
        expect(button(second, "Cancel")).to_be_visible(timeout=LONG)
        worker.ask_to_stop()
        gate.set()
        rest = narrow_cluster.others(worker.name)
        for one, prompt in ((page, "a fox"), (second, "an owl")):
            move_to(one, narrow_cluster, rest[0])
            expect_picture(one, prompt)
    assert prompts(images_server) == ["a fox", "an owl"]


def test_a_rolling_update_under_open_pages_loses_nothing(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    for number, replica in enumerate(cluster.replicas, 2):
        replica.ask_to_stop()
        assert replica.app.process.wait(2 * SHUTDOWN_SECONDS) in STOPPED
        replica.start()
        page.reload()
        expect_picture(page, "a fox")
        regenerate(page, number)
    expect(thumbnails(page)).to_have_count(4)
    assert len(images_server.calls) == 4


@pytest.mark.parametrize("answered", ["while it stands still", "after that"])
def test_a_replica_that_stands_still_is_given_up_and_its_picture_comes_late(
    context: BrowserContext,
    cluster: Cluster,
    images_server: ImagesServer,
    gate: Gate,
    answered: str,
) -> None:
    page, worker = waiting(context, cluster, images_server)
    move_to(page, cluster, cluster.others(worker.name)[0])
    expect(button(page, "Cancel")).to_be_visible(timeout=LONG)
    worker.pause()
    try:
        expect_interrupted(page)
        if answered == "while it stands still":
            gate.set()
            images_server.wait_for_calls(1, ended=True)
    finally:
        worker.resume()
    # Not a wait for something to happen: long enough for what it does when it wakes.
    time.sleep(2)
    gate.set()
    expect_late_picture(page, "a fox")
    assert [call.ended for call in images_server.calls] == ["answered"]


def test_without_its_store_a_click_begins_nothing_and_what_is_there_stays(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    cluster.store.kill()
    button(page, "Regenerate").click()
    expect(page.get_by_role("alert")).to_contain_text(NOTHING_BILLED, timeout=AFTER_LEASE)
    expect(button(page, "Cancel")).to_have_count(0, timeout=LONG)
    assert [one.status("/_stcore/health") for one in cluster.replicas] == [200, 200, 200]
    assert [one.status("/health") for one in cluster.replicas] == [503, 503, 503]
    expect_picture(page, "a fox")
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    button(page, "Back").click()
    expect_picture(page, "a fox")
    assert len(images_server.calls) == 1
    cluster.store.start()
    regenerate(page, 2)
    assert len(images_server.calls) == 2
    cluster.wait_until_healthy()


def test_the_first_click_of_all_without_a_store_keeps_the_prompt(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    cluster.store.kill()
    generate(page, "a fox")
    expect(page.get_by_role("alert")).to_contain_text(NOTHING_BILLED, timeout=AFTER_LEASE)
    expect(prompt_box(page)).to_have_value("a fox")
    cluster.store.start()
    button(page, "Generate Image").click()
    expect_picture(page, "a fox")
    assert len(images_server.calls) == 1


@pytest.mark.parametrize("how", ["killed", "held up"])
def test_a_picture_comes_though_the_store_was_away_during_its_call(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate, how: str
) -> None:
    page, _ = waiting(context, cluster, images_server)
    cluster.store.kill() if how == "killed" else cluster.store.pause()
    # Not a wait for something to happen, but the length of the outage.
    time.sleep(1)
    revive(cluster.store)
    gate.set()
    expect_picture(page, "a fox")
    assert len(images_server.calls) == 1


@pytest.mark.parametrize("outage", [1, 2 * LEASE_SECONDS])
def test_an_answer_that_finds_no_store_waits_for_it(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate, outage: int
) -> None:
    page, _ = waiting(context, cluster, images_server)
    cluster.store.kill()
    gate.set()
    images_server.wait_for_calls(1, ended=True)
    time.sleep(outage)
    cluster.store.start()
    expect_late_picture(page, "a fox")
    assert [call.ended for call in images_server.calls] == ["answered"]


def test_a_store_that_has_lost_everything_serves_the_next_click(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    cluster.store.kill()
    cluster.store.forget()
    cluster.store.start()
    page.reload()
    expect_screen(page, "1. Generate Image")
    generate(page, "an owl")
    expect_picture(page, "an owl")
    assert prompts(images_server) == ["a fox", "an owl"]


def test_what_is_decided_while_the_store_is_away_is_kept_once_it_is_back(
    context: BrowserContext, cluster: Cluster
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    cluster.store.kill()
    button(page, "Approve").click()
    expect_screen(page, "3. Final Result")
    cluster.store.start()
    tab = open_at(context, cluster, cluster.replicas[1])

    def shows_it() -> bool:
        tab.reload()
        expect_settled(tab)
        return tab.get_by_role("heading", name="3. Final Result").is_visible()

    wait_until(shows_it, LONG / 1000)


def test_cancel_reaches_a_call_that_another_replica_makes(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, worker = waiting(context, cluster, images_server)
    first, second = cluster.others(worker.name)
    move_to(page, cluster, first)
    tab = open_at(context, cluster, second)
    expect(button(tab, "Cancel")).to_be_visible(timeout=LONG)
    button(tab, "Cancel").click()
    (call,) = images_server.wait_for_calls(1, ended=True)
    assert call.ended == "client left"
    for one in (page, tab):
        expect(button(one, "Cancel")).to_have_count(0, timeout=LONG)
        expect(one.get_by_role("alert")).to_contain_text("Cancelled")
    assert len(images_server.calls) == 1


def test_cancel_reaches_a_call_though_the_store_was_away(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, worker = waiting(context, cluster, images_server)
    move_to(page, cluster, cluster.others(worker.name)[0])
    cluster.store.kill()
    cluster.store.start()
    button(page, "Cancel").click()
    (call,) = images_server.wait_for_calls(1, ended=True)
    assert call.ended == "client left"
    expect(button(page, "Cancel")).to_have_count(0, timeout=LONG)


def test_two_tabs_on_two_replicas_show_one_job_and_its_picture(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    page, _ = waiting(context, cluster, images_server)
    tabs = [page, *[open_at(context, cluster, one) for one in cluster.replicas[1:]]]
    for tab in tabs:
        expect(button(tab, "Cancel")).to_be_visible(timeout=LONG)
    gate.set()
    for tab in tabs:
        expect_picture(tab, "a fox")
    assert len(images_server.calls) == 1


def test_nobody_else_sees_a_picture_on_any_replica(
    browser: Browser, context: BrowserContext, cluster: Cluster, images_server: ImagesServer
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    address = str(picture_of(page).evaluate("image => image.src"))
    with browser.new_context() as another:
        for replica in cluster.replicas:
            stranger = open_at(another, cluster, replica)
            expect_screen(stranger, "1. Generate Image")
            expect_settled(stranger)
            expect(thumbnails(stranger)).to_have_count(0)
            expect(stranger.locator(".st-key-recent img")).to_have_count(0)
            # Who has no signed address finds nothing, though the name of a picture follows from it.
            name, _, signature = address.rpartition(".")
            guess = f"{name}.{signature[::-1]}"
            assert stranger.request.get(guess).status == 404
    assert len(images_server.calls) == 1


def test_a_browser_that_the_proxy_sends_elsewhere_finds_everything(
    context: BrowserContext, cluster: Cluster, images_server: ImagesServer
) -> None:
    page = open_at(context, cluster, cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    for number, replica in enumerate(cluster.replicas[1:], 2):
        move_to(page, cluster, replica)
        expect_picture(page, "a fox")
        regenerate(page, number)
    move_to(page, cluster, cluster.replicas[0])
    expect(facts(page)).to_contain_text("Picture 3 ·")
    expect(thumbnails(page)).to_have_count(3)
    assert len(images_server.calls) == 3


def test_what_no_worker_apart_has_begun_is_made_by_the_next(
    context: BrowserContext, apart_cluster: Cluster, images_server: ImagesServer
) -> None:
    first = apart_cluster.start_worker()
    page = open_at(context, apart_cluster, apart_cluster.replicas[0])
    generate(page, "a fox")
    expect_picture(page, "a fox")
    # It holds its places in line, and begins nothing.
    first.pause()
    button(page, "Regenerate").click()
    expect(button(page, "Cancel")).to_be_visible(timeout=LONG)
    first.kill()
    apart_cluster.start_worker()
    expect(facts(page)).to_contain_text("Picture 2 ·", timeout=AFTER_LEASE)
    assert len(images_server.calls) == 2


def test_a_worker_apart_dies_in_its_call_and_the_person_is_asked(
    context: BrowserContext, apart_cluster: Cluster, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(hold=gate)
    worker = apart_cluster.start_worker()
    page = open_at(context, apart_cluster, apart_cluster.replicas[0])
    generate(page, "a fox")
    images_server.wait_for_calls(1, within=30)
    worker.kill()
    apart_cluster.start_worker()
    expect_interrupted(page)
    gate.set()
    assert len(images_server.calls) == 1
    button(page, "Generate Image").click()
    expect_picture(page, "a fox")
    assert len(images_server.calls) == 2


def test_a_worker_apart_dies_with_an_answer_that_it_could_not_store(
    context: BrowserContext, apart_cluster: Cluster, images_server: ImagesServer
) -> None:
    gate = Gate()
    images_server.script(hold=gate)
    worker = apart_cluster.start_worker()
    page = open_at(context, apart_cluster, apart_cluster.replicas[0])
    generate(page, "a fox")
    images_server.wait_for_calls(1, within=30)
    apart_cluster.store.pause()
    gate.set()
    images_server.wait_for_calls(1, ended=True)
    worker.kill()
    apart_cluster.store.resume()
    apart_cluster.start_worker()
    expect_interrupted(page)
    assert [call.ended for call in images_server.calls] == ["answered"]
