"""What EXIF says of a photo: when, with which camera, where. Nonsense counts as nothing said.

Tags and their types: Exif 2.32 (CIPA DC-008), sections 4.6.4 (TIFF), 4.6.5 (Exif), 4.6.6 (GPS).
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from PIL import ExifTags, Image

from photoindex.photo import Metadata

# What Pillow lets through when a file's EXIF block is cut off, circular or made up.
BROKEN_EXIF = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, EOFError, RuntimeError, struct.error),
)

_DATE = re.compile(
    r"(\d{4})[:\-/.](\d{1,2})[:\-/.](\d{1,2})[T ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?"
)
_YEARS = range(1826, 2101)  # from the oldest photograph on
_LONGEST_TEXT = 120

Tags = Mapping[int, Any]
Result = TypeVar("Result")


def read_metadata(picture: Image.Image) -> Metadata:
    """The EXIF of an open picture as far as it makes sense; never raises because of it."""
    try:
        main = picture.getexif()
        exif, gps = main.get_ifd(ExifTags.IFD.Exif), main.get_ifd(ExifTags.IFD.GPSInfo)
    except BROKEN_EXIF:
        return Metadata()
    position = _sensible(lambda: _position(gps))
    return Metadata(
        taken_at=_sensible(lambda: _taken_at(main, exif)),
        camera=_sensible(lambda: _camera(main)),
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
    )


def read_orientation(picture: Image.Image) -> int:
    """The EXIF orientation that is still to be applied, 1 to 8 (TIFF 6.0, tag 274)."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except BROKEN_EXIF:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _sensible(read: Callable[[], Result]) -> Result | None:
    try:
        return read()
    except BROKEN_EXIF:
        return None


def _taken_at(main: Tags, exif: Tags) -> datetime | None:
    """The camera's clock when the picture was taken, else when it was digitised or changed."""
    candidates = (
        exif.get(ExifTags.Base.DateTimeOriginal),
        exif.get(ExifTags.Base.DateTimeDigitized),
        main.get(ExifTags.Base.DateTime),
    )
    return next((when for when in map(_moment, candidates) if when), None)


def _moment(value: object) -> datetime | None:
    found = _DATE.match(_text(value) or "")
    if not found:
        return None
    year, month, day, hour, minute, second = (int(number or 0) for number in found.groups())
    try:
        return datetime(year, month, day, hour, minute, second) if year in _YEARS else None
    except ValueError:
        return None


def _camera(main: Tags) -> str | None:
    """Make and model; most models already begin with the make's name."""
    make, model = _text(main.get(ExifTags.Base.Make)), _text(main.get(ExifTags.Base.Model))
    if not make or not model:
        return model or make
    named = model.lower().startswith(make.split()[0].lower())
    return model if named else f"{make} {model}"


def _position(gps: Tags) -> tuple[float, float] | None:
    """Latitude and longitude in degrees; exactly 0, 0 is what a receiver without a fix writes."""
    latitude = _degrees(
        gps.get(ExifTags.GPS.GPSLatitude), _text(gps.get(ExifTags.GPS.GPSLatitudeRef)), "NS", 90
    )
    longitude = _degrees(
        gps.get(ExifTags.GPS.GPSLongitude), _text(gps.get(ExifTags.GPS.GPSLongitudeRef)), "EW", 180
    )
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None
    return latitude, longitude


def _degrees(value: Any, reference: str | None, signs: str, limit: int) -> float | None:
    """Degrees, minutes and seconds (missing ones are zero) as signed degrees."""
    if not reference or reference[0].upper() not in signs:
        return None
    parts = [float(part) for part in (value if isinstance(value, tuple | list) else (value,))]
    if not 1 <= len(parts) <= 3 or not all(math.isfinite(part) and part >= 0 for part in parts):
        return None
    degrees = math.fsum(part / 60.0**place for place, part in enumerate(parts))
    if degrees > limit:
        return None
    return -degrees if reference[0].upper() == signs[1] else degrees


def _text(value: object) -> str | None:
    """A text tag as one printable line; None where nothing is left of it."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return None
    with contextlib.suppress(UnicodeError):
        # Pillow reads text tags as Latin-1, many writers put UTF-8 in them.
        value = value.encode("latin-1").decode("utf-8")
    value = value.partition("\0")[0]
    printable = "".join(char if char.isprintable() else " " for char in value)
    return " ".join(printable.split())[:_LONGEST_TEXT].strip() or None
