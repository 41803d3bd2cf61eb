"""Files that are pictures in odd ways, files that only seem to be, and what is no file at all."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

HOSTILE = "\x1b[2J\x1b]0;gone\x07'; DROP TABLE photos; --\r\n<script>$(reboot)</script>%s%n"


@dataclass(frozen=True, slots=True)
class Readable:
    """A file that is to be analysed: what the library then says of it."""

    content: bytes
    size: tuple[int, int]  # pixels, upright
    format: str
    tag: str = "lion"


def readable(lions: Image.Image) -> dict[str, Readable]:
    """Odd files of one picture of lions, which are recognised wherever there is colour."""
    size, upright = lions.size, lions.convert("RGB")
    other = [Image.new("RGB", size, colour) for colour in ("white", "black")]
    frames: dict[str, Any] = {"save_all": True, "append_images": other}
    clear = upright.quantize(250)
    grey = np.asarray(upright.convert("L"), dtype=np.uint16) * 257
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", "what an editor notes " * 150_000, zip=True)
    sideways = upright.transpose(Image.Transpose.ROTATE_90)
    return {
        "a PNG.jpg": Readable(_encoded(upright, "PNG"), size, "PNG"),
        "no extension": Readable(_encoded(upright, "JPEG"), size, "JPEG"),
        "animated.gif": Readable(_encoded(upright, "GIF", **frames), size, "GIF"),
        "animated.webp": Readable(_encoded(upright, "WEBP", **frames), size, "WEBP"),
        "animated.png": Readable(_encoded(upright, "PNG", **frames), size, "PNG"),
        "cmyk.jpg": Readable(_encoded(upright.convert("CMYK"), "JPEG"), size, "JPEG"),
        "16 bits.png": Readable(_deep_png(upright), size, "PNG"),
        "16 bits grey.png": Readable(_encoded(Image.fromarray(grey), "PNG"), size, "PNG", "grey"),
        "16 bits grey.tif": Readable(_encoded(Image.fromarray(grey), "TIFF"), size, "TIFF", "grey"),
        "palette.png": Readable(_encoded(clear, "PNG", transparency=255), size, "PNG"),
        "turned.jpg": Readable(_encoded(sideways, "JPEG", exif=turned), size, "JPEG"),
        "broken exif.jpg": Readable(_encoded(upright, "JPEG", exif=_broken_exif()), size, "JPEG"),
        "hostile exif.jpg": Readable(_encoded(upright, "JPEG", exif=_hostile_exif()), size, "JPEG"),
        "long notes.png": Readable(_encoded(upright, "PNG", pnginfo=notes), size, "PNG"),
    }


def refused(jpeg: bytes, png: bytes) -> dict[str, tuple[bytes, str]]:
    """Files that cannot be read, each with the reason that has to be given.

    jpeg, png: whole pictures.
    """
    middle = len(png) // 2
    return {
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated JPEG"),
        "corrupt.png": (png[: middle // 2] + b"\xff" * middle + png[-20:], "damaged PNG"),
        "no header.png": (png[:8] + b"\xff" * 500, "damaged PNG"),
        "zero bytes.jpg": (b"", "empty file"),
        "never written.jpg": (bytes(5000), "empty file"),
        "text.jpg": (b"once upon a time", "not a picture"),
        "page.png": (b"<!doctype html><title>404</title>", "not a picture"),
        "gigapixels.png": (blank_png(40_000, 40_000, 2, rows=0), "too large"),
        "bomb.png": (blank_png(17_000, 17_000, 6, rows=50), "not enough memory"),
        # First of all in the folder: what they leave behind must not harm those that follow.
        **{f"0 leak {number}.jp2": (_leak(), "damaged JPEG2000") for number in range(5)},
    }


def panorama(width: int, height: int) -> bytes:
    """A long picture, as a camera stitches it."""
    shades = np.linspace(0, 255, width, dtype=np.uint8)
    return _encoded(Image.fromarray(np.tile(shades, (height, 1))), "JPEG")


def blank_png(width: int, height: int, colours: int, rows: int | None = None) -> bytes:
    """A black PNG, quickly made and tiny beside its pixels.

    colours: its colour type, 2 for RGB, 6 for RGBA; rows: fewer than it promises.
    """
    line = 1 + width * {2: 3, 6: 4}[colours]
    rows = height if rows is None else rows
    squeezing = zlib.compressobj(9)
    start = squeezing.compress(b"") + squeezing.flush(zlib.Z_FULL_FLUSH)
    block = squeezing.compress(bytes(10 * line)) + squeezing.flush(zlib.Z_FULL_FLUSH)
    check = struct.pack(">I", (line * rows % 65521) << 16 | 1)
    data = start + block * (rows // 10) + b"\x03\0" + check
    return _png(struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0), data)


def endless_jpeg(side: int, scans: int) -> bytes:
    """A small grey JPEG that goes over its pixels again and again, changing none of them.

    Each scan says in a few bytes that no block has anything new (ITU-T T.81, G.1.2.2: runs of
    32767 blocks, code EOB14).
    """
    blocks = (side // 8) ** 2
    runs = _bits(("0" + "1" * 14) * (blocks // 0x7FFF + 1))
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, bytes([0]) + bytes([1]) * 64),
            _segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0])),
            _segment(0xC4, bytes([0x00, 1]) + bytes(15) + bytes([0x00])),
            _segment(0xC4, bytes([0x10, 1]) + bytes(15) + bytes([0xE0])),
            _segment(0xDA, bytes([1, 1, 0x00, 0, 0, 0])) + _bits("0" * blocks),
            (_segment(0xDA, bytes([1, 1, 0x00, 1, 63, 0])) + runs) * scans,
            b"\xff\xd9",
        )
    )


def lay_no_files(folder: Path, elsewhere: Path) -> tuple[Path, ...]:
    """Pipes, devices and links in circles that are named as pictures, and a link out of the folder.

    elsewhere: a picture outside. Devices are left out where they cannot be made.
    """
    folder.mkdir()
    pipes = (folder / "pipe.jpg", folder / "pipe")
    for pipe in pipes:
        os.mkfifo(pipe)
    loops = (folder / "loop.jpg", folder / "there.png", folder / "back.png", folder / "around")
    for link, target in zip(loops, ("loop.jpg", "back.png", "there.png", ".."), strict=True):
        link.symlink_to(target)
    out = folder / "out.jpg"
    out.symlink_to(elsewhere)
    devices = []
    for number, name in ((5, "zero.jpg"), (5, "zero"), (8, "random.png")):
        try:
            os.mknod(folder / name, stat.S_IFCHR | 0o600, os.makedev(1, number))
        except PermissionError:
            break
        devices.append(folder / name)
    return (*pipes, *loops, out, *devices)


def _encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.copy().save(file, format, **options)
    return file.getvalue()


def _deep_png(picture: Image.Image) -> bytes:
    """RGB of 16 bits each, which Pillow reads and does not write."""
    deep = (np.asarray(picture, dtype=np.uint32) * 257).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in deep)
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 16, 2, 0, 0, 0)
    return _png(header, zlib.compress(lines))


def _png(header: bytes, data: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _leak() -> bytes:
    """The beginning of a JPEG 2000 of 200 megapixels; OpenJPEG does not free its memory again."""
    small = Image.new("RGBA", (160, 120))
    content = bytearray(_encoded(small, "JPEG2000", no_jp2=True, irreversible=True))
    content[8:12] = struct.pack(">I", 1_770_000)  # its width
    return bytes(content[:150])


def _broken_exif() -> bytes:
    """A table that promises 65535 entries and points at itself and beyond the end."""
    entry = struct.pack("<HHII", ExifTags.IFD.Exif, 4, 1, 8)
    beyond = struct.pack("<HHII", ExifTags.Base.Model, 2, 0xFFFFFFF0, 0xFFFFFFF0)
    return b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + entry + beyond + entry[:5]


def _hostile_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = HOSTILE + "A" * 20_000
    exif[ExifTags.Base.ImageDescription] = HOSTILE
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "9999:99:99 99:99:99"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {1: "N", 2: (999.0, 0.0, 0.0), 3: "\x1b[2J", 4: (1.0,)}
    )
    return exif


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _bits(bits: str) -> bytes:
    """Bits of a JPEG's scan: filled up with ones, a zero byte behind every 0xFF."""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
