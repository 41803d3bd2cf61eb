"""Backgrounds drawn by code, the same at any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Painter = Callable[[Generator, int], Image.Image]


def paint(name: str, seed: int, size: int) -> Image.Image:
    """The background `name` as an RGB picture of size x size pixels; equal seeds look alike."""
    return PAINTERS[name](np.random.default_rng(seed), size)


def _shade(rng: Generator, colour: Colour, spread: int = 14) -> Colour:
    """A colour near the given one, so that no two backgrounds are quite alike."""
    moved = np.asarray(colour) + rng.integers(-spread, spread + 1, 3)
    red, green, blue = np.clip(moved, 0, 255).tolist()
    return red, green, blue


def _gradient(rng: Generator, size: int, top: Colour, bottom: Colour) -> Image.Image:
    ends = np.asarray([_shade(rng, top), _shade(rng, bottom)], dtype=np.float32)
    part = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    rows = (ends[0] * (1 - part) + ends[1] * part).astype(np.uint8)
    return Image.fromarray(np.repeat(rows[:, None], size, axis=1))


def _below(
    picture: Image.Image, rng: Generator, horizon: float, top: Colour, bottom: Colour
) -> None:
    """Paint the ground: everything below `horizon` (0..1 from the top)."""
    size = picture.width
    picture.paste(_gradient(rng, size, top, bottom), (0, int(horizon * size)))


def _clouds(picture: Image.Image, rng: Generator, count: int, lowest: float) -> None:
    pen, size = ImageDraw.Draw(picture), picture.width
    for _ in range(count):
        x, y, r = rng.uniform(0, 1), rng.uniform(0, lowest), rng.uniform(0.04, 0.09)
        for dx, dy, part in ((-1.1, 0.25, 0.7), (0, 0, 1.0), (1.1, 0.25, 0.75)):
            cx, cy, cr = (x + dx * r) * size, (y + dy * r) * size, r * part * size
            pen.ellipse((cx - cr * 1.3, cy - cr * 0.7, cx + cr * 1.3, cy + cr * 0.7), "#f4f8fc")


def _disc(picture: Image.Image, x: float, y: float, r: float, colour: Colour | str) -> None:
    size = picture.width
    box = ((x - r) * size, (y - r) * size, (x + r) * size, (y + r) * size)
    ImageDraw.Draw(picture).ellipse(box, colour)


def _specks(
    picture: Image.Image, rng: Generator, count: int, colour: str, top: float = 0, r: float = 0.006
) -> None:
    for x, y, part in rng.uniform(0, 1, (count, 3)):
        _disc(picture, x, top + y * (1 - top), r * (0.6 + part), colour)


def _polygon(
    picture: Image.Image, points: Sequence[tuple[float, float]], colour: Colour | str
) -> None:
    size = picture.width
    ImageDraw.Draw(picture).polygon([(x * size, y * size) for x, y in points], colour)


def _box(
    picture: Image.Image, x: float, y: float, width: float, height: float, colour: Colour | str
) -> None:
    _polygon(picture, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)


def _clouded_sky(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (70, 150, 235), (170, 215, 250))
    _clouds(picture, rng, int(rng.integers(2, 6)), 0.95)
    return picture


def _night_sky(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (10, 10, 26), (24, 22, 48))
    _specks(picture, rng, int(rng.integers(25, 60)), "#fff8d8")
    x, y, r = rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.35), rng.uniform(0.05, 0.09)
    _disc(picture, x, y, r, "#f5f0d0")
    if rng.random() < 0.5:
        _disc(picture, x + r * 0.5, y - r * 0.2, r * 0.9, "#12121e")
    return picture


def _meadow(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (120, 190, 250), (190, 225, 250))
    horizon = rng.uniform(0.25, 0.5)
    _below(picture, rng, horizon, (120, 195, 80), (60, 140, 50))
    pen = ImageDraw.Draw(picture)
    for x, y in rng.uniform(0, 1, (40, 2)):
        at = (x * size, (horizon + (1 - horizon) * y) * size)
        pen.line((*at, at[0], at[1] - 0.03 * size), "#3f8a35", max(1, size // 96))
    return picture


def _waves(picture: Image.Image, rng: Generator, top: float, bottom: float, count: int) -> None:
    pen, size = ImageDraw.Draw(picture), picture.width
    for x, y, part in rng.uniform(0, 1, (count, 3)):
        cx, cy, w = x * size, (top + (bottom - top) * y) * size, (0.04 + 0.05 * part) * size
        pen.arc((cx - w, cy - w / 2, cx + w, cy + w / 2), 200, 340, "#bfe4f5", max(1, size // 70))


def _sea(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (170, 215, 245), (205, 232, 250))
    horizon = rng.uniform(0.15, 0.4)
    _below(picture, rng, horizon, (50, 140, 200), (15, 75, 150))
    _waves(picture, rng, horizon + 0.05, 1.0, 24)
    return picture


def _beach(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (130, 200, 250), (200, 232, 250))
    horizon, shore = rng.uniform(0.15, 0.3), rng.uniform(0.42, 0.55)
    _below(picture, rng, horizon, (50, 150, 210), (70, 180, 215))
    _waves(picture, rng, horizon + 0.03, shore - 0.03, 6)
    slant = rng.uniform(-0.08, 0.08)
    foam = [(0.0, shore - slant), (1, shore + slant), (1, 1), (0, 1)]
    _polygon(picture, [(x, y - 0.025) for x, y in foam[:2]] + foam[2:], "#eef8fa")
    _polygon(picture, foam, _shade(rng, (243, 220, 140)))
    _specks(picture, rng, 40, "#d8bd78", top=shore + 0.08, r=0.005)
    return picture


def _snow(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (196, 208, 224), (226, 233, 242))
    horizon = rng.uniform(0.3, 0.5)
    _below(picture, rng, horizon, (238, 242, 248), (250, 251, 254))
    for x in rng.uniform(0, 1, 2):
        _disc(picture, x, horizon + 0.28, 0.34, "#f1f4f9")
    _specks(picture, rng, 45, "#ffffff", r=0.01)
    return picture


def _room(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (226, 206, 172), (214, 190, 150))
    floor = rng.uniform(0.55, 0.72)
    x, y, w = rng.uniform(0.05, 0.6), rng.uniform(0.06, 0.16), rng.uniform(0.22, 0.34)
    _box(picture, x, y, w, w, "#f7f3ea")
    _box(picture, x + 0.02, y + 0.02, w - 0.04, w - 0.04, "#c4e2f2")
    _box(picture, x + w / 2 - 0.01, y, 0.02, w, "#f7f3ea")
    _below(picture, rng, floor, (158, 106, 62), (126, 80, 44))
    pen = ImageDraw.Draw(picture)
    for at in np.linspace(floor, 1, 5)[1:-1]:
        pen.line((0, at * size, size, at * size), "#6e4526", max(1, size // 96))
    return picture


def _desert(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (250, 214, 160), (252, 232, 200))
    _disc(picture, rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.2), 0.07, "#fff6dc")
    for base, colour in ((0.4, (236, 158, 84)), (0.55, (226, 140, 66)), (0.72, (212, 122, 52))):
        phase, height = rng.uniform(0, 6.3), rng.uniform(0.03, 0.09)
        xs = np.linspace(0, 1, 17)
        crest = [(float(x), base + height * float(np.sin(phase + 5 * x))) for x in xs]
        _polygon(picture, [*crest, (1, 1), (0, 1)], _shade(rng, colour, 8))
    return picture


def _city_street(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (178, 190, 202), (206, 212, 218))
    road = rng.uniform(0.62, 0.75)
    x = -0.05
    while x < 1:
        width, top = rng.uniform(0.14, 0.24), rng.uniform(0.05, 0.35)
        tone = int(rng.integers(96, 150))
        _box(picture, x, top, width, road - top, (tone, tone, tone + 8))
        for row in np.arange(top + 0.04, road - 0.04, 0.09):
            for column in (0.25, 0.6):
                lit = "#e9e2c0" if rng.random() < 0.4 else "#6f7680"
                _box(picture, x + width * column, row, 0.035, 0.05, lit)
        x += width + 0.01
    _below(picture, rng, road, (84, 86, 92), (66, 68, 74))
    for x in np.arange(0, 1, 0.22):
        _box(picture, x, road + 0.15, 0.12, 0.02, "#e6e6e0")
    return picture


def _mountains(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (176, 206, 232), (226, 236, 242))
    ground = rng.uniform(0.68, 0.8)
    for _ in range(4):
        x, top, half = rng.uniform(0, 1), rng.uniform(0.12, 0.35), rng.uniform(0.25, 0.42)
        tone = int(rng.integers(98, 140))
        _polygon(picture, [(x - half, ground), (x, top), (x + half, ground)],
                 (tone, tone + 2, tone + 10))  # fmt: skip
        cap = 0.28
        down = top + (ground - top) * cap
        _polygon(picture, [(x - half * cap, down), (x, top), (x + half * cap, down),
                           (x, down - 0.04)], "#b9c0cc")  # fmt: skip
    _below(picture, rng, ground, (98, 142, 88), (74, 116, 66))
    return picture


def _sunset(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (112, 58, 150), (252, 150, 66))
    ground = rng.uniform(0.78, 0.88)
    _disc(picture, rng.uniform(0.2, 0.8), ground - rng.uniform(0, 0.08), 0.13, "#ffe08a")
    _below(picture, rng, ground, (88, 44, 84), (58, 28, 62))
    return picture


def _stage(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (172, 24, 34), (128, 12, 22))
    boards = rng.uniform(0.66, 0.78)
    folds = int(rng.integers(7, 11))
    for i in range(folds):
        x = (i + rng.uniform(-0.1, 0.1)) / folds
        _box(picture, x, 0, 0.4 / folds, boards, _shade(rng, (140, 12, 24), 6))
    _below(picture, rng, boards, (166, 112, 62), (134, 86, 46))
    return picture


def _picnic_blanket(rng: Generator, size: int) -> Image.Image:
    picture = _gradient(rng, size, (246, 244, 240), (246, 244, 240))
    step = rng.uniform(0.09, 0.14)
    dx, dy = rng.uniform(0, 2 * step, 2)
    light, dark = _shade(rng, (236, 128, 128), 8), _shade(rng, (214, 44, 52), 8)
    stripes = np.arange(-2 * step, 1 + 2 * step, 2 * step)
    for x in stripes + dx:
        _box(picture, x, 0, step, 1, light)
    for y in stripes + dy:
        _box(picture, 0, y, 1, step, light)
        for x in stripes + dx:
            _box(picture, x, y, step, step, dark)
    return picture


PAINTERS: dict[str, Painter] = {
    "clouds": _clouded_sky,
    "night sky": _night_sky,
    "meadow": _meadow,
    "sea": _sea,
    "beach": _beach,
    "snow": _snow,
    "room": _room,
    "desert": _desert,
    "city street": _city_street,
    "mountains": _mountains,
    "sunset": _sunset,
    "stage": _stage,
    "picnic blanket": _picnic_blanket,
}
