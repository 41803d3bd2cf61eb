"""Files of every format, damaged at random: each is a picture or a reason, and no more happens.

PHOTOINDEX_FUZZ_RUNS: another number of them, to try something out.
"""

from __future__ import annotations

import io
import os
import random
import resource
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from photoindex.errors import PictureError
from photoindex.photos.decode import MAX_REDUCED
from photoindex.photos.decoder import Decoder
from photoindex.photos.decoder_process import MEMORY
from photoindex.photos.formats import HEAD_SIZE, sniff

RUNS = int(os.environ.get("PHOTOINDEX_FUZZ_RUNS", "20000"))
SEED = 11
SIDE = 64
SECONDS = 20.0
LARGEST = 1 << 20  # bytes of a damaged file
GROWTH = 100 << 20  # bytes that the process which asks for pictures may take more in the end
FORMATS = {"JPEG", "PNG", "GIF", "TIFF", "JPEG2000", "WEBP", "AVIF", "HEIF", "BMP", "PPM"}
HEIC = Path(__file__).parents[1] / "photos" / "turned.heic"
pytestmark = pytest.mark.timeout(900)


def samples() -> list[bytes]:
    """Valid files: every format, and what is read differently within one."""
    chance = np.random.default_rng(SEED)
    coarse = Image.fromarray(chance.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    picture = coarse.resize((160, 120), Image.Resampling.BICUBIC)
    clear = picture.convert("RGBA")
    clear.putalpha(picture.convert("L"))
    deep = Image.fromarray(chance.integers(0, 65536, (60, 80), dtype=np.uint16))
    more = [picture.rotate(90), picture.rotate(180)]
    exif = Image.Exif()
    exif.update({ExifTags.Base.Model: "Example One", ExifTags.Base.Orientation: 6})
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:02:29 10:11:12"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0,)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    told: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    frames: dict[str, Any] = {"save_all": True, "append_images": more}
    return [
        _encoded(picture, "JPEG", **told),
        _encoded(picture, "JPEG", progressive=True),
        _encoded(picture.convert("CMYK"), "JPEG", icc_profile=profile),
        _encoded(picture, "MPO", **frames),
        _encoded(picture, "PNG", **told),
        _encoded(clear.quantize(16), "PNG"),
        _encoded(deep, "PNG"),
        _encoded(picture, "PNG", **frames),
        _encoded(picture, "GIF", **frames),
        _encoded(picture, "WEBP", **told),
        _encoded(clear, "WEBP", lossless=True),
        _encoded(picture, "WEBP", **frames),
        _encoded(picture, "TIFF", **told),
        _encoded(deep, "TIFF"),
        *(
            _encoded(picture, "TIFF", compression=way)
            for way in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ),
        _encoded(picture, "TIFF", big_tiff=True, **frames),
        _encoded(picture.convert("1"), "TIFF", compression="group4"),
        _encoded(picture, "BMP"),
        _encoded(picture.quantize(16), "BMP"),
        _encoded(picture, "JPEG2000"),
        _encoded(clear, "JPEG2000", no_jp2=True, irreversible=True),
        *(_encoded(picture.convert(mode), "PPM") for mode in ("RGB", "L", "1")),
        b"P3 4 2 255 " + b" ".join(b"%d" % number for number in range(24)),
        _encoded(clear, "AVIF", **told),
        _encoded(picture, "AVIF", **frames),
        HEIC.read_bytes(),
    ]


def _encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    """Copies are saved: saving leaves traces in a picture that upset the next format."""
    file = io.BytesIO()
    more = [frame.copy() for frame in options.pop("append_images", ())]
    picture.copy().save(file, format, append_images=more, **options)
    return file.getvalue()


class Damage:
    """Damages files: a few times each, mostly near the beginning, where the headers are."""

    def __init__(self, whole: list[bytes], chance: random.Random) -> None:
        self._whole = whole
        self._chance = chance

    def __call__(self, content: bytes) -> bytes:
        damaged = bytearray(content)
        for _ in range(self._chance.choice((1, 1, 2, 4, 8))):
            way = self._chance.choice(
                (self._flip, self._flip, self._number, self._cut, self._splice, self._repeat)
            )
            way(damaged)
        # Otherwise checksums would keep nearly all damage from what reads the chunks.
        if self._chance.random() < 0.7:
            _mend_checksums(damaged)
        return bytes(damaged[:LARGEST])

    def _flip(self, damaged: bytearray) -> None:
        """Some bits of some bytes."""
        for _ in range(self._chance.randint(1, 12)):
            damaged[self._place(damaged)] ^= self._chance.randint(1, 255)

    def _number(self, damaged: bytearray) -> None:
        """What counts, sizes and offsets are least expected to be."""
        odd = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        width, order = self._chance.choice((1, 2, 4)), self._chance.choice("<>")
        value = self._chance.choice(odd) & ((1 << 8 * width) - 1)
        at = self._place(damaged)
        damaged[at : at + width] = struct.pack(order + {1: "B", 2: "H", 4: "I"}[width], value)

    def _cut(self, damaged: bytearray) -> None:
        """The end of the file, or a piece out of the middle."""
        at = self._place(damaged)
        end = len(damaged) if self._chance.random() < 0.5 else at + self._chance.randint(1, 64)
        if at >= HEAD_SIZE:
            del damaged[at:end]

    def _splice(self, damaged: bytearray) -> None:
        """A piece of another file, put in or written over."""
        other = self._chance.choice(self._whole)
        begin, length = self._chance.randrange(len(other)), self._chance.randint(1, 2000)
        at = self._place(damaged)
        end = at + (length if self._chance.random() < 0.5 else 0)
        damaged[at:end] = other[begin : begin + length]

    def _repeat(self, damaged: bytearray) -> None:
        """A piece of the file, many times over."""
        at, length = self._place(damaged), self._chance.randint(1, 400)
        damaged[at:at] = damaged[at : at + length] * self._chance.choice((1, 2, 10, 50))

    def _place(self, damaged: bytearray) -> int:
        near = self._chance.choice((HEAD_SIZE, 400, 1500, len(damaged)))
        return self._chance.randrange(max(1, min(near, len(damaged))))


def _mend_checksums(damaged: bytearray) -> None:
    """Make the chunks of a PNG valid again, as far as they can be followed."""
    at = 8
    while damaged.startswith(b"\x89PNG") and at + 12 <= len(damaged):
        end = at + 8 + int.from_bytes(damaged[at : at + 4], "big")
        if end + 4 > len(damaged):
            return
        damaged[end : end + 4] = struct.pack(">I", zlib.crc32(damaged[at + 4 : end]))
        at = end + 4


def test_damage_of_any_kind_ends_in_a_picture_or_a_reason(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole = samples()
    assert {sniff(content[:HEAD_SIZE]) for content in whole} == FORMATS
    chance = random.Random(SEED)
    damage = Damage(whole, chance)
    path = tmp_path / "damaged"
    counts: Counter[str] = Counter(pictures=0, reasons=0)
    processes: set[int] = set()
    largest = watched = 0
    with Decoder(SECONDS) as decoder:
        for content in whole:  # what is not damaged is read
            path.write_bytes(content)
            assert decoder.open(path, lambda content: SIDE) is not None
        processes.add(_process(decoder))
        resident = _resident()
        for run in range(RUNS):
            damaged = damage(whole[run % len(whole)])
            path.write_bytes(damaged)
            outcome = _opened(decoder, path)
            processes.add(_process(decoder))
            counts["pictures" if outcome is None else "reasons"] += 1
            counts.update(
                word for word in ("crashes", "longer", "memory") if word in (outcome or "")
            )
            # Exit 1 is an error of Python's: one that decoding did not think of.
            assert "(exit 1)" not in (outcome or ""), f"{run}: {_kept(tmp_path, run, damaged)}"
            if run % 50 == 0 or run == RUNS - 1:
                taken = _taken_within_limits(_process(decoder))
                largest, watched = max(largest, taken), watched + bool(taken)
        grown = _resident() - resident
    assert counts["pictures"] + counts["reasons"] == RUNS
    assert min(counts["pictures"], counts["reasons"]) > RUNS // 20  # both ends are reached
    assert watched > RUNS // 100  # it is there at most times that it is looked at
    assert grown <= GROWTH
    record_property("runs of the fuzzer", RUNS)
    for what in ("pictures", "reasons", "crashes", "longer", "memory"):
        record_property(what, counts[what])
    record_property("restarts", len(processes) - 1)
    record_property("MiB of address space at most", largest >> 20)
    record_property("MiB that the parent has grown", grown >> 20)


def _opened(decoder: Decoder, path: Path) -> str | None:
    """None for a picture, otherwise the reason."""
    try:
        found = decoder.open(path, lambda content: SIDE)
    except PictureError as error:
        assert str(error) and str(error).isprintable() and len(str(error)) < 250
        return str(error)
    assert found is not None
    assert found.picture.mode == "RGB"
    width, height = found.facts.width, found.facts.height
    assert min(found.picture.size) >= min(width, height, SIDE) or width * height > MAX_REDUCED
    assert found.picture.width * found.picture.height <= MAX_REDUCED
    camera = found.facts.metadata.camera
    assert camera is None or camera.isprintable()
    return None


def _process(decoder: Decoder) -> int:
    """The process at work; 0 where there is none."""
    return 0 if decoder._process is None else decoder._process.pid


def _taken_within_limits(pid: int) -> int:
    """The bytes of address space that a process had at most; 0 where it has just ended.

    That it cannot have more than its limit is the system's doing, once the limit is in force.
    """
    if not pid:
        return 0
    assert resource.prlimit(pid, resource.RLIMIT_AS) == (MEMORY, MEMORY)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmPeak")), 0)


def _resident() -> int:
    """The bytes of memory that this process takes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def _kept(folder: Path, run: int, damaged: bytes) -> Path:
    path = folder / f"run-{run}"
    path.write_bytes(damaged)
    return path
