import asyncio
import base64
import io
import json
import threading
import time
from typing import Any

import httpx2
import openai
import pytest
from openai.types import ImagesResponse
from PIL import Image, PngImagePlugin

from tests.images_server import picture
from utils.demo import engine
from utils.demo.engine import NOTICE, DemoTransport

SMALL = "128x96"


def client() -> openai.AsyncOpenAI:
    transport = httpx2.AsyncClient(transport=DemoTransport(pace=0))
    return openai.AsyncOpenAI(
        api_key="none", base_url="http://demo.invalid/v1", http_client=transport, max_retries=0
    )


def generate(**wish: Any) -> ImagesResponse:
    answer: ImagesResponse = asyncio.run(client().images.generate(**{"size": SMALL, **wish}))
    return answer


def edit(image: bytes, **wish: Any) -> ImagesResponse:
    wishes: dict[str, Any] = {"image": image, "size": SMALL, **wish}
    answer: ImagesResponse = asyncio.run(client().images.edit(**wishes))
    return answer


def first_picture(answer: ImagesResponse) -> bytes:
    assert answer.data
    return base64.b64decode(answer.data[0].b64_json or "")


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def brightness(data: bytes) -> float:
    grey = opened(data).convert("L").resize((1, 1), Image.Resampling.BOX)
    return float(grey.getpixel((0, 0)))  # type: ignore[arg-type]


def test_the_same_request_paints_the_same_picture_and_another_one_varies() -> None:
    def paint(request_id: str) -> bytes:
        headers = {"X-Client-Request-Id": request_id}
        return first_picture(generate(prompt="hills", extra_headers=headers))

    assert paint("one") == paint("one")
    assert paint("one") != paint("two")


def test_size_and_format_are_as_asked_for() -> None:
    for image_format in ("png", "jpeg", "webp"):
        image = opened(first_picture(generate(prompt="sea", output_format=image_format)))
        assert (image.size, (image.format or "").lower()) == ((128, 96), image_format)


def test_without_a_size_the_picture_is_square() -> None:
    answer = generate(prompt="sea", size="auto")
    assert opened(first_picture(answer)).size == (1024, 1024)


def test_a_transparent_background_has_no_sky() -> None:
    image = opened(first_picture(generate(prompt="mountains", background="transparent")))
    low, high = image.getchannel("A").getextrema()
    assert (low, high) == (0, 255)


def test_a_png_says_that_no_model_was_at_work() -> None:
    assert opened(first_picture(generate(prompt="sea"))).info["Comment"] == NOTICE


def test_where_no_model_works_no_token_is_counted() -> None:
    assert generate(prompt="three little words").usage is None


def test_a_stream_brings_drafts_and_then_the_picture_in_the_apis_words() -> None:
    async def stream() -> list[Any]:
        events = await client().images.generate(
            prompt="sea", stream=True, partial_images=2, size="256x256"
        )
        return [event async for event in events]

    events = asyncio.run(stream())
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    images = [opened(base64.b64decode(event.b64_json)) for event in events]
    assert {image.size for image in images} == {(256, 256)}


def test_an_edit_of_our_own_picture_keeps_the_scene_and_follows_the_words() -> None:
    day = first_picture(generate(prompt="hills by day"))
    night = first_picture(edit(day, prompt="make it night"))
    assert brightness(night) < brightness(day) * 0.8
    again = first_picture(edit(day, prompt="make it night"))
    assert night == again


def test_an_edit_of_a_foreign_picture_changes_it() -> None:
    source = base64.b64decode(picture("sunny", size=(64, 64)))
    night = first_picture(edit(source, prompt="make it night"))
    assert brightness(night) < brightness(source)


@pytest.mark.parametrize("seed", ["none", "-1", "1.5", "", "9" * 5000, "²"])
def test_a_seed_that_another_program_wrote_is_none_of_ours(seed: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Seed", seed)
    out = io.BytesIO()
    opened(base64.b64decode(picture("sunny"))).save(out, "PNG", pnginfo=info)
    night = first_picture(edit(out.getvalue(), prompt="make it night"))
    assert brightness(night) < brightness(out.getvalue())


def test_a_large_edit_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms are parsed, and pictures unpacked, while the loop goes on with the other jobs."""
    threads: list[threading.Thread] = []
    for name in ("_read_form", "_drawing"):
        real = getattr(engine, name)

        def noted(*args: Any, real: Any = real) -> Any:
            threads.append(threading.current_thread())
            return real(*args)

        monkeypatch.setattr(engine, name, noted)
    first_picture(edit(base64.b64decode(picture()), prompt="fog"))
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_one_picture_is_drawn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one takes so much memory that several at once would be more than a server has."""
    under_way: list[str] = []
    most: list[int] = []

    def slow(prompt: str, size: tuple[int, int], **_: object) -> Image.Image:
        under_way.append(prompt)
        time.sleep(0.05)
        most.append(len(under_way))
        under_way.remove(prompt)
        return Image.new("RGB", size)

    monkeypatch.setattr(engine, "paint", slow)

    async def several() -> None:
        shared = client().images
        await asyncio.gather(*(shared.generate(prompt=f"hill {n}") for n in range(3)))

    asyncio.run(several())
    assert most == [1, 1, 1]


def test_an_edit_streams_too() -> None:
    async def stream() -> list[str]:
        source = base64.b64decode(picture())
        events = await client().images.edit(
            image=[source, source], prompt="fog", stream=True, partial_images=1, size=SMALL
        )
        return [event.type async for event in events]

    assert asyncio.run(stream()) == ["image_edit.partial_image", "image_edit.completed"]


@pytest.mark.parametrize("size", ["99999x5", "0x0", "large", "8x8", "64x5000"])
def test_a_size_that_cannot_be_painted_is_refused_by_name(size: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        generate(prompt="sea", size=size)
    assert refusal.value.param == "size"


def test_what_is_no_format_or_no_image_is_refused_by_name() -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        generate(prompt="sea", output_format="gif")
    assert refusal.value.param == "output_format"
    with pytest.raises(openai.BadRequestError) as refusal:
        generate(prompt="sea", output_format="gif", stream=True)
    assert refusal.value.param == "output_format"
    with pytest.raises(openai.BadRequestError) as refusal:
        edit(b"no picture", prompt="night")
    assert refusal.value.param == "image"


def test_an_edit_without_an_image_is_refused() -> None:
    request = httpx2.Request(
        "POST", "http://demo.invalid/v1/images/edits", files={"mask": ("m.png", b"x")}
    )
    answer = asyncio.run(DemoTransport().handle_async_request(request))
    assert (answer.status_code, json.loads(answer.content)["error"]["param"]) == (400, "image")


def test_the_model_is_listed() -> None:
    async def models() -> list[str]:
        return [model.id async for model in client().models.list()]

    assert asyncio.run(models()) == ["demo-painter"]


def test_other_addresses_are_not_found() -> None:
    with pytest.raises(openai.NotFoundError):
        asyncio.run(client().files.retrieve("file"))
