"""Many people at once on several servers, over the websocket alone."""

import asyncio
import base64
import re
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx2

from tests.cluster.processes import LEASE_SECONDS, NAME_HEADER, STICKY, Cluster, Replica
from tests.images_server import Gate, ImagesServer, Pause, picture, plain
from tests.sessions import Session

PEOPLE = 24
PATIENCE = 10.0 * LEASE_SECONDS


@dataclass(frozen=True)
class Visitor:
    """A browser: the cookie that says who it is, and the prompt that it asks for."""

    address: str
    token: str
    prompt: str = ""

    def at(self, replica: Replica) -> Session:
        """Open a page of this browser at one of the replicas."""
        return Session(self.address, self.cookie(replica))

    def cookie(self, replica: Replica) -> str:
        """What this browser sends to have this replica."""
        return f"{STICKY}={replica.cookie}; {self.token}"


def visitors(cluster: Cluster, count: int) -> list[Visitor]:
    """Browsers that nobody has seen before."""
    address, found = cluster.front.address, []
    for number in range(count):
        cookies = httpx2.get(address).cookies
        token = next(f"{name}={value}" for name, value in cookies.items() if name != STICKY)
        found.append(Visitor(address, token, f"picture {number}"))
    return found


def texts(session: Session) -> str:
    """What the page says went wrong."""
    return " ".join(one.alert.body for one in session.elements.get("alert", []))


def is_open(session: Session) -> bool:
    """Whether a page has been shown to its end."""
    return session.runs_finished > 0 and session.has_button("Generate Image")


def has_ended(session: Session) -> bool:
    """Whether a page shows how a wait has ended; the run that has waited ends with neither."""
    told = session.has_button("Approve") or "alert" in session.elements
    return session.runs_finished > 0 and told and not session.has_button("Cancel")


async def picture_in(session: Session, cookie: str) -> bytes:
    async with httpx2.AsyncClient() as client:
        answer = await client.get(session.picture_address(), headers={"Cookie": cookie})
        return answer.content


def test_one_of_three_replicas_dies_under_many_people(
    cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    people = visitors(cluster, PEOPLE)
    dead, *living = cluster.replicas

    async def ask(person: Visitor, replica: Replica) -> None:
        async with person.at(replica) as session:
            await session.generate(person.prompt)
            await session.wait_for(lambda one: one.has_button("Cancel"))

    async def come_back(person: Visitor, replica: Replica) -> bytes | str:
        async with person.at(replica) as session:
            await session.wait_for(has_ended)
            if session.has_button("Approve"):
                return await picture_in(session, person.cookie(replica))
            return texts(session)

    async def use_the_app() -> list[bytes | str]:
        asked = [ask(one, cluster.replicas[n % 3]) for n, one in enumerate(people)]
        await asyncio.gather(*asked)
        # All calls that may be in flight at once.
        await asyncio.to_thread(images_server.wait_for_calls, 8)
        dead.kill()
        gate.set()
        back = [come_back(one, living[n % 2]) for n, one in enumerate(people)]
        return await asyncio.gather(*back)

    found = asyncio.run(asyncio.wait_for(use_the_app(), PATIENCE))
    calls = Counter(str(call.wish["prompt"]) for call in images_server.calls)
    made = {
        str(call.wish["prompt"])
        for call in images_server.calls
        if call.headers[NAME_HEADER] != dead.name
    }
    assert max(calls.values()) == 1
    for person, one in zip(people, found, strict=True):
        if person.prompt in made:
            assert one == base64.b64decode(picture(person.prompt)), person
        else:
            # Its call was begun, or about to be, when the replica died.
            assert "may have been billed" in str(one), person
    assert len(people) - len(made) <= 8


def test_two_tabs_on_two_replicas_that_ask_for_the_same_at_once_pay_once(
    cluster: Cluster, images_server: ImagesServer, gate: Gate
) -> None:
    person = visitors(cluster, 1)[0]

    async def use_the_app() -> list[bytes]:
        async with AsyncExitStack() as stack:
            # Of the same memory: the first leaves it, and all others begin with it.
            async with person.at(cluster.replicas[0]) as first:
                await first.wait_for(is_open)
            tabs = [await stack.enter_async_context(person.at(one)) for one in cluster.replicas]
            for tab in tabs:
                await tab.wait_for(is_open)
            await asyncio.gather(*[tab.generate("a fox") for tab in tabs])
            for tab in tabs:
                await tab.wait_for(lambda one: one.has_button("Cancel"))
            await asyncio.to_thread(images_server.wait_for_calls, 1)
            gate.set()
            for tab in tabs:
                await tab.wait_until_settled("Regenerate")
            cookies = [person.cookie(one) for one in cluster.replicas]
            pairs = zip(tabs, cookies, strict=True)
            return [await picture_in(tab, cookie) for tab, cookie in pairs]

    shown = asyncio.run(asyncio.wait_for(use_the_app(), PATIENCE))
    assert shown == [base64.b64decode(picture("a fox"))] * 3
    assert len(images_server.calls) == 1


def test_cancel_at_any_moment_from_another_replica_leaves_no_page_stuck(
    cluster: Cluster, images_server: ImagesServer
) -> None:
    people = visitors(cluster, 20)

    async def change_ones_mind(person: Visitor, number: int) -> str:
        first, second = (cluster.replicas[(number + n) % 3] for n in range(2))
        async with person.at(first) as page, person.at(second) as tab:
            await page.generate(person.prompt)
            await page.wait_for(lambda one: one.has_button("Cancel"))
            # From before the call begins until after its picture has come.
            await asyncio.sleep(number * 0.03)
            await tab.rerun()
            if tab.has_button("Cancel"):
                await tab.click(tab.button_id("Cancel"))
            await page.wait_for(has_ended)
            return "picture" if page.has_button("Approve") else texts(page)

    async def use_the_app() -> list[str]:
        found = []
        for number, person in enumerate(people):
            images_server.script([Pause(0.3), *plain(picture(person.prompt))])
            found.append(await change_ones_mind(person, number))
            assert len(images_server.calls) <= 1
        return found

    found = asyncio.run(asyncio.wait_for(use_the_app(), 2 * PATIENCE))
    told = [one for one in found if one != "picture"]
    assert all(re.match("Cancelled", one) for one in told), told
