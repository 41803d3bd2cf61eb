"""What EXIF gives, sensible or hostile."""

import io
import math
import struct
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from photoindex.photo import Metadata
from photoindex.photos.metadata import read_metadata, read_orientation

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # hostile files make them

Base, GPS, IFD = ExifTags.Base, ExifTags.GPS, ExifTags.IFD


def saved(exif: Image.Exif | bytes, format: str = "JPEG") -> Image.Image:
    file = io.BytesIO()
    block = exif if isinstance(exif, bytes) else exif.tobytes()
    Image.new("RGB", (8, 6)).save(file, format, exif=block)
    return Image.open(io.BytesIO(file.getvalue()))


def exif_of(
    main: dict[int, Any] | None = None,
    exif: dict[int, Any] | None = None,
    gps: dict[int, Any] | None = None,
) -> Image.Exif:
    block = Image.Exif()
    block.update(main or {})
    block.get_ifd(IFD.Exif).update(exif or {})
    block.get_ifd(IFD.GPSInfo).update(gps or {})
    return block


def berlin(**changes: Any) -> dict[int, Any]:
    tags = {
        "GPSLatitudeRef": "N",
        "GPSLatitude": (IFDRational(52), IFDRational(31), IFDRational(1212, 100)),
        "GPSLongitudeRef": "E",
        "GPSLongitude": (IFDRational(13), IFDRational(24), IFDRational(18)),
    } | changes
    return {GPS[name]: value for name, value in tags.items() if value is not None}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_date_camera_and_position(format: str) -> None:
    block = exif_of(
        {Base.Make: "Example", Base.Model: "One", Base.DateTime: "2021:01:01 00:00:00"},
        {Base.DateTimeOriginal: "2019:07:14 18:03:59"},
        berlin(),
    )
    found = read_metadata(saved(block, format))
    assert found.taken_at == datetime(2019, 7, 14, 18, 3, 59)
    assert found.camera == "Example One"
    assert found.latitude == pytest.approx(52.520033, abs=1e-5)
    assert found.longitude == pytest.approx(13.405, abs=1e-5)


def test_no_exif_says_nothing() -> None:
    assert read_metadata(Image.new("RGB", (2, 2))) == Metadata()
    assert read_orientation(Image.new("RGB", (2, 2))) == 1


def test_the_next_best_date_counts() -> None:
    block = exif_of(
        {Base.DateTime: "2021:01:02 03:04:05"},
        {Base.DateTimeOriginal: "0000:00:00 00:00:00", Base.DateTimeDigitized: "    "},
    )
    assert read_metadata(saved(block)).taken_at == datetime(2021, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2020:02:29 10:11:12", datetime(2020, 2, 29, 10, 11, 12)),
        ("2020-02-29T10:11:12.5+02:00", datetime(2020, 2, 29, 10, 11, 12)),
        ("2020/2/9 1:05", datetime(2020, 2, 9, 1, 5)),
        ("2020:02:30 10:11:12", None),
        ("2020:02:03 24:11:12", None),
        ("0000:00:00 00:00:00", None),
        ("0001:01:01 00:00:00", None),
        ("9999:12:31 23:59:59", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(text: str, meant: datetime | None) -> None:
    block = exif_of(exif={Base.DateTimeOriginal: text})
    assert read_metadata(saved(block)).taken_at == meant


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("Apple", "", "Apple"),
        ("", "X100", "X100"),
        ("", "", None),
        ("  \0", "\0\0", None),
        ("Ex\x1b[31mample\n", "One\x07 \t Two", "Ex [31mample One Two"),
        ("Łódź", "Ö", "Łódź Ö"),
    ],
)
def test_cameras(make: str, model: str, camera: str | None) -> None:
    block = exif_of({Base.Make: make.encode(), Base.Model: model.encode()})
    assert read_metadata(saved(block)).camera == camera


@pytest.mark.parametrize(
    "changes",
    [
        {"GPSLatitudeRef": None},
        {"GPSLatitudeRef": "X"},
        {"GPSLatitudeRef": ""},
        {"GPSLongitude": None},
        {"GPSLatitude": (IFDRational(91), IFDRational(0), IFDRational(0))},
        {"GPSLongitude": (IFDRational(180), IFDRational(1), IFDRational(0))},
        {"GPSLatitude": (IFDRational(0, 0), IFDRational(0), IFDRational(0))},
        {"GPSLatitude": (IFDRational(1),) * 4},
        {"GPSLatitude": (0.0,) * 3, "GPSLongitude": (0.0,) * 3},
    ],
)
def test_a_position_that_makes_no_sense_is_none(changes: dict[str, Any]) -> None:
    found = read_metadata(saved(exif_of(gps=berlin(**changes))))
    assert (found.latitude, found.longitude) == (None, None)


def test_south_and_west_are_negative() -> None:
    found = read_metadata(
        saved(exif_of(gps=berlin(GPSLatitudeRef="s", GPSLongitudeRef="W", GPSLongitude=(1.5,))))
    )
    assert found.latitude is not None
    assert found.latitude < 0
    assert found.longitude == pytest.approx(-1.5)


@pytest.mark.parametrize(("value", "meant"), [(6, 6), (1, 1), (0, 1), (9, 1), (65535, 1)])
def test_orientation(value: int, meant: int) -> None:
    assert read_orientation(saved(exif_of({Base.Orientation: value}))) == meant


def sensible(found: Metadata) -> bool:
    camera_ok = found.camera is None or (found.camera.isprintable() and len(found.camera) > 0)
    numbers = [found.latitude, found.longitude]
    return camera_ok and all(n is None or (math.isfinite(n) and abs(n) <= 180) for n in numbers)


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*"]))
def test_a_made_up_exif_block_never_raises(noise: bytes, order: bytes) -> None:
    block = b"Exif\0\0" + order + noise
    found = saved(block)
    assert sensible(read_metadata(found))
    assert 1 <= read_orientation(found) <= 8


ENTRY = st.tuples(
    st.sampled_from([271, 272, 274, 306, 34665, 34853, 36867, 1, 2, 3, 4]),
    st.integers(0, 13),
    st.one_of(st.integers(0, 8), st.integers(0, 2**32 - 1)),
    st.one_of(st.integers(0, 250), st.integers(0, 2**32 - 1)),
)


@given(st.lists(ENTRY, max_size=8), st.binary(max_size=150))
def test_made_up_directories_never_raise(
    entries: list[tuple[int, int, int, int]], values: bytes
) -> None:
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    found = saved(b"Exif\0\0II*\0\x08\0\0\0" + directory + b"\0\0\0\0" + values)
    assert sensible(read_metadata(found))
    assert 1 <= read_orientation(found) <= 8
