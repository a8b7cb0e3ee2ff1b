"""What is documented about image models: settings, prices, ends, successors (November 2026).

Settings: the Images API reference and OpenAI's guides to its models. Prices: USD per million
tokens, as third-party pages cite OpenAI, so whatever follows from them is called an estimate.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import product

from utils.review.records import Cost, Engine
from utils.spending import SCALE

DEMO_MODEL = "demo-painter"
PRESETS = {"square": "1024x1024", "landscape": "1536x1024", "portrait": "1024x1536"}
LIVE_MODELS = ("gpt-image-2.6-flare", "gpt-image-2.6-sunburst", "gpt-image-2.5-flare")
WARN_DAYS = 60
# The least that a limit of dollars counts.
LEAST_DOLLARS = 1 / SCALE["dollars"]
# No picture costs more: who says so would use up a limit for everybody.
MOST_TOKENS = 10**7
MOST_DOLLARS = 1000.0
TEXT_IN, IMAGE_IN, IMAGE_OUT = 5.0, 8.0, 30.0
# Output tokens of 1024x1024 pixels, from OpenAI's guide to image generation.
OUTPUT_TOKENS = {"low": 272, "medium": 1056, "high": 4160}
COSTLY = ("high", "xhigh", "max")
SIDES = range(16, 3841)
# What the Images API takes of a size: sides in steps, neither beyond a share of the other.
STEP = 16
LONGEST_SHAPE = 3
PIXELS = range(655_360, 8_294_401)

IMAGE_MODEL = re.compile(r"image|dall-e|diffusion|flux|sdxl|sd3|imagen|kandinsky|kolors|seedream")

SIMPLE: Mapping[str, tuple[str, ...]] = {
    "size": tuple(PRESETS),
    "quality": ("low", "medium", "high"),
    "background": ("opaque", "transparent"),
    "output_format": ("png", "jpeg", "webp"),
}
FULL = {**SIMPLE, "quality": ("low", "medium", "high", "xhigh", "max")}
NEWEST = {**FULL, "complexity": ("low", "medium", "high")}


@dataclass(frozen=True)
class Model:
    """What is known of the models whose names begin with `prefix`.

    `choices` are the values of each setting that it takes, by the setting's key; `free_sizes` is
    True where it takes sizes beyond the presets, and `size_limits` where these must keep to the
    documented limits; `priced` where the prices above are its own; `markup` where it is documented
    to follow what is drawn on a picture. `shutdown` is when it is switched off, and `successor`
    what to take then.
    """

    prefix: str
    choices: Mapping[str, tuple[str, ...]]
    free_sizes: bool = True
    size_limits: bool = True
    priced: bool = False
    markup: bool = False
    shutdown: date | None = None
    successor: str = LIVE_MODELS[0]


# The first prefix that fits counts; a model that nothing is documented about may do everything.
MODELS = (
    Model(
        DEMO_MODEL,
        {key: values for key, values in SIMPLE.items() if key != "quality"},
        size_limits=False,
    ),
    Model("gpt-image-2.6", NEWEST, priced=True, markup=True),
    Model("gpt-image-2.5", FULL, priced=True, markup=True),
    Model("gpt-image-2", SIMPLE, priced=True),
    Model("gpt-image-1-mini", SIMPLE, free_sizes=False, shutdown=date(2026, 12, 1)),
    Model(
        "gpt-image-1.5",
        SIMPLE,
        free_sizes=False,
        shutdown=date(2026, 12, 1),
        successor="gpt-image-2.6-sunburst",
    ),
    Model("gpt-image-1", SIMPLE, free_sizes=False, shutdown=date(2026, 10, 23)),
    Model(
        "chatgpt-image",
        SIMPLE,
        free_sizes=False,
        shutdown=date(2026, 12, 1),
        successor="gpt-image-2.6-sunburst",
    ),
    Model("", SIMPLE, size_limits=False),
)


@dataclass(frozen=True)
class ListedModel:
    """A model that a server lists; `shutdown` is None where the server names no date."""

    name: str
    shutdown: date | None = None


def known(name: str) -> Model:
    """Return what is documented about the model of this name; gateways put a provider before it."""
    bare = name.rpartition("/")[2]
    return next(model for model in MODELS if bare.startswith(model.prefix))


def takes_markup(name: str) -> bool:
    """Return whether the model follows a markup; every other one gets a mask.

    Not where a gateway puts a provider before the name: one that does not know a markup leaves it
    out, and has an edit of the whole picture paid.
    """
    return known(name).markup and "/" not in name


def check_size(model: str, text: str) -> str:
    """Return the size that `text` names, a preset or WIDTHxHEIGHT, as WIDTHxHEIGHT in pixels.

    Raises ValueError where the model is documented not to take it, with a sentence for a person
    that proposes the nearest size that fits.
    """
    if text in PRESETS:
        return PRESETS[text]
    sides = re.fullmatch(r"\s*(\d{1,5})\s*[xX\u00d7*]\s*(\d{1,5})\s*", text)
    if sides is None:
        raise ValueError("Write the size as width x height in pixels, such as 1536x1024.")
    size = int(sides[1]), int(sides[2])
    what = _what_is_wrong(model, size)
    if what:
        nearest = _in_words(_nearest_size(model, size))
        raise ValueError(f"{what} The nearest size that fits is {nearest}.")
    return _in_words(size)


def is_image_model(name: str, mode: object = None) -> bool:
    """Return whether a model makes pictures, by the `mode` that a gateway gives, or by its name."""
    if isinstance(mode, str):
        return mode.startswith("image")
    return bool(IMAGE_MODEL.search(name.lower()))


def retirement(model: ListedModel, today: date, offered: Collection[str]) -> str:
    """Return sentences that warn of the model's end, '' where none is near.

    The date that the server names counts before the documented one. `offered` are the models that
    a person may choose.
    """
    shutdown = model.shutdown or known(model.name).shutdown
    if shutdown is None or (shutdown - today).days > WARN_DAYS:
        return ""
    when = "was" if shutdown <= today else "will be"
    successor = known(model.name).successor
    if successor in model.name:
        successor = ""
    if set(offered) <= {model.name}:
        such_as = f", such as {successor}" if successor else ""
        advice = f"Whoever runs this page can set another one{such_as}."
    else:
        advice = f"Choose {successor if successor in offered else 'another one'} under Model."
    return f"The chosen model {when} shut down on {shutdown}. {advice}"


def cost(model: str, usage: object, told: float | None = None) -> Cost:
    """Return what a call has cost by its `usage`, as the API or what a server makes of it.

    `told` is the price in USD that a gateway names itself; without one the dollars are an
    estimate from the tokens, 0 where no price is known.
    """
    counts = usage if isinstance(usage, Mapping) else {}
    tokens = count(counts.get("total_tokens"))
    if told:
        return Cost(tokens, told, told=True)
    if not known(model).priced:
        return Cost(tokens)
    details = counts.get("input_tokens_details")
    images = count(details.get("image_tokens")) if isinstance(details, Mapping) else 0
    texts = max(0, count(counts.get("input_tokens")) - images)
    dollars = texts * TEXT_IN + images * IMAGE_IN + count(counts.get("output_tokens")) * IMAGE_OUT
    return Cost(tokens, dollars / 1e6)


def expected_cost(model: str, options: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the least and the most in USD, estimated, that one picture will cost.

    They differ where the quality is left to the model. None where nothing is known.
    """
    quality = options.get("quality")
    tokens = [many for name, many in OUTPUT_TOKENS.items() if quality in (None, name)]
    if not tokens or not known(model).priced:
        return None
    width, height = pixels(options.get("size", PRESETS["square"]))
    dollars = [one * width * height / 1024**2 * IMAGE_OUT / 1e6 for one in tokens]
    return min(dollars), max(dollars)


def most_expected(engine: Engine, options: Mapping[str, str]) -> float:
    """Return the most in USD, estimated, that one picture of an engine will cost.

    Where no price is known it is the dearest that is, and for another's model the least that counts
    against a limit: what is reached must hold for these too. 0 where nothing is ever billed.
    """
    if engine.free:
        return 0.0
    known_price = expected_cost(engine.model, options)
    dearest = expected_cost(engine.model, {**options, "quality": "high"})
    return (known_price or dearest or (0.0, LEAST_DOLLARS))[1]


def pixels(size: str) -> tuple[int, int]:
    """Return width and height of a size that has been checked."""
    width, height = size.split("x")
    return int(width), int(height)


def count(value: object) -> int:
    """Return a number of tokens, 0 for anything that is none, or that no call can have."""
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 < value < MOST_TOKENS else 0


def _what_is_wrong(model: str, size: tuple[int, int]) -> str:
    if not known(model).free_sizes and _in_words(size) not in PRESETS.values():
        return "This model takes only a few sizes."
    if not all(side in SIDES for side in size):
        return f"Each side of the size must be {SIDES[0]} to {SIDES[-1]} pixels."
    if not known(model).size_limits:
        return ""
    if any(side % STEP for side in size):
        return f"Both sides of the size must be multiples of {STEP}."
    if max(size) > LONGEST_SHAPE * min(size):
        return f"One side may be {LONGEST_SHAPE} times the other at most."
    if math.prod(size) not in PIXELS:
        return f"The size must have {PIXELS[0]:,} to {PIXELS[-1]:,} pixels."
    return ""


def _nearest_size(model: str, size: tuple[int, int]) -> tuple[int, int]:
    """Return the size that fits and is nearest in shape and number of pixels."""
    if not known(model).free_sizes:
        shape = math.log(max(1, size[0]) / max(1, size[1]))
        return min(
            map(pixels, PRESETS.values()), key=lambda one: abs(math.log(one[0] / one[1]) - shape)
        )
    width, height = (min(max(side, SIDES[0]), SIDES[-1]) for side in size)
    if not known(model).size_limits:
        return width, height
    shape = min(max(width / height, 1 / LONGEST_SHAPE), LONGEST_SHAPE)
    area = min(max(width * height, PIXELS[0]), PIXELS[-1])
    ideal = math.sqrt(area * shape), math.sqrt(area / shape)
    widths, heights = ([STEP * (round(side / STEP) + by) for by in (-1, 0, 1)] for side in ideal)
    fitting = [one for one in product(widths, heights) if not _what_is_wrong(model, one)]
    return min(fitting, key=lambda one: math.dist(one, ideal))


def _in_words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
