"""What is documented about image models: sizes, qualities, prices, successors (November 2026).

Sizes, qualities and transparency: the Images API reference. Prices: USD per million tokens, as
third-party pages cite OpenAI, so whatever follows from them is called an estimate.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from utils.settings import DEMO_MODEL

PRESETS = {"square": "1024x1024", "landscape": "1536x1024", "portrait": "1024x1536"}
LIVE_MODELS = ("gpt-image-2.6-flare", "gpt-image-2.6-sunburst", "gpt-image-2.5-flare")
SUCCESSORS = {"gpt-image-1": "gpt-image-2.5-flare"}
WARN_DAYS = 60
TEXT_IN, IMAGE_IN, IMAGE_OUT = 5.0, 8.0, 30.0
# Output tokens of 1024x1024 pixels, from OpenAI's guide to image generation.
OUTPUT_TOKENS = {"low": 272, "medium": 1056, "high": 4160}
COSTLY = ("high", "xhigh", "max")

IMAGE_MODEL = re.compile(r"image|dall-e|diffusion|flux|sdxl|sd3|imagen|kandinsky|kolors|seedream")


@dataclass(frozen=True)
class Ability:
    """What a model can do: `qualities` it takes, whether it paints a `transparent` ground, and
    whether it takes any size (`free_sizes`) within documented limits (`size_limits`)."""

    qualities: tuple[str, ...] = ("low", "medium", "high")
    transparent: bool = True
    free_sizes: bool = True
    size_limits: bool = True


@dataclass(frozen=True)
class ListedModel:
    """A model that a server lists; `shutdown` is None where no date is known."""

    name: str
    shutdown: date | None = None


# The first prefix that fits counts; a model that nothing is documented about may do everything.
ABILITIES = (
    (DEMO_MODEL, Ability(qualities=(), size_limits=False)),
    ("gpt-image-2.5", Ability(qualities=("low", "medium", "high", "xhigh", "max"))),
    ("gpt-image-2.6", Ability()),
    ("gpt-image-2", Ability(transparent=False)),
    ("gpt-image-1", Ability(free_sizes=False)),
    ("chatgpt-image", Ability(free_sizes=False)),
    ("", Ability(size_limits=False)),
)
PRICED = ("gpt-image-2",)


def ability(model: str) -> Ability:
    """Return what `model` is documented to do."""
    return next(ability for prefix, ability in ABILITIES if model.startswith(prefix))


def formats_for(background: str) -> tuple[str, ...]:
    """Return the formats that a picture with this background can have."""
    return ("png", "webp") if background == "transparent" else ("png", "jpeg", "webp")


def check_size(model: str, size: str) -> str:
    """Return `size` as WIDTHxHEIGHT in pixels.

    Raises ValueError, with a sentence for a person, where it breaks the model's documented limits.
    """
    sides = re.fullmatch(r"\s*(\d{1,5})\s*[xX*]\s*(\d{1,5})\s*", size)
    if sides is None:
        raise ValueError("Write the size as width x height in pixels, such as 1536x1024.")
    width, height = int(sides[1]), int(sides[2])
    if not (16 <= width <= 3840 and 16 <= height <= 3840):
        raise ValueError("Each side of the size must be 16 to 3840 pixels. Choose another size.")
    if ability(model).size_limits:
        if width % 16 or height % 16:
            raise ValueError("Both sides of the size must be multiples of 16. Choose another size.")
        if max(width, height) > 3 * min(width, height):
            raise ValueError("One side may be three times the other at most. Choose another size.")
        if not 655_360 <= width * height <= 8_294_400:
            raise ValueError(
                "The size must have 655,360 to 8,294,400 pixels, such as 1024x1024. "
                "Choose another size."
            )
    return f"{width}x{height}"


def is_image_model(name: str) -> bool:
    """Return whether a model's name says that it makes pictures."""
    return bool(IMAGE_MODEL.search(name.lower()))


def retirement(model: ListedModel, today: date) -> str:
    """Return a sentence that warns of the model's end, '' where none is near."""
    if model.shutdown is None or (model.shutdown - today).days > WARN_DAYS:
        return ""
    successor = SUCCESSORS.get(model.name, LIVE_MODELS[0])
    when = "was" if model.shutdown <= today else "will be"
    return f"The chosen model {when} shut down on {model.shutdown}. Switch to {successor}."


def cost(model: str, usage: Mapping[str, Any]) -> float | None:
    """Return an estimate in USD of what the tokens of `usage` cost; None where no price is known.

    `usage` is the API's, or what a server made of it.
    """
    if not model.startswith(PRICED):
        return None
    details = usage.get("input_tokens_details")
    images = count(details.get("image_tokens")) if isinstance(details, Mapping) else 0
    texts = max(0, count(usage.get("input_tokens")) - images)
    dollars = texts * TEXT_IN + images * IMAGE_IN + count(usage.get("output_tokens")) * IMAGE_OUT
    return dollars / 1e6 if dollars else None


def expected_cost(model: str, options: Mapping[str, str]) -> float | None:
    """Return an estimate in USD of one picture before it is made; None where nothing is known."""
    tokens = OUTPUT_TOKENS.get(options.get("quality", ""))
    if tokens is None or not model.startswith(PRICED):
        return None
    width, height = options.get("size", PRESETS["square"]).split("x")
    return tokens * int(width) * int(height) / 1024**2 * IMAGE_OUT / 1e6


def count(value: object) -> int:
    """Return a number of tokens, 0 for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
