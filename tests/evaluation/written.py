"""Benchmark files as they are published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

SCENES = 60


def write_benchmark(
    folder: Path,
    tags: Sequence[str],
    shown: Sequence[Sequence[str]],
    pictures: Sequence[Image.Image],
) -> None:
    """Paths without a suffix, as the published annotations have them."""
    (folder / "imgs" / "test").mkdir(parents=True)
    lines = []
    for number, picture in enumerate(pictures[:SCENES]):
        picture.save(folder / "imgs" / "test" / f"{number:04}.png", compress_level=1)
        true = [tag for tag in shown[number] if tag in tags]
        lines.append(",".join([f"test/{number:04}", *true]))
    write_lines(folder / f"{folder.name}_ram_taglist.txt", tags)
    write_lines(folder / f"{folder.name}_ram_annots.txt", lines)


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
