"""Scenes: one to four drawings on a backdrop, made from a seed, rendered at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ram_tagger.sketch.backdrops import paint
from ram_tagger.sketch.vocabulary import BACKDROPS, drawings, tags

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
STRIKE = 109
"""The one bitmap size that the font holds, in pixels."""
ANGLES = (-14, -7, 0, 7, 14)
CROWDS = (0.25, 0.35, 0.25, 0.15)
"""How often one, two, three and four drawings come together."""
SIZES = ((0.38, 0.72), (0.32, 0.52), (0.29, 0.42), (0.28, 0.38))
"""Smallest and largest drawing in parts of the picture, by how many there are."""
STEP = 1 / 48
"""Sizes are multiples of this, so that scaled drawings can be kept."""
OVERLAP = 0.12
"""The part of a drawing's box that another may cover."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a drawing stands: centre and longer side in parts of the picture, angle in degrees."""

    name: str
    x: float
    y: float
    size: float
    angle: int
    flipped: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene before it is drawn; `seed` decides the details of its backdrop."""

    backdrop: str
    seed: int
    placements: tuple[Placement, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The drawings that it shows, held-out ones too."""
        return tuple(p.name for p in self.placements)


def make_scene(rng: Generator, names: Sequence[str] = (), backdrop: str | None = None) -> Scene:
    """A scene by chance, or one that shows just `names` on `backdrop`."""
    known = tuple(drawings())
    if not names:
        count = int(rng.choice(len(CROWDS), p=CROWDS)) + 1
        names = [known[i] for i in rng.choice(len(known), count, replace=False)]
    if backdrop is None:
        backdrop = tuple(BACKDROPS)[int(rng.integers(len(BACKDROPS)))]
    return Scene(backdrop, int(rng.integers(2**31)), _place(rng, names))


def scene_tags(scene: Scene) -> frozenset[str]:
    """Every tag that is true of a scene: drawings, backdrop, colours, categories."""
    backdrop = BACKDROPS[scene.backdrop]
    true = {backdrop.name, *backdrop.colours, *backdrop.also}
    for name in scene.names:
        drawing = drawings()[name]
        true |= {name, *drawing.colours, *drawing.categories}
    return frozenset(true & set(tags()))


def render(scene: Scene, size: int) -> Image.Image:
    """The scene as an RGB picture of size x size pixels."""
    picture = paint(scene.backdrop, scene.seed, size)
    for p in scene.placements:
        drawing = _drawn(p.name, round(p.size * size), p.angle, p.flipped)
        corner = (round(p.x * size - drawing.width / 2), round(p.y * size - drawing.height / 2))
        picture.paste(drawing, corner, drawing)
    return picture


def _place(rng: Generator, names: Sequence[str]) -> tuple[Placement, ...]:
    """Non-crowding places; sizes shrink a little while no free place is found."""
    low, high = SIZES[len(names) - 1]
    for attempt in range(200):
        shrink = 0.997**attempt
        sizes = [
            max(low, STEP * round(s * shrink / STEP)) for s in rng.uniform(low, high, len(names))
        ]
        centres = [tuple(rng.uniform(s / 2, 1 - s / 2, 2)) for s in sizes]
        if _crowded(centres, sizes):
            continue
        return tuple(
            Placement(name, round(float(x), 4), round(float(y), 4), size,
                      int(rng.choice(ANGLES)), bool(rng.random() < 0.5))
            for name, (x, y), size in zip(names, centres, sizes, strict=True)
        )  # fmt: skip
    raise RuntimeError(f"no room for {len(names)} drawings")


def _crowded(centres: Sequence[tuple[float, ...]], sizes: Sequence[float]) -> bool:
    for i in range(len(sizes)):
        for j in range(i):
            reach, smaller = (sizes[i] + sizes[j]) / 2, min(sizes[i], sizes[j])
            sides = [min(smaller, max(0.0, reach - abs(a - b)))
                     for a, b in zip(centres[i], centres[j], strict=True)]  # fmt: skip
            if sides[0] * sides[1] > OVERLAP * smaller**2:
                return True
    return False


@cache
def _glyph(name: str) -> Image.Image:
    """The drawing as the font holds it, cut to what is drawn."""
    picture = Image.new("RGBA", (160, 160))
    font = ImageFont.truetype(FONT, STRIKE)
    ImageDraw.Draw(picture).text((4, 4), drawings()[name].glyph, font=font, embedded_color=True)
    return picture.crop(picture.getbbox())


@lru_cache(maxsize=30_000)
def _drawn(name: str, side: int, angle: int, flipped: bool) -> Image.Image:
    glyph = _glyph(name)
    if flipped:
        glyph = glyph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if angle:
        glyph = glyph.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    scale = side / max(glyph.size)
    size = (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale)))
    return glyph.resize(size, Image.Resampling.BICUBIC)


def worn(picture: Image.Image, rng: Generator) -> Image.Image:
    """What pictures go through before they are tagged: JPEG, blur, changed light, by chance."""
    chance = rng.random()
    if chance < 0.12:
        packed = BytesIO()
        picture.save(packed, "JPEG", quality=int(rng.integers(60, 95)))
        picture = Image.open(packed).convert("RGB")
    elif chance < 0.22:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.7))))
    elif chance < 0.37:
        light = rng.uniform(0.88, 1.12)
        picture = picture.point([min(255, int(v * light)) for v in range(256)] * 3)
    return picture


def picture_at(scene: Scene, size: int, rng: Generator) -> Image.Image:
    """A training picture: sometimes drawn larger and scaled down, sometimes worn."""
    if rng.random() < 0.15:
        larger = render(scene, int(rng.choice((144, 192, 288))))
        return worn(larger, rng).resize((size, size), Image.Resampling.BILINEAR)
    return worn(render(scene, size), rng)
