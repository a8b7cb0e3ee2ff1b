import base64
import io
import sys

import pytest
from PIL import Image

from tests.images_server import picture
from utils.images import pictures
from utils.images.pictures import (
    THUMBNAIL,
    NotAPictureError,
    blank_picture,
    check_picture,
    decode,
    file_name,
    thumbnail,
)


@pytest.mark.parametrize(
    ("image_format", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")]
)
def test_a_picture_is_known_by_its_bytes(image_format: str, extension: str) -> None:
    checked = check_picture(picture(size=(40, 30), image_format=image_format))
    assert (checked.extension, checked.width, checked.height) == (extension, 40, 30)


def test_a_picture_is_handed_on_untouched() -> None:
    image = picture("any")
    assert check_picture(image).image is image
    assert base64.b64encode(decode(image)).decode() == image


def cut(image: str) -> str:
    return base64.b64encode(base64.b64decode(image)[:-40]).decode()


@pytest.mark.parametrize(
    "image",
    [
        "",
        "not base64!",
        "*" * 100,
        base64.b64encode(b"<html>no picture</html>").decode(),
        cut(picture(size=(300, 300))),
        picture(image_format="BMP"),
    ],
)
def test_what_is_no_picture_is_refused(image: str) -> None:
    with pytest.raises(NotAPictureError):
        check_picture(image)


def test_a_picture_beyond_the_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 99)
    with pytest.raises(NotAPictureError, match="pixels"):
        check_picture(picture(size=(10, 10)))
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    with pytest.raises(NotAPictureError, match="bytes"):
        check_picture(picture(size=(1, 1)))


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox, at dawn!", "a-red-fox-at-dawn.png"),
        ("../../etc/passwd", "etc-passwd.png"),
        ("Füchse im Schnee", "füchse-im-schnee.png"),
        ("???", "picture.png"),
        ("", "picture.png"),
        ("long " * 100, "-".join(["long"] * 12) + ".png"),
    ],
)
def test_a_file_name_is_made_from_the_prompt(prompt: str, name: str) -> None:
    assert file_name(prompt, "png") == name


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "I;16"])
@pytest.mark.parametrize("size", [(10, 300), (72, 72), (640, 480)])
def test_a_thumbnail_is_small_and_square(mode: str, size: tuple[int, int]) -> None:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG")
    image = base64.b64encode(out.getvalue()).decode()
    with Image.open(io.BytesIO(thumbnail(image))) as opened:
        assert opened.size == (THUMBNAIL, THUMBNAIL)


def test_no_cache_keeps_a_picture_alive() -> None:
    image = picture("kept by nobody")
    before = sys.getrefcount(image)
    check_picture(image)
    thumbnail(image)
    assert sys.getrefcount(image) == before


def test_a_blank_picture_holds_the_place_of_one_to_come() -> None:
    with Image.open(io.BytesIO(blank_picture(300, 200))) as opened:
        assert opened.size == (300, 200)
    assert len(blank_picture(1024, 1024)) < 10_000
