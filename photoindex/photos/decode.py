"""Opening a picture file safely: whatever lies there becomes an upright RGB picture or a reason.

One read of the bytes serves both the hash and the pixels. The first bytes decide which decoder is
tried, never the file's name.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from photoindex.errors import PictureError, Unreachable
from photoindex.photo import PhotoFacts
from photoindex.photos.formats import HEAD_SIZE, sniff
from photoindex.photos.metadata import BROKEN_EXIF, read_metadata, read_orientation

MAX_PIXELS = 300_000_000
MAX_BYTES = 1 << 30
MAX_REDUCED = 6_000_000
"""Pixels of a picture that is decoded smaller: what waits for the network has to fit in memory."""

# What Pillow's decoders raise on bytes that are not what their header promises.
_BROKEN_PICTURE = (*BROKEN_EXIF, MemoryError, Image.DecompressionBombError)
_TRUNCATED = ("truncated", "end of file", "end of data", "not enough", "incomplete", "eof")

# Pillow raises over twice its bound and warns over it; one bound and one reason are enough.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# A megabyte by default, which good files pass with what image editors note in them.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
# Oddities of a file (odd palettes, cut-off EXIF) are no news for the terminal.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A picture in memory (RGB, upright, sRGB, perhaps smaller than its file) and its facts."""

    picture: Image.Image
    facts: PhotoFacts


@dataclass(frozen=True, slots=True)
class PictureFile:
    """The bytes of a file that may hold a picture. hash: hex BLAKE2b-256 of them."""

    data: bytes
    hash: str


def read_picture(path: Path) -> PictureFile:
    """Read one file whole; its hash tells whether it has to be decoded at all.

    Raises PictureError with the reason in plain words, Unreachable where it may pass.
    """
    data = _read(path)
    return PictureFile(data, hashlib.blake2b(data, digest_size=32).hexdigest())


def decode_picture(file: PictureFile, shorter_side: int | None = None) -> DecodedPicture:
    """Decode what was read.

    shorter_side: the pixels that the caller needs along the picture's shorter side; a larger
    picture is then decoded smaller, but never below twice that unless it is so long that it would
    still have over MAX_REDUCED pixels. Animations give their first frame, transparency is laid on
    white. The facts hold the full upright size.
    Raises PictureError with the reason in plain words.
    """
    kind = sniff(file.data[:HEAD_SIZE])
    if kind is None:
        raise PictureError("not a picture" if file.data.strip(b"\0") else "empty file")
    try:
        return _decode(file, kind, shorter_side)
    except Image.DecompressionBombError as error:
        raise PictureError(f"too large: over {MAX_PIXELS // 10**6} megapixels") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"damaged {kind}: its header cannot be read") from error
    except MemoryError as error:
        raise PictureError(f"not enough memory to decode this {kind}") from error
    except _BROKEN_PICTURE as error:
        raise PictureError(_reason(kind, error)) from error


def _decode(file: PictureFile, kind: str, shorter_side: int | None) -> DecodedPicture:
    if kind == "HEIF":
        _register_heif()
    with Image.open(io.BytesIO(file.data), formats=_decoders(kind)) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise PictureError(f"too large: {width} x {height} pixels")
        smallest = None if shorter_side is None else 2 * shorter_side
        if smallest is not None and picture.format in ("JPEG", "MPO"):
            # Decodes by a power of two smaller, never below the size asked for.
            scale = max(1.0, min(picture.size) / smallest)
            picture.draft(None, (int(width / scale), int(height / scale)))
        # Before anything else, which might load it as well and keep the complaint for itself.
        picture.load()
        metadata = read_metadata(picture)
        orientation = read_orientation(picture)  # after loading, which turns TIFF upright itself
        # Once more for those that cannot be reduced as they are stored.
        upright = _shortened(_reduced(_rgb(_reduced(picture, smallest)), smallest), smallest)
        if orientation in _UPRIGHT:
            upright = upright.transpose(_UPRIGHT[orientation])
        if orientation >= 5:
            width, height = height, width
        facts = PhotoFacts(
            hash=file.hash,
            size=len(file.data),
            width=width,
            height=height,
            format=picture.format or kind,
            metadata=metadata,
        )
    return DecodedPicture(upright, facts)


def _decoders(kind: str) -> tuple[str, ...]:
    families = {"JPEG": ("JPEG", "MPO"), "BMP": ("BMP", "DIB")}
    return families.get(kind, (kind,))


@functools.cache
def _register_heif() -> None:
    import pi_heif  # only when the first HEIF file turns up

    pi_heif.register_heif_opener()


def _reduced(picture: Image.Image, smallest: int | None) -> Image.Image:
    """A picture made smaller by a whole factor, keeping its shorter side at `smallest` or more."""
    factor = 1 if smallest is None else min(picture.size) // smallest
    if factor < 2 or picture.mode in ("1", "P", "PA") or picture.mode.startswith("I;16"):
        return picture  # Pillow cannot average these
    return picture.reduce(factor)


def _shortened(picture: Image.Image, smallest: int | None) -> Image.Image:
    """A picture that is not too large to be handed on, however long a strip it is."""
    if smallest is None:
        return picture
    largest = max(MAX_REDUCED, 4 * smallest**2)
    while (pixels := picture.width * picture.height) > largest:
        picture = picture.reduce(math.ceil(math.sqrt(pixels / largest)))
    return picture


def _rgb(picture: Image.Image) -> Image.Image:
    """8-bit sRGB of a picture of any mode, transparency on white."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _from_deep(picture)
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        opaque = picture.convert("RGBA")
        ground = Image.new("RGBA", opaque.size, "white")
        picture = Image.alpha_composite(ground, opaque).convert("RGB")
    if profile:
        picture = _to_srgb(picture, profile)
    return picture.convert("RGB") if picture.mode != "RGB" else picture.copy()


def _from_deep(picture: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating-point greys, scaled by the range that their values suggest."""
    values = np.nan_to_num(np.asarray(picture).astype(np.float32), posinf=0.0, neginf=0.0)
    largest = float(values.max(initial=0.0))
    if picture.mode == "F":
        white = next((top for top in (1.0, 255.0, 65535.0) if largest <= top), largest)
    else:
        white = max(65535.0, largest)
    grey = np.rint(values.clip(0.0, white) * (255.0 / white)).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Colours as their ICC profile means them; unchanged when the profile is of no use."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}.get(source.profile.xcolor_space.strip())
        if mode != picture.mode or "sRGB" in (source.profile.profile_description or ""):
            return picture
        converted = ImageCms.profileToProfile(picture, source, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, *BROKEN_EXIF):
        return picture
    return converted or picture


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _opened(path: Path) -> BinaryIO:
    """A regular file open for reading; never waits for a pipe or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise _unreachable(error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PictureError("not a regular file")
    return os.fdopen(descriptor, "rb")


def _read(path: Path) -> bytes:
    with _opened(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise PictureError(f"too large: {size / 2**30:.1f} GiB")
            data = file.read(size + 1)  # no more: a file that grows is read again anyway
        except OSError as error:
            raise _unreachable(error) from error
    if not data:
        raise PictureError("empty file")
    return data


def _unreachable(error: Exception) -> Unreachable:
    if isinstance(error, PermissionError):
        return Unreachable("permission denied")
    if isinstance(error, FileNotFoundError):
        return Unreachable("no such file")
    return Unreachable(f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _reason(kind: str, error: BaseException) -> str:
    """Plain words for what a decoder complained of."""
    said = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())[:160]
    if isinstance(error, EOFError) or any(word in said.lower() for word in _TRUNCATED):
        return f"truncated {kind}"
    return f"damaged {kind}" + (f" ({said})" if said else "")
