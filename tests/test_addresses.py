import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.calls import OWNER
from utils.images import ROUTES, address, offer
from utils.review.blobs import blobs

PNG = b"\x89PNG\r\n\x1a\n, more or less"


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=ROUTES))


def test_a_picture_is_served_untouched_to_who_was_shown_it(client: TestClient) -> None:
    name = blobs.put(OWNER, PNG, thumbnail=b"\xff\xd8small")
    whole, small = client.get(address(name)), client.get(address(name, "thumbnail"))
    assert (whole.content, whole.headers["content-type"]) == (PNG, "image/png")
    assert (small.content, small.headers["content-type"]) == (b"\xff\xd8small", "image/jpeg")
    assert "private" in whole.headers["cache-control"]
    assert whole.headers["x-content-type-options"] == "nosniff"


def test_who_knows_the_name_alone_finds_nothing(client: TestClient) -> None:
    name = blobs.put(OWNER, PNG)
    good = address(name)
    for wrong in (f"app/static/pictures/{name}", good[:-1], good.replace(name[:5], "aaaaa")):
        assert client.get(wrong).status_code == 404


def test_a_picture_that_is_gone_is_not_found(client: TestClient) -> None:
    gone = address(blobs.put(OWNER, PNG))
    blobs.forget(OWNER)
    assert client.get(gone).status_code == 404


def test_an_archive_is_made_anew_each_time_it_is_asked_for(client: TestClient) -> None:
    made = iter([[b"fir", b"st"], [b"second"], [b"third"]])
    found = offer("a decision", lambda: next(made))
    answers = [client.get(found) for _ in range(2)]
    assert [one.content for one in answers] == [b"first", b"second"]
    assert {one.headers["content-type"] for one in answers} == {"application/zip"}
    assert {one.headers["cache-control"] for one in answers} == {"no-store"}
    assert offer("a decision", lambda: [b"of the last run"]) == found
    assert client.get(found).content == b"of the last run"


def test_an_archive_is_found_by_who_was_shown_its_address_alone(client: TestClient) -> None:
    found = offer("a decision", lambda: [b"PK"])
    picture = address(blobs.put(OWNER, PNG))
    signed = found.rpartition("/")[2]
    for wrong in (
        "app/static/archives/a decision",
        found[:-1],
        f"app/static/pictures/{signed}",
        picture.replace("pictures", "archives"),
    ):
        assert client.get(wrong).status_code == 404
