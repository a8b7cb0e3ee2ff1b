import base64
import io
import sys
import textwrap

import pytest
from PIL import Image

from tests.images_server import picture
from utils.images import pictures
from utils.images.pictures import (
    MIME,
    THUMBNAIL,
    NotAPictureError,
    blank_picture,
    check_picture,
    decode,
    encode,
    extension_of,
    file_name,
)


def data(words: str = "", size: tuple[int, int] = (64, 64), image_format: str = "PNG") -> bytes:
    return base64.b64decode(picture(words, size, image_format))


@pytest.mark.parametrize(
    ("image_format", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")]
)
def test_a_picture_is_known_by_its_bytes(image_format: str, extension: str) -> None:
    checked = check_picture(data(size=(40, 30), image_format=image_format))
    assert (checked.extension, checked.width, checked.height) == (extension, 40, 30)
    assert extension_of(checked.data) == extension
    assert MIME[extension] == f"image/{image_format.lower()}"


def test_a_jpeg_of_several_pictures_is_a_jpeg() -> None:
    out = io.BytesIO()
    one, two = Image.new("RGB", (40, 30)), Image.new("RGB", (20, 15))
    one.save(out, "MPO", save_all=True, append_images=[two])
    checked = check_picture(out.getvalue())
    assert (checked.extension, checked.width, checked.height) == ("jpg", 40, 30)


def test_a_picture_is_handed_on_untouched() -> None:
    image = data("any")
    assert check_picture(image).data is image
    assert decode(encode(image)) == image


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"*" * 100,
        b"<html>no picture</html>",
        data(size=(300, 300))[:-40],
        data(image_format="BMP"),
    ],
)
def test_what_is_no_picture_is_refused(image: bytes) -> None:
    with pytest.raises(NotAPictureError):
        check_picture(image)


def test_a_picture_beyond_the_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    check_picture(data(size=(10, 10)))
    with pytest.raises(NotAPictureError, match="pixels"):
        check_picture(data(size=(10, 11)))
    monkeypatch.setattr(pictures, "MAX_BYTES", len(data(size=(1, 1))))
    check_picture(data(size=(1, 1)))
    with pytest.raises(NotAPictureError, match="bytes"):
        check_picture(data(size=(1, 1)) + b"x")


TEXT = picture("wrapped")


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "\n".join(textwrap.wrap(TEXT, 76)),
        "\r\n".join(textwrap.wrap(TEXT, 64)) + "\r\n",
        f"data:image/png;base64,{TEXT}",
        TEXT.rstrip("="),
        TEXT.replace("+", "-").replace("/", "_"),
    ],
)
def test_base64_is_read_however_it_is_written(text: str) -> None:
    assert decode(text) == base64.b64decode(TEXT)


@pytest.mark.parametrize("text", ["not base64!", "ü", "A", "data:,", "http://x", "====="])
def test_what_is_no_base64_is_no_picture(text: str) -> None:
    with pytest.raises(NotAPictureError):
        check_picture(decode(text))


def test_base64_beyond_the_bounds_is_not_even_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 100)
    assert decode("A" * 148) == bytes(111)
    with pytest.raises(NotAPictureError, match="bytes"):
        decode("A" * 152)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox, at dawn!", "a-red-fox-at-dawn.png"),
        ("../../etc/passwd", "etc-passwd.png"),
        ("Füchse im Schnee", "füchse-im-schnee.png"),
        ("Fu\u0308chse", "füchse.png"),
        ("???", "picture.png"),
        ("", "picture.png"),
        ("__--", "picture.png"),
        ("long " * 100, "-".join(["long"] * 12) + ".png"),
        ("狐" * 60, "狐" * 40 + ".png"),
        ("🦊 fox", "fox.png"),
        ("con", "picture-con.png"),
        ("AUX", "picture-aux.png"),
        ("nul.", "picture-nul.png"),
        ("com7", "picture-com7.png"),
        ("LPT³", "picture-lpt³.png"),
        ("CONIN$", "conin.png"),
        ("console", "console.png"),
        ("com10", "com10.png"),
        ("dots...", "dots.png"),
        ("\ud800", "picture.png"),
    ],
)
def test_a_file_name_is_made_from_the_prompt(prompt: str, name: str) -> None:
    assert file_name(prompt, "png") == name


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "I;16"])
@pytest.mark.parametrize("size", [(10, 300), (72, 72), (640, 480)])
def test_a_thumbnail_is_small_and_square(mode: str, size: tuple[int, int]) -> None:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG")
    with Image.open(io.BytesIO(check_picture(out.getvalue()).thumbnail)) as opened:
        assert opened.size == (THUMBNAIL, THUMBNAIL) == (72, 72)
        assert opened.format == "PNG"


def test_no_cache_keeps_a_picture_alive() -> None:
    image = data("kept by nobody")
    before = sys.getrefcount(image)
    check_picture(image)
    assert sys.getrefcount(image) == before


def test_a_blank_picture_holds_the_place_of_one_to_come() -> None:
    with Image.open(io.BytesIO(blank_picture(300, 200))) as opened:
        assert opened.size == (300, 200)
    assert len(blank_picture(1024, 1024)) < 10_000


def test_blank_pictures_are_kept_up_to_a_bound() -> None:
    for side in range(1, 100):
        blank_picture(side, 1)
    assert blank_picture.cache_info().currsize <= 32
    assert blank_picture(8, 8) is blank_picture(8, 8)
