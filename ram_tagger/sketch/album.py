"""The bundled demo pictures: `python -m ram_tagger.sketch.album --out FOLDER --truth FILE`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ram_tagger.sketch.scenes import make_scene, render, scene_tags

PIXELS = 384
SEED = 77_000
TURNS = {6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180, 8: Image.Transpose.ROTATE_270}
"""How the pixels of an upright picture are turned before the EXIF orientation turns them back."""

ALBUM = """
holidays/beach-trip-01.jpg | beach | palm tree, umbrella | 2024:07:14 10:22:05
holidays/beach-trip-02.jpg | beach | crab, coconut | 2024:07:14 11:03:41 | turned 6
holidays/beach-trip-03.jpg | beach | cat, car | 2024:07:14 16:47:30
holidays/beach-trip-04.jpg | beach | ice cream, glasses | 2024:07:15 12:10:00
holidays/beach-trip-05.webp | beach | turtle
holidays/sailing.jpg | sea | sailboat, dolphin | 2024:07:16 09:31:12 | at 43.2951 5.3611
holidays/sailing-2.png | sea | whale
holidays/snorkelling.png | sea | octopus, fish
holidays/lighthouse evening.jpg | sunset | sailboat, flamingo | 2024:07:16 21:14:55
holidays/desert-drive.jpg | desert | camel, cactus | 2023:03:02 14:05:09
holidays/desert-drive-2.webp | desert | motorcycle, snake
holidays/mountain-hut.jpg | mountains | tent, bear | 2023:08:19 18:40:00 | turned 8
holidays/mountain-hike.jpg | mountains | sneaker, bicycle | 2023:08:20 08:12:26
holidays/castle-visit.jpg | mountains | castle, horse | 2023:08:22 13:30:18
holidays/flight-home.jpg | clouds | airplane | 2024:07:20 17:55:42
holidays/over-the-clouds.png | clouds | helicopter, balloon
zoo/zebra.jpg | meadow | zebra | 2024:05:04 10:15:00
zoo/zebra-and-giraffe.jpg | desert | zebra, giraffe | 2024:05:04 10:31:27
zoo/lions.jpg | desert | lion, elephant | 2024:05:04 11:02:53
zoo/panda.webp | meadow | panda, tree
zoo/penguins.jpg | snow | penguin | 2024:05:04 12:20:36 | turned 3
zoo/parrot-house.jpg | room | parrot, monkey, banana | 2024:05:04 13:45:10
zoo/peacock.png | meadow | peacock, flamingo
zoo/night-walk.jpg | night sky | owl, tiger | 2024:05:04 22:05:33
home/cat-sofa.jpg | room | cat, chair | 2022:11:12 09:00:48
home/dog.jpg | room | dog, sneaker | 2022:11:13 09:21:15
home/dog and ball.jpg | meadow | dog, soccer ball | 2023:04:09 15:36:02 | at 52.5163 13.3777
home/desk.png | room | laptop, cup of coffee, glasses
home/reading.webp | room | book, cup of coffee
home/birthday-2022.jpg | room | birthday cake, balloon, gift | 2022:06:30 16:00:00
home/birthday-2023.jpg | picnic blanket | birthday cake, teddy bear | 2023:06:30 16:20:45
home/breakfast.jpg | picnic blanket | fried egg, bread, cup of coffee | 2023:01:15 08:30:00
home/fruit-basket.jpg | picnic blanket | apple, banana, pear, grapes | 2023:09:03 12:00:00
home/strawberries.jpg | picnic blanket | strawberry, ice cream | 2023:06:11 17:25:50
home/pizza-night.jpg | picnic blanket | pizza, hamburger, french fries | 2024:02:10 19:45:00
home/doughnut.png | room | doughnut
home/garden-sunflower.jpg | meadow | sunflower, bee | 2023:08:05 11:11:11
home/garden-roses.jpg | meadow | rose, tulip, butterfly | 2023:05:28 10:40:30
home/our-house.webp | meadow | house, tree, car
farm/tractor.jpg | meadow | tractor, cow | 2023:10:01 10:05:00
farm/animals.jpg | meadow | sheep, pig, chicken | 2023:10:01 10:45:20
farm/fox-at-dusk.jpg | sunset | fox | 2023:10:01 18:20:00
farm/harvest.png | picnic blanket | corn, carrot, mushroom
city/taxi.jpg | city street | taxi, bus | 2024:03:17 14:00:00
city/fire-drill.jpg | city street | fire engine, ambulance | 2024:03:18 09:55:55
city/rainy-day.jpg | city street | umbrella, dog | 2024:03:19 17:10:00 | turned 6
city/bicycle.webp | city street | bicycle
city/concert.jpg | stage | guitar, drum, trumpet | 2024:04:06 20:30:00
city/piano-evening.jpg | stage | piano, rose | 2024:04:07 20:00:00
city/basketball.jpg | city street | basketball, T-shirt | 2024:04:13 11:00:00
city/rocket-launch.png | night sky | rocket
winter/snowman.jpg | snow | snowman, carrot | 2022:12:26 11:30:00
winter/rabbit.jpg | snow | rabbit | 2022:12:27 09:15:00
"""
"""File, backdrop, drawings; then, where the file tells, when it was taken, turned or where."""


@dataclass(frozen=True, slots=True)
class Page:
    """One picture of the album."""

    file: str
    backdrop: str
    drawings: tuple[str, ...]
    taken: str | None  # as EXIF writes it
    turned: int  # EXIF orientation
    position: tuple[float, float] | None  # latitude, longitude in degrees


def pages() -> list[Page]:
    """The album, read from its table."""
    return [_page([cell.strip() for cell in line.split("|")]) for line in ALBUM.split("\n") if line]


def write_album(out: Path, truth: Path) -> None:
    """Draw every page, and write beside the tests what each one shows."""
    shown = {}
    for index, page in enumerate(pages()):
        scene = make_scene(np.random.default_rng(SEED + index), page.drawings, page.backdrop)
        _save(render(scene, PIXELS), page, out / page.file)
        shown[page.file] = {"drawings": list(page.drawings), "tags": sorted(scene_tags(scene))}
    text = json.dumps(shown, ensure_ascii=False, indent=1)
    truth.write_text(text + "\n", encoding="utf-8")


def _page(cells: list[str]) -> Page:
    file, backdrop, drawings, *facts = cells
    taken, turned, position = None, 1, None
    for fact in facts:
        if fact.startswith("turned"):
            turned = int(fact.split()[1])
        elif fact.startswith("at"):
            latitude, longitude = map(float, fact.split()[1:])
            position = (latitude, longitude)
        else:
            taken = fact
    return Page(file, backdrop, tuple(drawings.split(", ")), taken, turned, position)


def _save(picture: Image.Image, page: Page, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if page.turned in TURNS:
        picture = picture.transpose(TURNS[page.turned])
    if path.suffix == ".png":
        picture.quantize(128).save(path, optimize=True, exif=_exif(page))
    else:
        picture.save(path, quality=85, exif=_exif(page))


def _exif(page: Page) -> Image.Exif:
    exif = Image.Exif()
    if page.taken is None:
        return exif
    exif[ExifTags.Base.Orientation] = page.turned
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Sketchbook", "Pencil 2"
    exif[ExifTags.Base.DateTime] = page.taken
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = page.taken
    if page.position is not None:
        position = exif.get_ifd(ExifTags.IFD.GPSInfo)
        north, east = page.position
        position[ExifTags.GPS.GPSLatitudeRef] = "N" if north >= 0 else "S"
        position[ExifTags.GPS.GPSLatitude] = _degrees(abs(north))
        position[ExifTags.GPS.GPSLongitudeRef] = "E" if east >= 0 else "W"
        position[ExifTags.GPS.GPSLongitude] = _degrees(abs(east))
    return exif


def _degrees(value: float) -> tuple[float, float, float]:
    """Degrees, minutes, seconds."""
    minutes = value % 1 * 60
    return float(int(value)), float(int(minutes)), round(minutes % 1 * 60, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the album anew."""
    parser = argparse.ArgumentParser(prog="python -m ram_tagger.sketch.album", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    options = parser.parse_args(arguments)
    write_album(options.out, options.truth)


if __name__ == "__main__":
    main()
