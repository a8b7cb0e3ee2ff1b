"""Check that a record of a decision and the pictures beside it belong together.

python -m utils.images.verify result.zip
"""

import hashlib
import lzma
import sys
import zipfile
import zlib
from pathlib import Path

from pydantic import ValidationError

from utils.images.pictures import MAX_BYTES, NotAPictureError, check_picture
from utils.images.record import RECORD, Record, RecordedAttempt

# In bytes: 24 attempts with prompts of 32,000 characters are far below.
LONGEST_RECORD = 16 * 1024 * 1024
# Of a damaged ZIP, an encrypted one, one that is packed in another way, and one that is a bomb.
BROKEN = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    ValueError,
)


def verify(path: Path) -> list[str]:
    """Return what is wrong with an archive, as sentences; [] where all is as the record says."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _verify(archive)
    except BROKEN as exc:
        return [f"It cannot be read as a ZIP ({type(exc).__name__})."]


def _verify(archive: zipfile.ZipFile) -> list[str]:
    # Who packs an archive anew adds its folders, and a Mac notes of its own.
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if names.count(RECORD) != 1:
        return [f"It has no {RECORD}, or several."]
    try:
        record = Record.model_validate_json(_read(archive, RECORD, LONGEST_RECORD))
    except (ValueError, ValidationError) as exc:
        return [f"Its {RECORD} is not as the schema says: {exc}"]
    ids = [attempt.id for attempt in record.attempts]
    wrong = []
    if ids.count(record.approved) != 1:
        wrong.append("The approved attempt is not among the attempts, or there are several.")
    elif not record.attempts[ids.index(record.approved)].file:
        wrong.append("The approved picture is not there.")
    files = [attempt.file for attempt in record.attempts if attempt.file]
    if sorted(names) != sorted([RECORD, *files]):
        wrong.append("The files are not those that the record names.")
        return wrong
    for attempt in record.attempts:
        if attempt.file:
            wrong += _compare(attempt, _read(archive, attempt.file, MAX_BYTES))
    return wrong


def _compare(attempt: RecordedAttempt, data: bytes) -> list[str]:
    """Return how a picture differs from what is recorded of it."""
    if hashlib.sha256(data).hexdigest() != attempt.sha256:
        return [f"{attempt.file} is not the picture of the record: its SHA-256 is another."]
    try:
        picture = check_picture(data)
    except NotAPictureError:
        return [f"{attempt.file} is no picture."]
    found = (picture.extension, picture.width, picture.height)
    if found != (attempt.format, attempt.width, attempt.height):
        return [f"{attempt.file} has another format or size than the record says."]
    return []


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a file of at most so many bytes, however it is packed. ValueError: it has more."""
    with archive.open(name) as packed:
        data = packed.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name} is too large")
    return data


def main() -> None:
    """Say what is wrong with each archive, and by the exit code whether anything is."""
    if not sys.argv[1:]:
        sys.exit("Usage: python -m utils.images.verify result.zip")
    wrong = {path: verify(Path(path)) for path in sys.argv[1:]}
    for path, sentences in wrong.items():
        print("\n".join(f"{path}: {one}" for one in sentences or ["as the record says"]))
    sys.exit(any(wrong.values()))


if __name__ == "__main__":
    main()
