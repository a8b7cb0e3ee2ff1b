"""What becomes of strokes on a picture: masks, markups, words, and what is put back."""

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.calls import failed, kept, made, set_server, wish
from tests.images_server import ImagesServer, json_answer, picture, plain
from tests.stores import new_store
from utils import images, marks
from utils.images import page
from utils.images.differences import prompt_difference, settings_difference
from utils.images.pictures import as_seen, check_picture, decode, size_of
from utils.marks.strokes import MAX_STROKES, MAX_TEXT, brush
from utils.review import moves
from utils.review.blobs import blobs
from utils.review.records import Engine, Pending, Wish

SIZE = (320, 240)
LINE = [40, 60, 120, 60]
LOOP = [100, 100, 200, 100, 200, 180, 100, 180, 100, 100]


@pytest.fixture
def server(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> ImagesServer:
    set_server(images_server, monkeypatch)
    return images_server


def mark(*strokes: list[int], size: tuple[int, int] = SIZE) -> marks.Mark:
    found = marks.read(json.dumps(strokes), size)
    assert found
    return found


def png(colour: Any, size: tuple[int, int] = SIZE, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, options.pop("format", "PNG"), **options)
    return out.getvalue()


def noise(seed: int, size: tuple[int, int] = SIZE, mode: str = "RGB") -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    out = io.BytesIO()
    Image.fromarray(values, mode).save(out, "PNG")
    return out.getvalue()


def pixels(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_stroke_marks_what_it_covers_and_one_that_closes_what_it_encloses() -> None:
    alpha = pixels(marks.mask(mark(LINE, LOOP)))[..., 3]
    half = brush(SIZE) // 2
    # alpha 0: change here. Rows come first.
    for x, y in ((40, 60), (80, 60), (120, 60), (80, 60 + half - 1), (150, 140), (101, 101)):
        assert alpha[y, x] == 0, (x, y)
    for x, y in ((80, 60 + half + 2), (20, 60), (160, 60), (230, 140), (150, 200)):
        assert alpha[y, x] == 255, (x, y)


def test_an_open_stroke_encloses_nothing() -> None:
    alpha = pixels(marks.mask(mark(LOOP[:-2])))[..., 3]
    assert alpha[140, 150] == 255
    assert alpha[100, 150] == 0


@pytest.mark.parametrize("size", [(320, 240), (1024, 1536), (3840, 2160)])
def test_mask_and_markup_have_the_pictures_size_and_only_the_place_is_drawn(
    size: tuple[int, int],
) -> None:
    drawn = mark([10, 10, size[0] // 2, 10], size=size)
    mask, markup = (Image.open(io.BytesIO(make(drawn))) for make in (marks.mask, marks.markup))
    for sheet in (mask, markup):
        assert (sheet.format, sheet.mode, sheet.size) == ("PNG", "RGBA", size)
    assert len(marks.mask(drawn)) < 4_000_000
    alpha = np.asarray(markup)[..., 3]
    assert (alpha[10, 20], alpha[size[1] - 5, 20]) == (255, 0)


def test_a_markup_has_a_line_around_what_is_enclosed() -> None:
    alpha = pixels(marks.markup(mark(LOOP)))[..., 3]
    assert alpha[100, 150] == 255
    assert alpha[140, 150] == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        "[[]]",
        '[["a", "b"]]',
        "[[1]]",
        "[[null, 1]]",
        "[[true, true]]",
        "[[NaN, 1]]",
        "[[Infinity, 1]]",
        f"[[1{'0' * 400}, 1]]",
        "[" * 5000,
        json.dumps([[1, 1] * MAX_TEXT]),
    ],
)
def test_what_is_no_mark_is_none(text: str) -> None:
    assert marks.read(text, SIZE) is None


def test_a_mark_is_kept_within_the_picture_and_within_bounds() -> None:
    found = mark([-5, 1000, 1e8, 3], ["x"], *[[1, 1]] * (2 * MAX_STROKES))  # type: ignore[list-item]
    assert found.strokes[0] == ((0, 239), (319, 3))
    assert len(found.strokes) < MAX_STROKES
    assert mark([1.4, 2.6]).strokes == (((1, 3),),)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("strokes", "words"),
    [
        ([[10, 10, 40, 10]], "upper left, 1 % of the picture"),
        ([[213, 160, 319, 160, 319, 239, 213, 239, 213, 160]], "lower right, 12 % of the picture"),
        (
            [[10, 10, 80, 10], [300, 230, 230, 230]],
            "upper left and lower right, 2 % of the picture",
        ),
        ([[20, 20, 300, 20]], "upper left, top and upper right, 4 % of the picture"),
        ([[0, 0, 319, 0, 319, 239, 0, 239, 0, 0]], "all over, 100 % of the picture"),
        ([[160, 120]], "middle, less than 1 % of the picture"),
    ],
)
def test_a_mark_is_said_in_words(strokes: list[list[int]], words: str) -> None:
    assert marks.describe(mark(*strokes)) == words


def test_what_changed_outside_is_counted_without_what_nobody_sees() -> None:
    before, drawn = png((100, 100, 100)), mark(LOOP)
    assert marks.changed_outside(as_seen(before), as_seen(before), drawn) == 0
    assert marks.changed_outside(as_seen(before), as_seen(png((110, 100, 95))), drawn) == 0
    assert marks.changed_outside(as_seen(before), as_seen(png((100, 100, 140))), drawn) == 1
    half = Image.new("RGB", SIZE, (100, 100, 100))
    half.paste((200, 0, 0), (0, 0, 320, 100))
    half.paste((200, 0, 0), (120, 120, 180, 160))
    out = io.BytesIO()
    half.save(out, "PNG")
    share = marks.changed_outside(as_seen(before), as_seen(out.getvalue()), drawn)
    assert share == pytest.approx(100 / 240 / (1 - 0.14), abs=0.03)
    assert marks.changed_outside(as_seen(before), as_seen(png(0, (100, 100))), drawn) is None


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_outside_the_mark_each_pixel_is_the_old_one_and_inside_the_new_one(mode: str) -> None:
    drawn = mark(LOOP)
    before, after = noise(1, mode=mode), noise(2, mode=mode)
    back = marks.put_back(as_seen(before), as_seen(after), drawn)
    old, new, made_here = pixels(before), pixels(after), pixels(back)
    outside = pixels(marks.mask(drawn))[..., 3] == 255
    assert (made_here[outside] == old[outside]).all()
    assert (made_here[125:155, 130:170] == new[125:155, 130:170]).all()
    # The edge between is soft: neither all of the one nor all of the other.
    edge = made_here[~outside].astype(int)
    assert 0.02 < (edge != new[~outside]).any(axis=-1).mean() < 0.6


def test_what_is_transparent_has_no_colour() -> None:
    clear, white = (
        as_seen(png((0, 0, 0, 0), mode="RGBA")),
        as_seen(png((255,) * 3 + (0,), mode="RGBA")),
    )
    drawn = mark(LOOP)
    assert marks.changed_outside(clear, white, drawn) == 0
    green = as_seen(png((0, 120, 0, 255), mode="RGBA"))
    back = np.asarray(as_seen(marks.put_back(white, green, drawn))).astype(int)
    edge = back[(back[..., 3] > 40) & (back[..., 3] < 255)]
    assert len(edge)
    # No halo of the white that nobody sees.
    assert edge[:, 0].max() < 12


def test_what_a_camera_has_only_turned_in_its_notes_is_turned_for_the_mark_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = png((9, 9, 9), (240, 320), format="JPEG", exif=exif)
    back = marks.put_back(as_seen(turned), as_seen(noise(2)), mark(LOOP))
    assert Image.open(io.BytesIO(back)).size == SIZE
    assert size_of(turned) == SIZE
    checked = check_picture(turned)
    assert (checked.width, checked.height) == SIZE
    assert Image.open(io.BytesIO(checked.screen)).size == SIZE


def test_pictures_of_different_sizes_are_not_put_together() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        marks.put_back(as_seen(png(0)), as_seen(png(0, (100, 100))), mark(LOOP))


def marked(model: str = "gpt-image-2.6-flare", **options: str) -> Wish:
    whole = wish("make it night", options, sources=(png((1, 2, 3)), png((4, 5, 6))))
    engine = Engine("x", model, whole.engine.address)
    return replace(whole, engine=engine, mark=json.dumps([LOOP]))


@pytest.mark.parametrize(
    ("model", "field", "other", "complexity"),
    [
        ("gpt-image-2.6-flare", "markup", "mask", [b"low"]),
        ("gpt-image-2.5-flare", "markup", "mask", None),
        ("gpt-image-2", "mask", "markup", None),
        ("openai/gpt-image-2.6-flare", "mask", "markup", [b"low"]),
        ("flux", "mask", "markup", None),
    ],
)
def test_a_mark_goes_as_the_model_is_documented_to_follow_it(
    server: ImagesServer, model: str, field: str, other: str, complexity: list[bytes] | None
) -> None:
    server.script(plain(picture("done", SIZE)))
    asked = marked(model)
    made(asked)
    (call,) = server.calls
    assert call.path == "/v1/images/edits"
    assert other not in call.parts
    (sheet,) = call.parts[field]
    assert Image.open(io.BytesIO(sheet)).size == SIZE
    # The marked picture goes first.
    assert [blobs.get(name) for name in asked.sources] == call.parts["image"]
    assert call.parts.get("complexity") == complexity


@pytest.mark.parametrize("kind", ["turned photo", "transparent", "largest"])
def test_the_mark_has_the_size_of_the_picture_as_it_is_seen(
    server: ImagesServer, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source, size = {
        "turned photo": (png((9, 9, 9), (240, 320), format="JPEG", exif=exif), (320, 240)),
        "transparent": (png((9, 9, 9, 0), (300, 200), "RGBA"), (300, 200)),
        "largest": (png((9, 9, 9), (3840, 2160)), (3840, 2160)),
    }[kind]
    server.script(plain(picture("done", SIZE)), plain(picture("done", SIZE)))
    asked = wish("make it night", sources=(source,))
    for model, field in (("gpt-image-2.6-flare", "markup"), ("gpt-image-2", "mask")):
        engine = replace(asked.engine, model=model)
        made(replace(asked, engine=engine, mark=json.dumps([[10, 10, 90, 10]])))
        (sheet,) = server.calls[-1].parts[field]
        opened = Image.open(io.BytesIO(sheet))
        assert (opened.format, opened.size) == ("PNG", size)


def test_who_has_chosen_the_complexity_gets_it(server: ImagesServer) -> None:
    server.script(plain(picture("done", SIZE)))
    made(marked(complexity="high"))
    assert server.calls[0].parts["complexity"] == [b"high"]


@pytest.mark.parametrize("model", ["gpt-image-2.6-flare", "gpt-image-2"])
@pytest.mark.parametrize(
    "refusal",
    [
        {"message": "Unknown parameter: 'markup'.", "param": "markup"},
        {"message": "Invalid mask image format - mask size does not match", "param": None},
        {"message": "mask is not supported by this model", "code": "invalid_request"},
    ],
)
def test_a_refused_mark_ends_the_request_and_is_never_left_out(
    server: ImagesServer, model: str, refusal: dict[str, str | None]
) -> None:
    server.script(json_answer({"error": refusal}, 400), plain(picture("whole", SIZE)))
    problem = failed(marked(model))
    assert "would not take the mark" in problem.sentence
    assert not problem.billed
    assert len(server.calls) == 1


def test_another_parameter_is_left_out_and_the_mark_stays(server: ImagesServer) -> None:
    refusal = {"message": "Unknown parameter: 'complexity'.", "param": "complexity"}
    server.script(json_answer({"error": refusal}, 400), plain(picture("done", SIZE)))
    made(marked())
    first, second = (call.parts for call in server.calls)
    assert "complexity" not in second
    assert first["markup"] == second["markup"]


def test_a_mark_that_cannot_be_read_asks_for_nothing(server: ImagesServer) -> None:
    problem = failed(replace(marked(), mark="nonsense"))
    assert "mark" in problem.sentence
    assert not server.calls


def test_a_marked_picture_knows_how_much_changed_outside(server: ImagesServer) -> None:
    server.script(plain(picture("all new", SIZE)), plain(picture("other", (64, 64))))
    outside = made(marked()).outside
    assert outside is not None
    assert outside > 0.9
    assert made(marked()).outside is None


def test_a_composed_picture_names_both_and_costs_nothing(server: ImagesServer) -> None:
    server.script(plain(picture("all new", SIZE)))
    asked = marked()
    after = made(asked)
    back = images.put_back("a browser", asked.sources[0], after, asked.mark)
    assert back.made_of == (asked.sources[0], after.name)
    assert back.cost.dollars == back.tokens == 0
    assert kept(after) == decode(picture("all new", SIZE))
    with pytest.raises(LookupError):
        images.put_back("a browser", "gone", after, asked.mark)


def test_of_two_clicks_on_put_the_rest_back_comes_one_picture(server: ImagesServer) -> None:
    server.script(plain(picture("all new", SIZE)))
    store, asked = new_store(), marked()
    moves.receive(store, Pending("change", "click", asked), made(asked))
    for _ in range(2):
        page.put_rest_back(store, "change")
    assert [one.id for one in store["attempts"]] == ["change", "change-put-back"]
    assert store["under_review"] == "change-put-back"


def test_a_late_click_on_what_is_gone_is_answered_by_a_sentence() -> None:
    store = new_store()
    page.put_rest_back(store, "gone")
    assert "no longer kept" in store["error_message"]
    assert not store["attempts"]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a fox", "a fox", ""),
        ("a fox", "a red fox", "a <ins>red</ins> fox"),
        ("a fox at sea", "a fox at sea. make it night", "a fox at sea. <ins>make it night</ins>"),
        ("a fox", "a <b>fox</b>", "a <del>fox</del> <ins>&lt;b&gt;fox&lt;/b&gt;</ins>"),
        (
            "one two three four five six seven",
            "one two three four five six 7",
            "… three four five six <del>seven</del> <ins>7</ins>",
        ),
    ],
)
def test_prompts_are_compared_word_by_word(before: str, after: str, shown: str) -> None:
    assert prompt_difference(before, after) == shown


def test_settings_are_compared_in_one_line() -> None:
    one = Wish("a", Engine("x", "m1"), {"size": "1024x1024", "quality": "low"})
    other = Wish("a", Engine("x", "m2"), {"size": "1536x1024", "quality": "low"})
    said = settings_difference(one, other)
    assert said == "Size: 1024x1024 → 1536x1024, Model: m1 → m2"
    assert settings_difference(one, one) == ""
