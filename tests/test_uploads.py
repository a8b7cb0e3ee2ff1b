import io
import os
import threading
from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace

import pytest
from PIL import Image, ImageCms, ImageDraw
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFile, UploadedFileRec

from tests.calls import OWNER
from tests.stores import new_store
from utils.images import page, uploads
from utils.images.uploads import take_uploads
from utils.review import boxes
from utils.review.blobs import Blobs, NoRoomError, blobs
from utils.review.store import Store, by_key

RED, BLUE = (200, 20, 20), (20, 20, 200)
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    yield
    blobs.forget(OWNER)


def halves(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, BLUE)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2 - 1, size[1]), RED)
    return image.convert(mode)


def saved(image: Image.Image, image_format: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def take(data: bytes) -> tuple[Image.Image, str]:
    """Take one upload; return what is kept of it, and the sentence."""
    kept, sentence = take_uploads(OWNER, [("file", data)])
    assert len(kept) == 1, sentence
    return opened(kept[0].name), sentence


def opened(name: str) -> Image.Image:
    image = Image.open(io.BytesIO(blobs.get(name) or b""))
    image.load()
    return image


def refuse(data: bytes) -> str:
    kept, sentence = take_uploads(OWNER, [("file", data)])
    assert kept == []
    return sentence


def is_near(pixel: object, colour: tuple[int, int, int]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 30 for a, b in zip(pixel, colour, strict=False))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_what_needs_no_change_keeps_its_bytes(image_format: str) -> None:
    data = saved(halves((640, 480)), image_format)
    kept, sentence = take_uploads(OWNER, [("one.x", data)])
    assert sentence == ""
    assert [upload.file_name for upload in kept] == ["one.x"]
    assert blobs.get(kept[0].name) == data
    with Image.open(io.BytesIO(blobs.get(kept[0].name, "thumbnail") or b"")) as small:
        assert small.size == (72, 72)


def test_the_largest_that_the_api_takes_is_not_changed() -> None:
    data = saved(halves((3840, 2160)))
    assert blobs.get(take_uploads(OWNER, [("file", data)])[0][0].name) == data
    assert take(saved(halves((3840, 2161))))[1] != ""
    assert take(saved(halves((3841, 16))))[1] != ""


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((6000, 4000), (3527, 2351)),
        ((4000, 6000), (2351, 3527)),
        ((11600, 8600), (3344, 2479)),
        ((8000, 100), (3840, 48)),
        ((20000, 1), (3840, 1)),
    ],
)
def test_a_large_photograph_is_scaled_down_in_its_shape(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    image, sentence = take(saved(halves(size)))
    assert image.size == target
    assert image.size[0] * image.size[1] <= 8_294_400
    assert image.format == "JPEG"
    assert sentence == (
        f"Picture 1 was scaled down to {target[0]}x{target[1]} pixels, "
        "as the API takes no larger ones."
    )
    assert is_near(image.convert("RGB").getpixel((0, 0)), RED)
    assert is_near(image.convert("RGB").getpixel((target[0] - 1, target[1] - 1)), BLUE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1", "I;16"])
def test_a_large_drawing_is_scaled_down_and_stays_a_png(mode: str) -> None:
    image = Image.new("I;16", (4000, 10)) if mode == "I;16" else halves((4000, 10), mode)
    small, _ = take(saved(image, "PNG"))
    assert (small.size, small.format) == ((3840, 9), "PNG")


def test_of_sixteen_bits_the_upper_ones_are_kept() -> None:
    small, _ = take(saved(Image.new("I;16", (4000, 10), 40_000), "PNG"))
    assert small.convert("L").getpixel((9, 5)) == 156


def test_transparency_outlives_the_scaling() -> None:
    image = Image.new("RGBA", (4000, 20), (0, 0, 0, 0))
    small, _ = take(saved(image, "PNG"))
    assert small.getpixel((9, 9)) == (0, 0, 0, 0)
    palette = image.quantize(4)
    palette.info["transparency"] = 0
    small, _ = take(saved(palette, "PNG", transparency=0))
    assert small.mode == "RGBA"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_is_applied_and_gone(image_format: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image, sentence = take(saved(halves((400, 200)), image_format, exif=exif))
    assert sentence == ""
    assert image.size == (200, 400)
    assert image.getexif().get(ORIENTATION, 1) == 1
    assert is_near(image.convert("RGB").getpixel((100, 20)), RED)
    assert is_near(image.convert("RGB").getpixel((100, 380)), BLUE)


def test_a_large_turned_photograph_is_named_by_the_size_that_a_person_sees() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image, sentence = take(saved(halves((6000, 4000)), exif=exif))
    assert image.size == (2351, 3527)
    assert "2351x3527" in sentence


def test_an_upright_orientation_is_no_reason_for_a_change() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    data = saved(halves((400, 200)), exif=exif)
    assert blobs.get(take_uploads(OWNER, [("file", data)])[0][0].name) == data


def test_of_a_jpeg_of_several_pictures_the_first_is_taken() -> None:
    second = Image.new("RGB", (20, 10), BLUE)
    data = saved(Image.new("RGB", (40, 20), RED), "MPO", save_all=True, append_images=[second])
    image, sentence = take(data)
    assert (image.format, image.size, sentence) == ("JPEG", (40, 20), "")
    assert is_near(image.getpixel((5, 5)), RED)
    large = saved(halves((6000, 4000)), "MPO", save_all=True, append_images=[second])
    assert take(large)[0].size == (3527, 2351)


def test_colours_keep_their_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image, _ = take(saved(halves((4000, 20)), icc_profile=profile))
    assert image.info["icc_profile"] == profile


def test_what_has_too_many_bytes_alone_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.frombytes("RGB", (300, 300), os.urandom(270_000)), "PNG")
    monkeypatch.setattr(uploads, "API_BYTES", len(data))
    image, sentence = take(data)
    assert (image.size, image.format, sentence) == ((300, 300), "WEBP", "")
    monkeypatch.setattr(uploads, "API_BYTES", len(data) + 1)
    assert take(data)[0].format == "PNG"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        saved(halves((64, 64)), "BMP"),
        saved(halves((64, 64)), "GIF"),
        saved(halves((300, 300)))[:400],
    ],
)
def test_what_is_no_picture_is_refused_by_number(data: bytes) -> None:
    assert refuse(data) == (
        "Picture 1 is no PNG, JPEG or WebP picture that can be used. Choose another one."
    )


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"])
def test_heic_is_refused_with_what_to_do(brand: bytes) -> None:
    data = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"
    assert refuse(data) == ("Picture 1 is a HEIC picture, which few servers take. Send it as JPEG.")


def bomb(size: tuple[int, int], mode: str = "RGB") -> bytes:
    """A picture of one colour, so that many pixels take few bytes."""
    return saved(Image.new(mode, size), "PNG")


def test_more_pixels_than_any_camera_makes_are_refused() -> None:
    for size in ((10_001, 10_000), (30_000, 10_000)):
        assert refuse(bomb(size, "1")) == (
            "Picture 1 has more than 100 megapixels. Use a smaller one."
        )


def test_what_a_few_bytes_unpack_to_is_refused_by_what_it_would_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = bomb((1000, 1000))
    take(data)
    monkeypatch.setattr(uploads, "FREE_BYTES", 2_999_999)
    assert refuse(data) == "Picture 1 would take too much memory here. Use a smaller one."
    monkeypatch.setattr(uploads, "FREE_BYTES", 3_000_000)
    take(data)
    monkeypatch.setattr(uploads, "FREE_BYTES", 0)
    noise = saved(Image.frombytes("RGB", (300, 300), os.urandom(270_000)), "PNG")
    take(noise)


def test_a_progressive_photograph_is_weighed_as_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of it is kept until its last scan, however small it is to be."""
    out = io.BytesIO()
    halves((4000, 4000)).save(out, "JPEG", progressive=True)
    monkeypatch.setattr(uploads, "EXPANSION", 0)
    monkeypatch.setattr(uploads, "FREE_BYTES", 2 * 3 * 4000 * 4000 - 1)
    assert refuse(out.getvalue()) == "Picture 1 would take too much memory here. Use a smaller one."
    monkeypatch.setattr(uploads, "FREE_BYTES", 2 * 3 * 4000 * 4000)
    take(out.getvalue())


def test_a_decoding_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bomb((9_000, 9_000))
    assert len(data) < 500_000

    def load(*_: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    assert "too much memory" in refuse(data)


def test_a_photograph_is_not_unpacked_whole_where_a_part_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "FREE_BYTES", 7700 * 5200 * 3 // 4)
    monkeypatch.setattr(uploads, "EXPANSION", 0)
    assert take(saved(halves((7700, 5200))))[0].size == (3504, 2366)


def test_only_as_many_as_the_api_takes_are_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[bytes] = []
    real = uploads._fit

    def watched(data: bytes) -> uploads._Fitting:
        looked_at.append(data)
        return real(data)

    monkeypatch.setattr(uploads, "_fit", watched)
    files = [(f"{n}.png", saved(Image.new("RGB", (8, 8), (n, n, n)), "PNG")) for n in range(17)]
    kept, sentence = take_uploads(OWNER, files)
    assert [upload.file_name for upload in kept] == [f"{n}.png" for n in range(16)]
    assert len(looked_at) == 16
    assert sentence == "Only the first 16 pictures are used."
    assert take_uploads(OWNER, files[:16])[1] == ""


def test_what_finds_no_place_is_not_kept() -> None:
    files = [(f"{n}.png", saved(Image.new("RGB", (8, 8), (n, n, 7)), "PNG")) for n in range(3)]
    along = [f"sha{number}" for number in range(14)]
    kept, sentence = take_uploads("one without room", files, along)
    assert len(kept) == 2
    assert sentence == "Only the first 16 pictures are used."
    assert blobs.get(sha256(files[2][1]).hexdigest()) is None


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> MemoryUploadedFileManager:
    manager = MemoryUploadedFileManager("")
    context = SimpleNamespace(uploaded_file_mgr=manager, session_id="session")
    monkeypatch.setattr(page, "get_script_run_ctx", lambda: context)
    return manager


def bring(shared: Store, manager: MemoryUploadedFileManager, **files: bytes) -> None:
    """Send files as a browser does: the box shows them once all are there."""
    records = [UploadedFileRec(f"id-{name}", name, "", data) for name, data in files.items()]
    for record in records:
        manager.add_file("session", record)
    shown = [UploadedFile(record, FileURLs()) for record in records]
    by_key(shared)[page.upload_key(shared)] = shown


def test_no_more_are_taken_than_find_a_place_beside_those_that_are_there(
    manager: MemoryUploadedFileManager,
) -> None:
    shared = new_store(owner=OWNER)
    boxes.use_references(shared, [(f"sha{number}", "me.png") for number in range(15)], "")
    data = [saved(Image.new("RGB", (8, 8), (n, 9, n)), "PNG") for n in range(3)]
    boxes.use_references(shared, [(sha256(data[2]).hexdigest(), "me.png")], "")
    shared["references"] = shared["references"][1:]
    bring(shared, manager, again=data[2], one=data[0], two=data[1])
    page.take_uploads(shared)
    assert [name for _, name in shared["references"]] == ["me.png"] * 14 + ["again", "one"]
    assert shared["error_message"] == "Only the first 16 pictures are used."


@pytest.mark.parametrize(
    ("files", "clicked", "taken", "asked_for"),
    [
        (["good"], ("generate", "id"), 1, ("generate", "id")),
        (["good", "none"], ("generate", "id"), 1, ("", "")),
        (["good"], ("", ""), 0, ("", "")),
        ([], ("generate", "id"), 0, ("generate", "id")),
    ],
)
def test_a_click_takes_what_has_come_and_waits_where_a_person_is_to_be_told_something(
    manager: MemoryUploadedFileManager,
    files: list[str],
    clicked: tuple[str, str],
    taken: int,
    asked_for: tuple[str, str],
) -> None:
    shared = new_store(owner=OWNER)
    shared["clicked"], shared["error_message"] = clicked, "before"
    data = {"good": saved(halves((8, 8)), "PNG"), "none": b"none"}
    bring(shared, manager, **{one: data[one] for one in files})
    page.take_in(shared)
    assert len(shared["references"]) == taken
    assert shared["clicked"] == asked_for
    assert shared["error_message"].startswith("Picture 2 is no") == ("none" in files)
    assert (shared["error_message"] == "before") == (not taken)


def test_what_was_looked_at_is_kept_no_second_time(manager: MemoryUploadedFileManager) -> None:
    shared = new_store(owner=OWNER)
    bring(shared, manager, good=saved(halves((8, 8)), "PNG"), none=b"none")
    manager.add_file("session", UploadedFileRec("id-left", "left by a box that went", "", b"left"))
    manager.add_file("other", UploadedFileRec("id-good", "good", "", b"other"))
    page.take_uploads(shared)
    assert [name for _, name in shared["references"]] == ["good"]
    assert manager.get_files("session", ["id-good", "id-none", "id-left"]) == []
    assert len(manager.get_files("other", ["id-good"])) == 1
    assert shared["upload_round"] == 1


def test_a_box_that_shows_only_what_was_taken_is_emptied_without_a_word(
    manager: MemoryUploadedFileManager,
) -> None:
    shared = new_store(owner=OWNER)
    by_key(shared)[page.upload_key(shared)] = [DeletedFile("gone")]
    shared["error_message"] = "Picture 1 is no picture."
    page.take_uploads(shared)
    assert shared["upload_round"] == 1
    assert shared["error_message"] == "Picture 1 is no picture."


def test_all_that_happened_is_said_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    good, large = saved(halves((64, 64))), saved(halves((4000, 20)))
    kept, sentence = take_uploads(
        OWNER, [("a", large), ("b", b"none"), ("c", good), ("d", saved(halves((5000, 20))))]
    )
    assert [upload.file_name for upload in kept] == ["a", "c", "d"]
    assert sentence == (
        "Picture 2 is no PNG, JPEG or WebP picture that can be used. Choose another one. "
        "Picture 1 was scaled down to 3840x19 pixels, Picture 4 was scaled down to 3840x15 pixels, "
        "as the API takes no larger ones."
    )


NO_ROOM = "takes more room than is left. Use smaller or fewer ones."


def test_uploads_push_out_neither_each_other_nor_what_was_paid_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two, three = (saved(halves((64, 64 + n)), "PNG") for n in range(3))
    large = two + b" " * 5000
    monkeypatch.setattr(Blobs, "share", 2 * len(large))
    blobs.put(OWNER, b"what was paid for")
    kept, sentence = take_uploads(OWNER, [("1", one), ("2", large), ("3", three)])
    assert [upload.file_name for upload in kept] == ["1", "3"]
    assert sentence == f"Picture 2 {NO_ROOM}"
    assert take_uploads(OWNER, [("2", large)]) == ([], f"Picture 1 {NO_ROOM}")


def test_what_finds_no_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blobs, "share", 10)
    assert refuse(saved(halves((64, 64)))) == f"Picture 1 {NO_ROOM}"

    def put(*_: object, **__: object) -> str:
        raise NoRoomError

    monkeypatch.undo()
    monkeypatch.setattr(blobs, "put", put)
    assert refuse(saved(halves((64, 64)))) == f"Picture 1 {NO_ROOM}"


def test_one_picture_is_unpacked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [0], [0]
    real = uploads._fit

    def watched(data: bytes) -> uploads._Fitting:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        try:
            return real(data)
        finally:
            inside[0] -= 1

    monkeypatch.setattr(uploads, "_fit", watched)
    data = saved(halves((2000, 1000)))
    threads = [threading.Thread(target=take_uploads, args=(OWNER, [("x", data)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
