"""Paint pictures from the words of a prompt, on this machine and without any model.

Places are shares of the width and height, lengths shares of the "unit" (the square root of the
area), so a small picture is a faithful draft of a large one. Every element has a random generator
of its own: adding words to a prompt leaves the elements that were there where they were.
Pixels are float32 red, green, blue and opacity between 0 and 1; y grows downwards.
"""

import colorsys
import math
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageOps

Array = NDArray[np.floating[Any]]

_VOCABULARY = {
    "dawn": "dawn, sunrise, daybreak, early morning",
    "day": "day, daytime, daylight, morning, noon, midday, afternoon, sunny, summer",
    "sunset": "sunset, sundown, dusk, evening, twilight, golden hour, warm",
    "night": "night, midnight, moon, moonlight, moonlit, star, starry, dark",
    "aurora": "aurora, northern light, aurora borealis",
    "cloud": "cloud, cloudy, overcast",
    "rain": "rain, rainy, raining, drizzle, storm, stormy, thunderstorm",
    "fog": "fog, foggy, mist, misty, haze, hazy",
    "snow": "snow, snowy, snowfall, winter, ice, icy, frost, frozen",
    "autumn": "autumn, fall, october",
    "blossom": "blossom, cherry, sakura, spring",
    "water": "sea, ocean, lake, river, water, coast, island, bay, pond, harbor, harbour, fjord",
    "beach": "beach, beaches, shore",
    "boat": "boat, sailboat, sail, sailing, ship, yacht",
    "lighthouse": "lighthouse",
    "mountain": "mountain, peak, alps, summit, cliff",
    "desert": "desert, dune, sahara, sand",
    "forest": "forest, wood, woodland, pine, fir, conifer, jungle",
    "garden": "garden, tree, orchard, park, grove",
    "hill": "hill, valley, meadow, field, countryside, landscape",
    "city": "city, cities, town, skyline, street, skyscraper, downtown",
    "village": "village, house, cottage, cabin, farm",
    "mono": "black and white, monochrome, grayscale, greyscale",
    "gold": "golden",
}
_COLOURS = (
    "red orange yellow gold green teal turquoise blue purple violet pink brown black white gray"
)
_PLACES = {"water", "beach", "boat", "lighthouse", "mountain", "desert", "forest", "garden", "hill"}
_PLACES |= {"city", "village"}
# Height of the sun or moon; sky from top to horizon, glow, and the light that falls on things.
_LIGHTS = {
    "dawn": (0.16, "#5d84bd #e3b3bd #ffe2b9 #fff3d2 #c9acb4"),
    "day": (0.66, "#2a78c8 #7dbdeb #e4f3f4 #fffae0 #fbf7ee"),
    "sunset": (0.13, "#37307c #dd5f7c #ffbd6b #fff0b4 #a8647a"),
    "night": (0.70, "#040a22 #10275a #48699f #f6f2df #34487a"),
    "aurora": (0.72, "#030a1e #0b2a4a #2f6f7d #e9f7ee #345a78"),
}
_DARK = ("night", "aurora")
_WATERSIDE = {"water", "beach", "boat", "lighthouse"}
# Whether the crest is jagged, its height, its waves per unit, and the colour of the ground.
_GROUNDS = {
    "mountain": (True, 0.42, 2.1, "#53708f"),
    "desert": (False, 0.17, 1.3, "#e2a767"),
    "forest": (False, 0.17, 1.9, "#3c6b4b"),
    "hill": (False, 0.19, 1.7, "#6d9a55"),
}
_SEASONS = {"snow": "#eaf0f8", "autumn": "#b9763a", "blossom": "#8fb56c"}
# Leaves from shaded to lit.
_LEAVES = {
    "": "#2f6238 #4f8f4e #9cc765",
    "autumn": "#a33f25 #dc702c #f6b845",
    "blossom": "#c9719a #f2a3bf #ffe3ec",
    "snow": "#8fa3bd #d5e0ee #ffffff",
}
# Each part of a thing: its colour, then the corners of its outline; the foot is at 0,0.
_THINGS = {
    "boat": "#5b3a2c -.5,-.13 .55,-.16 .38,0 -.36,0;#fdf6e8 .03,-1.15 .03,-.2 .52,-.2;"
    "#e9d8c0 -.03,-1 -.03,-.2 -.42,-.2",
    "house": "#d49b6c -.5,.2 -.5,-.5 0,-.95 .5,-.5 .5,.2;"
    "#7d4a3a -.64,-.4 0,-1.08 .64,-.4 .5,-.36 0,-.86 -.5,-.36",
    "lighthouse": "#5a5048 -.9,.04 -.5,-.06 -.2,-.12 .2,-.12 .44,-.05 .8,.04;"
    "#f6f1e7 -.1,-.1 -.06,-.84 .06,-.84 .1,-.1;#c8413b -.09,-.25 -.078,-.45 .078,-.45 .09,-.25;"
    "#c8413b -.07,-.65 -.06,-.84 .06,-.84 .07,-.65;#3b3f4c -.07,-.95 0,-1.04 .07,-.95",
}
_LAMPS: dict[str, list[str]] = {
    "house": ["-.3,-.1 -.3,-.4 -.08,-.4 -.08,-.1", ".1,-.1 .1,-.4 .32,-.4 .32,-.1"],
    "lighthouse": ["-.05,-.84 -.05,-.95 .05,-.95 .05,-.84"],
}
_STARS, _FLAKES = (
    [(0.001, 150), (0.0014, 90), (0.0022, 18)],
    [(0.0016, 260), (0.003, 90), (0.0055, 22)],
)
_SNOWY_ROOF = "-.66,-.38 0,-1.12 .66,-.38 .5,-.44 0,-.95 -.5,-.44"
_FIR = "0,-1 .07,-.78 .04,-.78 .13,-.54 .06,-.54 .19,-.27 .08,-.27 .23,-.07 .03,-.07 .03,.05 0,.05"
_TURNS = np.linspace(0, 2 * np.pi, 96, endpoint=False)
_CIRCLE = np.column_stack((np.cos(_TURNS), np.sin(_TURNS))).astype(np.float32)
_TAGS = {word: tag for tag, words in _VOCABULARY.items() for word in words.split(", ")}
_TAGS |= {colour: colour for colour in _COLOURS.split()}
_PATTERN = re.compile(rf"\b({'|'.join(sorted(_TAGS, key=len, reverse=True))})(?:e?s)?\b")


def paint(
    prompt: str, size: tuple[int, int], *, seed: int, transparent: bool = False
) -> Image.Image:
    """Paint `prompt` as a picture of `size` (width, height) pixels, 16 to 3840 each.

    Words for light, weather, season, place and colour decide the scene, the last time of day
    winning; without any the picture is abstract. `seed` is any integer. The same arguments give
    the same pixels: RGB, or RGBA with the sky (or the abstract's ground) left out.
    """
    scene = _Scene(prompt, size, seed)
    if scene.scenic:
        scene.paint_landscape()
    else:
        scene.paint_abstract()
    return scene.finish(transparent)


def retouch(source: Image.Image, prompt: str, size: tuple[int, int], *, seed: int) -> Image.Image:
    """Return `source` as RGB at `size` (width, height), relit, weathered and tinted by `prompt`.

    It is scaled to cover the size and cropped around its centre, never stretched.
    """
    scene = _Scene(prompt, size, seed)
    flat = Image.new("RGBA", source.size, "white")
    flat.alpha_composite(source.convert("RGBA"))
    pixels: Array = np.asarray(ImageOps.fit(flat.convert("RGB"), size), np.float32) / 255
    if scene.season == "snow":
        pixels = _mix(pixels, _hex(_SEASONS["snow"]), 0.35)
    if "rain" in scene.tags:
        pixels = _mix(pixels, 0.5 * pixels.mean(axis=2, keepdims=True), 0.5)
    if scene.timed:
        ramp = _resize(scene.sky[:, None], size)
        bright = pixels.mean(axis=2, keepdims=True)
        light = _mix(scene.ambient, scene.glow, 0.15 if scene.time in _DARK else 0.5)
        pixels = _mix(pixels * light, ramp * bright, 0.4)
    if not scene.tags:
        scene.colours = [scene.rng(scene.stem).random(3)]
    scene.pixels[..., :3] = scene.tint(pixels, 0, 0.6)
    if scene.time in _DARK:
        scene.scatter("stars", _STARS, scene.glow, 0.4)
    return scene.finish(False)


class _Scene:
    """A picture in the making: what the words ask for, its light, and the pixels so far."""

    def __init__(self, prompt: str, size: tuple[int, int], seed: int) -> None:
        self.width, self.height = self.size = size
        self.unit, self.seed = math.sqrt(size[0] * size[1]), seed
        self.pixels: Array = np.zeros((size[1], size[0], 4), np.float32)
        words = [_TAGS[word] for word in _PATTERN.findall(prompt.casefold())]
        self.tags, self.timed = set(words), bool(set(words) & set(_LIGHTS))
        self.time = next((word for word in reversed(words) if word in _LIGHTS), "day")
        self.season = next((word for word in reversed(words) if word in _SEASONS), "")
        self.colours = [_hex(word) for word in words if word in _COLOURS.split()]
        # Edits are appended after a comma, and must not turn an abstract into a landscape.
        self.stem = prompt.casefold().split(",")[0]
        opening = {_TAGS[word] for word in _PATTERN.findall(self.stem)} - set(_COLOURS.split())
        self.scenic = bool(self.tags & _PLACES or opening - {"mono"})
        self.set_light()

    def set_light(self) -> None:
        rng = self.rng("light")
        altitude, codes = _LIGHTS[self.time]
        light = np.array([_hex(code) for code in codes.split()], np.float32)
        light = np.clip(light + rng.uniform(-0.035, 0.035, 3).astype(np.float32), 0, 1)
        if self.tags & {"rain", "fog"}:
            light[:3] = _mix(light[:3], light[:3].mean() * light[4], 0.5)
        self.sky, self.glow = self.tint(light[:3], -1, 0.36), self.tint(light[3], -1, 0.25)
        self.ambient = light[4]
        self.snow = _mix(_hex("#f7f9ff") * self.ambient, self.glow, 0.4)
        self.horizon = rng.uniform(0.56, 0.64)
        self.sun = rng.uniform(0.2, 0.8), self.horizon * (1 - altitude * rng.uniform(0.8, 1.15))

    def rng(self, element: str) -> np.random.Generator:
        key = f"{self.seed} {element}".encode("utf-8", "surrogatepass")
        return np.random.default_rng(zlib.crc32(key))

    def tint(self, colours: Array, which: int, strength: float) -> Array:
        if not self.colours:
            return colours
        target, weights = self.colours[which], np.array((0.3, 0.59, 0.11), np.float32)
        own = float(target @ weights)
        wanted = _mix(colours @ weights, own, 0.35)[..., None]
        darker = target * wanted / max(own, 0.01)
        lighter = _mix(target, 1, (wanted - own) / (1.001 - own))
        return _mix(colours, np.where(wanted < own, darker, lighter), strength)

    def lay(self, mask: Array, colour: Array, row: int = 0) -> None:
        """Cover rows with `colour`; a fourth component of it also covers the opacity."""
        under = self.pixels[row : row + len(mask), :, : colour.shape[-1]]
        under += (colour - under) * mask[..., None]

    def stamp(self, shapes: Sequence[Array], colour: Array, opacity: float = 1) -> None:
        """Fill polygons given as pixel corners of shape (n, 2), with antialiased edges."""
        corners = np.concatenate(shapes)
        low = np.clip(np.floor(corners.min(axis=0)), 0, self.size).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, self.size).astype(int)
        if (high <= low).any():
            return
        finer = 4 if self.unit < 600 else 2
        stencil = Image.new("L", (int(high[0] - low[0]) * finer, int(high[1] - low[1]) * finer))
        pen = ImageDraw.Draw(stencil)
        for shape in shapes:
            pen.polygon(((shape - low) * finer - 0.5).ravel().tolist(), fill=255)
        mask = np.asarray(stencil.reduce(finer))
        rows, columns = np.nonzero(mask)
        spots = rows + low[1], columns + low[0], slice(len(colour))
        share = mask[rows, columns, None] * np.float32(opacity / 255)
        self.pixels[spots] += (colour - self.pixels[spots]) * share

    def place(self, thing: str, x: float, y: float, size: float, mirror: int = 1) -> None:
        """Draw a thing whose foot is at pixel (x, y), `size` pixels tall; -1 turns it over."""
        for part in _THINGS[thing].split(";"):
            code, outline = part.split(" ", 1)
            shape = _corners(outline) * (size, size * mirror) + (x, y)
            colour = _mix(_hex(code) * self.ambient, self.glow, 0.15)
            self.stamp([shape], _solid(colour), 1 if mirror > 0 else 0.3)
        lamps = [_corners(lamp) * size + (x, y) for lamp in _LAMPS.get(thing, [])]
        if lamps:
            self.stamp(lamps, _solid(_hex("#ffd683")))

    def scatter(
        self, element: str, sizes: Sequence[tuple[float, int]], colour: Array, below: float
    ) -> None:
        """Sprinkle dots of each (radius, count), the radius in units, above the row `below`."""
        rng = self.rng(element)
        for radius, count in sizes:
            places = rng.random((count, 2)) * self.size * (1, below)
            self.stamp([_disc(x, y, radius * self.unit) for x, y in places], colour, 0.8)

    def paint_landscape(self) -> None:
        self.draw_sky()
        land = next((kind for kind in _GROUNDS if kind in self.tags), "hill")
        wet = bool(self.tags & _WATERSIDE) or ("city" in self.tags and land == "hill")
        bare = wet and not self.tags & {*_GROUNDS, "garden", "village"}
        shore = self.horizon + 0.06
        for layer in range(5):
            near = layer / 4
            if wet and layer == 3:
                self.draw_shore(shore)
            elif not (bare and layer) or (layer == 4 and "beach" in self.tags):
                kind = "hill" if land == "mountain" and layer > 1 else land
                kind = "desert" if layer == 4 and "beach" in self.tags else kind
                base = self.horizon + 0.43 * near**1.3
                if wet:
                    base = shore if layer < 3 else 0.99
                crest = self.crest(kind, base, 0.35 if bare else 1 - 0.6 * near, f"ridge {layer}")
                self.draw_ground(kind, crest, near)
                self.draw_trees(crest, near)
                if layer == (2 if wet else 3) and "village" in self.tags:
                    self.draw_village(crest, shore - 0.02 if wet else 1)
        if "city" in self.tags and not wet:
            self.draw_city(0.9)

    def draw_sky(self) -> None:
        shrink = min(1.0, 512 / max(self.size))
        width, height = size = round(self.width * shrink), round(self.height * shrink)
        x, y = _middles(width), _middles(height)[:, None]
        levels = y[:, 0] / np.float32(self.horizon)
        ramp = [np.interp(levels, (0, 0.55, 1), self.sky[:, channel]) for channel in range(3)]
        sky = np.stack(ramp, axis=1).astype(np.float32)[:, None]
        away = np.hypot((x - self.sun[0]) * self.width, (y - self.sun[1]) * self.height)
        away /= self.unit
        halo = 0.62 * np.exp(-12 * away) + 0.36 * np.exp(-3.2 * away)
        sky = _mix(sky, self.glow, halo[..., None] * (0.55 if self.time in _DARK else 0.9))
        if self.time == "aurora":
            sky += self.aurora(x, y)
        cover, relief = self.clouds(size)
        lit = _mix(self.sky[2], self.glow, 0.7)
        shaded = _mix(lit, self.sky[1], 0.9 if "rain" in self.tags else 0.55)
        sky = _mix(sky, _mix(shaded, lit, relief[..., None]), cover[..., None])
        self.pixels[..., :3] = _resize(sky, self.size)
        if self.time in _DARK and "rain" not in self.tags:
            self.scatter("stars", _STARS, self.glow, self.horizon)
        if "rain" not in self.tags:
            disc = _disc(self.sun[0] * self.width, self.sun[1] * self.height, 0.045 * self.unit)
            self.stamp([disc], self.glow)
        self.backdrop = self.pixels[..., :3].copy()

    def aurora(self, x: Array, y: Array) -> Array:
        rng = self.rng("aurora")
        total = np.zeros((len(y), len(x), 3), np.float32)
        for band in range(3):
            foot = 0.3 + 0.1 * band + 0.3 * (_curve(rng, x, 2.2, 2, False) - 0.5)
            rays = 0.3 + 0.7 * _curve(rng, x, 14, 3, False)
            rise = (foot - y) / (0.3 * rays + 0.05)
            veil = np.where(rise > 0, np.exp(-2.2 * rise), np.exp(25 * np.minimum(rise, 0))) * rays
            hue = _mix(_hex("#35f0a0"), _hex("#8a4fe0"), np.clip(rise * 0.6, 0, 1)[..., None])
            total += veil[..., None] * hue * 0.68
        return total

    def clouds(self, size: tuple[int, int]) -> tuple[Array, Array]:
        bulk = _noise(self.rng("clouds"), size, (1.7, 4.2), 6)
        edge = 0.4 if "rain" in self.tags else 0.48 if "cloud" in self.tags else 0.55
        cover = _smooth(edge, edge + 0.13, bulk) * (0.4 if self.time in _DARK else 0.92)
        above = bulk[np.maximum(np.arange(size[1]) - max(1, round(size[1] * 0.02)), 0)]
        return cover, np.clip(0.5 + 5 * (bulk - above), 0, 1)

    def crest(self, kind: str, base: float, scale: float, element: str) -> Array:
        jagged, rise, waves, _ = _GROUNDS[kind]
        shape = _curve(self.rng(element), self.across(), waves, 7 if jagged else 3, jagged)
        if kind == "desert":
            shape = 0.84 - np.abs(2 * shape - 1)
        tall = min(rise * scale * self.unit, 0.8 * base * self.height)
        crest: Array = self.height * base - tall * np.minimum(shape * 1.6 - 0.35, 1)
        return crest

    def across(self) -> Array:
        return _middles(self.width) * np.float32(self.width / self.unit)

    def draw_ground(self, kind: str, crest: Array, near: float) -> None:
        colour = _hex(_GROUNDS[kind][3])
        if self.season:
            colour = _mix(colour, _hex(_SEASONS[self.season]), 0.35 if kind == "mountain" else 0.8)
        colour = self.tint(colour * self.ambient, 0, 0.6)
        if self.season == "snow":
            colour = _mix(colour, self.glow, 0.38)
        haze = _mix(self.sky[2], self.sky[1], 0.3)
        colour = _mix(colour, haze, 0.72 * (1 - near) ** (0.7 if "fog" in self.tags else 1.2))
        mist = (0.9 if "fog" in self.tags else 0.6) * (1 - 0.6 * near)
        self.draw_ridge(crest, colour, _mix(colour, haze, mist), 1, snowy=kind == "mountain")

    def draw_ridge(
        self, crest: Array, colour: Array, foot: Array, relief: float, *, snowy: bool = False
    ) -> None:
        """Fill below `crest` (a row per column), fading from `colour` to `foot` further down."""
        width, height = self.size
        top = int(np.clip(crest.min() - 1, 0, height - 1))
        shrink = min(1.0, 448 / max(width, height))
        size = max(1, round(width * shrink)), max(1, round((height - top) * shrink))
        path = _resize(crest[None], (size[0], 1))[0]
        depth = np.maximum(_middles(size[1])[:, None] * (height - top) + top - path, 0) / self.unit
        grain = _noise(self.rng("grain"), size, (13, 9), 5) - 0.5
        # A slope shows broader and broader facets of the crest the deeper one looks below it.
        slopes = []
        for level in range(6):
            knots = max(2, round(48 * width / self.unit / 2**level)), 1
            blurred = _resize(_resize(path[None], knots), (size[0], 1))[0]
            slopes.append(np.gradient(blurred) * size[0] / width)
        level = np.clip(np.log2(depth / 0.012 + 1) + 4 * grain, 0, 5).astype(int)
        facing = np.tanh(2.5 * np.stack(slopes)[level, np.arange(size[0])])
        facing *= math.copysign(1, 0.5 - self.sun[0])
        shade = (1 + relief * (0.3 * facing + 0.2 * grain))[..., None].astype(np.float32)
        field = colour * shade
        if snowy:
            line = 0.1 if self.season == "snow" else 0.05
            cap = _smooth(0, 0.015, line + 0.55 * grain + 0.035 * facing - depth)[..., None]
            field = _mix(field, self.snow * _mix(1, shade, 0.6), cap)
        field = _mix(field, foot, _smooth(0.01, 0.35, depth)[..., None])
        body = _resize(field, (width, height - top))
        solid = int(np.clip(crest.max() + 1, top, height))
        edge = np.clip(np.arange(top, solid, dtype=np.float32)[:, None] + 0.5 - crest, 0, 1)
        self.lay(edge, _solid(body[: solid - top]), top)
        self.pixels[solid:, :, :3], self.pixels[solid:, :, 3] = body[solid - top :], 1

    def draw_trees(self, crest: Array, near: float) -> None:
        rng = self.rng(f"trees {near}")
        wooded = "forest" in self.tags
        if near < 0.25 or self.tags & {"desert", "beach"} or not (wooded or near > 0.5):
            return
        leafy = self.season in ("autumn", "blossom") or "garden" in self.tags
        count = round((88 if wooded else 36) * (1.15 - near))
        x = rng.random(count)
        sizes = (0.03 + 0.2 * near**2.2) * self.unit * rng.uniform(0.5, 1.1, count)
        feet = crest[(x * len(crest)).astype(int)] + 0.02 * self.unit * near
        places = list(zip(x * len(crest), feet, sizes, strict=True))
        if leafy:
            self.draw_crowns(places, near, rng)
            return
        dark = self.distant("#1f4038", near)
        fir = _corners(_FIR)
        whole = np.concatenate([fir, fir[::-1] * (-1, 1)])
        self.stamp([whole * size + (tx, ty) for tx, ty, size in places], dark)
        side, snowy = math.copysign(1, self.sun[0] - 0.5), self.season == "snow"
        halves = [fir * (0.66 * side * size, 0.97 * size) + (tx, ty) for tx, ty, size in places]
        lit = _mix(_solid(self.snow) if snowy else dark, _solid(self.glow), 0.45 if snowy else 0.25)
        self.stamp(halves, lit, 0.4 + 0.4 * near)

    def draw_crowns(
        self, places: list[tuple[float, float, float]], near: float, rng: np.random.Generator
    ) -> None:
        trunk = _corners("-.05,.05 -.025,-.6 .025,-.6 .05,.05")
        self.stamp([trunk * size + (x, y) for x, y, size in places], self.distant("#4a3328", near))
        side = math.copysign(1, self.sun[0] - 0.5)
        for step, code in enumerate(_LEAVES.get(self.season, _LEAVES[""]).split()):
            shapes = []
            for x, y, size in places:
                count = round(2 + (46 - 16 * step) * near**1.2)
                spots = np.clip(rng.normal(0, 0.15 - 0.02 * step, (count, 2)), -0.28, 0.28)
                spots = spots * size * (1.2, 1) + (x, y - 0.68 * size)
                spots += size * 0.07 * step * np.array((side, -1))
                shapes += [_disc(px, py, size * 0.055) for px, py in spots]
            self.stamp(shapes, self.distant(code, near), 0.95)

    def distant(self, code: str, near: float) -> Array:
        return _solid(_mix(_hex(code) * self.ambient, self.sky[2], 0.55 * (1 - near)))

    def draw_shore(self, shore: float) -> None:
        foot = round(shore * self.height)
        if "city" in self.tags:
            self.draw_city(shore)
        if "lighthouse" in self.tags:
            x = self.rng("lighthouse").uniform(0.15, 0.85) * self.width
            self.place("lighthouse", x, foot, 0.3 * self.unit)
        self.draw_water(foot)
        if "boat" in self.tags:
            x, y = self.rng("boat").uniform(0.2, 0.8) * self.width, foot + 0.05 * self.height
            for mirror in (-1, 1):
                self.place("boat", x, y, 0.17 * self.unit, mirror)

    def draw_village(self, crest: Array, shore: float) -> None:
        rng = self.rng("village")
        for x in rng.permutation(9) / 9 + rng.uniform(0.02, 0.1, 9):
            column = int(x * 0.99 * len(crest))
            size = rng.uniform(0.055, 0.08) * self.unit
            foot = min(crest[column] + rng.uniform(0.3, 1.2) * size, shore * self.height)
            self.place("house", column, foot, size)
            if self.season == "snow":
                roof = _corners(_SNOWY_ROOF) * size + (column, foot)
                self.stamp([roof], _solid(self.snow))

    def draw_city(self, shore: float) -> None:
        dim, lamp = self.time != "day", _hex("#ffcf7a")
        if dim:
            rise = (_middles(self.height)[:, None] - shore) / 0.16
            self.lay(0.5 * np.exp(-(rise**2)), _hex("#f0a55a"))
        for row in range(3):
            towers, panes = self.towers(self.rng(f"city {row}"), row)
            wall = _mix(_hex("#56627a") * self.ambient, self.sky[2], 0.6 - 0.28 * row)
            wall = _mix(wall, lamp, (0.2 - 0.08 * row) * dim)
            foot = (0, shore * self.height)
            self.stamp([shape * self.unit + foot for shape in towers], _solid(wall))
            glass = _solid(lamp if dim else self.sky[1])
            self.stamp([shape * self.unit + foot for shape in panes], glass, 0.3 + 0.25 * row)

    def towers(self, rng: np.random.Generator, row: int) -> tuple[list[Array], list[Array]]:
        towers, panes, step = [], [], 0.014
        block, pane = _corners("0,0 0,-1 1,-1 1,0"), _corners(".5,-.3 1,-.3 1,-.9 .5,-.9") * step
        place = 0.0
        while place < self.width / self.unit:
            columns, rows = (
                rng.integers(3, 6),
                round(6 + 20 * rng.random() ** 2 * (1.1 - 0.2 * row)),
            )
            towers.append(
                block * (columns * step + step / 2, (rows + 0.5) * step * 1.2) + (place, 0)
            )
            lit = np.argwhere(rng.random((columns, rows)) < 0.45)
            panes += [np.add(pane, (place + x * step, -y * step * 1.2)) for x, y in lit]
            place += columns * step * rng.uniform(0.85, 1.25)
        return towers, panes

    def draw_water(self, top: int) -> None:
        depth = _middles(self.height - top)[:, None] * np.float32(1 - top / self.height)
        field = _noise(self.rng("ripples"), self.size, (4, 40), 3)
        rows = np.log1p(14 * depth[:, 0]) / math.log(15) * (self.height - 1)
        ripple = field[rows.astype(int)] - 0.5
        source = top - 1 - (depth + ripple * (0.02 + 0.25 * depth)) * self.height
        mirror = self.pixels[np.clip(source, 0, top - 1).astype(int), np.arange(self.width), :3]
        deep = self.tint(_mix(self.sky[0], self.sky[1], 0.35), 0, 0.6)
        water = _mix(mirror, deep, (0.25 + 0.9 * depth)[..., None])
        water *= (1 + 0.35 * ripple)[..., None]
        reach = np.exp(-(((_middles(self.width) - self.sun[0]) / (0.03 + 0.35 * depth)) ** 2))
        glint = _smooth(0.02, 0.16, ripple) * reach * 0.85
        self.pixels[top:, :, :3] = _mix(water, self.glow, glint[..., None])
        self.pixels[top:, :, 3] = 1

    def draw_weather(self) -> None:
        pale = _mix(self.sky[2], self.glow, 0.4)
        if "fog" in self.tags:
            bank = _noise(self.rng("fog"), (self.width // 4, self.height // 4), (1.2, 5), 3)
            low = np.exp(-(((_middles(self.height)[:, None] - 0.68) / 0.2) ** 2))
            self.lay(_smooth(0.3, 0.75, _resize(bank, self.size)) * low * 0.75, pale)
        if "rain" in self.tags:
            streak = _corners("0,0 .0012,0 -.011,.045 -.0122,.045") * self.unit
            places = self.rng("rain").random((420, 2)) * self.size
            self.stamp([streak + place for place in places], pale, 0.28)
        if self.season == "snow":
            self.scatter("snow", _FLAKES, _mix(self.glow, 1, 0.6), 1)

    def paint_abstract(self) -> None:
        rng = self.rng(self.stem)
        hue, x = rng.random(), self.across()
        hues = hue + np.array((0.1, 0.06, 0.02, -0.02, -0.06, -0.1, 0.45))
        tones = (0.88, 0.74, 0.62, 0.5, 0.36, 0.22, 0.66)
        codes = [colorsys.hls_to_rgb(h % 1, t, 0.55) for h, t in zip(hues, tones, strict=True)]
        palette = self.tint(np.array(codes, np.float32), 0, 0.7)
        if self.timed:
            palette = palette * self.ambient
        cloud = _noise(rng, self.size, (1.2, 1.2), 2)
        self.pixels[..., :3] = _mix(palette[0], palette[1], _smooth(0.25, 0.75, cloud)[..., None])
        self.backdrop = self.pixels[..., :3].copy()
        slope = rng.choice((-1, 1)) * rng.uniform(0.3, 1)
        for sheet in range(6):
            wave = _curve(rng, x, rng.uniform(0.8, 1.6), 2, False) - 0.5 + slope * (x - x.mean())
            crest = (0.3 + 0.13 * sheet) * self.height + wave * 0.6 * self.unit
            if sheet < 3:
                spot = rng.uniform(0.15, 0.85) * self.width, crest.mean()
                disc = _disc(*spot, rng.uniform(0.06, 0.2) * self.unit)
                self.stamp([disc], _solid(palette[(6, 4, 1)[sheet]]), 0.85)
            self.draw_ridge(crest, palette[sheet], palette[(sheet + 2) % 6], 0.35)

    def finish(self, transparent: bool) -> Image.Image:
        rgb, covered = self.pixels[..., :3], self.pixels[..., 3:]
        if transparent:
            rgb[:] = (rgb - (1 - covered) * self.backdrop) / np.maximum(covered, 0.01)
        self.draw_weather()
        bright = np.clip(_resize(rgb, (96, 96)).mean(axis=2) - 0.7, 0, 1)
        soft = _resize(_resize(bright, (12, 12)), self.size)[..., None]
        paper = _noise(self.rng("paper"), self.size, (250, 250), 1)[..., None] - 0.5
        rgb = np.clip(rgb + 0.35 * soft + 0.024 * paper, 0, 1)
        if "mono" in self.tags:
            rgb = np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2)
        layers = [rgb, covered] if transparent else [rgb]
        return Image.fromarray((np.concatenate(layers, axis=2) * 255 + 0.5).astype(np.uint8))


def _hex(code: str) -> Array:
    return np.array(ImageColor.getrgb(code), np.float32) / 255


def _solid(colour: Array) -> Array:
    return np.concatenate([colour, np.ones_like(colour[..., :1])], axis=-1)


def _mix(first: Array | float, second: Array | float, share: Array | float) -> Array:
    return np.asarray(first + (second - first) * share, np.float32)


def _smooth(low: float, high: float, value: Array) -> Array:
    rise: Array = np.clip((value - low) / (high - low), 0, 1)
    return rise * rise * (3 - 2 * rise)


def _middles(count: int) -> Array:
    return ((np.arange(count) + 0.5) / count).astype(np.float32)


def _corners(outline: str) -> Array:
    return np.array([corner.split(",") for corner in outline.split()], np.float32)


def _disc(x: float, y: float, radius: float) -> Array:
    circle: Array = np.add(_CIRCLE[:: 6 if radius < 20 else 1] * radius, (x, y))
    return circle


def _resize(field: Array, size: tuple[int, int]) -> Array:
    field = np.asarray(field, np.float32)
    planes = [Image.fromarray(plane) for plane in np.moveaxis(np.atleast_3d(field), 2, 0)]
    scaled = [np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes]
    return scaled[0] if field.ndim == 2 else np.stack(scaled, axis=2)


def _noise(
    rng: np.random.Generator, size: tuple[int, int], waves: tuple[float, float], octaves: int
) -> Array:
    total, unit = np.zeros(size[::-1], np.float32), math.sqrt(size[0] * size[1])
    for octave in range(octaves):
        counts = [math.ceil(2 * wave * 2**octave) for wave in waves]
        lattice = Image.fromarray(rng.random((counts[1], counts[0]), np.float32))
        box = [min(n, n / 2 * side / unit) for n, side in zip(counts, size, strict=True)]
        patch = lattice.resize(size, Image.Resampling.BICUBIC, box=(0, 0, box[0], box[1]))
        total += np.asarray(patch) * 0.5**octave
    return total / (2 - 0.5 ** (octaves - 1))


def _curve(rng: np.random.Generator, x: Array, waves: float, octaves: int, jagged: bool) -> Array:
    total = np.zeros_like(x)
    for octave in range(octaves):
        lattice = rng.random(math.ceil(waves * 2**octave * 2) + 2, np.float32)
        place = x * waves * 2**octave
        cell = place.astype(int) % (len(lattice) - 1)
        share = place % 1 if jagged else _smooth(0, 1, place % 1)
        total += _mix(lattice[cell], lattice[cell + 1], share) * 0.5**octave
    return total / (2 - 0.5 ** (octaves - 1))
