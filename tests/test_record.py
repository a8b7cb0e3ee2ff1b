import base64
import hashlib
import io
import json
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import ROOT
from tests.images_server import picture
from tests.stores import new_store
from utils.images.api import Picture, keep
from utils.images.pictures import check_picture
from utils.images.record import PIECE, Record, write_archive
from utils.images.verify import verify
from utils.review import choosing, moves
from utils.review.blobs import blobs
from utils.review.records import Approval, Attempt, Cost, Engine, Pending, Wish
from utils.review.store import Store

SCHEMA = ROOT / "docs" / "record.schema.json"
OPENAI = Engine("OpenAI", "gpt-image-2.6-flare", "https://api.openai.com/v1")
Change = Callable[[dict[str, Any]], None]


def picture_data(words: str) -> bytes:
    return base64.b64decode(picture(words))


def add(shared: Store, attempt_id: str, prompt: str, parent: str = "") -> Attempt:
    """Let a picture of the prompt arrive."""
    checked = check_picture(picture_data(prompt))
    name = keep(shared["owner"], checked)
    made = Picture(name, checked.extension, checked.width, checked.height, 7, Cost(7, 0.02), 1.5)
    wish = Wish(prompt, OPENAI, {"size": "1024x1024"}, parent=parent, brief=f"All of {prompt}")
    moves.receive(shared, Pending(attempt_id, attempt_id, wish), replace(made, request_id="req_9"))
    return shared["attempts"][-1]


@pytest.fixture
def shared() -> Store:
    """A store where the second of three pictures has been approved."""
    shared = new_store()
    for number in range(1, 4):
        add(shared, f"attempt-{number}", f"fox {number}", "attempt-1" if number > 1 else "")
    moves.approve(shared, "attempt-2")
    return shared


def archive(shared: Store, *, whole: bool, words: str = "A fox") -> bytes:
    approved = choosing.find_attempt(shared, shared["approved"])
    return b"".join(pieces(shared, approved, words, whole=whole))


def pieces(shared: Store, approved: Attempt, words: str, *, whole: bool) -> Iterator[bytes]:
    return write_archive(cast("Approval", shared["approval"]), approved, words, whole=whole)


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def pack(path: Path, contents: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    return path


def test_a_record_says_what_was_approved_when_and_out_of_what(shared: Store) -> None:
    record = json.loads(files(archive(shared, whole=False))["record.json"])
    assert record["approved"] == "attempt-2"
    assert record["description"] == "A fox"
    assert record["by"] is None
    assert [one["number"] for one in record["attempts"]] == [1, 2, 3]
    second = record["attempts"][1]
    assert second["prompt"] == "fox 2"
    assert second["parent"] == "attempt-1"
    assert second["settings"] == {"size": "1024x1024"}
    assert (second["engine"], second["model"]) == ("OpenAI", "gpt-image-2.6-flare")
    assert (second["id"], second["server_request_id"]) == ("attempt-2", "req_9")
    assert (second["tokens"], second["dollars"], second["seconds"]) == (7, 0.02, 1.5)
    assert second["dollars_are"] == "estimated"
    assert second["at"] <= record["at"]


def test_the_approved_picture_alone_goes_along_or_all_do(shared: Store) -> None:
    alone, whole = (files(archive(shared, whole=whole)) for whole in (False, True))
    assert set(alone) == {"record.json", "pictures/2.png"}
    assert set(whole) == {"record.json", *(f"pictures/{one}.png" for one in (1, 2, 3))}
    assert whole["pictures/2.png"] == alone["pictures/2.png"] == picture_data("fox 2")


def test_an_archive_is_the_same_whenever_it_is_written(shared: Store) -> None:
    approval = cast("Approval", shared["approval"])
    shared["approval"] = replace(approval, at="2026-02-03T04:05:06+00:00")
    with zipfile.ZipFile(io.BytesIO(archive(shared, whole=True))) as packed:
        entries = packed.infolist()
    assert {one.date_time for one in entries} == {(2026, 2, 3, 4, 5, 6)}
    assert {one.external_attr >> 16 for one in entries} == {0o644}


def test_what_comes_after_the_decision_is_none_of_it(shared: Store) -> None:
    add(shared, "attempt-4", "fox 4")
    assert b"attempt-4" not in files(archive(shared, whole=True))["record.json"]


def test_a_picture_that_is_gone_is_left_out(shared: Store, tmp_path: Path) -> None:
    gone = add(shared, "attempt-4", "what goes")
    moves.approve(shared, "attempt-2")
    names = [one.result.name for one in shared["attempts"]]
    blobs.hold(shared["owner"], names)
    blobs.hold(shared["owner"], names[:-1])
    assert blobs.get(gone.result.name) is None
    data = archive(shared, whole=True)
    assert set(files(data)) == {"record.json", *(f"pictures/{one}.png" for one in (1, 2, 3))}
    path = tmp_path / "result.zip"
    path.write_bytes(data)
    assert verify(path) == []


def test_an_archive_has_no_more_memory_than_the_piece_that_is_sent(shared: Store) -> None:
    large = [number.to_bytes(4) * 2**20 for number in range(4)]
    for number, data in enumerate(large):
        # Large as few pictures are that one can look at so quickly.
        name = blobs.put(shared["owner"], data)
        attempt = shared["attempts"][0]
        made = replace(cast("Picture", attempt.result), name=name)
        wish = replace(attempt.wish, brief=f"large {number}")
        moves.receive(shared, Pending(f"large-{number}", f"large-{number}", wish), made)
    moves.approve(shared, "large-0")
    approved = choosing.find_attempt(shared, "large-0")
    tracemalloc.start()
    try:
        sent = pieces(shared, approved, "", whole=True)
        most = 0
        for piece in sent:
            assert len(piece) <= PIECE
            most = max(most, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert most < 4 * PIECE


def test_a_picture_that_goes_while_its_archive_is_sent_breaks_it_off(shared: Store) -> None:
    add(shared, "attempt-4", "what goes while it is sent")
    moves.approve(shared, "attempt-2")
    approved = choosing.find_attempt(shared, "attempt-2")
    sent = pieces(shared, approved, "", whole=True)
    next(sent)
    names = [one.result.name for one in shared["attempts"]]
    blobs.hold(shared["owner"], names)
    blobs.hold(shared["owner"], names[:-1])
    with pytest.raises(LookupError):
        list(sent)


@pytest.mark.parametrize("whole", [False, True])
def test_the_checker_is_content_with_what_the_page_hands_out(
    shared: Store, tmp_path: Path, *, whole: bool
) -> None:
    path = tmp_path / "result.zip"
    path.write_bytes(archive(shared, whole=whole))
    command = [sys.executable, "-m", "utils.images.verify", str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"{path}: as the record says\n")


def test_the_checker_says_how_it_is_used_where_it_is_given_nothing() -> None:
    command = [sys.executable, "-m", "utils.images.verify"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "Usage: python -m utils.images.verify result.zip\n"


def other_picture(packed: dict[str, Any]) -> None:
    packed["pictures/2.png"] = picture_data("fox 3")


def no_picture(packed: dict[str, Any]) -> None:
    packed["pictures/2.png"] = b"not a picture"
    name = hashlib.sha256(b"not a picture").hexdigest()
    packed["record.json"]["attempts"][1]["sha256"] = name


def other_size(packed: dict[str, Any]) -> None:
    packed["record.json"]["attempts"][1]["width"] += 1


def other_decision(packed: dict[str, Any]) -> None:
    packed["record.json"]["approved"] = "attempt-1"


def no_decision(packed: dict[str, Any]) -> None:
    packed["record.json"]["approved"] = "attempt-9"


def one_more_word(packed: dict[str, Any]) -> None:
    packed["record.json"]["key"] = "sk-secret"


def file_elsewhere(packed: dict[str, Any]) -> None:
    approved = packed["record.json"]["attempts"][1]
    packed["../2.png"] = packed.pop(approved["file"])
    approved["file"] = "../2.png"


def one_more_file(packed: dict[str, Any]) -> None:
    packed["pictures/9.png"] = picture_data("fox 9")


def no_record(packed: dict[str, Any]) -> None:
    del packed["record.json"]


def a_bomb(packed: dict[str, Any]) -> None:
    packed["pictures/2.png"] = bytes(65 * 1024 * 1024)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other_picture, "its SHA-256 is another"),
        (no_picture, "is no picture"),
        (other_size, "another format or size"),
        (other_decision, "The approved picture is not there"),
        (no_decision, "is not among the attempts"),
        (one_more_word, "is not as the schema says"),
        (one_more_file, "The files are not those"),
        (file_elsewhere, "is not as the schema says"),
        (no_record, "It has no record.json"),
        (a_bomb, "cannot be read"),
    ],
)
def test_the_checker_finds_what_was_changed(
    shared: Store, tmp_path: Path, change: Change, sentence: str
) -> None:
    packed: dict[str, Any] = files(archive(shared, whole=False))
    packed["record.json"] = json.loads(packed["record.json"])
    change(packed)
    if "record.json" in packed:
        packed["record.json"] = json.dumps(packed["record.json"]).encode()
    (wrong,) = verify(pack(tmp_path / "result.zip", packed))
    assert sentence in wrong


def test_an_archive_that_was_unpacked_and_packed_anew_is_as_the_record_says(
    shared: Store, tmp_path: Path
) -> None:
    packed = {"pictures/": b"", "__MACOSX/": b"", "__MACOSX/._record.json": b"when and by whom"}
    packed |= files(archive(shared, whole=True))
    assert verify(pack(tmp_path / "result.zip", packed)) == []


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and nothing else", b"text"])
def test_the_checker_says_of_anything_else_that_it_is_no_archive(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "result.zip"
    path.write_bytes(data)
    (wrong,) = verify(path)
    assert "cannot be read" in wrong


def test_the_published_schema_is_that_of_the_record() -> None:
    assert json.loads(SCHEMA.read_text()) == Record.model_json_schema()
