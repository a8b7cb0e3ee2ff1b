import base64
import io
import sys
import textwrap
import zlib
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from tests.images_server import picture
from utils.demo.painter import paint
from utils.images import pictures
from utils.images.pictures import (
    MIME,
    THUMBNAIL,
    NotAPictureError,
    TooLargeError,
    check_draft,
    check_picture,
    decode,
    encode,
    extension_of,
    file_name,
)
from utils.images.uploads import take_uploads


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
    with pytest.raises(TooLargeError, match="pixels"):
        check_picture(data(size=(10, 11)))
    monkeypatch.setattr(pictures, "MAX_BYTES", len(data(size=(1, 1))))
    check_picture(data(size=(1, 1)))
    with pytest.raises(TooLargeError, match="bytes"):
        check_picture(data(size=(1, 1)) + b"x")


def test_a_picture_of_scans_without_end_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "MOST_SCANNED", 64 * 64 * 200)
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "JPEG", progressive=True)
    check_picture(out.getvalue())
    assert take_uploads("owner", [("me.jpg", out.getvalue())])[1] == ""
    # A scan of two bytes that changes nothing, as often as it takes.
    scan = out.getvalue().rpartition(b"\xff\xda")[2].removesuffix(b"\xff\xd9")
    bomb = out.getvalue().removesuffix(b"\xff\xd9") + (b"\xff\xda" + scan) * 200 + b"\xff\xd9"
    with pytest.raises(TooLargeError, match="scans"):
        check_picture(bomb)
    assert "would take too long" in take_uploads("owner", [("me.jpg", bomb)])[1]


def with_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its head."""
    chunk = len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
    return data()[:33] + chunk + data()[33:]


LONG_TEXT = b"made with\0\0" + zlib.compress(b"a" * 5_000_000)


@pytest.mark.parametrize(
    "made",
    [with_chunk(b"eXIf", b"no exif at all"), with_chunk(b"zTXt", LONG_TEXT)],
    ids=["unreadable notes of a camera", "five megabytes of how it was made"],
)
def test_a_picture_is_none_the_less_one_for_what_is_written_beside_it(made: bytes) -> None:
    assert check_picture(made).data == made
    assert take_uploads("owner", [("me.png", made)])[1] == ""


@pytest.mark.parametrize("kind", [b"caBX", b"tEXt"])
def test_a_wrong_checksum_of_what_is_written_beside_a_picture_loses_no_picture(kind: bytes) -> None:
    made = with_chunk(kind, b"Comment\0a fox")
    at = made.index(kind) + len(kind) + len(b"Comment\0a fox")
    spoilt = made[:at] + b"\0\0\0\0" + made[at + 4 :]
    assert check_picture(spoilt).data == spoilt


def test_a_turned_picture_whose_notes_cannot_be_written_again_is_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGB", (8, 4), "red").save(out, "JPEG", exif=exif)

    def fail(*_: object) -> bytes:
        raise AttributeError("odd")

    monkeypatch.setattr(Image.Exif, "tobytes", fail)
    checked = check_picture(out.getvalue())
    assert (checked.width, checked.height) == (4, 8)


def test_the_largest_that_models_call_4k_is_taken() -> None:
    for size in ((4096, 4096), (3072, 5504), (3392, 5056), (6336, 2688)):
        out = io.BytesIO()
        Image.new("1", size).save(out, "PNG")
        checked = check_picture(out.getvalue())
        assert (checked.width, checked.height) == size


TEXT = picture("wrapped")


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "\n".join(textwrap.wrap(TEXT, 76)),
        "\r\n".join(textwrap.wrap(TEXT, 64)) + "\r\n",
        f"data:image/png;base64,{TEXT}",
        f" DATA:image/png;base64,{quote(TEXT, safe='')}",
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
    with pytest.raises(TooLargeError, match="bytes"):
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


def saved(image: Image.Image, image_format: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, image_format)
    return out.getvalue()


def shown(image: Image.Image, image_format: str = "PNG") -> Image.Image:
    """What the page shows of a picture before its original is there."""
    return Image.open(io.BytesIO(check_picture(saved(image, image_format)).screen))


def likeness(one: Image.Image, other: Image.Image) -> float:
    """The structural similarity of two pictures (Wang et al. 2004), over blocks of 8 pixels."""
    x, y = (np.asarray(image.convert("L"), float) for image in (one, other))
    rows, columns = (side // 8 for side in x.shape)
    x, y = (
        part[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 64)
        for part in (x, y)
    )
    means = x.mean(1), y.mean(1)
    together = ((x - means[0][:, None]) * (y - means[1][:, None])).mean(1)
    bright, rough = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    light = (2 * means[0] * means[1] + bright) / (means[0] ** 2 + means[1] ** 2 + bright)
    return float((light * (2 * together + rough) / (x.var(1) + y.var(1) + rough)).mean())


@pytest.mark.parametrize(
    "size", [(1024, 1024), (1536, 1024), pytest.param((3840, 2160), marks=pytest.mark.slow)]
)
def test_nobody_sees_that_the_screen_has_not_the_original(size: tuple[int, int]) -> None:
    original = paint("A city by the water on a starry night", size, seed=3)
    screen = shown(original)
    assert max(screen.size) == 1024
    # As large as the canvas of a window of 1366 and of 1920 pixels.
    for side in (600, 880):
        as_shown = ImageOps.contain(original, (side, side))
        assert likeness(as_shown, screen.resize(as_shown.size)) >= 0.97


def test_a_screens_version_and_a_draft_take_few_bytes() -> None:
    original = paint("A lighthouse by the sea at sunset", (1024, 1024), seed=1)
    data = saved(original)
    assert 40_000 < len(check_picture(data).screen) < 150_000
    draft = check_draft(data)
    assert (draft.width, draft.height) == original.size
    assert len(draft.screen) < 20_000
    with Image.open(io.BytesIO(draft.screen)) as screen:
        assert screen.size == (512, 512)


def test_a_transparent_picture_stays_transparent_on_the_screen() -> None:
    picture = Image.new("RGBA", (300, 200), (200, 30, 30, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 150, 200))
    alpha = shown(picture).getchannel("A")
    assert (alpha.getpixel((40, 100)), alpha.getpixel((250, 100))) == (0, 255)
    assert shown(picture.convert("RGB")).format == "JPEG"


@pytest.mark.parametrize(
    ("image", "image_format", "colour"),
    [
        (Image.new("I;16", (32, 32), 40_000), "PNG", (156, 156, 156)),
        (Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", (254, 0, 0)),
        (Image.new("L", (32, 32), 77), "PNG", (77, 77, 77)),
        (Image.new("1", (32, 32), 1), "PNG", (255, 255, 255)),
        (Image.new("RGB", (32, 32), (10, 200, 30)).quantize(), "PNG", (10, 200, 30)),
    ],
    ids=["sixteen bits", "CMYK", "grey", "black and white", "palette"],
)
def test_a_screens_version_has_the_colours_of_the_original(
    image: Image.Image, image_format: str, colour: tuple[int, int, int]
) -> None:
    seen = shown(image, image_format).convert("RGB").getpixel((16, 16))
    assert isinstance(seen, tuple)
    assert seen == pytest.approx(colour, abs=6)


def test_a_screens_version_keeps_the_colour_space() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, "PNG", icc_profile=profile)
    screen = Image.open(io.BytesIO(check_picture(out.getvalue()).screen))
    assert screen.info["icc_profile"] == profile
