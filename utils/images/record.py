"""The record of a decision: what was approved, when, by whom, out of what; whole as one ZIP.

The models below are the format; docs/record.schema.json is made from them.
"""

import io
import zipfile
from collections.abc import Iterator, Set
from datetime import datetime
from typing import Any, Literal, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from utils.images.api import Picture
from utils.images.credentials import Credentials, Signal, read_credentials
from utils.images.provenance import signals
from utils.review.blobs import blobs
from utils.review.records import Approval, Attempt

VERSION = 1
RECORD = "record.json"
# The rights of a file that is unpacked, as Unix writes them.
READABLE = 0o644
# In bytes: of what is sent, so much at a time.
PIECE = 2**20
SHA256 = r"^[0-9a-f]{64}$"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordedAttempt(_Model):
    """One of the attempts that the decision was made out of."""

    id: str = Field(description="Id of the request, which the server got as X-Client-Request-Id.")
    number: int = Field(ge=1, description="Its number on the page.")
    at: AwareDatetime = Field(description="When it came.")
    prompt: str = Field(description="The words that were sent.")
    brief: str = Field(description="A prompt that stands by itself, where `prompt` is a change.")
    parent: str | None = Field(description="Id of the attempt that it was made from.")
    sources: list[str] = Field(description="SHA-256 of each picture that was sent along.")
    made_of: list[str] = Field(
        description="SHA-256 of the two pictures that it was put together from, without a model."
    )
    mark: str | None = Field(description="Strokes that mark where the first source may change.")
    settings: dict[str, str] = Field(description="What was chosen, by the API's names.")
    refused: list[str] = Field(description="Settings that the server would not take.")
    model: str
    engine: str = Field(description="Who made it: the host of the server.")
    server_request_id: str | None = Field(description="The server's own name for the call.")
    seconds: float = Field(ge=0, description="How long the call took.")
    tokens: int | None = Field(ge=1, description="The server's count.")
    dollars: float | None = Field(ge=0, description="What it cost, in USD.")
    dollars_are: Literal["estimated", "told by the server"] | None
    sha256: str = Field(pattern=SHA256, description="Of the picture's bytes.")
    format: Literal["png", "jpg", "webp"]
    width: int = Field(ge=1, description="In pixels.")
    height: int = Field(ge=1, description="In pixels.")
    content_credentials: Credentials | None = Field(
        description="C2PA: what the picture's bytes say of where it comes from."
    )
    provenance_check: list[Signal] | None = Field(
        description="What OpenAI answered when it was asked where the picture comes from."
    )
    file: str | None = Field(
        pattern=r"^pictures/\d+\.(png|jpg|webp)$",
        description="Its file beside this one; null where it is left out.",
    )


class Record(_Model):
    """A decision by a person: one picture was approved."""

    version: Literal[1]
    approved: str = Field(description="Id of the attempt that was approved.")
    at: AwareDatetime = Field(description="When it was approved.")
    by: str | None = Field(description="Who approved it, where that is known.")
    description: str = Field(description="Words for those who cannot see the picture.")
    attempts: list[RecordedAttempt] = Field(
        min_length=1, description="What it was approved out of, the approved one included."
    )


def write_archive(
    approval: Approval, approved: Attempt, description: str, *, whole: bool
) -> Iterator[bytes]:
    """Yield a ZIP with the record and the approved picture, or with `whole` every attempt's.

    Each picture's bytes are those that the API sent; one is read when it is its turn. A picture
    that is no longer kept is left out. Raises LookupError where one goes meanwhile.
    """
    wanted = {one.id: one.result.name for one in (approval.attempts if whole else (approved,))}
    missing = blobs.missing(wanted.values())
    files = {attempt_id: name for attempt_id, name in wanted.items() if name not in missing}
    record = make_record(approval, approved, description, set(files))
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w") as archive:
        _add(archive, RECORD, record.model_dump_json(indent=2).encode(), record.at)
        for attempt in record.attempts:
            if attempt.file:
                data = blobs.get(files[attempt.id])
                if data is None:
                    raise LookupError("a picture has gone while its archive was sent")
                _add(archive, attempt.file, data, record.at)
                yield from pieces.take()
    yield from pieces.take()


class _Pieces(io.RawIOBase):
    """What is written to it can be taken, in pieces."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(self._written[-1])

    def take(self) -> Iterator[bytes]:
        while self._written:
            data = self._written.pop(0)
            yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))


def _add(archive: zipfile.ZipFile, name: str, data: bytes, at: datetime) -> None:
    entry = zipfile.ZipInfo(name, at.timetuple()[:6])
    entry.external_attr = READABLE << 16
    archive.writestr(entry, data)


def record_of(approval: Approval, approved: Attempt, description: str) -> str:
    """Return the record of a decision as JSON, without files beside it."""
    return make_record(approval, approved, description, set()).model_dump_json()


def make_record(approval: Approval, approved: Attempt, description: str, files: Set[str]) -> Record:
    """Return the record of a decision; `files` are the attempts whose pictures go along."""
    return Record(
        version=VERSION,
        approved=approved.id,
        at=approval.at,
        by=approval.by or None,
        description=description,
        attempts=[_record_attempt(one, with_file=one.id in files) for one in approval.attempts],
    )


def _record_attempt(attempt: Attempt, *, with_file: bool) -> RecordedAttempt:
    picture, wish = cast("Picture", attempt.result), attempt.wish
    cost = picture.cost
    told = "told by the server" if cost.told else "estimated"
    file = f"pictures/{attempt.number}.{picture.extension}" if with_file else None
    return RecordedAttempt(
        id=attempt.id,
        number=attempt.number,
        at=attempt.at,
        prompt=wish.prompt,
        brief=wish.brief,
        parent=wish.parent or None,
        sources=list(wish.sources),
        made_of=list(picture.made_of),
        mark=wish.mark or None,
        settings=dict(wish.options),
        refused=list(picture.refused),
        model=wish.engine.model,
        engine=wish.engine.name,
        server_request_id=picture.request_id or None,
        seconds=picture.seconds,
        tokens=cost.tokens or None,
        dollars=cost.dollars or None,
        dollars_are=told if cost.dollars else None,
        sha256=picture.name,
        format=picture.extension,
        width=picture.width,
        height=picture.height,
        content_credentials=read_credentials(picture.name),
        provenance_check=signals(picture.name),
        file=file,
    )
