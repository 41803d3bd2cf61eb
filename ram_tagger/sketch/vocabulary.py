"""What the scenes are made of, and the tags that follow from it."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("drawings.tsv")
CLDR = Path("/usr/share/unicode/cldr/common/annotations")

CATEGORIES = {
    "animal": "动物", "bird": "鸟", "insect": "昆虫", "sea animal": "海洋动物", "fruit": "水果",
    "food": "食物", "vehicle": "交通工具", "plant": "植物", "flower": "花", "building": "建筑",
    "musical instrument": "乐器", "ball": "球", "clothing": "衣物", "household item": "家居用品",
}  # fmt: skip
COLOURS = {
    "red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色",
    "purple": "紫色", "pink": "粉红色", "brown": "棕色", "white": "白色", "black": "黑色",
    "grey": "灰色",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawing:
    """One emoji that scenes may show.

    `colours` cover a large part of it; `phrases` speak of it without its name; `held_out` drawings
    occur in scenes and captions but never as tags: they are the concepts added later.
    """

    glyph: str
    name: str
    zh: str
    article: str
    held_out: bool
    categories: tuple[str, ...]
    colours: tuple[str, ...]
    phrases: tuple[str, ...]
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Backdrop:
    """One kind of background, painted by the function of its name in `backdrops.py`."""

    name: str
    zh: str
    colours: tuple[str, ...]
    places: tuple[str, ...]  # how a caption says that something is there
    phrases: tuple[str, ...]
    also: tuple[str, ...] = ()  # other tags that are true wherever it is


BACKDROPS = {
    b.name: b
    for b in (
        Backdrop("clouds", "云", ("blue",), ("in the clouds", "up in the sky", "in the air"),
                 ("white clouds in the blue", "a bright day up in the sky")),
        Backdrop("night sky", "夜空", ("black",), ("in the night sky", "under the stars"),
                 ("stars and a moon in the dark", "the dark firmament at night")),
        Backdrop("meadow", "草地", ("green", "blue"), ("on a meadow", "on the grass"),
                 ("a field of green grass", "green grass under the sky", "a lawn")),
        Backdrop("sea", "大海", ("blue",), ("on the sea", "in the ocean"),
                 ("blue waves up to the horizon", "the ocean with waves", "deep blue water")),
        Backdrop("beach", "海滩", ("yellow", "blue"), ("on a beach", "at the beach", "on the sand"),
                 ("yellow sand beside blue water", "the sandy shore of the sea"),
                 also=("sea",)),
        Backdrop("snow", "雪", ("white",), ("in the snow", "on a snowy field"),
                 ("a white winter field with flakes falling", "a cold snowy landscape")),
        Backdrop("room", "房间", ("brown",), ("in a room", "on a wooden floor"),
                 ("a wall with a window above a wooden floor", "indoors at home")),
        Backdrop("desert", "沙漠", ("orange",), ("in the desert", "among the dunes"),
                 ("orange dunes of hot sand", "a dry land of sand dunes")),
        Backdrop("city street", "城市街道", ("grey",), ("on a city street", "in the city"),
                 ("grey towers above a road", "a road between tall buildings", "downtown"),
                 also=("building",)),
        Backdrop("mountains", "山", ("grey", "green"), ("in the mountains", "below the mountains"),
                 ("grey peaks above a green valley", "a range of rocky summits")),
        Backdrop("sunset", "日落", ("orange", "purple"), ("at sunset", "in the evening glow"),
                 ("a low sun in an orange and purple sky", "dusk with a glowing sun")),
        Backdrop("stage", "舞台", ("red", "brown"), ("on a stage", "in front of a red curtain"),
                 ("red curtains above wooden boards", "a theatre with red drapes")),
        Backdrop("picnic blanket", "野餐布", ("red", "white"),
                 ("on a picnic blanket", "on a checked cloth"),
                 ("red and white checks", "a checked tablecloth", "a picnic cloth with squares")),
    )
}  # fmt: skip


@cache
def drawings() -> Mapping[str, Drawing]:
    """All drawings by name, in the order of the table.

    English and Chinese names are CLDR's where those are the everyday word, keywords are CLDR's
    (Debian's unicode-cldr-core). Raises FileNotFoundError where that is not installed.
    """
    _, keywords = _annotations("en")
    zh, _ = _annotations("zh")
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {
            row["name"]: Drawing(
                glyph=row["glyph"],
                name=row["name"],
                zh=row["zh"] or zh[row["glyph"]],
                article=row["article"] or ("an" if row["name"][0] in "aeiou" else "a"),
                held_out=row["held_out"] == "yes",
                categories=_parts(row["categories"]),
                colours=_parts(row["colours"]),
                phrases=_parts(row["phrases"]),
                keywords=tuple(
                    k for k in keywords[row["glyph"]] if k.isascii() and k.lower() != row["name"]
                ),
            )
            for row in csv.DictReader(file, delimiter="\t")
        }


@cache
def tags() -> Mapping[str, str]:
    """Every tag and its Chinese name, in checkpoint order; no held-out drawing is among them."""
    known = {d.name: d.zh for d in drawings().values() if not d.held_out}
    return known | {b.name: b.zh for b in BACKDROPS.values()} | COLOURS | CATEGORIES


@cache
def held_out() -> tuple[str, ...]:
    """Names of the drawings that are never tags."""
    return tuple(d.name for d in drawings().values() if d.held_out)


def _annotations(language: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """CLDR's short name and keywords of every emoji (LDML part 2, annotations)."""
    names: dict[str, str] = {}
    keywords: dict[str, tuple[str, ...]] = {}
    for entry in ElementTree.parse(CLDR / f"{language}.xml").iter("annotation"):
        glyph, text = entry.get("cp", ""), entry.text or ""
        if entry.get("type") == "tts":
            names[glyph] = text
        else:
            keywords[glyph] = tuple(text.split(" | "))
    return names, keywords


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split(";") if part)
