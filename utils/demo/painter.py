"""Paint pictures from the words of a prompt, on this machine and without any model.

Places are shares of the width and height, lengths shares of the "unit" (the square root of the
area), so a small picture is a faithful draft of a large one. Every element has a random generator
of its own, so that words added to a prompt leave the rest of the picture where it was.
"""

import math
import re
import zlib
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFilter, ImageOps

Array = NDArray[Any]
Pair = tuple[int, int]

_VOCABULARY = {
    "dawn": "dawn, sunrise, daybreak, early morning",
    "day": "day, daytime, daylight, morning, noon, midday, afternoon, sunny, summer",
    "sunset": "sunset, sundown, dusk, evening, twilight, golden hour, warm",
    "night": "night, midnight, moon, moonlight, moonlit, star, starry, northern light, aurora",
    "cloud": "cloud, cloudy, overcast",
    "fog": "fog, foggy, mist, misty, haze, hazy, rain, rainy, drizzle, storm, stormy",
    "snow": "snow, snowy, snowfall, winter, ice, icy, frost, frozen",
    "autumn": "autumn, fall, october",
    "water": "sea, ocean, lake, river, water, coast, island, bay, pond, harbor, harbour, beach",
    "boat": "boat, sailboat, sail, sailing, ship, yacht",
    "lighthouse": "lighthouse",
    "city": "city, cities, town, skyline, street, skyscraper, downtown, village, house",
    "mountain": "mountain, peak, alps, summit, cliff, fjord",
    "desert": "desert, dune, sahara, sand",
    "trees": "tree, forest, wood, woodland, pine, fir, conifer, jungle, garden, orchard, park",
    "hill": "hill, valley, meadow, field, countryside, landscape",
    "hue": "red, orange, yellow, gold, green, teal, blue, purple, pink, brown, black, white, gray",
}
_TAGS = {word: tag for tag, words in _VOCABULARY.items() for word in words.split(", ")}
_PATTERN = re.compile(rf"\b({'|'.join(sorted(_TAGS, key=len, reverse=True))})(?:en|e?s)?\b")

# Height of the sun or moon; sky from top to horizon, glow, and the light that falls on things.
_LIGHTS = {
    "dawn": (0.16, ("#5d84bd", "#e3b3bd", "#ffe2b9", "#fff3d2", "#c9acb4")),
    "day": (0.66, ("#2a78c8", "#7dbdeb", "#e4f3f4", "#fffae0", "#fbf7ee")),
    "sunset": (0.13, ("#37307c", "#dd5f7c", "#ffbd6b", "#fff0b4", "#a8647a")),
    "night": (0.70, ("#040a22", "#10275a", "#48699f", "#f6f2df", "#34487a")),
}
# Height of the ridges, waves across, octaves, whether they are jagged, and the colour.
_GROUNDS = {
    "mountain": (0.42, 3, 7, True, "#53708f"),
    "desert": (0.2, 2, 3, False, "#e2a767"),
    "trees": (0.17, 3, 3, False, "#3c6b4b"),
    "hill": (0.2, 3, 3, False, "#6d9a55"),
}
_WATERSIDE = {"water", "boat", "lighthouse", "city"}
_LAMP = "#ffd683"
# Corners in hundredths of the unit, from the foot of the thing; of a fir, the right half.
_THINGS: list[tuple[str, str, ArrayLike]] = [
    ("boat", "#5b3a2c", [(-9, -2), (9, -3), (6, 0), (-6, 0)]),
    ("boat", "#fdf6e8", [(0.5, -20), (0.5, -3), (9, -3)]),
    ("boat", "#e9d8c0", [(-0.5, -17), (-0.5, -3), (-7, -3)]),
    ("lighthouse", "#5a5048", [(-27, 0), (-15, -2), (-6, -4), (6, -4), (24, 0)]),
    ("lighthouse", "#f6f1e7", [(-3, -3), (-1.8, -25), (1.8, -25), (3, -3)]),
    ("lighthouse", "#c8413b", [(-2.6, -11), (-2.2, -18), (2.2, -18), (2.6, -11)]),
    ("lighthouse", _LAMP, [(-1.5, -25), (-1.5, -28.5), (1.5, -28.5), (1.5, -25)]),
    ("lighthouse", "#3b3f4c", [(-2, -28.5), (0, -31), (2, -28.5)]),
]
_FIR = [(0, -100), (9, -73), (4, -73), (15, -41), (6, -41), (22, -8), (3, -8), (3, 5), (0, 5)]
_DRAFT = 448  # What has no sharp edges is painted this wide and high, and then stretched.
_ROUND = np.linspace(0, math.tau, 97)


def paint(prompt: str, size: Pair, *, seed: int, transparent: bool = False) -> Image.Image:
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


def retouch(source: Image.Image, prompt: str, size: Pair, *, seed: int) -> Image.Image:
    """Return `source` as RGB at `size` (width, height), relit, weathered and tinted by `prompt`.

    It is scaled to cover the size and cropped around its centre, never stretched.
    """
    scene = _Scene(prompt, size, seed)
    flat = Image.alpha_composite(Image.new("RGBA", source.size, "white"), source.convert("RGBA"))
    rgb: Array = np.asarray(ImageOps.fit(flat.convert("RGB"), size), np.float32) / 255
    if scene.tags & set(_LIGHTS):
        light = _mix(scene.ambient, scene.glow, 0.15 if scene.time == "night" else 0.5)
        ramp = _resize(scene.sky[:, None], size) * rgb.mean(axis=2, keepdims=True)
        rgb = _mix(rgb * light, ramp, 0.4)
    elif not scene.colours and "fog" not in scene.tags:
        scene.colours = [np.ones(3) if "snow" in scene.tags else scene.rng(scene.stem).random(3)]
    scene.rgb = scene.tint(rgb, 0, 0.6)
    return scene.finish(False)


def repaint(source: Image.Image, new: Image.Image, mask: Image.Image) -> Image.Image:
    """Return `source` at the size of `new`, with `new` where `mask` is transparent.

    As real models do, it changes a little outside of that place too.
    """
    place = ImageOps.invert(mask.convert("RGBA").getchannel("A")).resize(new.size)
    edge = max(2, min(new.size) // 60)
    wider = place.filter(ImageFilter.GaussianBlur(edge)).point(lambda value: min(255, 3 * value))
    return Image.composite(new, ImageOps.fit(source.convert(new.mode), new.size), wider)


class _Scene:
    """A picture in the making: what the words ask for, its light, and the pixels so far."""

    def __init__(self, prompt: str, size: Pair, seed: int) -> None:
        self.width, self.height = self.size = size
        self.unit, self.seed = math.sqrt(self.width * self.height), seed
        self.cover: Array = np.zeros((self.height, self.width), np.float32)
        words = _PATTERN.findall(prompt.casefold())
        tags = [_TAGS[word] for word in words]
        self.tags, self.time = set(tags), ["day", *(tag for tag in tags if tag in _LIGHTS)][-1]
        self.colours = [_colour(word) for word in words if _TAGS[word] == "hue"]
        # Edits are appended after a comma, and must not turn an abstract into a landscape.
        self.stem = prompt.casefold().split(",")[0]
        opening = {_TAGS[word] for word in _PATTERN.findall(self.stem)} - {"hue"}
        self.scenic = bool(opening or self.tags & {*_WATERSIDE, *_GROUNDS})
        altitude, codes = _LIGHTS[self.time]
        light = np.stack([_colour(code) for code in codes])
        self.sky, self.glow = self.tint(light[:3], -1, 0.36), self.tint(light[3], -1, 0.25)
        self.ambient = light[4]
        rng = self.rng("light")
        self.horizon = rng.uniform(0.56, 0.64)
        self.sun = rng.uniform(0.2, 0.8), self.horizon * (1 - altitude * rng.uniform(0.8, 1.15))

    def rng(self, element: str) -> Generator:
        key = f"{self.seed} {element}".encode(errors="replace")
        return np.random.default_rng(zlib.crc32(key))

    def tint(self, colours: Array, which: int, strength: float) -> Array:
        if not self.colours:
            return colours
        target = self.colours[which]
        shift = (colours.mean(axis=-1, keepdims=True) - target.mean()) * 0.7
        return _mix(colours, np.clip(target + shift, 0, 1), strength)

    def lit(self, code: str, near: float = 1) -> Array:
        return _mix(_colour(code) * self.ambient, self.sky[2], 0.6 - 0.5 * near)

    def fill(self, mask: Array, colour: Array, top: int = 0, left: int = 0) -> None:
        area = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        self.rgb[area] += (colour - self.rgb[area]) * mask[..., None]
        self.cover[area] += (1 - self.cover[area]) * mask

    def stamp(self, shapes: list[Array], colour: Array, opacity: float = 1) -> None:
        """Fill polygons given as pixel corners of shape (n, 2), with antialiased edges."""
        corners, finer = np.concatenate(shapes), 4 if self.unit < 600 else 2
        left, top = np.clip(corners.min(axis=0), 0, self.size).astype(int).tolist()
        right, low = np.clip(corners.max(axis=0) + 2, 0, self.size).astype(int).tolist()
        if left < right and top < low:
            stencil = Image.new("L", ((right - left) * finer, (low - top) * finer))
            pen = ImageDraw.Draw(stencil)
            for shape in shapes:
                pen.polygon(((shape - (left, top)) * finer - 0.5).ravel().tolist(), fill=255)
            mask = np.asarray(stencil.reduce(finer), np.float32) * (opacity / 255)
            self.fill(mask, colour, top, left)

    def scatter(self, element: str, largest: float, below: float, colour: Array) -> None:
        rng = self.rng(element)
        places = rng.random((320, 2)) * self.size * (1, below)
        radii = largest * self.unit * (0.3 + 0.7 * rng.random(320) ** 5)
        self.stamp([_arc(*dot) for dot in zip(places, radii, radii, strict=True)], colour, 0.8)

    def paint_landscape(self) -> None:
        self.draw_sky()
        land = next((kind for kind in _GROUNDS if kind in self.tags), "")
        wet = bool(self.tags & _WATERSIDE)
        for near in (0, 0.25, 0.5, 0.75, 1):
            kind = "hill" if not land or (land == "mountain" and near > 0.25) else land
            base = self.horizon + 0.43 * near**1.3
            if wet:
                base = 0.99 if near == 1 else self.horizon + 0.06
            if wet and near == 0.75:
                self.draw_water(round(base * self.height))
            elif near == 0 or land or not wet:
                self.draw_ground(kind, near, base, 1 - 0.6 * near if land or not wet else 0.35)

    def draw_sky(self) -> None:
        y, x = np.mgrid[0 : 1 : _DRAFT * 1j, 0 : 1 : _DRAFT * 1j]
        ramp = [np.interp(y, np.multiply((0, 0.55, 1), self.horizon), c) for c in self.sky.T]
        away = np.hypot((x - self.sun[0]) * self.width, (y - self.sun[1]) * self.height) / self.unit
        dim = 0.5 if self.time == "night" else 1
        halo = dim * np.exp(-3.2 * away) * (0.32 + 0.54 * np.exp(-9 * away))
        sky = _mix(np.stack(ramp, axis=2), self.glow, halo[..., None])
        bulk = _noise(self.rng("clouds"), (_DRAFT, _DRAFT), (2, 5), 6)
        edge = 0.47 if self.tags & {"cloud", "fog"} else 0.56
        cover = np.clip((bulk - edge) * 8, 0, 0.9) * dim
        above = np.pad(bulk, ((9, 0), (0, 0)), "edge")[:-9]
        shadow = np.clip(0.5 - 5 * (bulk - above), 0, 1)[..., None] * 0.55
        cloud = _mix(_mix(self.sky[2], self.glow, 0.7), self.sky[1], shadow)
        self.rgb = _resize(_mix(sky, cloud, cover[..., None]), self.size)
        if self.time == "night":
            self.scatter("stars", 0.002, self.horizon, self.glow)
        radius = 0.045 * self.unit
        self.stamp([_arc(np.multiply(self.sun, self.size), radius, radius)], self.glow)
        self.backdrop = self.rgb.copy()
        self.cover[:] = 0

    def draw_ground(self, kind: str, near: float, base: float, scale: float) -> None:
        rise, waves, octaves, jagged, code = _GROUNDS[kind]
        line = _noise(self.rng(f"ridge {near}"), (self.width, 1), (waves, 0), octaves, jagged)[0]
        crest = self.height * (base - rise * scale * (1.6 * line - 0.35))
        top = int(np.clip(crest.min() - 1, 0, self.height - 1))
        rows = self.height - top
        size = _DRAFT, max(2, _DRAFT * rows // self.height)
        path = _resize(crest[None], (_DRAFT, 1))[0]
        depth = (np.linspace(top, self.height, size[1])[:, None] - path) / self.unit
        grain = _noise(self.rng("grain"), size, (13, 9), 5) - 0.5
        # Further down, a slope faces the way of the mountain and not of the single crag.
        crags, slope = (_resize(_resize(path[None], (n, 1)), (_DRAFT, 1)) for n in (40, 6))
        form = _mix(crags, slope, np.clip(8 * depth + 2 * grain, 0, 1)) / self.width
        facing = np.tanh(math.copysign(1000, 0.5 - self.sun[0]) * np.gradient(form, axis=1))
        shade = (1 + 0.3 * facing + 0.2 * grain)[..., None]
        snowy, haze = "snow" in self.tags, _mix(self.sky[2], self.sky[1], 0.3)
        colour = _colour("#eaf0f8" if snowy and kind != "mountain" else code) * self.ambient
        field = _mix(self.tint(colour, 0, 0.6), haze, 0.7 * (1 - near) ** 1.2) * shade
        if kind == "mountain":
            # Snow lies above a line: deep on the peaks, running out in tongues below them.
            limit = crest.min() + (0.85 if snowy else 0.5) * np.ptp(crest)
            tongues = _noise(self.rng("snow"), (_DRAFT, 1), (18, 0), 3, True)[0] - 0.5
            reach = 0.6 * (limit - path) / self.unit + 0.12 * tongues
            snow = _mix(self.ambient, self.glow, 0.4) * _mix(1, shade, 0.6)
            field = _mix(field, snow, np.clip((reach - depth) * 90, 0, 1)[..., None])
        mist = (0.9 if "fog" in self.tags else 0.6) * (1 - 0.6 * near) * np.clip(3.5 * depth, 0, 1)
        field = _resize(_mix(field, haze, mist[..., None]), (self.width, rows))
        below = np.arange(top, self.height, dtype=np.float32)[:, None] + 0.5 - crest
        self.fill(np.clip(below, 0, 1), field, top)
        self.draw_trees(crest, near)

    def draw_trees(self, crest: Array, near: float) -> None:
        wooded, autumn = "trees" in self.tags, "autumn" in self.tags
        if "desert" in self.tags or near < (0.25 if wooded else 0.75):
            return
        rng = self.rng(f"trees {near}")
        count = round((88 if wooded else 36) * (1.15 - near))
        x = rng.random(count) * self.width
        feet = np.column_stack((x, crest[x.astype(int)] + 0.02 * self.unit * near))
        sizes = (0.03 + 0.2 * near**2.2) * self.unit * rng.uniform(0.005, 0.011, count)
        half = np.array(_FIR) * (math.copysign(1, self.sun[0] - 0.5), 1)
        whole = np.concatenate((half, half[::-1] * (-1, 1)))
        dark = self.lit("#b3601c" if autumn else "#1f4038", near)
        bright = _mix(dark, self.glow, 0.8 if "snow" in self.tags else 0.25)
        for outline, colour in ((whole, dark), (half * (0.66, 0.97), bright)):
            shapes = [outline * size + foot for size, foot in zip(sizes, feet, strict=True)]
            self.stamp(shapes, colour)

    def draw_city(self, foot: int) -> None:
        block = np.array([(0, 0), (0, -1), (1, -1), (1, 0)])
        step = np.array((0.014, 0.017)) * self.unit
        lamp = _colour(_LAMP) if self.time != "day" else self.sky[1]
        for row in range(3):
            rng = self.rng(f"city {row}")
            towers, panes, left = [], [], 0.0
            while left < self.width:
                columns, floors = rng.integers(3, 6), round(6 + rng.random() ** 2 * (22 - 4 * row))
                towers.append(block * step * (columns + 0.5, floors + 0.5) + (left, foot))
                for spot in np.argwhere(rng.random((columns, floors)) < 0.45) + 0.4:
                    panes.append(block * step * (0.5, 0.6) + spot * step * (1, -1) + (left, foot))
                left += columns * step[0] * rng.uniform(0.85, 1.25)
            self.stamp(towers, self.lit("#56627a", 0.3 + 0.35 * row))
            self.stamp(panes, lamp, 0.3 + 0.25 * row)

    def draw_water(self, top: int) -> None:
        """Draw the far shore with what stands there, and mirror it in the water below."""
        if "city" in self.tags:
            self.draw_city(top)
        for name, code, corners in _THINGS:
            if name in self.tags:
                place = self.rng(name).uniform(0.15, 0.85) * self.width, top
                colour = _colour(code) if code == _LAMP else self.lit(code)
                self.stamp([np.multiply(corners, self.unit / 100) + place], colour)
        depth = np.linspace(0, 1 - top / self.height, self.height - top, dtype=np.float32)[:, None]
        rows = (np.log1p(14 * depth[:, 0]) / math.log(15) * (self.height - 1)).astype(int)
        ripple = _noise(self.rng("ripples"), self.size, (4, 40), 3)[rows] - 0.5
        source = top - 1 - (depth + ripple * (0.02 + 0.25 * depth)) * self.height
        mirror = self.rgb[np.clip(source, 0, top - 1).astype(int), np.arange(self.width)]
        deep = self.tint(_mix(self.sky[0], self.sky[1], 0.35), 0, 0.6)
        water = _mix(mirror, deep, (0.25 + 0.9 * depth)[..., None]) * (1 + 0.35 * ripple)[..., None]
        aside = np.linspace(0, 1, self.width) - self.sun[0]
        glint = np.clip(6 * ripple - 0.2, 0, 0.85) * np.exp(-((aside / (0.03 + 0.35 * depth)) ** 2))
        self.fill(np.ones_like(glint), _mix(water, self.glow, glint[..., None]), top)

    def paint_abstract(self) -> None:
        rng = self.rng(self.stem)
        hue, focus = int(rng.integers(360)), rng.uniform(0.35, 0.65, 2) * self.size
        tones = ((30, 90), (20, 78), (0, 66), (-15, 56), (-30, 44), (-45, 34), (165, 62))
        codes = [f"hsl({(hue + turn) % 360}, 60%, {tone}%)" for turn, tone in tones]
        palette = self.tint(np.stack([_colour(code) for code in codes]), 0, 0.7) * self.ambient
        self.rgb = _resize(palette[:2, None], self.size)
        self.backdrop = self.rgb.copy()
        aside = rng.choice([(0.8, 0.6), (0.6, 0.8), (-0.8, 0.6), (-0.6, 0.8)]) * self.unit
        for band, colour in enumerate(palette[rng.permutation(7)]):
            thick, bend = rng.uniform(0.04, 0.2) * self.unit, rng.uniform(0.6, 1.6)
            middle = focus + aside * (bend * rng.choice((-1, 1)) + rng.normal(0, 0.12))
            self.stamp([_arc(middle, bend * self.unit, thick)], colour, 0.7)
            turns = rng.uniform(0, 6) + _ROUND * rng.uniform(0.15, 0.6)
            arc = _arc(focus, (0.14 + 0.08 * band) * self.unit, thick / 4, turns)
            self.stamp([arc], palette[rng.integers(7)], 0.7)
            spot, radius = rng.normal(focus, 0.25 * self.unit), rng.uniform(0.01, 0.1) * self.unit
            self.stamp([_arc(spot, radius, radius)], palette[rng.integers(7)], 0.8)
        self.stamp([_arc(focus, 0.09 * self.unit, 0.09 * self.unit)], palette[6])

    def finish(self, transparent: bool) -> Image.Image:
        if "fog" in self.tags:
            bank = np.clip(2.2 * _noise(self.rng("fog"), (_DRAFT, _DRAFT), (2, 5), 3) - 0.66, 0, 1)
            low = np.exp(-25 * (np.linspace(0, 1, _DRAFT)[:, None] - 0.68) ** 2) * 0.75
            self.fill(_resize(bank * low, self.size), _mix(self.sky[2], self.glow, 0.4))
        if "snow" in self.tags:
            self.scatter("flakes", 0.005, 1, _mix(self.glow, 1, 0.6))
        paper = _noise(self.rng("paper"), self.size, (250, 250), 1)[..., None]
        picture = self.rgb + 0.024 * (paper - 0.5)
        if transparent:
            cover = self.cover[..., None]
            picture = (picture - (1 - cover) * self.backdrop) / np.maximum(cover, 0.01)
            picture = np.concatenate((picture, cover), axis=2)
        return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def _colour(code: str) -> Array:
    return np.array(ImageColor.getrgb(code), np.float32) / 255


def _mix(first: Array | float, second: Array | float, share: Array | float) -> Array:
    return np.asarray(first + (second - first) * share, np.float32)


def _arc(centre: Array, radius: float, thick: float, turns: Array = _ROUND) -> Array:
    edge = np.column_stack((np.cos(turns), np.sin(turns)))
    return np.concatenate((edge * radius, edge[::-1] * (radius - thick))) + centre


def _resize(field: Array, size: Pair, how: int = Image.Resampling.BICUBIC) -> Array:
    planes = np.moveaxis(np.atleast_3d(np.asarray(field, np.float32)), 2, 0)
    scaled = [np.asarray(Image.fromarray(plane).resize(size, how)) for plane in planes]
    return scaled[0] if field.ndim == 2 else np.stack(scaled, axis=2)


def _noise(rng: Generator, size: Pair, waves: Pair, octaves: int, jagged: bool = False) -> Array:
    """Return random values around 0.5, with so many waves across and down and ever finer ones."""
    how = Image.Resampling.BILINEAR if jagged else Image.Resampling.BICUBIC
    total = np.zeros(size[::-1], np.float32)
    for octave in range(octaves):
        across, down = (max(1, count << octave) for count in waves)
        total += _resize(rng.random((down, across), np.float32), size, how) * 0.5**octave
    return total / (2 - 0.5 ** (octaves - 1))
