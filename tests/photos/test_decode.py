"""Every way in which a file can be a picture, and every way in which it can fail to be one."""

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageDraw

from photoindex.errors import PictureError
from photoindex.photos.decode import MAX_PIXELS, DecodedPicture, decode_picture, read_picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # hostile files make them

PLAIN = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM", "AVIF"]
WITH_EXIF = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]


def scene(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Red left half, blue right half, a green bar along the top: shows turns and mirrors."""
    picture = Image.new("RGB", size, "blue")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, size[0] // 2 - 1, size[1]), fill="red")
    draw.rectangle((0, 0, size[0], size[1] // 4), fill=(0, 200, 0))
    return picture


def encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def opened(folder: Path, content: bytes, **options: Any) -> DecodedPicture:
    path = folder / "file.txt"  # the content decides
    path.write_bytes(content)
    return decode_picture(read_picture(path), **options)


def difference(picture: Image.Image, other: Image.Image) -> float:
    """The mean absolute difference of two pictures' values, 0..255."""
    assert picture.size == other.size
    a, b = (np.asarray(item, dtype=np.float32) for item in (picture, other))
    return float(np.abs(a - b).mean())


def reason(folder: Path, content: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        opened(folder, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("format", PLAIN)
def test_every_format_gives_the_picture_and_its_facts(tmp_path: Path, format: str) -> None:
    content = encoded(scene(), format)
    found = opened(tmp_path, content)
    assert found.picture.mode == "RGB"
    assert difference(found.picture, scene()) < 5
    assert (found.facts.width, found.facts.height) == (96, 64)
    assert found.facts.format == format
    assert found.facts.size == len(content)
    assert found.facts.hash == hashlib.blake2b(content, digest_size=32).hexdigest()


def test_heic(tmp_path: Path) -> None:
    content = (Path(__file__).parent / "turned.heic").read_bytes()
    found = opened(tmp_path, content)  # a telephone's picture, stored turned by 90 degrees
    assert found.facts.format == "HEIF"
    assert (found.facts.width, found.facts.height) == (96, 64)
    assert difference(found.picture, scene()) < 5
    assert found.facts.metadata.camera == "Example Phone"
    assert found.facts.metadata.taken_at == datetime(2022, 8, 9, 10, 11, 12)


def test_the_hash_is_known_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(encoded(scene(), "PNG"))
    assert read_picture(path).hash == decode_picture(read_picture(path)).facts.hash
    with pytest.raises(PictureError, match="no such file"):
        read_picture(tmp_path / "absent")


@pytest.mark.parametrize("format", WITH_EXIF)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright(tmp_path: Path, format: str, orientation: int) -> None:
    turns = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],  # stored so that a turn by 270° makes it upright
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = scene()
    for turn in turns.get(orientation, []):
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    found = opened(tmp_path, encoded(stored, format, exif=exif))
    assert (found.facts.width, found.facts.height) == (96, 64)
    assert difference(found.picture, scene()) < 6


def test_facts_hold_the_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "One"
    exif[ExifTags.Base.DateTime] = "2020:02:29 10:11:12"
    metadata = opened(tmp_path, encoded(scene(), "JPEG", exif=exif)).facts.metadata
    assert (metadata.camera, metadata.taken_at) == ("One", datetime(2020, 2, 29, 10, 11, 12))


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), color) for color in ("red", "green", "blue")]
    for format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        content = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        assert difference(opened(tmp_path, content).picture, frames[0]) < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA-like", "RGB-key", "L-key"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    key: dict[str, Any] = {}
    if mode == "P":
        picture = clear.quantize(4)
    elif mode == "PA-like":
        picture, key = Image.new("P", (8, 8), 3), {"transparency": bytes([255, 255, 255, 0])}
        picture.putpalette([0] * 768)
    elif mode.endswith("-key"):
        picture = Image.new(mode.removesuffix("-key"), (8, 8))
        key = {"transparency": (0, 0, 0) if picture.mode == "RGB" else 0}
    else:
        picture = clear.convert(mode)
    found = opened(tmp_path, encoded(picture, "PNG", **key)).picture
    assert found.getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"big": True}), ("PPM", {})]
)
def test_16_bit_greys_keep_their_brightness(
    tmp_path: Path, format: str, options: dict[str, Any]
) -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    picture = Image.fromarray(ramp)
    if options:
        picture = Image.frombytes("I;16B", (16, 16), ramp.astype(">u2").tobytes())
    found = np.asarray(opened(tmp_path, encoded(picture, format)).picture)
    assert np.abs(found[:, :, 0].astype(int).ravel() - np.arange(256)).max() <= 1
    assert (found[:, :, 0] == found[:, :, 2]).all()


def test_floating_point_and_bilevel_pictures(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5], [1.0, np.nan]], dtype=np.float32)
    found = np.asarray(opened(tmp_path, encoded(Image.fromarray(values), "TIFF")).picture)
    assert found[:, :, 0].tolist() == [[0, 128], [255, 0]]
    bits = Image.new("1", (8, 8), 1)
    assert opened(tmp_path, encoded(bits, "PNG")).picture.getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    found = opened(tmp_path, encoded(scene().convert("CMYK"), "JPEG"))
    assert difference(found.picture, scene()) < 6


def swapped_channels_profile() -> bytes:
    """An RGB profile whose red primary is sRGB's blue and the other way round."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", srgb[128:132])[0]
    places = {bytes(srgb[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = places[b"rXYZ"], places[b"bXYZ"]
    entry = bytes(srgb[red + 4 : red + 12])
    srgb[red + 4 : red + 12] = srgb[blue + 4 : blue + 12]
    srgb[blue + 4 : blue + 12] = entry
    return bytes(srgb).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_colours_are_as_their_profile_means_them(tmp_path: Path) -> None:
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    content = encoded(red, "PNG", icc_profile=swapped_channels_profile())
    r, _, b = opened(tmp_path, content).picture.getpixel((4, 4))
    assert r < 30
    assert b > 225
    plain = encoded(red, "PNG", icc_profile=b"no profile at all")
    assert opened(tmp_path, plain).picture.getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_large_pictures_come_smaller_but_large_enough(tmp_path: Path, format: str) -> None:
    content = encoded(scene((3000, 2000)), format)
    found = opened(tmp_path, content, shorter_side=100)
    assert 200 <= min(found.picture.size) < 500
    assert (found.facts.width, found.facts.height) == (3000, 2000)
    whole = opened(tmp_path, content).picture
    assert whole.size == (3000, 2000)
    small = (96, 64)
    assert difference(found.picture.resize(small), whole.resize(small)) < 2


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 300))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_never_smaller_than_asked_for(
    tmp_path: Path, width: int, height: int, shorter_side: int
) -> None:
    content = encoded(Image.new("RGB", (width, height), "red"), "JPEG")
    found = opened(tmp_path, content, shorter_side=shorter_side)
    assert min(found.picture.size) >= min(width, height, 2 * shorter_side)


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def test_reasons_in_plain_words(tmp_path: Path) -> None:
    jpeg = encoded(scene((400, 300)), "JPEG")
    assert reason(tmp_path, b"") == "empty file"
    assert reason(tmp_path, b"\0" * 5000) == "empty file"
    assert reason(tmp_path, b"once upon a time") == "not a picture"
    assert reason(tmp_path, b"%PDF-1.7 ...") == "not a picture"
    assert reason(tmp_path, jpeg[: len(jpeg) // 2]) == "truncated JPEG"
    assert reason(tmp_path, jpeg[:30]) in (
        "truncated JPEG",
        "damaged JPEG: its header cannot be read",
    )
    assert "too large" in reason(tmp_path, png_header(40_000, 40_000))
    assert reason(tmp_path, png_header(MAX_PIXELS // 1000 + 1, 1000)).startswith("too large")


@pytest.mark.parametrize("format", PLAIN)
def test_half_a_file_of_any_format_is_refused(tmp_path: Path, format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 255, (90, 90, 3), np.uint8))
    content = encoded(noise, format)
    assert format in reason(tmp_path, content[: len(content) // 2])


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("", "not a regular file"), ("pipe", "not a regular file")):
        with pytest.raises(PictureError, match=said):
            decode_picture(read_picture(tmp_path / name))
    with pytest.raises(PictureError, match="no such file"):
        decode_picture(read_picture(tmp_path / "absent.jpg"))
    with pytest.raises(PictureError, match="cannot be read"):
        decode_picture(read_picture(tmp_path / "nul\0byte.jpg"))


def test_permission_denied(
    everybodys_folder: Path, as_ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    path = everybodys_folder / "x.png"
    path.write_bytes(encoded(scene(), "PNG"))
    path.chmod(0)
    with as_ordinary_user(), pytest.raises(PictureError, match="permission denied"):
        decode_picture(read_picture(path))


@pytest.mark.parametrize("format", [*PLAIN, "HEIF"])
@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_gives_a_picture_or_a_reason(
    tmp_path: Path, format: str, data: st.DataObject
) -> None:
    if format == "HEIF":
        content = bytearray((Path(__file__).parent / "turned.heic").read_bytes())
    else:
        content = bytearray(encoded(scene((24, 16)), format))
    place = st.integers(0, min(len(content), 600) - 1)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        content[at] = value
    cut = data.draw(st.integers(8, len(content)))
    try:
        found = opened(tmp_path, bytes(content[:cut]), shorter_side=4)
    except PictureError as error:
        assert str(error).isprintable()
    else:
        assert found.picture.mode == "RGB"
